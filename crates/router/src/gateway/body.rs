//! The body of a streamed answer: steps in, the dialect's bytes out.

use crate::{
    Error, Event,
    accounts::Price,
    dialect::{Dialect, Encoder, Envelope},
    run::{Committed, Step},
};
use bytes::{Bytes, BytesMut};
use futures_util::{FutureExt, Stream, StreamExt, stream};
use std::{fmt::Write, time::Duration};
use tokio::time::timeout;

/// Bytes that are gathered from frames which are there already before they are handed on together.
const TOGETHER: usize = 16 * 1024;

pub(super) struct Encoding<S> {
    dialect: Dialect,
    encoder: Box<dyn Encoder>,
    steps: S,
    heartbeat: Duration,
    price: Option<Price>,
    over: bool,
}

impl<S: Stream<Item = Step> + Send + Unpin + 'static> Encoding<S> {
    pub(super) fn new(dialect: Dialect, envelope: Envelope, steps: S, heartbeat: Duration) -> Self {
        Self { dialect, encoder: dialect.encoder(envelope), steps, heartbeat, price: None, over: false }
    }

    /// `committed` is what was said before the head went out, if anything was.
    pub(super) fn into_stream(mut self, committed: Option<Committed>) -> impl Stream<Item = Bytes> + Send + 'static {
        self.price = committed.and_then(|committed| committed.price);
        stream::unfold(self, |mut encoding| async move { Some((encoding.next().await?, encoding)) })
    }

    async fn next(&mut self) -> Option<Bytes> {
        let mut out = BytesMut::new();
        while !self.over {
            match timeout(self.heartbeat, self.steps.next()).await {
                Ok(step) => self.step(step, &mut out),
                Err(_) => self.encoder.heartbeat(&mut out),
            }
            while out.len() < TOGETHER && !self.over {
                // What is there already goes with it; what is not is waited for the next time.
                match self.steps.next().now_or_never() {
                    Some(step) => self.step(step, &mut out),
                    None => break,
                }
            }
            if !out.is_empty() {
                return Some(out.freeze());
            }
        }
        None
    }

    fn step(&mut self, step: Option<Step>, out: &mut BytesMut) {
        match step {
            Some(Step::Frame(frame)) => {
                let finish = frame.events.iter().find_map(|event| match event {
                    Event::Finished(finish) => Some(finish.usage),
                    _ => None,
                });
                if let Some(usage) = finish {
                    self.over = true;
                    if let Some(price) = self.price {
                        self.comment(&format!("x-devmesh-cost-microusd: {}", price.cost_microusd(&usage)), out);
                    }
                }
                self.encoder.frame(frame, out);
            }
            Some(Step::Failed { error, .. }) => {
                self.over = true;
                self.encoder.fail(&error, out);
            }
            // It was not known yet when the head went out.
            Some(Step::Committed(committed)) => {
                self.price = committed.price;
                self.comment(&format!("x-devmesh-provider: {}", committed.provider), out);
                self.comment(&format!("x-devmesh-model: {}", committed.model), out);
            }
            Some(Step::Accepted { .. } | Step::Gave(_)) => {}
            // No run ends so; if one did, its answer would not be whole.
            None => {
                self.over = true;
                self.encoder.fail(&Error::Cancelled, out);
            }
        }
    }

    /// Server-sent events have comments, which clients skip; lines of JSON have none.
    fn comment(&self, text: &str, out: &mut BytesMut) {
        if self.dialect.stream_media_type() == "text/event-stream" && !text.contains(['\n', '\r']) {
            // Writing to memory cannot fail.
            let _ = write!(out, ": {text}\n\n");
        }
    }
}
