//! A backup of a server at work, a data folder made of it, and content that did not last.

use crate::{
    sse::SseStream,
    support::{TestApp, artifact_path, options, parsed, problem},
};
use api::{EarlierTokens, RestoreError, Restored};
use domain::{Epoch, ErrorCode, Scope, SystemClock};
use protocol::{ContentCheck, CreatedToken, Lease};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::{io::Cursor, os::unix::fs::PermissionsExt, path::Path, time::Duration};
use tokio::{io::AsyncWriteExt, net::TcpStream};

const BACKUP: &str = "/api/v1/backup";
/// Large enough that a backup cannot be handed over whole without being read.
const LARGE: usize = 40_000_000;

async fn put(app: &TestApp, lease: &Lease, name: &str, content: Vec<u8>) -> String {
    let artifact: Value =
        parsed(app.request(Method::PUT, &artifact_path(lease, name), Scope::Agent).body(content), StatusCode::OK).await;
    artifact["sha256"].as_str().unwrap().to_owned()
}

async fn restore(archive: &[u8], folder: &Path, tokens: EarlierTokens) -> Result<Restored, RestoreError> {
    api::restore(Cursor::new(archive.to_vec()), folder, Epoch(7), &SystemClock, tokens).await
}

fn files(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_restored_backup_has_everything_under_a_new_epoch() {
    let app = TestApp::start().await;
    let lease = app.leased_job().await;
    let content = vec![42; 200_000];
    put(&app, &lease, "big", content.clone()).await;
    app.finish(&lease).await;
    let before = app.log(lease.job_id).await;
    let old_cursor = before.next_cursor.to_string();

    let archive = app.get(BACKUP, Scope::Admin).send().await.unwrap();
    assert_eq!(archive.headers()["content-type"], "application/octet-stream");
    let archive = archive.bytes().await.unwrap();
    app.create_job("after the backup").await;
    assert!(!files(app.folder()).iter().any(|name| name.contains("backup")), "{:?}", files(app.folder()));

    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path().join("restored");
    let restored = restore(&archive, &folder, EarlierTokens::Dropped).await.unwrap();
    assert_eq!((restored.artifacts, restored.lost.count), (1, 0));
    assert_eq!(files(&folder), ["admin-token", "blobs", "devmesh.db", "devmesh.lock"]);

    let again = TestApp::on(folder.clone(), options()).await;
    let after = again.log(lease.job_id).await;
    assert_eq!(after.next_cursor.epoch, Epoch(7));
    assert_eq!(after.events.len(), before.events.len());
    for (old, new) in before.events.iter().zip(&after.events) {
        assert_eq!((old.hash, &old.payload), (new.hash, &new.payload));
    }
    let report: Value =
        parsed(again.get(&format!("/api/v1/jobs/{}/verify", lease.job_id), Scope::Viewer), StatusCode::OK).await;
    assert_eq!((&report["intact"], &report["artifacts"]), (&json!(true), &json!(1)), "{report}");
    let path = format!("/api/v1/jobs/{}/artifacts/big", lease.job_id);
    let bytes = again.get(&path, Scope::Viewer).send().await.unwrap().bytes().await.unwrap();
    assert_eq!(bytes, content);

    // A reader from before is told to begin again.
    let stream = again.get(&format!("/api/v1/jobs/{}/events", lease.job_id), Scope::Viewer);
    let stream = stream.header("accept", "text/event-stream").header("last-event-id", old_cursor);
    let events = SseStream::new(stream.send().await.unwrap()).rest().await;
    assert_eq!(events.len(), 1);
    assert_eq!((events[0].event.as_str(), &events[0].json()["reason"]), ("reset", &Value::from("epoch_changed")));
    again.stop().await;

    let occupied = restore(&archive, &folder, EarlierTokens::Dropped).await.unwrap_err();
    assert!(occupied.to_string().contains("not empty"), "{occupied}");
    let fresh = directory.path().join("cut");
    let cut = restore(&archive[..archive.len() - 4096], &fresh, EarlierTokens::Dropped).await;
    assert!(cut.is_err(), "an archive that was cut is refused");
    assert_eq!(files(&fresh), ["devmesh.lock"]);
}

#[tokio::test]
async fn the_owner_of_a_restored_mesh_gets_in_and_nobody_whose_token_was_revoked() {
    let app = TestApp::start().await;
    let revoked = app.new_token(Scope::Admin).await;
    let mine: Value = parsed(app.get("/api/v1/tokens", Scope::Admin), StatusCode::OK).await;
    let owner = mine["tokens"][0]["principal"].clone();
    let job: Value = parsed(
        app.post("/api/v1/jobs", Scope::Admin, &json!({"kind": "ask", "task": "the owner's own"})),
        StatusCode::ACCEPTED,
    )
    .await;
    assert_eq!(job["principal"], owner);
    let archive = app.get(BACKUP, Scope::Admin).send().await.unwrap().bytes().await.unwrap();
    let path = format!("/api/v1/tokens/{}", revoked.token.id);
    assert_eq!(app.request(Method::DELETE, &path, Scope::Admin).send().await.unwrap().status(), 204);
    let earlier = [app.token(Scope::Admin).to_owned(), app.token(Scope::User).to_owned(), revoked.secret.clone()];

    let directory = tempfile::tempdir().unwrap();
    for tokens in [EarlierTokens::Dropped, EarlierTokens::Kept] {
        let folder = directory.path().join(format!("{tokens:?}"));
        let restored = restore(&archive, &folder, tokens).await.unwrap();
        assert_eq!(restored.token_file, folder.join("admin-token"));
        let mode = restored.token_file.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600);
        let expected = if tokens == EarlierTokens::Kept { (0, 6) } else { (6, 0) };
        assert_eq!((restored.tokens_dropped, restored.tokens_kept), expected);

        // Reads the file, as its owner does.
        let again = TestApp::on(folder, options()).await;
        let status = async |secret: &str| {
            again.http.get(again.url("/api/v1/jobs")).bearer_auth(secret).send().await.unwrap().status()
        };
        for secret in &earlier {
            let expected = if tokens == EarlierTokens::Kept { StatusCode::OK } else { StatusCode::UNAUTHORIZED };
            assert_eq!(status(secret).await, expected);
        }
        let id = job["id"].as_str().unwrap();
        let seen: Value = parsed(again.get(&format!("/api/v1/jobs/{id}"), Scope::Admin), StatusCode::OK).await;
        assert_eq!(seen["principal"], owner);
        let mine: Value = parsed(
            again.post("/api/v1/jobs", Scope::Admin, &json!({"kind": "ask", "task": "another one"})),
            StatusCode::ACCEPTED,
        )
        .await;
        assert_eq!(mine["principal"], owner, "what the new token makes belongs to the same owner");
        again.stop().await;
    }
}

#[tokio::test]
async fn a_new_admin_token_ends_only_the_first_one() {
    let app = TestApp::start().await;
    let (first, user) = (app.token(Scope::Admin).to_owned(), app.token(Scope::User).to_owned());
    let other: CreatedToken = app.new_token(Scope::Admin).await;
    let folder = app.folder().to_owned();
    let _directory = app.stop().await;
    let store = store::Store::open(store::Options::new(&folder)).await.unwrap();
    let file = folder.join("admin-token");
    let reset = api::reset_admin_token(&store, &SystemClock, &file, EarlierTokens::KeptButTheFirst).await.unwrap();
    assert_eq!(std::fs::read_to_string(&file).unwrap().trim(), reset.secret.expose());
    assert_eq!((reset.dropped, reset.kept), (1, 5));
    store.close().await;

    let again = TestApp::on(folder, options()).await;
    assert_eq!(again.token(Scope::Admin), reset.secret.expose());
    let status = async |secret: &str| {
        again.http.get(again.url("/api/v1/jobs")).bearer_auth(secret).send().await.unwrap().status()
    };
    assert_eq!(status(&first).await, 401);
    for secret in [&user, &other.secret, &reset.secret.expose()] {
        assert_eq!(status(secret).await, 200);
    }
}

#[tokio::test]
async fn one_backup_at_a_time() {
    let app = TestApp::start().await;
    let lease = app.leased_job().await;
    put(&app, &lease, "big", vec![42; LARGE]).await;
    let mut first = app.get(BACKUP, Scope::Admin).send().await.unwrap();
    assert_eq!(first.status(), 200);
    first.chunk().await.unwrap();
    let second = problem(app.get(BACKUP, Scope::Admin)).await;
    assert_eq!(second.code, ErrorCode::RateLimited);
    drop(first);
    next_backup(&app).await;
}

async fn next_backup(app: &TestApp) {
    testkit::eventually("the next backup", async || {
        let response = app.get(BACKUP, Scope::Admin).send().await.unwrap();
        assert!(matches!(response.status().as_u16(), 200 | 429), "{}", response.status());
        (response.status() == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_abandoned_backup_is_no_fault_of_the_disk() {
    let mut options = options();
    options.limits.write_stall = Duration::from_millis(200);
    let app = TestApp::with(options).await;
    let lease = app.leased_job().await;
    put(&app, &lease, "big", vec![42; LARGE]).await;
    let before = files(app.folder());
    // They leave at any moment, the copy of the database included.
    for number in 0..12 {
        let mut client = TcpStream::connect(app.address).await.unwrap();
        let request = format!(
            "GET {BACKUP} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\n\r\n",
            app.address,
            app.token(Scope::Admin)
        );
        client.write_all(request.as_bytes()).await.unwrap();
        if number % 2 == 0 {
            client.readable().await.unwrap();
        }
        drop(client);
        next_backup(&app).await;
    }
    // One stays and reads nothing.
    let mut client = TcpStream::connect(app.address).await.unwrap();
    let request = format!(
        "GET {BACKUP} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\n\r\n",
        app.address,
        app.token(Scope::Admin)
    );
    client.write_all(request.as_bytes()).await.unwrap();
    client.readable().await.unwrap();
    next_backup(&app).await;
    assert_eq!(files(app.folder()), before);
}

#[tokio::test]
async fn asking_for_the_head_of_a_backup_begins_none() {
    let app = TestApp::start().await;
    let head = app.request(Method::HEAD, BACKUP, Scope::Admin).send().await.unwrap();
    assert_eq!((head.status(), &head.headers()["allow"]), (StatusCode::METHOD_NOT_ALLOWED, &"GET".parse().unwrap()));
    assert_eq!(app.get(BACKUP, Scope::Admin).send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_backup_whose_token_ends_is_broken_off_and_not_short() {
    let app = TestApp::start().await;
    let lease = app.leased_job().await;
    put(&app, &lease, "big", vec![42; LARGE]).await;
    let token = app.new_token(Scope::Admin).await;
    let mut reading = app.http.get(app.url(BACKUP)).bearer_auth(&token.secret).send().await.unwrap();
    reading.chunk().await.unwrap().unwrap();
    let path = format!("/api/v1/tokens/{}", token.token.id);
    assert_eq!(app.request(Method::DELETE, &path, Scope::Admin).send().await.unwrap().status(), 204);
    let end = loop {
        match reading.chunk().await {
            Ok(Some(_)) => {}
            end => break end,
        }
    };
    assert!(end.is_err(), "it does not look whole");
}

#[tokio::test]
async fn lost_content_never_looks_like_success() {
    let app = TestApp::start().await;
    let lease = app.leased_job().await;
    let small = put(&app, &lease, "small", b"a patch".to_vec()).await;
    let large = put(&app, &lease, "large", vec![42; 1_000_000]).await;
    put(&app, &lease, "whole", b"as it was".to_vec()).await;
    app.finish(&lease).await;
    let path = |name: &str| format!("/api/v1/jobs/{}/artifacts/{name}", lease.job_id);
    let file = |sha256: &str| app.store.blobs().path(sha256).unwrap();
    let flip = |sha256: &str| {
        let mut content = std::fs::read(file(sha256)).unwrap();
        *content.last_mut().unwrap() ^= 1;
        std::fs::write(file(sha256), content).unwrap();
    };
    flip(&small);
    flip(&large);
    let damaged = problem(app.get(&path("small"), Scope::User)).await;
    assert_eq!((damaged.code, damaged.status), (ErrorCode::ContentLost, 410));
    assert!(damaged.detail.contains("`small`") && damaged.detail.contains("damaged"), "{}", damaged.detail);
    // Too long to be looked at before: what is sent breaks off.
    let begun = app.get(&path("large"), Scope::User).send().await.unwrap();
    assert_eq!(begun.headers()["content-length"], "1000000");
    assert!(begun.bytes().await.is_err());

    let verify = format!("/api/v1/jobs/{}/verify", lease.job_id);
    let report: Value = parsed(app.get(&verify, Scope::User), StatusCode::OK).await;
    assert_eq!((&report["intact"], &report["broken_at"]["artifact"]), (&json!(false), &json!("large")), "{report}");

    std::fs::remove_file(file(&small)).unwrap();
    let missing = problem(app.get(&path("small"), Scope::User)).await;
    assert_eq!(missing.code, ErrorCode::ContentLost);
    assert!(missing.detail.contains("is missing"), "{}", missing.detail);

    let check = async |query: &str| -> ContentCheck {
        parsed(app.get(&format!("/api/v1/content/check{query}"), Scope::Admin), StatusCode::OK).await
    };
    let names = |page: &ContentCheck| page.lost.iter().map(|lost| lost.artifact.clone()).collect::<Vec<_>>();
    let glance = check("").await;
    assert_eq!((glance.artifacts, names(&glance)), (3, vec!["small".to_owned()]));
    let deep = check("?deep=true").await;
    let mut found = names(&deep);
    found.sort();
    assert_eq!(found, ["large", "small"]);
    let after = check(&format!("?deep=true&cursor={}", deep.next_cursor.unwrap())).await;
    assert_eq!(after, ContentCheck::default(), "the last page");
    let wrong = problem(app.get("/api/v1/content/check?cursor=elsewhere", Scope::Admin)).await;
    assert_eq!(wrong.code, ErrorCode::InvalidCursor);
}
