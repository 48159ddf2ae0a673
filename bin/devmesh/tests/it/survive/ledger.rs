//! What clients were told is durable, kept outside the backend: the oracle of every survival test.

use domain::JobId;
use std::collections::BTreeMap;

/// Everything that was acknowledged, and nothing else.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// Idempotency key → the job that was acknowledged for it.
    pub(crate) jobs: BTreeMap<String, JobId>,
    /// Acknowledged notes per job, in the order they were sent.
    pub(crate) notes: BTreeMap<JobId, Vec<String>>,
    /// Jobs whose result was acknowledged.
    pub(crate) results: BTreeMap<JobId, String>,
}

impl Ledger {
    pub(crate) fn describe(&self) -> String {
        let notes: usize = self.notes.values().map(Vec::len).sum();
        format!("{} jobs, {notes} events, {} results acknowledged", self.jobs.len(), self.results.len())
    }
}
