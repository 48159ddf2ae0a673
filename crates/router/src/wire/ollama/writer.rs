//! A streamed answer: one JSON object per line.
//!
//! ```text
//!   frame with an Ollama's own line ──▶ that line          other frames ──▶ one line per text, thought, whole tool call
//!   Finished ──▶ the one line with `done: true`            an error      ──▶ {"error": …}, and nothing after it
//! ```
//! Calls are whole here, and may come in pieces that take turns. What comes after a call that is not whole yet waits, so that
//! everything keeps its order.

use super::{
    answer::{self, Said, Shape, Took},
    error,
};
use crate::{
    Error, Event, Frame,
    dialect::{Encoder, Envelope},
    wire::lines::Braces,
};
use bytes::{BufMut, BytesMut};
use domain::Timestamp;
use serde_json::{Map, Value, json};
use std::{collections::VecDeque, time::Duration};
use tokio::time::Instant;

pub(crate) struct Lines {
    shape: Shape,
    envelope: Envelope,
    began: Instant,
    first: Option<Duration>,
    /// A tool call whose arguments are still coming, and what came after it.
    waiting: VecDeque<Piece>,
    /// An Ollama's own lines went out.
    passes: bool,
    ended: bool,
}

enum Piece {
    Text(String),
    Thinking(String),
    Call(Call),
}

struct Call {
    index: usize,
    id: String,
    name: String,
    arguments: String,
    braces: Braces,
    is_whole: bool,
}

impl Lines {
    pub(crate) fn new(shape: Shape, envelope: Envelope) -> Self {
        Self {
            shape,
            envelope,
            began: Instant::now(),
            first: None,
            waiting: VecDeque::new(),
            passes: false,
            ended: false,
        }
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

    fn add(&mut self, piece: Piece, out: &mut BytesMut) {
        match (self.waiting.back_mut(), piece) {
            (Some(Piece::Text(text)), Piece::Text(more)) => text.push_str(&more),
            (Some(Piece::Thinking(text)), Piece::Thinking(more)) => text.push_str(&more),
            (_, piece) => self.waiting.push_back(piece),
        }
        self.say_what_is_whole(out);
    }

    fn say_what_is_whole(&mut self, out: &mut BytesMut) {
        while let Some(piece) =
            self.waiting.pop_front_if(|piece| !matches!(piece, Piece::Call(Call { is_whole: false, .. })))
        {
            self.say_piece(piece, out);
        }
    }

    fn say_piece(&mut self, piece: Piece, out: &mut BytesMut) {
        let said = match piece {
            Piece::Text(text) => Said { text, ..Said::default() },
            Piece::Thinking(thinking) => Said { thinking, ..Said::default() },
            Piece::Call(Call { index, id, name, arguments, .. }) => {
                Said { tool_calls: vec![answer::tool_call(index, &id, &name, &arguments)], ..Said::default() }
            }
        };
        self.say(said, out);
    }

    /// What waits behind calls of which only a part came.
    fn say_without_parts(&mut self, out: &mut BytesMut) {
        self.waiting.retain(|piece| !matches!(piece, Piece::Call(Call { is_whole: false, .. })));
        self.say_all(out);
    }

    /// Nothing more comes: a call has all the arguments it will ever have.
    fn say_all(&mut self, out: &mut BytesMut) {
        for piece in std::mem::take(&mut self.waiting) {
            self.say_piece(piece, out);
        }
    }

    fn more_arguments(&mut self, index: usize, fragment: &str, out: &mut BytesMut) {
        let call = self.waiting.iter_mut().find_map(|piece| match piece {
            Piece::Call(call) if call.index == index => Some(call),
            _ => None,
        });
        if let Some(call) = call {
            call.arguments.push_str(fragment);
            call.is_whole = call.braces.close_with(fragment.as_bytes())
                && !call.name.is_empty()
                && call.arguments.trim_start().starts_with('{')
                && serde_json::from_str::<serde::de::IgnoredAny>(&call.arguments).is_ok();
            self.say_what_is_whole(out);
        }
    }

    fn has_nameless_call(&self) -> bool {
        self.waiting.iter().any(|piece| matches!(piece, Piece::Call(call) if call.name.is_empty()))
    }

    fn event(&mut self, event: Event, out: &mut BytesMut) {
        match event {
            Event::Text(text) if !text.is_empty() => self.add(Piece::Text(text), out),
            Event::Thinking(thinking) if !thinking.is_empty() => self.add(Piece::Thinking(thinking), out),
            Event::ToolCall { index, id, name } => {
                let (arguments, braces) = (String::new(), Braces::default());
                self.add(Piece::Call(Call { index, id, name, arguments, braces, is_whole: false }), out);
            }
            Event::ToolArguments { index, fragment } => self.more_arguments(index, &fragment, out),
            Event::Finished(finish) => {
                self.ended = true;
                if self.has_nameless_call() {
                    // Nobody can do it, and without it the answer is not whole.
                    self.say_without_parts(out);
                    write(
                        &json!({"error": "the model's answer has a tool call without a name. Ask again, or use another model."}),
                        out,
                    );
                    return;
                }
                self.say_all(out);
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
        // Bytes of another dialect are none for this reader; what could not be read is still an Ollama's.
        let is_opaque = frame.events.iter().any(|event| matches!(event, Event::Opaque(_)));
        match frame.raw.filter(|raw| (is_opaque || raw.starts_with(b"{")) && raw.ends_with(b"\n")) {
            Some(raw) => {
                self.say_all(out);
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
            self.say_without_parts(out);
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
