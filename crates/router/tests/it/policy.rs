//! What a key's policy keeps out stays out, whichever way it is asked.

use crate::stage::{CHAIN, DIALECTS, MODEL, Stage, header_map, keyed, unstreamed};
use http::Method;
use protocol::{KeyPolicy, Location};
use router::{dialect::Dialect, gateway::PassThrough};
use serde_json::json;
use testkit::{FaultyModel, Wire};

fn naming(models: &[&str]) -> KeyPolicy {
    KeyPolicy { models: Some(models.iter().map(|name| (*name).to_owned()).collect()), ..KeyPolicy::default() }
}

#[tokio::test]
async fn a_prompt_is_counted_only_by_a_model_that_may_answer_it() {
    let (kept_out, allowed) = (FaultyModel::start(Wire::Anthropic).await, FaultyModel::start(Wire::Anthropic).await);
    let stage = Stage::of(
        vec![
            keyed("a", Wire::Anthropic, &kept_out.base_url(), Location::Cloud, &["sk-a"]),
            keyed("b", Wire::Anthropic, &allowed.base_url(), Location::Cloud, &["sk-b"]),
        ],
        |_| (),
    )
    .await;
    let body = unstreamed(Dialect::Anthropic);
    let count = async || stage.count(&body, &[]).await;
    for (models, how) in [(&["b/*"][..], "exact"), (&["c/*"], "estimated")] {
        stage.books.accounts().set_policy(stage.principal, naming(models));
        let counted = count().await;
        assert_eq!((counted.status, counted.header("x-devmesh-token-count")), (200, Some(how)), "{models:?}");
    }
    let elsewhere = KeyPolicy { routes: Some(vec!["another".to_owned()]), ..KeyPolicy::default() };
    stage.books.accounts().set_policy(stage.principal, elsewhere);
    let refused = count().await;
    assert_eq!(refused.status, 403, "{}", refused.body);
    assert!(refused.error().contains(CHAIN), "{}", refused.body);
    assert_eq!(kept_out.received().iter().filter(|request| request.path.contains("count")).count(), 0);
    assert_eq!(allowed.received().iter().filter(|request| request.path.contains("count")).count(), 1);
}

#[tokio::test]
async fn a_providers_other_endpoints_are_for_keys_that_may_use_it_and_never_for_calls_of_models() {
    let model = FaultyModel::start(Wire::OpenAiChat).await;
    let stage = Stage::over(&[&model]).await;
    let pass = async |method: Method, path: &str| stage.pass(stage.passing("a", method, path)).await;
    assert_eq!(pass(Method::POST, "/audio/speech").await.status, 200, "a key without a policy");
    let only_its_model = format!("a/{MODEL}");
    for (models, status) in [(&["b/*"][..], 403), (&[only_its_model.as_str()], 403), (&["a/*"], 200)] {
        stage.books.accounts().set_policy(stage.principal, naming(models));
        assert_eq!(pass(Method::POST, "/audio/speech").await.status, status, "{models:?}");
    }
    let before = model.received().len();
    for (asked, why) in [("cloud-only", "cloud only"), ("nowhere", "takes")] {
        let headers = header_map(&[("x-devmesh-route", asked)]);
        let refused = stage.pass(PassThrough { headers, ..stage.passing("a", Method::POST, "/audio/speech") }).await;
        assert!(refused.error().contains(why), "{asked}: {}", refused.body);
    }
    for path in ["/chat/completions", "//v1//Chat/completions/", "/completions", "/responses", "/embeddings"] {
        let refused = pass(Method::POST, path).await;
        assert_eq!(refused.status, 403, "{path}: {}", refused.body);
        assert!(refused.error().contains("own endpoints"), "{path}: {}", refused.body);
    }
    assert_eq!(model.received().len(), before, "nothing was asked");
    assert_eq!(pass(Method::GET, "/chat/completions/one").await.status, 200, "stored answers may be read");
}

#[tokio::test]
async fn vectors_are_made_only_by_a_model_the_key_may_use() {
    let (kept_out, allowed) = (FaultyModel::start(Wire::OpenAiChat).await, FaultyModel::start(Wire::OpenAiChat).await);
    let stage = Stage::over(&[&kept_out, &allowed]).await;
    let embed = async || stage.embed(Dialect::OpenAiChat, "text", &[]).await;
    stage.books.accounts().set_policy(stage.principal, naming(&["b/*"]));
    let embedded = embed().await;
    assert_eq!((embedded.status, embedded.header("x-devmesh-provider")), (200, Some("b")), "{}", embedded.body);
    stage.books.accounts().set_policy(stage.principal, naming(&["c/*"]));
    assert_eq!(embed().await.status, 403);
    assert_eq!(kept_out.received().iter().filter(|request| request.path.contains("embeddings")).count(), 0);
}

#[tokio::test]
async fn a_key_bound_to_routes_is_not_let_in_by_the_names_of_models() {
    let list = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
    let of_a = format!("a/{MODEL}");
    for (routes, models, [by_route, by_model, by_bare_name]) in [
        (None, None, [200, 200, 200]),
        (list(&[CHAIN]), None, [200, 403, 403]),
        (list(&["another"]), None, [403, 403, 403]),
        (None, list(&["a/*"]), [200, 200, 200]),
        (None, list(&["b/*"]), [403, 403, 403]),
        (list(&[CHAIN]), list(&["a/*"]), [200, 200, 200]),
        (list(&["another"]), list(&["a/*"]), [403, 200, 200]),
        (list(&[CHAIN]), list(&["b/*"]), [403, 403, 403]),
        (list(&[CHAIN, &of_a]), None, [200, 200, 403]),
    ] {
        let model = FaultyModel::start(Wire::OpenAiChat).await;
        let stage = Stage::over(&[&model]).await;
        let policy = KeyPolicy { routes, models, ..KeyPolicy::default() };
        stage.books.accounts().set_policy(stage.principal, policy.clone());
        for dialect in DIALECTS {
            for (name, status) in [(CHAIN, by_route), (of_a.as_str(), by_model), (MODEL, by_bare_name)] {
                let before = model.received().len();
                let mut body = unstreamed(dialect);
                body["model"] = json!(name);
                let answer = stage.ask(dialect, &body, &[]).await;
                let asked = model.received().len() - before;
                let expected = (status, usize::from(status == 200));
                assert_eq!((answer.status, asked), expected, "`{name}` in {dialect:?} under {policy:?}: {answer:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_path_that_is_not_known_is_not_passed_on() {
    let model = FaultyModel::start(Wire::OpenAiChat).await;
    let stage = Stage::over(&[&model]).await;
    for (path, status) in
        [("/batches", 403), ("/rerank", 403), ("/api/chat", 403), ("/files/%2e%2e/chat/completions", 400)]
    {
        let refused = stage.pass(stage.passing("a", Method::POST, path)).await;
        assert_eq!((refused.status, model.received().len()), (status, 0), "{path}: {}", refused.body);
    }
}
