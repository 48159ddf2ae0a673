//! Keys' policies, spend, model calls and the egress ledger.

use crate::support::{at, principal, read, reopened, store, write};
use domain::{EventHash, JobId, ModelCallId, Timestamp};
use rusqlite::Connection;
use store::{
    BatchNumber, DATABASE_FILE, Error, KeyPolicyRow, LedgerRow, ModelCallFilter, ModelCallRow, SpendCount, SpendKey,
    Store,
};
use uuid::Uuid;

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
        detail: format!(r#"{{"number":{number}}}"#),
    }
}

fn entry(seq: u64) -> LedgerRow {
    LedgerRow {
        seq,
        at: at(seq as i64),
        call_id: ModelCallId::new(at(0)),
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

async fn details(store: &Store, filter: ModelCallFilter) -> Vec<String> {
    read(store, move |reader| reader.model_calls(&filter)).await
}

#[tokio::test]
async fn the_newest_policy_of_a_key_is_kept_until_it_is_deleted() {
    let (_folder, store) = store().await;
    let row = |policy: &str, second| KeyPolicyRow {
        principal: principal(1),
        policy: policy.to_owned(),
        updated_at: at(second),
    };
    for row in [row("{}", 1), row(r#"{"budget_tokens":5}"#, 2)] {
        write(&store, move |transaction| transaction.put_key_policy(&row)).await;
    }
    let kept = row(r#"{"budget_tokens":5}"#, 2);
    assert_eq!(read(&store, |reader| reader.key_policies()).await, std::slice::from_ref(&kept));
    assert_eq!(read(&store, |reader| reader.key_policy(principal(1))).await, Some(kept));
    assert!(write(&store, |transaction| transaction.delete_key_policy(principal(1))).await);
    assert!(!write(&store, |transaction| transaction.delete_key_policy(principal(1))).await);
    assert_eq!(read(&store, |reader| reader.key_policy(principal(1))).await, None);
}

#[tokio::test]
async fn spend_adds_up_per_account_and_window() {
    let (folder, store) = store().await;
    let more = SpendCount { tokens: 10, microusd: 3, requests: 1 };
    for key in [spend(1, "day", at(0)), spend(1, "day", at(0)), spend(1, "day", at(5)), spend(2, "day", at(5))] {
        write(&store, move |transaction| transaction.add_spend(&key, more)).await;
    }
    let store = reopened(&folder, store).await;
    let of = |account, begins_at| {
        read(&store, move |reader| reader.spend_of("key", Uuid::from_u128(account), "day", begins_at))
    };
    assert_eq!(of(1, at(0)).await, SpendCount { tokens: 20, microusd: 6, requests: 2 });
    assert_eq!(of(1, at(5)).await, more);
    assert_eq!(of(3, at(5)).await, SpendCount::default());
    let current = read(&store, |reader| reader.spend_since("key", "day", at(5))).await;
    assert_eq!(current.iter().map(|row| row.account.as_u128()).collect::<Vec<_>>(), [1, 2]);
    assert!(read(&store, |reader| reader.spend_since("job", "day", at(0))).await.is_empty());
}

#[tokio::test]
async fn a_batch_counts_once_however_often_it_is_sent() {
    let (_folder, store) = store().await;
    let first = BatchNumber { run: Uuid::from_u128(7), batch: 1 };
    assert!(write(&store, move |transaction| transaction.begin_batch(first)).await);
    assert!(!write(&store, move |transaction| transaction.begin_batch(first)).await);
    assert!(write(&store, move |transaction| transaction.begin_batch(BatchNumber { batch: 2, ..first })).await);
    assert!(!write(&store, move |transaction| transaction.begin_batch(first)).await, "an earlier one neither");
    let other = BatchNumber { run: Uuid::from_u128(8), batch: 1 };
    assert!(write(&store, move |transaction| transaction.begin_batch(other)).await, "another start counts anew");
}

#[tokio::test]
async fn model_calls_are_listed_newest_first_by_caller_and_job() {
    let (_folder, store) = store().await;
    let job = JobId::new(at(0));
    let calls = [call(1, 1, None), call(2, 2, Some(job)), call(3, 1, Some(job)), call(4, 1, None)];
    let ids: Vec<_> = calls.iter().map(|call| call.id).collect();
    for call in calls {
        write(&store, move |transaction| transaction.put_model_call(&call)).await;
    }
    let number = |number: i64| format!(r#"{{"number":{number}}}"#);
    let everything = ModelCallFilter::default;
    assert_eq!(details(&store, everything()).await, [4, 3, 2, 1].map(number));
    let page = ModelCallFilter { before: Some(ids[3]), limit: 2, ..everything() };
    assert_eq!(details(&store, page).await, [3, 2].map(number));
    let own = ModelCallFilter { principal: Some(principal(1)), ..everything() };
    assert_eq!(details(&store, own.clone()).await, [4, 3, 1].map(number));
    assert_eq!(details(&store, ModelCallFilter { job: Some(job), ..everything() }).await, [3, 2].map(number));
    assert_eq!(details(&store, ModelCallFilter { job: Some(job), ..own }).await, [number(3)]);

    let again = ModelCallRow { detail: "{}".to_owned(), id: ids[0], ..call(1, 1, None) };
    write(&store, move |transaction| transaction.put_model_call(&again)).await;
    assert_eq!(
        read(&store, {
            let id = ids[0];
            move |reader| reader.model_call(id)
        })
        .await
        .as_deref(),
        Some("{}")
    );

    assert_eq!(write(&store, |transaction| transaction.delete_model_calls_before(at(3), 10)).await, 2);
    assert_eq!(details(&store, everything()).await, [4, 3].map(number));
}

#[tokio::test]
async fn the_ledger_is_dense_and_keeps_what_it_was_given() {
    let (folder, store) = store().await;
    assert_eq!(read(&store, |reader| reader.ledger_head()).await, (0, EventHash::START));
    for seq in 1..=3 {
        let entry = entry(seq);
        write(&store, move |transaction| transaction.append_ledger(&entry)).await;
    }
    for seq in [2, 5] {
        let refused = store.write(move |transaction| transaction.append_ledger(&entry(seq))).await;
        assert!(matches!(&refused, Err(Error::Constraint(why)) if why.contains("next seq")), "{refused:?}");
    }
    let store = reopened(&folder, store).await;
    assert_eq!(read(&store, |reader| reader.ledger_head()).await, (3, EventHash([3; 32])));
    let rows = read(&store, |reader| reader.ledger_after(1, 10)).await;
    assert_eq!(
        rows.iter().map(|row| (row.seq, row.hash)).collect::<Vec<_>>(),
        [2, 3].map(|seq| (seq, EventHash([seq as u8; 32])))
    );
    assert_eq!(rows[0], LedgerRow { call_id: rows[0].call_id, ..entry(2) });
}

#[tokio::test]
async fn nobody_changes_the_ledger_even_with_plain_sql() {
    let (folder, store) = store().await;
    write(&store, |transaction| transaction.append_ledger(&entry(1))).await;
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
