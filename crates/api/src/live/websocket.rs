//! One WebSocket, many topics, each at the client's pace.
//!
//! ```text
//!   client ── subscribe / unsubscribe ──▶ session ──▶ a cursor reader per topic, at most 64
//!          ◀── subscribed, event …, closed | reset | heartbeat ──┘
//! ```
//! The session does one thing at a time. While a socket is full nothing more is read for it, neither from the log nor from
//! the client, so a slow client costs one read per topic and delays nobody: a read that has begun is a task, which comes to
//! its end and gives its turn at the store back whether the socket takes anything or not.
//!
//! A topic ends with `closed`, `reset` or `error`, never without a word, unless the client unsubscribed or the socket closes.

use super::{
    driven,
    topic::{self, Messages, Topic},
};
use crate::{
    app::App,
    auth::{Entry, Identity},
    json,
    problem::Failure,
    rate::{Limiter, Rate},
    server::Peer,
};
use axum::{
    extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade},
    response::Response,
};
use domain::{ErrorCode, RequestId};
use futures_util::{
    SinkExt, StreamExt,
    future::BoxFuture,
    stream::{FuturesUnordered, SplitSink, SplitStream},
};
use jobs::Caller;
use protocol::{ClientMessage, ServerMessage};
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Topics of one socket. A screen shows few; more is a program that wants the topic `jobs`.
const TOPICS: usize = 64;
/// One message of a client, in bytes. A subscription has about 150.
const MESSAGE_BYTES: usize = 64 * 1024;
/// Bytes read from a socket at once. The default would hold 128 KiB for every idle connection.
const READ_BUFFER: usize = 4 * 1024;
/// Text written to a socket before waiting until the client took it, in bytes.
const UNFLUSHED: usize = 64 * 1024;
/// Bound of the write buffer, in bytes. It holds [`UNFLUSHED`] and one message; only an event with a long task or answer
/// makes it larger than 256 KiB.
const WRITE_BUFFER: usize = 32 * 1024 * 1024;
/// Messages of a client, pings included: all 64 topics at once and some, then a few per second.
const CLIENT_MESSAGES: (u32, u32) = (16, 256);

/// RFC 6455 close codes.
const GOING_AWAY: u16 = 1001;
const UNSUPPORTED: u16 = 1003;
const POLICY: u16 = 1008;
const TOO_BIG: u16 = 1009;

pub fn accept(app: Arc<App>, token: Arc<Entry>, request: RequestId, peer: Peer, upgrade: WebSocketUpgrade) -> Response {
    let asker = Identity { caller: Caller { principal: token.principal, scope: token.scope, request }, token };
    upgrade
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(READ_BUFFER)
        .max_write_buffer_size(WRITE_BUFFER)
        .max_message_size(MESSAGE_BYTES)
        .max_frame_size(MESSAGE_BYTES)
        .on_upgrade(move |socket| async move {
            Session::new(app, asker).run(socket).await;
            // The place among the connections is given back only now.
            drop(peer);
        })
}

/// A topic that has been asked for its next messages.
type Asked = BoxFuture<'static, Option<Told>>;

struct Told {
    name: String,
    /// Absent when it cannot be asked again.
    topic: Option<Topic>,
    messages: Messages,
    unsubscribed: CancellationToken,
}

struct Session {
    app: Arc<App>,
    asker: Identity,
    /// By name; cancelling ends the topic.
    subscribed: HashMap<String, CancellationToken>,
    asked: FuturesUnordered<Asked>,
    messages: Limiter,
}

/// Why a socket is closed by this side.
struct Close(u16, &'static str);

impl Session {
    fn new(app: Arc<App>, asker: Identity) -> Self {
        let messages = Rate::new(CLIENT_MESSAGES.0, CLIENT_MESSAGES.1).limiter();
        Self { app, asker, subscribed: HashMap::new(), asked: FuturesUnordered::new(), messages }
    }

    async fn run(mut self, socket: WebSocket) {
        let (mut sink, mut source) = socket.split();
        let Some(Close(code, reason)) = self.converse(&mut sink, &mut source).await else { return };
        let close = Message::Close(Some(CloseFrame { code, reason: Utf8Bytes::from_static(reason) }));
        // The client gets a moment to take the close and answer it; whether it does changes nothing here.
        let farewell = async {
            if sink.send(close).await.is_ok() {
                while let Some(Ok(message)) = source.next().await {
                    if matches!(message, Message::Close(_)) {
                        break;
                    }
                }
            }
        };
        let _ = tokio::time::timeout(Duration::from_secs(1), farewell).await;
    }

    /// Until the client has gone (`None`) or has to go.
    async fn converse(
        &mut self,
        sink: &mut SplitSink<WebSocket, Message>,
        source: &mut SplitStream<WebSocket>,
    ) -> Option<Close> {
        let ping = self.app.options.limits.ping;
        let mut pings = tokio::time::interval_at(Instant::now() + ping, ping);
        let mut heard = Instant::now();
        let (revoked, stopping) = (self.asker.token.revoked.clone(), self.app.stopping.clone());
        loop {
            let answered = tokio::select! {
                biased;
                () = revoked.cancelled() => return Some(Close(POLICY, "the token was revoked or expired")),
                () = stopping.cancelled() => return Some(Close(GOING_AWAY, "the server stops")),
                message = source.next() => {
                    heard = Instant::now();
                    match self.hear(message).await {
                        Heard::Nothing => Ok(()),
                        Heard::Answer(answer) => sink.send(Message::text(answer)).await,
                        Heard::Gone => return None,
                        Heard::Close(close) => return Some(close),
                    }
                }
                _ = pings.tick() => {
                    if heard.elapsed() > 2 * ping + ping / 4 {
                        return Some(Close(GOING_AWAY, "no answer to two pings"));
                    }
                    sink.send(Message::Ping(bytes::Bytes::new())).await
                }
                Some(told) = self.asked.next(), if !self.asked.is_empty() => self.tell(sink, told).await,
            };
            if answered.is_err() {
                return None;
            }
        }
    }

    async fn hear(&mut self, message: Option<Result<Message, axum::Error>>) -> Heard {
        let message = match message {
            None | Some(Ok(Message::Close(_))) => return Heard::Gone,
            Some(Err(error)) if is_too_big(&error) => {
                return Heard::Close(Close(TOO_BIG, "a message has at most 64 KiB"));
            }
            Some(Err(_)) => return Heard::Gone,
            Some(Ok(message)) => message,
        };
        if self.messages.check().is_err() {
            return Heard::Close(Close(POLICY, "too many messages"));
        }
        match message {
            Message::Text(text) => self.obey(&text).await,
            Message::Binary(_) => Heard::Close(Close(UNSUPPORTED, "messages are JSON text")),
            Message::Ping(_) | Message::Pong(_) | Message::Close(_) => Heard::Nothing,
        }
    }

    async fn obey(&mut self, text: &str) -> Heard {
        match json::parse(text.as_bytes()) {
            Ok(ClientMessage::Subscribe { topic, after }) => match self.subscribe(&topic, after.as_deref()).await {
                Ok(subscribed) => Heard::Answer(topic::text(&subscribed)),
                Err(failure) => self.refuse(Some(topic), failure),
            },
            Ok(ClientMessage::Unsubscribe { topic }) => {
                if let Some(unsubscribed) = self.subscribed.remove(&topic) {
                    unsubscribed.cancel();
                }
                Heard::Nothing
            }
            Err(failure) => self.refuse(None, failure),
        }
    }

    fn refuse(&self, topic: Option<String>, failure: Failure) -> Heard {
        let topic = topic.map(|topic| topic.chars().take(64).collect());
        let problem = Box::new(failure.into_problem(self.asker.caller.request));
        Heard::Answer(topic::text(&ServerMessage::Error { topic, problem }))
    }

    async fn subscribe(&mut self, name: &str, after: Option<&str>) -> Result<ServerMessage, Failure> {
        if self.subscribed.contains_key(name) {
            return Err(Failure::field(
                "/topic",
                "This topic is subscribed already; unsubscribe first to begin elsewhere.",
            ));
        }
        if self.subscribed.len() >= TOPICS {
            return Err(Failure::new(
                ErrorCode::InvalidRequest,
                format!("One WebSocket follows at most {TOPICS} topics. Unsubscribe from one, or follow `jobs`."),
            ));
        }
        let (topic, head) = Topic::open(&self.app, &self.asker, name, after).await?;
        let unsubscribed = CancellationToken::new();
        self.subscribed.insert(name.to_owned(), unsubscribed.clone());
        self.ask(name.to_owned(), topic, unsubscribed);
        Ok(ServerMessage::Subscribed { topic: name.to_owned(), head })
    }

    /// Sends what a topic had to tell, then asks it again.
    async fn tell(&mut self, sink: &mut SplitSink<WebSocket, Message>, told: Option<Told>) -> Result<(), axum::Error> {
        let Some(Told { name, topic, messages, unsubscribed }) = told else { return Ok(()) };
        if unsubscribed.is_cancelled() {
            return Ok(());
        }
        let mut unflushed = 0;
        for text in messages.texts {
            unflushed += text.len();
            sink.feed(Message::text(text)).await?;
            if unflushed > UNFLUSHED {
                sink.flush().await?;
                unflushed = 0;
            }
        }
        sink.flush().await?;
        match topic {
            Some(topic) if !messages.last => self.ask(name, topic, unsubscribed),
            _ => drop(self.subscribed.remove(&name)),
        }
        Ok(())
    }

    fn ask(&mut self, name: String, mut topic: Topic, unsubscribed: CancellationToken) {
        let (app, request) = (self.app.clone(), self.asker.caller.request);
        self.asked.push(Box::pin(async move {
            let asked = name.clone();
            let reading = driven(&app, async move { (topic.next(&asked).await, topic) });
            let (messages, topic) = match unsubscribed.run_until_cancelled(reading).await? {
                Ok((messages, topic)) => (messages, Some(topic)),
                Err(failure) => (Messages::failed(failure, &name, request), None),
            };
            Some(Told { name, topic, messages, unsubscribed })
        }));
    }
}

enum Heard {
    Nothing,
    Answer(String),
    Gone,
    Close(Close),
}

fn is_too_big(error: &axum::Error) -> bool {
    // The library's error type is not among axum's public ones, so its text has to do.
    std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source())
        .any(|error| error.to_string().contains("too long"))
}
