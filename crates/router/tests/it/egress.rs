use crate::fixtures::{answer, ask, failure, ollama, openai, route, router};
use protocol::{Egress, Location};
use router::{Call, Options, RouteConfig, Router};
use testkit::{FaultProxy, ScriptedModel, ServedModel, Turn};

const SCRIPTED: &str = ScriptedModel::MODEL;

fn may_leave(route: &str) -> Call {
    Call { egress: Egress::Allowed, ..ask(route) }
}

#[tokio::test]
async fn a_request_that_must_stay_opens_no_socket_to_the_cloud() {
    let cloud = ScriptedModel::start([Turn::text("From afar.")]).await;
    // Counts connections, so nothing that is asked over one goes unseen.
    let wire = FaultProxy::start(cloud.address()).await;
    let local = ScriptedModel::start([Turn::error(503, "busy"), Turn::text("From here.")]).await;
    let (near, far) = (format!("ollama/{SCRIPTED}"), format!("far/{SCRIPTED}"));
    let table = vec![route("both", &[&far, &near]), route("cloud", &[&far])];
    let providers = vec![ollama(&local), openai("far", &format!("{}/v1", wire.base_url()), Location::Cloud)];
    let router = router(providers, table);

    for name in ["cloud", &far] {
        let (code, message, fallbacks) = failure(&router, ask(name)).await;
        assert_eq!((code.as_str(), fallbacks.len()), ("egress_refused", 0), "{message}");
    }
    let (code, _, fallbacks) = failure(&router, ask("both")).await;
    assert_eq!((code.as_str(), fallbacks.len()), ("model_unavailable", 1), "a busy model here is no way out");
    let (from_here, why) = answer(&router, ask("both")).await;
    assert_eq!(from_here.content, "From here.");
    assert_eq!(
        why,
        "route `both` names it as number 2; targets in the cloud are left out because this request may not leave the machine"
    );
    assert_eq!(router.route_within("both", Egress::LocalOnly).await.unwrap().targets.len(), 1);
    assert_eq!((wire.accepted(), cloud.paths().len()), (0, 0));

    let (from_afar, _) = answer(&router, may_leave("both")).await;
    assert_eq!(from_afar.content, "From afar.");
    assert!(wire.accepted() > 0, "the wire would have shown it");
}

#[tokio::test]
async fn a_route_can_keep_in_what_its_callers_would_let_out() {
    let cloud = ScriptedModel::start([Turn::text("From afar.")]).await;
    let table = vec![RouteConfig { egress: Egress::LocalOnly, ..route("kept", &[&format!("far/{SCRIPTED}")]) }];
    let router = router(vec![openai("far", &cloud.openai_url(), Location::Cloud)], table);
    let (code, _, _) = failure(&router, may_leave("kept")).await;
    assert_eq!((code.as_str(), cloud.paths().len()), ("egress_refused", 0));
}

#[tokio::test]
async fn a_local_ollama_does_not_forward_what_must_stay() {
    let models =
        [ServedModel::new("far:7b").remote("https://models.example.invalid"), ServedModel::new("big:70b-cloud")];
    let server = ScriptedModel::serve(models, [Turn::text("From afar.")]).await;
    let router = router(vec![ollama(&server)], vec![route("listed", &["ollama/far:7b", "ollama/big:70b-cloud"])]);
    for name in ["listed", "ollama/far:7b", "ollama/big:70b-cloud", "ollama/never-pulled:cloud"] {
        let (code, message, _) = failure(&router, ask(name)).await;
        assert!(code == "egress_refused" || code == "not_found", "{name}: {code}: {message}");
    }
    let (code, _, _) = failure(&router, ask("default")).await;
    assert_eq!(code, "model_unavailable", "`default` never leads out of the machine");
    assert!(server.received().is_empty(), "no prompt was sent");
    assert_eq!(answer(&router, may_leave("ollama/far:7b")).await.0.content, "From afar.");
}

#[tokio::test]
async fn a_forwarded_model_is_refused_even_when_nothing_could_be_listed() {
    // Routing cannot know such a model while the server does not list it. The provider itself looks before it sends.
    let server = ScriptedModel::serve([ServedModel::new("far:7b").remote("https://models.example.invalid")], []).await;
    let provider = ollama(&server);
    let request = router::ChatRequest {
        model: "far:7b".to_owned(),
        messages: Vec::new(),
        tools: Vec::new(),
        response_schema: None,
        max_output_tokens: None,
        temperature: None,
        seed: None,
        egress: Egress::LocalOnly,
    };
    let refused = provider.chat(request, Default::default()).await.err();
    assert!(matches!(refused, Some(router::Error::EgressRefused { .. })), "{refused:?}");
    assert_eq!(server.paths(), ["/api/show"]);
}

#[tokio::test]
async fn a_redirect_leads_nowhere() {
    let cloud = ScriptedModel::start([Turn::text("From afar.")]).await;
    let target = format!("{}/api/chat", cloud.base_url());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}/v1", listener.local_addr().unwrap());
    tokio::spawn(async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 4096]).await;
            let answer = format!(
                "HTTP/1.1 307 Temporary Redirect\r\nlocation: {target}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            );
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    let providers = vec![openai("near", &base, Location::Local)];
    let router = Router::new(Options { routes: vec![route("code", &["near/m"])], ..Options::new(providers) }).unwrap();
    let (code, message, _) = failure(&router, ask("code")).await;
    assert_eq!(code, "model_failed");
    assert!(message.contains("redirects"), "{message}");
    assert!(cloud.paths().is_empty());
}
