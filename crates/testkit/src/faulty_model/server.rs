//! Takes connections and requests, and decides what each request is.

use super::{
    FaultyModel, Wire,
    answer::Answer,
    faults::Plan,
    listing,
    observed::{Observed, Received, Watch},
    queue::Queue,
    reply::{Ending, Head, Refusal, RetryAfter},
    sending::{self, Body, Pace, Reset, Socket},
};
use crate::ServedModel;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::{
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{Instant, sleep},
};

/// Of a request: more than any test sends.
const REQUEST_BYTES: usize = 64 << 20;

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) wire: Wire,
    pub(super) models: Vec<ServedModel>,
    pub(super) observed: Observed,
    pub(super) queue: Mutex<Queue>,
}

/// Owns the listening socket and every connection.
pub(super) async fn run(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Ok((stream, _)) = listener.accept() => { connections.spawn(connection(stream, shared.clone())); }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(stream: TcpStream, shared: Arc<Shared>) {
    let _open = shared.observed.connected();
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let reset = Reset::default();
    let socket = TokioIo::new(Socket::new(stream, reset.clone()));
    let service = service_fn(move |request| {
        let (shared, reset) = (shared.clone(), reset.clone());
        async move { Ok::<_, Infallible>(shared.answer(request, reset).await) }
    });
    // Ends with an error when an answer breaks the connection or the client does, which are both noted elsewhere.
    let _ = http1::Builder::new().serve_connection(socket, service).await;
}

impl Shared {
    async fn answer(&self, request: Request<Incoming>, socket: Reset) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let target = parts.uri.path_and_query().map_or("/", |target| target.as_str()).to_owned();
        let Ok(body) = Limited::new(body, REQUEST_BYTES).collect().await else {
            return empty(StatusCode::BAD_REQUEST);
        };
        let received = Received::new(&parts.method, target, &parts.headers, body.to_bytes());
        self.observed.note(|log| log.paths.push(received.path.clone()));
        let path = self.path(parts.uri.path());
        let asked = self.observed.read(|log| log.loaded.clone());
        if let Some(listed) = listing::answer(self.wire, &self.models, &asked, path, &received.body) {
            let (status, body) = match listed {
                Ok(body) => (200, body),
                Err(name) => self.wire.refuse(&Refusal::UnknownModel, &name, 0),
            };
            return whole(status, &body);
        }
        let what = self.what(path);
        let bytes = received.bytes.clone();
        let number = self.observed.read(|log| log.received.len());
        let mut watch = self.observed.asked(received.clone());
        match what {
            What::Count => {
                watch.over();
                whole(200, &json!({"input_tokens": FaultyModel::INPUT_TOKENS}))
            }
            What::Other => {
                watch.over();
                echo(&parts.method, &parts.uri, &parts.headers, bytes)
            }
            What::Answer | What::Embedding => {
                let asked = Asked { embeds: matches!(what, What::Embedding), path, received, number };
                self.scripted(asked, socket, watch).await
            }
        }
    }

    /// OpenAI's and Anthropic's paths are known with their prefix and without: base URLs are configured either way.
    fn path<'a>(&self, path: &'a str) -> &'a str {
        if self.wire == Wire::Ollama { path } else { path.strip_prefix("/v1").unwrap_or(path) }
    }

    fn what(&self, path: &str) -> What {
        match (self.wire, path) {
            (Wire::OpenAiChat, "/chat/completions" | "/completions")
            | (Wire::OpenAiResponses, "/responses")
            | (Wire::Anthropic, "/messages")
            | (Wire::Ollama, "/api/chat" | "/api/generate") => What::Answer,
            (Wire::OpenAiChat | Wire::OpenAiResponses, "/embeddings") | (Wire::Ollama, "/api/embed") => What::Embedding,
            (Wire::Anthropic, "/messages/count_tokens") => What::Count,
            _ => What::Other,
        }
    }

    async fn scripted(&self, asked: Asked<'_>, socket: Reset, watch: Watch) -> Response<Body> {
        let name = asked.received.body["model"].as_str().unwrap_or_default();
        let Some(model) = self.models.iter().find(|model| model.answers_to(name)) else {
            return self.refuse(&Refusal::UnknownModel, name, 0, socket, watch);
        };
        let reply = self.queue.lock().unwrap_or_else(PoisonError::into_inner).take(&asked.received);
        let window = model.context_tokens.unwrap_or(8192);
        match &reply.head {
            Head::Success => {}
            Head::Refusal(refusal) => {
                let mut refused = self.refuse(refusal, name, window, socket, watch);
                if let Some((name, value)) = reply.retry_after.and_then(RetryAfter::header) {
                    refused.headers_mut().insert(name, value);
                }
                return refused;
            }
            Head::Never => {
                // Given up when the client goes, and the watch with it.
                let _watch = watch;
                return std::future::pending().await;
            }
            Head::Alone => {
                let media_type = HeaderValue::from_static(self.wire.stream_media_type());
                let body = sending::body(Plan::silence(), Pace::default(), socket, watch, || {});
                return response(StatusCode::OK, media_type, None, body);
            }
        }
        let streams = !asked.embeds && asked.received.body["stream"].as_bool().unwrap_or(self.wire == Wire::Ollama);
        let reply = reply.about(&asked.received.body, streams);
        let answer = Answer {
            reply: &reply,
            request: &asked.received.body,
            path: asked.path,
            model: name,
            number: asked.number,
        };
        let plan = if let Some(body) = &reply.verbatim {
            Plan::body(body.clone())
        } else if streams {
            Plan::streamed(self.wire, &answer)
        } else if let Ending::Error(_, message) = &reply.ending {
            return self.refuse(&Refusal::Failed(message.clone()), name, window, socket, watch);
        } else {
            let body = if asked.embeds {
                listing::embeddings(self.wire, name, &asked.received.body["input"])
            } else {
                self.wire.whole(&answer, reply.ending != Ending::WithoutDone)
            };
            Plan::whole(self.wire, &answer, &body)
        };
        let mut pace = Pace { first: reply.first_after + Duration::from_millis(reply.load_ms), between: reply.between };
        let (observed, loaded) = (self.observed.clone(), model.name.clone());
        let on_first = move || {
            observed.note(|log| {
                log.loaded.insert(loaded);
            });
        };
        if !streams || self.wire == Wire::Ollama {
            sleep(std::mem::take(&mut pace.first)).await;
        }
        let media_type = reply.media_type.unwrap_or(match (reply.wrong_content_type, streams) {
            (true, _) => "text/html; charset=utf-8",
            (_, true) => self.wire.stream_media_type(),
            (_, false) => "application/json",
        });
        let length = plan.length;
        let body = sending::body(plan, pace, socket, watch, on_first);
        response(StatusCode::OK, HeaderValue::from_static(media_type), length, body)
    }

    fn refuse(&self, refusal: &Refusal, model: &str, window: u64, socket: Reset, watch: Watch) -> Response<Body> {
        let (status, body) = match refusal {
            Refusal::Verbatim(status, body) => (*status, body.clone()),
            other => {
                let (status, body) = self.wire.refuse(other, model, window);
                (status, body.to_string())
            }
        };
        let status = StatusCode::from_u16(status).expect("a reply's HTTP status");
        let plan = Plan::body(body);
        let length = plan.length;
        let body = sending::body(plan, Pace::default(), socket, watch, || {});
        let mut response = response(status, HeaderValue::from_static("application/json"), length, body);
        if let Refusal::RateLimited(after) = refusal
            && let Some((name, value)) = after.header()
        {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

/// What a request is, as far as its path tells.
enum What {
    Answer,
    Embedding,
    Count,
    Other,
}

struct Asked<'a> {
    embeds: bool,
    path: &'a str,
    received: Received,
    number: usize,
}

impl RetryAfter {
    fn header(self) -> Option<(&'static str, HeaderValue)> {
        let text = |text: String| HeaderValue::try_from(text).expect("a header of digits or a date");
        match self {
            Self::Seconds(seconds) => Some(("retry-after", text(seconds.to_string()))),
            Self::Millis(ms) => Some(("retry-after-ms", text(ms.to_string()))),
            Self::Date(after) => {
                #[expect(clippy::disallowed_methods, reason = "a date on the wire is read against the machine's clock")]
                let now = SystemTime::now();
                Some(("retry-after", text(httpdate::fmt_http_date(now + after))))
            }
            Self::None => None,
        }
    }
}

impl Received {
    fn new(method: &Method, path: String, headers: &HeaderMap, bytes: Bytes) -> Self {
        let headers = headers
            .iter()
            .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
            .collect();
        let body = serde_json::from_slice(&bytes).unwrap_or_default();
        Self { method: method.to_string(), path, headers, body, bytes, at: Instant::now() }
    }
}

/// The same bytes under the same media type; what had no body gets its own method and path back.
fn echo(method: &Method, uri: &http::Uri, headers: &HeaderMap, bytes: Bytes) -> Response<Body> {
    if bytes.is_empty() {
        return whole(200, &json!({"method": method.as_str(), "path": uri.path(), "query": uri.query()}));
    }
    let binary = HeaderValue::from_static("application/octet-stream");
    let media_type = headers.get(header::CONTENT_TYPE).cloned().unwrap_or(binary);
    response(StatusCode::OK, media_type, Some(bytes.len()), full(bytes))
}

fn whole(status: u16, body: &Value) -> Response<Body> {
    let bytes = Bytes::from(body.to_string());
    let status = StatusCode::from_u16(status).expect("an HTTP status of ours");
    response(status, HeaderValue::from_static("application/json"), Some(bytes.len()), full(bytes))
}

fn empty(status: StatusCode) -> Response<Body> {
    response(status, HeaderValue::from_static("text/plain"), Some(0), full(Bytes::new()))
}

fn full(bytes: Bytes) -> Body {
    http_body_util::Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}

fn response(status: StatusCode, media_type: HeaderValue, length: Option<usize>, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, media_type);
    // What vendors' own clients show when something is wrong; each reads its own.
    for name in ["x-request-id", "request-id"] {
        response.headers_mut().insert(name, HeaderValue::from_static("req_faulty"));
    }
    if let Some(length) = length {
        response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    response
}
