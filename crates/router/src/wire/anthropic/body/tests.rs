use super::*;
use crate::{
    conversation::{Document, Image, Message, Part, Thinking},
    wire,
};
use bytes::Bytes;
use proptest::prelude::*;
use protocol::Role;

const MODEL: &str = "claude-sonnet-4-5";

fn limits(model: &str) -> Limits {
    Limits { capabilities: super::super::provider::capabilities::of(model), default_max_tokens: 4096 }
}

fn built(model: &str, conversation: &Conversation) -> Value {
    serde_json::from_slice(&build(model, conversation, &limits(model)).unwrap().json).unwrap()
}

fn body(conversation: &Conversation) -> Value {
    built(MODEL, conversation)
}

fn asking() -> Conversation {
    Conversation { messages: vec![Message::text(Role::User, "Hello?")], ..Conversation::default() }
}

fn result(id: &str, text: &str) -> Message {
    let parts = vec![Part::Text(text.into())];
    Message { role: Role::Tool, parts: vec![Part::ToolResult { call_id: id.into(), parts, is_error: false }] }
}

#[test]
fn a_question_needs_little() {
    assert_eq!(
        body(&asking()),
        json!({"model": MODEL, "max_tokens": 4096, "stream": true, "messages": [{"role": "user", "content": "Hello?"}]})
    );
}

#[test]
fn another_vendors_conversation_is_bent_to_the_rules() {
    let mut conversation = asking();
    conversation.messages.insert(0, Message::text(Role::System, "Be brief."));
    conversation.messages.extend([
        Message {
            role: Role::Assistant,
            parts: vec![
                Part::Thinking { text: "of another".into(), signature: None },
                Part::Text(" ".into()),
                Part::ToolCall { id: "call.1".into(), name: "a".into(), arguments: r#"{"z": 1, "b":2}"#.into() },
                Part::ToolCall { id: "call_2".into(), name: "b".into(), arguments: "{oops".into() },
            ],
        },
        result("call.1", "one"),
        Message::text(Role::System, "Be kind."),
        Message::text(Role::User, "And?"),
        result("call_2", ""),
    ]);
    let body = body(&conversation);
    assert_eq!(body["system"], json!([{"type": "text", "text": "Be brief."}, {"type": "text", "text": "Be kind."}]));
    assert_eq!(
        body["messages"],
        json!([
            {"role": "user", "content": "Hello?"},
            {"role": "assistant", "content": [
                {"type": "tool_use", "id": "call_1", "name": "a", "input": {"z": 1, "b": 2}},
                {"type": "tool_use", "id": "call_2", "name": "b", "input": {"INVALID_JSON": "{oops"}}]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "call_1", "content": "one"},
                {"type": "tool_result", "tool_use_id": "call_2"},
                {"type": "text", "text": "And?"}]}
        ])
    );
}

#[test]
fn an_answer_to_go_on_with_ends_without_white_space_and_without_thinking() {
    let mut conversation = Conversation { thinking: Thinking::On, ..asking() };
    conversation.messages.push(Message::text(Role::Assistant, "It is \n"));
    let built = build(MODEL, &conversation, &limits(MODEL)).unwrap();
    let body: Value = serde_json::from_slice(&built.json).unwrap();
    assert_eq!((&body["messages"][1]["content"], built.held_back.as_str()), (&json!("It is"), " \n"));
    assert_eq!(body.get("thinking"), None);
}

#[test]
fn a_schema_is_a_field_where_the_model_has_one_and_words_elsewhere() {
    let schema = json!({"type": "object"});
    let format = Format::Schema { name: "x".into(), schema: schema.clone(), strict: None };
    let conversation = Conversation { format, ..asking() };
    let native = built(MODEL, &conversation);
    assert_eq!(native["output_config"], json!({"format": {"type": "json_schema", "schema": schema}}));
    assert_eq!(native.get("system"), None);
    let old = built("claude-3-5-haiku-latest", &conversation);
    assert_eq!(old.get("output_config"), None);
    assert!(old["system"].as_str().unwrap().contains(r#"{"type":"object"}"#));
    let json = built(MODEL, &Conversation { format: Format::Json, ..asking() });
    assert!(json["system"].as_str().unwrap().contains("JSON object"));
}

#[test]
fn tools_and_the_choice_among_them() {
    let tool = |strict| Tool { name: "t".into(), description: "d".into(), parameters: json!({}), strict };
    let mut conversation = Conversation { tools: vec![tool(Some(true))], ..asking() };
    let first = body(&conversation);
    let expected = json!({"name": "t", "input_schema": {"type": "object"}, "description": "d", "strict": true});
    assert_eq!((&first["tools"][0], first.get("tool_choice")), (&expected, None));
    conversation.parallel_tool_calls = Some(false);
    assert_eq!(body(&conversation)["tool_choice"], json!({"type": "auto", "disable_parallel_tool_use": true}));
    conversation.tool_choice = ToolChoice::Named("t".into());
    let named = json!({"type": "tool", "name": "t", "disable_parallel_tool_use": true});
    assert_eq!(body(&conversation)["tool_choice"], named);
    conversation.tools.clear();
    assert_eq!(body(&conversation).get("tool_choice"), None, "there is nothing to choose from");
}

#[test]
fn a_budget_of_thinking_is_within_the_vendors_bounds() {
    let thinking = |thinking: Thinking, max_output_tokens| {
        let body = body(&Conversation { thinking, max_output_tokens, ..asking() });
        (body["max_tokens"].as_u64().unwrap(), body["thinking"]["budget_tokens"].as_u64())
    };
    assert_eq!(thinking(Thinking::BudgetTokens(2000), Some(8000)), (8000, Some(2000)));
    assert_eq!(thinking(Thinking::BudgetTokens(10), Some(8000)), (8000, Some(1024)));
    assert_eq!(thinking(Thinking::BudgetTokens(9000), Some(8000)), (8000, Some(7999)));
    assert_eq!(thinking(Thinking::BudgetTokens(9000), Some(1024)), (1024, None), "there is no room for it");
    assert_eq!(thinking(Thinking::BudgetTokens(9000), None), (13096, Some(9000)), "nobody set a limit");
    assert_eq!(thinking(Thinking::Effort("low".into()), None), (6144, Some(2048)));
    assert_eq!(thinking(Thinking::Off, None), (4096, None));
}

#[test]
fn newer_models_think_as_they_like() {
    let thinking = |thinking| built("claude-opus-5", &Conversation { thinking, temperature: Some(0.3), ..asking() });
    let effort = thinking(Thinking::Effort("minimal".into()));
    assert_eq!(
        (&effort["thinking"], &effort["output_config"]),
        (&json!({"type": "adaptive"}), &json!({"effort": "low"}))
    );
    assert_eq!(effort.get("temperature"), None);
    assert_eq!(thinking(Thinking::BudgetTokens(5000))["thinking"], json!({"type": "adaptive"}));
    assert_eq!(thinking(Thinking::Off)["thinking"], json!({"type": "disabled"}));
    assert_eq!(thinking(Thinking::Default).get("thinking"), None);
}

#[test]
fn a_thinking_model_takes_no_temperature_and_no_forced_tool() {
    let tools = vec![Tool { name: "t".into(), description: String::new(), parameters: json!({}), strict: None }];
    let mut conversation = Conversation {
        thinking: Thinking::On,
        temperature: Some(0.2),
        top_k: Some(5),
        top_p: Some(0.5),
        tools,
        ..asking()
    };
    let free = body(&conversation);
    assert_eq!(free["thinking"]["type"], "enabled");
    assert_eq!([free.get("temperature"), free.get("top_k"), free.get("top_p")], [None; 3]);
    conversation.tool_choice = ToolChoice::Required;
    let forced = body(&conversation);
    assert_eq!((forced.get("thinking"), &forced["temperature"], &forced["top_k"]), (None, &json!(0.2), &json!(5)));
    assert_eq!(forced.get("top_p"), None, "one of both");
    conversation.tool_choice = ToolChoice::Auto;
    conversation.messages.push(Message {
        role: Role::Assistant,
        parts: vec![Part::ToolCall { id: "a".into(), name: "t".into(), arguments: "{}".into() }],
    });
    conversation.messages.push(result("a", "x"));
    assert_eq!(body(&conversation).get("thinking"), None, "the calls came without thought");
    let temperature =
        |temperature| body(&Conversation { temperature: Some(temperature), ..asking() })["temperature"].clone();
    assert_eq!(temperature(1.7), json!(1.0));
}

#[test]
fn only_the_vendors_own_seals_go_back_to_it() {
    let thought =
        |signature: Option<&str>| Part::Thinking { text: "t".into(), signature: signature.map(str::to_owned) };
    let redacted = |data: &str| Part::RedactedThinking { data: data.into() };
    for (part, goes) in [
        (thought(Some("EqQB+/=")), true),
        (thought(None), false),
        (thought(Some("")), false),
        (thought(Some("gAAAAABoX")), false),
        (redacted("EmwK"), true),
        (redacted("gAAAAABoX"), false),
    ] {
        let call = Part::ToolCall { id: "a".into(), name: "n".into(), arguments: "{}".into() };
        let mut conversation = Conversation { thinking: Thinking::On, ..asking() };
        conversation
            .messages
            .extend([Message { role: Role::Assistant, parts: vec![part.clone(), call] }, result("a", "x")]);
        let body = body(&conversation);
        let content = body["messages"][1]["content"].as_array().unwrap();
        assert_eq!((content.len() == 2, body.get("thinking").is_some()), (goes, goes), "{part:?}");
    }
}

#[test]
fn documents_have_a_place_and_what_has_none_is_refused() {
    let document = |source: Document| Part::Document {
        name: Some("a.pdf".into()),
        media_type: "application/pdf".into(),
        content: source,
    };
    for (source, expected) in [
        (Document::Base64("JVBE".into()), json!({"type": "base64", "media_type": "application/pdf", "data": "JVBE"})),
        (Document::Url("https://x".into()), json!({"type": "url", "url": "https://x"})),
        (Document::Text("t".into()), json!({"type": "text", "media_type": "text/plain", "data": "t"})),
    ] {
        let shown = json!({"type": "document", "source": expected, "title": "a.pdf"});
        let mut conversation = asking();
        conversation.messages[0].parts.push(document(source.clone()));
        let parts = vec![document(source)];
        let told = Part::ToolResult { call_id: "c".into(), parts, is_error: false };
        conversation.messages.push(Message { role: Role::Tool, parts: vec![told] });
        let body = body(&conversation);
        let content = &body["messages"][0]["content"];
        assert_eq!((&content[0]["content"][0], &content[2]), (&shown, &shown));
        assert_eq!(unfit(&conversation), None);
        conversation.messages[0].role = Role::Assistant;
        assert!(unfit(&conversation).is_some_and(|why| why.starts_with("a document")));
    }
}

fn words() -> impl Strategy<Value = String> {
    "[a-zé🌍+/=\"\\\\ ]{0,6}[a-z=]"
}

fn thoughts_and_calls() -> impl Strategy<Value = Vec<Part>> {
    let part = prop_oneof![
        words().prop_map(Part::Text),
        (words(), words()).prop_map(|(text, signature)| Part::Thinking { text, signature: Some(signature) }),
        words().prop_map(|data| Part::RedactedThinking { data }),
        ("[a-z0-9_-]{1,5}", "[0-9]{1,3}").prop_map(|(id, number)| Part::ToolCall {
            id,
            name: "t".into(),
            arguments: format!("{{\"z\": 1,\"n\" :{}}}", number.trim_start_matches('0').parse::<u32>().unwrap_or(0)),
        }),
    ];
    prop::collection::vec(part, 1..5)
}

fn user_parts() -> impl Strategy<Value = Vec<Part>> {
    let image = words().prop_map(|data| Image::Base64 { media_type: "image/png".into(), data });
    let image = prop_oneof![image, words().prop_map(Image::Url)].prop_map(Part::Image);
    prop::collection::vec(prop_oneof![words().prop_map(Part::Text), image], 1..4)
}

proptest! {
    /// Written out and read back, a conversation is what it was: signatures and arguments to the byte.
    #[test]
    fn a_conversation_survives_the_journey(
        turns in prop::collection::vec((user_parts(), thoughts_and_calls(), words(), any::<bool>()), 1..4),
        system in words(),
        last in user_parts(),
        temperature in 0..10u8,
    ) {
        let mut conversation = Conversation {
            messages: vec![Message::text(Role::System, system)],
            max_output_tokens: Some(100),
            temperature: Some(f32::from(temperature) / 10.0),
            stop: vec!["END".into()],
            user: Some("u".into()),
            tools: vec![Tool { name: "t".into(), description: "d".into(), parameters: json!({"type": "object"}), strict: None }],
            tool_choice: ToolChoice::Required,
            parallel_tool_calls: Some(false),
            ..Conversation::default()
        };
        for (user, assistant, text, is_error) in turns {
            conversation.messages.push(Message { role: Role::User, parts: user });
            conversation.messages.push(Message { role: Role::Assistant, parts: assistant });
            let parts = vec![Part::ToolResult { call_id: "x".into(), parts: vec![Part::Text(text)], is_error }];
            conversation.messages.push(Message { role: Role::Tool, parts });
        }
        conversation.messages.push(Message { role: Role::User, parts: last });
        // A user's message right after a tool's result is one with it and comes apart again.
        let bytes = Bytes::from(build(MODEL, &conversation, &limits(MODEL)).unwrap().json);
        let mut back = wire::anthropic::conversation(&bytes).unwrap();
        let merged = merge(conversation.messages.clone());
        back.messages = merge(back.messages);
        conversation.messages = merged;
        prop_assert_eq!(back, conversation);
    }
}

/// Users' messages side by side as one.
fn merge(messages: Vec<Message>) -> Vec<Message> {
    let mut merged: Vec<Message> = Vec::new();
    for message in messages {
        match merged.last_mut() {
            Some(last) if last.role == Role::User && message.role == Role::User => last.parts.extend(message.parts),
            _ => merged.push(message),
        }
    }
    merged
}
