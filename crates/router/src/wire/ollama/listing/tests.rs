use super::embedding::{EmbeddingShape, embed, embeddings};
use super::*;
use crate::providers::Embeddings;
use protocol::{Location, Route};
use std::time::Duration;

fn model(name: &str, available: bool) -> Model {
    Model {
        context_tokens: Some(8192),
        native_tools: true,
        structured_output: true,
        available,
        digest: Some("b9657ad9afbaf312026176065773f14b0666aa381ee9c981f6cd4327e7a01c8f".to_owned()),
        size_bytes: Some(98_363_007),
        ..Model::new("ollama", name, Location::Local)
    }
}

#[test]
fn routes_and_models_that_can_answer_are_listed() {
    let models = Models {
        models: vec![model("a:7b", true), model("gone", false)],
        routes: vec![
            Route { name: "fast".to_owned(), targets: vec![model("gone", false), model("a:7b", true)], why: None },
            Route { name: "dead".to_owned(), targets: vec![model("gone", false)], why: None },
        ],
        unavailable: vec![],
        not_asked: vec![],
    };
    let tags = tags(&models);
    let names: Vec<_> =
        tags["models"].as_array().unwrap().iter().map(|model| model["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["fast", "ollama/a:7b"]);
    insta::assert_snapshot!(tags["models"][1], @r#"{"name":"ollama/a:7b","model":"ollama/a:7b","modified_at":"1970-01-01T00:00:00Z","size":98363007,"digest":"b9657ad9afbaf312026176065773f14b0666aa381ee9c981f6cd4327e7a01c8f","details":{"parent_model":"","format":"","family":"ollama","families":["ollama"],"parameter_size":"","quantization_level":""}}"#);
    insta::assert_snapshot!(show(&model("a:7b", true)), @r#"{"modelfile":"","parameters":"","template":"{{ .Prompt }}","details":{"parent_model":"","format":"","family":"ollama","families":["ollama"],"parameter_size":"","quantization_level":""},"model_info":{"general.architecture":"devmesh","general.basename":"a:7b","devmesh.context_length":8192},"capabilities":["completion","tools"],"modified_at":"1970-01-01T00:00:00Z"}"#);
}

#[test]
fn what_is_loaded_is_told_with_its_provider() {
    let loaded = Loaded {
        model: "a:7b".to_owned(),
        digest: None,
        context_tokens: Some(512),
        vram_bytes: None,
        size_bytes: Some(108_373_248),
        expires_at: Some("2026-11-24T15:44:10.505380256Z".to_owned()),
    };
    insta::assert_snapshot!(ps(vec![("ollama".to_owned(), loaded)])["models"][0], @r#"{"name":"ollama/a:7b","model":"ollama/a:7b","size":108373248,"digest":"0000000000000000000000000000000000000000000000000000000000000000","details":{"parent_model":"","format":"","family":"ollama","families":["ollama"],"parameter_size":"","quantization_level":""},"expires_at":"2026-11-24T15:44:10.505380256Z","size_vram":0,"context_length":512}"#);
}

#[test]
fn texts_to_embed_come_in_three_shapes() {
    let parse = |body: &str| embed(&Bytes::copy_from_slice(body.as_bytes()));
    let one =
        parse(r#"{"model":"m","input":"a","truncate":true,"dimensions":64,"options":{},"keep_alive":"1m"}"#).unwrap();
    assert_eq!((one.input.as_slice(), one.dimensions), (&["a".to_owned()][..], Some(64)));
    assert_eq!(one.lost, ["/truncate", "/keep_alive"]);
    assert_eq!(parse(r#"{"model":"m","input":["a","b"]}"#).unwrap().input.len(), 2);
    assert!(parse(r#"{"model":"m","input":""}"#).unwrap().input.is_empty());
    assert!(
        matches!(parse(r#"{"model":"m","input":["a",1]}"#), Err(Error::Invalid { pointer, .. }) if pointer == "/input/1")
    );
    assert!(matches!(parse(r#"{"input":"a"}"#), Err(Error::Invalid { pointer, .. }) if pointer == "/model"));
    let vectors = Embeddings { vectors: vec![vec![0.1, -2.0]], input_tokens: 3 };
    insta::assert_snapshot!(std::str::from_utf8(&one.answer(&vectors, Duration::from_micros(5))).unwrap(), @r#"{"model":"m","embeddings":[[0.1,-2.0]],"total_duration":5000,"load_duration":0,"prompt_eval_count":3}"#);
    let old = embeddings(&Bytes::from(r#"{"model":"m","prompt":"a"}"#)).unwrap();
    assert_eq!(old.shape, EmbeddingShape::One);
    assert_eq!(&old.answer(&vectors, Duration::ZERO)[..], br#"{"embedding":[0.1,-2.0]}"#);
}

#[test]
fn progress_of_a_download_has_what_bars_go_by() {
    let step = |status: &str| PullStep { status: status.to_owned(), completed_bytes: Some(1), total_bytes: Some(2) };
    let line = |status: &str| String::from_utf8(pull_line(&step(status)).to_vec()).unwrap();
    assert_eq!(
        line("pulling 6f85a640a97c"),
        "{\"status\":\"pulling 6f85a640a97c\",\"digest\":\"sha256:6f85a640a97c\",\"total\":2,\"completed\":1}\n"
    );
    assert!(!line("pulling manifest").contains("digest"));
    assert_eq!(model_of(&Bytes::from(r#"{"name":"old"}"#)).unwrap(), "old");
    assert!(model_of(&Bytes::from("{}")).is_err());
    assert!(streams(&Bytes::from("{}")) && !streams(&Bytes::from(r#"{"stream":false}"#)));
}
