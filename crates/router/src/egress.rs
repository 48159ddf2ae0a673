//! Leaving the machine.
//!
//! Every byte for a provider in the cloud passes a [`Checkpoint`] right before it is sent: there secrets become
//! placeholders, and the ledger gets the digest of what really leaves. A provider in the cloud that is handed no checkpoint
//! refuses ([`crate::http::Endpoint`] does it for all of them), so forgetting one sends nothing.

use crate::Error;
use async_trait::async_trait;
use bytes::Bytes;
use std::fmt;

#[async_trait]
pub trait Checkpoint: fmt::Debug + Send + Sync + 'static {
    /// The body that may leave instead of `body`, once it is on record.
    ///
    /// # Errors
    /// [`Error::EgressRefused`] when it holds what cannot be checked.
    async fn clear(&self, body: Bytes) -> Result<Bytes, Error>;

    /// The body that was cleared last leaves once more: with another key, because one was not accepted.
    ///
    /// # Errors
    /// As of [`Self::clear`].
    async fn again(&self) -> Result<(), Error> {
        Ok(())
    }

    /// Whether `clear` may change the body: then answers carry placeholders and their bytes are not passed on unread.
    fn redacts(&self) -> bool;
}
