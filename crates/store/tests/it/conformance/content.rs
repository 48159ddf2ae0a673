//! What is known of content, and letting somebody in again.

use crate::support::{at, principal};
use domain::{RequestId, Scope, TokenId};
use store::{AuditRow, Database, Recovered, TokenRow};

fn token(owner: u128, millis: i64, scope: Scope) -> TokenRow {
    let secret_sha256 = [u8::try_from(millis).unwrap(); 32];
    TokenRow {
        id: TokenId::new(at(millis)),
        principal: principal(owner),
        name: "x".into(),
        scope,
        secret_sha256,
        created_at: at(millis),
    }
}

fn audit(token: &TokenRow) -> AuditRow {
    let (action, object) = ("token.create".to_owned(), token.id.to_string());
    AuditRow { at: at(0), principal: token.principal, action, object, request_id: RequestId::new(at(0)) }
}

pub async fn content_is_new_once(database: &dyn Database) {
    let (one, other) = ("1".repeat(64), "2".repeat(64));
    assert_eq!(database.register_blobs(vec![(one.clone(), 1), (one.clone(), 1)]).await.unwrap(), 1);
    assert_eq!(database.register_blobs(vec![(one, 1), (other, 2)]).await.unwrap(), 1);
    assert_eq!(database.register_blobs(Vec::new()).await.unwrap(), 0);
    assert_eq!(database.named_content(None, 10).await.unwrap(), [], "no artifact names it");
}

pub async fn a_recovery_sees_all_tokens_and_replaces_those_it_names(database: &dyn Database) {
    let recover = async |made: TokenRow, ends: &'static [u128]| {
        let decided = database.recover(Box::new(move |tokens| {
            let (gone, kept): (Vec<_>, Vec<_>) =
                tokens.iter().cloned().partition(|token| ends.iter().any(|end| token.principal == principal(*end)));
            Recovered { gone, kept: kept.len(), audit: vec![audit(&made)], token: made.clone() }
        }));
        let decided = decided.await.unwrap();
        (decided.gone.len(), decided.kept)
    };
    assert_eq!(recover(token(1, 1, Scope::Admin), &[]).await, (0, 0));
    assert_eq!(recover(token(2, 2, Scope::Admin), &[]).await, (0, 1));
    assert_eq!(recover(token(3, 3, Scope::Admin), &[1]).await, (1, 1));
    assert_eq!(recover(token(4, 4, Scope::Admin), &[1, 2, 3]).await, (2, 0), "the one that ended is gone");
}
