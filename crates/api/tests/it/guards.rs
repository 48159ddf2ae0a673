//! Foreign names and foreign pages are refused before anything else looks at the request.

use crate::{
    raw,
    support::{TestApp, options, problem},
};
use domain::{ErrorCode, Scope};
use reqwest::Method;

#[tokio::test]
async fn foreign_hosts_are_misdirected_on_every_route() {
    let app = TestApp::start().await;
    for path in ["/healthz", "/version", "/api/v1/jobs", "/api/v1/ws?ticket=x", "/nowhere"] {
        for host in ["evil.example", "evil.example:8080", "localhost.evil.example", "127.0.0.1.evil.example"] {
            let refused = problem(app.get(path, Scope::Admin).header("host", host)).await;
            assert_eq!(refused.code, ErrorCode::HostNotAllowed, "{path} as {host}");
        }
        for host in ["localhost", "LOCALHOST:1", "127.0.0.1:8080", "[::1]:8080"] {
            let answer = app.get(path, Scope::Admin).header("host", host).send().await.unwrap();
            assert_ne!(answer.status(), 421, "{path} as {host}");
        }
    }
    let without = raw::exchange(app.address, b"GET /healthz HTTP/1.1\r\nconnection: close\r\n\r\n").await;
    assert_eq!(raw::status(&without), 421, "{without}");
    let twice = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nhost: evil.example\r\nconnection: close\r\n\r\n";
    assert_eq!(raw::status(&raw::exchange(app.address, twice).await), 421);
    let absolute = b"GET http://evil.example/healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    assert_eq!(raw::status(&raw::exchange(app.address, absolute).await), 421);
}

#[tokio::test]
async fn foreign_origins_are_refused_on_every_route() {
    let app = TestApp::start().await;
    for path in ["/healthz", "/version", "/api/v1/jobs", "/api/v1/ws?ticket=x", "/nowhere"] {
        for origin in ["http://evil.example", "null", "http://localhost:3001", "https://localhost:3000"] {
            let response = app.get(path, Scope::Admin).header("origin", origin).send().await.unwrap();
            assert!(response.headers().get("access-control-allow-origin").is_none(), "{path} from {origin}");
            assert_eq!(
                crate::support::problem_of(response).await.code,
                ErrorCode::OriginNotAllowed,
                "{path} from {origin}"
            );
        }
    }
    let own = format!("http://{}", app.address);
    assert_eq!(app.get("/version", Scope::Admin).header("origin", own).send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn pages_of_allowed_origins_may_read_answers_without_credentials() {
    let app = TestApp::start().await;
    let origin = "http://localhost:3000";
    for path in ["/api/v1/jobs", "/v1/chat/completions"] {
        let preflight = app
            .http
            .request(Method::OPTIONS, app.url(path))
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization,content-type,idempotency-key,last-event-id")
            .send()
            .await
            .unwrap();
        assert_eq!(preflight.status(), 200, "{path}");
        let headers = preflight.headers();
        assert_eq!(headers["access-control-allow-origin"], origin);
        assert!(headers.get("access-control-allow-credentials").is_none());
        let allowed = headers["access-control-allow-headers"].to_str().unwrap();
        for name in ["authorization", "content-type", "idempotency-key", "last-event-id"] {
            assert!(allowed.contains(name), "{allowed}");
        }
    }
    let answer = app.get("/api/v1/jobs", Scope::User).header("origin", origin).send().await.unwrap();
    assert_eq!(answer.headers()["access-control-allow-origin"], origin);
    assert!(answer.headers()["access-control-expose-headers"].to_str().unwrap().contains("x-request-id"));
    // A page can also read why it was refused.
    let refused = app.http.get(app.url("/api/v1/jobs")).header("origin", origin).send().await.unwrap();
    assert_eq!(refused.status(), 401);
    assert_eq!(refused.headers()["access-control-allow-origin"], origin);
}

#[tokio::test]
async fn configured_names_and_origins_are_allowed_too() {
    let mut options = options();
    options.allowed.hosts = vec!["mesh.example".into()];
    options.allowed.origins = vec!["https://mesh.example".into()];
    let app = TestApp::with(options).await;
    let request =
        app.get("/version", Scope::Admin).header("host", "mesh.example").header("origin", "https://mesh.example");
    assert_eq!(request.send().await.unwrap().status(), 200);
    let no_longer = app.get("/version", Scope::Admin).header("origin", "http://localhost:3000");
    assert_eq!(problem(no_longer).await.code, ErrorCode::OriginNotAllowed);
}
