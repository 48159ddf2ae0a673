//! A backup of a server at work, and a data folder made of it.

use crate::{
    sse::SseStream,
    support::{TestApp, artifact_path, options, parsed, problem},
};
use domain::{Epoch, Scope};
use reqwest::{Method, StatusCode};
use serde_json::Value;
use std::io::Cursor;

#[tokio::test]
async fn a_restored_backup_has_everything_under_a_new_epoch() {
    let app = TestApp::start().await;
    let lease = app.leased_job().await;
    let content = vec![42; 200_000];
    let path = artifact_path(&lease, "big");
    let _: Value = parsed(app.request(Method::PUT, &path, Scope::Agent).body(content.clone()), StatusCode::OK).await;
    app.finish(&lease).await;
    let before = app.log(lease.job_id).await;
    let old_cursor = before.next_cursor.to_string();

    let archive = app.get("/api/v1/backup", Scope::Admin).send().await.unwrap();
    assert_eq!(archive.headers()["content-type"], "application/octet-stream");
    let archive = archive.bytes().await.unwrap();
    app.create_job("after the backup").await;
    let leftovers: Vec<_> = std::fs::read_dir(app.folder()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!leftovers.iter().any(|name| name.to_string_lossy().contains("backup")), "{leftovers:?}");

    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path().join("restored");
    let epoch = Epoch(app.epoch().0.wrapping_add(1));
    let restored = api::restore(Cursor::new(archive.clone()), &folder, epoch).unwrap();
    assert_eq!(restored.artifacts, 1);
    // The token file is not part of a backup; the tokens are.
    std::fs::copy(app.folder().join("admin-token"), folder.join("admin-token")).unwrap();

    let again = TestApp::on(folder.clone(), options()).await;
    let after = again.log(lease.job_id).await;
    assert_eq!(after.next_cursor.epoch, epoch);
    assert_eq!(after.events.len(), before.events.len());
    for (old, new) in before.events.iter().zip(&after.events) {
        assert_eq!((old.hash, &old.payload), (new.hash, &new.payload));
    }
    let report: Value =
        parsed(again.get(&format!("/api/v1/jobs/{}/verify", lease.job_id), Scope::Viewer), StatusCode::OK).await;
    assert_eq!(report["intact"], true, "{report}");
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

    let occupied = api::restore(Cursor::new(archive.clone()), &folder, epoch).unwrap_err();
    assert!(occupied.to_string().contains("not empty"), "{occupied}");
    let fresh = directory.path().join("cut");
    let cut = api::restore(Cursor::new(&archive[..archive.len() - 4096]), &fresh, epoch);
    assert!(cut.is_err(), "an archive that was cut is refused");
    assert!(!fresh.join(store::DATABASE_FILE).exists());
}

#[tokio::test]
async fn one_backup_at_a_time() {
    let app = TestApp::start().await;
    let lease = app.leased_job().await;
    // Large enough that the first backup cannot be handed over whole without being read.
    let path = artifact_path(&lease, "big");
    let _: Value =
        parsed(app.request(Method::PUT, &path, Scope::Agent).body(vec![42; 40_000_000]), StatusCode::OK).await;
    let first = app.get("/api/v1/backup", Scope::Admin).send().await.unwrap();
    assert_eq!(first.status(), 200);
    let second = problem(app.get("/api/v1/backup", Scope::Admin)).await;
    assert_eq!(second.code, domain::ErrorCode::RateLimited);
    drop(first);
    testkit::eventually("the next backup", async || {
        let response = app.get("/api/v1/backup", Scope::Admin).send().await.unwrap();
        (response.status() == 200).then_some(())
    })
    .await;
}
