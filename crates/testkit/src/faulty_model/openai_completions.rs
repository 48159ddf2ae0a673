//! The older completions, after OpenAI's published API reference: a text that is gone on with, and no tools.

use super::{
    answer::{Answer, CREATED_S, Kind, Piece, words},
    openai_chat::usage,
};
use serde_json::{Value, json};

/// Of the paths of chat completions' servers.
pub(super) fn is_asked_for(path: &str) -> bool {
    path == "/completions"
}

pub(super) fn stream(answer: &Answer<'_>) -> Vec<Piece> {
    let wants_usage = answer.request["stream_options"]["include_usage"] == json!(true);
    let piece = |kind: Kind, text: &str, finish_reason: Value| {
        let mut chunk = completion(answer, text, finish_reason);
        if wants_usage {
            chunk["usage"] = Value::Null;
        }
        Piece::data(kind, &chunk)
    };
    let mut pieces: Vec<_> = words(&answer.reply.text).map(|word| piece(Kind::Token, word, Value::Null)).collect();
    pieces.push(piece(Kind::Finish, "", json!(answer.finish().as_str())));
    if wants_usage {
        let mut last = completion(answer, "", Value::Null);
        (last["choices"], last["usage"]) = (json!([]), usage(answer));
        pieces.push(Piece::data(Kind::Finish, &last));
    }
    pieces.push(Piece::new(Kind::Done, "data: [DONE]\n\n"));
    pieces
}

pub(super) fn whole(answer: &Answer<'_>, done: bool) -> Value {
    let finish_reason = if done { json!(answer.finish().as_str()) } else { Value::Null };
    let mut body = completion(answer, &answer.reply.text, finish_reason);
    body["usage"] = usage(answer);
    body
}

fn completion(answer: &Answer<'_>, text: &str, finish_reason: Value) -> Value {
    json!({
        "id": answer.id("cmpl-"), "object": "text_completion", "created": CREATED_S, "model": answer.model,
        "system_fingerprint": "fp_testkit",
        "choices": [{"index": 0, "text": text, "logprobs": null, "finish_reason": finish_reason}],
    })
}
