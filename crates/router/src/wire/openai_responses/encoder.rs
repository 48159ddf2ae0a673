//! A response's stream.
//!
//! ```text
//!   created, in_progress ─▶ ( item added ─▶ ( part added ─▶ delta* ─▶ part done )* ─▶ item done )* ─▶ one terminal event
//! ```
//! The provider's own events pass until the first thing that has no bytes. From there on everything is written here: under
//! the same ids, in the items that are open, and with the sequence numbers that follow. Clients match all three.

mod seen;

use super::{
    items::{self, End, Status},
    seen::{Kind, What},
};
use crate::{
    Error, Event, Frame,
    answer::{Finish, Mark},
    conversation::Called,
    dialect::{Encoder, Envelope},
    wire::openai::sse,
};
use bytes::{Bytes, BytesMut};
use serde::Serialize;
use serde_json::{Value, json};

pub(crate) struct ResponsesEncoder {
    envelope: Envelope,
    /// Of the response, as the caller has it from its first event.
    id: String,
    /// The next event's number.
    sequence: u64,
    /// The response was announced.
    begun: bool,
    own_words: bool,
    ended: bool,
    /// The next item's place in the output.
    next_output: usize,
    /// Items that are over, with their places. The terminal event repeats them all, so they are kept until then.
    done: Vec<(usize, Done)>,
    /// The text or reasoning that is being written.
    current: Option<Item>,
    /// Every call so far. Providers may write several at once, so each stays open until its arguments are whole.
    calls: Vec<Call>,
}

/// An item that is over.
enum Done {
    Ours(Value),
    /// Its JSON, as the provider wrote it.
    Theirs(Bytes),
}

struct Item {
    output_index: usize,
    id: String,
    kind: Kind,
    parts: Vec<String>,
    /// The last part may still grow.
    part_open: bool,
    /// Encrypted content, or the signature that stands for it.
    sealed: Option<String>,
}

struct Call {
    /// Among the answer's calls.
    index: usize,
    output_index: usize,
    id: String,
    call_id: String,
    called: Called,
    arguments: String,
    open: bool,
}

#[derive(Serialize)]
struct Sent<'a, T> {
    #[serde(rename = "type")]
    kind: &'a str,
    sequence_number: u64,
    #[serde(flatten)]
    fields: T,
}

#[derive(Serialize)]
struct TextDelta<'a> {
    item_id: &'a str,
    output_index: usize,
    content_index: usize,
    delta: &'a str,
    logprobs: [(); 0],
}

impl ResponsesEncoder {
    pub(crate) fn new(envelope: Envelope) -> Self {
        Self {
            id: items::response_id(&envelope),
            envelope,
            sequence: 0,
            begun: false,
            own_words: false,
            ended: false,
            next_output: 0,
            done: Vec::new(),
            current: None,
            calls: Vec::new(),
        }
    }

    fn write(&mut self, event: &Event, out: &mut BytesMut) {
        match event {
            Event::Text(text) if !text.is_empty() => self.text(text, out),
            Event::Thinking(text) if !text.is_empty() => self.thinking(text, out),
            Event::ThinkingSignature(seal) => {
                if self.current.as_ref().is_none_or(|item| item.kind != Kind::Reasoning) {
                    self.open(Kind::Reasoning, out);
                    self.open_part(out);
                }
                if let Some(item) = &mut self.current {
                    item.sealed.get_or_insert_default().push_str(seal);
                }
            }
            Event::RedactedThinking(data) => {
                self.open(Kind::Reasoning, out);
                if let Some(item) = &mut self.current {
                    item.sealed = Some(data.clone());
                }
                self.close_current(Status::Completed, out);
            }
            Event::ToolCall { index, id, name } => self.call(*index, id, name, out),
            Event::ToolArguments { index, fragment } if !fragment.is_empty() => self.arguments(*index, fragment, out),
            Event::Finished(finish) => self.finish(finish, out),
            // It passes in the vendor's own bytes, or not at all.
            Event::Opaque(_)
            | Event::Text(_)
            | Event::Thinking(_)
            | Event::ToolArguments { .. }
            | Event::Started { .. } => {}
        }
    }

    fn text(&mut self, text: &str, out: &mut BytesMut) {
        if self.current.as_ref().is_none_or(|item| item.kind != Kind::Message) {
            self.open(Kind::Message, out);
        }
        self.open_part(out);
        let Some(item) = &mut self.current else { return };
        let content_index = item.parts.len().saturating_sub(1);
        if let Some(part) = item.parts.last_mut() {
            part.push_str(text);
        }
        let delta =
            TextDelta { item_id: &item.id, output_index: item.output_index, content_index, delta: text, logprobs: [] };
        send(&mut self.sequence, "response.output_text.delta", delta, out);
    }

    fn thinking(&mut self, text: &str, out: &mut BytesMut) {
        // A seal ends the thought it seals.
        if self.current.as_ref().is_none_or(|item| item.kind != Kind::Reasoning || item.sealed.is_some()) {
            self.open(Kind::Reasoning, out);
        }
        self.open_part(out);
        let Some(item) = &mut self.current else { return };
        let summary_index = item.parts.len().saturating_sub(1);
        if let Some(part) = item.parts.last_mut() {
            part.push_str(text);
        }
        let fields = json!({
            "item_id": item.id, "output_index": item.output_index, "summary_index": summary_index, "delta": text,
        });
        send(&mut self.sequence, "response.reasoning_summary_text.delta", fields, out);
    }

    fn call(&mut self, index: usize, call_id: &str, name: &str, out: &mut BytesMut) {
        self.begin(out);
        self.close_current(Status::Completed, out);
        self.close_whole_calls(out);
        let output_index = self.take_place();
        let id = items::call_id(&self.envelope, output_index);
        let called = self.called(name);
        let id = if called.is_custom { items::custom_call_id(&self.envelope, output_index) } else { id };
        let item = items::call(&id, call_id, &called, "", Status::InProgress);
        let fields = json!({"output_index": output_index, "item": item});
        send(&mut self.sequence, "response.output_item.added", fields, out);
        let call_id = call_id.to_owned();
        self.calls.push(Call { index, output_index, id, call_id, called, arguments: String::new(), open: true });
    }

    fn arguments(&mut self, index: usize, fragment: &str, out: &mut BytesMut) {
        let Some(call) = self.calls.iter_mut().rev().find(|call| call.index == index && call.open) else { return };
        self.own_words = true;
        call.arguments.push_str(fragment);
        if call.called.is_custom {
            // Its input stands inside of this and is told when it is whole.
            return;
        }
        let fields = json!({"item_id": call.id, "output_index": call.output_index, "delta": fragment});
        send(&mut self.sequence, "response.function_call_arguments.delta", fields, out);
    }

    /// Whether the bytes went out as they are. What is not of this dialect must not pass: it could not be gone on from.
    fn pass(&mut self, raw: &[u8], events: &[Event], mark: Option<Mark>, out: &mut BytesMut) -> bool {
        let is_opaque = events.iter().any(|event| matches!(event, Event::Opaque(_)));
        match mark {
            Some(Mark::Responses(seen)) => {
                if seen.what == What::Body {
                    return false;
                }
                self.see(*seen, events);
            }
            // Nobody goes on with an answer that has something of this kind.
            _ if is_opaque => self.sequence = self.sequence.saturating_add(1),
            _ if raw.starts_with(b":") => {}
            _ => return false,
        }
        if !raw.is_empty() {
            sse::pass(out, raw);
        }
        true
    }

    /// As the caller declared the tool.
    fn called(&self, name: &str) -> Called {
        items::called(&self.envelope, name)
    }

    /// Announces the response, once.
    fn begin(&mut self, out: &mut BytesMut) {
        self.own_words = true;
        if !self.begun {
            self.begun = true;
            let response = items::response(&self.id, &self.envelope, Vec::new(), &End::Open);
            for kind in ["response.created", "response.in_progress"] {
                send(&mut self.sequence, kind, json!({"response": &response}), out);
            }
        }
    }

    /// Ends what is being written and begins the next item.
    fn open(&mut self, kind: Kind, out: &mut BytesMut) {
        self.begin(out);
        self.close_current(Status::Completed, out);
        self.close_whole_calls(out);
        let output_index = self.take_place();
        let id = match kind {
            Kind::Message | Kind::Call | Kind::Foreign => items::message_id(&self.envelope, output_index),
            Kind::Reasoning => items::reasoning_id(&self.envelope, output_index),
        };
        let item = Item { output_index, id, kind, parts: Vec::new(), part_open: false, sealed: None };
        let fields = json!({"output_index": output_index, "item": item.json(Status::InProgress)});
        send(&mut self.sequence, "response.output_item.added", fields, out);
        self.current = Some(item);
    }

    fn open_part(&mut self, out: &mut BytesMut) {
        self.own_words = true;
        let Some(item) = self.current.as_mut().filter(|item| !item.part_open) else { return };
        item.part_open = true;
        item.parts.push(String::new());
        let (kind, fields) = item.part("added", "");
        send(&mut self.sequence, kind, fields, out);
    }

    fn close_current(&mut self, status: Status, out: &mut BytesMut) {
        let Some(mut item) = self.current.take() else { return };
        if item.kind == Kind::Foreign {
            // Its provider began it and nobody else can end it.
            return;
        }
        if item.part_open {
            item.part_open = false;
            let text = item.parts.last().cloned().unwrap_or_default();
            let (kind, mut fields) = item.place();
            fields["text"] = json!(text);
            if item.kind == Kind::Message {
                fields["logprobs"] = json!([]);
            }
            send(&mut self.sequence, kind, fields, out);
            let (kind, fields) = item.part("done", &text);
            send(&mut self.sequence, kind, fields, out);
        }
        let item = (item.output_index, item.json(status));
        let fields = json!({"output_index": item.0, "item": &item.1});
        send(&mut self.sequence, "response.output_item.done", fields, out);
        self.done.push((item.0, Done::Ours(item.1)));
    }

    fn close_whole_calls(&mut self, out: &mut BytesMut) {
        let Self { calls, sequence, done, .. } = self;
        for call in calls.iter_mut().filter(|call| call.open && items::is_whole(&call.arguments)) {
            call.close(Status::Completed, sequence, done, out);
        }
    }

    fn finish(&mut self, finish: &Finish, out: &mut BytesMut) {
        self.begin(out);
        let status = Status::of(finish.reason);
        self.close_current(status, out);
        let Self { calls, sequence, done, .. } = self;
        for call in calls.iter_mut().filter(|call| call.open) {
            call.close(items::call_status(&call.arguments, status), sequence, done, out);
        }
        let kind = if status == Status::Completed { "response.completed" } else { "response.incomplete" };
        self.end(kind, &End::Finished(finish.reason, &finish.usage), out);
    }

    fn end(&mut self, kind: &str, end: &End<'_>, out: &mut BytesMut) {
        self.ended = true;
        self.done.sort_by_key(|(output_index, _)| *output_index);
        let output = self.done.drain(..).filter_map(|(_, item)| match item {
            Done::Ours(item) => Some(item),
            Done::Theirs(json) => serde_json::from_slice(&json).ok(),
        });
        let output = output.collect();
        let response = items::response(&self.id, &self.envelope, output, end);
        send(&mut self.sequence, kind, json!({"response": response}), out);
    }

    fn take_place(&mut self) -> usize {
        let place = self.next_output;
        self.next_output = place.saturating_add(1);
        place
    }
}

impl Item {
    fn json(&self, status: Status) -> Value {
        match self.kind {
            Kind::Message | Kind::Call | Kind::Foreign => items::message(&self.id, &self.parts, status),
            Kind::Reasoning => items::reasoning(&self.id, &self.parts, self.sealed.as_deref()),
        }
    }

    /// The last part's place, and the event that says that its text is over.
    fn place(&self) -> (&'static str, Value) {
        let last = self.parts.len().saturating_sub(1);
        match self.kind {
            Kind::Message | Kind::Call | Kind::Foreign => (
                "response.output_text.done",
                json!({"item_id": self.id, "output_index": self.output_index, "content_index": last}),
            ),
            Kind::Reasoning => (
                "response.reasoning_summary_text.done",
                json!({"item_id": self.id, "output_index": self.output_index, "summary_index": last}),
            ),
        }
    }

    /// The event that the last part is added or done.
    fn part(&self, what: &str, text: &str) -> (&'static str, Value) {
        let (_, mut fields) = self.place();
        let is_message = self.kind != Kind::Reasoning;
        fields["part"] = if is_message { items::text_part(text) } else { items::summary_part(text) };
        let kind = match (is_message, what) {
            (true, "added") => "response.content_part.added",
            (true, _) => "response.content_part.done",
            (false, "added") => "response.reasoning_summary_part.added",
            (false, _) => "response.reasoning_summary_part.done",
        };
        (kind, fields)
    }
}

impl Call {
    fn json(&self, status: Status) -> Value {
        items::call(&self.id, &self.call_id, &self.called, &self.arguments, status)
    }

    fn close(&mut self, status: Status, sequence: &mut u64, done: &mut Vec<(usize, Done)>, out: &mut BytesMut) {
        self.open = false;
        let (item_id, output_index) = (&self.id, self.output_index);
        if self.called.is_custom {
            let input = Called::input(&self.arguments);
            let fields = json!({"item_id": item_id, "output_index": output_index, "delta": input});
            send(sequence, "response.custom_tool_call_input.delta", fields, out);
            let fields = json!({"item_id": item_id, "output_index": output_index, "input": input});
            send(sequence, "response.custom_tool_call_input.done", fields, out);
        } else {
            let (name, arguments) = (&self.called.name, &self.arguments);
            let fields =
                json!({"item_id": item_id, "output_index": output_index, "name": name, "arguments": arguments});
            send(sequence, "response.function_call_arguments.done", fields, out);
        }
        let item = self.json(status);
        let fields = json!({"output_index": self.output_index, "item": &item});
        send(sequence, "response.output_item.done", fields, out);
        done.push((self.output_index, Done::Ours(item)));
    }
}

fn send(sequence: &mut u64, kind: &str, fields: impl Serialize, out: &mut BytesMut) {
    out.extend_from_slice(b"event: ");
    out.extend_from_slice(kind.as_bytes());
    out.extend_from_slice(b"\n");
    sse::data(out, &Sent { kind, sequence_number: *sequence, fields });
    *sequence = sequence.saturating_add(1);
}

impl Encoder for ResponsesEncoder {
    fn frame(&mut self, frame: Frame, out: &mut BytesMut) {
        if self.ended {
            return;
        }
        let Frame { raw, events, mark } = frame;
        let passed = match raw.filter(|_| !self.own_words) {
            Some(raw) => self.pass(&raw, &events, mark, out),
            None => false,
        };
        for event in &events {
            if !self.ended && (!passed || matches!(event, Event::Finished(_))) {
                self.write(event, out);
            }
        }
    }

    fn fail(&mut self, error: &Error, out: &mut BytesMut) {
        if self.ended {
            return;
        }
        self.begin(out);
        // What was being written is shown as far as it came; no event says that it is done, because it is not.
        if let Some(item) = self.current.take().filter(|item| item.kind != Kind::Foreign) {
            self.done.push((item.output_index, Done::Ours(item.json(Status::Incomplete))));
        }
        for call in self.calls.iter().filter(|call| call.open) {
            let item = call.json(items::call_status(&call.arguments, Status::Incomplete));
            self.done.push((call.output_index, Done::Ours(item)));
        }
        self.end("response.failed", &End::Failed(error), out);
    }

    fn heartbeat(&mut self, out: &mut BytesMut) {
        if !self.ended {
            out.extend_from_slice(sse::HEARTBEAT);
        }
    }
}
