//! Which target comes next, and what keeps one from being asked.

use super::{Phase, Run, Step, Trying, rescue::Mode};
use crate::{
    Error, Said,
    catalogue::Freshness,
    error,
    plan::{Candidate, Needs, Plan, Work},
};
use std::{sync::Arc, time::Duration};

impl Run {
    pub(super) async fn plan(&mut self) -> Option<Step> {
        let needs = Needs::of(&self.call, Work::Chat);
        let table = self.inner.table();
        let mut plan = match table.plan(&self.call.route, &needs, Freshness::CALL, &self.inner.targets).await {
            Ok(plan) => plan,
            Err(error) => return Some(self.fail(error)),
        };
        if let Some(target) = &self.call.target {
            plan.candidates.retain(|candidate| candidate.id() == target);
            if plan.candidates.is_empty() {
                let message = format!("route `{}` has no target `{target}` that this call may use", self.call.route);
                return Some(self.fail(Error::NoModel(message)));
            }
        }
        self.put_off_unfinished(&mut plan);
        self.booking.trace.planned(&mut plan);
        if let Err(error) = self.inner.books.check_route(&self.call, table.is_route(&self.call.route)) {
            return Some(self.fail(error));
        }
        if let Some(kept) = self.inner.kept.find(&self.call, &plan) {
            return Some(self.answer_from_memory(kept));
        }
        self.left = std::mem::take(&mut plan.candidates).into();
        for candidate in &mut self.left {
            candidate.price = self.inner.price(&candidate.model);
        }
        self.plan = Some(plan);
        match self.reserve() {
            Ok(()) => self.go_on(),
            Err(error) => Some(self.fail(error)),
        }
    }

    /// Puts targets that broke off in the middle of an answer to this caller a moment ago behind those that did not.
    fn put_off_unfinished(&self, plan: &mut Plan) {
        let was_unfinished = |candidate: &Candidate| self.inner.targets.was_unfinished(candidate, &self.call.caller);
        for candidate in plan.candidates.iter_mut().filter(|candidate| was_unfinished(candidate)) {
            candidate.why = format!("{}; an answer of it to this caller just broke off", candidate.why).into();
            for known in plan.considered.iter_mut().filter(|known| known.target == candidate.model.id) {
                known.why = candidate.why.to_string();
            }
        }
        plan.candidates.sort_by_key(|candidate| (candidate.is_stopgap, was_unfinished(candidate)));
    }

    /// Holds back what the call may come to, for the first target that the caller may ask and can pay.
    fn reserve(&mut self) -> Result<(), Error> {
        let mut refused = None;
        let mut not_allowed = Vec::new();
        while let Some(candidate) = self.left.front().cloned() {
            let why = match self.may_not_ask(&candidate) {
                Some(why) => {
                    not_allowed.push(format!("{}: {why}", candidate.id()));
                    why
                }
                None => match self.hold_for(&candidate) {
                    Ok(()) => {
                        self.is_reserved = true;
                        return Ok(());
                    }
                    // Another target may cost less.
                    Err(refusal) if refusal.is_about_the_target() => {
                        let why = refusal.to_string();
                        refused.get_or_insert_with(|| refusal.into());
                        why
                    }
                    Err(refusal) => return Err(refusal.into()),
                },
            };
            self.left.pop_front();
            self.booking.trace.left_out(&candidate, why);
        }
        let route = &self.call.route;
        Err(match refused {
            Some(refused) => refused,
            None if not_allowed.is_empty() => Error::NoModel(format!("route `{route}` has no target")),
            None => {
                Error::NotAllowed { message: format!("no target of `{route}` may be used: {}", not_allowed.join("; ")) }
            }
        })
    }

    /// To the next target that may help, or to the end.
    pub(super) fn go_on(&mut self) -> Option<Step> {
        match self.next_candidate() {
            Some(candidate) => {
                let retries = self.policy().map_or(0, |policy| policy.retries);
                self.phase =
                    Phase::Trying(Box::new(Trying { candidate, retries, not_before: None, mode: Mode::Fresh }));
                None
            }
            None => self.exhausted(),
        }
    }

    /// Leaves out what cannot do better than those before it.
    pub(super) fn next_candidate(&mut self) -> Option<Arc<Candidate>> {
        while let Some(mut candidate) = self.left.pop_front() {
            if let Some(why) = self.not_worth_it(&candidate) {
                self.booking.trace.left_out(&candidate, why);
                continue;
            }
            if let Some(tried) = self.booking.trace.last_failure() {
                candidate.why = format!("{tried}; {}", candidate.why).into();
            }
            return Some(Arc::new(candidate));
        }
        None
    }

    /// Why neither key nor route lets this call have that target.
    fn may_not_ask(&self, candidate: &Candidate) -> Option<String> {
        self.inner.books.may_not_ask(&self.call, candidate, self.policy()?)
    }

    fn not_worth_it(&mut self, candidate: &Candidate) -> Option<String> {
        if !std::mem::take(&mut self.is_reserved) {
            if let Some(why) = self.may_not_ask(candidate) {
                return Some(why);
            }
            if let Err(refusal) = self.hold_for(candidate) {
                let why = refusal.to_string();
                self.note(candidate, refusal.into());
                return Some(why);
            }
        }
        if let (Some(overflowed), Some(window)) = (self.overflowed_tokens, candidate.model.context_tokens)
            && window <= overflowed
        {
            return Some(format!("its window of {window} tokens is no larger than {overflowed}"));
        }
        // The last one left is asked in any case.
        if self.left.is_empty() {
            return None;
        }
        let budget = self.policy().and_then(|policy| policy.latency_budget);
        let eta = self.inner.admission(candidate.shelf).outlook().eta;
        if let Some(budget) = budget
            && eta > budget
        {
            let (eta, budget) = (eta.as_secs_f32(), budget.as_secs_f32());
            return Some(format!("its queue would take {eta:.1} s, over the route's budget of {budget} s"));
        }
        let wait = self.inner.targets.cooling(candidate.id())?;
        self.note(candidate, resting(candidate, wait));
        Some(format!("it asked for a rest of {:.1} s", wait.as_secs_f32()))
    }
}

fn resting(candidate: &Candidate, wait: Duration) -> Error {
    Error::RateLimited {
        provider: candidate.model.provider.clone(),
        message: Said::ours(error::RESTS),
        retry_after: Some(wait),
    }
}
