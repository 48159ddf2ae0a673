//! Why a call would go where it would go, without making it.

use crate::{
    Call, Error, Router,
    admission::Outlook,
    breaker::State,
    call::Caller,
    catalogue::Freshness,
    conversation::Conversation,
    dialect::Asked,
    plan::{Needs, Placement, Work},
    run::millis,
};
use domain::ModelCallId;
use protocol::{Egress, ExplainRoute, ExplainedTarget, QueueState, RouteExplanation, RouteWork, TargetHealth, Targets};
use std::sync::Arc;

impl Router {
    /// Everything that would be decided about a call for `route`, and what stands behind it.
    ///
    /// # Errors
    /// As for the call itself: [`Error::UnknownRoute`], [`Error::NoModel`], [`Error::EgressRefused`].
    pub async fn explain(
        &self,
        route: &str,
        request: &ExplainRoute,
        caller: Caller,
        egress: Egress,
    ) -> Result<RouteExplanation, Error> {
        let inner = &self.inner;
        let needs = Needs {
            egress: request.egress.map_or(egress, |asked| asked.min(egress)),
            placement: Placement::Auto,
            work: match request.work {
                RouteWork::Chat => Work::Chat,
                RouteWork::Embed => Work::Embed,
            },
            tools: request.tools,
            schema: request.schema,
            images: request.images,
        };
        let mut asked = Asked::own(route.to_owned(), Conversation::default(), request.prompt_bytes as usize);
        asked.peek.max_output_tokens = request.max_output_tokens;
        let call = Call::new(ModelCallId::new(inner.clock.now()), route, Arc::new(asked), caller);
        let plan = inner.table().plan(route, &needs, Freshness::SHOWN, &inner.targets).await?;
        let states = inner.targets.states();
        let mut targets = Vec::with_capacity(plan.candidates.len());
        for mut candidate in plan.candidates {
            candidate.price = inner.price(&candidate.model);
            let health = states.iter().find(|(id, ..)| id == candidate.id());
            let estimate = inner.books.estimate(&call, &candidate, Some(&plan.policy));
            let outlook = inner.admission(candidate.shelf).outlook();
            targets.push(ExplainedTarget {
                target: candidate.id().to_owned(),
                why: candidate.why.to_string(),
                location: candidate.model.location,
                digest: candidate.model.digest.clone(),
                context_tokens: candidate.model.context_tokens,
                loaded: candidate.loaded,
                breaker: health.map_or("closed", |(_, state, _)| state.phase.as_str()).to_owned(),
                in_flight: health.map_or(0, |(.., in_flight)| *in_flight as u64),
                queue_waiting: outlook.waiting as u64,
                queue_eta_ms: millis(outlook.eta),
                first_token_timeout_ms: millis(inner.first_token_timeout(&call, &candidate, Some(&plan.policy))),
                cost_at_most_microusd: estimate.cost.map(|cost| cost.input_microusd + cost.output_microusd),
                continues_answers: candidate.provider.continues_prefill(&candidate.model.name),
                kept_out: inner.books.keeps_out(&call, &candidate),
            });
        }
        Ok(RouteExplanation {
            route: route.to_owned(),
            rule: plan.rule,
            egress: plan.egress,
            targets,
            candidates: plan.considered,
        })
    }

    /// How every target that was asked does, and how long the queues are.
    pub fn health(&self) -> Targets {
        let targets = self.inner.targets.states().into_iter().map(|(target, state, in_flight)| {
            let State { phase, calls, failures, consecutive_failures, opens_again_in, times_opened, .. } = state;
            TargetHealth {
                resting_ms: self.inner.targets.cooling(&target).map(millis),
                target,
                breaker: phase.as_str().to_owned(),
                recent_calls: u64::from(calls),
                recent_failures: u64::from(failures),
                consecutive_failures: u64::from(consecutive_failures),
                probed_in_ms: opens_again_in.map(millis),
                times_opened,
                in_flight: in_flight as u64,
            }
        });
        let queues = self.inner.admissions().map(|(provider, admission)| {
            let Outlook { waiting, active, slots, eta } = admission.outlook();
            QueueState {
                provider: provider.to_owned(),
                active: active as u64,
                slots: slots as u64,
                waiting: waiting as u64,
                eta_ms: millis(eta),
            }
        });
        let table = self.inner.table();
        let refused_keys = table.shelves.iter().flat_map(|shelf| shelf.provider.refused_keys()).collect();
        Targets { targets: targets.collect(), queues: queues.collect(), refused_keys }
    }
}
