//! Embeddings: one request to the first target that answers, in either vendor's words.

use super::{Body, Inbound, failure, head, whole};
use crate::{
    Error, Router,
    accounts::Spent,
    answer::Usage,
    call::Call,
    catalogue::Freshness,
    conversation::Conversation,
    dialect::{Asked, Dialect},
    dialects::{ollama::listing::embedding, openai_embeddings},
    plan::{Candidate, Needs, Work},
    providers::{EmbedRequest, Embeddings, Patience},
    run::Committed,
    telemetry::{CallSpan, Operation, Outcome, TraceContext, Tried},
};
use bytes::Bytes;
use http::Response;
use protocol::{AttemptOutcome, ModelCallState};
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, timeout};

/// For a batch on a slow CPU, a cold model included.
const PATIENCE: Duration = Duration::from_secs(120);

impl Router {
    /// Answers OpenAI's `POST /v1/embeddings`.
    pub async fn embed_openai(&self, inbound: Inbound) -> Response<Body> {
        let id = inbound.id;
        let answered = async {
            let request = openai_embeddings::parse(&inbound.body)?;
            let name = request.model.clone();
            let (embeddings, committed) =
                self.embed(&inbound, &name, request.input.clone(), request.dimensions).await?;
            Ok((Bytes::from(openai_embeddings::whole(&name, &embeddings, request.encoding).to_string()), committed))
        };
        respond(answered.await, Dialect::OpenAiChat, id)
    }

    /// Answers Ollama's `POST /api/embed`, or the older `POST /api/embeddings`.
    pub async fn embed_ollama(&self, inbound: Inbound, older: bool) -> Response<Body> {
        let id = inbound.id;
        let answered = async {
            let request = if older { embedding::embeddings(&inbound.body)? } else { embedding::embed(&inbound.body)? };
            let begun = Instant::now();
            let (embeddings, committed) =
                self.embed(&inbound, &request.model, request.input.clone(), request.dimensions).await?;
            Ok((request.answer(&embeddings, begun.elapsed()), committed))
        };
        respond(answered.await, Dialect::OllamaChat, id)
    }

    async fn embed(
        &self,
        inbound: &Inbound,
        route: &str,
        input: Vec<String>,
        dimensions: Option<u32>,
    ) -> Result<(Embeddings, Committed), Error> {
        let prompt_bytes = input.iter().map(String::len).sum();
        let asked = Asked::own(route.to_owned(), Conversation::default(), prompt_bytes);
        let call = head::call(inbound.id, asked, inbound.caller.clone(), inbound.egress, &inbound.headers)?;
        let mut told = Told { call: &call, span: self.inner.span(&call, Operation::Embeddings) };
        let embedded = self.embed_call(&call, &input, dimensions, &mut told).await;
        told.ended(embedded.as_ref().map(|(_, committed)| committed));
        embedded
    }

    async fn embed_call(
        &self,
        call: &Call,
        input: &[String],
        dimensions: Option<u32>,
        told: &mut Told<'_>,
    ) -> Result<(Embeddings, Committed), Error> {
        let route = &call.route;
        self.inner.books.check_route(call)?;
        let needs = Needs::of(call, Work::Embed);
        let plan = self.inner.table().plan(route, &needs, Freshness::CALL, &self.inner.targets).await?;
        let mut fallbacks = 0;
        let mut last = None;
        for mut candidate in plan.candidates {
            candidate.price = self.inner.price(&candidate.model);
            if let Err(refused) = self.inner.books.check_target(call, &candidate) {
                last.get_or_insert(refused);
                continue;
            }
            let reservation = self.inner.books.reserve(call, &candidate)?;
            let candidate = &candidate;
            let begun = Instant::now();
            let trace = told.span.as_mut().map(|span| span.attempt_begins());
            let embedded = self.embed_with(call, candidate, input, dimensions, trace).await;
            told.attempt_over(candidate, begun, &embedded);
            match embedded {
                Ok(embeddings) => {
                    let usage = Usage { input_tokens: embeddings.input_tokens, ..Usage::default() };
                    let committed = Committed::by(candidate, fallbacks).counted(usage);
                    let microusd = committed.cost_microusd.unwrap_or(0);
                    reservation.settle(Spent { tokens: embeddings.input_tokens, microusd });
                    return Ok((embeddings, committed));
                }
                Err(error) if !error.leads_on() => return Err(error),
                Err(error) => {
                    reservation.release();
                    fallbacks += 1;
                    last.get_or_insert(error);
                }
            }
        }
        Err(last.unwrap_or_else(|| Error::NoModel(format!("route `{route}` has no target that makes embeddings"))))
    }

    async fn embed_with(
        &self,
        call: &Call,
        candidate: &Candidate,
        input: &[String],
        dimensions: Option<u32>,
        trace: Option<TraceContext>,
    ) -> Result<Embeddings, Error> {
        let permit = self.inner.permit(candidate)?;
        let _slot = self.inner.slot(candidate).await?;
        let checkpoint = self.inner.departures(call, candidate);
        let request = EmbedRequest {
            model: candidate.model.name.clone(),
            input: input.to_vec(),
            dimensions,
            checkpoint: checkpoint.map(|checkpoint| checkpoint as Arc<dyn crate::egress::Checkpoint>),
            patience: Patience { headers: PATIENCE },
            trace,
        };
        let patience = call.deadline.unwrap_or(PATIENCE).min(PATIENCE);
        let embedded = timeout(patience, candidate.provider.embed(request)).await.unwrap_or_else(|_| {
            let provider = candidate.model.provider.clone();
            Err(Error::TimedOut { provider, awaited: crate::Awaited::Headers, after: patience })
        });
        match &embedded {
            Ok(_) => permit.succeeded(),
            Err(error) => permit.report(error, candidate.loaded),
        }
        embedded
    }
}

/// The call as a collector is told of it, once: when it is over, or when its caller leaves.
struct Told<'a> {
    call: &'a Call,
    span: Option<Box<CallSpan>>,
}

impl Told<'_> {
    fn attempt_over(&mut self, candidate: &Candidate, begun: Instant, embedded: &Result<Embeddings, Error>) {
        let Some(span) = &mut self.span else { return };
        let (outcome, input_tokens) = match embedded {
            Ok(embeddings) => (AttemptOutcome::Answered, embeddings.input_tokens),
            Err(_) => (AttemptOutcome::Failed, 0),
        };
        let (usage, error) = (Usage { input_tokens, ..Usage::default() }, embedded.as_ref().err());
        span.attempt_over(&Tried { candidate, mode: "fresh", outcome, error, begun, usage, answer: None });
    }

    fn ended(&mut self, embedded: Result<&Committed, &Error>) {
        let Some(span) = self.span.take() else { return };
        let state = if embedded.is_ok() { ModelCallState::Succeeded } else { ModelCallState::Failed };
        let outcome = Outcome {
            state,
            egress: self.call.egress,
            provider: embedded.ok().map(|committed| committed.provider.as_str()),
            model: embedded.ok().map(|committed| committed.model.as_str()),
            fallbacks: embedded.ok().map_or(0, |committed| committed.fallbacks as u64),
            usage: embedded.ok().and_then(|committed| committed.usage).unwrap_or_default(),
            cost_microusd: embedded.ok().and_then(|committed| committed.cost_microusd),
            first_token: None,
            cache_hit: false,
        };
        span.end(self.call, &outcome, embedded.err().map(Error::code));
    }
}

impl Drop for Told<'_> {
    fn drop(&mut self) {
        if let Some(span) = self.span.take() {
            let outcome = Outcome::new(ModelCallState::Cancelled, self.call.egress);
            span.end(self.call, &outcome, None);
        }
    }
}

fn respond(answered: Result<(Bytes, Committed), Error>, dialect: Dialect, id: domain::ModelCallId) -> Response<Body> {
    match answered {
        Ok((body, committed)) => {
            let mut response = whole(body);
            head::tell(response.headers_mut(), Some(&committed), id);
            response
        }
        Err(error) => failure(dialect, &error, id),
    }
}
