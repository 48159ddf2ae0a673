//! A chat completion's stream: the provider's chunks as they are, or our own (see [`openai::passage`]).

use crate::{
    Error, Event, Frame,
    answer::{Finish, Usage},
    dialect::{Encoder, Envelope},
    wire::openai::{self, passage::Passage, sse},
};
use bytes::BytesMut;
use serde::Serialize;
use serde_json::json;

pub(crate) struct ChatEncoder {
    envelope: Envelope,
    passage: Passage,
    /// Every chunk's beginning, up to its choices, once one of ours was written.
    head: Option<Vec<u8>>,
    /// The indexes of the tool calls that began.
    calls: Vec<usize>,
}

#[derive(Default, Serialize)]
struct Delta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    /// `Some(None)` is written as `null`.
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<Option<&'a str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_calls: Option<[CallDelta<'a>; 1]>,
}

#[derive(Serialize)]
struct CallDelta<'a> {
    index: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    function: FunctionDelta<'a>,
}

#[derive(Serialize)]
struct FunctionDelta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    arguments: &'a str,
}

impl ChatEncoder {
    pub(crate) fn new(envelope: Envelope) -> Self {
        let passage = Passage::new(format!("chatcmpl-{}", envelope.id));
        Self { envelope, passage, head: None, calls: Vec::new() }
    }

    fn write(&mut self, event: &Event, out: &mut BytesMut) {
        match event {
            Event::Text(text) if !text.is_empty() => {
                self.delta(Delta { content: Some(Some(text)), ..Delta::default() }, out);
            }
            Event::Thinking(text) if !text.is_empty() => {
                self.delta(Delta { reasoning_content: Some(text), ..Delta::default() }, out);
            }
            Event::ToolCall { index, id, name } => {
                self.calls.push(*index);
                let function = FunctionDelta { name: Some(name), arguments: "" };
                let call = CallDelta { index: *index, id: Some(id), kind: Some("function"), function };
                self.delta(Delta { tool_calls: Some([call]), ..Delta::default() }, out);
            }
            Event::ToolArguments { index, fragment } if !fragment.is_empty() && self.calls.contains(index) => {
                let function = FunctionDelta { name: None, arguments: fragment };
                let call = CallDelta { index: *index, id: None, kind: None, function };
                self.delta(Delta { tool_calls: Some([call]), ..Delta::default() }, out);
            }
            Event::Finished(finish) => self.finish(finish, out),
            // Seals of thoughts have no place in this dialect, and what only its vendor understands passes in its own bytes.
            Event::Text(_)
            | Event::Opaque(_)
            | Event::Thinking(_)
            | Event::ToolArguments { .. }
            | Event::Started { .. }
            | Event::ThinkingSignature(_)
            | Event::RedactedThinking(_) => {}
        }
    }

    /// A chunk with this delta; the first one of all is preceded by the role, as clients expect it.
    fn delta(&mut self, delta: Delta<'_>, out: &mut BytesMut) {
        self.passage.speak();
        self.name_role(if delta.tool_calls.is_some() { None } else { Some("") }, out);
        self.chunk(&delta, None, out);
    }

    fn name_role(&mut self, content: Option<&str>, out: &mut BytesMut) {
        // Once, because clients add up what chunks say.
        if !self.passage.begun {
            self.passage.begun = true;
            self.chunk(&Delta { role: Some("assistant"), content: Some(content), ..Delta::default() }, None, out);
        }
    }

    fn chunk(&mut self, delta: &Delta<'_>, finish_reason: Option<&str>, out: &mut BytesMut) {
        out.extend_from_slice(self.head());
        out.extend_from_slice(b"[{\"index\":0,\"delta\":");
        sse::json(out, delta);
        out.extend_from_slice(b",\"logprobs\":null,\"finish_reason\":");
        sse::json(out, &finish_reason);
        out.extend_from_slice(b"}]");
        if self.envelope.wants_usage {
            out.extend_from_slice(b",\"usage\":null");
        }
        out.extend_from_slice(b"}\n\n");
    }

    fn head(&mut self) -> &[u8] {
        let Self { envelope, passage, head, .. } = self;
        head.get_or_insert_with(|| {
            let mut made = BytesMut::new();
            sse::data(
                &mut made,
                &json!({"id": passage.id, "object": "chat.completion.chunk", "created": envelope.created_s, "model": envelope.model}),
            );
            let open = made.strip_suffix(b"}\n\n").unwrap_or(&made);
            [open, b",\"choices\":"].concat()
        })
    }

    fn finish(&mut self, finish: &Finish, out: &mut BytesMut) {
        if !self.passage.finished {
            let reason = openai::finish_reason(finish.reason, !self.calls.is_empty());
            self.name_role(Some(""), out);
            self.chunk(&Delta::default(), Some(reason), out);
        }
        // Nobody counted: no counts are better than wrong ones.
        if self.envelope.wants_usage && !self.passage.counted && finish.usage != Usage::default() {
            self.usage(&finish.usage, out);
        }
        out.extend_from_slice(sse::DONE);
        self.passage.end();
    }

    fn usage(&mut self, usage: &Usage, out: &mut BytesMut) {
        out.extend_from_slice(self.head());
        out.extend_from_slice(b"[],\"usage\":");
        sse::json(out, &openai::usage(usage));
        out.extend_from_slice(b"}\n\n");
    }
}

impl Encoder for ChatEncoder {
    fn frame(&mut self, frame: Frame, out: &mut BytesMut) {
        let passed = self.passage.pass(&frame, out);
        for event in &frame.events {
            match event {
                _ if self.passage.ended() => {}
                Event::ToolCall { index, .. } if passed => self.calls.push(*index),
                Event::Finished(_) => self.write(event, out),
                _ if passed => {}
                event => self.write(event, out),
            }
        }
    }

    fn fail(&mut self, error: &Error, out: &mut BytesMut) {
        self.passage.fail(error, out);
    }

    fn heartbeat(&mut self, out: &mut BytesMut) {
        self.passage.heartbeat(out);
    }
}
