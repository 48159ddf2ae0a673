//! Spend, model calls and the egress ledger.

use crate::support::{at, principal};
use domain::{EventHash, JobId, ModelCallId, Timestamp};
use store::{
    BatchNumber, BooksBatch, Database, Error, LedgerRow, ModelCallFilter, ModelCallRow, SpendCount, SpendKey, Window,
    limits,
};
use uuid::Uuid;

const MORE: SpendCount = SpendCount { tokens: 10, microusd: 3, requests: 1 };

fn spend(account: u128, period: &'static str, begins_at: Timestamp) -> SpendKey {
    SpendKey { account_kind: "key", account: Uuid::from_u128(account), period, begins_at }
}

fn call(number: i64, caller: u128, job: Option<JobId>) -> ModelCallRow {
    ModelCallRow {
        id: ModelCallId::new(at(number)),
        at: at(number),
        principal: principal(caller),
        job,
        route: "fast".to_owned(),
        provider: Some("ollama".to_owned()),
        model: Some("small".to_owned()),
        digest: None,
        state: "succeeded",
        input_tokens: Some(10),
        output_tokens: Some(5),
        cost_microusd: Some(0),
        first_token_ms: Some(20),
        total_ms: Some(90),
        detail: detail(number),
    }
}

fn detail(number: i64) -> String {
    format!(r#"{{"number":{number}}}"#)
}

fn entry(seq: u64) -> LedgerRow {
    LedgerRow {
        seq,
        at: at(seq as i64),
        call_id: ModelCallId(Uuid::from_u128(9)),
        principal: principal(1),
        job: None,
        provider: "openai".to_owned(),
        model: "large".to_owned(),
        body_sha256: "ab".repeat(32),
        body_bytes: 1_234,
        redactions: 2,
        reason: "the route allows it".to_owned(),
        prev_hash: if seq == 1 { EventHash::START } else { EventHash([seq as u8 - 1; 32]) },
        hash: EventHash([seq as u8; 32]),
    }
}

fn batch(run: u128, batch: u64) -> BooksBatch {
    let number = BatchNumber { run: Uuid::from_u128(run), batch };
    BooksBatch { number, spend: Vec::new(), calls: Vec::new(), ledger: Vec::new() }
}

async fn of(database: &dyn Database, account: u128, begins_at: Timestamp) -> SpendCount {
    database.spend_of(spend(account, "day", begins_at)).await.unwrap()
}

async fn calls(database: &dyn Database, filter: ModelCallFilter) -> (Vec<String>, bool) {
    let page = database.page_of_model_calls(filter).await.unwrap();
    (page.rows, page.more)
}

fn numbers<const N: usize>(numbers: [i64; N]) -> Vec<String> {
    numbers.map(detail).to_vec()
}

pub async fn spend_adds_up_per_account_and_window(database: &dyn Database) {
    let keys = [spend(1, "day", at(0)), spend(1, "day", at(0)), spend(1, "day", at(5)), spend(2, "day", at(5))];
    let written = BooksBatch { spend: keys.map(|key| (key, MORE)).to_vec(), ..batch(1, 1) };
    assert!(database.book(written).await.unwrap());
    assert_eq!(of(database, 1, at(0)).await, SpendCount { tokens: 20, microusd: 6, requests: 2 });
    assert_eq!(of(database, 1, at(5)).await, MORE);
    assert_eq!(of(database, 3, at(5)).await, SpendCount::default());
    let job = SpendKey { account_kind: "job", ..spend(1, "day", at(0)) };
    assert_eq!(database.spend_of(job).await.unwrap(), SpendCount::default());
}

pub async fn books_open_with_what_still_counts(database: &dyn Database) {
    let opening = database.open_books(vec![Window { period: "day", begins_at: at(0) }]).await.unwrap();
    assert_eq!((opening.spend.len(), opening.ledger_head), (0, (0, EventHash::START)));
    let keys = [spend(1, "day", at(9)), spend(2, "day", at(5)), spend(3, "day", at(1)), spend(4, "total", at(0))];
    let spend = keys.map(|key| (key, MORE)).to_vec();
    database.book(BooksBatch { spend, ledger: vec![entry(1)], ..batch(1, 1) }).await.unwrap();
    let windows = [Window { period: "total", begins_at: at(0) }, Window { period: "day", begins_at: at(5) }].to_vec();
    let opening = database.open_books(windows).await.unwrap();
    let found: Vec<_> = opening.spend.iter().map(|(of, row)| (of.period, row.account.as_u128(), row.count)).collect();
    assert_eq!(found, [("total", 4, MORE), ("day", 2, MORE), ("day", 1, MORE)]);
    assert_eq!(opening.ledger_head, (1, EventHash([1; 32])));
}

pub async fn a_batch_counts_once_however_often_it_is_sent(database: &dyn Database) {
    let of_run = |run, number| BooksBatch { spend: vec![(spend(1, "day", at(0)), MORE)], ..batch(run, number) };
    assert!(database.book(of_run(7, 1)).await.unwrap());
    assert!(!database.book(of_run(7, 1)).await.unwrap());
    assert!(database.book(of_run(7, 2)).await.unwrap());
    assert!(!database.book(of_run(7, 1)).await.unwrap(), "an earlier one neither");
    assert!(database.book(of_run(8, 1)).await.unwrap(), "another start counts anew");
    assert_eq!(of(database, 1, at(0)).await.requests, 3);
}

pub async fn a_batch_is_written_whole_or_not_at_all(database: &dyn Database) {
    let torn = BooksBatch {
        spend: vec![(spend(1, "day", at(0)), MORE)],
        calls: vec![call(1, 1, None)],
        ledger: vec![entry(2)],
        ..batch(7, 1)
    };
    let refused = database.book(torn.clone()).await;
    assert!(matches!(refused, Err(Error::Constraint(_))), "{refused:?}");
    assert_eq!(of(database, 1, at(0)).await, SpendCount::default());
    assert!(calls(database, ModelCallFilter::default()).await.0.is_empty());
    assert!(database.book(BooksBatch { ledger: vec![entry(1)], ..torn }).await.unwrap(), "its number is still free");
}

pub async fn model_calls_are_listed_newest_first_by_caller_and_job(database: &dyn Database) {
    let job = JobId::new(at(0));
    let rows = [call(1, 1, None), call(2, 2, Some(job)), call(3, 1, Some(job)), call(4, 1, None)];
    let ids: Vec<_> = rows.iter().map(|call| call.id).collect();
    database.book(BooksBatch { calls: rows.to_vec(), ..batch(1, 1) }).await.unwrap();
    let everything = ModelCallFilter::default;
    assert_eq!(calls(database, everything()).await, (numbers([4, 3, 2, 1]), false));
    let page = ModelCallFilter { before: Some(ids[3]), limit: 2, ..everything() };
    assert_eq!(calls(database, page.clone()).await, (numbers([3, 2]), true));
    assert_eq!(calls(database, ModelCallFilter { limit: 3, ..page }).await, (numbers([3, 2, 1]), false));
    let own = ModelCallFilter { principal: Some(principal(1)), ..everything() };
    assert_eq!(calls(database, own.clone()).await.0, numbers([4, 3, 1]));
    assert_eq!(calls(database, ModelCallFilter { job: Some(job), ..everything() }).await.0, numbers([3, 2]));
    assert_eq!(calls(database, ModelCallFilter { job: Some(job), ..own }).await.0, numbers([3]));

    let again = ModelCallRow { detail: "{}".to_owned(), id: ids[0], ..call(1, 1, None) };
    database.book(BooksBatch { calls: vec![again], ..batch(1, 2) }).await.unwrap();
    assert_eq!(database.model_call(ids[0]).await.unwrap().as_deref(), Some("{}"));
    assert_eq!(calls(database, everything()).await.0.len(), 4, "in place of the earlier record");
}

pub async fn a_page_of_long_records_ends_early(database: &dyn Database) {
    let long = |number| ModelCallRow { detail: "x".repeat(limits::PAGE_BYTES / 3), ..call(number, 1, None) };
    database.book(BooksBatch { calls: (1..=5).map(long).collect(), ..batch(1, 1) }).await.unwrap();
    let (rows, more) = calls(database, ModelCallFilter::default()).await;
    assert_eq!((rows.len(), more), (3, true));
    let huge = ModelCallRow { detail: "x".repeat(limits::PAGE_BYTES + 1), ..call(6, 1, None) };
    database.book(BooksBatch { calls: vec![huge], ..batch(1, 2) }).await.unwrap();
    let (rows, more) = calls(database, ModelCallFilter::default()).await;
    assert_eq!((rows.len(), more), (1, true), "one that fills a page alone is still to be had");
}

pub async fn old_model_calls_are_swept_and_spend_stays(database: &dyn Database) {
    let written = BooksBatch {
        spend: vec![(spend(1, "day", at(0)), MORE)],
        calls: (1..=4).map(|number| call(number, 1, None)).collect(),
        ..batch(1, 1)
    };
    database.book(written).await.unwrap();
    assert_eq!(database.sweep_model_calls(at(4), 2).await.unwrap(), 2);
    assert_eq!(calls(database, ModelCallFilter::default()).await.0, numbers([4, 3]));
    assert_eq!(database.sweep_model_calls(at(4), 2).await.unwrap(), 1);
    assert_eq!(of(database, 1, at(0)).await, MORE);
}

pub async fn the_ledger_is_dense_and_keeps_what_it_was_given(database: &dyn Database) {
    database.book(BooksBatch { ledger: (1..=3).map(entry).collect(), ..batch(1, 1) }).await.unwrap();
    for (seq, number) in [(2, 2), (5, 3)] {
        let refused = database.book(BooksBatch { ledger: vec![entry(seq)], ..batch(1, number) }).await;
        assert!(matches!(refused, Err(Error::Constraint(_))), "{refused:?}");
    }
    let page = database.page_of_ledger(1, 10).await.unwrap();
    assert_eq!((page.rows, page.more), (vec![entry(2), entry(3)], false));
    let page = database.page_of_ledger(0, 2).await.unwrap();
    assert_eq!((page.rows, page.more), (vec![entry(1), entry(2)], true));
}

pub async fn jobs_nobody_knows_are_over(database: &dyn Database) {
    let unknown = [JobId::new(at(2)), JobId::new(at(1))];
    assert_eq!(database.jobs_over(unknown.to_vec()).await.unwrap(), unknown);
}
