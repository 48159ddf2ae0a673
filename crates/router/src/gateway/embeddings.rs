//! Embeddings: one request to the first target that answers, in either vendor's words.

use super::{Body, Inbound, head, whole};
use crate::{
    Awaited, Error, Router,
    admission::Standing,
    answer::Usage,
    call::Call,
    catalogue::Freshness,
    conversation::Conversation,
    dialect::{Asked, Dialect},
    plan::{Candidate, Needs, Plan, Work},
    providers::{EmbedRequest, Embeddings, PassedEmbeddings, Patience},
    router::Inner,
    run::{Booking, Committed, Ended, Mode, may_have_read, overruled},
    telemetry::Operation,
    wire::{lenient::Object, ollama::listing::embedding, openai::asked_embeddings, renamed},
};
use bytes::Bytes;
use http::Response;
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, timeout_at};

/// For a batch on a slow CPU, a cold model included.
const PATIENCE: Duration = Duration::from_secs(120);

/// Texts on their way to a model that makes vectors of them.
struct Embedding {
    inner: Arc<Inner>,
    call: Call,
    booking: Booking,
    deadline: Option<Instant>,
    /// The caller's dialect and its request.
    dialect: Dialect,
    body: Bytes,
    wanted: Wanted,
    /// The target that failed had the texts.
    was_asked: bool,
}

/// What a target of another API is asked for.
struct Wanted {
    /// Or why it cannot be.
    texts: Result<Vec<String>, Error>,
    bytes: usize,
    dimensions: Option<u32>,
    /// Places in the request that it is not told of.
    lost: Vec<String>,
}

enum Embedded {
    Vectors(Embeddings),
    /// The caller's API is spoken there.
    Passed(PassedEmbeddings),
}

impl Router {
    /// Answers OpenAI's `POST /v1/embeddings`.
    pub async fn embed_openai(&self, inbound: Inbound) -> Response<Body> {
        let answered = async {
            let request = asked_embeddings::parse(&inbound.body)?;
            let encoding = request.encoding.ok_or_else(|| {
                let message = "`/encoding_format` is one that only its own API knows. Known here: float, base64";
                Error::Refused { provider: "this model".to_owned(), message: message.into() }
            });
            let wanted = Wanted {
                texts: encoding.clone().and(request.texts),
                bytes: request.input_bytes,
                dimensions: request.dimensions,
                lost: request.lost,
            };
            let embedding = self.embedding(&inbound, Dialect::OpenAiChat, &request.model, wanted)?;
            let (embedded, committed) = embedding.run().await?;
            let body = match embedded {
                Embedded::Passed(passed) => renamed(passed.body, &request.model),
                Embedded::Vectors(embeddings) => {
                    Bytes::from(asked_embeddings::whole(&request.model, &embeddings, encoding?).to_string())
                }
            };
            Ok((body, committed))
        };
        self.respond(answered.await, Dialect::OpenAiChat, &inbound)
    }

    /// Answers Ollama's `POST /api/embed`, or the older `POST /api/embeddings`.
    pub async fn embed_ollama(&self, inbound: Inbound, older: bool) -> Response<Body> {
        let answered = async {
            let request = if older { embedding::embeddings(&inbound.body)? } else { embedding::embed(&inbound.body)? };
            let begun = Instant::now();
            let wanted = Wanted {
                texts: Ok(request.input.clone()),
                bytes: request.input.iter().map(String::len).sum(),
                dimensions: request.dimensions,
                lost: request.lost.clone(),
            };
            // The older form has no endpoint of its own at providers.
            let dialect = if older { Dialect::OllamaGenerate } else { Dialect::OllamaChat };
            let embedding = self.embedding(&inbound, dialect, &request.model, wanted)?;
            let (embedded, committed) = embedding.run().await?;
            let overruled = overruled(&inbound.body, committed.model.context_tokens);
            let new =
                |lost: &[String]| overruled.iter().filter(|place| !lost.contains(place)).cloned().collect::<Vec<_>>();
            let lost = [new(&committed.lost), committed.lost.clone()].concat();
            let body = match embedded {
                Embedded::Passed(passed) => renamed(passed.body, &request.model),
                Embedded::Vectors(embeddings) => request.answer(&embeddings, begun.elapsed()),
            };
            Ok((body, Committed { lost, ..committed }))
        };
        self.respond(answered.await, Dialect::OllamaChat, &inbound)
    }

    fn embedding(&self, inbound: &Inbound, dialect: Dialect, route: &str, wanted: Wanted) -> Result<Embedding, Error> {
        // Vectors are no tokens.
        let nothing_said = Conversation { max_output_tokens: Some(0), ..Conversation::default() };
        let asked = Asked::own(route.to_owned(), nothing_said, wanted.bytes);
        let call = head::call(inbound.id, asked, inbound.caller.clone(), inbound.egress, &inbound.headers)?;
        let mut booking = Booking::new(self.inner.clone(), &call, Some(Operation::Embeddings));
        booking.trace.asked_in("embeddings");
        let deadline = call.deadline.map(|deadline| Instant::now() + deadline);
        let (inner, body) = (self.inner.clone(), inbound.body.clone());
        Ok(Embedding { inner, call, booking, deadline, dialect, body, wanted, was_asked: false })
    }

    fn respond(
        &self,
        answered: Result<(Bytes, Committed), Error>,
        dialect: Dialect,
        inbound: &Inbound,
    ) -> Response<Body> {
        match answered {
            Ok((body, committed)) => {
                let mut response = whole(body);
                head::tell(response.headers_mut(), Some(&committed), inbound.id);
                head::limits(response.headers_mut(), committed.rates, dialect, self.inner.clock.now());
                response
            }
            Err(error) => self.refused(dialect, &error, inbound.id, inbound.caller.principal),
        }
    }
}

impl Embedding {
    async fn run(mut self) -> Result<(Embedded, Committed), Error> {
        let answered = self.try_all().await;
        self.booking.end(match &answered {
            Ok(_) => Ended::Succeeded,
            Err(error) => Ended::Failed(error.clone()),
        });
        answered
    }

    async fn try_all(&mut self) -> Result<(Embedded, Committed), Error> {
        let needs = Needs::of(&self.call, Work::Embed);
        let table = self.inner.table();
        let mut plan = table.plan(&self.call.route, &needs, Freshness::CALL, &self.inner.targets).await?;
        self.booking.trace.planned(&mut plan);
        self.inner.books.check_route(&self.call, table.is_route(&self.call.route))?;
        let mut first_error = None;
        for mut candidate in std::mem::take(&mut plan.candidates) {
            candidate.price = self.inner.price(&candidate.model);
            let candidate = Arc::new(candidate);
            if let Err(refused) = self.hold(&candidate, &plan)? {
                self.booking.trace.left_out(&candidate, refused.to_string());
                first_error.get_or_insert(refused);
                continue;
            }
            let begun = Instant::now();
            let error = match self.ask(&candidate, begun).await {
                Ok(embedded) => {
                    let (input_tokens, lost) = match &embedded {
                        Embedded::Vectors(embeddings) => (embeddings.input_tokens, self.wanted.lost.clone()),
                        Embedded::Passed(passed) => (passed.input_tokens, Vec::new()),
                    };
                    let usage = Usage { input_tokens, ..Usage::default() };
                    let committed = Committed { lost, ..Committed::by(&candidate, self.booking.trace.fallbacks()) }
                        .counted(usage, candidate.price.map(|price| price.cost_microusd(&usage)));
                    self.booking.trace.answered(&candidate, begun, usage);
                    return Ok((embedded, Committed { rates: self.booking.rates(), ..committed }));
                }
                Err(error) => error,
            };
            let usage = (std::mem::take(&mut self.was_asked) && may_have_read(&error)).then(Usage::default);
            self.booking.trace.tried_in_vain(&candidate, &Mode::Fresh, begun, &error, usage);
            if self.deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                return Err(Error::Overdue { after: self.call.deadline.unwrap_or_default() });
            }
            if !error.leads_on() {
                return Err(error);
            }
            if first_error.as_ref().is_none_or(|first: &Error| !first.may_pass() && error.may_pass()) {
                first_error = Some(error);
            }
        }
        let nobody = || Error::NoModel(format!("route `{}` has no target that makes embeddings", self.call.route));
        Err(first_error.unwrap_or_else(nobody))
    }

    /// Whether this target may be asked and paid; the outer error ends the call.
    fn hold(&mut self, candidate: &Candidate, plan: &Plan) -> Result<Result<(), Error>, Error> {
        if let Some(why) = self.inner.books.may_not_ask(&self.call, candidate, &plan.policy) {
            return Ok(Err(Error::NotAllowed { message: format!("`{}`: {why}", candidate.id()) }));
        }
        match self.booking.hold(&self.call, candidate, Some(&plan.policy)) {
            Ok(()) => Ok(Ok(())),
            // Another target may cost less.
            Err(refusal) if refusal.is_about_the_target() => Ok(Err(refusal.into())),
            Err(refusal) => Err(refusal.into()),
        }
    }

    async fn ask(&mut self, candidate: &Arc<Candidate>, begun: Instant) -> Result<Embedded, Error> {
        let (_slot, permit) = self.inner.enter(&self.call, candidate, self.deadline, &Standing::default()).await?;
        let checkpoint = self.inner.departures(&self.call, candidate);
        let request = EmbedRequest {
            model: candidate.model.name.clone(),
            input: self.wanted.texts.clone().unwrap_or_default(),
            dimensions: self.wanted.dimensions,
            checkpoint: checkpoint.clone().map(|checkpoint| checkpoint as Arc<dyn crate::egress::Checkpoint>),
            patience: Patience { headers: PATIENCE },
            trace: self.booking.trace.attempt_begins(),
        };
        let due = Instant::now() + PATIENCE;
        let due = self.deadline.map_or(due, |deadline| deadline.min(due));
        self.booking.asking(candidate, &Mode::Fresh, begun);
        let embedded = timeout_at(due, self.embedded(candidate, request)).await.unwrap_or_else(|_| {
            let provider = candidate.model.provider.clone();
            Err(Error::TimedOut { provider, awaited: Awaited::Headers, after: PATIENCE })
        });
        self.was_asked = self.booking.heard();
        self.booking.trace.redacted(checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.redactions()));
        match &embedded {
            Ok(_) => permit.succeeded(),
            Err(error) => {
                if let Some(checkpoint) = &checkpoint {
                    checkpoint.came_to(error);
                }
                permit.report(error, candidate.loaded);
            }
        }
        embedded
    }

    async fn embedded(&self, candidate: &Candidate, request: EmbedRequest) -> Result<Embedded, Error> {
        if let Some(passed) = candidate.provider.embed_as_asked(self.dialect, &self.body, &request).await {
            return passed.map(Embedded::Passed);
        }
        if let Err(why) = &self.wanted.texts {
            return Err(why.clone());
        }
        candidate.provider.embed(request).await.map(Embedded::Vectors).map_err(Error::retold)
    }
}

/// A body with the name that the caller asked for.
fn renamed(body: Bytes, name: &str) -> Bytes {
    let told = Object::of(&body).ok().and_then(|object| {
        let told = object.fields().get("model")?;
        Some(renamed::renamed(body.clone(), told, name))
    });
    told.unwrap_or(body)
}
