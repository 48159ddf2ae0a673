//! Sentence embeddings in this process.
//!
//! The encoder has 22 million parameters: once loaded it stays, and a text takes a millisecond or two.

use crate::wiring::catalogue::{Catalogue, PROVIDER};
use embedded_model::Embedder;
use router::{
    Error,
    providers::{self, EmbedRequest},
};
use std::sync::Arc;
use tokio::sync::Mutex;

pub(super) struct Embeddings {
    catalogue: Catalogue,
    /// With the model's name. Held while loading, so that it is loaded once.
    loaded: Mutex<Option<(String, Arc<Embedder>)>>,
}

impl Embeddings {
    pub(super) fn new(catalogue: Catalogue) -> Self {
        Self { catalogue, loaded: Mutex::const_new(None) }
    }

    /// A text longer than the model reads is refused: a vector of its beginning would pass for one of all of it.
    pub(super) async fn embed(&self, request: EmbedRequest) -> Result<providers::Embeddings, Error> {
        if request.dimensions.is_some() {
            let message = "its vectors have one length only; leave `dimensions` out";
            return Err(Error::Refused { provider: PROVIDER.into(), message: message.into() });
        }
        let embedder = self.embedder(&request.model).await?;
        let computed = blocking(move || {
            let texts: Vec<&str> = request.input.iter().map(String::as_str).collect();
            embedder.embed(&texts).map_err(|error| failed(error.to_string()))
        });
        let embeddings = computed.await??;
        if let Some(long) = embeddings.iter().find(|embedding| embedding.truncated) {
            return Err(Error::ContextLengthExceeded {
                provider: PROVIDER.into(),
                model: request_model(&self.loaded).await,
                message: format!("a text has {} tokens and the model reads 256", long.tokens).into(),
            });
        }
        Ok(providers::Embeddings {
            input_tokens: embeddings.iter().map(|embedding| embedding.tokens as u64).sum(),
            vectors: embeddings.into_iter().map(|embedding| embedding.values).collect(),
        })
    }

    async fn embedder(&self, model: &str) -> Result<Arc<Embedder>, Error> {
        let mut loaded = self.loaded.lock().await;
        if let Some((name, embedder)) = &*loaded
            && name == model
        {
            return Ok(embedder.clone());
        }
        let (catalogue, name) = (self.catalogue.clone(), model.to_owned());
        let embedder = blocking(move || {
            let (weights, tokenizer) = catalogue.embedding_files(&name).ok_or_else(|| Error::Unavailable {
                provider: PROVIDER.into(),
                message: format!("`{name}` is not on this machine; fetch it with `devmesh models pull {name}`").into(),
                missing: true,
            })?;
            let threads = catalogue.options().threads;
            Embedder::load(&weights, &tokenizer, threads).map_err(|error| failed(error.to_string()))
        });
        let embedder = Arc::new(embedder.await??);
        *loaded = Some((model.to_owned(), embedder.clone()));
        Ok(embedder)
    }
}

async fn request_model(loaded: &Mutex<Option<(String, Arc<Embedder>)>>) -> String {
    loaded.lock().await.as_ref().map(|(name, _)| name.clone()).unwrap_or_default()
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.map_err(|error| failed(error.to_string()))
}

fn failed(message: String) -> Error {
    Error::Failed { provider: PROVIDER.into(), message: message.into() }
}
