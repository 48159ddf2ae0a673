//! Retention: what is old enough goes, a little at a time.

use crate::{Error, command::oldest_key, handle::Shared};
use domain::Timestamp;
use std::time::Duration;

/// Jobs deleted by one transaction, so that other writers wait for a moment at most.
const JOBS_AT_ONCE: usize = 16;
/// Records of model calls deleted by one: they are small rows.
const MODEL_CALLS_AT_ONCE: usize = 500;
/// Entries of the audit trail deleted by one: as small.
const AUDIT_ENTRIES_AT_ONCE: usize = 500;

impl Shared {
    pub(crate) async fn keep_house(&self) {
        if let Err(error) = self.tidy().await {
            tracing::warn!(%error, "housekeeping stopped half-way; it goes on in {:?}", self.options.housekeeping);
        }
    }

    async fn tidy(&self) -> Result<(), Error> {
        // Heals what an answer lost between commit and memory would leave: a running job without a deadline.
        self.adopt().await?;
        let now = self.now();
        // First, because it frees space, which the rest may wait for.
        if let Some(age) = self.options.retention {
            self.delete_finished(before(now, age)).await?;
        }
        let oldest = oldest_key(now, self.options.idempotency_ttl);
        self.store.write(move |transaction| Ok::<_, Error>(transaction.delete_idempotency_before(oldest)?)).await?;
        if let Some(age) = self.options.model_calls_retention {
            self.delete_model_calls(before(now, age)).await?;
        }
        if let Some(age) = self.options.audit_retention {
            self.delete_audit(before(now, age)).await?;
        }
        Ok(())
    }

    async fn delete_model_calls(&self, made_before: Timestamp) -> Result<(), Error> {
        loop {
            let deleted = self.store.write(move |transaction| {
                Ok::<_, Error>(transaction.delete_model_calls_before(made_before, MODEL_CALLS_AT_ONCE)?)
            });
            if deleted.await? < MODEL_CALLS_AT_ONCE {
                return Ok(());
            }
        }
    }

    async fn delete_audit(&self, made_before: Timestamp) -> Result<(), Error> {
        while self.store.sweep_audit(made_before, AUDIT_ENTRIES_AT_ONCE).await? == AUDIT_ENTRIES_AT_ONCE {}
        Ok(())
    }

    async fn delete_finished(&self, finished_before: Timestamp) -> Result<(), Error> {
        loop {
            let deleted = self.store.relieve(move |transaction| {
                let expired = transaction.expired_jobs(finished_before, JOBS_AT_ONCE)?;
                for row in &expired {
                    transaction.delete_job(row.id)?;
                }
                Ok::<_, Error>(expired.len())
            });
            if deleted.await? < JOBS_AT_ONCE {
                return Ok(());
            }
        }
    }
}

fn before(now: Timestamp, age: Duration) -> Timestamp {
    now.plus_millis(-i64::try_from(age.as_millis()).unwrap_or(i64::MAX))
}
