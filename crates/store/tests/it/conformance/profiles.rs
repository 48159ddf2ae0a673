//! What was found out about models.

use crate::support::{at, audit};
use store::{AuditFilter, Database, ModelProfileRow};

fn profile(key: &str, time: i64, detail: &str) -> ModelProfileRow {
    ModelProfileRow { key: key.to_owned(), found_at: at(time), detail: detail.to_owned() }
}

async fn put(database: &dyn Database, row: &ModelProfileRow, most: usize) -> bool {
    database.put_model_profile(row.clone(), most, audit("model_profile.put", &row.key)).await.unwrap()
}

async fn entries(database: &dyn Database) -> usize {
    database.page_of_audit(AuditFilter::default()).await.unwrap().rows.len()
}

pub async fn the_newest_profile_of_a_model_is_kept_until_it_is_deleted(database: &dyn Database) {
    let (first, other) = (profile("digest:ab", 1, "{}"), profile("name:p/m", 2, "{}"));
    assert!(put(database, &other, 10).await && put(database, &first, 10).await);
    let newer = profile("digest:ab", 3, r#"{"calls":"text"}"#);
    assert!(put(database, &newer, 10).await);
    assert_eq!(database.model_profiles().await.unwrap(), [newer, other.clone()]);
    let delete = |key: &str| database.delete_model_profile(key.to_owned(), audit("model_profile.delete", key));
    assert!(delete("digest:ab").await.unwrap());
    assert!(!delete("digest:ab").await.unwrap(), "it is gone");
    assert_eq!(database.model_profiles().await.unwrap(), [other]);
    assert_eq!(entries(database).await, 4, "three were stored and one was deleted");
}

pub async fn there_are_no_more_profiles_than_allowed(database: &dyn Database) {
    assert!(put(database, &profile("name:p/a", 1, "{}"), 1).await);
    assert!(!put(database, &profile("name:p/b", 2, "{}"), 1).await);
    assert!(put(database, &profile("name:p/a", 3, "{}"), 1).await, "in place of its own");
    assert_eq!(database.model_profiles().await.unwrap(), [profile("name:p/a", 3, "{}")]);
    assert_eq!(entries(database).await, 2, "what was refused leaves no entry");
}
