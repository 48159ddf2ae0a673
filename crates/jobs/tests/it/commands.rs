//! What users ask for: create, list, retry, delete.

use crate::mesh::{Mesh, ask, caller, eventually, job, pass};
use domain::{ErrorCode, JobState, Scope};
use jobs::{Caller, Error, IdempotencyKey, Options};
use protocol::{Actor, EventBody, Folders, Job, ListJobs};
use serde_json::json;
use std::time::Duration;

fn key(text: &str) -> Option<IdempotencyKey> {
    Some(IdempotencyKey::new(text).unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_job_goes_from_create_to_closed() {
    let mesh = Mesh::new().await;
    let created = mesh.create(ask("what is in here?")).await;
    assert_eq!((created.state, created.attempt, created.head.seq), (JobState::Queued, 0, 1));

    let lease = mesh.lease().await;
    assert_eq!((lease.job_id, lease.attempt, lease.lease_ms, lease.head.seq), (created.id, 1, 15_000, 2));
    assert_eq!(lease.spec, created.spec);
    assert_eq!(lease.time_left_ms, created.spec.limits.total_timeout_ms);
    assert_eq!(mesh.job(created.id).await.state, JobState::Running);

    let head = mesh.note(&lease, 1, "reading").await.unwrap();
    assert_eq!(head.seq, 3);
    let attempt = mesh.handle.attempt(&mesh.agent, created.id, (mesh.store.epoch(), 1)).await.unwrap();
    let delta = EventBody::ModelDelta { call_id: "c1".into(), text: "It is".into() };
    attempt.record(vec![delta.clone(), delta]).await.unwrap();

    let done = mesh.succeed(&lease).await;
    assert_eq!((done.state, done.head.seq), (JobState::Succeeded, 6));
    assert_eq!(done.result.as_ref().unwrap().answer.as_deref(), Some("done"));
    assert!(done.started_at.is_some() && done.finished_at.is_some());
    assert!(attempt.cancelled().is_cancelled());

    let log = mesh.log(created.id).await;
    let types: Vec<_> = log.iter().map(|event| event.event_type.as_str()).collect();
    assert_eq!(types, ["job.created", "job.leased", "agent.note", "model.delta", "model.delta", "closed"]);
    let actors: Vec<_> = log.iter().map(|event| (event.actor, event.attempt)).collect();
    use Actor::{Agent, System, User};
    assert_eq!(actors, [(User, 0), (System, 1), (Agent, 1), (System, 1), (System, 1), (Agent, 1)]);
    assert!(log.iter().all(|event| event.body().is_some()), "every event has its typed view");
    assert!(matches!(log[5].body().unwrap(), EventBody::Closed { state: JobState::Succeeded, result: Some(_), .. }));
    assert!(mesh.handle.verify(&mesh.user, created.id).await.unwrap().intact);
}

#[tokio::test(start_paused = true)]
async fn a_repeated_request_makes_one_job() {
    let mesh = Mesh::new().await;
    let create = |task: &str, name| mesh.handle.create(&mesh.user, job(ask(task)), key(name));
    let first = create("a", "k").await.unwrap();
    assert_eq!(create("a", "k").await.unwrap().id, first.id);
    assert!(matches!(create("b", "k").await, Err(Error::IdempotencyConflict { .. })));
    assert_ne!(create("a", "other").await.unwrap().id, first.id);
    let somebody = caller(Scope::User);
    let theirs = mesh.handle.create(&somebody, job(ask("b")), key("k")).await.unwrap();
    assert_ne!(theirs.id, first.id, "keys of two principals have nothing to do with each other");

    // Sent at the same time, as a client that timed out does.
    let (a, b) = tokio::join!(create("c", "race"), create("c", "race"));
    assert_eq!(a.unwrap().id, b.unwrap().id);

    pass(Duration::from_secs(24 * 3600 + 1)).await;
    let fresh = eventually("a key is remembered for a day", async || create("b", "k").await.ok()).await;
    assert_ne!(fresh.id, first.id);
}

#[tokio::test(start_paused = true)]
async fn a_repeated_request_whose_job_was_deleted_is_told_so_and_makes_none() {
    let mesh = Mesh::new().await;
    let lease = mesh.running(ask("x")).await;
    mesh.succeed(&lease).await;
    let again = mesh.handle.retry(&mesh.user, lease.job_id, key("again")).await.unwrap();
    mesh.handle.delete(&mesh.user, lease.job_id).await.unwrap();
    let repeat = mesh.handle.retry(&mesh.user, lease.job_id, key("again")).await.unwrap();
    assert_eq!(repeat.id, again.id, "what it was a retry of need not be there any more");

    mesh.handle.cancel(&mesh.user, again.id, Default::default()).await.unwrap();
    mesh.handle.delete(&mesh.user, again.id).await.unwrap();
    let gone = mesh.handle.retry(&mesh.user, lease.job_id, key("again")).await.unwrap_err();
    assert!(matches!(gone, Error::Gone { job } if job == again.id), "{gone}");
    assert_eq!(gone.code(), ErrorCode::Gone);
    let created = mesh.handle.create(&mesh.user, job(ask("y")), key("create")).await.unwrap();
    mesh.handle.cancel(&mesh.user, created.id, Default::default()).await.unwrap();
    mesh.handle.delete(&mesh.user, created.id).await.unwrap();
    let gone = mesh.handle.create(&mesh.user, job(ask("y")), key("create")).await.unwrap_err();
    assert!(matches!(gone, Error::Gone { job } if job == created.id), "{gone}");
    assert!(mesh.handle.list(&mesh.user, ListJobs::default()).await.unwrap().jobs.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_refused_job_names_every_mistake_and_leaves_nothing() {
    let mesh = Mesh::new().await;
    let spec = job(json!({"kind": "code", "task": "", "write_file": "x", "limits": {"attempts": 0}}));
    let Err(Error::Invalid(mistakes)) = mesh.handle.create(&mesh.user, spec, key("k")).await else { panic!() };
    let pointers: Vec<_> = mistakes.iter().map(|mistake| mistake.pointer.as_str()).collect();
    assert_eq!(pointers, ["/task", "/write_file", "/limits/attempts"]);
    assert!(mesh.handle.list(&mesh.user, ListJobs::default()).await.unwrap().jobs.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_list_is_read_page_by_page_with_its_filters() {
    let mesh = Mesh::new().await;
    let mut created: Vec<Job> = Vec::new();
    for number in 0..7 {
        let kind = if number % 2 == 0 { "ask" } else { "code" };
        created.push(mesh.create(json!({"kind": kind, "task": format!("{number}")})).await);
    }
    let ids: Vec<_> = created.iter().rev().map(|job| job.id).collect();

    let mut pages = Vec::new();
    let mut query = ListJobs { limit: Some(3), ..ListJobs::default() };
    loop {
        let page = mesh.handle.list(&mesh.user, query.clone()).await.unwrap();
        pages.push(page.jobs.iter().map(|job| job.id).collect::<Vec<_>>());
        match page.next_cursor {
            Some(cursor) => query.cursor = Some(cursor),
            None => break,
        }
    }
    assert_eq!(pages, [&ids[..3], &ids[3..6], &ids[6..]]);

    let list = async |query| {
        let page = mesh.handle.list(&mesh.user, query).await.unwrap();
        page.jobs.into_iter().map(|job| job.id).collect::<Vec<_>>()
    };
    let kind = Some(domain::JobKind::Code);
    assert_eq!(list(ListJobs { kind, ..ListJobs::default() }).await, [ids[1], ids[3], ids[5]]);
    let id_prefix = Some(ids[2].to_string().to_uppercase());
    assert_eq!(list(ListJobs { id_prefix, ..ListJobs::default() }).await, [ids[2]]);
    let lease = mesh.lease().await;
    let state = Some(JobState::Running);
    assert_eq!(list(ListJobs { state, ..ListJobs::default() }).await, [lease.job_id]);

    let refused = async |query| mesh.handle.list(&mesh.user, query).await.unwrap_err().code();
    let limit = Some(201);
    assert_eq!(refused(ListJobs { limit, ..ListJobs::default() }).await, ErrorCode::InvalidRequest);
    let cursor = Some("bm90IG91cnM".to_owned());
    assert_eq!(refused(ListJobs { cursor, ..ListJobs::default() }).await, ErrorCode::InvalidCursor);
}

#[tokio::test(start_paused = true)]
async fn a_page_of_huge_jobs_ends_early_and_goes_on() {
    let mesh = Mesh::new().await;
    for _ in 0..5 {
        mesh.create(ask(&"x".repeat(1_500_000))).await;
    }
    let (mut seen, mut pages, mut cursor) = (0, 0, None);
    loop {
        let page = mesh.handle.list(&mesh.user, ListJobs { cursor, ..ListJobs::default() }).await.unwrap();
        assert!((1..=2).contains(&page.jobs.len()), "{} jobs of 1.5 MB in a page", page.jobs.len());
        (seen, pages) = (seen + page.jobs.len(), pages + 1);
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!((seen, pages), (5, 3));
}

#[tokio::test(start_paused = true)]
async fn users_see_their_own_jobs_and_others_as_if_there_were_none() {
    let mesh = Mesh::new().await;
    let mine = mesh.create(ask("mine")).await.id;
    let other = caller(Scope::User);
    let code = |error: Error| error.code();
    assert_eq!(mesh.handle.get(&other, mine).await.map_err(code), Err(ErrorCode::NotFound));
    assert_eq!(mesh.handle.cancel(&other, mine, Default::default()).await.map_err(code), Err(ErrorCode::NotFound));
    assert_eq!(mesh.handle.retry(&other, mine, None).await.map_err(code), Err(ErrorCode::NotFound));
    assert_eq!(mesh.handle.delete(&other, mine).await.map_err(code), Err(ErrorCode::NotFound));
    assert_eq!(mesh.handle.verify(&other, mine).await.map_err(code), Err(ErrorCode::NotFound));
    assert_eq!(mesh.handle.artifacts(&other, mine, Default::default()).await.map_err(code), Err(ErrorCode::NotFound));
    assert!(matches!(mesh.handle.events(&other, mine, None).await.map_err(code), Err(ErrorCode::NotFound)));
    assert!(mesh.handle.list(&other, ListJobs::default()).await.unwrap().jobs.is_empty());

    for scope in [Scope::Admin, Scope::Viewer] {
        assert!(mesh.handle.get(&caller(scope), mine).await.is_ok());
        assert_eq!(mesh.handle.list(&caller(scope), ListJobs::default()).await.unwrap().jobs.len(), 1);
    }
    let viewer = caller(Scope::Viewer);
    let refused = mesh.handle.cancel(&viewer, mine, Default::default()).await;
    assert_eq!(refused.map_err(code), Err(ErrorCode::Forbidden));
    assert_eq!(mesh.handle.create(&viewer, job(ask("x")), None).await.map_err(code), Err(ErrorCode::Forbidden));

    assert_eq!(mesh.handle.get(&mesh.agent, mine).await.map_err(code), Err(ErrorCode::NotFound));
    let lease = mesh.lease().await;
    assert!(mesh.handle.get(&mesh.agent, mine).await.is_ok(), "an agent sees what it works on");
    mesh.succeed(&lease).await;
    assert_eq!(mesh.handle.get(&mesh.agent, mine).await.map_err(code), Err(ErrorCode::NotFound));
    let user_as_worker = mesh.handle.lease(&mesh.user, crate::mesh::worker("w", 0)).await;
    assert!(matches!(user_as_worker.map_err(code), Err(ErrorCode::Forbidden)));
}

#[tokio::test(start_paused = true)]
async fn a_retry_is_a_new_job_that_points_back() {
    let mesh = Mesh::new().await;
    let lease = mesh.running(json!({"kind": "ask", "task": "again", "priority": 7})).await;
    let too_early = mesh.handle.retry(&mesh.user, lease.job_id, None).await.unwrap_err();
    assert_eq!(too_early.code(), ErrorCode::WrongState);
    mesh.succeed(&lease).await;

    let again = mesh.handle.retry(&mesh.user, lease.job_id, key("k")).await.unwrap();
    assert_eq!((again.retry_of, again.state, again.attempt), (Some(lease.job_id), JobState::Queued, 0));
    assert_eq!(again.spec, lease.spec);
    assert_eq!(mesh.handle.retry(&mesh.user, lease.job_id, key("k")).await.unwrap().id, again.id);
    let EventBody::JobCreated { retry_of, .. } = mesh.log(again.id).await[0].body().unwrap() else { panic!() };
    assert_eq!(retry_of, Some(lease.job_id.to_string()));
    assert_eq!(mesh.lease().await.job_id, again.id);
}

#[tokio::test(start_paused = true)]
async fn only_a_job_that_is_over_is_deleted() {
    let mesh = Mesh::new().await;
    let lease = mesh.running(ask("x")).await;
    assert_eq!(mesh.handle.delete(&mesh.user, lease.job_id).await.unwrap_err().code(), ErrorCode::WrongState);
    mesh.succeed(&lease).await;
    mesh.handle.delete(&mesh.user, lease.job_id).await.unwrap();
    assert_eq!(mesh.handle.get(&mesh.user, lease.job_id).await.unwrap_err().code(), ErrorCode::NotFound);
    assert_eq!(mesh.handle.delete(&mesh.user, lease.job_id).await.unwrap_err().code(), ErrorCode::NotFound);
}

#[tokio::test(start_paused = true)]
async fn every_command_is_in_the_audit_trail() {
    let mesh = Mesh::new().await;
    let (_, approval) = mesh.waiting().await;
    let decide = protocol::DecideApproval {
        decision: protocol::Decision::Approved,
        arguments_sha256: approval.arguments_sha256.clone(),
        message: None,
    };
    mesh.handle.decide(&mesh.user, approval.id, decide).await.unwrap();
    mesh.handle.cancel(&mesh.user, approval.job_id, Default::default()).await.unwrap();
    mesh.handle.retry(&mesh.user, approval.job_id, None).await.unwrap();
    mesh.handle.delete(&mesh.user, approval.job_id).await.unwrap();
    let trail = mesh.store.stretch_of_audit(0, 100).await.unwrap().entries;
    let actions: Vec<_> = trail.iter().map(|entry| entry.row.action.as_str()).collect();
    assert_eq!(actions, ["job.create", "approval.decide", "job.cancel", "job.retry", "job.delete"]);
    assert!(trail.iter().all(|entry| entry.row.principal == mesh.user.principal));
    assert!(trail.iter().all(|entry| entry.row.request_id == mesh.user.request));
    let objects: Vec<_> = trail.iter().map(|entry| entry.row.object.clone()).collect();
    assert_eq!(objects[1], format!("{} (approved, job {})", approval.id, approval.job_id));
    assert_eq!(objects[4], approval.job_id.to_string());
}

fn about(path: &std::path::Path) -> serde_json::Value {
    json!({"kind": "code", "task": "x", "repository": {"path": path}})
}

/// A path is read with the rights of who asks, from the first moment to the lease, and again when it is retried.
#[tokio::test(start_paused = true)]
async fn a_job_is_about_what_its_creator_may_read() {
    let disk = tempfile::tempdir().unwrap();
    let (work, elsewhere) = (disk.path().join("work"), disk.path().join("elsewhere"));
    let private = disk.path().join("data");
    for folder in [&work, &elsewhere, &private] {
        std::fs::create_dir(folder).unwrap();
    }
    let options = Options { roots: vec![work.clone()], private: vec![private.clone()], ..Options::default() };
    let mesh = Mesh::with(options).await;
    let admin = caller(Scope::Admin);
    let refused = async |who: &Caller, path: &std::path::Path| {
        let error = mesh.handle.create(who, job(about(path)), None).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::Forbidden, "{error}");
        error.to_string()
    };
    let why = refused(&mesh.user, &private).await;
    assert!(why.starts_with("/repository/path: `") && why.contains("agents.roots"), "{why}");
    refused(&mesh.user, &elsewhere).await;
    refused(&admin, &private).await;

    let own = mesh.create(about(&work)).await;
    let lease = mesh.lease().await;
    assert_eq!((lease.job_id, lease.folders), (own.id, Folders::Roots));
    mesh.succeed(&lease).await;
    let wide = mesh.create_as(&admin, about(&elsewhere)).await;
    let lease = mesh.lease().await;
    assert_eq!((lease.job_id, lease.folders), (wide.id, Folders::Any));
    mesh.succeed(&lease).await;

    // With the rights of who retries, not of who created.
    let again = mesh.handle.retry(&admin, own.id, None).await.unwrap();
    let lease = mesh.lease().await;
    assert_eq!((lease.job_id, lease.folders), (again.id, Folders::Any));
    mesh.succeed(&lease).await;

    let none = Mesh::new().await;
    let error = none.handle.create(&none.user, job(about(&work)), None).await.unwrap_err();
    assert!(error.to_string().contains("`agents.roots` is empty"), "{error}");
}
