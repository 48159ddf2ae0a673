pub mod get;
pub mod put;

use crate::problem::{Failure, Result};
use protocol::{FieldError, KeyPolicy};
use router::accounts::policy_mistakes;

/// Refuses a policy with mistakes; `pointer` says where in the request it is.
pub fn check(policy: &KeyPolicy, pointer: &str) -> Result<()> {
    let of = |detail| FieldError { pointer: pointer.to_owned(), detail };
    let mistakes: Vec<_> = policy_mistakes(policy).into_iter().map(of).collect();
    if mistakes.is_empty() { Ok(()) } else { Err(Failure::fields(mistakes)) }
}
