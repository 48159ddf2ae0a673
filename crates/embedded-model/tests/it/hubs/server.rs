//! A model hub, a registry and the storage they both redirect to, as the real ones answer: Hugging Face's `resolve`
//! addresses with their `X-Linked-…` headers, the distribution API with Ollama's media types.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use embedded_model::fetch::Endpoints;
use futures_util::StreamExt;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

pub const TOKEN: &str = "hub-token";
pub const TEMPLATE: &str = "{{ .System }}<|im_start|>user\n{{ .Prompt }}<|im_end|>";
const LICENCE: &str =
    "                                 Apache License\n                           Version 2.0, January 2004\n";

/// How storage treats the next answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Storage {
    #[default]
    Whole,
    /// The connection breaks after so many bytes of each answer.
    CutAfter(usize),
    /// Ranges are not known here: every answer is the whole file.
    WithoutRanges,
    /// The file was changed, and is as long as before.
    Changed,
}

/// One request as a server saw it.
#[derive(Clone, Debug)]
pub struct Seen {
    pub host: String,
    pub path: String,
    pub range: Option<String>,
    pub token: Option<String>,
}

pub struct Servers {
    pub endpoints: Endpoints,
    shared: Arc<Shared>,
    _runtime: tokio::runtime::Runtime,
}

struct Shared {
    weights: Bytes,
    sha256: String,
    blobs: BTreeMap<String, Bytes>,
    manifest: Bytes,
    storage: Mutex<Storage>,
    seen: Mutex<Vec<Seen>>,
    storage_base: Mutex<String>,
}

impl Servers {
    pub fn start(weights: Vec<u8>) -> Servers {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let shared = Arc::new(Shared::new(weights.into()));
        let serve = |handler: Router| {
            let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
            let port = listener.local_addr().unwrap().port();
            runtime.spawn(async move { axum::serve(listener, handler).await });
            port
        };
        let front = serve(Router::new().fallback(front).with_state(shared.clone()));
        let storage = serve(Router::new().fallback(storage).with_state(shared.clone()));
        // Another name for the same machine, so that it is another host.
        *shared.storage_base.lock().unwrap() = format!("http://localhost:{storage}");
        let base = format!("http://127.0.0.1:{front}");
        let endpoints = Endpoints { hub: base.clone(), hub_token: None, registry: base };
        Servers { endpoints, shared, _runtime: runtime }
    }

    pub fn sha256(&self) -> &str {
        &self.shared.sha256
    }

    pub fn storage(&self, storage: Storage) {
        *self.shared.storage.lock().unwrap() = storage;
    }

    pub fn seen(&self) -> Vec<Seen> {
        std::mem::take(&mut self.shared.seen.lock().unwrap())
    }
}

impl Shared {
    fn new(weights: Bytes) -> Shared {
        let sha256 = hex::encode(Sha256::digest(&weights));
        let mut blobs = BTreeMap::new();
        let mut layer = |kind: &str, content: Bytes| {
            let digest = format!("sha256:{}", hex::encode(Sha256::digest(&content)));
            let layer = json!({"mediaType": format!("application/vnd.ollama.image.{kind}"), "digest": digest, "size": content.len()});
            blobs.insert(digest, content);
            layer
        };
        let layers = [
            layer("model", weights.clone()),
            layer("template", TEMPLATE.into()),
            layer("license", LICENCE.into()),
            layer("params", r#"{"stop":["<|im_end|>"]}"#.into()),
        ];
        let mut config = layer("config", r#"{"model_format":"gguf","model_family":"llama"}"#.into());
        config["mediaType"] = "application/vnd.docker.container.image.v1+json".into();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
            "config": config,
            "layers": layers,
        });
        Shared {
            weights,
            sha256,
            blobs,
            manifest: manifest.to_string().into(),
            storage: Mutex::default(),
            seen: Mutex::default(),
            storage_base: Mutex::default(),
        }
    }

    fn note(&self, request: &Request) {
        let text = |name| request.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        self.seen.lock().unwrap().push(Seen {
            host: text(header::HOST).unwrap_or_default(),
            path: request.uri().path().to_owned(),
            range: text(header::RANGE),
            token: text(header::AUTHORIZATION),
        });
    }

    fn at_storage(&self, path: &str) -> (header::HeaderName, String) {
        (header::LOCATION, format!("{}{path}?signature=secret", self.storage_base.lock().unwrap()))
    }
}

/// The hub and the registry.
async fn front(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    shared.note(&request);
    let path = request.uri().path();
    if path.starts_with("/v2/") { registry(&shared, &request) } else { hub(&shared, path, request.headers()) }
}

fn registry(shared: &Shared, request: &Request) -> Response {
    let accepts = request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    match request.uri().path().strip_prefix("/v2/").unwrap_or_default() {
        "library/tiny/manifests/1b" if accepts.contains("distribution.manifest.v2+json") => {
            ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], shared.manifest.clone()).into_response()
        }
        "library/newer/manifests/latest" => {
            (StatusCode::PRECONDITION_FAILED, "\nThe model you are pulling requires a newer version of Ollama.\n")
                .into_response()
        }
        blob if blob.starts_with("library/tiny/blobs/sha256:") => {
            let digest = blob.rsplit('/').next().unwrap_or_default();
            (StatusCode::TEMPORARY_REDIRECT, [shared.at_storage(&format!("/blobs/{digest}"))]).into_response()
        }
        _ => {
            let detail = json!({"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown", "detail": {"Name": "library/x", "Tag": "1b"}}]});
            (StatusCode::NOT_FOUND, [(header::CONTENT_TYPE, "application/json")], detail.to_string()).into_response()
        }
    }
}

fn hub(shared: &Shared, path: &str, headers: &HeaderMap) -> Response {
    const ERROR: &str = "x-error-code";
    let linked = || {
        let headers = [
            ("x-repo-commit", "0123456789abcdef0123456789abcdef01234567".to_owned()),
            ("x-linked-etag", format!("\"{}\"", shared.sha256)),
            ("x-linked-size", shared.weights.len().to_string()),
        ];
        let weights = shared.at_storage(&format!("/blobs/sha256:{}", shared.sha256));
        (StatusCode::FOUND, headers, [weights], "Found. Redirecting").into_response()
    };
    match path {
        "/old/repo/resolve/main/tiny.gguf" => {
            (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, "/owner/repo/resolve/main/tiny.gguf")]).into_response()
        }
        "/owner/repo/resolve/main/tiny.gguf" => linked(),
        "/owner/gated/resolve/main/tiny.gguf" => match headers.get(header::AUTHORIZATION) {
            Some(token) if token.as_bytes() == format!("Bearer {TOKEN}").as_bytes() => linked(),
            Some(_) => (StatusCode::FORBIDDEN, [(ERROR, "GatedRepo")]).into_response(),
            None => (StatusCode::UNAUTHORIZED, [(ERROR, "GatedRepo")]).into_response(),
        },
        "/owner/small/resolve/main/tiny.gguf" => {
            (StatusCode::OK, [(header::ETAG, "\"0123456789abcdef0123456789abcdef01234567\"")], "text").into_response()
        }
        _ if path.starts_with("/owner/repo/") => (StatusCode::NOT_FOUND, [(ERROR, "EntryNotFound")]).into_response(),
        _ => (StatusCode::UNAUTHORIZED, [(ERROR, "RepoNotFound")], "Invalid username or password.").into_response(),
    }
}

async fn storage(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    shared.note(&request);
    let digest = request.uri().path().rsplit('/').next().unwrap_or_default();
    let Some(content) = shared.blobs.get(digest).cloned() else { return StatusCode::FORBIDDEN.into_response() };
    let how = *shared.storage.lock().unwrap();
    let content = match how {
        Storage::Changed => content.iter().map(|byte| byte ^ 1).collect(),
        _ => content,
    };
    let range = request.headers().get(header::RANGE).and_then(|range| range.to_str().ok());
    let from = range.and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok());
    let from = from.filter(|_| how != Storage::WithoutRanges);
    let all = content.len();
    let (status, body) = match from {
        Some(from) if from >= all => return StatusCode::RANGE_NOT_SATISFIABLE.into_response(),
        Some(from) => (StatusCode::PARTIAL_CONTENT, content.slice(from..)),
        None => (StatusCode::OK, content),
    };
    let mut response = Response::builder().status(status).header(header::CONTENT_LENGTH, body.len());
    if let Some(from) = from {
        response = response.header(header::CONTENT_RANGE, format!("bytes {from}-{}/{all}", all - 1));
    }
    let body = match how {
        Storage::CutAfter(bytes) if bytes < body.len() => {
            let sent = futures_util::stream::once(std::future::ready(Ok(body.slice(..bytes))));
            let breaks = futures_util::stream::once(async {
                // What was sent before is flushed while nothing else is ready.
                tokio::task::yield_now().await;
                Err(std::io::Error::other("the connection breaks here"))
            });
            Body::from_stream(sent.chain(breaks))
        }
        _ => Body::from(body),
    };
    response.body(body).unwrap()
}
