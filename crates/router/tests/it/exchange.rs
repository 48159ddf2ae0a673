//! Every caller at every provider: what a model says arrives whole, in the caller's own words, and is told once.

use crate::stage::{Answer, CALLERS, CHAIN, DIALECTS, Ends, MODEL, Stage, asking, mounted, own_wire, question};
use protocol::{Egress, Location};
use router::{Mounted, dialect::Dialect, gateway::Inbound, providers::openai};
use serde_json::{Value, json};
use std::sync::Arc;
use testkit::{FaultyModel, Reply, Wire};

const SAID: &str = "Grüße: one two 🌍 \"three\".";

/// The caller's question, with the wish for token counts where a dialect tells them only then.
fn counted(dialect: Dialect, stream: bool) -> Value {
    let mut body = question(dialect, stream);
    if stream && matches!(dialect, Dialect::OpenAiChat | Dialect::OpenAiCompletions) {
        body["stream_options"] = json!({"include_usage": true});
    }
    body
}

struct Exchange {
    dialect: Dialect,
    wire: Wire,
    model: FaultyModel,
    answer: Answer,
}

impl Exchange {
    /// Each of `dialects` at each wire, streamed and not. Whatever is said: it is told once, by the one target, with its counts.
    async fn all(dialects: &[Dialect], reply: &Reply, body: impl Fn(Dialect, bool) -> Value, check: impl Fn(&Self)) {
        for wire in Wire::ALL {
            for &dialect in dialects {
                for stream in [true, false] {
                    let model = FaultyModel::start(wire).await.then(reply.clone().usage(11, 5));
                    let stage = Stage::over(&[&model]).await;
                    let answer = stage.ask(dialect, &body(dialect, stream), &[]).await;
                    let exchange = Self { dialect, wire, model, answer };
                    let (answer, what) = (&exchange.answer, exchange.what());
                    assert_eq!((answer.status, exchange.model.received().len()), (200, 1), "{what}");
                    assert_eq!(answer.usage(), (11, 5), "{what}");
                    assert!(!stream || answer.ends() == Ends::of_a_whole(dialect), "{:?}: {what}", answer.ends());
                    check(&exchange);
                }
            }
        }
    }

    fn what(&self) -> String {
        format!("{:?} over {:?}: {:?}", self.dialect, self.wire, self.answer)
    }

    fn passes(&self) -> bool {
        own_wire(self.dialect) == self.wire
    }

    fn received(&self) -> Value {
        self.model.received()[0].body.clone()
    }
}

#[tokio::test]
async fn a_text_arrives_in_every_dialect_from_every_provider() {
    Exchange::all(&CALLERS, &Reply::text(SAID), counted, |exchange| {
        assert_eq!(exchange.answer.said(), SAID, "{}", exchange.what());
        assert_eq!(exchange.answer.header("x-devmesh-lost-fields"), None, "{}", exchange.what());
    })
    .await;
}

#[tokio::test]
async fn what_a_model_thinks_arrives_as_thought_and_not_as_text() {
    const THOUGHT: &str = "Hm. Let me 🌍 see.";
    Exchange::all(&CALLERS, &Reply::text(SAID).thinking(THOUGHT), counted, |exchange| {
        let (answer, what) = (&exchange.answer, exchange.what());
        let expected = if exchange.dialect == Dialect::OpenAiCompletions { "" } else { THOUGHT };
        assert_eq!((answer.thought().as_str(), answer.said().as_str()), (expected, SAID), "{what}");
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_carried_is_named_and_everything_else_is() {
    let novel = |dialect, stream| {
        let mut body = counted(dialect, stream);
        body["novel"] = json!({"of": "next year"});
        body
    };
    Exchange::all(&CALLERS, &Reply::text(SAID), novel, |exchange| {
        let (lost, got) = (exchange.answer.header("x-devmesh-lost-fields"), exchange.received()["novel"].clone());
        let expected =
            if exchange.passes() { (None, json!({"of": "next year"})) } else { (Some("/novel"), Value::Null) };
        assert_eq!((lost, got), expected, "{}", exchange.what());
    })
    .await;
}

#[tokio::test]
async fn what_a_provider_has_no_words_for_is_named_as_the_caller_named_it() {
    let (penalty, seed, top_k) = (json!(0.5), json!(7), json!(3));
    for (dialect, told, place) in [
        (
            Dialect::OpenAiChat,
            [("frequency_penalty", penalty.clone()), ("seed", seed.clone()), ("top_k", top_k.clone())],
            "",
        ),
        (Dialect::OllamaChat, [("frequency_penalty", penalty), ("seed", seed), ("top_k", top_k)], "/options"),
    ] {
        for (wire, lost) in [
            (Wire::OpenAiChat, &[][..]),
            (Wire::Ollama, &[]),
            (Wire::Anthropic, &["frequency_penalty", "seed"]),
            (Wire::OpenAiResponses, &["top_k", "frequency_penalty", "seed"]),
        ] {
            let mut body = question(dialect, true);
            for (name, value) in &told {
                let at = if place.is_empty() { &mut body[name] } else { &mut body["options"][name] };
                *at = value.clone();
            }
            let model = FaultyModel::start(wire).await.then(Reply::text(SAID));
            let stage = Stage::over(&[&model]).await;
            let answer = stage.ask(dialect, &body, &[]).await;
            let named: Vec<_> = lost.iter().map(|name| format!("{place}/{name}")).collect();
            let header = answer.header("x-devmesh-lost-fields").unwrap_or_default();
            assert_eq!(header, named.join(", "), "{dialect:?} over {wire:?}");
            assert_eq!(stage.record(&answer).await.lost_fields, named, "{dialect:?} over {wire:?}");
            let sent = model.received()[0].body.to_string();
            for (name, _) in &told {
                assert_eq!(sent.contains(name), !lost.contains(name), "{name}, {dialect:?} over {wire:?}: {sent}");
            }
        }
    }
    let mut body = with_tool(Dialect::OpenAiChat, true);
    body["parallel_tool_calls"] = json!(false);
    for (wire, lost) in [(Wire::Ollama, Some("/parallel_tool_calls")), (Wire::Anthropic, None)] {
        let model = FaultyModel::start(wire).await.then(Reply::call("search", json!({"query": "q"})));
        let answer = Stage::over(&[&model]).await.ask(Dialect::OpenAiChat, &body, &[]).await;
        assert_eq!(answer.header("x-devmesh-lost-fields"), lost, "{wire:?}: {answer:?}");
    }
}

#[tokio::test]
async fn a_tool_that_must_be_called_is_asked_of_who_can_be_told_so() {
    let named = json!({"type": "function", "function": {"name": "search"}});
    for (choice, wires, status, asked) in [
        (json!("none"), &[Wire::Ollama][..], 200, 0),
        (json!("auto"), &[Wire::Ollama], 200, 0),
        (json!("required"), &[Wire::Ollama], 400, 1),
        (named.clone(), &[Wire::Ollama], 400, 1),
        (json!("required"), &[Wire::Ollama, Wire::OpenAiChat], 200, 1),
        (named, &[Wire::Ollama, Wire::OpenAiChat], 200, 1),
    ] {
        for stream in [true, false] {
            let mut models = Vec::new();
            for &wire in wires {
                models.push(FaultyModel::start(wire).await.then(Reply::call("search", json!({"query": "q"}))));
            }
            let stage = Stage::over(&models.iter().collect::<Vec<_>>()).await;
            let mut body = with_tool(Dialect::OpenAiChat, stream);
            body["tool_choice"] = choice.clone();
            let answer = stage.ask(Dialect::OpenAiChat, &body, &[]).await;
            let what = format!("{choice} over {wires:?}: {answer:?}");
            assert_eq!((answer.status, answer.header("x-devmesh-lost-fields")), (status, None), "{what}");
            let received: Vec<_> = models.iter().map(|model| model.received().len()).collect();
            let expected: Vec<_> = (0..wires.len()).map(|at| usize::from(at == asked)).collect();
            assert_eq!(received, expected, "{what}");
            match models.get(asked).map(|model| model.received()[0].body.clone()) {
                None => assert!(answer.body.contains("must be called"), "{what}"),
                Some(sent) if wires[asked] == Wire::Ollama => {
                    assert_eq!(sent["tools"].is_null(), choice == "none", "{what}: {sent}");
                }
                Some(sent) => assert_eq!(sent["tool_choice"], choice, "{what}"),
            }
        }
    }
}

fn with_tool(dialect: Dialect, stream: bool) -> Value {
    let mut body = counted(dialect, stream);
    let schema = json!({"type": "object", "properties": {"query": {"type": "string"}, "count": {"type": "integer"}}});
    let function = json!({"name": "search", "description": "Looks things up.", "parameters": schema});
    body["tools"] = match dialect {
        Dialect::OpenAiResponses => {
            json!([{"type": "function", "name": "search", "description": "Looks things up.", "parameters": schema}])
        }
        Dialect::Anthropic => {
            json!([{"name": "search", "description": "Looks things up.", "input_schema": schema}])
        }
        _ => json!([{"type": "function", "function": function}]),
    };
    body
}

#[tokio::test]
async fn a_tool_call_arrives_in_every_dialect_that_has_them() {
    let arguments = json!({"query": "a rather \"long\" question", "count": 3});
    for text in ["", "Let me look."] {
        let reply = Reply::text(text).tool("search", arguments.clone());
        Exchange::all(&DIALECTS, &reply, with_tool, |exchange| {
            let expected = [("search".to_owned(), arguments.clone())];
            assert_eq!(exchange.answer.called(), expected, "{}", exchange.what());
            if !text.is_empty() {
                assert_eq!(exchange.answer.said(), text, "{}", exchange.what());
            }
        })
        .await;
    }
}

fn schema() -> Value {
    json!({
        "type": "object", "properties": {"answer": {"type": "integer"}}, "required": ["answer"],
        "additionalProperties": false,
    })
}

fn with_schema(dialect: Dialect, stream: bool) -> Value {
    let mut body = counted(dialect, stream);
    let named = json!({"name": "answer", "schema": schema(), "strict": true});
    match dialect {
        Dialect::OpenAiResponses => {
            body["text"] =
                json!({"format": {"type": "json_schema", "name": "answer", "schema": schema(), "strict": true}});
        }
        Dialect::Anthropic => body["output_config"] = json!({"format": {"type": "json_schema", "schema": schema()}}),
        Dialect::OllamaChat | Dialect::OllamaGenerate => body["format"] = schema(),
        _ => body["response_format"] = json!({"type": "json_schema", "json_schema": named}),
    }
    body
}

#[tokio::test]
async fn the_shape_that_an_answer_must_have_reaches_every_provider() {
    let dialects: Vec<_> = CALLERS.into_iter().filter(|dialect| *dialect != Dialect::OpenAiCompletions).collect();
    let said = r#"{"answer": 42}"#;
    Exchange::all(&dialects, &Reply::text(said), with_schema, |exchange| {
        let asked = exchange.received();
        let told = match exchange.wire {
            Wire::OpenAiChat => asked["response_format"]["json_schema"]["schema"] == schema(),
            Wire::OpenAiResponses => asked["text"]["format"]["schema"] == schema(),
            Wire::Ollama => asked["format"] == schema(),
            Wire::Anthropic if exchange.passes() => asked["output_config"]["format"]["schema"] == schema(),
            // A model that is not known to take schemas is asked in words.
            Wire::Anthropic => asked["system"].to_string().contains("JSON Schema"),
        };
        assert!(told, "{asked} {}", exchange.what());
        assert_eq!(exchange.answer.said(), said, "{}", exchange.what());
    })
    .await;
}

/// The router's own comments are no part of the vendor's answer.
fn without_comments(body: &str) -> String {
    body.split_inclusive("\n\n").filter(|event| !event.starts_with(": ")).collect()
}

#[tokio::test]
async fn where_caller_and_provider_speak_the_same_every_byte_passes_both_ways() {
    // The same one is there when a test before this one was quicker.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let call = Reply::text("Let me look.").tool("search", json!({"query": "q"}));
    let replies = [(Reply::text(SAID), false), (Reply::text(SAID).thinking("Hm. 🌍"), false), (call, true)];
    for (dialect, (reply, tools)) in
        CALLERS.into_iter().flat_map(|dialect| replies.clone().map(|reply| (dialect, reply)))
    {
        for stream in [true, false] {
            // An Ollama is always asked for a stream, so that a stall can be seen; its one body is put together here.
            let is_ollama = own_wire(dialect) == Wire::Ollama;
            if (is_ollama && !stream) || (tools && !DIALECTS.contains(&dialect)) {
                continue;
            }
            let (a, twin) = (
                FaultyModel::start(own_wire(dialect)).await.then(reply.clone()),
                FaultyModel::start(own_wire(dialect)).await.then(reply.clone()),
            );
            let stage = Stage::over(&[&a]).await;
            let body = if tools { with_tool(dialect, stream) } else { counted(dialect, stream) };
            let answer = stage.ask(dialect, &body, &[]).await;
            let sent = a.received()[0].clone();
            if !is_ollama {
                let expected = body.to_string().replace(&format!("\"{CHAIN}\""), &format!("\"{MODEL}\""));
                assert_eq!(String::from_utf8_lossy(&sent.bytes), expected, "{dialect:?}, stream {stream}");
            }
            let url = format!("http://{}{}", twin.address(), sent.path);
            let said = reqwest::Client::new().post(url).body(sent.bytes.clone()).send().await.unwrap();
            let mut said = said.text().await.unwrap();
            // Clients know the model by the name they asked for.
            said = said.replace(&format!("\"model\":\"{MODEL}\""), &format!("\"model\":\"{CHAIN}\""));
            assert_eq!(without_comments(&answer.body), said, "{dialect:?}, stream {stream}");
        }
    }
}

#[tokio::test]
async fn how_much_to_think_is_told_in_words_that_the_server_takes_or_named_as_lost() {
    for (asked, told, lost) in [
        ("minimal", Some("low"), false),
        ("low", Some("low"), false),
        ("medium", Some("medium"), false),
        ("high", Some("high"), false),
        ("xhigh", Some("high"), false),
        ("max", Some("high"), false),
        ("utmost", None, true),
    ] {
        let responses = || {
            let mut body = question(Dialect::OpenAiResponses, true);
            body["reasoning"] = json!({"effort": asked});
            body
        };
        let chat = || {
            let mut body = question(Dialect::OpenAiChat, true);
            body["reasoning_effort"] = json!(asked);
            body
        };
        for (dialect, body, wire, place, field) in [
            (Dialect::OpenAiResponses, responses(), Wire::OpenAiChat, "/reasoning_effort", "/reasoning"),
            (Dialect::OpenAiChat, chat(), Wire::OpenAiResponses, "/reasoning/effort", "/reasoning_effort"),
        ] {
            let model = FaultyModel::start(wire).await.then(Reply::text(SAID));
            let answer = Stage::over(&[&model]).await.ask(dialect, &body, &[]).await;
            let sent = model.received()[0].body.clone();
            assert_eq!(sent.pointer(place).and_then(Value::as_str), told, "{asked} to {wire:?}: {sent}");
            assert_eq!(answer.header("x-devmesh-lost-fields"), lost.then_some(field), "{asked} to {wire:?}");
        }
        // A word that none knows is not ours to judge.
        let model = FaultyModel::start(own_wire(Dialect::OpenAiChat)).await.then(Reply::text(SAID));
        Stage::over(&[&model]).await.ask(Dialect::OpenAiChat, &chat(), &[]).await;
        let sent = &model.received()[0].body["reasoning_effort"];
        assert_eq!(sent, told.unwrap_or(asked), "a server at home is asked for what all of them take");
    }
}

#[tokio::test]
async fn a_route_may_be_called_like_a_model_and_answers_say_that_name() {
    for name in ["gpt-5.5", "claude-sonnet-4-5", "qwen3:8b"] {
        for dialect in CALLERS {
            for stream in [true, false] {
                let model = FaultyModel::start(own_wire(dialect)).await.then(Reply::text(SAID));
                let stage = Stage::with(&[&model], |options| options.routes[0].name = name.to_owned()).await;
                let mut body = counted(dialect, stream);
                body["model"] = json!(name);
                let answer = stage.ask(dialect, &body, &[]).await;
                assert_eq!((answer.status, answer.said().as_str()), (200, SAID), "{name} {dialect:?}: {answer:?}");
                assert!(answer.body.contains(&format!("\"model\":\"{name}\"")), "{name} {dialect:?}: {answer:?}");
                assert!(!answer.body.contains(MODEL), "{name} {dialect:?}: {answer:?}");
                assert_eq!(answer.header("x-devmesh-model"), Some(MODEL), "who it was stands in the head");
            }
        }
    }
}

#[tokio::test]
async fn tools_that_are_not_allowed_are_told_to_nobody_who_cannot_be_told_so() {
    let tool = |name: &str| json!({"type": "function", "function": {"name": name, "parameters": {"type": "object"}}});
    let flat = |name: &str| json!({"type": "function", "name": name, "parameters": {"type": "object"}});
    let mut chat = question(Dialect::OpenAiChat, true);
    chat["tools"] = json!([tool("search"), tool("erase")]);
    chat["tool_choice"] = json!({"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [
        {"type": "function", "function": {"name": "search"}}, {"type": "web_search"}]}});
    let mut responses = question(Dialect::OpenAiResponses, true);
    responses["tools"] = json!([flat("search"), flat("erase")]);
    responses["tool_choice"] = json!({"type": "allowed_tools", "mode": "required", "tools": [
        {"type": "function", "name": "search"}, {"type": "function", "name": "unheard"}]});
    for (dialect, body, lost) in [
        (Dialect::OpenAiChat, chat, "/tool_choice/allowed_tools/tools/1"),
        (Dialect::OpenAiResponses, responses, "/tool_choice/tools/1"),
    ] {
        for wire in [Wire::OpenAiChat, Wire::OpenAiResponses, Wire::Anthropic] {
            let model = FaultyModel::start(wire).await.then(Reply::call("search", json!({})));
            let answer = Stage::over(&[&model]).await.ask(dialect, &body, &[]).await;
            let sent = model.received()[0].body.clone();
            let what = format!("{dialect:?} over {wire:?}: {answer:?} {sent}");
            if own_wire(dialect) == wire {
                assert_eq!((&sent["tool_choice"], &sent["tools"]), (&body["tool_choice"], &body["tools"]), "{what}");
                continue;
            }
            assert_eq!(answer.header("x-devmesh-lost-fields"), Some(lost), "{what}");
            assert!(sent["tools"].to_string().contains("search") && !sent.to_string().contains("erase"), "{what}");
            assert!(sent["tool_choice"].to_string().contains(if wire == Wire::Anthropic { "any" } else { "required" }));
        }
    }
}

#[tokio::test]
async fn whom_the_caller_serves_is_told_to_a_vendors_watch_or_named_as_lost() {
    for (name, location, wire, is_told) in [
        ("user", Location::Cloud, Wire::OpenAiChat, true),
        ("user", Location::Local, Wire::OpenAiChat, false),
        ("user", Location::Cloud, Wire::OpenAiResponses, true),
        ("safety_identifier", Location::Cloud, Wire::OpenAiResponses, true),
        ("user", Location::Local, Wire::OpenAiResponses, false),
        ("user", Location::Cloud, Wire::Anthropic, true),
        ("user", Location::Local, Wire::Ollama, false),
    ] {
        for dialect in [Dialect::OpenAiChat, Dialect::OpenAiResponses, Dialect::Anthropic] {
            if own_wire(dialect) == wire || (dialect == Dialect::Anthropic && name != "user") {
                continue;
            }
            let model = FaultyModel::start(wire).await.then(Reply::text(SAID));
            let provider = mounted("a", wire, &model.base_url(), location);
            let stage = Stage::of(vec![provider], |_| ()).await;
            let mut body = question(dialect, true);
            let place = if dialect == Dialect::Anthropic { "/metadata/user_id" } else { "/user" };
            match dialect {
                Dialect::Anthropic => body["metadata"] = json!({"user_id": "customer-7"}),
                _ => body[name] = json!("customer-7"),
            }
            let answer = stage.ask(dialect, &body, &[]).await;
            let sent = model.received()[0].body.to_string();
            let what = format!("{name} of {dialect:?} over {wire:?} in {location:?}: {answer:?}");
            assert_eq!((answer.status, sent.contains("customer-7")), (200, is_told), "{what}: {sent}");
            let lost = answer.header("x-devmesh-lost-fields").map(str::to_owned);
            assert_eq!(lost, (!is_told).then(|| place.to_owned()), "{what}");
        }
    }
}

#[tokio::test]
async fn levels_of_thinking_are_those_that_a_person_knows_of_the_server() {
    let chat = |effort: &str| ("reasoning_effort", json!(effort));
    let responses = |effort: &str| ("reasoning", json!({"effort": effort, "summary": "auto"}));
    for (location, efforts, asked, told) in [
        (Location::Local, &[][..], "xhigh", "high"),
        (Location::Local, &["high", "xhigh"], "xhigh", "xhigh"),
        (Location::Local, &["high", "xhigh"], "low", "high"),
        (Location::Local, &["high", "faulty:latest=xhigh"], "low", "xhigh"),
        (Location::Local, &["other=xhigh"], "xhigh", "high"),
        (Location::Cloud, &["high"], "xhigh", "high"),
    ] {
        for wire in [Wire::OpenAiChat, Wire::OpenAiResponses] {
            for dialect in [Dialect::OpenAiChat, Dialect::OpenAiResponses] {
                let is_unknown = efforts.iter().all(|entry| entry.starts_with("other="));
                if is_unknown && dialect == Dialect::OpenAiResponses && wire == Wire::OpenAiResponses {
                    // The caller's own bytes pass.
                    continue;
                }
                let model = FaultyModel::start(wire).await.then(Reply::text(SAID));
                let api = if wire == Wire::OpenAiChat { openai::Api::ChatCompletions } else { openai::Api::Responses };
                let options = openai::Options {
                    api,
                    efforts: openai::EffortsByModel::of(efforts.iter().copied()).unwrap(),
                    ..openai::Options::new("a", model.base_url(), location)
                };
                let provider = Mounted::new(Arc::new(openai::OpenAi::new(options).unwrap()), 4);
                let stage = Stage::of(vec![provider], |_| ()).await;
                let mut body = question(dialect, true);
                let (name, value) = if dialect == Dialect::OpenAiChat { chat(asked) } else { responses(asked) };
                body[name] = value;
                let answer = stage.ask(dialect, &body, &[]).await;
                let sent = model.received()[0].body.clone();
                let (name, value) = if wire == Wire::OpenAiChat { chat(told) } else { responses(told) };
                assert_eq!(
                    (answer.status, &sent[name]),
                    (200, &value),
                    "{efforts:?} {dialect:?} over {wire:?}: {sent}"
                );
            }
        }
    }
}

#[tokio::test]
async fn half_a_character_in_a_request_costs_that_character_alone() {
    for location in [Location::Local, Location::Cloud] {
        for wire in Wire::ALL {
            for dialect in DIALECTS {
                let model = FaultyModel::start(wire).await.then(Reply::text(SAID));
                let provider = mounted("a", wire, &model.base_url(), location);
                let stage = Stage::of(vec![provider], |options| options.routes[0].egress = Egress::Redacted).await;
                let body = asking(dialect, "Cut off: HALF", true).to_string().replace("HALF", "\\ud83d");
                let inbound = Inbound { body: body.into(), ..stage.inbound(dialect, &json!({}), &[]) };
                let answer = Answer::read(dialect, stage.router.answer(inbound).await).await;
                let sent = String::from_utf8_lossy(&model.received()[0].bytes).into_owned();
                let what = format!("{dialect:?} over {wire:?} in {location:?}: {sent} {answer:?}");
                let passes = own_wire(dialect) == wire && location == Location::Local;
                // What passes is the server's to read; this one does not.
                if !passes {
                    assert_eq!((answer.status, answer.said().as_str()), (200, SAID), "{what}");
                }
                let told = if passes { &["\\ud83d"][..] } else { &["\u{fffd}", "\\ufffd"] };
                assert!(told.iter().any(|half| sent.contains(&format!("Cut off: {half}"))), "{what}");
            }
        }
    }
}
