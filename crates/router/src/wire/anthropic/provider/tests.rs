use super::*;
use crate::{
    conversation::Message,
    dialect::Asked,
    providers::{Edits, Patience, Refusals},
};
use protocol::Role;

fn request(body: &str, model: &str) -> ChatRequest {
    let asked = Asked::new(Dialect::Anthropic, Bytes::copy_from_slice(body.as_bytes()), HeaderMap::new()).unwrap();
    ChatRequest {
        model: model.to_owned(),
        stream: asked.peek.stream,
        asked: Arc::new(asked),
        changed: None,
        edits: Edits::default(),
        checkpoint: None,
        patience: Patience { headers: Duration::from_secs(1) },
        trace: None,
        refusals: Refusals::default(),
    }
}

fn sent(request: &ChatRequest) -> Result<String, Error> {
    let provider = Anthropic::new(Options::new("anthropic", Vec::new())).unwrap();
    provider.body(request).map(|(body, ..)| String::from_utf8(body.to_vec()).unwrap())
}

#[test]
fn a_bound_changes_the_bound_and_nothing_else() {
    let body = r#"{ "max_tokens" : 32000, "model":"m","stream":true, "system":[{"type":"text","text":"l","cache_control":{"type":"ephemeral"}}],
        "context_management":{"edits":[{"type":"clear_tool_uses_20250919"}]}, "temperature":1.50,
        "tools":[{"type":"web_search_20250305","name":"web_search"},{"name":"t","input_schema":{},"cache_control":{"type":"ephemeral","ttl":"1h"}}],
        "messages":[{"role":"user","content":[{"type":"novel","x":[1.50, 2e3]},{"type":"text","text":"x","cache_control":{"type":"ephemeral"}}]}] }"#;
    let bound = Some(8192);
    for (edits, expected) in [
        (Edits::default(), body.to_owned()),
        (Edits { max_output_tokens: bound, temperature: None }, body.replace("32000", "8192")),
        (Edits { max_output_tokens: None, temperature: Some(0.5) }, body.replacen("1.50", "0.5", 1)),
    ] {
        let request = ChatRequest { edits, ..request(body, "m") };
        assert_eq!(sent(&request).unwrap(), expected);
    }
    let unbounded = r#"{"model":"m","messages":[{}]}"#;
    let request =
        ChatRequest { edits: Edits { max_output_tokens: bound, temperature: None }, ..request(unbounded, "m") };
    assert_eq!(sent(&request).unwrap(), r#"{"max_tokens":8192,"model":"m","messages":[{}]}"#);
}

#[test]
fn what_only_the_vendor_understands_passes_as_it_is_and_is_translated_for_nobody() {
    let body = r#"{"model":"m","messages":[{"role":"user","content":[{"type":"container_upload","file_id":"f"}]}]}"#;
    let mut request = request(body, "m");
    assert_eq!(sent(&request).unwrap(), body);
    let mut changed = request.asked.conversation().unwrap().clone();
    changed.messages.push(Message::text(Role::Assistant, "So"));
    assert!(matches!(request.conversation(), Err(Error::Refused { .. })));
    request.changed = Some(Arc::new(changed));
    let refused = sent(&request);
    assert!(
        matches!(&refused, Err(Error::Refused { message, .. }) if message.contains("/messages/0/content/0")),
        "{refused:?}"
    );
}

#[test]
fn only_what_the_vendor_counts_is_sent_to_be_counted() {
    let body = Bytes::from_static(
        br#"{"model":"m","max_tokens":3,"stream":true,"messages":[ 1 ],"metadata":{},"system":"s"}"#,
    );
    assert_eq!(countable(&body).unwrap(), r#"{"model":"m","messages":[ 1 ],"system":"s"}"#);
}

#[test]
fn what_is_known_of_a_model_goes_before_its_name() {
    let mut options = Options::new("anthropic", Vec::new());
    let known = ModelOptions { name: "claude-opus-5".into(), prefill: Some(true), ..ModelOptions::default() };
    options.models = vec![known];
    let provider = Anthropic::new(options).unwrap();
    assert!(provider.continues_prefill("claude-opus-5") && provider.continues_prefill("claude-3-5-sonnet-latest"));
    assert!(!provider.continues_prefill("claude-opus-6"));
    for prefill in [true, false] {
        let options = Options { prefill: Some(prefill), ..Options::new("anthropic", Vec::new()) };
        let provider = Anthropic::new(options).unwrap();
        for model in ["claude-opus-6", "claude-3-5-sonnet-latest", "another"] {
            assert_eq!(provider.continues_prefill(model), prefill, "{model}: what a person says of the server");
        }
    }
}

#[test]
fn a_version_no_header_can_carry_is_refused_at_start() {
    let options = Options { version: "a\nb".into(), ..Options::new("anthropic", Vec::new()) };
    assert!(matches!(Anthropic::new(options), Err(Error::Configuration(_))));
}
