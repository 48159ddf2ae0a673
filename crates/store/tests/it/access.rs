//! What the folder keeps of tokens, answers and the audit trail, whoever opens it.

use crate::support::{at, audit, principal, reopened, store, with_plain_sql};
use domain::{Scope, TokenId};
use store::{IdempotencyRow, NewToken, TokenRow, verify_audit};

fn new_token() -> NewToken {
    NewToken {
        token: TokenRow {
            id: TokenId::new(at(1)),
            principal: principal(1),
            name: "laptop".to_owned(),
            scope: Scope::Admin,
            secret_sha256: [7; 32],
            created_at: at(1),
        },
        policy: None,
        once: Some(IdempotencyRow {
            principal: principal(1),
            key: "key".to_owned(),
            request_sha256: [8; 32],
            answer: "{}".to_owned(),
            created_at: at(2),
        }),
        most_tokens: 10,
        audit: audit("token.create", "token:1"),
    }
}

#[tokio::test]
async fn tokens_answers_and_the_audit_trail_survive_a_restart() {
    let (folder, store) = store().await;
    let new = new_token();
    store.create_token(new.clone()).await.unwrap();
    let told = store.stretch_of_audit(0, 10).await.unwrap();
    let store = reopened(&folder, store).await;
    assert_eq!(store.tokens().await.unwrap(), [new.token]);
    assert_eq!(store.remembered_answer(principal(1), "key".to_owned()).await.unwrap(), new.once);
    assert_eq!(store.stretch_of_audit(0, 10).await.unwrap(), told);
    store.record_audit(audit("job.create", "job")).await.unwrap();
    let report = verify_audit(&*store).await.unwrap();
    assert_eq!((report.entries, report.broken), (2, None));
}

#[tokio::test]
async fn nobody_changes_the_audit_trail_even_with_plain_sql() {
    let (folder, store) = store().await;
    for number in 1..=3 {
        store.record_audit(audit("job.create", number)).await.unwrap();
    }
    store.sweep_audit(at(1), 1).await.unwrap();
    let store = with_plain_sql(&folder, store, |connection| {
        for sql in [
            "UPDATE audit SET object = 'none'",
            "DELETE FROM audit",
            "DELETE FROM audit WHERE seq = 3",
            "INSERT OR REPLACE INTO audit (seq, at, principal, action, object, request_id, previous, hash) \
             SELECT seq, at, principal, action, 'none', request_id, previous, hash FROM audit",
            "UPDATE audit_anchor SET seq = 3",
            "UPDATE audit_anchor SET seq = 0, hash = zeroblob(32)",
            "DELETE FROM audit_anchor",
        ] {
            let refused = connection.execute(sql, ()).unwrap_err().to_string();
            assert!(refused.contains("the audit trail is"), "{sql}: {refused}");
        }
    })
    .await;
    let report = verify_audit(&*store).await.unwrap();
    assert_eq!((report.entries, report.removed_through, report.broken), (2, 1, None));
}

#[tokio::test]
async fn an_entry_changed_behind_the_triggers_is_found() {
    let (folder, store) = store().await;
    for number in 1..=3 {
        store.record_audit(audit("job.create", number)).await.unwrap();
    }
    let store = with_plain_sql(&folder, store, |connection| {
        let sql = "DROP TRIGGER audit_never_changes; UPDATE audit SET object = 'none' WHERE seq = 2";
        connection.execute_batch(sql).unwrap();
    })
    .await;
    let report = verify_audit(&*store).await.unwrap();
    assert_eq!((report.entries, report.head.0), (1, 1));
    assert_eq!(report.broken.map(|broken| broken.seq), Some(2));
}

/// By whoever has the file, and writes the triggers back.
const WITHOUT_TRIGGERS: &str = "DROP TRIGGER audit_never_changes; DROP TRIGGER audit_goes_from_its_beginning;";

#[tokio::test]
async fn a_trail_that_was_emptied_or_cut_short_is_not_intact() {
    let (folder, mut store) = store().await;
    for number in 1..=4 {
        store.record_audit(audit("job.create", number)).await.unwrap();
    }
    for (sql, broken_at) in [("DELETE FROM audit WHERE seq = 4", 4), ("DELETE FROM audit", 1)] {
        store = with_plain_sql(&folder, store, |connection| {
            let _ = connection.execute_batch(WITHOUT_TRIGGERS); // gone after the first time
            connection.execute(sql, ()).unwrap();
        })
        .await;
        let broken = verify_audit(&*store).await.unwrap().broken.unwrap();
        assert_eq!(
            broken.to_string(),
            format!("the audit trail is not whole at entry {broken_at}: it is missing or cannot be read")
        );
    }
    // What is done meanwhile does not hide it.
    store.record_audit(audit("job.create", 5)).await.unwrap();
    assert_eq!(verify_audit(&*store).await.unwrap().broken.map(|broken| broken.seq), Some(2));
    store.close().await;
}
