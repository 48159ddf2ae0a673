//! One answer, and what goes wrong with it.

use protocol::FinishReason;
use serde_json::Value;
use std::time::Duration;

/// What the server does with one request. Made by a constructor, refined by methods; faults that end an answer exclude each
/// other, and the last one set holds.
///
/// Faults count tokens. A token is whatever carries a piece of the answer: a word of text or thinking, the opening of a
/// tool call, a fragment of its arguments. (An Ollama tool call is one token as a whole.) Where the request did not ask for
/// a stream, a fault inside the answer comes in the middle of its one body.
#[derive(Clone, Debug, Default)]
pub struct Reply {
    pub(super) thinking: String,
    pub(super) text: String,
    pub(super) tools: Vec<(String, Value)>,
    pub(super) finish: Option<FinishReason>,
    pub(super) usage: Option<(u64, u64)>,
    pub(super) first_after: Duration,
    pub(super) between: Duration,
    pub(super) load_ms: u64,
    pub(super) head: Head,
    pub(super) once: Option<u16>,
    pub(super) garbage: Option<usize>,
    pub(super) only_garbage: bool,
    pub(super) metadata_only: bool,
    pub(super) ending: Ending,
    pub(super) wrong_content_type: bool,
    pub(super) retry_after: Option<RetryAfter>,
    pub(super) verbatim: Option<String>,
    pub(super) media_type: Option<&'static str>,
}

/// Stands between letters that come one by one, and is no part of the text.
pub(super) const BETWEEN: char = '\u{1F}';

/// What the client gets before any of the answer.
#[derive(Clone, Debug, Default)]
pub(super) enum Head {
    #[default]
    Success,
    Refusal(Refusal),
    /// The connection is accepted and the request read; nothing comes back.
    Never,
    /// Success, and then nothing.
    Alone,
}

/// A status that is no success.
#[derive(Clone, Debug)]
pub(super) enum Refusal {
    /// As the test wrote it.
    Verbatim(u16, String),
    /// In the vendor's own shape and words.
    Status(u16),
    RateLimited(RetryAfter),
    Overflow,
    Filtered,
    BadKey,
    UnknownModel,
    Failed(String),
}

/// In which form a server says how long to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryAfter {
    /// `Retry-After` in seconds.
    Seconds(u64),
    /// `retry-after-ms`.
    Millis(u64),
    /// `Retry-After` as an HTTP date so far after the moment of the answer; dates know whole seconds only.
    Date(Duration),
    /// It does not say.
    None,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Ending {
    #[default]
    Whole,
    /// The end of the body as HTTP has it, and no word of the dialect about an end.
    Cut(usize),
    Reset(usize),
    Stall(usize),
    Error(usize, String),
    WithoutDone,
    /// After this share of the answer's bytes.
    Broken(f64, Break),
}

/// How the bytes of an answer end before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Break {
    /// As HTTP marks the end of a body: to a client of HTTP nothing is wrong.
    End,
    /// The connection is closed, and the body had not ended.
    Close,
    /// TCP RST.
    Reset,
}

impl Reply {
    /// Stands, in a reply's text and in arguments of its tools, for what the user said last. In a stream's text each letter
    /// of it comes by itself.
    pub const ASKED: &str = "{asked}";

    /// The model says this.
    pub fn text(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }

    /// The model calls this tool, and says nothing.
    pub fn call(name: &str, arguments: Value) -> Self {
        Self::default().tool(name, arguments)
    }

    /// A sound answer of nothing at all.
    pub fn empty() -> Self {
        Self::default()
    }

    /// The model repeats itself: `text`, `times` times.
    pub fn loops(text: &str, times: usize) -> Self {
        Self::text(text.repeat(times))
    }

    /// Something unreadable and the end.
    pub fn garbage_only() -> Self {
        Self { only_garbage: true, ..Self::default() }
    }

    /// The frames that say an answer begins, and silence.
    pub fn role_only_then_stall() -> Self {
        Self { metadata_only: true, ending: Ending::Stall(0), ..Self::text("never said") }
    }

    /// Takes the request and says nothing, not even a status.
    pub fn never_answers() -> Self {
        Self { head: Head::Never, ..Self::default() }
    }

    /// Status 200 and its headers, and silence.
    pub fn hang_after_head() -> Self {
        Self { head: Head::Alone, ..Self::default() }
    }

    /// A status with a body of the test's own.
    pub fn http_error(status: u16, body: impl Into<String>) -> Self {
        Self::refusal(Refusal::Verbatim(status, body.into()))
    }

    /// A whole answer as the test wrote it: a stream where one was asked for, else one body.
    pub fn verbatim(body: impl Into<String>) -> Self {
        Self { verbatim: Some(body.into()), ..Self::default() }
    }

    /// A status with the body the vendor gives it.
    pub fn status(status: u16) -> Self {
        Self::refusal(Refusal::Status(status))
    }

    /// 429, as the vendor says it.
    pub fn rate_limited(retry_after: RetryAfter) -> Self {
        Self::refusal(Refusal::RateLimited(retry_after))
    }

    /// The refusal says how long to wait.
    pub fn retry_after(mut self, after: RetryAfter) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// The vendor's refusal of a prompt that does not fit the model's window.
    pub fn overflow() -> Self {
        Self::refusal(Refusal::Overflow)
    }

    /// The vendor's refusal of a prompt for its content.
    pub fn filtered() -> Self {
        Self::refusal(Refusal::Filtered)
    }

    /// 401, as the vendor says it.
    pub fn bad_key() -> Self {
        Self::refusal(Refusal::BadKey)
    }

    /// As it answers this request.
    pub(super) fn about(mut self, request: &Value, streams: bool) -> Self {
        let asked = asked(request);
        for (_, arguments) in &mut self.tools {
            put(arguments, &asked);
        }
        let mut between = [0; 4];
        let between = if streams { &*BETWEEN.encode_utf8(&mut between) } else { "" };
        let letters: Vec<String> = asked.chars().map(String::from).collect();
        self.text = self.text.replace(Self::ASKED, &letters.join(between));
        self
    }

    pub(super) fn refusal(refusal: Refusal) -> Self {
        Self { head: Head::Refusal(refusal), ..Self::default() }
    }

    /// The model thinks this before it speaks. (OpenAI publishes no such field for chat; there it is the
    /// `reasoning_content` of the servers that imitate it, and in responses a reasoning summary.)
    pub fn thinking(mut self, text: impl Into<String>) -> Self {
        self.thinking = text.into();
        self
    }

    /// The model calls this tool, after its text.
    pub fn tool(mut self, name: &str, arguments: Value) -> Self {
        self.tools.push((name.to_owned(), arguments));
        self
    }

    /// Why the answer ends; without it `ToolCalls` where there are any, else `Stop`.
    pub fn finish(mut self, reason: FinishReason) -> Self {
        self.finish = Some(reason);
        self
    }

    /// The vendor's filter stops the answer where it is: the reason of its end says so.
    pub fn filtered_while_answering(self) -> Self {
        self.finish(FinishReason::ContentFilter)
    }

    /// Tokens the vendor counts; without it [`super::FaultyModel::INPUT_TOKENS`] and one for each token sent.
    pub fn usage(mut self, input: u64, output: u64) -> Self {
        self.usage = Some((input, output));
        self
    }

    /// Before the first token. The head and metadata come at once, but Ollama sends its head with the first line, and one
    /// body comes with its head.
    pub fn first_after(mut self, time: Duration) -> Self {
        self.first_after = time;
        self
    }

    /// Before each further token.
    pub fn between(mut self, time: Duration) -> Self {
        self.between = time;
        self
    }

    /// The model is loaded first: adds so long to [`Self::first_after`], `/api/ps` lists the model afterwards, and Ollama
    /// tells the time in its last line.
    pub fn load_ms(mut self, ms: u64) -> Self {
        self.load_ms = ms;
        self
    }

    /// Ends after `tokens` as if all were said, without the dialect's terminal marker. One body breaks off instead.
    pub fn cut_after(mut self, tokens: usize) -> Self {
        self.ending = Ending::Cut(tokens);
        self
    }

    /// The connection is reset after `tokens`.
    pub fn reset_after(mut self, tokens: usize) -> Self {
        self.ending = Ending::Reset(tokens);
        self
    }

    /// Only this share of the answer's bytes comes, from 0 to less than 1, wherever that cuts a word, a number or a frame.
    pub fn broken_at(mut self, share: f64, how: Break) -> Self {
        self.ending = Ending::Broken(share, how);
        self
    }

    /// Nothing more after `tokens`, on an open connection.
    pub fn stall_after(mut self, tokens: usize) -> Self {
        self.ending = Ending::Stall(tokens);
        self
    }

    /// The dialect's error inside the stream after `tokens`. Where no stream was asked for, status 500.
    pub fn error_after(mut self, tokens: usize, message: &str) -> Self {
        self.ending = Ending::Error(tokens, message.to_owned());
        self
    }

    /// Leaves out only the dialect's last word: `[DONE]`, `message_stop`, the terminal response event, the `done:true` line.
    pub fn without_done(mut self) -> Self {
        self.ending = Ending::WithoutDone;
        self
    }

    /// One unreadable frame after `tokens`; the rest is sound.
    pub fn garbage_after(mut self, tokens: usize) -> Self {
        self.garbage = Some(tokens);
        self
    }

    /// The first request that meets this reply gets this status, as the vendor says it; the next one the reply itself.
    pub fn status_once(mut self, status: u16) -> Self {
        self.once = Some(status);
        self
    }

    /// Says that its bytes are of this media type, whatever was asked for.
    pub fn media_type(mut self, media_type: &'static str) -> Self {
        self.media_type = Some(media_type);
        self
    }

    /// The same bytes under `text/html`.
    pub fn wrong_content_type(mut self) -> Self {
        self.wrong_content_type = true;
        self
    }
}

/// What the user said last, in any dialect.
fn asked(request: &Value) -> String {
    let said = request.get("messages").or_else(|| request.get("input")).unwrap_or(&Value::Null);
    let last = said.as_array().and_then(|messages| messages.last()).map_or(said, |message| &message["content"]);
    match last {
        Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect(),
        text => text.as_str().unwrap_or_default().to_owned(),
    }
}

fn put(value: &mut Value, asked: &str) {
    match value {
        Value::String(text) => *text = text.replace(Reply::ASKED, asked),
        Value::Array(list) => list.iter_mut().for_each(|value| put(value, asked)),
        Value::Object(object) => object.values_mut().for_each(|value| put(value, asked)),
        _ => {}
    }
}
