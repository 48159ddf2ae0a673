//! The queue and the lists.

use crate::support::{approval, at, insert, job, new_job, principal, read, reopened, store, write};
use domain::{JobId, JobState, PrincipalId, Priority};
use store::{ApprovalFilter, ArtifactRow, Error, JobHead, JobRow, Store};

async fn next(store: &Store, excluded: &[PrincipalId]) -> Option<JobRow> {
    let excluded = excluded.to_vec();
    read(store, move |reader| reader.next_ready(&excluded)).await
}

async fn start(store: &Store, mut job: JobRow) {
    job.state = JobState::Running;
    write(store, move |transaction| transaction.update_job(&job)).await;
}

fn queued(owner: u128, queued_at_ms: i64, priority: u8) -> JobRow {
    let rank = at(queued_at_ms).as_millis() - i64::from(priority) * Priority::LEVEL_MS;
    JobRow { principal: principal(owner), priority, rank, ..job(queued_at_ms) }
}

#[tokio::test]
async fn a_row_comes_back_as_it_was_stored() {
    let (folder, store) = store().await;
    let mut row = JobRow {
        reason: Some(domain::FailureReason::Stuck),
        message: Some("line\nline \u{0} 'quoted' é".to_owned()),
        spec: "s".repeat(200_000),
        result: Some("r".repeat(200_000)),
        not_before: Some(at(5)),
        worker: Some(domain::WorkerId::new(at(1))),
        worker_principal: Some(principal(9)),
        lease_epoch: Some(domain::Epoch(u32::MAX)),
        retry_of: Some(job(-1).id),
        cancel_requested: true,
        attempt: u32::MAX,
        attempts_failed: 7,
        producer_seq: 8,
        running_ms: 9,
        rank: i64::MIN,
        started_at: Some(at(3)),
        finished_at: Some(at(4)),
        ..job(0)
    };
    insert(&store, &row).await;
    row.revision = 1;
    let id = row.id;
    assert_eq!(read(&store, move |reader| reader.job(id)).await.as_ref(), Some(&row));
    let head = JobHead {
        principal: row.principal,
        state: row.state,
        attempt: u32::MAX,
        worker_principal: Some(principal(9)),
        producer_seq: 8,
        head_seq: row.head_seq,
        lease_epoch: row.lease_epoch,
    };
    assert_eq!(read(&store, move |reader| reader.job_head(id)).await, Some(head));

    // An update changes what may change, in either direction, and nothing else.
    let update = JobRow {
        state: JobState::Failed,
        result: None,
        message: None,
        worker: None,
        not_before: None,
        usage: r#"{"steps":3}"#.to_owned(),
        updated_at: at(6),
        ..row.clone()
    };
    let asked = JobRow { spec: "another".to_owned(), principal: principal(77), head_seq: 5, ..update.clone() };
    write(&store, move |transaction| transaction.update_job(&asked)).await;
    let store = reopened(&folder, store).await;
    let expected = JobRow { revision: 2, ..update };
    assert_eq!(read(&store, move |reader| reader.job(id)).await, Some(expected));

    write(&store, move |transaction| {
        transaction.remember_batch(id, store::BatchId { producer_seq: 41, sha256: [1; 32] })
    })
    .await;
    let after = read(&store, move |reader| reader.job(id)).await.unwrap();
    assert_eq!((after.producer_seq, after.revision), (41, 2));
    store.close().await;
}

#[tokio::test]
async fn the_queue_goes_by_priority_and_every_job_ages() {
    let (_folder, store) = store().await;
    assert_eq!(next(&store, &[]).await, None);
    let normal = queued(1, 0, 4);
    let urgent = queued(1, 1_000, 9);
    // One level is worth a minute: after more than five of them the normal job is ahead of a new urgent one.
    let urgent_later = queued(1, 5 * Priority::LEVEL_MS + 1_000, 9);
    for row in [&normal, &urgent, &urgent_later] {
        insert(&store, row).await;
    }
    let mut order = Vec::new();
    while let Some(row) = next(&store, &[]).await {
        order.push(row.id);
        start(&store, row).await;
    }
    assert_eq!(order, [urgent.id, normal.id, urgent_later.id]);
    let running = read(&store, |reader| reader.running()).await;
    assert_eq!(running.len(), 3);
    store.close().await;
}

#[tokio::test]
async fn a_principal_with_a_long_queue_takes_its_share_and_no_more() {
    let (_folder, store) = store().await;
    for number in 0..300 {
        insert(&store, &queued(1, number, 9)).await;
    }
    let (second, third) = (queued(2, 10_000, 0), queued(3, 20_000, 0));
    insert(&store, &second).await;
    insert(&store, &third).await;
    let mut owners = Vec::new();
    for _ in 0..4 {
        let row = next(&store, &[]).await.unwrap();
        owners.push(row.principal);
        start(&store, row).await;
    }
    // Ranks decide between principals with as much running; whoever has less running goes first.
    assert_eq!(owners, [principal(1), principal(2), principal(3), principal(1)]);
    assert_eq!(read(&store, |reader| reader.running_count(principal(1))).await, 2);
    store.close().await;
}

#[tokio::test]
async fn excluded_principals_and_delayed_jobs_wait() {
    let (_folder, store) = store().await;
    let (first, second) = (queued(1, 0, 4), queued(2, 1, 4));
    let delayed = JobRow { not_before: Some(at(500)), ..queued(3, 0, 9) };
    for row in [&first, &second, &delayed] {
        insert(&store, row).await;
    }
    let id = |row: Option<JobRow>| row.map(|row| row.id);
    assert_eq!(id(next(&store, &[]).await), Some(first.id));
    assert_eq!(id(next(&store, &[principal(1)]).await), Some(second.id));
    assert_eq!(next(&store, &[principal(1), principal(2)]).await, None);

    assert_eq!(read(&store, |reader| reader.next_delayed()).await, Some(at(500)));
    assert_eq!(write(&store, |transaction| transaction.promote_delayed(at(499))).await, 0);
    assert_eq!(write(&store, |transaction| transaction.promote_delayed(at(500))).await, 1);
    assert_eq!(read(&store, |reader| reader.next_delayed()).await, None);
    assert_eq!(id(next(&store, &[principal(1), principal(2)]).await), Some(delayed.id));
    store.close().await;
}

#[tokio::test]
async fn finished_jobs_expire_oldest_first() {
    let (_folder, store) = store().await;
    let mut ids = Vec::new();
    for number in 0..5 {
        let finished_at = Some(at(100 - number));
        let row = JobRow { state: JobState::Succeeded, finished_at, ..job(number) };
        insert(&store, &row).await;
        ids.push(row.id);
    }
    new_job(&store).await;
    let expired = read(&store, |reader| reader.expired_jobs(at(99), 2)).await;
    assert_eq!(expired, [ids[4], ids[3]]);
    assert_eq!(read(&store, |reader| reader.expired_jobs(at(99), 10)).await.len(), 3);
    store.close().await;
}

#[tokio::test]
async fn approvals_are_found_by_call_and_go_with_their_job() {
    let (_folder, store) = store().await;
    let (mine, other) = (queued(1, 0, 4), queued(2, 1, 4));
    insert(&store, &mine).await;
    insert(&store, &other).await;
    let asked = [approval(mine.id, "call-1", 10), approval(mine.id, "call-1", 20), approval(other.id, "call-1", 30)];
    for row in asked.clone() {
        write(&store, move |transaction| transaction.insert_approval(&row)).await;
    }
    let stray = approval(job(5).id, "call", 1);
    let outcome = store.write(move |transaction| transaction.insert_approval(&stray)).await;
    assert!(matches!(outcome, Err(Error::NoSuchJob(_))));

    let mut decided = asked[1].clone();
    decided.decision = Some("denied".to_owned());
    decided.message = Some("use cargo".to_owned());
    decided.decided_by = Some(principal(1));
    decided.decided_at = Some(at(40));
    let update = decided.clone();
    write(&store, move |transaction| transaction.update_approval(&update)).await;
    let job_id = mine.id;
    assert_eq!(read(&store, move |reader| reader.approval_for_call(job_id, "call-1")).await, Some(decided.clone()));
    assert_eq!(read(&store, move |reader| reader.approval_for_call(job_id, "call-2")).await, None);

    write(&store, move |transaction| transaction.delete_job(job_id)).await;
    assert_eq!(read(&store, move |reader| reader.approval(decided.id)).await, None);
    assert_eq!(store.page_of_approvals(ApprovalFilter::default()).await.unwrap().rows, [asked[2].clone()]);
    store.close().await;
}

#[tokio::test]
async fn artifacts_are_read_page_by_page_by_name() {
    let (_folder, store) = store().await;
    let job = new_job(&store).await;
    for name in ["c.txt", "a.txt", "b.txt"] {
        let sha256 = store.blobs().put_bytes(bytes::Bytes::from_static(name.as_bytes())).await.unwrap().sha256;
        let (name, media_type) = (name.to_owned(), "text/plain".to_owned());
        let row = ArtifactRow { job_id: job, name, media_type, bytes: 5, sha256, attempt: 1, created_at: at(0) };
        write(&store, move |transaction| transaction.put_artifact(&row)).await;
    }
    let names = async |after: Option<&str>| {
        let found = store.page_of_artifacts(job, after.map(str::to_owned), 2).await.unwrap().unwrap();
        (found.page.rows.into_iter().map(|row| row.name).collect::<Vec<_>>(), found.page.more)
    };
    assert_eq!(names(None).await, (vec!["a.txt".to_owned(), "b.txt".to_owned()], true));
    assert_eq!(names(Some("b.txt")).await, (vec!["c.txt".to_owned()], false));
    assert!(store.page_of_artifacts(JobId::new(at(9)), None, 2).await.unwrap().is_none());
}
