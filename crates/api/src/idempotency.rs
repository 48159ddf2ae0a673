//! `Idempotency-Key`: a repeat of a request that creates something gets the first answer again.

use crate::problem::{Failure, Result};
use axum::extract::FromRequestParts;
use http::request::Parts;

pub const HEADER: &str = "idempotency-key";

/// The header, when there is one.
pub struct IdempotencyKey(pub Option<jobs::IdempotencyKey>);

impl<S: Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Failure;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        let mut given = parts.headers.get_all(HEADER).iter();
        let Some(value) = given.next() else { return Ok(Self(None)) };
        if given.next().is_some() {
            return Err(Failure::field(HEADER, "Send one key, not several."));
        }
        let key = jobs::IdempotencyKey::new(String::from_utf8_lossy(value.as_bytes()))?;
        Ok(Self(Some(key)))
    }
}
