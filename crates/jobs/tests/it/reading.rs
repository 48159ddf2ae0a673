//! Following a log: from anywhere, at any pace, without a seam.

use crate::mesh::{Mesh, ask, breathe, caller, read_to_the_end, succeeded};
use domain::{Cursor, Epoch, ErrorCode, JobState, Scope};
use jobs::{Error, Read};
use protocol::{AppendEvents, EventBody, ResetReason};
use std::time::Duration;

fn notes(range: std::ops::Range<u64>) -> Vec<EventBody> {
    range.map(|number| EventBody::AgentNote { message: number.to_string() }).collect()
}

#[tokio::test(start_paused = true)]
async fn a_log_is_read_in_pages_and_resumed_by_cursor() {
    let mesh = Mesh::new().await;
    let lease = mesh.running(ask("x")).await;
    let append = AppendEvents { epoch: lease.epoch, attempt: 1, producer_seq: 1, events: notes(0..10) };
    mesh.handle.append(&mesh.agent, lease.job_id, append).await.unwrap();
    let job = lease.job_id;
    let head = mesh.job(job).await.head;
    let at = |seq| Cursor { seq, ..head };
    let read = async |after| mesh.handle.events(&mesh.user, job, after).await.unwrap().next(100).await;

    let elsewhere = Cursor { epoch: Epoch(head.epoch.0 ^ 1), seq: 7 };
    let Read::Reset(reset) = read(Some(elsewhere)).await.unwrap() else { panic!() };
    assert_eq!((reset.reason, reset.resume_from), (ResetReason::EpochChanged, at(0)));

    let ahead = read(Some(at(head.seq + 1))).await.unwrap_err();
    assert!(matches!(ahead, Error::CursorAhead { after, head: end } if after == at(head.seq + 1) && end == head));
    let mut reader = mesh.handle.events(&mesh.user, job, Some(elsewhere)).await.unwrap();
    let refused = reader.page(10, Duration::from_secs(30)).await.unwrap_err();
    assert!(matches!(&refused, Error::Reset(reset) if reset.reason == ResetReason::EpochChanged));
    assert!(
        refused.to_string().contains("because the data was restored from a backup or a copy; begin again"),
        "{refused}"
    );
    assert_eq!(refused.code(), ErrorCode::InvalidCursor);
}

#[tokio::test(start_paused = true)]
async fn a_log_that_goes_away_under_a_reader_is_an_answer_too() {
    let mesh = Mesh::new().await;
    let lease = mesh.running(ask("x")).await;
    mesh.succeed(&lease).await;
    let mut reader = mesh.handle.events(&mesh.user, lease.job_id, None).await.unwrap();
    reader.page(1, Duration::ZERO).await.unwrap();
    mesh.handle.delete(&mesh.user, lease.job_id).await.unwrap();
    assert_eq!(reader.next(10).await.unwrap_err().code(), ErrorCode::NotFound);
}

/// Readers that come at any moment, from any position, at any pace, while events are appended: each sees the same dense
/// sequence.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_reader_sees_the_same_log_whenever_it_subscribes() {
    const BATCHES: u64 = 400;
    const READERS: u32 = 60;
    let mesh = Mesh::new().await;
    let lease = mesh.running(ask("x")).await;
    let job = lease.job_id;

    let mut readers = Vec::new();
    for number in 0..READERS {
        let handle = mesh.handle.clone();
        readers.push(tokio::spawn(async move {
            let watcher = caller(Scope::Admin);
            let mut after = None;
            let mut events = Vec::new();
            for round in 0.. {
                let mut reader = handle.events(&watcher, job, after).await.unwrap();
                // Some stay to the end, some come back after every few pages, at random.
                let pages = if number % 3 == 0 { u32::MAX } else { rand::random_range(1..4) };
                for _ in 0..pages {
                    match reader.next(rand::random_range(1..50)).await.unwrap() {
                        Read::Events(page) => events.extend(page.events),
                        Read::Closed => return events,
                        other => panic!("{other:?}"),
                    }
                    for _ in 0..rand::random_range(0..20) {
                        tokio::task::yield_now().await;
                    }
                }
                assert!(round < 100_000, "reader {number} never comes to the end");
                after = Some(reader.cursor());
            }
            unreachable!("the loop above has no end of its own")
        }));
        if number % 10 == 9 {
            // Everybody subscribes at another moment of the writing below.
            tokio::task::yield_now().await;
        }
    }
    for producer_seq in 1..=BATCHES {
        let events = notes(0..rand::random_range(1..6));
        let append = AppendEvents { epoch: mesh.store.epoch(), attempt: 1, producer_seq, events };
        mesh.handle.append(&mesh.agent, job, append).await.unwrap();
    }
    mesh.handle.finish(&mesh.agent, job, succeeded(&lease, "x")).await.unwrap();

    let whole = mesh.log_to_the_end(job).await;
    assert!(whole.len() as u64 > BATCHES);
    assert!(whole.iter().zip(1..).all(|(event, seq)| event.seq == seq), "dense from 1");
    for reader in readers {
        let seen = reader.await.unwrap();
        assert!(seen == whole, "a reader saw {} events, there are {}", seen.len(), whole.len());
    }
    assert!(mesh.handle.verify(&mesh.user, job).await.unwrap().intact);
}

#[tokio::test(start_paused = true)]
async fn a_reader_dropped_half_way_loses_nothing() {
    let mesh = Mesh::new().await;
    let lease = mesh.running(ask("x")).await;
    let mut reader = mesh.handle.events(&mesh.user, lease.job_id, None).await.unwrap();
    let mut events = Vec::new();
    for producer_seq in 1..=20 {
        // Begun and given up at whatever point it had come to.
        for polls in 0..producer_seq % 4 {
            let mut next = Box::pin(reader.next(2));
            for _ in 0..polls {
                if let std::task::Poll::Ready(read) = futures_util::poll!(&mut next) {
                    let Read::Events(page) = read.unwrap() else { panic!() };
                    events.extend(page.events);
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
        mesh.note(&lease, producer_seq, "x").await.unwrap();
    }
    mesh.succeed(&lease).await;
    events.extend(read_to_the_end(reader, 3).await);
    assert_eq!(events, mesh.log(lease.job_id).await);
}

#[tokio::test(start_paused = true)]
async fn a_job_list_is_kept_fresh() {
    let mesh = Mesh::new().await;
    mesh.create(ask("before")).await;
    let mut mine = mesh.handle.changed_jobs(&mesh.user).await.unwrap();
    let mut all = mesh.handle.changed_jobs(&caller(Scope::Viewer)).await.unwrap();
    let theirs = mesh.create_as(&caller(Scope::User), ask("theirs")).await;
    let created = mesh.create(ask("mine")).await;

    let jobs = mine.next().await.unwrap().unwrap();
    assert_eq!(jobs.iter().map(|job| job.id).collect::<Vec<_>>(), [created.id], "their own, from now on");
    let jobs = all.next().await.unwrap().unwrap();
    assert_eq!(jobs.iter().map(|job| job.id).collect::<Vec<_>>(), [theirs.id, created.id]);

    let waiting = tokio::spawn(async move { mine.next().await });
    breathe().await;
    mesh.handle.cancel(&mesh.user, created.id, Default::default()).await.unwrap();
    breathe().await;
    assert!(!waiting.is_finished(), "no more often than every 100 ms");
    tokio::time::advance(Duration::from_millis(100)).await;
    let jobs = waiting.await.unwrap().unwrap().unwrap();
    assert_eq!((jobs[0].id, jobs[0].state), (created.id, JobState::Cancelled));
    assert!(matches!(mesh.handle.changed_jobs(&mesh.agent).await.map(|_| ()), Err(Error::Forbidden { .. })));
}

#[tokio::test(start_paused = true)]
async fn tampering_is_found() {
    let attacks: [(&str, &str, u64); 5] = [
        ("a payload", "UPDATE events SET payload = replace(payload, 'note 3', 'nota 3') WHERE seq = 5", 5),
        ("an actor", "UPDATE events SET actor = 'user' WHERE seq = 6", 6),
        ("a time", "UPDATE events SET at = at + 1 WHERE seq = 1", 1),
        ("a missing event", "DELETE FROM events WHERE seq = 4", 4),
        ("a cut end", "DELETE FROM events WHERE seq >= 8", 8),
    ];
    for (what, sql, seq) in attacks {
        let mesh = Mesh::new().await;
        let lease = mesh.running(ask("x")).await;
        for number in 1..=7 {
            mesh.note(&lease, number, &format!("note {number}")).await.unwrap();
        }
        mesh.succeed(&lease).await;
        let report = mesh.handle.verify(&mesh.user, lease.job_id).await.unwrap();
        assert!(report.intact && report.broken_at.is_none());
        assert_eq!((report.events, report.head.seq), (10, 10));
        assert_eq!(report.head_hash, mesh.log(lease.job_id).await[9].hash);
        let changed = mesh.database().execute(sql, ()).unwrap();
        assert!(changed > 0, "{what}: nothing was changed");
        let report = mesh.handle.verify(&mesh.user, lease.job_id).await.unwrap();
        assert!(!report.intact, "{what}");
        assert_eq!(report.broken_at.unwrap().seq, seq, "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_rewritten_event_is_found_by_the_one_after_it() {
    let mesh = Mesh::new().await;
    let lease = mesh.running(ask("x")).await;
    mesh.note(&lease, 1, "original").await.unwrap();
    mesh.succeed(&lease).await;
    // Somebody who also recomputes the hash of what they changed.
    let job = lease.job_id;
    let mut event = {
        let page = store::EventPage { job, after_seq: 2, max_events: 1, max_bytes: 1_000 };
        mesh.store.page_of_events(page).await.unwrap().unwrap().1.remove(0)
    };
    event.payload = domain::CanonicalJson::from_store(r#"{"message":"forged"}"#.into());
    let hash = event.link().hash();
    let sql = "UPDATE events SET payload = ?1, hash = ?2 WHERE seq = 3";
    mesh.database().execute(sql, (event.payload.as_str(), hash.0)).unwrap();
    let broken = mesh.handle.verify(&mesh.user, job).await.unwrap().broken_at.unwrap();
    assert_eq!((broken.seq, broken.detail.as_str()), (4, "does not link to the event before it"));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_is_found_and_not_a_failure() {
    let attacks: [(&str, &str, u64); 4] = [
        ("a payload that is no text", "UPDATE events SET payload = CAST(x'ff00fe' AS TEXT) WHERE seq = 5", 5),
        ("an attempt beyond any", "UPDATE events SET attempt = 9000000000000 WHERE seq = 6", 6),
        ("a payload that is no JSON", "UPDATE events SET payload = '{' WHERE seq = 4", 4),
        ("a job of no known state", "UPDATE jobs SET state = 'gone'", 0),
    ];
    for (what, sql, seq) in attacks {
        let mesh = Mesh::new().await;
        let lease = mesh.running(ask("x")).await;
        for number in 1..=7 {
            mesh.note(&lease, number, &format!("note {number}")).await.unwrap();
        }
        mesh.succeed(&lease).await;
        assert!(mesh.database().execute(sql, ()).unwrap() > 0, "{what}: nothing was changed");
        let report = mesh
            .handle
            .verify(&caller(Scope::Admin), lease.job_id)
            .await
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(!report.intact, "{what}");
        assert_eq!(report.broken_at.unwrap().seq, seq, "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn artifacts_are_verified_with_the_log() {
    let mesh = Mesh::new().await;
    let lease = mesh.running(ask("x")).await;
    let put = async |name: &str, content: &'static str| {
        let body = futures_util::stream::iter([Ok(bytes::Bytes::from_static(content.as_bytes()))]);
        mesh.handle
            .put_artifact(&mesh.agent, lease.job_id, (lease.epoch, lease.attempt), name, "text/plain", body)
            .await
            .unwrap()
    };
    put("a", "replaced").await;
    let (a, b) = (put("a", "content of a").await, put("b", "content of b").await);
    mesh.succeed(&lease).await;
    let verify = async || mesh.handle.verify(&mesh.user, lease.job_id).await.unwrap();
    let report = verify().await;
    assert!(report.intact, "{report:?}");
    assert_eq!((report.events, report.artifacts), (report.head.seq, 2));

    let broken = async |artifact: &str, seq: u64, why: &str| {
        let report = verify().await;
        assert!(!report.intact);
        let broken = report.broken_at.unwrap();
        assert_eq!((broken.artifact.as_deref(), broken.seq), (Some(artifact), seq), "{}", broken.detail);
        assert!(broken.detail.contains(why), "{}", broken.detail);
    };
    let path = mesh.store.blobs().path(&a.sha256).unwrap();
    std::fs::write(&path, "contant of a").unwrap();
    broken("a", 4, "its content is damaged (its SHA-256 is").await;
    std::fs::remove_file(&path).unwrap();
    broken("a", 4, "its content is missing").await;
    std::fs::write(&path, "content of a").unwrap();
    // Whole content that is not what was handed in.
    let swap = "UPDATE artifacts SET sha256 = ?1 WHERE name = 'b'";
    mesh.database().execute(swap, [&a.sha256]).unwrap();
    broken("b", 5, &format!("handed in content with SHA-256 {}", b.sha256)).await;
    mesh.database().execute("UPDATE artifacts SET sha256 = 'x' WHERE name = 'a'", ()).unwrap();
    broken("a", 4, "handed in content").await;
    mesh.database().execute("DELETE FROM artifacts WHERE name = 'a'", ()).unwrap();
    broken("a", 4, "it is missing from the job's artifacts").await;
}
