//! What a client of each dialect makes of an answer.

use super::Answer;
use router::dialect::Dialect;
use serde_json::Value;

/// How a stream ended for its client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ends {
    /// Beginnings of the answer.
    pub heads: usize,
    /// Of a whole answer.
    pub whole: usize,
    /// In-band errors.
    pub errors: usize,
    /// `[DONE]`, where the dialect has it.
    pub done: usize,
}

impl Ends {
    /// A whole stream of this dialect, told once.
    pub fn of_a_whole(dialect: Dialect) -> Self {
        Self { heads: 1, whole: 1, errors: 0, done: usize::from(says_done(dialect)) }
    }

    /// A stream of this dialect that began and failed, told once.
    pub fn of_a_failed(dialect: Dialect) -> Self {
        Self { heads: 1, whole: 0, errors: 1, done: usize::from(says_done(dialect)) }
    }
}

pub fn says_done(dialect: Dialect) -> bool {
    matches!(dialect, Dialect::OpenAiChat | Dialect::OpenAiCompletions)
}

impl Answer {
    pub fn ends(&self) -> Ends {
        let frames = self.frames();
        let count = |is: &dyn Fn(&Value) -> bool| frames.iter().filter(|frame| is(frame)).count();
        let named = |name: &'static str| count(&|frame| frame["type"] == name);
        let (heads, whole) = match self.dialect {
            Dialect::OpenAiChat => (
                count(&|frame| frame["choices"][0]["delta"]["role"] == "assistant"),
                count(&|frame| frame["choices"][0]["finish_reason"].is_string()),
            ),
            // Nothing but the text tells its beginning.
            Dialect::OpenAiCompletions => (1, count(&|frame| frame["choices"][0]["finish_reason"].is_string())),
            Dialect::OpenAiResponses => {
                (named("response.created"), named("response.completed") + named("response.incomplete"))
            }
            Dialect::Anthropic => (named("message_start"), named("message_stop")),
            _ => (1, count(&|frame| frame["done"] == true)),
        };
        let errors = match self.dialect {
            Dialect::OpenAiResponses => named("response.failed"),
            _ => count(&|frame| frame.get("error").is_some()),
        };
        Ends { heads, whole, errors, done: self.body.matches("data: [DONE]").count() }
    }

    /// What the router told under this name after the head: in comments, or as members of lines.
    pub fn notes(&self, name: &str) -> Vec<String> {
        if matches!(self.dialect, Dialect::OllamaChat | Dialect::OllamaGenerate) {
            return self.frames().iter().filter_map(|line| line.get(name)?.as_str().map(str::to_owned)).collect();
        }
        let start = format!(": {name}: ");
        self.body.lines().filter_map(|line| line.strip_prefix(&start)).map(str::to_owned).collect()
    }

    /// What the model thought before it spoke; the dialect of bare completions has no words for it.
    pub fn thought(&self) -> String {
        match self.dialect {
            Dialect::OpenAiChat => {
                let place = if self.is_stream() { "delta" } else { "message" };
                self.told(&format!("/choices/0/{place}/reasoning_content"), |_| true)
            }
            Dialect::OpenAiCompletions => String::new(),
            Dialect::OpenAiResponses if self.is_stream() => {
                self.told("/delta", |kind| kind == Some("response.reasoning_summary_text.delta"))
            }
            Dialect::OpenAiResponses => self.blocks("output", "reasoning", "/summary/0/text"),
            Dialect::Anthropic if self.is_stream() => self.told("/delta/thinking", |_| true),
            Dialect::Anthropic => self.blocks("content", "thinking", "/thinking"),
            Dialect::OllamaGenerate => self.told("/thinking", |_| true),
            _ => self.told("/message/thinking", |_| true),
        }
    }

    /// The texts at one place of all frames, or of those whose type is wanted.
    pub(super) fn told(&self, place: &str, wanted: impl Fn(Option<&str>) -> bool) -> String {
        let frames = self.frames();
        let frames = frames.iter().filter(|frame| wanted(frame["type"].as_str()));
        frames.filter_map(|frame| frame.pointer(place)?.as_str()).collect()
    }

    /// The same of one kind of block in an answer in one piece.
    pub(super) fn blocks(&self, list: &str, kind: &str, place: &str) -> String {
        let whole = self.json();
        let blocks = whole[list].as_array().into_iter().flatten().filter(|block| block["type"] == kind);
        blocks.filter_map(|block| block.pointer(place)?.as_str()).collect()
    }

    /// The name and the arguments of every tool call.
    pub fn called(&self) -> Vec<(String, Value)> {
        let frames = self.frames();
        match self.dialect {
            Dialect::OpenAiChat => self.openai_calls(&frames),
            Dialect::OpenAiResponses => {
                let last = frames.last().map(|frame| frame.get("response").unwrap_or(frame));
                let items = last.and_then(|last| last["output"].as_array().cloned()).unwrap_or_default();
                let calls = items.iter().filter(|item| item["type"] == "function_call");
                calls.map(|item| (text(&item["name"]), parsed(&text(&item["arguments"])))).collect()
            }
            Dialect::Anthropic => self.anthropic_calls(&frames),
            _ => {
                let calls = frames.iter().filter_map(|frame| frame["message"]["tool_calls"].as_array()).flatten();
                calls.map(|call| (text(&call["function"]["name"]), call["function"]["arguments"].clone())).collect()
            }
        }
    }

    fn openai_calls(&self, frames: &[Value]) -> Vec<(String, Value)> {
        let place = if self.is_stream() { "delta" } else { "message" };
        let mut calls: Vec<(String, String)> = Vec::new();
        for call in frames.iter().filter_map(|frame| frame["choices"][0][place]["tool_calls"].as_array()).flatten() {
            if call["function"]["name"].is_string() {
                calls.push((text(&call["function"]["name"]), String::new()));
            }
            calls.last_mut().expect("a call begins with its name").1 += &text(&call["function"]["arguments"]);
        }
        calls.into_iter().map(|(name, arguments)| (name, parsed(&arguments))).collect()
    }

    fn anthropic_calls(&self, frames: &[Value]) -> Vec<(String, Value)> {
        if !self.is_stream() {
            let blocks = frames[0]["content"].as_array().cloned().unwrap_or_default();
            let calls = blocks.iter().filter(|block| block["type"] == "tool_use");
            return calls.map(|block| (text(&block["name"]), block["input"].clone())).collect();
        }
        let mut calls: Vec<(String, String)> = Vec::new();
        for frame in frames {
            if frame["content_block"]["type"] == "tool_use" {
                calls.push((text(&frame["content_block"]["name"]), String::new()));
            } else if frame["delta"]["type"] == "input_json_delta" {
                calls.last_mut().expect("a call begins with its block").1 += &text(&frame["delta"]["partial_json"]);
            }
        }
        calls.into_iter().map(|(name, arguments)| (name, parsed(&arguments))).collect()
    }

    /// Tokens of the prompt and of the answer, as the end of the answer tells them.
    pub fn usage(&self) -> (u64, u64) {
        let (input, output) = match self.dialect {
            Dialect::OpenAiChat | Dialect::OpenAiCompletions => ("/usage/prompt_tokens", "/usage/completion_tokens"),
            Dialect::OpenAiResponses if self.is_stream() => {
                ("/response/usage/input_tokens", "/response/usage/output_tokens")
            }
            Dialect::OpenAiResponses | Dialect::Anthropic => ("/usage/input_tokens", "/usage/output_tokens"),
            _ => ("/prompt_eval_count", "/eval_count"),
        };
        let frames = self.frames();
        // Anthropic's own last event need not repeat what the first one told of the prompt.
        let started = frames.first().and_then(|first| first.pointer("/message/usage/input_tokens"));
        let last = |place: &str| frames.iter().rev().find_map(|frame| frame.pointer(place)?.as_u64());
        let input = last(input).or_else(|| started?.as_u64());
        (input.unwrap_or_default(), last(output).unwrap_or_default())
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn parsed(arguments: &str) -> Value {
    serde_json::from_str(arguments).unwrap_or_else(|error| panic!("{error}: {arguments}"))
}
