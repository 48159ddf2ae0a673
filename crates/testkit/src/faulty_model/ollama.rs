//! Ollama's native dialect, after its published API documentation: chat and generate.

use super::{
    answer::{Answer, Kind, Piece, words},
    reply::Refusal,
};
use crate::scripted_model::ollama::TIME;
use protocol::FinishReason;
use serde_json::{Value, json};

const NS_PER_MS: u64 = 1_000_000;

pub(super) fn stream(answer: &Answer<'_>) -> Vec<Piece> {
    let reply = answer.reply;
    let said = |kind: Kind, text: &str, thinking: Option<&str>| {
        let mut line = json!({"model": answer.model, "created_at": TIME});
        say(answer, &mut line, text, thinking);
        line["done"] = json!(false);
        Piece::line(kind, &line)
    };
    let mut pieces = Vec::new();
    if reply.metadata_only {
        pieces.push(said(Kind::Metadata, "", None));
    }
    pieces.extend(words(&reply.thinking).map(|word| said(Kind::Token, "", Some(word))));
    pieces.extend(words(&reply.text).map(|word| said(Kind::Token, word, None)));
    for index in 0..reply.tools.len() {
        let message = json!({"role": "assistant", "content": "", "tool_calls": [call(answer, index)]});
        let line = json!({"model": answer.model, "created_at": TIME, "message": message, "done": false});
        pieces.push(Piece::line(Kind::Token, &line));
    }
    let mut last = json!({"model": answer.model, "created_at": TIME});
    say(answer, &mut last, "", None);
    end(answer, &mut last);
    pieces.push(Piece::line(Kind::Done, &last));
    pieces
}

pub(super) fn whole(answer: &Answer<'_>, done: bool) -> Value {
    let reply = answer.reply;
    let mut body = json!({"model": answer.model, "created_at": TIME});
    say(answer, &mut body, &reply.text, (!reply.thinking.is_empty()).then_some(&reply.thinking));
    if !reply.tools.is_empty() {
        body["message"]["tool_calls"] = (0..reply.tools.len()).map(|index| call(answer, index)).collect();
    }
    if done {
        end(answer, &mut body);
    } else {
        body["done"] = json!(false);
    }
    body
}

/// Chat puts its text into a message, generate beside everything else.
fn say(answer: &Answer<'_>, line: &mut Value, text: &str, thinking: Option<&str>) {
    let generates = answer.path.ends_with("/generate");
    let place = if generates {
        line["response"] = json!(text);
        line
    } else {
        line["message"] = json!({"role": "assistant", "content": text});
        &mut line["message"]
    };
    if let Some(thinking) = thinking {
        place["thinking"] = json!(thinking);
    }
}

fn call(answer: &Answer<'_>, index: usize) -> Value {
    let (name, arguments) = &answer.reply.tools[index];
    let function = json!({"index": index, "name": name, "arguments": arguments});
    json!({"id": answer.call_id("call_", index), "function": function})
}

/// Durations are in nanoseconds.
fn end(answer: &Answer<'_>, line: &mut Value) {
    let (input, output) = answer.usage();
    // This dialect calls the end of an answer with tool calls `stop` too, and has no filter.
    line["done"] = json!(true);
    line["done_reason"] = json!(if answer.finish() == FinishReason::Length { "length" } else { "stop" });
    let load = answer.reply.load_ms.max(1) * NS_PER_MS;
    line["total_duration"] = json!(load + 2 * NS_PER_MS);
    line["load_duration"] = json!(load);
    line["prompt_eval_count"] = json!(input);
    line["prompt_eval_duration"] = json!(NS_PER_MS);
    line["eval_count"] = json!(output);
    line["eval_duration"] = json!(NS_PER_MS);
}

pub(super) fn failure(message: &str) -> Vec<Piece> {
    vec![Piece::line(Kind::Finish, &json!({"error": message}))]
}

pub(super) fn refuse(refusal: &Refusal, model: &str, _window: u64) -> (u16, Value) {
    let (status, message) = match refusal {
        Refusal::Overflow => (400, "the input length exceeds the context length".to_owned()),
        Refusal::RateLimited(_) => (429, "too many requests".to_owned()),
        Refusal::BadKey => (401, "unauthorized".to_owned()),
        Refusal::UnknownModel => (404, format!("model '{model}' not found")),
        Refusal::Failed(message) => (500, message.clone()),
        Refusal::Status(503) => (503, "server busy, please try again.  maximum pending requests exceeded".to_owned()),
        Refusal::Status(status @ 500..) => (*status, "model runner has unexpectedly stopped".to_owned()),
        Refusal::Status(status) => (*status, "the request was refused".to_owned()),
        Refusal::Filtered | Refusal::Verbatim(..) => unreachable!("refused when the reply was given"),
    };
    (status, json!({"error": message}))
}
