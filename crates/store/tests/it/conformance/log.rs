//! A job's log: dense, linked, fenced, paged.

use crate::{
    operate::{append, append_to, assert_whole, audit, fence, lease, log, new, new_job, put_back},
    support::{event, job, number_of, principal},
};
use domain::{Epoch, JobState};
use store::{ArtifactRow, BatchId, Database, Error, EventPage, JobRow, PutArtifact, Urgency, Write, limits};

fn batch(producer_seq: u64, content: u8) -> BatchId {
    BatchId { producer_seq, sha256: [content; 32] }
}

pub async fn a_page_ends_at_its_rows_or_its_bytes_and_never_empty(database: &dyn Database) {
    let id = new_job(database).await;
    append(database, id, 1..50).await.unwrap();
    let page = async |after_seq, max_events, max_bytes| -> Vec<u64> {
        let page = EventPage { job: id, after_seq, max_events, max_bytes };
        let (head, events) = database.page_of_events(page).await.unwrap().unwrap();
        assert_eq!(head.head_seq, 50);
        events.iter().map(|event| event.seq).collect()
    };
    assert_eq!(page(0, 3, usize::MAX).await, [1, 2, 3]);
    assert_eq!(page(48, 10, usize::MAX).await, [49, 50]);
    assert_eq!(page(50, 10, usize::MAX).await, [] as [u64; 0]);
    assert_eq!(page(u64::MAX, 10, usize::MAX).await, [] as [u64; 0]);
    assert_eq!(page(7, 10, 0).await, [8], "one event always fits");
    let bytes = log(database, id).await[..4].iter().map(|event| event.payload.as_str().len()).sum();
    assert_eq!(page(0, 10, bytes).await, [1, 2, 3, 4]);
    let nowhere = EventPage { job: job(7).id, after_seq: 0, max_events: 1, max_bytes: 1 };
    assert!(database.page_of_events(nowhere).await.unwrap().is_none());
}

pub async fn only_the_attempt_that_holds_the_job_writes(database: &dyn Database) {
    let id = new_job(database).await;
    let held = lease(database, 1).await.remove(0);
    let good = fence(&held);
    let before = database.job(id).await.unwrap().unwrap();
    let wrong = [
        store::Fence { attempt: good.attempt + 1, ..good },
        store::Fence { attempt: 0, ..good },
        store::Fence { epoch: Epoch(good.epoch.0 ^ 1), ..good },
    ];
    for fence in wrong {
        let append = store::Append { fence, ..append_to(database, id, vec![event(1)]).await };
        let refused = database.append_under_fence(append).await.unwrap_err();
        assert!(matches!(refused, Error::StaleAttempt { current: 1, .. }), "{fence:?}: {refused}");
        let artifact = ArtifactRow {
            job_id: id,
            name: "a".to_owned(),
            media_type: "text/plain".to_owned(),
            bytes: 1,
            sha256: "ab".repeat(32),
            attempt: fence.attempt,
            created_at: held.created_at,
        };
        let put = PutArtifact { fence, artifact, event: event(1), limit: 10, running_ms: None };
        assert!(matches!(database.put_artifact(put).await, Err(Error::StaleAttempt { .. })), "{fence:?}");
    }
    let stranger = store::Fence { principal: principal(99), ..good };
    let append = store::Append { fence: stranger, ..append_to(database, id, vec![event(1)]).await };
    assert!(
        matches!(database.append_under_fence(append).await, Err(Error::NoSuchJob(_))),
        "it is told of no other's job"
    );
    assert_eq!(database.job(id).await.unwrap().unwrap(), before);

    let over = move |found: &store::Found| {
        let job = JobRow { state: JobState::Succeeded, ..found.job.clone() };
        Ok(Some(Write::new(job, vec![event(2)])))
    };
    let late = append_to(database, id, vec![event(1)]).await;
    database.change_job(id, Urgency::Relief, Box::new(over)).await.unwrap();
    assert!(matches!(database.append_under_fence(late).await, Err(Error::StaleAttempt { .. })));
    assert_whole(database, id).await;
}

pub async fn a_batch_is_stored_once_and_only_as_it_was(database: &dyn Database) {
    let id = new_job(database).await;
    lease(database, 1).await;
    let send = async |batch: BatchId| {
        let append = append_to(database, id, vec![event(batch.producer_seq)]).await;
        database.append_under_fence(store::Append { batch: Some(batch), ..append }).await
    };
    let gap = send(batch(2, 2)).await.unwrap_err();
    assert!(matches!(gap, Error::ProducerGap { expected: 1, got: 2 }), "{gap}");
    let last = limits::REMEMBERED_BATCHES as u64 + 5;
    for number in 1..=last {
        let appended = send(batch(number, number as u8)).await.unwrap();
        assert_eq!((appended.head.seq, appended.repeated), (number + 2, false));
    }
    let remembered = last - limits::REMEMBERED_BATCHES as u64 + 1..=last;
    for number in 1..*remembered.start() {
        for sha256 in [0, number as u8] {
            let old = send(batch(number, sha256)).await.unwrap_err();
            assert!(matches!(old, Error::ProducerForgotten { producer_seq } if producer_seq == number), "{old}");
        }
    }
    for number in remembered.clone() {
        let repeat = send(batch(number, number as u8)).await.unwrap();
        assert_eq!((repeat.head.seq, repeat.repeated), (last + 2, true));
    }
    for number in remembered {
        let other = send(batch(number, 0)).await.unwrap_err();
        assert!(matches!(other, Error::ProducerConflict { producer_seq } if producer_seq == number), "{other}");
    }
    // What it used goes with the events, or not at all.
    let count = Box::new(|row: &mut JobRow| {
        row.usage = r#"{"steps":1}"#.to_owned();
        Ok(())
    });
    let append = append_to(database, id, vec![event(0)]).await;
    let counted = store::Append { batch: Some(batch(last + 1, 0)), count: Some(count), ..append };
    database.append_under_fence(counted).await.unwrap();
    let row = database.job(id).await.unwrap().unwrap();
    assert_eq!((row.usage.as_str(), row.producer_seq), (r#"{"steps":1}"#, last + 1));

    // The next attempt counts from 1, and nothing of the one before answers for it.
    put_back(database, id).await;
    lease(database, 1).await;
    assert!(!send(batch(1, 200)).await.unwrap().repeated);
    assert!(matches!(send(batch(1, 1)).await, Err(Error::ProducerConflict { .. })));
    assert_whole(database, id).await;
}

pub async fn a_deleted_job_takes_its_log_with_it(database: &dyn Database) {
    let (kept, deleted) = (new_job(database).await, new_job(database).await);
    for number in 1..=3 {
        append(database, kept, number..number + 1).await.unwrap();
        append(database, deleted, number..number + 1).await.unwrap();
    }
    database.delete_job(deleted, Box::new(|_| Ok(audit()))).await.unwrap();
    assert_eq!(log(database, deleted).await, []);
    assert!(matches!(append(database, deleted, 4..5).await, Err(Error::NoSuchJob(_))));
    assert_eq!(assert_whole(database, kept).await.len(), 4);
    // Nor does the next one inherit it.
    let fresh = job(50);
    database.create_job(new(&fresh)).await.unwrap();
    assert_eq!(assert_whole(database, fresh.id).await.len(), 1);
}

pub async fn many_writers_make_one_dense_chain(database: &dyn Database) {
    const WRITERS: u64 = 32;
    const EACH: u64 = 10;
    let (shared, other) = (new_job(database).await, new_job(database).await);
    let write = async |writer: u64| {
        for number in 0..EACH {
            let number = 1 + writer * EACH + number;
            append(database, shared, number..number + 1).await.unwrap();
            append(database, other, number..number + 1).await.unwrap();
        }
    };
    futures_util::future::join_all((0..WRITERS).map(write)).await;
    for job in [shared, other] {
        let mut numbers: Vec<_> = assert_whole(database, job).await.iter().map(number_of).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (0..=WRITERS * EACH).collect::<Vec<_>>(), "each is there once");
    }
}
