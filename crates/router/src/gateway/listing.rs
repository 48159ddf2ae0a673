//! What there is, in each vendor's words; and fetching and removing models in Ollama's.

use super::{Body, Inbound, failure, json};
use crate::{
    Error, Router,
    dialect::Dialect,
    dialects::{ollama::listing, openai_models},
    json_object::Fields,
    providers::Loaded,
};
use bytes::Bytes;
use futures_util::StreamExt;
use http::{HeaderValue, Response, StatusCode, header};
use protocol::{Egress, Model};

impl Router {
    /// `GET /v1/models`: in Anthropic's shape for a client that says it is one.
    pub async fn list_models(&self, egress: Egress, anthropic: bool) -> Response<Body> {
        let models = self.models_within(egress).await;
        let body = if anthropic { openai_models::list_anthropic(&models) } else { openai_models::list(&models) };
        json(StatusCode::OK, &body)
    }

    /// `GET /api/tags`.
    pub async fn ollama_tags(&self, egress: Egress) -> Response<Body> {
        json(StatusCode::OK, &listing::tags(&self.models_within(egress).await))
    }

    /// `GET /api/ps`.
    pub async fn ollama_ps(&self) -> Response<Body> {
        let mut loaded: Vec<(String, Loaded)> = Vec::new();
        for shelf in self.inner.shelves.iter() {
            if let Some(models) = shelf.loaded().await {
                loaded.extend(models.iter().map(|model| (shelf.provider.name().to_owned(), model.clone())));
            }
        }
        json(StatusCode::OK, &listing::ps(&loaded))
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
            Ok(steps) => {
                let lines = steps.map(|step| {
                    let line = match step {
                        Ok(step) => listing::pull_step(&step),
                        Err(error) => serde_json::json!({"error": error.to_string()}),
                    };
                    Bytes::from(format!("{line}\n"))
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

    async fn named_model(&self, inbound: &Inbound) -> Result<Model, Error> {
        let name = name_in(&inbound.body)?;
        let route = self.route_within(&name, inbound.egress).await?;
        route.targets.into_iter().next().ok_or(Error::UnknownRoute { name, known: "see /api/tags".to_owned() })
    }

    /// `provider/model`, or a bare name for the first provider that fetches models.
    fn named_elsewhere(&self, inbound: &Inbound) -> Result<(std::sync::Arc<dyn crate::providers::Provider>, String), Error> {
        let name = name_in(&inbound.body)?;
        let mut providers = self.inner.shelves.iter().map(|shelf| &shelf.provider);
        if let Some((first, rest)) = name.split_once('/')
            && let Some(provider) = providers.clone().find(|provider| provider.name() == first)
        {
            return Ok((provider.clone(), rest.to_owned()));
        }
        let provider = providers.find(|provider| provider.speaks(Dialect::OllamaChat));
        let provider = provider.ok_or_else(|| Error::NoModel("no Ollama is configured here".to_owned()))?;
        Ok((provider.clone(), name))
    }
}

/// `model`, or `name` as older clients have it.
fn name_in(body: &[u8]) -> Result<String, Error> {
    let fields = Fields::of(body)?;
    let name = fields.read::<String>("model").or_else(|| fields.read("name")).filter(|name| !name.is_empty());
    name.ok_or_else(|| Error::Invalid {
        pointer: "/model".to_owned(),
        message: "a model's name is needed here".to_owned(),
    })
}
