use super::*;
use crate::{Event, answer::Finish, answer::Usage};
use bytes::Bytes;
use proptest::prelude::*;
use protocol::FinishReason;
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::LazyLock};

fn patterns(configured: &[(&str, &str)]) -> Result<Patterns, Error> {
    let configured: BTreeMap<String, String> =
        configured.iter().map(|(name, pattern)| ((*name).to_owned(), (*pattern).to_owned())).collect();
    Patterns::new(&configured)
}

fn redactor() -> Redactor {
    static SHARED: LazyLock<Arc<Patterns>> =
        LazyLock::new(|| Arc::new(patterns(&[("ticket", "TICKET-[0-9]+")]).unwrap()));
    Redactor::new(SHARED.clone())
}

fn redact(redactor: &Redactor, body: &Value) -> Result<Redacted, Error> {
    redactor.redact(&Bytes::from(body.to_string()))
}

fn body_of(redacted: &Redacted) -> Value {
    serde_json::from_slice(&redacted.body).unwrap()
}

/// `text` as it leaves.
fn sent(text: &str) -> String {
    let redacted = redact(&redactor(), &json!({"messages": [{"role": "user", "content": text}]})).unwrap();
    body_of(&redacted)["messages"][0]["content"].as_str().unwrap().to_owned()
}

fn letters(length: usize) -> String {
    "aB3dE5gH7jK9mN1pQ2rS4tU6vW8xY0zC".chars().cycle().take(length).collect()
}

/// Made up here, and in pieces, so that no scanner of repositories stumbles over them.
fn secrets() -> Vec<String> {
    let block = |name: &str| format!("-----BEGIN {name}-----\n{}\n{}\n-----END {name}-----", letters(64), letters(30));
    vec![
        block(&["RSA", "PRIVATE", "KEY"].join(" ")),
        block(&["PGP", "PRIVATE", "KEY", "BLOCK"].join(" ")),
        format!("AK{}{}", "IA", "ABCDEFGH23456789"),
        format!("AI{}{}", "za", letters(35)),
        format!("gh{}_{}", "p", letters(36)),
        format!("github_{}_{}", "pat", letters(40)),
        format!("gl{}-{}", "pat", letters(20)),
        format!("xo{}-{}", "xb", "123456789012-abcdefABCDEF"),
        format!("sk_{}_{}", "live", letters(24)),
        format!("sk-{}-{}", "proj", letters(48)),
        format!("sk-{}-{}", "ant-api03", letters(48)),
        format!("dm_{}_{}", "agent", letters(43)),
        format!("ey{}.ey{}.{}", format_args!("J{}", letters(20)), format_args!("J{}", letters(40)), letters(43)),
    ]
}

#[test]
fn every_known_shape_is_kept_here() {
    for secret in secrets() {
        let text = sent(&format!("use {secret} for it"));
        assert!(!text.contains(&secret[secret.len() - 12..]), "{text}");
        assert!(text.starts_with("use REDACTED_1_") && text.ends_with(" for it"), "{secret:?} left as {text}");
    }
}

#[test]
fn of_an_assignment_only_the_value_is_kept_here() {
    let random = letters(24);
    for (before, secret, after) in [
        ("password=", "hunter2", " and on"),
        ("DB_PASSWORD: \"", "correct horse battery", "\""),
        ("{\"secret\": \"", "s3same", "\"}"),
        ("{\\\"api_key\\\": \\\"", "abcd1234", "\\\"}"),
        ("PASSWORD=", "p@(ss)w[or]d", "; next"),
        ("password: '", "it\\'s me", "'"),
        ("password = \"", "pa\\\"ss word", "\" # not this"),
        ("{\\\"password\\\":\\\"", "a\\\\\\\"b c d", "\\\"}"),
        ("Authorization: Bearer ", "abc.def-1", "\nAccept: */*"),
        ("curl -H 'authorization: Basic ", "dTpwYXNz", "' x"),
        ("postgres://devmesh:", "pa55w0rd", "@db:5432/devmesh"),
        ("export SERVICE_TOKEN=", &random, ""),
        ("signing_key = '", &random, "'"),
        ("https://hooks.slack.com/services/", "T00000000/B00000000/XXXXXXXXXXXX", ""),
        ("see ", "TICKET-4711", "."),
    ] {
        let text = sent(&format!("{before}{secret}{after}"));
        assert!(!text.contains(secret), "{text}");
        assert!(text.starts_with(&format!("{before}REDACTED_1_")) && text.ends_with(after), "{text}");
    }
}

#[test]
fn words_that_only_stand_where_secrets_stand_leave() {
    for text in [
        "password: string",
        "let password: Option<String> = None;",
        "fn login(password: &str) -> bool",
        "secret = $SECRET_NAME",
        "password=${DB_PASSWORD}",
        "api_key = os.environ[\"X\"]",
        "The key: a good night's sleep.",
        "token: the smallest unit a model reads",
        "max_tokens = 4096",
        "https://example.com:8080/a@b",
        "sk-learn is a library",
        "REDACTED_1_abcdefgh",
    ] {
        assert_eq!(sent(text), text);
    }
}

#[test]
fn every_string_is_looked_through_keys_included_and_nothing_else_changes() {
    let key = secrets().remove(6);
    let body = format!(
        r#" {{ "a" : [ 1.50, {{"{key}": null}}, "\u0041 {key}"], "deep":{{"x":{{"y":"{key}!"}}}}, "n":12345678901234567890123 }} "#
    );
    let redactor = redactor();
    let redacted = redactor.redact(&Bytes::from(body.clone())).unwrap();
    let placeholder = redactor.vault.placeholder(&key);
    assert_eq!(redacted.count, 3);
    assert_eq!(redacted.body, body.replace(&key, &placeholder).replace("\\u0041", "A"));
}

#[test]
fn members_named_like_secrets_are_kept_here() {
    let body = json!({"input": {"password": "a b c", "user": "ann", "token": letters(20), "required": ["password"]},
        "properties": {"password": {"type": "string"}}});
    let redacted = redact(&redactor(), &body).unwrap();
    let left = body_of(&redacted);
    assert_eq!(redacted.count, 2);
    assert_eq!(left["input"]["user"], "ann");
    assert_eq!(left["properties"], body["properties"]);
    assert!(!left.to_string().contains("a b c") && !left.to_string().contains(&letters(20)));
}

#[test]
fn a_secret_told_once_is_known_everywhere_and_has_one_placeholder() {
    let redactor = redactor();
    let body =
        json!({"messages": [{"content": "password=swordfish9"}, {"content": "try swordfish9, then swordfish9"}]});
    let first = redact(&redactor, &body).unwrap();
    assert_eq!(first.count, 3);
    assert!(!body_of(&first).to_string().contains("swordfish9"));
    let placeholder = redactor.vault.placeholder("swordfish9");
    assert_eq!(body_of(&first)["messages"][1]["content"], format!("try {placeholder}, then {placeholder}"));
    // Another attempt, another body: still the same one.
    let second = redact(&redactor, &json!({"prompt": "secret: swordfish9"})).unwrap();
    assert_eq!(body_of(&second)["prompt"], format!("secret: {placeholder}"));
    let other = redact(&self::redactor(), &json!({"prompt": "secret: swordfish9"})).unwrap();
    assert_ne!(other.body, second.body, "but in another call another one");
}

#[test]
fn what_is_redacted_already_stays_as_it_is() {
    let redactor = redactor();
    let first = redact(&redactor, &json!({"prompt": "password=swordfish9"})).unwrap();
    let second = redactor.redact(&first.body).unwrap();
    assert_eq!((second.body, second.count), (first.body, 0));
}

#[test]
fn a_body_without_secrets_is_the_same_bytes() {
    let body = Bytes::from_static(b"{ \"a\":\"\\u00e9\" , \"b\":[] }");
    assert_eq!(redactor().redact(&body).unwrap(), Redacted { body: body.clone(), count: 0 });
}

#[test]
fn what_cannot_be_looked_through_is_refused_with_its_place() {
    let encoded = letters(2000);
    for (body, place) in [
        (
            json!({"messages": [{"content": [{"type": "image_url", "image_url": {"url": "https://x/y.png"}}]}]}),
            "/messages/0/content/0",
        ),
        (
            json!({"messages": [{"content": [{"type": "image", "source": {"type": "base64"}}]}]}),
            "/messages/0/content/0",
        ),
        (json!({"messages": [{"content": [{"type": "input_audio", "input_audio": {}}]}]}), "/messages/0/content/0"),
        (json!({"input": [{"type": "input_file", "file_id": "f"}]}), "/input/0"),
        (json!({"content": [{"type": "document", "source": {"type": "url", "url": "x"}}]}), "/content/0"),
        (json!({"content": [{"type": "document"}]}), "/content/0"),
        (json!({"source": {"type": "base64", "data": "x"}}), "/source"),
        (json!({"messages": [{"content": "look", "images": ["aGk="]}]}), "/messages/0"),
        (json!({"messages": [{"content": "url(data:image/png;base64,aGk=)"}]}), "/messages/0/content"),
        (json!({"url": "data:text/plain,hello"}), "/url"),
        (json!({"content": encoded}), ""),
        (json!({"content": [encoded]}), "/content"),
    ] {
        match redact(&redactor(), &body) {
            Err(Error::Uncheckable { pointer, .. }) => assert_eq!(pointer, place, "{body}"),
            other => panic!("{body} became {other:?}"),
        }
    }
    for body in [&b""[..], b"{", b"--boundary\r\n", b"{\"a\":\"\xff\"}", b"{\"a\":\"\\ud800\"}", b"{} {}"] {
        assert!(matches!(redactor().redact(&Bytes::from_static(body)), Err(Error::Uncheckable { .. })), "{body:?}");
    }
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(redactor().redact(&Bytes::from(deep)).is_err());
    // The second of two members of the same name hides nothing.
    let twice = r#"{"content":[{"type":"image"}],"content":"hi"}"#;
    assert!(redactor().redact(&Bytes::from(twice)).is_err());
}

#[test]
fn what_only_looks_unreadable_leaves() {
    for body in [
        json!({"content": [{"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "hi"}}]}),
        json!({"content": [{"type": "thinking", "thinking": "hm", "signature": letters(3000)}]}),
        json!({"content": [{"type": "redacted_thinking", "data": letters(3000)}]}),
        json!({"tools": [{"parameters": {"properties": {"images": {"type": "array"}, "type": {"type": "string"}}}}]}),
        json!({"messages": [{"role": "user", "content": "x".repeat(5000)}], "images": []}),
        json!({"content": "what is a data: URL, and what is data:text/html?"}),
    ] {
        assert_eq!(redact(&redactor(), &body).map(|redacted| redacted.count), Ok(0), "{body}");
    }
}

#[test]
fn the_refusal_says_what_to_do_and_shows_no_secret() {
    let key = secrets().remove(6);
    let error = redact(&redactor(), &json!({key.clone(): [{"type": "image"}]})).unwrap_err();
    assert_eq!(error.code(), domain::ErrorCode::EgressRefused);
    assert!(!error.may_pass());
    assert!(!error.to_string().contains(&key));
    assert!(error.to_string().contains("a picture at `/…/0`"), "{error}");
}

#[test]
fn a_secret_over_two_parts_of_a_message_is_refused_and_a_told_one_is_found() {
    let key = secrets().remove(6);
    let parts = |one: &str, two: &str| json!({"messages": [{"role": "user", "content": [{"type": "text", "text": one}, {"type": "text", "text": two}]}]});
    let split = parts(&format!("use {}", &key[..12]), &key[12..]);
    match redact(&redactor(), &split) {
        Err(Error::Uncheckable { pointer, .. }) => assert_eq!(pointer, "/messages/0/content/0/text"),
        other => panic!("{other:?}"),
    }
    // The name in one part, the value in the next: that can be replaced.
    let told = redact(&redactor(), &parts("password=", "swordfish9 please")).unwrap();
    assert!(!body_of(&told).to_string().contains("swordfish9"));
    assert_eq!(redact(&redactor(), &parts(&format!("use {key} "), "please")).unwrap().count, 1);
    assert_eq!(redact(&redactor(), &parts("good", "morning")).unwrap().count, 0);
}

#[test]
fn all_mistakes_of_the_configuration_are_told_at_once() {
    let configured = [("a", "("), ("b", "x*"), ("c", "(?P<secret>fine)"), ("d", "[a-z]{1000}{1000}{1000}")];
    let Err(Error::Configuration(mistakes)) = patterns(&configured) else { panic!("it was accepted") };
    assert_eq!(mistakes.len(), 3, "{mistakes:?}");
    for (mistake, name) in mistakes.iter().zip(["`a`", "`b`", "`d`"]) {
        assert!(mistake.contains(name) && !mistake.contains('\n'), "{mistake}");
    }
}

fn restored(redactor: &Redactor, text: &str) -> String {
    let mut restorer = redactor.restorer();
    let mut out = restorer.push(text);
    out.push_str(&restorer.finish());
    out
}

fn finished() -> Event {
    Event::Finished(Finish::new(FinishReason::Stop, Usage::default()))
}

/// A redactor that knows the secrets `swordfish9` (1) and `a"b\c` with a line break (2), and their placeholders.
fn with_two() -> (Redactor, String, String) {
    let redactor = redactor();
    redact(&redactor, &json!({"password": "swordfish9"})).unwrap();
    let two = redactor.vault.placeholder("a\"b\\c\nd");
    let one = redactor.vault.placeholder("swordfish9");
    (redactor, one, two)
}

#[test]
fn placeholders_become_secrets_again_and_nothing_else_changes() {
    let (redactor, one, two) = with_two();
    assert_eq!(
        restored(&redactor, &format!("the {one}, {one}5 and {two}")),
        "the swordfish9, swordfish95 and a\"b\\c\nd"
    );
    let nonce = &one[one.len() - 8..];
    for text in [
        "REDACTED_1_abcdefgh".to_owned(),
        format!("REDACTED_3_{nonce}"),
        format!("REDACTED_01_{nonce}"),
        format!("REDACTED_0_{nonce}"),
        format!("REDACTED_{nonce}"),
        format!("redacted_1_{nonce}"),
        one[..one.len() - 1].to_owned(),
        "RREDACTED_".to_owned(),
        "REDACTED_99999999999999999999_x".to_owned(),
    ] {
        assert_eq!(restored(&redactor, &text), text);
    }
    assert_eq!(restored(&redactor, &format!("RREDACTED_{one}")), "RREDACTED_swordfish9");
}

#[test]
fn only_what_may_be_a_placeholder_is_held_back() {
    let (redactor, one, _) = with_two();
    let mut restorer = redactor.restorer();
    assert_eq!(restorer.push("for RED"), "for ");
    assert_eq!(restorer.push(" roses R"), "RED roses ");
    assert_eq!(restorer.push(&one[1..15]), "");
    assert_eq!(restorer.push(&one[15..]), "swordfish9", "at once, without what follows");
    assert_eq!(restorer.push("REDACTED_1"), "");
    assert_eq!(restorer.finish(), "REDACTED_1");
}

#[test]
fn each_channel_is_read_apart_and_ends_with_its_block() {
    let (redactor, one, two) = with_two();
    let mut restorer = redactor.restorer();
    let call = |index| Event::ToolCall { index, id: format!("c{index}"), name: "run".into() };
    let arguments = |index, fragment: &str| Event::ToolArguments { index, fragment: fragment.into() };
    let out = restorer.restore_events(vec![
        Event::Text("RED".into()),
        Event::Thinking(one.clone()),
        Event::Text("RED".into()),
        call(0),
        arguments(0, &format!("{{\"a\":\"{}", &two[..11])),
        call(1),
        arguments(1, &format!("{{\"b\":\"{}", &one[..12])),
        arguments(0, &two[11..]),
        arguments(1, &one[12..]),
        arguments(0, "\"}"),
        arguments(1, "\"}RED"),
        finished(),
    ]);
    let expected = vec![
        Event::Text("RED".into()),
        Event::Thinking(one.clone()),
        Event::Text("RED".into()),
        call(0),
        arguments(0, "{\"a\":\""),
        call(1),
        arguments(1, "{\"b\":\""),
        arguments(0, "a\\\"b\\\\c\\nd"),
        arguments(1, "swordfish9"),
        arguments(0, "\"}"),
        arguments(1, "\"}"),
        arguments(1, "RED"),
        finished(),
    ];
    assert_eq!(out, expected);
}

#[test]
fn signed_thinking_can_be_left_alone_and_the_stop_text_is_restored() {
    let (redactor, one, _) = with_two();
    let mut restorer = redactor.restorer();
    let mut finish = Finish::new(FinishReason::Stop, Usage::default());
    finish.stop_sequence = Some(one.clone());
    let thinking = vec![Event::Thinking(format!("use {one}")), Event::ThinkingSignature("x".into())];
    assert_eq!(restorer.restore_events(thinking.clone()), thinking);
    let out = restorer.restore_events(vec![Event::Finished(finish)]);
    assert!(matches!(&out[..], [Event::Finished(finish)] if finish.stop_sequence.as_deref() == Some("swordfish9")));
}

#[test]
fn a_cut_answer_gives_back_what_was_held() {
    let (redactor, ..) = with_two();
    let mut restorer = redactor.restorer();
    assert_eq!(restorer.restore_events(vec![Event::Text("a REDACTED".into())]), [Event::Text("a ".into())]);
    assert_eq!(restorer.finish_events(), [Event::Text("REDACTED".into())]);
    assert_eq!(restorer.finish_events(), []);
}

#[test]
fn nothing_shows_what_is_inside() {
    let (redactor, ..) = with_two();
    assert!(!format!("{redactor:?}{:?}", redactor.restorer()).contains("swordfish9"));
}

/// What stands in a tool's arguments, a command's output and a file a model is shown is text within JSON within JSON.
#[test]
fn secrets_in_json_within_text_are_kept_here_and_come_back() {
    let block = secrets().remove(0);
    let inner = json!({"path": "key.pem", "content": block, "password": "pa\"ss word9"}).to_string();
    let body = json!({"messages": [{"role": "assistant", "tool_calls": [{"function": {"arguments": inner}}]}]});
    let redactor = redactor();
    let left = body_of(&redact(&redactor, &body).unwrap());
    let arguments = left["messages"][0]["tool_calls"][0]["function"]["arguments"].as_str().unwrap();
    assert!(!arguments.contains(&letters(40)) && !arguments.contains("pa\\\"ss"), "{arguments}");
    assert!(serde_json::from_str::<Value>(arguments).is_ok(), "it is still JSON: {arguments}");
    assert_eq!(restored(&redactor, arguments), inner);
}

proptest! {
    #[test]
    fn any_chunking_of_an_answer_gives_the_same_text(
        pieces in prop::collection::vec((0..6_usize, 0..20_usize), 0..12), cuts in prop::collection::vec(1..9_usize, 0..80)
    ) {
        let (redactor, one, two) = with_two();
        // Whole placeholders, broken ones, and text between, in any order.
        let text: String = pieces
            .into_iter()
            .map(|(kind, at)| match kind {
                0 => one.clone(),
                1 => two.clone(),
                2 => one[..at.min(one.len())].to_owned(),
                3 => "REDACTED_".to_owned(),
                4 => "Rüben 🦀 ".to_owned(),
                _ => "R2_".to_owned(),
            })
            .collect();
        let at_once = restored(&redactor, &text);
        prop_assert_eq!(&at_once, &text.replace(&one, "swordfish9").replace(&two, "a\"b\\c\nd"));
        let chars: Vec<char> = text.chars().collect();
        let mut restorer = redactor.restorer();
        let (mut from, mut out) = (0_usize, String::new());
        for size in cuts.into_iter().chain([usize::MAX]) {
            let to = from.saturating_add(size).min(chars.len());
            out.push_str(&restorer.push(&chars[from..to].iter().collect::<String>()));
            from = to;
        }
        out.push_str(&restorer.finish());
        prop_assert_eq!(out, at_once);
    }

    /// There and back: a model that repeats its prompt gives the caller the prompt.
    #[test]
    fn what_was_redacted_comes_back(before in ".{0,30}", after in ".{0,30}", which in 0..13_usize) {
        let redactor = redactor();
        let text = format!("{before} {} {after}", secrets()[which]);
        let redacted = redact(&redactor, &json!({"prompt": text})).unwrap();
        let left = body_of(&redacted)["prompt"].as_str().unwrap().to_owned();
        prop_assert!(!left.contains(&secrets()[which]));
        prop_assert_eq!(restored(&redactor, &left), text);
    }

    #[test]
    fn no_bytes_break_it(bytes in prop::collection::vec(any::<u8>(), 0..200), text in ".{0,80}") {
        let _ = redactor().redact(&Bytes::from(bytes));
        let _ = redactor().redact(&Bytes::from(text));
    }
}
