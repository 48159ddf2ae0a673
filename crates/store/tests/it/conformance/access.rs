//! Tokens, policies, remembered answers.

use crate::support::{at, audit, principal};
use domain::{Scope, TokenId};
use store::{Database, IdempotencyRow, KeyPolicyRow, NewToken, TokenCreation, TokenRow};

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
