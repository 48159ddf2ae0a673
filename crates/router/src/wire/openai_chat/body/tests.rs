use super::*;
use crate::conversation::Tool;

fn dressing(location: Location) -> Dressing<'static> {
    Dressing {
        provider: "p",
        model: "gpt",
        location,
        output_limit: OutputLimit::MaxTokens,
        prefill: Prefill::None,
        efforts: &Efforts::COMMON,
    }
}

fn asking(messages: Vec<Message>) -> Conversation {
    Conversation { messages, ..Conversation::default() }
}

fn picture() -> Part {
    Part::Image(Image::Base64 { media_type: "image/png".to_owned(), data: "AAAA".to_owned() })
}

fn result(id: &str, parts: Vec<Part>, is_error: bool) -> Message {
    Message { role: Role::Tool, parts: vec![Part::ToolResult { call_id: id.to_owned(), parts, is_error }] }
}

#[test]
fn a_conversation_with_tools_in_openais_words() {
    let call = |id: &str, arguments: &str| Part::ToolCall {
        id: id.to_owned(),
        name: "shell".to_owned(),
        arguments: arguments.to_owned(),
    };
    let thought = Part::Thinking { text: "Hm.".to_owned(), signature: None };
    let parts = vec![thought, call("a", "{\"command\": \"ls\"}"), call("b", "not { json")];
    let conversation = Conversation {
        tools: vec![Tool {
            name: "shell".to_owned(),
            description: "Runs a command.".to_owned(),
            parameters: json!({"type": "object"}),
            strict: Some(true),
        }],
        tool_choice: ToolChoice::Named("shell".to_owned()),
        parallel_tool_calls: Some(false),
        max_output_tokens: Some(100),
        temperature: Some(0.7),
        top_k: Some(40),
        stop: vec!["END".to_owned()],
        user: Some("me".to_owned()),
        ..asking(vec![
            Message::text(Role::System, "Be brief."),
            Message { role: Role::User, parts: vec![Part::Text("Look".to_owned()), Part::Text("here.".to_owned())] },
            Message { role: Role::Assistant, parts },
            result("a", vec![Part::Text("README.md".to_owned()), picture()], false),
            result("b", vec![Part::Text("no JSON".to_owned())], true),
            Message::text(Role::User, "Go on."),
        ])
    };
    let mut expected = json!({
        "model": "gpt", "stream": true, "stream_options": {"include_usage": true},
        "max_tokens": 100, "temperature": 0.7, "top_k": 40, "stop": ["END"],
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Look\nhere."},
            {"role": "assistant", "content": null, "reasoning_content": "Hm.", "tool_calls": [
                {"id": "a", "type": "function", "function": {"name": "shell", "arguments": "{\"command\": \"ls\"}"}},
                {"id": "b", "type": "function", "function": {"name": "shell", "arguments": "not { json"}},
            ]},
            {"role": "tool", "content": "README.md", "tool_call_id": "a"},
            {"role": "tool", "content": "Error: no JSON", "tool_call_id": "b"},
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]},
            {"role": "user", "content": "Go on."},
        ],
        "tools": [{"type": "function", "function": {
            "name": "shell", "description": "Runs a command.", "parameters": {"type": "object"}, "strict": true,
        }}],
        "tool_choice": {"type": "function", "function": {"name": "shell"}},
        "parallel_tool_calls": false,
    });
    assert_eq!(body(&conversation, &dressing(Location::Local)), expected);
    expected["messages"][2].as_object_mut().unwrap().remove("reasoning_content");
    expected.as_object_mut().unwrap().remove("top_k");
    expected["user"] = json!("me");
    assert_eq!(body(&conversation, &dressing(Location::Cloud)), expected);
}

#[test]
fn images_keep_their_place() {
    let parts = vec![Part::Text("a".to_owned()), picture(), Part::Text("b".to_owned())];
    let conversation = asking(vec![Message { role: Role::User, parts }]);
    let content = &body(&conversation, &dressing(Location::Local))["messages"][0]["content"];
    let kinds: Vec<_> = content.as_array().unwrap().iter().map(|part| part["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["text", "image_url", "text"]);
}

#[test]
fn an_answer_to_go_on_with_is_marked_as_each_server_wants_it() {
    let conversation = asking(vec![Message::text(Role::User, "Hi"), Message::text(Role::Assistant, "Hel")]);
    let sent = |prefill| body(&conversation, &Dressing { prefill, ..dressing(Location::Local) });
    assert_eq!(sent(Prefill::LastMessage)["messages"][1], json!({"role": "assistant", "content": "Hel"}));
    assert_eq!(sent(Prefill::PrefixField)["messages"][1]["prefix"], true);
    let vllm = sent(Prefill::VllmFlags);
    assert_eq!((&vllm["continue_final_message"], &vllm["add_generation_prompt"]), (&json!(true), &json!(false)));
    let asking = asking(vec![Message::text(Role::User, "Hi")]);
    let plain = body(&asking, &Dressing { prefill: Prefill::VllmFlags, ..dressing(Location::Local) });
    assert_eq!(plain.get("continue_final_message"), None);
}

#[test]
fn a_schema_is_strict_where_it_can_be() {
    let strict = json!({
        "type": "object", "required": ["a"], "additionalProperties": false,
        "properties": {"a": {"type": "array", "items": {"type": "string"}}},
    });
    let mut loose = strict.clone();
    loose["required"] = json!([]);
    let sent = |schema: &Value, strict| {
        let format = Format::Schema { name: "answer".to_owned(), schema: schema.clone(), strict };
        let conversation = Conversation { format, ..Conversation::default() };
        body(&conversation, &dressing(Location::Local))["response_format"]["json_schema"].clone()
    };
    assert_eq!(sent(&strict, None), json!({"name": "answer", "schema": strict, "strict": true}));
    assert_eq!(sent(&loose, None)["strict"], false);
    assert_eq!(sent(&strict, Some(false))["strict"], false);
}

#[test]
fn thinking_is_said_so_that_no_server_refuses_it() {
    let sent = |thinking, location| body(&Conversation { thinking, ..Conversation::default() }, &dressing(location));
    assert_eq!(sent(Thinking::Effort("low".to_owned()), Location::Cloud)["reasoning_effort"], "low");
    assert_eq!(sent(Thinking::Off, Location::Local)["chat_template_kwargs"], json!({"enable_thinking": false}));
    assert_eq!(sent(Thinking::BudgetTokens(9), Location::Cloud), sent(Thinking::Default, Location::Cloud));
    let limit = Dressing { output_limit: OutputLimit::MaxCompletionTokens, ..dressing(Location::Cloud) };
    let conversation = Conversation { max_output_tokens: Some(9), ..Conversation::default() };
    assert_eq!(body(&conversation, &limit)["max_completion_tokens"], 9);
}
