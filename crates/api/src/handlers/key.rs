pub mod get;
pub mod put;

use crate::problem::{Failure, Result};
use domain::Timestamp;
use protocol::{FieldError, KeyPolicy};
use router::accounts::policy_mistakes;

/// Refuses a policy with mistakes; `pointer` says where in the request it is.
pub fn check(policy: &KeyPolicy, now: Timestamp, pointer: &str) -> Result<()> {
    let of = |detail| FieldError { pointer: pointer.to_owned(), detail };
    let mut mistakes: Vec<_> = policy_mistakes(policy).into_iter().map(of).collect();
    if let Some(at) = policy.expires_at.filter(|at| now >= *at) {
        let detail = format!("`expires_at` lies ahead; got {at}, and it is {now}. Delete the token to stop it at once");
        mistakes.push(of(detail));
    }
    if mistakes.is_empty() { Ok(()) } else { Err(Failure::fields(mistakes)) }
}
