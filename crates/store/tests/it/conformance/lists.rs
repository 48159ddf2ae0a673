//! Lists of jobs and of what waits for a decision.

use crate::{
    operate::new,
    support::{approval, at, job, principal},
};
use domain::{JobId, JobKind, JobState};
use store::{
    ApprovalChange, ApprovalFilter, ApprovalRow, Created, Database, Found, JobFilter, JobRow, Urgency, Write, limits,
};

async fn insert(database: &dyn Database, job: &JobRow) {
    assert!(matches!(database.create_job(new(job)).await.unwrap(), Created::New(_)));
}

async fn change(database: &dyn Database, job: JobId, change: ApprovalChange) {
    let write = move |found: &Found| {
        let write = Write::new(found.job.clone(), Vec::new());
        Ok(Some(Write { approvals: vec![change.clone()], ..write }))
    };
    database.change_job(job, Urgency::Ordinary, Box::new(write)).await.unwrap();
}

async fn ids_of_jobs(database: &dyn Database, filter: JobFilter) -> Vec<JobId> {
    database.page_of_jobs(filter).await.unwrap().rows.into_iter().map(|row| row.id).collect()
}

pub async fn jobs_are_listed_newest_first_by_owner_state_kind_and_id(database: &dyn Database) {
    let mut all = Vec::new();
    for number in 0..60_i64 {
        let row = JobRow {
            principal: principal(1 + number as u128 % 2),
            kind: JobKind::ALL[number as usize % 2],
            state: JobState::ALL[number as usize % 6],
            ..job(number)
        };
        insert(database, &row).await;
        all.push(row);
    }
    all.reverse();
    let owners = [None, Some(principal(1)), Some(principal(2)), Some(principal(3))];
    let states = std::iter::once(None).chain(JobState::ALL.iter().copied().map(Some));
    for state in states {
        for kind in [None, Some(JobKind::Ask), Some(JobKind::Code)] {
            for owner in owners {
                let expected: Vec<JobId> = all
                    .iter()
                    .filter(|row| owner.is_none_or(|owner| row.principal == owner))
                    .filter(|row| state.is_none_or(|state| row.state == state))
                    .filter(|row| kind.is_none_or(|kind| row.kind == kind))
                    .map(|row| row.id)
                    .collect();
                let (mut found, mut before): (Vec<JobId>, _) = (Vec::new(), None);
                loop {
                    let filter = JobFilter { principal: owner, state, kind, id_prefix: None, before, limit: 7 };
                    let page = database.page_of_jobs(filter).await.unwrap();
                    assert!(page.rows.len() == 7 || !page.more);
                    found.extend(page.rows.iter().map(|row| row.id));
                    before = page.last_if_more().map(|last| last.id);
                    if before.is_none() {
                        break;
                    }
                }
                assert_eq!(found, expected, "{owner:?} {state:?} {kind:?}");
            }
        }
    }
    let of = |prefix: &str| JobFilter { id_prefix: Some(prefix.to_owned()), ..JobFilter::default() };
    let one = all[17].id;
    assert_eq!(ids_of_jobs(database, of(&one.to_string())).await, [one]);
    for (prefix, count) in [("01", 60), ("ff", 0), ("no hex", 0)] {
        assert_eq!(ids_of_jobs(database, of(prefix)).await.len(), count, "{prefix}");
    }
}

pub async fn a_page_of_long_jobs_ends_early(database: &dyn Database) {
    for number in 0..5 {
        insert(database, &JobRow { spec: "x".repeat(limits::PAGE_BYTES / 3), ..job(number) }).await;
    }
    let page = database.page_of_jobs(JobFilter::default()).await.unwrap();
    assert_eq!((page.rows.len(), page.more), (3, true));
    insert(database, &JobRow { spec: "x".repeat(limits::PAGE_BYTES + 1), ..job(9) }).await;
    let page = database.page_of_jobs(JobFilter::default()).await.unwrap();
    assert_eq!((page.rows.len(), page.more), (1, true), "one that fills a page alone is still to be had");
}

pub async fn approvals_are_listed_newest_first_by_owner_job_and_whether_they_wait(database: &dyn Database) {
    let (mine, other) = (job(0), JobRow { principal: principal(2), ..job(1) });
    insert(database, &mine).await;
    insert(database, &other).await;
    let asked = [approval(mine.id, "call-1", 10), approval(mine.id, "call-2", 20), approval(other.id, "call-1", 30)];
    for row in asked.clone() {
        change(database, row.job_id, ApprovalChange::Insert(row)).await;
    }
    let decided = ApprovalRow {
        decision: Some("denied".to_owned()),
        message: Some("use cargo".to_owned()),
        decided_by: Some(principal(1)),
        decided_at: Some(at(40)),
        ..asked[1].clone()
    };
    change(database, mine.id, ApprovalChange::Decide(decided.clone())).await;

    let list = async |filter: ApprovalFilter| -> Vec<usize> {
        let found = database.page_of_approvals(filter).await.unwrap().rows;
        found.iter().map(|found| asked.iter().position(|asked| asked.id == found.id).unwrap()).collect()
    };
    let any = ApprovalFilter::default;
    let nothing = [] as [usize; 0];
    let (first, second, of_mine) = (Some(principal(1)), Some(principal(2)), Some(mine.id));
    assert_eq!(list(any()).await, [2, 1, 0]);
    assert_eq!(list(ApprovalFilter { principal: first, ..any() }).await, [1, 0]);
    assert_eq!(list(ApprovalFilter { job: of_mine, ..any() }).await, [1, 0]);
    assert_eq!(list(ApprovalFilter { job: of_mine, principal: second, ..any() }).await, nothing);
    let pending = || ApprovalFilter { pending: Some(true), ..any() };
    assert_eq!(list(pending()).await, [2, 0]);
    assert_eq!(list(ApprovalFilter { principal: first, ..pending() }).await, [0]);
    assert_eq!(list(ApprovalFilter { job: of_mine, ..pending() }).await, [0]);
    let no_longer = || ApprovalFilter { pending: Some(false), ..any() };
    assert_eq!(list(no_longer()).await, [1]);
    assert_eq!(list(ApprovalFilter { principal: first, ..no_longer() }).await, [1]);
    assert_eq!(list(ApprovalFilter { principal: second, ..no_longer() }).await, nothing);
    assert_eq!(list(ApprovalFilter { job: of_mine, ..no_longer() }).await, [1]);
    assert_eq!(list(ApprovalFilter { limit: 1, ..any() }).await, [2]);
    assert_eq!(list(ApprovalFilter { before: Some(asked[2].id), limit: 1, ..any() }).await, [1]);
    let page = database.page_of_approvals(no_longer()).await.unwrap();
    assert_eq!(page.rows, [decided]);
}

pub async fn a_page_of_large_approvals_ends_early_and_every_one_is_reached(database: &dyn Database) {
    let asking = job(0);
    insert(database, &asking).await;
    for number in 0..10 {
        let row = ApprovalRow {
            arguments: "x".repeat(limits::APPROVALS_PAGE_BYTES / 4),
            ..approval(asking.id, "call", number)
        };
        change(database, asking.id, ApprovalChange::Insert(row)).await;
    }
    let (mut before, mut sizes) = (None, Vec::new());
    loop {
        let page = database.page_of_approvals(ApprovalFilter { before, ..ApprovalFilter::default() }).await.unwrap();
        sizes.push(page.rows.len());
        before = page.last_if_more().map(|last| last.id);
        if before.is_none() {
            break;
        }
    }
    assert_eq!(sizes, [4, 4, 2]);
}
