//! The body of a streamed answer: steps in, the dialect's bytes out.

use super::head;
use crate::{
    Error,
    admission::{Ahead, Standing},
    dialect::{Dialect, Encoder, Envelope},
    run::Step,
};
use bytes::{Bytes, BytesMut};
use futures_util::{FutureExt, Stream, StreamExt, stream};
use http::HeaderMap;
use std::time::Duration;
use tokio::time::timeout;

/// Bytes that are gathered from frames which are there already before they are handed on together.
const TOGETHER: usize = 16 * 1024;

pub(super) struct Encoding<S> {
    encoder: Box<dyn Encoder>,
    steps: S,
    heartbeat: Duration,
    standing: Standing,
    /// The head went out before anything was said: a sign of life follows it at once.
    early: bool,
    over: bool,
}

impl<S: Stream<Item = Step> + Send + Unpin + 'static> Encoding<S> {
    pub(super) fn new(dialect: Dialect, envelope: Envelope, steps: S, heartbeat: Duration, standing: Standing) -> Self {
        Self { encoder: dialect.encoder(envelope), steps, heartbeat, standing, early: false, over: false }
    }

    /// `early`: the head goes out although nobody has said anything yet.
    pub(super) fn into_stream(mut self, early: bool) -> impl Stream<Item = Bytes> + Send + 'static {
        self.early = early;
        stream::unfold(self, |mut encoding| async move { Some((encoding.next().await?, encoding)) })
    }

    async fn next(&mut self) -> Option<Bytes> {
        let mut out = BytesMut::new();
        if std::mem::take(&mut self.early) {
            self.show_life(&mut out);
            return Some(out.freeze());
        }
        while !self.over {
            match timeout(self.heartbeat, self.steps.next()).await {
                Ok(step) => self.step(step, &mut out),
                Err(_) => self.show_life(&mut out),
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
            Some(Step::Frame(frame)) => self.encoder.frame(frame, out),
            Some(Step::Finished { frame, cost_microusd, lost }) => {
                self.over = true;
                if !lost.is_empty() {
                    self.encoder.notes(&[("x-devmesh-lost-fields", &lost.join(", "))], out);
                }
                if let Some(cost) = cost_microusd {
                    self.encoder.notes(&[("x-devmesh-cost-microusd", &cost.to_string())], out);
                }
                self.encoder.frame(frame, out);
            }
            Some(Step::Failed { error, .. }) => {
                self.over = true;
                self.encoder.fail(&error, out);
            }
            // It was not known yet when the head went out.
            Some(Step::Committed(committed)) => {
                let mut headers = HeaderMap::new();
                head::tell_of(&mut headers, &committed);
                let notes = headers.iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
                self.encoder.notes(&notes.collect::<Vec<_>>(), out);
            }
            Some(Step::Accepted { .. } | Step::Gave(_)) => {}
            // No run ends so; if one did, its answer would not be whole.
            None => {
                self.over = true;
                self.encoder.fail(&Error::Cancelled, out);
            }
        }
    }

    fn show_life(&mut self, out: &mut BytesMut) {
        if let Some(Ahead { position, eta }) = self.standing.now() {
            let eta = eta.map(|eta| format!("; eta={}", eta.as_secs())).unwrap_or_default();
            self.encoder.notes(&[("x-devmesh-queue", &format!("position={position}{eta}"))], out);
        }
        self.encoder.heartbeat(out);
    }
}
