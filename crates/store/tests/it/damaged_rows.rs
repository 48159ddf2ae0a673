//! A row that cannot be read costs what is in it: lists, and all else, go on.

use crate::{
    operate::{ask, hand_in, new, new_job, running_job},
    support::{approval, at, audit, event, job, principal, store, with_plain_sql},
};
use domain::{JobId, JobState};
use rusqlite::Connection;
use store::{ApprovalFilter, AuditFilter, Created, Database, Error, JobFilter, JobRow, verify_audit};

/// Some jobs of a principal each, oldest first.
async fn jobs(database: &dyn Database, count: u128) -> Vec<JobId> {
    let mut ids = Vec::new();
    for number in 1..=count {
        let row = JobRow { principal: principal(number), ..job(number as i64) };
        match database.create_job(new(&row)).await.unwrap() {
            Created::New(job) => ids.push(job.id),
            Created::Earlier(earlier) => panic!("{earlier:?}"),
        }
    }
    ids
}

fn damage(connection: &Connection, column: &str, value: &str, jobs: &[JobId]) {
    for job in jobs {
        let sql = format!("UPDATE jobs SET {column} = {value} WHERE id = ?1");
        assert_eq!(connection.execute(&sql, [job.0.into_bytes()]).unwrap(), 1);
    }
}

/// Newest first, a page of two at a time.
async fn listed(database: &dyn Database) -> Vec<JobId> {
    let (mut ids, mut before) = (Vec::new(), None);
    loop {
        let page = database.page_of_jobs(JobFilter { limit: 2, before, ..JobFilter::default() }).await.unwrap();
        ids.extend(page.rows.iter().map(|row| row.id));
        match page.last_if_more() {
            Some(last) => {
                assert_eq!(page.rows.len(), 2, "a page is full as long as there are others");
                before = Some(last.id);
            }
            None => return ids,
        }
    }
}

#[tokio::test]
async fn a_list_of_jobs_passes_over_what_cannot_be_read_and_goes_on() {
    let (folder, store) = store().await;
    let ids = jobs(&*store, 12).await;
    let damaged = [ids[0], ids[3], ids[4], ids[5], ids[6], ids[11]];
    let store = with_plain_sql(&folder, store, |connection| damage(connection, "state", "'zzz'", &damaged)).await;
    let whole: Vec<_> = ids.iter().rev().filter(|id| !damaged.contains(id)).copied().collect();
    assert_eq!(listed(&*store).await, whole);
    let changed: Vec<_> = store.changed_jobs(0, 3).await.unwrap().into_iter().map(|row| row.id).collect();
    assert_eq!(changed, [ids[1], ids[2], ids[7]]);

    // Whoever asks for this one is told that it is damaged, and not what is in it.
    let refused = store.job(ids[3]).await.unwrap_err();
    assert!(matches!(&refused, Error::Unreadable(row) if row.column == "state"), "{refused}");
    assert!(refused.to_string().starts_with(&format!("the stored row of job {} is damaged", ids[3])), "{refused}");
    assert!(!refused.to_string().contains("zzz"), "{refused}");
    assert!(matches!(store.job_head(ids[3]).await, Err(Error::Unreadable(_))));
    store.close().await;
}

#[tokio::test]
async fn where_nothing_can_be_read_a_list_is_empty() {
    let (folder, store) = store().await;
    let ids = jobs(&*store, 5).await;
    let store = with_plain_sql(&folder, store, |connection| damage(connection, "state", "'zzz'", &ids)).await;
    assert_eq!(listed(&*store).await, []);
    assert!(store.running_jobs().await.unwrap().is_empty());
    store.close().await;
}

#[tokio::test]
async fn queued_jobs_that_cannot_be_read_keep_no_others_waiting() {
    let (folder, store) = store().await;
    let mut ids = Vec::new();
    for number in 1..=4 {
        match store.create_job(new(&job(number))).await.unwrap() {
            Created::New(job) => ids.push(job.id),
            Created::Earlier(earlier) => panic!("{earlier:?}"),
        }
    }
    // The first in line, and one that stands at the same place as another.
    let store = with_plain_sql(&folder, store, |connection| {
        damage(connection, "kind", "'zzz'", &ids[..2]);
        damage(connection, "rank", &job(2).rank.to_string(), &ids[2..3]);
    })
    .await;
    let begin = |_: usize, job: JobRow| Ok((JobRow { state: JobState::Running, ..job }, event(1)));
    let leased = store.lease_ready(5, 10, Box::new(begin)).await;
    let leased: Vec<_> = leased.unwrap().into_iter().map(|row| row.id).collect();
    assert_eq!(leased, ids[2..]);
    store.close().await;
}

#[tokio::test]
async fn approvals_artifacts_and_tokens_that_cannot_be_read_are_passed_over_too() {
    let (folder, store) = store().await;
    let job = running_job(&*store).await;
    for (number, call) in ["a", "b", "c"].into_iter().enumerate() {
        ask(&*store, &approval(job, call, number as i64)).await.unwrap();
        let blob = store.blobs().put_bytes(call.into()).await.unwrap();
        hand_in(&*store, job, call, &blob).await.unwrap();
    }
    let store = with_plain_sql(&folder, store, |connection| {
        connection.execute("UPDATE approvals SET decided_by = x'00' WHERE call_id = 'b'", ()).unwrap();
        connection.execute("UPDATE artifacts SET bytes = -1 WHERE name = 'b'", ()).unwrap();
    })
    .await;
    let approvals = store.page_of_approvals(ApprovalFilter::default()).await.unwrap().rows;
    assert_eq!(approvals.iter().map(|row| row.call_id.as_str()).collect::<Vec<_>>(), ["c", "a"]);
    let artifacts = store.page_of_artifacts(job, None, 2).await.unwrap().unwrap().page;
    assert_eq!(artifacts.rows.iter().map(|row| row.name.as_str()).collect::<Vec<_>>(), ["a", "c"]);
    // A backup is made, and content looked at, all the same.
    assert_eq!(store.named_content(None, 10).await.unwrap().len(), 2);
    store.close().await;
}

#[tokio::test]
async fn an_audit_entry_that_cannot_be_read_breaks_the_chain_where_it_is() {
    let (folder, store) = store().await;
    for number in 1..=8 {
        store.record_audit(audit("job.create", number)).await.unwrap();
    }
    let spoil = |connection: &Connection, seq: u64| {
        let _ = connection.execute_batch("DROP TRIGGER audit_never_changes"); // gone after the first time
        connection.execute("UPDATE audit SET principal = x'00' WHERE seq = ?1", [seq as i64]).unwrap();
    };
    // The last one has none after it that would show that it is missing.
    let mut store = store;
    for seq in [8, 5] {
        store = with_plain_sql(&folder, store, |connection| spoil(connection, seq)).await;
        let broken = verify_audit(&*store).await.unwrap().broken;
        assert_eq!(broken.map(|broken| broken.seq), Some(seq));
    }
    let listed = store.page_of_audit(AuditFilter { limit: 3, ..AuditFilter::default() }).await.unwrap();
    assert_eq!((listed.rows.iter().map(|row| row.seq).collect::<Vec<_>>(), listed.more), (vec![7, 6, 4], true));
    // What goes on is written down, and what is old goes.
    store.record_audit(audit("job.create", 9)).await.unwrap();
    assert_eq!(store.sweep_audit(at(1), 100).await.unwrap(), 9);
    new_job(&*store).await;
    assert_eq!(verify_audit(&*store).await.unwrap().broken, None);
    store.close().await;
}
