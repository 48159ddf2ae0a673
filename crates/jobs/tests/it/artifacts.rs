//! Files a job hands in, and their content.

use crate::mesh::{Mesh, ask, eventually, succeeded};
use bytes::Bytes;
use domain::ErrorCode;
use futures_util::{StreamExt, stream};
use jobs::{Caller, Error, Options};
use protocol::{Artifact, EventBody, Lease};
use std::{
    io,
    path::{Path, PathBuf},
};

async fn put(mesh: &Mesh, agent: &Caller, lease: &Lease, name: &str, content: &str) -> Result<Artifact, Error> {
    let halves = content.as_bytes().chunks(content.len().div_ceil(2).max(1)).map(Bytes::copy_from_slice);
    let body = stream::iter(halves.map(io::Result::Ok).collect::<Vec<_>>());
    mesh.handle.put_artifact(agent, lease.job_id, (lease.epoch, lease.attempt), name, "text/x-diff", body).await
}

async fn path_of(mesh: &Mesh, lease: &Lease, name: &str) -> PathBuf {
    let artifact = mesh.handle.artifact(&mesh.user, lease.job_id, name).await.unwrap().0;
    mesh.store.blobs().path(&artifact.sha256).unwrap()
}

/// Content goes right after the commit that let go of it.
async fn gone(path: &Path) {
    eventually("the content is removed", async || (!path.exists()).then_some(())).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_handed_in_can_be_fetched() {
    let mesh = Mesh::new().await;
    let lease = mesh.running(ask("x")).await;
    let put_one = put(&mesh, &mesh.agent, &lease, "answer.patch", "+hello").await.unwrap();
    assert_eq!((put_one.bytes, put_one.media_type.as_str()), (6, "text/x-diff"));
    put(&mesh, &mesh.agent, &lease, "empty", "").await.unwrap();

    let (fetched, mut contents) = mesh.handle.artifact(&mesh.user, lease.job_id, "answer.patch").await.unwrap();
    assert_eq!(fetched, put_one);
    assert_eq!(contents.next().await.unwrap().unwrap(), "+hello");
    assert!(contents.next().await.is_none());
    let names = mesh.handle.artifacts(&mesh.user, lease.job_id, Default::default()).await.unwrap().artifacts;
    assert_eq!(names.iter().map(|artifact| artifact.name.as_str()).collect::<Vec<_>>(), ["answer.patch", "empty"]);
    let missing = mesh.handle.artifact(&mesh.user, lease.job_id, "other").await.err().unwrap();
    assert_eq!(missing.code(), ErrorCode::NotFound);
    let event = mesh.log(lease.job_id).await[2].body().unwrap();
    assert!(matches!(event, EventBody::ArtifactCreated { bytes: 6, sha256, .. } if sha256 == put_one.sha256));
}

#[tokio::test(start_paused = true)]
async fn the_same_file_once_more_is_no_news() {
    let mesh = Mesh::new().await;
    let lease = mesh.running(ask("x")).await;
    let first = put(&mesh, &mesh.agent, &lease, "a", "one").await.unwrap();
    let log = mesh.log(lease.job_id).await;
    assert_eq!(put(&mesh, &mesh.agent, &lease, "a", "one").await.unwrap(), first);
    assert_eq!(mesh.log(lease.job_id).await, log, "an answer that got lost makes no second event");
    put(&mesh, &mesh.agent, &lease, "a", "two").await.unwrap();
    assert_eq!(mesh.log(lease.job_id).await.len(), log.len() + 1);
}

#[tokio::test(start_paused = true)]
async fn the_same_name_replaces_and_unused_content_goes() {
    let mesh = Mesh::new().await;
    let lease = mesh.running(ask("x")).await;
    let path = async |name| path_of(&mesh, &lease, name).await;
    put(&mesh, &mesh.agent, &lease, "a", "one").await.unwrap();
    let old = path("a").await;
    put(&mesh, &mesh.agent, &lease, "a", "two").await.unwrap();
    gone(&old).await;
    put(&mesh, &mesh.agent, &lease, "b", "two").await.unwrap();
    put(&mesh, &mesh.agent, &lease, "a", "three").await.unwrap();
    assert!(path("b").await.exists(), "the other artifact has it still");
}

#[tokio::test(start_paused = true)]
async fn deleting_a_job_removes_content_no_other_job_has() {
    let mesh = Mesh::new().await;
    let mut leases = Vec::new();
    for task in ["first", "second"] {
        let lease = mesh.running(ask(task)).await;
        put(&mesh, &mesh.agent, &lease, "shared", "the same").await.unwrap();
        put(&mesh, &mesh.agent, &lease, "own", task).await.unwrap();
        mesh.handle.finish(&mesh.agent, lease.job_id, succeeded(&lease, "x")).await.unwrap();
        leases.push(lease);
    }
    let path = async |lease: &Lease, name| path_of(&mesh, lease, name).await;
    let (shared, own) = (path(&leases[0], "shared").await, path(&leases[0], "own").await);
    mesh.handle.delete(&mesh.user, leases[0].job_id).await.unwrap();
    gone(&own).await;
    assert!(shared.exists());
    mesh.handle.delete(&mesh.user, leases[1].job_id).await.unwrap();
    gone(&shared).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_not_an_artifact_is_refused_and_leaves_nothing() {
    let mesh = Mesh::with(Options { artifact_bytes: 10, ..Options::default() }).await;
    let lease = mesh.running(ask("x")).await;
    let refused = |result: Result<Artifact, Error>| result.unwrap_err().code();
    for name in ["", ".hidden", "a/b", "..", "a b"] {
        assert_eq!(refused(put(&mesh, &mesh.agent, &lease, name, "x").await), ErrorCode::InvalidRequest, "{name}");
    }
    assert_eq!(refused(put(&mesh, &mesh.agent, &lease, "big", "eleven bytes").await), ErrorCode::BodyTooLarge);
    let cut = stream::iter([Ok(Bytes::from_static(b"half")), Err(io::Error::from(io::ErrorKind::ConnectionReset))]);
    let result = mesh.handle.put_artifact(&mesh.agent, lease.job_id, (lease.epoch, 1), "cut", "text/plain", cut).await;
    assert_eq!(refused(result), ErrorCode::InvalidRequest);
    assert!(mesh.handle.artifacts(&mesh.user, lease.job_id, Default::default()).await.unwrap().artifacts.is_empty());
    assert_eq!(mesh.types(lease.job_id).await, ["job.created", "job.leased"]);
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_is_refused_after_all_leaves_nothing() {
    let mesh = Mesh::new().await;
    let lease = mesh.running(ask("x")).await;
    // The job is cancelled, and its last attempt over, while the content arrives.
    let (go_on, may_go_on) = tokio::sync::oneshot::channel::<()>();
    let body = stream::once(async { Ok(Bytes::from_static(b"first half, ")) });
    let body = body.chain(stream::once(async {
        may_go_on.await.unwrap();
        Ok(Bytes::from_static(b"second half"))
    }));
    let (handle, agent, job) = (mesh.handle.clone(), mesh.agent, lease.job_id);
    let held = (lease.epoch, lease.attempt);
    let upload = tokio::spawn(async move { handle.put_artifact(&agent, job, held, "late", "text/plain", body).await });
    mesh.succeed(&lease).await;
    go_on.send(()).unwrap();
    let refused = upload.await.unwrap().unwrap_err();
    assert_eq!(refused.code(), ErrorCode::StaleAttempt);
    let digest = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(b"first half, second half"));
    gone(&mesh.store.blobs().path(&digest).unwrap()).await;
    let known: u32 = mesh.database().query_row("SELECT count(*) FROM blobs", (), |row| row.get(0)).unwrap();
    assert!(known <= 1, "its row goes with the next commit: {known}");
}

#[tokio::test(start_paused = true)]
async fn lost_content_is_named_when_it_is_asked_for() {
    let mesh = Mesh::new().await;
    let lease = mesh.running(ask("x")).await;
    put(&mesh, &mesh.agent, &lease, "a.patch", "+hello").await.unwrap();
    let path = path_of(&mesh, &lease, "a.patch").await;
    let refused = async || mesh.handle.artifact(&mesh.user, lease.job_id, "a.patch").await.err().unwrap();
    std::fs::write(&path, "+hullo").unwrap();
    let damaged = refused().await;
    assert_eq!(damaged.code(), ErrorCode::ContentLost);
    assert!(damaged.to_string().contains("artifact `a.patch`") && damaged.to_string().contains("damaged"), "{damaged}");
    std::fs::remove_file(&path).unwrap();
    let missing = refused().await;
    assert_eq!(missing.code(), ErrorCode::ContentLost);
    assert!(missing.to_string().contains("is missing"), "{missing}");
}
