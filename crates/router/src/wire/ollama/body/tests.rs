use super::*;
use crate::conversation::{Image, Message, Part};
use protocol::Role;
use std::time::Duration;

fn settings() -> Settings<'static> {
    Settings { provider: "ollama", context_tokens: 16_384, keep_alive: Duration::from_secs(1800) }
}

fn able() -> Details {
    Details { thinking: true, tools: true, vision: Some(true), ..Details::default() }
}

fn of(conversation: &Conversation, details: &Details) -> Value {
    body(conversation, "qwen3:8b", details, &settings()).unwrap()
}

fn shell() -> Tool {
    Tool {
        name: "shell".to_owned(),
        description: "Runs a command.".to_owned(),
        parameters: json!({"type": "object"}),
        strict: None,
    }
}

#[test]
fn a_conversation_with_everything_in_ollamas_words() {
    let call = |id: &str, arguments: &str| Part::ToolCall {
        id: id.to_owned(),
        name: "shell".to_owned(),
        arguments: arguments.to_owned(),
    };
    let picture = Image::Base64 { media_type: "image/png".to_owned(), data: "iVBORw0KGgo=".to_owned() };
    let thought = Part::Thinking { text: "Hm.".to_owned(), signature: Some("sealed".to_owned()) };
    let result = Part::ToolResult {
        call_id: "a".to_owned(),
        parts: vec![Part::Text("README.md".to_owned()), Part::Text("LICENSE".to_owned())],
        is_error: false,
    };
    let conversation = Conversation {
        messages: vec![
            Message::text(Role::System, "Be brief."),
            Message { role: Role::User, parts: vec![Part::Text("Look.".to_owned()), Part::Image(picture)] },
            Message {
                role: Role::Assistant,
                parts: vec![thought, call("a", r#"{"command":"ls"}"#), call("b", "not { json")],
            },
            Message { role: Role::Tool, parts: vec![result] },
        ],
        tools: vec![shell()],
        format: Format::Schema { name: "answer".to_owned(), schema: json!({"type": "object"}), strict: Some(true) },
        thinking: Thinking::On,
        max_output_tokens: Some(100),
        temperature: Some(0.2),
        top_p: Some(0.9),
        top_k: Some(40),
        frequency_penalty: Some(0.1),
        presence_penalty: Some(-0.5),
        seed: Some(7),
        stop: vec!["END".to_owned()],
        user: Some("somebody".to_owned()),
        ..Conversation::default()
    };
    let body = of(&conversation, &able());
    insta::assert_snapshot!(serde_json::to_string_pretty(&body).unwrap(), @r#"
    {
      "model": "qwen3:8b",
      "messages": [
        {
          "role": "system",
          "content": "Be brief."
        },
        {
          "role": "user",
          "content": "Look.",
          "images": [
            "iVBORw0KGgo="
          ]
        },
        {
          "role": "assistant",
          "content": "",
          "thinking": "Hm.",
          "tool_calls": [
            {
              "id": "a",
              "function": {
                "name": "shell",
                "arguments": {
                  "command": "ls"
                }
              }
            },
            {
              "id": "b",
              "function": {
                "name": "shell",
                "arguments": {
                  "arguments": "not { json"
                }
              }
            }
          ]
        },
        {
          "role": "tool",
          "content": "README.md\nLICENSE",
          "tool_call_id": "a",
          "tool_name": "shell"
        }
      ],
      "stream": true,
      "truncate": false,
      "shift": false,
      "keep_alive": "1800s",
      "options": {
        "num_ctx": 16384,
        "num_predict": 100,
        "temperature": 0.2,
        "top_p": 0.9,
        "top_k": 40,
        "frequency_penalty": 0.1,
        "presence_penalty": -0.5,
        "seed": 7,
        "stop": [
          "END"
        ]
      },
      "tools": [
        {
          "type": "function",
          "function": {
            "name": "shell",
            "description": "Runs a command.",
            "parameters": {
              "type": "object"
            }
          }
        }
      ],
      "logprobs": true,
      "format": {
        "type": "object"
      },
      "think": true
    }
    "#);
}

#[test]
fn a_choice_of_tools_is_held_to_or_refused() {
    let other = Tool { name: "read".to_owned(), ..shell() };
    for (tool_choice, tools, expected) in [
        (ToolChoice::Auto, 2, Ok("shell read")),
        (ToolChoice::None, 2, Ok("")),
        (ToolChoice::Required, 2, Err("that a tool must be called")),
        (ToolChoice::Named("read".to_owned()), 2, Err("that the tool `read` must be called")),
        // Without tools it says nothing.
        (ToolChoice::Required, 0, Ok("")),
    ] {
        let offered = [shell(), other.clone()].into_iter().take(tools).collect();
        let conversation = Conversation { tools: offered, tool_choice: tool_choice.clone(), ..Conversation::default() };
        assert_eq!(not_carried(&conversation, None), []);
        match (body(&conversation, "qwen3:8b", &able(), &settings()), expected) {
            (Ok(body), Ok(expected)) => {
                let names = body["tools"].as_array().into_iter().flatten();
                let names: Vec<_> = names.map(|tool| tool["function"]["name"].as_str().unwrap()).collect();
                assert_eq!(names.join(" "), expected, "{tool_choice:?}");
                assert_eq!(body.get("logprobs").is_some(), !names.is_empty());
            }
            (Err(Error::Refused { message, .. }), Err(expected)) => assert!(message.contains(expected), "{message}"),
            (got, _) => panic!("{tool_choice:?}: {got:?}"),
        }
    }
}

fn words(role: Role, text: &str) -> Message {
    Message::text(role, text)
}

fn call(id: &str) -> Part {
    Part::ToolCall { id: id.to_owned(), name: format!("tool_{id}"), arguments: "{}".to_owned() }
}

fn result(id: &str, parts: Vec<Part>) -> Part {
    Part::ToolResult { call_id: id.to_owned(), parts, is_error: id == "failed" }
}

fn file(media_type: &str, data: &str) -> Part {
    Part::Image(Image::Base64 { media_type: media_type.to_owned(), data: data.to_owned() })
}

/// Role and content of each message, with how many images and calls it has.
fn sketch(messages: Vec<Message>) -> Vec<String> {
    let body = of(&Conversation { messages, ..Conversation::default() }, &able());
    let count = |message: &Value, name: &str| message[name].as_array().map_or(0, Vec::len);
    let messages = body["messages"].as_array().unwrap().iter();
    messages
        .map(|message| {
            let (role, content) = (message["role"].as_str().unwrap(), message["content"].as_str().unwrap());
            let more = match (count(message, "images"), count(message, "tool_calls")) {
                (0, 0) => String::new(),
                (images, 0) => format!(" +{images} images"),
                (_, calls) => format!(" +{calls} calls"),
            };
            format!("{role}: {content}{more}")
        })
        .collect()
}

#[test]
fn messages_stand_where_templates_take_them() {
    let text = |text: &str| Part::Text(text.to_owned());
    for (messages, expected) in [
        (
            vec![words(Role::System, "Be brief."), words(Role::User, "x"), words(Role::System, "Agents: none.")],
            &["system: Be brief.\n\nAgents: none.", "user: x"][..],
        ),
        (vec![words(Role::User, "x"), words(Role::System, "Late.")], &["system: Late.", "user: x"]),
        (
            vec![
                words(Role::User, "x"),
                Message { role: Role::Assistant, parts: vec![call("a"), call("b")] },
                Message { role: Role::Tool, parts: vec![result("a", vec![text("1")])] },
                words(Role::User, "Wait."),
                Message { role: Role::Tool, parts: vec![result("b", vec![text("2")])] },
                words(Role::Assistant, "So."),
            ],
            &["user: x", "assistant:  +2 calls", "tool: 1", "tool: 2", "user: Wait.", "assistant: So."],
        ),
        (
            vec![
                Message { role: Role::Assistant, parts: vec![call("a"), call("failed")] },
                Message {
                    role: Role::User,
                    parts: vec![
                        result("a", vec![text("1"), file("image/png", "AAAA")]),
                        text("Between."),
                        result("failed", vec![text("no file")]),
                        text("Go on."),
                    ],
                },
            ],
            &["assistant:  +2 calls", "tool: 1", "tool: Error: no file", "user:  +1 images", "user: Between.\nGo on."],
        ),
        (
            vec![
                Message { role: Role::Assistant, parts: vec![text("See."), file("image/png", "AAAA")] },
                words(Role::User, "x"),
            ],
            &["assistant: See.", "user:  +1 images", "user: x"],
        ),
        (
            vec![Message {
                role: Role::User,
                parts: vec![text("Read:"), file("text/plain; charset=utf-8", "R3LDvMOfZQ==")],
            }],
            &["user: Read:\nGrüße"],
        ),
        (
            vec![Message {
                role: Role::User,
                parts: vec![Part::Image(Image::Url("data:text/csv;base64,YSxi".to_owned()))],
            }],
            &["user: a,b"],
        ),
    ] {
        assert_eq!(sketch(messages), expected);
    }
}

#[test]
fn a_file_that_ollama_cannot_read_makes_it_unfit() {
    for (part, said) in [
        (file("application/pdf", "JVBERi0x"), "`application/pdf`"),
        (Part::Image(Image::Url("data:application/pdf;base64,JVBERi0x".to_owned())), "`application/pdf`"),
        (file("audio/wav", "AAAA"), "`audio/wav`"),
        (file("text/plain", "/w=="), "no text in UTF-8"),
    ] {
        for part in [part.clone(), result("a", vec![part])] {
            let message = Message { role: Role::User, parts: vec![part] };
            let conversation = Conversation { messages: vec![message], ..Conversation::default() };
            let error = body(&conversation, "qwen3:8b", &able(), &settings()).unwrap_err();
            assert!(matches!(&error, Error::Refused { message, .. } if message.contains(said)), "{error}");
        }
    }
}

#[test]
fn thinking_is_asked_for_as_the_model_takes_it() {
    let think = |thinking: Thinking, details: &Details| {
        let conversation = Conversation { thinking, ..Conversation::default() };
        of(&conversation, details).get("think").cloned()
    };
    let by_level = Details { thinks_by_level: true, ..able() };
    let effort = |level: &str| Thinking::Effort(level.to_owned());
    assert_eq!(think(Thinking::Default, &able()), None);
    assert_eq!(think(Thinking::Off, &able()), Some(json!(false)));
    assert_eq!(think(Thinking::BudgetTokens(1024), &able()), Some(json!(true)));
    assert_eq!(think(effort("low"), &able()), Some(json!(true)));
    assert_eq!(think(effort("minimal"), &by_level), Some(json!("low")));
    assert_eq!(think(effort("xhigh"), &by_level), Some(json!("high")));
    assert_eq!(think(effort("none"), &by_level), Some(json!(false)));
    assert_eq!(think(Thinking::On, &Details::default()), None, "it would be refused");
}

#[test]
fn images_that_cannot_be_looked_at_are_refused_before_anything_is_sent() {
    let with = |image: Image, details: &Details| {
        let message = Message { role: Role::User, parts: vec![Part::Image(image)] };
        let conversation = Conversation { messages: vec![message], ..Conversation::default() };
        body(&conversation, "qwen3:8b", details, &settings())
    };
    let url = |url: &str| Image::Url(url.to_owned());
    let error = with(url("https://example.invalid/cat.png"), &able()).unwrap_err();
    assert!(matches!(&error, Error::Refused { message, .. } if message.contains("by URL")), "{error}");
    let inline = with(url("data:image/png;base64,AAAA"), &able()).unwrap();
    assert_eq!(inline["messages"][0]["images"], json!(["AAAA"]));
    let blind = Details { vision: Some(false), ..able() };
    let error = with(url("data:image/png;base64,AAAA"), &blind).unwrap_err();
    assert!(error.to_string().contains("`qwen3:8b` cannot look at images"), "{error}");
}

#[test]
fn an_answer_that_was_begun_is_sent_as_it_stands() {
    let pieces = vec![Part::Text("1, 2".to_owned()), Part::Text(", 3,".to_owned())];
    let begun = Message { role: Role::Assistant, parts: pieces };
    let conversation =
        Conversation { messages: vec![Message::text(Role::User, "Count."), begun], ..Conversation::default() };
    assert_eq!(of(&conversation, &able())["messages"][1], json!({"role": "assistant", "content": "1, 2, 3,"}));
}
