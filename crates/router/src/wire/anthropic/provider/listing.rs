//! `GET /v1/models`, page by page.

use super::{
    Anthropic, VERSION,
    capabilities::{self, Capabilities, ThinkingStyle},
};
use crate::{
    Error,
    endpoint::{Endpoint, Request, json_headers},
    providers::Patience,
};
use bytes::Bytes;
use http::{HeaderValue, Method};
use protocol::{Location, Model};
use serde::Deserialize;
use std::time::Duration;

/// The vendor's largest page; it has some dozen models.
const PAGE_MODELS: u32 = 1000;
/// A server that always has one more page is not followed for ever.
const PAGES: usize = 10;
/// A listing is small and made beforehand. The router waits for it within a limit of its own.
const PATIENCE: Patience = Patience { headers: Duration::from_secs(10) };
/// Of every model of the vendor where neither it nor the configuration says more.
const CONTEXT_TOKENS: u64 = 200_000;

#[derive(Deserialize)]
struct Page {
    data: Vec<Listed>,
    #[serde(default)]
    has_more: bool,
    last_id: Option<String>,
}

#[derive(Deserialize)]
pub(crate) struct Listed {
    pub(crate) id: String,
    max_input_tokens: Option<u64>,
    capabilities: Option<Told>,
}

/// What the vendor tells of a model.
#[derive(Deserialize)]
struct Told {
    structured_outputs: Option<Support>,
    thinking: Option<Thinking>,
}

#[derive(Deserialize)]
struct Support {
    supported: bool,
}

#[derive(Deserialize)]
struct Thinking {
    supported: bool,
    types: Option<Types>,
}

#[derive(Deserialize)]
struct Types {
    adaptive: Option<Support>,
    enabled: Option<Support>,
    disabled: Option<Support>,
}

impl Listed {
    pub(crate) fn named(name: &str) -> Self {
        Self { id: name.to_owned(), max_input_tokens: None, capabilities: None }
    }
}

impl Listed {
    /// What its name tells, set right by what the vendor does.
    pub(crate) fn capabilities(&self) -> Option<Capabilities> {
        let told = self.capabilities.as_ref()?;
        let mut capabilities = capabilities::of(&self.id);
        if let Some(schema) = &told.structured_outputs {
            capabilities.schema = schema.supported;
        }
        if let Some(thinking) = &told.thinking {
            let has = |support: &Option<Support>| support.as_ref().is_some_and(|support| support.supported);
            match &thinking.types {
                _ if !thinking.supported => capabilities.thinking = ThinkingStyle::Never,
                Some(types) if has(&types.adaptive) => capabilities.thinking = ThinkingStyle::Adaptive,
                Some(types) if has(&types.enabled) => capabilities.thinking = ThinkingStyle::Budget,
                _ => {}
            }
            let off = thinking.types.as_ref().and_then(|types| types.disabled.as_ref());
            capabilities.thinking_off = off.is_none_or(|off| off.supported);
        }
        Some(capabilities)
    }
}

pub(crate) async fn fetch(endpoint: &Endpoint, version: &HeaderValue) -> Result<Vec<Listed>, Error> {
    let mut listed = Vec::new();
    let mut path = format!("/v1/models?limit={PAGE_MODELS}");
    for _ in 0..PAGES {
        let mut headers = json_headers("application/json");
        headers.insert(VERSION, version.clone());
        let request = Request {
            refusals: None,
            method: Method::GET,
            path: &path,
            headers,
            body: Bytes::new(),
            model: "",
            checkpoint: None,
            // Asking for a listing tells nothing of anybody.
            location: Location::Local,
            patience: PATIENCE,
            trace: None,
            used: None,
        };
        let page = endpoint.whole(request).await?;
        let page: Page =
            serde_json::from_slice(&page).map_err(|error| endpoint.malformed(&format!("{error} in its listing")))?;
        listed.extend(page.data);
        match page.last_id.filter(|_| page.has_more) {
            Some(last) if last.bytes().all(|byte| byte.is_ascii_graphic() && !b"&#?%+".contains(&byte)) => {
                path = format!("/v1/models?limit={PAGE_MODELS}&after_id={last}");
            }
            _ => break,
        }
    }
    Ok(listed)
}

impl Anthropic {
    pub(crate) fn model(&self, listed: &Listed) -> Model {
        let known = self.known(&listed.id);
        let of_the_vendor = listed.id.contains("claude-").then_some(CONTEXT_TOKENS);
        let capabilities = self.capabilities(&listed.id);
        Model {
            context_tokens: known.and_then(|known| known.context_tokens).or(listed.max_input_tokens).or(of_the_vendor),
            native_tools: true,
            structured_output: capabilities.schema,
            vision: true,
            ..Model::new(&self.options.name, &listed.id, self.options.location)
        }
    }
}
