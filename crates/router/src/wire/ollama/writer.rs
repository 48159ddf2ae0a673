//! A streamed answer: one JSON object per line.
//!
//! ```text
//!   frame with an Ollama's own line ──▶ that line          other frames ──▶ one line per text, thought, whole tool call
//!   Finished ──▶ the one line with `done: true`            an error      ──▶ {"error": …}, and nothing after it
//! ```

use super::{
    answer::{self, Said, Shape, Took},
    error,
};
use crate::{
    Error, Event, Frame,
    dialect::{Encoder, Envelope},
};
use bytes::{BufMut, BytesMut};
use domain::Timestamp;
use serde_json::{Map, Value};
use std::time::Duration;
use tokio::time::Instant;

pub(crate) struct Lines {
    shape: Shape,
    envelope: Envelope,
    began: Instant,
    first: Option<Duration>,
    /// A tool call whose arguments are still coming: calls are whole here.
    call: Option<Call>,
    /// An Ollama's own lines went out.
    passes: bool,
    ended: bool,
}

struct Call {
    index: usize,
    id: String,
    name: String,
    arguments: String,
}

impl Lines {
    pub(crate) fn new(shape: Shape, envelope: Envelope) -> Self {
        Self { shape, envelope, began: Instant::now(), first: None, call: None, passes: false, ended: false }
    }

    fn object(&self, said: Said) -> Map<String, Value> {
        let passed_ms = i64::try_from(self.began.elapsed().as_millis()).unwrap_or(i64::MAX);
        let began = Timestamp::from_millis(self.envelope.created_s.saturating_mul(1000));
        answer::object(self.shape, &self.envelope.model, began.plus_millis(passed_ms), said)
    }

    fn say(&mut self, said: Said, out: &mut BytesMut) {
        let object = self.object(said);
        write(&Value::Object(object), out);
    }

    fn end_call(&mut self, out: &mut BytesMut) {
        if let Some(Call { index, id, name, arguments }) = self.call.take() {
            let call = answer::tool_call(index, &id, &name, &arguments);
            self.say(Said { tool_calls: vec![call], ..Said::default() }, out);
        }
    }

    fn event(&mut self, event: Event, out: &mut BytesMut) {
        if let Event::ToolArguments { index, fragment } = event {
            if let Some(call) = self.call.as_mut().filter(|call| call.index == index) {
                call.arguments.push_str(&fragment);
            }
            return;
        }
        self.end_call(out);
        match event {
            Event::Text(text) if !text.is_empty() => self.say(Said { text, ..Said::default() }, out),
            Event::Thinking(thinking) if !thinking.is_empty() => {
                self.say(Said { thinking, ..Said::default() }, out);
            }
            Event::ToolCall { index, id, name } => {
                self.call = Some(Call { index, id, name, arguments: String::new() });
            }
            Event::Finished(finish) => {
                self.ended = true;
                let total = self.began.elapsed();
                let took = Took { total, first: self.first.unwrap_or(total) };
                let mut object = self.object(Said::default());
                answer::finish(&mut object, &finish, took);
                write(&Value::Object(object), out);
            }
            // Neither signatures nor what is hidden have a place here.
            _ => {}
        }
    }
}

impl Encoder for Lines {
    fn frame(&mut self, frame: Frame, out: &mut BytesMut) {
        if self.ended {
            return;
        }
        if self.first.is_none() && frame.events.iter().any(Event::is_content) {
            self.first = Some(self.began.elapsed());
        }
        // Bytes of another dialect are none for this reader.
        match frame.raw.filter(|raw| raw.starts_with(b"{") && raw.ends_with(b"\n")) {
            Some(raw) => {
                self.end_call(out);
                out.extend_from_slice(&raw);
                self.passes = true;
                self.ended = frame.events.iter().any(|event| matches!(event, Event::Finished(_)));
            }
            None => {
                for event in frame.events {
                    self.event(event, out);
                }
            }
        }
    }

    fn fail(&mut self, failure: &Error, out: &mut BytesMut) {
        if !self.ended {
            self.ended = true;
            write(&error::body(failure), out);
        }
    }

    /// Every line must be an object with an answer in it: one without a word adds nothing to it.
    fn heartbeat(&mut self, out: &mut BytesMut) {
        if !self.ended {
            self.say(Said::default(), out);
        }
    }

    /// There are no comments: a line without a word has them as members, which clients do not read. To lines that pass as
    /// they are none is added.
    fn notes(&mut self, notes: &[(&str, &str)], out: &mut BytesMut) {
        if !self.ended && !self.passes {
            let mut object = self.object(Said::default());
            object.extend(notes.iter().map(|(name, text)| ((*name).to_owned(), Value::from(*text))));
            write(&Value::Object(object), out);
        }
    }
}

fn write(object: &Value, out: &mut BytesMut) {
    out.extend_from_slice(object.to_string().as_bytes());
    out.put_u8(b'\n');
}
