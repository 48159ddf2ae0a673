//! Secrets stay here: the cloud reads placeholders, the caller reads its own words, and the ledger has what left.

use crate::stage::{Answer, DIALECTS, Stage, asking, chain, mounted, question};
use http::Method;
use protocol::{Egress, Location};
use router::{
    Configuration, RouteConfig,
    accounts::{Prices, verify_store},
    dialect::Dialect,
    redaction::Patterns,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use testkit::{FaultyModel, Reply, Wire, faulty_model::Received};

const SECRET: &str = "sk-abcdefghijklmnopqrstuvwxyz012345";
const TICKET: &str = "TICKET-4711";
const TEXT: &str = "Use sk-abcdefghijklmnopqrstuvwxyz012345 for TICKET-4711, please";

/// One provider in the cloud, on a route with this egress.
async fn stage(model: &FaultyModel, egress: Egress) -> Stage {
    Stage::of(vec![mounted("a", model.wire(), &model.base_url(), Location::Cloud)], |options| {
        options.routes[0].egress = egress;
        options.patterns = Patterns::new(&BTreeMap::from([("ticket".to_owned(), r"TICKET-\d+".to_owned())])).unwrap();
    })
    .await
}

fn holds_no_secret(received: &Received) -> bool {
    let text = String::from_utf8_lossy(&received.bytes);
    text.contains("REDACTED_1_") && text.contains("REDACTED_2_") && !text.contains(SECRET) && !text.contains(TICKET)
}

/// The digests in the ledger are those of what the provider received, in order, and the chain is whole.
async fn ledger_tells(stage: &Stage, model: &FaultyModel) {
    stage.books.flush().await;
    let rows = stage.store.page_of_ledger(0, 1_000).await.unwrap().rows;
    let left = rows.iter().filter(|row| !row.reason.starts_with("refused before sending"));
    let told: Vec<_> = left.map(|row| (row.body_sha256.clone(), row.body_bytes)).collect();
    let sent = model.received().into_iter().filter(|request| !request.bytes.is_empty());
    let sent: Vec<_> =
        sent.map(|request| (hex::encode(Sha256::digest(&request.bytes)), request.bytes.len() as u64)).collect();
    assert_eq!(told, sent);
    assert!(rows.iter().all(|row| row.principal == stage.principal && !row.reason.is_empty()), "{rows:?}");
    assert_eq!(verify_store(&stage.store).await.unwrap(), Ok(rows.len() as u64));
}

#[tokio::test]
async fn a_secret_is_a_placeholder_there_and_itself_here_on_every_wire_in_every_dialect() {
    for wire in Wire::ALL {
        for dialect in DIALECTS {
            for stream in [true, false] {
                let model = FaultyModel::start(wire).await.then(Reply::text(format!("You said: {}.", Reply::ASKED)));
                let stage = stage(&model, Egress::Redacted).await;
                let answer = stage.ask(dialect, &asking(dialect, TEXT, stream), &[]).await;
                let case = format!("{dialect:?} over {wire:?}, stream {stream}: {answer:?}");
                assert_eq!((answer.status, answer.said()), (200, format!("You said: {TEXT}.")), "{case}");
                assert!(!answer.body.contains("REDACTED"), "{case}");
                assert!(model.received().iter().all(holds_no_secret), "{case}: {:?}", model.received());
                let record = stage.record(&answer).await;
                assert_eq!((record.egress, record.redactions), (Egress::Redacted, 2), "{case}");
                ledger_tells(&stage, &model).await;
            }
        }
    }
}

fn with_a_tool(stream: bool) -> Value {
    let mut body = asking(Dialect::OpenAiChat, TEXT, stream);
    let parameters = json!({"type": "object", "properties": {"query": {"type": "string"}}});
    body["tools"] = json!([{"type": "function", "function": {"name": "search", "parameters": parameters}}]);
    body
}

/// The arguments of the only call, put together as clients do.
fn arguments(answer: &Answer) -> String {
    let place = |frame: &Value| {
        let choice = &frame["choices"][0];
        let calls = choice.get("delta").or(choice.get("message"))?.get("tool_calls")?;
        calls[0]["function"]["arguments"].as_str().map(str::to_owned)
    };
    answer.frames().iter().filter_map(place).collect()
}

#[tokio::test]
async fn a_secret_in_a_tools_arguments_comes_back_whole_though_it_comes_in_pieces() {
    for wire in Wire::ALL {
        for stream in [true, false] {
            let reply = Reply::call("search", json!({"query": format!("\"{}\"\n", Reply::ASKED)}));
            let model = FaultyModel::start(wire).await.then(reply);
            let stage = stage(&model, Egress::Redacted).await;
            let answer = stage.ask(Dialect::OpenAiChat, &with_a_tool(stream), &[]).await;
            let called: Value = serde_json::from_str(&arguments(&answer)).unwrap_or_default();
            assert_eq!(called["query"], format!("\"{TEXT}\"\n"), "{wire:?}, stream {stream}: {answer:?}");
            assert!(model.received().iter().all(holds_no_secret), "{wire:?}");
        }
    }
}

#[tokio::test]
async fn texts_for_vectors_and_prompts_to_be_counted_are_redacted_too() {
    for wire in [Wire::OpenAiChat, Wire::Ollama] {
        let model = FaultyModel::start(wire).await;
        let stage = stage(&model, Egress::Redacted).await;
        let answer = stage.embed(Dialect::OpenAiChat, TEXT, &[]).await;
        assert_eq!(answer.status, 200, "{wire:?}: {answer:?}");
        assert!(holds_no_secret(&model.received()[0]), "{wire:?}: {:?}", model.received());
        assert_eq!(stage.record(&answer).await.redactions, 2);
        ledger_tells(&stage, &model).await;
    }
    let model = FaultyModel::start(Wire::Anthropic).await;
    let stage = stage(&model, Egress::Redacted).await;
    let counted = stage.count(&asking(Dialect::Anthropic, TEXT, false), &[]).await;
    assert_eq!(counted.header("x-devmesh-token-count"), Some("exact"), "{counted:?}");
    assert!(holds_no_secret(&model.received()[0]), "{:?}", model.received());
    ledger_tells(&stage, &model).await;
}

#[tokio::test]
async fn what_cannot_be_looked_into_stays_here() {
    let image = "data:image/png;base64,iVBORw0KGgo=";
    for wire in Wire::ALL {
        let model = FaultyModel::start(wire).await;
        let mut stage = stage(&model, Egress::Redacted).await;
        stage.egress = Egress::Redacted;
        let mut body = question(Dialect::OpenAiChat, true);
        let parts =
            json!([{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": image}}]);
        body["messages"][0]["content"] = parts;
        let refused = stage.ask(Dialect::OpenAiChat, &body, &[]).await;
        assert!((400..500).contains(&refused.status), "{wire:?}: {refused:?}");
        let passed = stage.pass(stage.passing("a", Method::POST, "/audio/speech")).await;
        assert!(passed.status >= 400, "{wire:?}: {passed:?}");
        assert!(model.received().iter().all(|request| request.bytes.is_empty()), "{wire:?}: {:?}", model.paths());
        ledger_tells(&stage, &model).await;
    }
}

#[tokio::test]
async fn what_may_leave_as_it_is_leaves_as_it_is_and_is_on_record_all_the_same() {
    for wire in Wire::ALL {
        let model = FaultyModel::start(wire).await.then(Reply::status(500)).then(Reply::text("Fine."));
        let stage = stage(&model, Egress::Allowed).await;
        let answer = stage.ask(Dialect::OpenAiChat, &asking(Dialect::OpenAiChat, TEXT, true), &[]).await;
        assert_eq!((answer.status, model.received().len()), (200, 2), "{wire:?}: {answer:?}");
        assert!(String::from_utf8_lossy(&model.received()[0].bytes).contains(SECRET), "{wire:?}");
        ledger_tells(&stage, &model).await;
    }
}

#[tokio::test]
async fn a_pattern_that_is_configured_later_holds_from_then_on() {
    let model = FaultyModel::start(Wire::OpenAiChat).await;
    let stage = stage(&model, Egress::Redacted).await;
    let ask = async || {
        let body = asking(Dialect::OpenAiChat, "the colour is violet", false);
        stage.ask(Dialect::OpenAiChat, &body, &[]).await;
        String::from_utf8(model.received().pop().unwrap().bytes.to_vec()).unwrap()
    };
    assert!(ask().await.contains("violet"));
    let configuration = Configuration {
        routes: vec![RouteConfig { egress: Egress::Redacted, ..chain(&["a".to_owned()]) }],
        prices: Prices::default(),
        patterns: Patterns::new(&BTreeMap::from([("colour".to_owned(), "violet".to_owned())])).unwrap(),
        timeouts: BTreeMap::new(),
    };
    stage.router.reload(configuration).unwrap();
    assert!(!ask().await.contains("violet"));
}

#[tokio::test]
async fn an_entry_that_was_changed_is_found() {
    let model = FaultyModel::start(Wire::OpenAiChat).await;
    let stage = stage(&model, Egress::Allowed).await;
    for _ in 0..3 {
        stage.ask(Dialect::OpenAiChat, &question(Dialect::OpenAiChat, true), &[]).await;
    }
    ledger_tells(&stage, &model).await;
    let rows = stage.store.page_of_ledger(0, 10).await.unwrap().rows;
    let start = (0, rows[0].prev_hash);
    assert_eq!(router::accounts::verify(start, &rows), Ok(()));
    let mut forged = rows.clone();
    forged[1].body_sha256 = "0".repeat(64);
    assert_eq!(router::accounts::verify(start, &forged).unwrap_err().seq, 2);
    forged.remove(1);
    assert_eq!(router::accounts::verify(start, &forged).unwrap_err().seq, 2);
}
