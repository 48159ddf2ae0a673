use super::*;

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
