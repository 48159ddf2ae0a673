use crate::fixtures::{Made, answer, ask, model, ollama, ollama_at, openai, route, router};
use protocol::{Location, Model};
use router::{Error, Options, Provider, Router};
use std::{sync::Arc, time::Duration};
use testkit::{Fault, FaultProxy, ScriptedModel, ServedModel, Turn, eventually};
use tokio::time::Instant;

#[tokio::test]
async fn models_come_with_what_is_known_of_them() {
    let models = [
        ServedModel::new("qwen3:8b").context_tokens(40_960),
        ServedModel::new("old:1b").context_tokens(2048).capabilities(&["completion"]),
        ServedModel::new("embed:latest").capabilities(&["embedding"]),
        ServedModel::new("far:cloud").remote("https://models.example.invalid"),
    ];
    let server = ScriptedModel::serve(models, []).await;
    let router = router(vec![ollama(&server)], vec![]);
    let models = router.models().await;
    let expected = Model {
        context_tokens: Some(16_384),
        native_tools: true,
        digest: Some("qwen3:8b-digest".to_owned()),
        size_bytes: Some(1_000_000),
        ..model("ollama", "qwen3:8b")
    };
    assert_eq!(models.models[0], expected);
    assert_eq!((models.models[1].context_tokens, models.models[1].native_tools), (Some(2048), false));
    assert_eq!((models.models[2].name.as_str(), models.models[2].location), ("far:cloud", Location::Cloud));
    assert_eq!(models.models.len(), 3, "a model for embeddings cannot chat");
    assert_eq!(models.routes[0].name, "default");
    assert_eq!(models.routes[0].targets, [expected]);

    let asked = server.paths().len();
    router.models().await;
    router.route("default").await.unwrap();
    assert_eq!(server.paths().len(), asked, "what was listed just now is not asked again");
}

#[tokio::test]
async fn a_dead_provider_is_named_and_the_others_are_listed() {
    let (alive, dead) = (ScriptedModel::start([]).await, ScriptedModel::start([]).await);
    let proxy = FaultProxy::start(dead.address()).await;
    let providers = || {
        let base = format!("{}/v1", proxy.base_url());
        vec![openai("dead", &base, Location::Local), openai("alive", &alive.openai_url(), Location::Local)]
    };
    for fault in [Fault::Refuse, Fault::Stall, Fault::ResetAfter(0)] {
        proxy.set(fault).await;
        let start = Instant::now();
        let models = router(providers(), vec![]).models().await;
        assert!(start.elapsed() < Duration::from_millis(2800), "{:?} under {fault:?}", start.elapsed());
        assert_eq!(models.models.iter().map(|model| model.id.as_str()).collect::<Vec<_>>(), ["alive/scripted:latest"]);
        assert_eq!(models.unavailable.len(), 1);
        assert_eq!(models.unavailable[0].provider, "dead");
    }
}

#[tokio::test]
async fn default_leads_to_the_first_provider_that_has_a_model() {
    let toy = || -> Arc<dyn Provider> { Arc::new(Made::new("embedded", vec![])) };
    let server = ScriptedModel::serve(
        [ServedModel::new("plain:1b").capabilities(&["completion"]), ServedModel::new("handy:8b")],
        [Turn::text("Yes.")],
    )
    .await;
    let with_ollama = router(vec![ollama(&server), toy()], vec![]);
    assert_eq!(with_ollama.route("default").await.unwrap().targets[0].id, "ollama/handy:8b");
    let (_, why) = answer(&with_ollama, ask("default")).await;
    assert_eq!(
        why,
        "route `default` is not configured, `ollama` is the first provider here that has a model, and this is its first model with tool calls"
    );

    let empty = ScriptedModel::serve([], []).await;
    assert_eq!(router(vec![ollama(&empty), toy()], vec![]).route("default").await.unwrap().targets[0].id, "embedded/m");
    let configured = router(vec![ollama(&server), toy()], vec![route("default", &["embedded/m"])]);
    assert_eq!(configured.route("default").await.unwrap().targets[0].id, "embedded/m");
    let nothing = router(vec![ollama(&empty)], vec![]).route("default").await.unwrap_err();
    assert!(matches!(&nothing, Error::NoModel(message) if message.contains("devmesh models pull")), "{nothing}");
}

#[tokio::test]
async fn names_are_routes_or_models_and_nothing_else() {
    let server = ScriptedModel::start([]).await;
    let router = router(vec![ollama(&server)], vec![route("code", &["ollama/scripted"])]);
    assert_eq!(router.route("code").await.unwrap().targets[0].name, "scripted:latest", "no tag means `latest`");
    assert_eq!(router.route("ollama/scripted").await.unwrap().targets[0].name, "scripted:latest");
    for unknown in ["nothing", "ollama/absent", "nowhere/scripted"] {
        let error = router.route(unknown).await.unwrap_err();
        assert!(
            matches!(&error, Error::UnknownRoute { known, .. } if known == "default, code, ollama/<model>"),
            "{error}"
        );
    }
    let mistaken = Options { routes: vec![route("a/b", &["nowhere/m"])], ..Options::new(vec![ollama(&server)]) };
    let Err(Error::Configuration(mistakes)) = Router::new(mistaken).map(|_| ()) else { panic!("accepted") };
    assert_eq!(mistakes.len(), 2, "{mistakes:?}");
}

#[tokio::test]
async fn a_provider_that_comes_back_is_used_again() {
    let server = ScriptedModel::start([Turn::text("Here I am.")]).await;
    let proxy = FaultProxy::start(server.address()).await;
    proxy.set(Fault::Refuse).await;
    let router = router(vec![ollama_at("ollama", &proxy.base_url())], vec![]);
    assert_eq!(router.models().await.unavailable.len(), 1);
    proxy.set(Fault::Pass).await;
    eventually("the model to be listed", async || (!router.models().await.models.is_empty()).then_some(())).await;
    assert_eq!(answer(&router, ask("default")).await.0.content, "Here I am.");
}
