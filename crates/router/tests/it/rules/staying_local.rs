//! What must stay on this machine opens no socket to anywhere else, whichever way it is asked and whatever fails.

use crate::stage::{Answer, CHAIN, DIALECTS, MODEL, NAMES, Stage, header_map, mounted, own_question, question};
use http::Method;
use protocol::{Egress, ExplainRoute, Location};
use router::{Caller, dialect::Dialect, gateway::PassThrough};
use serde_json::json;
use testkit::{FaultyModel, Reply, Tripwire, Wire};

/// Who says how far a request may go.
#[derive(Clone, Copy, Debug)]
struct Rule {
    header: Option<&'static str>,
    key: Egress,
    route: Egress,
}

const FREE: Rule = Rule { header: None, key: Egress::Allowed, route: Egress::Allowed };

/// Callers may only tighten: what key or route forbid, no header allows.
fn staying() -> [Rule; 7] {
    let (local, auto, cloud) = (Some("local-only"), Some("auto"), Some("cloud-only"));
    let key = Egress::LocalOnly;
    [
        Rule { header: local, ..FREE },
        Rule { key, ..FREE },
        Rule { key, header: auto, ..FREE },
        Rule { key, header: cloud, ..FREE },
        Rule { route: Egress::LocalOnly, ..FREE },
        Rule { route: Egress::LocalOnly, header: auto, ..FREE },
        Rule { route: Egress::LocalOnly, header: cloud, ..FREE },
    ]
}

/// Everything that can be asked.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Asking {
    Answer(Dialect, bool),
    Own,
    Vectors(Dialect),
    Count,
    // From here on the route has no say.
    ByName(Dialect),
    PassedOn,
    Models(Dialect),
    Tags,
    Loaded,
    Described,
    Explained,
}

fn everything() -> Vec<Asking> {
    let answers = DIALECTS.into_iter().flat_map(|dialect| [true, false].map(|stream| Asking::Answer(dialect, stream)));
    let vectors = [Dialect::OpenAiChat, Dialect::OllamaChat].map(Asking::Vectors);
    let listings = [Dialect::OpenAiChat, Dialect::Anthropic].map(Asking::Models);
    let names = DIALECTS.map(Asking::ByName);
    let others = [
        Asking::Own,
        Asking::Count,
        Asking::PassedOn,
        Asking::Tags,
        Asking::Loaded,
        Asking::Described,
        Asking::Explained,
    ];
    answers.chain(vectors).chain(listings).chain(names).chain(others).collect()
}

impl Asking {
    fn goes_by_the_route(self) -> bool {
        matches!(self, Self::Answer(..) | Self::Own | Self::Vectors(_) | Self::Count)
    }

    async fn ask(self, stage: &Stage, rule: Rule) {
        let headers: Vec<_> = rule.header.map(|value| ("x-devmesh-route", value)).into_iter().collect();
        let named = format!("{}/{MODEL}", NAMES[1]);
        let inbound = |dialect, body| stage.inbound(dialect, &body, &headers);
        let read = async |dialect, response| drop(Answer::read(dialect, response).await);
        match self {
            Self::Answer(dialect, stream) => drop(stage.ask(dialect, &question(dialect, stream), &headers).await),
            Self::Own => {
                let mut call = stage.own(own_question());
                match rule.header {
                    Some("local-only") => call.placement = router::Placement::LocalOnly,
                    Some("cloud-only") => call.placement = router::Placement::CloudOnly,
                    _ => {}
                }
                stage.call(call).await;
            }
            Self::Vectors(dialect) => drop(stage.embed(dialect, "text", &headers).await),
            Self::Count => drop(stage.count(&question(Dialect::Anthropic, false), &headers).await),
            Self::ByName(dialect) => {
                let mut body = question(dialect, true);
                body["model"] = json!(named);
                stage.ask(dialect, &body, &headers).await;
            }
            Self::PassedOn => {
                let request = stage.passing(NAMES[1], Method::POST, "/audio/speech");
                stage.pass(PassThrough { headers: header_map(&headers), ..request }).await;
            }
            Self::Models(dialect) => read(dialect, stage.router.list_models(inbound(dialect, json!(null))).await).await,
            Self::Tags => {
                read(Dialect::OllamaChat, stage.router.ollama_tags(inbound(Dialect::OllamaChat, json!(null))).await)
                    .await;
            }
            Self::Loaded => {
                read(Dialect::OllamaChat, stage.router.ollama_ps(inbound(Dialect::OllamaChat, json!(null))).await)
                    .await;
            }
            Self::Described => {
                let asked = inbound(Dialect::OllamaChat, json!({"model": named}));
                read(Dialect::OllamaChat, stage.router.ollama_show(asked).await).await;
            }
            Self::Explained => {
                let caller = Caller::new(stage.principal);
                let egress = if rule.header == Some("local-only") { Egress::LocalOnly } else { rule.key };
                drop(stage.router.explain(CHAIN, &ExplainRoute::default(), caller, egress).await);
            }
        }
    }
}

/// A target here, and one in the cloud behind it.
async fn stage(local_url: &str, wire: Wire, cloud: &Tripwire, rule: Rule) -> Stage {
    let prefix = if matches!(wire, Wire::OpenAiChat | Wire::OpenAiResponses) { "/v1" } else { "" };
    let providers = vec![
        mounted(NAMES[0], Wire::OpenAiChat, local_url, Location::Local),
        mounted(NAMES[1], wire, &format!("{}{prefix}", cloud.base_url()), Location::Cloud),
    ];
    let mut stage = Stage::of(providers, |options| options.routes[0].egress = rule.route).await;
    stage.egress = rule.key;
    stage
}

#[tokio::test(start_paused = true)]
async fn no_socket_is_opened_to_the_cloud_even_when_everything_here_fails() {
    let broken = FaultyModel::start(Wire::OpenAiChat).await.then(Reply::status(500));
    let nobody = FaultyModel::refusing();
    for wire in Wire::ALL {
        for local in [broken.base_url(), nobody.base_url(Wire::OpenAiChat)] {
            for rule in staying() {
                let cloud = Tripwire::start().await;
                let stage = stage(&local, wire, &cloud, rule).await;
                // What a key may do, it may do with other routes and names.
                let by_the_route = rule.route == Egress::LocalOnly;
                for asking in everything() {
                    if by_the_route && !asking.goes_by_the_route() {
                        continue;
                    }
                    asking.ask(&stage, rule).await;
                    assert!(!cloud.touched().await, "{asking:?} under {rule:?} over {wire:?}");
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn where_nobody_forbids_it_the_same_requests_reach_the_cloud() {
    let broken = FaultyModel::start(Wire::OpenAiChat).await.then(Reply::status(500));
    for wire in Wire::ALL {
        for asking in everything() {
            let expected = match asking {
                // Only an Ollama knows what it has loaded, and has no other endpoints to pass on to.
                Asking::Loaded => wire == Wire::Ollama,
                Asking::PassedOn => wire != Wire::Ollama,
                _ => true,
            };
            let cloud = Tripwire::start().await;
            let stage = stage(&broken.base_url(), wire, &cloud, FREE).await;
            asking.ask(&stage, FREE).await;
            assert_eq!(cloud.touched().await, expected, "{asking:?} over {wire:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_asks_for_the_cloud_only_is_never_answered_here() {
    let local = FaultyModel::start(Wire::Ollama).await;
    for (reply, status) in [(Reply::text("From afar."), 200), (Reply::status(500), 502)] {
        let cloud = FaultyModel::start(Wire::OpenAiChat).await.then(reply);
        let providers = vec![
            mounted("a", Wire::Ollama, &local.base_url(), Location::Local),
            mounted("b", Wire::OpenAiChat, &cloud.base_url(), Location::Cloud),
        ];
        let stage = Stage::of(providers, |_| ()).await;
        let headers = [("x-devmesh-route", "cloud-only")];
        for dialect in DIALECTS {
            for stream in [true, false] {
                let answer = stage.ask(dialect, &question(dialect, stream), &headers).await;
                assert!(answer.status == status || status >= 500 && answer.status >= 500, "{dialect:?}: {answer:?}");
            }
        }
        stage.embed(Dialect::OpenAiChat, "text", &headers).await;
        stage.count(&question(Dialect::Anthropic, false), &headers).await;
        let own = router::Call { placement: router::Placement::CloudOnly, ..stage.own(own_question()) };
        stage.call(own).await;
        assert!(!cloud.received().is_empty());
        assert!(local.received().is_empty(), "{:?}", local.paths());
    }
}
