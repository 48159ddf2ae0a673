//! What the targets in `fuzz/` call. Built only for them.

use crate::{
    dialect::{Dialect, Envelope},
    providers::{anthropic, ollama, openai},
    redaction::{Patterns, Redactor},
};
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, stream};
use serde_json::Value;
use std::sync::{Arc, LazyLock};

/// A caller's body, read in every dialect.
pub fn request(body: &[u8]) {
    let body = Bytes::copy_from_slice(body);
    for dialect in Dialect::FOREIGN {
        let _ = dialect.peek(&body);
        let _ = dialect.conversation(&body);
    }
}

/// A provider's stream, cut into pieces of `piece` bytes, read in every wire and told in every dialect.
///
/// # Panics
/// When the pieces make a difference, which is what this looks for.
pub fn answer(piece: usize, bytes: &[u8]) {
    let [chat, responses] = openai::decoders();
    for decode in [chat, responses, anthropic::decoder, ollama::decoder] {
        let read = |piece: usize| {
            let pieces: Vec<_> = bytes.chunks(piece.max(1)).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
            let runtime = runtime.unwrap_or_else(|error| unreachable!("a runtime of one thread: {error}"));
            runtime.block_on(decode(Box::pin(stream::iter(pieces))).collect::<Vec<_>>())
        };
        let (at_once, in_pieces) = (read(bytes.len()), read(piece));
        let failed = |frames: &[Result<_, crate::Error>]| frames.iter().any(Result::is_err);
        assert_eq!(failed(&at_once), failed(&in_pieces), "pieces of {piece} bytes decide whether it is an answer");
        for dialect in Dialect::FOREIGN {
            let mut encoder = dialect.encoder(Envelope {
                id: "1".to_owned(),
                model: "m".to_owned(),
                created_s: 0,
                wants_usage: true,
                estimated_input_tokens: 1,
                asked: None,
            });
            let mut out = BytesMut::new();
            for frame in &in_pieces {
                match frame {
                    Ok(frame) => encoder.frame(frame.clone(), &mut out),
                    Err(error) => encoder.fail(error, &mut out),
                }
            }
        }
    }
}

static PATTERNS: LazyLock<Arc<Patterns>> = LazyLock::new(|| {
    let built_in = Patterns::built_in();
    Arc::new(built_in.unwrap_or_else(|error| unreachable!("the built-in patterns are tested: {error}")))
});

/// A body for the cloud: redacted, and its placeholders restored from an answer that repeats it.
///
/// # Panics
/// When something of it is lost, or a secret is found in what left.
pub fn redaction(body: &[u8]) {
    let redactor = Redactor::new(PATTERNS.clone());
    let Ok(redacted) = redactor.redact(&Bytes::copy_from_slice(body)) else { return };
    if redacted.count == 0 {
        assert!(redacted.body == body, "a body without secrets leaves as it was");
        return;
    }
    let again = redactor.redact(&redacted.body);
    let again = again.unwrap_or_else(|error| panic!("what left cannot be checked any more: {error}"));
    assert!(again.count == 0, "{} secrets left", again.count);
    let (before, after) = (serde_json::from_slice::<Value>(body), serde_json::from_slice::<Value>(&redacted.body));
    let (Ok(before), Ok(after)) = (before, after) else { panic!("a body that was redacted is not JSON") };
    assert!(before != after, "secrets were counted and none was replaced");
    assert_eq!(before, restored(&redactor, after), "what comes back is not what was sent");
}

/// With every placeholder in it a secret again.
fn restored(redactor: &Redactor, value: Value) -> Value {
    let text = |text: &str| {
        let mut restorer = redactor.restorer();
        let mut restored = restorer.push(text);
        restored.push_str(&restorer.finish());
        restored
    };
    match value {
        Value::String(said) => Value::String(text(&said)),
        Value::Array(list) => list.into_iter().map(|value| restored(redactor, value)).collect(),
        Value::Object(object) => {
            object.into_iter().map(|(name, value)| (text(&name), restored(redactor, value))).collect()
        }
        other => other,
    }
}
