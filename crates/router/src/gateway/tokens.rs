//! How many tokens a prompt has.

use super::{Body, Inbound, failure, head, json};
use crate::{
    Error, Router,
    catalogue::Freshness,
    dialect::Asked,
    plan::{Needs, Work},
    providers::{ChatRequest, Edits, Patience, Refusals},
};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use std::{sync::Arc, time::Duration};
use tokio::time::timeout;

/// Somebody waits for the number only to decide whether to ask.
const PATIENCE: Duration = Duration::from_secs(10);

impl Router {
    /// Answers Anthropic's `POST /v1/messages/count_tokens`. Counted by the target itself where it can; an estimate says so
    /// in `x-devmesh-token-count`.
    pub async fn count_tokens(&self, inbound: Inbound) -> Response<Body> {
        let (id, dialect) = (inbound.id, inbound.dialect);
        match self.try_count(inbound).await {
            Ok((tokens, counted)) => {
                let mut response = json(StatusCode::OK, &serde_json::json!({"input_tokens": tokens}));
                head::tell(response.headers_mut(), None, id);
                let how = HeaderValue::from_static(if counted { "exact" } else { "estimated" });
                response.headers_mut().insert(HeaderName::from_static("x-devmesh-token-count"), how);
                response
            }
            Err(error) => failure(dialect, &error, id),
        }
    }

    async fn try_count(&self, inbound: Inbound) -> Result<(u64, bool), Error> {
        let asked = Asked::new(inbound.dialect, inbound.body, head::forwarded(&inbound.headers))?;
        let call = head::call(inbound.id, asked, inbound.caller, inbound.egress, &inbound.headers)?;
        // Whoever counts a prompt reads it.
        let table = self.inner.table();
        self.inner.books.check_route(&call, table.is_route(&call.route))?;
        let needs = Needs::of(&call, Work::Chat);
        let plan = table.plan(&call.route, &needs, Freshness::CALL, &self.inner.targets).await?;
        let mut allowed =
            plan.candidates.iter().filter(|candidate| self.inner.books.keeps_out(&call, candidate).is_none());
        if let Some(candidate) = allowed.next() {
            let checkpoint = self.inner.departures(&call, candidate);
            let request = ChatRequest {
                model: candidate.model.name.clone(),
                asked: self.inner.seals.told_to(&candidate.model.provider, &call.asked),
                changed: None,
                edits: Edits::default(),
                stream: false,
                checkpoint: checkpoint.map(|checkpoint| checkpoint as Arc<dyn crate::egress::Checkpoint>),
                patience: Patience { headers: PATIENCE },
                trace: None,
                refusals: Refusals::default(),
            };
            if let Ok(Ok(Some(tokens))) = timeout(PATIENCE, candidate.provider.count_tokens(&request)).await {
                return Ok((tokens, true));
            }
        }
        Ok((call.asked.peek.estimated_tokens(), false))
    }
}
