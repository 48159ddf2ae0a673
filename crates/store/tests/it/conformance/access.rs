//! Tokens, policies, remembered answers.

use crate::support::{at, audit, principal};
use domain::{EventHash, Scope, TokenId};
use store::{
    AuditFilter, AuditRow, Database, IdempotencyRow, KeyPolicyRow, NewToken, TokenCreation, TokenRow, verify_audit,
};

fn token(number: u8) -> TokenRow {
    let now = at(i64::from(number));
    TokenRow {
        id: TokenId::new(now),
        principal: principal(number.into()),
        name: format!("token {number}"),
        scope: Scope::User,
        secret_sha256: [number; 32],
        created_at: now,
    }
}

fn new(number: u8) -> NewToken {
    NewToken { token: token(number), policy: None, once: None, most_tokens: 10, audit: audit("token.create", number) }
}

/// Asked for under the key `k` by principal 100.
fn once(number: u8, request: u8) -> NewToken {
    let once = IdempotencyRow {
        principal: principal(100),
        key: "k".to_owned(),
        request_sha256: [request; 32],
        answer: format!("answer {number}"),
        created_at: at(number.into()),
    };
    NewToken { once: Some(once), ..new(number) }
}

fn policy(number: u8, text: &str) -> KeyPolicyRow {
    KeyPolicyRow { principal: principal(number.into()), policy: text.to_owned(), updated_at: at(0) }
}

async fn names(database: &dyn Database) -> Vec<String> {
    database.tokens().await.unwrap().into_iter().map(|token| token.name).collect()
}

pub async fn tokens_are_kept_until_they_are_deleted(database: &dyn Database) {
    let made = new(1);
    assert_eq!(database.create_token(made.clone()).await.unwrap(), TokenCreation::Created);
    database.create_token(new(2)).await.unwrap();
    assert_eq!(database.tokens().await.unwrap()[0], made.token, "the oldest first");
    database.delete_token(made.token.id, made.token.principal, audit("token.delete", 1)).await.unwrap();
    assert_eq!(names(database).await, ["token 2"]);
}

pub async fn a_token_is_made_once_for_one_request(database: &dyn Database) {
    // At the same time, so that only the transaction can tell which came first.
    let (first, second) = tokio::join!(database.create_token(once(1, 7)), database.create_token(once(2, 7)));
    let answers = [first.unwrap(), second.unwrap()];
    let kept = names(database).await;
    assert_eq!(kept.len(), 1, "{answers:?}");
    let repeat = TokenCreation::Repeated(kept[0].replace("token", "answer"));
    assert!(answers.contains(&TokenCreation::Created) && answers.contains(&repeat), "{answers:?}");
}

pub async fn a_key_stands_for_one_request(database: &dyn Database) {
    database.create_token(once(1, 7)).await.unwrap();
    assert_eq!(database.create_token(once(2, 8)).await.unwrap(), TokenCreation::Conflict);
    let mut of_somebody_else = once(3, 8);
    of_somebody_else.once.as_mut().unwrap().principal = principal(101);
    assert_eq!(database.create_token(of_somebody_else).await.unwrap(), TokenCreation::Created);
    assert_eq!(names(database).await, ["token 1", "token 3"]);
}

pub async fn a_repeat_is_answered_although_there_are_enough_tokens(database: &dyn Database) {
    let most = |new: NewToken| NewToken { most_tokens: 1, ..new };
    assert_eq!(database.create_token(most(once(1, 7))).await.unwrap(), TokenCreation::Created);
    let mut another = once(2, 8);
    another.once.as_mut().unwrap().key = "l".to_owned();
    assert_eq!(database.create_token(most(another)).await.unwrap(), TokenCreation::Full);
    assert!(database.remembered_answer(principal(100), "l".to_owned()).await.unwrap().is_none());
    let repeat = database.create_token(most(once(3, 7))).await.unwrap();
    assert_eq!(repeat, TokenCreation::Repeated("answer 1".to_owned()));
    assert_eq!(names(database).await, ["token 1"]);
}

pub async fn a_token_takes_the_place_of_others(database: &dyn Database) {
    let (first, second) = (new(1), new(2));
    database.create_token(first.clone()).await.unwrap();
    database.create_token(second.clone()).await.unwrap();
    let gone = vec![first.token.id, second.token.id];
    database.replace_tokens(gone, token(3), audit("token.create", 3)).await.unwrap();
    assert_eq!(names(database).await, ["token 3"]);
}

pub async fn the_newest_policy_of_a_key_is_kept_until_its_token_goes(database: &dyn Database) {
    let made = NewToken { policy: Some(policy(1, "{}")), ..new(1) };
    database.create_token(made.clone()).await.unwrap();
    assert_eq!(database.key_policy(principal(1)).await.unwrap(), made.policy);
    let newer = policy(1, r#"{"budget_tokens":5}"#);
    database.put_key_policy(newer.clone(), audit("key_policy.put", 1)).await.unwrap();
    assert_eq!(database.open_books(Vec::new()).await.unwrap().policies, std::slice::from_ref(&newer));
    assert_eq!(database.key_policy(principal(1)).await.unwrap(), Some(newer));
    database.delete_token(made.token.id, principal(1), audit("token.delete", 1)).await.unwrap();
    assert_eq!(database.key_policy(principal(1)).await.unwrap(), None);
}

pub async fn answers_are_remembered_until_they_are_swept(database: &dyn Database) {
    let made = once(5, 7);
    database.create_token(made.clone()).await.unwrap();
    assert_eq!(database.sweep_idempotency(at(5)).await.unwrap(), 0);
    assert_eq!(database.remembered_answer(principal(100), "k".to_owned()).await.unwrap(), made.once);
    assert_eq!(database.sweep_idempotency(at(6)).await.unwrap(), 1);
    assert_eq!(database.remembered_answer(principal(100), "k".to_owned()).await.unwrap(), None);
}

/// What the audit trail tells, newest first.
async fn told(database: &dyn Database, filter: AuditFilter) -> Vec<String> {
    let page = database.page_of_audit(filter).await.unwrap();
    page.rows.into_iter().map(|entry| format!("{} {}", entry.row.action, entry.row.object)).collect()
}

pub async fn every_change_leaves_its_entry(database: &dyn Database) {
    let made = new(1);
    database.create_token(made.clone()).await.unwrap();
    database.replace_tokens(Vec::new(), token(2), audit("token.create", 2)).await.unwrap();
    database.put_key_policy(policy(1, "{}"), audit("key_policy.put", 1)).await.unwrap();
    database.delete_token(made.token.id, principal(1), audit("token.delete", 1)).await.unwrap();
    database.record_audit(audit("backup.read", "everything")).await.unwrap();
    let newest_first =
        ["backup.read everything", "token.delete 1", "key_policy.put 1", "token.create 2", "token.create 1"];
    assert_eq!(told(database, AuditFilter::default()).await, newest_first);
}

pub async fn nothing_refused_leaves_an_entry(database: &dyn Database) {
    database.create_token(once(1, 7)).await.unwrap();
    database.create_token(once(2, 7)).await.unwrap();
    database.create_token(once(3, 8)).await.unwrap();
    database.create_token(NewToken { most_tokens: 1, ..new(4) }).await.unwrap();
    assert_eq!(told(database, AuditFilter::default()).await, ["token.create 1"]);
}

pub async fn entries_made_at_once_are_one_chain(database: &dyn Database) {
    let report = verify_audit(database).await.unwrap();
    assert_eq!((report.entries, report.head, report.broken), (0, (0, EventHash::START), None));
    // More than a page of them.
    let writes = (0..1_200).map(|number| database.record_audit(audit("job.create", number)));
    futures_util::future::try_join_all(writes).await.unwrap();
    let report = verify_audit(database).await.unwrap();
    assert_eq!((report.entries, report.removed_through, report.head.0, report.broken), (1_200, 0, 1_200, None));
}

pub async fn the_audit_trail_is_listed_newest_first_by_who_what_and_on_what(database: &dyn Database) {
    let by = |number, action, object: &str| AuditRow { principal: principal(number), ..audit(action, object) };
    for row in [
        by(1, "token.create", "token:1 (user, laptop)"),
        by(2, "job.create", "job-1"),
        by(1, "job.create", "job-2"),
        by(1, "token.delete", "token:1 (user, laptop)"),
        by(2, "job.cancel", "job-1"),
    ] {
        database.record_audit(row).await.unwrap();
    }
    let (first, second) = (Some(principal(1)), Some(principal(2)));
    let action = |action: &str| Some(action.to_owned());
    let all = AuditFilter::default;
    let of_first = ["token.delete token:1 (user, laptop)", "job.create job-2", "token.create token:1 (user, laptop)"];
    assert_eq!(told(database, AuditFilter { principal: first, ..all() }).await, of_first);
    let created = AuditFilter { action: action("job.create"), ..all() };
    assert_eq!(told(database, created.clone()).await, ["job.create job-2", "job.create job-1"]);
    assert_eq!(told(database, AuditFilter { principal: second, ..created.clone() }).await, ["job.create job-1"]);
    let of_job = AuditFilter { object: action("job-1"), ..all() };
    assert_eq!(told(database, of_job.clone()).await, ["job.cancel job-1", "job.create job-1"]);
    assert_eq!(told(database, AuditFilter { principal: first, ..of_job.clone() }).await, [""; 0]);
    assert_eq!(told(database, AuditFilter { action: action("job.cancel"), ..of_job }).await, ["job.cancel job-1"]);
    let of_token = AuditFilter { object: action("token:1"), ..all() };
    assert_eq!(told(database, of_token).await.len(), 2, "its first word names an object");

    let page = database.page_of_audit(AuditFilter { before: Some(4), limit: 2, ..all() }).await.unwrap();
    assert_eq!((page.rows.iter().map(|entry| entry.seq).collect::<Vec<_>>(), page.more), (vec![3, 2], true));
    let rest = AuditFilter { before: Some(2), ..all() };
    assert_eq!(told(database, rest).await, ["token.create token:1 (user, laptop)"]);
}

pub async fn what_is_left_of_the_audit_trail_is_still_chained(database: &dyn Database) {
    // The clock was ahead for a moment.
    for second in [1, 2, 99, 3, 10, 11] {
        database.record_audit(AuditRow { at: at(second), ..audit("job.create", second) }).await.unwrap();
    }
    assert_eq!(database.sweep_audit(at(1), 10).await.unwrap(), 0);
    assert_eq!(database.sweep_audit(at(10), 1).await.unwrap(), 1);
    assert_eq!(database.sweep_audit(at(10), 10).await.unwrap(), 3);
    let report = verify_audit(database).await.unwrap();
    assert_eq!((report.entries, report.removed_through, report.head.0, report.broken), (2, 4, 6, None));
    assert_eq!(database.sweep_audit(at(100), 10).await.unwrap(), 2);
    let report = verify_audit(database).await.unwrap();
    assert_eq!((report.entries, report.removed_through, report.head.0, report.broken), (0, 6, 6, None));
    database.record_audit(audit("job.delete", "after")).await.unwrap();
    let report = verify_audit(database).await.unwrap();
    assert_eq!((report.entries, report.head.0, report.broken), (1, 7, None));
}
