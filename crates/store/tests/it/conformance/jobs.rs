//! Jobs: made, changed, leased, ended.

use crate::{
    operate::{append_to, assert_whole, audit, begin, lease, new, put_back},
    support::{approval, at, event, job, principal},
};
use domain::{Epoch, JobId, JobState, Priority, WorkerId};
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use store::{
    About, ApprovalChange, Ask, Created, Database, Earlier, Error, Found, JobHead, JobRow, NewJob, Once, Urgency, Write,
};

fn queued(owner: u128, queued_at_ms: i64, priority: u8) -> JobRow {
    let rank = at(queued_at_ms).as_millis() - i64::from(priority) * Priority::LEVEL_MS;
    JobRow { principal: principal(owner), priority, rank, ..job(queued_at_ms) }
}

/// What a decision of these tests refuses with.
#[derive(Debug, PartialEq)]
struct NotNow;

impl fmt::Display for NotNow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not now")
    }
}

impl std::error::Error for NotNow {}

async fn stored(database: &dyn Database, job: JobId) -> JobRow {
    database.job(job).await.unwrap().unwrap()
}

async fn insert(database: &dyn Database, job: &JobRow) {
    assert!(matches!(database.create_job(new(job)).await.unwrap(), Created::New(_)));
}

/// A change without any condition.
async fn change(database: &dyn Database, changed: JobRow) -> JobRow {
    let id = changed.id;
    let write = move |_: &Found| Ok(Some(Write::new(changed.clone(), vec![event(1)])));
    database.change_job(id, Urgency::Ordinary, Box::new(write)).await.unwrap().job
}

pub async fn a_row_comes_back_as_it_was_stored(database: &dyn Database) {
    let row = JobRow {
        reason: Some(domain::FailureReason::Stuck),
        message: Some("line\nline \u{0} 'quoted' é".to_owned()),
        spec: "s".repeat(200_000),
        result: Some("r".repeat(200_000)),
        not_before: Some(at(5)),
        worker: Some(WorkerId::new(at(1))),
        worker_principal: Some(principal(9)),
        lease_epoch: Some(Epoch(u32::MAX)),
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
    let Created::New(created) = database.create_job(new(&row)).await.unwrap() else { panic!("it is new") };
    let as_stored = JobRow { head_seq: 1, head_hash: created.head_hash, revision: created.revision, ..row.clone() };
    assert_eq!(created, as_stored);
    assert_eq!(stored(database, row.id).await, as_stored);
    let head = JobHead {
        principal: row.principal,
        state: row.state,
        attempt: u32::MAX,
        worker_principal: Some(principal(9)),
        producer_seq: 8,
        head_seq: 1,
        lease_epoch: Some(Epoch(u32::MAX)),
    };
    assert_eq!(database.job_head(row.id).await.unwrap(), Some(head.clone()));
    assert_eq!(JobHead::from(&created), head);
    assert_eq!(database.job(job(1).id).await.unwrap(), None);
    assert_eq!(database.known_jobs(vec![job(1).id, row.id]).await.unwrap(), [row.id]);
    assert_eq!(database.jobs(vec![job(1).id, row.id]).await.unwrap(), [created]);
}

pub async fn a_change_leaves_alone_what_never_changes(database: &dyn Database) {
    let row = job(0);
    insert(database, &row).await;
    let before = stored(database, row.id).await;
    let wanted = JobRow {
        state: JobState::Failed,
        message: Some("later".to_owned()),
        result: Some("{}".to_owned()),
        usage: r#"{"steps":3}"#.to_owned(),
        updated_at: at(6),
        ..before.clone()
    };
    let asked = JobRow { spec: "another".to_owned(), principal: principal(77), head_seq: 5, ..wanted.clone() };
    let changed = change(database, asked).await;
    assert!(changed.revision > before.revision);
    let kept = JobRow { head_seq: 2, head_hash: changed.head_hash, revision: changed.revision, ..wanted };
    assert_eq!(stored(database, row.id).await, kept);
    // Whoever decides on what was read long ago does not turn the head back.
    let again = change(database, before).await;
    assert_eq!((again.head_seq, again.result), (3, None));
    assert_whole(database, row.id).await;
}

pub async fn a_decision_that_refuses_leaves_nothing_and_comes_back_by_its_type(database: &dyn Database) {
    let row = job(0);
    insert(database, &row).await;
    let before = stored(database, row.id).await;
    let refused = database.change_job(row.id, Urgency::Relief, Box::new(|_| Err(NotNow.into()))).await.unwrap_err();
    let Error::Refused(refused) = refused else { panic!("{refused}") };
    assert_eq!(*refused.downcast::<NotNow>().unwrap(), NotNow);
    let unchanged = database.change_job(row.id, Urgency::Relief, Box::new(|_| Ok(None))).await.unwrap();
    assert_eq!((unchanged.wrote, &unchanged.job), (false, &before));
    let nowhere = database.change_job(job(1).id, Urgency::Ordinary, Box::new(|_| Ok(None))).await;
    assert!(matches!(nowhere, Err(Error::NoSuchJob(_))));
    // All of it or nothing: an approval of a job that does not exist takes the rest of the decision with it.
    let stray = approval(job(1).id, "call", 1);
    let write = move |found: &Found| {
        let approvals = vec![ApprovalChange::Insert(stray.clone())];
        Ok(Some(Write { approvals, audit: Some(audit()), ..Write::new(found.job.clone(), vec![event(9)]) }))
    };
    assert!(database.change_job(row.id, Urgency::Ordinary, Box::new(write)).await.is_err());
    assert_eq!(stored(database, row.id).await, before);
}

pub async fn the_same_request_makes_one_job(database: &dyn Database) {
    let once = |owner: u128, request: u8| Once {
        principal: principal(owner),
        key: "k".to_owned(),
        request_sha256: [request; 32],
        now: at(0),
    };
    let create = |job: &JobRow, once: Once| database.create_job(NewJob { once: Some(once), ..new(job) });
    let (first, second) = (job(1), job(2));
    assert!(database.earlier_job(once(1, 1)).await.unwrap().is_none());
    let (one, other) = tokio::join!(create(&first, once(1, 1)), create(&second, once(1, 1)));
    let made = match (one.unwrap(), other.unwrap()) {
        (Created::New(made), Created::Earlier(Earlier::Job(earlier)))
        | (Created::Earlier(Earlier::Job(earlier)), Created::New(made)) => {
            assert_eq!(earlier.id, made.id);
            made
        }
        neither => panic!("{neither:?}"),
    };
    assert!(matches!(database.earlier_job(once(1, 1)).await.unwrap(), Some(Earlier::Job(job)) if job.id == made.id));
    let conflict = create(&job(3), once(1, 2)).await.unwrap();
    assert!(matches!(&conflict, Created::Earlier(Earlier::Conflict { key }) if key == "k"), "{conflict:?}");
    assert!(matches!(create(&job(4), once(2, 1)).await.unwrap(), Created::New(_)), "another principal's key");
    database.delete_job(made.id, Box::new(|_| Ok(audit()))).await.unwrap();
    let deleted = create(&job(5), once(1, 1)).await.unwrap();
    assert!(matches!(deleted, Created::Earlier(Earlier::Deleted(job)) if job == made.id), "{deleted:?}");
    assert_eq!(database.job(job(5).id).await.unwrap(), None);
}

pub async fn the_queue_goes_by_priority_and_every_job_ages(database: &dyn Database) {
    assert!(lease(database, 1).await.is_empty());
    let (normal, urgent) = (queued(1, 0, 4), queued(1, 1_000, 9));
    // One level is worth a minute: after more than five of them the normal job is ahead of a new urgent one.
    let urgent_later = queued(1, 5 * Priority::LEVEL_MS + 1_000, 9);
    for row in [&normal, &urgent, &urgent_later] {
        insert(database, row).await;
    }
    let mut order = Vec::new();
    while let Some(row) = lease(database, 1).await.pop() {
        order.push(row.id);
    }
    assert_eq!(order, [urgent.id, normal.id, urgent_later.id]);
    assert_eq!(database.running_jobs().await.unwrap().len(), 3);
}

pub async fn a_principal_with_a_long_queue_takes_its_share_and_no_more(database: &dyn Database) {
    for number in 0..300 {
        insert(database, &queued(1, number, 9)).await;
    }
    insert(database, &queued(2, 10_000, 0)).await;
    insert(database, &queued(3, 20_000, 0)).await;
    // Ranks decide between principals with as much running; whoever has less running goes first.
    let owners: Vec<_> = lease(database, 4).await.into_iter().map(|row| row.principal).collect();
    assert_eq!(owners, [principal(1), principal(2), principal(3), principal(1)]);
}

pub async fn nobody_runs_more_than_allowed_and_delayed_jobs_wait(database: &dyn Database) {
    let delayed = JobRow { not_before: Some(at(500)), ..queued(3, 0, 9) };
    for row in [&queued(1, 0, 4), &queued(1, 1, 4), &queued(2, 2, 4), &delayed] {
        insert(database, row).await;
    }
    let one_each = || database.lease_ready(10, 1, Box::new(begin));
    let owners: Vec<_> = one_each().await.unwrap().into_iter().map(|row| row.principal).collect();
    assert_eq!(owners, [principal(1), principal(2)]);
    assert!(one_each().await.unwrap().is_empty());
    assert_eq!(database.promote_delayed(at(499)).await.unwrap(), Some(at(500)));
    assert!(one_each().await.unwrap().is_empty());
    assert_eq!(database.promote_delayed(at(500)).await.unwrap(), None);
    assert_eq!(one_each().await.unwrap()[0].id, delayed.id);
}

pub async fn a_kept_job_goes_to_whom_it_is_kept_for_while_it_waits(database: &dyn Database) {
    let (first, second, gone) = (queued(1, 0, 4), queued(1, 1, 4), job(9));
    insert(database, &first).await;
    insert(database, &second).await;
    let kept = vec![gone.id, second.id, second.id];
    let leased = database.lease_kept(kept, 10, Box::new(begin)).await.unwrap();
    let ids: Vec<_> = leased.iter().map(|row| row.as_ref().map(|row| row.id)).collect();
    assert_eq!(ids, [None, Some(second.id), None], "and only once");
    let leased = leased[1].as_ref().unwrap();
    assert_eq!((leased.state, leased.attempt), (JobState::Running, 1));
    assert!(leased.lease_epoch.is_some());
    assert!(database.lease_kept(vec![first.id], 1, Box::new(begin)).await.unwrap()[0].is_none());
}

pub async fn a_lease_that_cannot_begin_is_none(database: &dyn Database) {
    insert(database, &job(0)).await;
    let refused = database.lease_ready(1, 1, Box::new(|_, _| Err(NotNow.into()))).await.unwrap_err();
    assert!(matches!(refused, Error::Refused(_)), "{refused}");
    assert!(database.running_jobs().await.unwrap().is_empty());
    let began = Arc::new(AtomicUsize::new(0));
    let counted = began.clone();
    let begin = move |number, row| {
        counted.fetch_add(1, Ordering::SeqCst);
        begin(number, row)
    };
    assert_eq!(database.lease_ready(5, 1, Box::new(begin)).await.unwrap().len(), 1);
    assert_eq!(began.load(Ordering::SeqCst), 1, "nobody begins what is not there");
}

pub async fn finished_jobs_are_deleted_oldest_first(database: &dyn Database) {
    let mut ids = Vec::new();
    for number in 0..5 {
        let finished_at = Some(at(100 - number));
        let row = JobRow { state: JobState::Succeeded, finished_at, ..job(number) };
        insert(database, &row).await;
        ids.push(row.id);
    }
    insert(database, &job(9)).await;
    assert_eq!(database.delete_finished_jobs(at(99), 2).await.unwrap(), 2);
    assert_eq!(database.known_jobs(ids.clone()).await.unwrap(), ids[..3]);
    assert_eq!(database.delete_finished_jobs(at(99), 10).await.unwrap(), 1);
    assert_eq!(database.delete_finished_jobs(at(1_000), 10).await.unwrap(), 2);
    assert_eq!(database.delete_finished_jobs(at(1_000), 10).await.unwrap(), 0, "one that waits is not old");
}

pub async fn changes_are_told_in_order_and_a_revision_is_given_once(database: &dyn Database) {
    let (first, second) = (job(1), job(2));
    insert(database, &first).await;
    insert(database, &second).await;
    let revision = database.newest_revision().await.unwrap();
    put_back(database, first.id).await;
    let told: Vec<_> = database.changed_jobs(revision, 10).await.unwrap().into_iter().map(|row| row.id).collect();
    assert_eq!(told, [first.id]);
    let all: Vec<_> = database.changed_jobs(0, 10).await.unwrap().into_iter().map(|row| row.id).collect();
    assert_eq!(all, [second.id, first.id]);
    assert_eq!(database.changed_jobs(0, 1).await.unwrap().len(), 1);
    let newest = database.newest_revision().await.unwrap();
    database.delete_job(first.id, Box::new(|_| Ok(audit()))).await.unwrap();
    assert!(database.newest_revision().await.unwrap() > newest);
    let again = database.delete_job(first.id, Box::new(|_| Ok(audit()))).await;
    assert!(matches!(again, Err(Error::NoSuchJob(id)) if id == first.id));
    let refused = database.delete_job(second.id, Box::new(|_| Err(NotNow.into()))).await;
    assert!(matches!(refused, Err(Error::Refused(_))));
    assert!(database.job(second.id).await.unwrap().is_some());
}

pub async fn the_newest_change_has_a_time(database: &dyn Database) {
    assert_eq!(database.newest_change().await.unwrap(), None);
    insert(database, &job(5_000)).await;
    assert_eq!(database.newest_change().await.unwrap(), Some(at(5_000)));
}

pub async fn an_approval_is_asked_decided_used_and_spent(database: &dyn Database) {
    insert(database, &job(0)).await;
    let running = lease(database, 1).await.remove(0);
    let asked = approval(running.id, "call-1", 10);
    let ask = |call_id: &str, attempt: u32, decide: store::DecideAsk| {
        let (call_id, arguments_sha256) = (call_id.to_owned(), "ab".repeat(32));
        database.ask_approval(Ask { job: running.id, call_id, arguments_sha256, attempt, decide })
    };
    let waits = {
        let asked = asked.clone();
        Box::new(move |found: &store::Asked| {
            assert!(found.earlier.is_none() && found.unspent.is_none());
            let job = JobRow { state: JobState::WaitingApproval, ..found.job.clone() };
            let approvals = vec![ApprovalChange::Insert(asked.clone())];
            Ok(About { approval: asked.clone(), write: Some(Write { approvals, ..Write::new(job, vec![event(2)]) }) })
        })
    };
    let (_, changed) = ask("call-1", 1, waits).await.unwrap();
    assert_eq!((changed.job.state, changed.wrote), (JobState::WaitingApproval, true));

    // Whoever changes the job sees what it waits for.
    let expected = asked.clone();
    let look = move |found: &Found| {
        assert_eq!(found.pending, std::slice::from_ref(&expected));
        Ok(None)
    };
    database.change_job(running.id, Urgency::Ordinary, Box::new(look)).await.unwrap();

    let decided = store::ApprovalRow {
        decision: Some("approved".to_owned()),
        message: Some("go on".to_owned()),
        decided_by: Some(principal(1)),
        decided_at: Some(at(40)),
        ..asked.clone()
    };
    let decide = {
        let decided = decided.clone();
        Box::new(move |job: &JobRow, found: &store::ApprovalRow| {
            assert_eq!((found.id, job.id), (decided.id, decided.job_id));
            let job = JobRow { state: JobState::Queued, ..job.clone() };
            let approvals = vec![ApprovalChange::Decide(decided.clone())];
            let write = Write { approvals, audit: Some(audit()), ..Write::new(job, vec![event(3)]) };
            Ok(About { approval: decided.clone(), write: Some(write) })
        })
    };
    let (answer, changed) = database.decide_approval(asked.id, decide).await.unwrap().unwrap();
    assert_eq!((answer, changed.job.state), (decided.clone(), JobState::Queued));
    let nothing: store::DecideApproval = Box::new(|_, _| Err(NotNow.into()));
    assert!(database.decide_approval(approval(running.id, "x", 1).id, nothing).await.unwrap().is_none());

    // The next attempt asks for the very same under another call: the decision may answer it, once.
    let next = lease(database, 1).await.remove(0);
    let use_it = {
        let decided = decided.clone();
        Box::new(move |found: &store::Asked| {
            assert_eq!((found.earlier.as_ref(), found.unspent.as_ref()), (None, Some(&decided)));
            let (approval, call_id) = (decided.id, "call-2".to_owned());
            let approvals = vec![ApprovalChange::Use { approval, call_id, attempt: 2 }];
            let write = Write { approvals, ..Write::new(found.job.clone(), Vec::new()) };
            Ok(About { approval: decided.clone(), write: Some(write) })
        })
    };
    ask("call-2", next.attempt, use_it).await.unwrap();
    let carried_over = Box::new(|found: &store::Asked| {
        let earlier = found.earlier.clone().unwrap();
        assert_eq!((earlier.used_by.as_deref(), earlier.used_in), (Some("call-2"), Some(2)));
        assert!(found.unspent.is_none(), "this attempt was told of it already");
        Ok(About { approval: earlier, write: None })
    });
    ask("call-2", next.attempt, carried_over).await.unwrap();
    let mut append = append_to(database, next.id, vec![event(4)]).await;
    append.spent_calls = vec!["call-2".to_owned()];
    database.append_under_fence(append).await.unwrap();
    let spent = Box::new(|found: &store::Asked| {
        assert!(found.unspent.is_none(), "a call began with it");
        let earlier = found.earlier.clone().unwrap();
        assert!(earlier.spent);
        Ok(About { approval: earlier, write: None })
    });
    ask("call-2", 3, spent).await.unwrap();

    database.delete_job(running.id, Box::new(|_| Ok(audit()))).await.unwrap();
    let nothing: store::DecideApproval = Box::new(|_, _| Err(NotNow.into()));
    assert!(database.decide_approval(asked.id, nothing).await.unwrap().is_none(), "it went with its job");
}
