use super::*;
use proptest::prelude::*;

fn key(body: &str) -> Key {
    key_of("ann", "fast", "never", Dialect::OpenAiChat, body).unwrap()
}

fn key_of(principal: &str, route: &str, egress: &str, dialect: Dialect, body: &str) -> Option<Key> {
    Key::of(&Question { principal, route, egress, dialect, headers: &HeaderMap::new(), body: body.as_bytes() })
}

fn answer(texts: &[&str], reason: FinishReason) -> Answer {
    let mut events: Vec<Event> = texts.iter().map(|text| Event::Text((*text).to_owned())).collect();
    events.push(Event::Finished(Finish::new(reason, Usage::default())));
    Answer {
        events,
        body: None,
        is_told_whole: true,
        provider: "ollama".into(),
        model: "small".into(),
        usage: Usage::default(),
    }
}

#[test]
fn spelling_and_delivery_do_not_make_another_request() {
    let one = key(r#"{"model":"m","messages":[{"role":"user","content":"hé"}],"seed":1}"#);
    assert_eq!(
        one,
        key(r#" {"seed":1,"stream":true,"stream_options":{"include_usage":true},"user":"x",
                "messages":[{"content":"h\u00e9","role":"user"}],"model":"m"} "#)
    );
}

#[test]
fn everything_else_does() {
    let body = r#"{"model":"m","seed":9007199254740992}"#;
    let mut headers = HeaderMap::new();
    headers.insert("anthropic-beta", "x".parse().unwrap());
    let with_header = Key::of(&Question {
        principal: "ann",
        route: "fast",
        egress: "never",
        dialect: Dialect::OpenAiChat,
        headers: &headers,
        body: body.as_bytes(),
    });
    let keys = [
        Some(key(body)),
        Some(key(r#"{"model":"m","seed":9007199254740993}"#)),
        Some(key(r#"{"model":"m","seed":9007199254740992,"metadata":{"user":"x"}}"#)),
        Some(key(r#"{"seed":9007199254740992}"#)),
        key_of("bob", "fast", "never", Dialect::OpenAiChat, body),
        key_of("ann", "slow", "never", Dialect::OpenAiChat, body),
        key_of("ann", "fast", "allowed", Dialect::OpenAiChat, body),
        key_of("ann", "fast", "never", Dialect::OllamaChat, body),
        key_of("annf", "ast", "never", Dialect::OpenAiChat, body),
        with_header,
    ];
    for (at, key) in keys.iter().enumerate() {
        assert!(key.is_some());
        assert!(!keys[..at].contains(key), "{at}");
    }
}

#[test]
fn what_is_no_object_has_no_key() {
    for body in ["", "[]", "{", "null", "\"a\"", r#"{"a":1e999}"#] {
        assert_eq!(key_of("ann", "fast", "never", Dialect::OpenAiChat, body), None, "{body}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_comes_back_with_its_age_until_it_is_too_old() {
    let cache = ResponseCache::new(Options::default());
    let key = key("{}");
    assert_eq!(cache.get(&key), None);
    assert!(cache.put(key, answer(&["Hel", "lo"], FinishReason::Stop), &[]));
    tokio::time::advance(Duration::from_millis(42_900)).await;
    let hit = cache.get(&key).unwrap();
    assert_eq!((hit.age_s, &hit.answer.events[0]), (42, &Event::Text("Hello".into())));
    assert_eq!((hit.answer.events.len(), hit.answer.provider.as_str()), (2, "ollama"));
    tokio::time::advance(Duration::from_secs(3600)).await;
    assert_eq!(cache.get(&key), None);
    assert_eq!(cache.bytes(), 0, "and takes no room any more");
}

#[tokio::test(start_paused = true)]
async fn only_good_answers_are_kept() {
    let cache = ResponseCache::new(Options::default());
    let key = key("{}");
    assert!(!cache.put(key, answer(&["a"], FinishReason::Length), &[]));
    assert!(!cache.put(key, answer(&["a"], FinishReason::ContentFilter), &[]));
    assert!(!cache.put(key, answer(&[""], FinishReason::Stop), &[Flaw::Empty]));
    let mut cut = answer(&["a"], FinishReason::Stop);
    cut.events.pop();
    assert!(!cache.put(key, cut, &[]));
    assert_eq!(cache.get(&key), None);
    assert!(cache.put(key, answer(&[], FinishReason::ToolCalls), &[]));
    assert!(cache.get(&key).is_some());
    cache.clear();
    assert_eq!(cache.get(&key), None);
}

#[tokio::test(start_paused = true)]
async fn memory_is_bounded_and_one_answer_does_not_take_it_all() {
    let limit_bytes = 64 * 1024;
    let cache = ResponseCache::new(Options { limit_bytes, ..Options::default() });
    assert!(!cache.put(key("{}"), answer(&[&"x".repeat(8 * 1024)], FinishReason::Stop), &[]));
    for number in 0..200 {
        assert!(cache.put(key(&format!("{{\"n\":{number}}}")), answer(&[&"x".repeat(4096)], FinishReason::Stop), &[]));
        assert!(cache.bytes() <= limit_bytes, "{} after {number}", cache.bytes());
    }
    let there = (0..200).filter(|number| cache.get(&key(&format!("{{\"n\":{number}}}"))).is_some()).count();
    assert!((8..=15).contains(&there), "{there} answers of 4 KiB in 64 KiB");
}

proptest! {
    #[test]
    fn joining_events_does_not_change_the_answer(kinds in prop::collection::vec((0..5_u8, "[ab]{0,2}"), 0..20)) {
        let events: Vec<Event> = kinds
            .into_iter()
            .map(|(kind, text)| match kind {
                0 => Event::Text(text),
                1 => Event::Thinking(text),
                2 => Event::ThinkingSignature(text),
                3 => Event::ToolCall { index: text.len(), id: text.clone(), name: text },
                _ => Event::ToolArguments { index: text.len(), fragment: text },
            })
            .collect();
        let whole = |events: &[Event]| {
            let mut whole = crate::answer::Whole::default();
            events.iter().for_each(|event| whole.add(event));
            whole
        };
        let few = joined(events.clone());
        prop_assert!(few.len() <= events.len());
        prop_assert_eq!(whole(&few), whole(&events));
    }
}
