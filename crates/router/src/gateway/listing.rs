//! What there is, in each vendor's words; and fetching and removing models in Ollama's.

use super::{Body, Inbound, failure, head, json};
use crate::{
    Call, Caller, Error, Placement, Router,
    accounts::{allows_model, allows_name},
    catalogue::Freshness,
    dialect::{Asked, Dialect, Envelope},
    plan::{Needs, Work},
    providers::Loaded,
    run::{Run, Step, overruled},
    wire::{
        ollama::{
            listing,
            loading::{self, Loading},
        },
        openai::models as openai_models,
    },
};
use bytes::Bytes;
use domain::ModelCallId;
use futures_util::{StreamExt, stream};
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use protocol::{Egress, Model, Models};
use serde_json::Value;
use std::{future::ready, sync::Arc};

impl Router {
    /// `GET /v1/models`: in Anthropic's shape for a client that says it is one.
    pub async fn list_models(&self, inbound: Inbound) -> Response<Body> {
        let anthropic = inbound.dialect == Dialect::Anthropic;
        let shape = if anthropic { openai_models::list_anthropic } else { openai_models::list };
        self.listed(&inbound, shape).await
    }

    /// `GET /v1/models/{id}`: one of those that [`Self::list_models`] lists, in the same shape.
    pub async fn one_model(&self, inbound: Inbound, id: &str) -> Response<Body> {
        let anthropic = inbound.dialect == Dialect::Anthropic;
        let shape = if anthropic { openai_models::one_anthropic } else { openai_models::one };
        let found = async {
            let egress = head::egress_within(inbound.egress, &inbound.headers)?;
            let unknown = || Error::UnknownRoute { name: id.to_owned(), known: "see GET /v1/models".to_owned() };
            shape(&self.offered(&inbound, egress).await, id).ok_or_else(unknown)
        };
        match found.await {
            Ok(model) => json(StatusCode::OK, &model),
            Err(error) => failure(inbound.dialect, &error, inbound.id),
        }
    }

    /// `GET /api/tags`.
    pub async fn ollama_tags(&self, inbound: Inbound) -> Response<Body> {
        self.listed(&inbound, listing::tags).await
    }

    async fn listed(&self, inbound: &Inbound, shape: impl FnOnce(&Models) -> Value) -> Response<Body> {
        match head::egress_within(inbound.egress, &inbound.headers) {
            Ok(egress) => json(StatusCode::OK, &shape(&self.offered(inbound, egress).await)),
            Err(error) => failure(inbound.dialect, &error, inbound.id),
        }
    }

    /// What there is that the policy of the request's key lets it ask for.
    async fn offered(&self, inbound: &Inbound, egress: Egress) -> Models {
        let policy = self.books().policy(inbound.caller.principal);
        let mut all = self.models(egress).await;
        all.routes.retain(|route| allows_name(&policy, &route.name, true));
        all.models.retain(|model| allows_name(&policy, &model.id, false) && allows_model(&policy, &model.id));
        all
    }

    /// `GET /api/ps`.
    pub async fn ollama_ps(&self, inbound: Inbound) -> Response<Body> {
        let egress = match head::egress_within(inbound.egress, &inbound.headers) {
            Ok(egress) => egress,
            Err(error) => return failure(Dialect::OllamaChat, &error, inbound.id),
        };
        let mut loaded: Vec<(String, Loaded)> = Vec::new();
        for shelf in self.inner.table().shelves_within(egress) {
            if let Some(models) = shelf.loaded().await {
                loaded.extend(models.iter().map(|model| (shelf.provider.name().to_owned(), model.clone())));
            }
        }
        json(StatusCode::OK, &listing::ps(loaded))
    }

    /// `POST /api/show`.
    pub async fn ollama_show(&self, inbound: Inbound) -> Response<Body> {
        match self.named_model(&inbound).await {
            Ok(model) => json(StatusCode::OK, &listing::show(&model)),
            Err(error) => failure(Dialect::OllamaChat, &error, inbound.id),
        }
    }

    /// `GET /api/version`.
    pub fn ollama_version(&self) -> Response<Body> {
        json(StatusCode::OK, &listing::version())
    }

    /// `POST /api/pull`: streams progress.
    pub async fn ollama_pull(&self, inbound: Inbound) -> Response<Body> {
        let pulling = async {
            let (provider, model) = self.named_elsewhere(&inbound)?;
            provider.pull(&model).await
        };
        match pulling.await {
            Ok(mut steps) if !listing::streams(&inbound.body) => {
                while let Some(step) = steps.next().await {
                    if let Err(error) = step {
                        return failure(Dialect::OllamaChat, &error, inbound.id);
                    }
                }
                json(StatusCode::OK, &serde_json::json!({"status": "success"}))
            }
            Ok(steps) => {
                let revoked = inbound.caller.revoked.clone();
                let is_revoked = revoked.clone();
                let ended = stream::once(async move { is_revoked.is_cancelled() })
                    .filter_map(|is_revoked| ready(is_revoked.then(|| Err(Error::revoked()))));
                let lines = steps.take_until(revoked.cancelled_owned()).chain(ended).map(|step| match step {
                    Ok(step) => Ok(listing::pull_line(&step)),
                    Err(error) => Ok(listing::pull_failed(&error)),
                });
                let mut response = Response::new(Body::Stream(Box::pin(lines)));
                let media_type = HeaderValue::from_static("application/x-ndjson");
                response.headers_mut().insert(header::CONTENT_TYPE, media_type);
                response
            }
            Err(error) => failure(Dialect::OllamaChat, &error, inbound.id),
        }
    }

    /// `DELETE /api/delete`.
    pub async fn ollama_delete(&self, inbound: Inbound) -> Response<Body> {
        let deleting = async {
            let (provider, model) = self.named_elsewhere(&inbound)?;
            provider.delete(&model).await
        };
        match deleting.await {
            Ok(()) => json(StatusCode::OK, &serde_json::json!({})),
            Err(error) => failure(Dialect::OllamaChat, &error, inbound.id),
        }
    }

    /// Ollama's requests without a prompt: the model is loaded where it runs in an Ollama, and stays as long as it is set
    /// to stay.
    pub(super) async fn load(&self, call: &Call, loading: Loading) -> Result<Response<Body>, Error> {
        if loading == Loading::Load {
            self.warm(&call.route, call.egress.min(Egress::LocalOnly), call.caller.clone()).await?;
        }
        let envelope = Envelope {
            id: call.id.to_string(),
            model: call.asked.peek.model.clone(),
            created_s: self.inner.clock.now().as_millis() / 1000,
            wants_usage: false,
            estimated_input_tokens: 0,
            asked: None,
        };
        let mut response = json(StatusCode::OK, &loading::answer(call.asked.dialect, &envelope, loading));
        let places = overruled(&call.asked.body, None);
        if !places.is_empty() {
            head::lost(response.headers_mut(), &places);
            let notice = "how long a model stays in memory, and how much it holds, are settings of this server";
            response
                .headers_mut()
                .insert(HeaderName::from_static("x-devmesh-notice"), HeaderValue::from_static(notice));
        }
        Ok(response)
    }

    /// Has the first target of a route in memory before somebody waits for it, where its provider can be told so.
    ///
    /// # Errors
    /// As for a call of the route.
    pub async fn warm(&self, route: &str, egress: Egress, caller: Caller) -> Result<(), Error> {
        let needs = Needs::new(egress, Placement::LocalOnly, Work::Chat);
        let plan = self.inner.table().plan(route, &needs, Freshness::NOW, &self.inner.targets).await?;
        let Some(candidate) = plan.candidates.first().filter(|first| first.provider.speaks(Dialect::OllamaChat)) else {
            return Ok(());
        };
        let body = serde_json::json!({"model": candidate.model.name, "messages": [], "stream": false});
        let asked = Asked::new(Dialect::OllamaChat, Bytes::from(body.to_string()), http::HeaderMap::new())?;
        let id = ModelCallId::new(self.inner.clock.now());
        // Under the name that was asked for: it is what the key may ask for, and leads to this target first.
        let mut call = Call::new(id, route, Arc::new(asked), caller);
        call.placement = Placement::LocalOnly;
        let mut steps = Run::new(self.inner.clone(), call).steps();
        while let Some(step) = steps.next().await {
            if let Step::Failed { error, .. } = step {
                return Err(error);
            }
        }
        Ok(())
    }

    async fn named_model(&self, inbound: &Inbound) -> Result<Model, Error> {
        let name = listing::model_of(&inbound.body)?;
        let egress = head::egress_within(inbound.egress, &inbound.headers)?;
        self.books().check_name(inbound.caller.principal, &name, self.inner.table().is_route(&name))?;
        let route = self.route(&name, egress).await?;
        route.targets.into_iter().next().ok_or(Error::UnknownRoute { name, known: "see /api/tags".to_owned() })
    }

    /// `provider/model`, or a bare name for the first provider that fetches models.
    fn named_elsewhere(&self, inbound: &Inbound) -> Result<(Arc<dyn crate::providers::Provider>, String), Error> {
        let name = listing::model_of(&inbound.body)?;
        let mut providers = self.inner.shelves.iter().map(|shelf| &shelf.provider);
        if let Some((first, rest)) = name.split_once('/')
            && let Some(provider) = providers.clone().find(|provider| provider.name() == first)
        {
            return Ok((provider.clone(), rest.to_owned()));
        }
        let provider = providers.find(|provider| provider.speaks(Dialect::OllamaChat));
        let provider = provider
            // Coming back later does not help: a person has to configure one.
            .ok_or_else(|| Error::Unsupported {
                provider: "this server".to_owned(),
                what: "Ollama that keeps models",
            })?;
        Ok((provider.clone(), name))
    }
}
