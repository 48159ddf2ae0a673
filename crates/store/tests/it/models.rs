//! What the folder keeps of spend and the ledger, whoever opens it.

use crate::support::{at, principal, reopened, store};
use domain::{EventHash, ModelCallId};
use rusqlite::Connection;
use store::{BatchNumber, BooksBatch, DATABASE_FILE, LedgerRow, SpendCount, SpendKey};
use uuid::Uuid;

fn entry() -> LedgerRow {
    LedgerRow {
        seq: 1,
        at: at(1),
        call_id: ModelCallId::new(at(0)),
        principal: principal(1),
        job: None,
        provider: "openai".to_owned(),
        model: "large".to_owned(),
        body_sha256: "ab".repeat(32),
        body_bytes: 1_234,
        redactions: 2,
        reason: "the route allows it".to_owned(),
        prev_hash: EventHash::START,
        hash: EventHash([1; 32]),
    }
}

fn batch() -> BooksBatch {
    let key = SpendKey { account_kind: "key", account: Uuid::from_u128(1), period: "total", begins_at: at(0) };
    BooksBatch {
        number: BatchNumber { run: Uuid::from_u128(1), batch: 1 },
        spend: vec![(key, SpendCount { tokens: 10, microusd: 3, requests: 1 })],
        calls: Vec::new(),
        ledger: vec![entry()],
    }
}

#[tokio::test]
async fn what_was_booked_is_there_after_a_restart() {
    let (folder, store) = store().await;
    let batch = batch();
    assert!(store.book(batch.clone()).await.unwrap());
    let store = reopened(&folder, store).await;
    let (key, count) = batch.spend[0].clone();
    assert_eq!(store.spend_of(key).await.unwrap(), count);
    assert_eq!(store.page_of_ledger(0, 10).await.unwrap().rows, batch.ledger);
    assert!(!store.book(batch).await.unwrap(), "it is known as booked");
}

#[tokio::test]
async fn nobody_changes_the_ledger_even_with_plain_sql() {
    let (folder, store) = store().await;
    store.book(batch()).await.unwrap();
    store.close().await;
    let connection = Connection::open(folder.path().join("data").join(DATABASE_FILE)).unwrap();
    for sql in [
        "UPDATE egress_ledger SET reason = 'none'",
        "DELETE FROM egress_ledger",
        "INSERT OR REPLACE INTO egress_ledger SELECT seq, at, call_id, principal, job, provider, model, body_sha256, \
         body_bytes, 0, reason, prev_hash, hash FROM egress_ledger",
    ] {
        let refused = connection.execute(sql, ()).unwrap_err().to_string();
        assert!(refused.contains("the egress ledger is"), "{sql}: {refused}");
    }
}
