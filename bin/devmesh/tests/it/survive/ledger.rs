//! What clients were told is durable, kept outside the backend: the oracle of every survival test.

use domain::JobId;
use sha2::{Digest, Sha256};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

pub(crate) type Shared = Arc<Mutex<Ledger>>;

/// Everything that was acknowledged, and nothing else.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// Idempotency key → the job that was acknowledged for it.
    pub(crate) jobs: BTreeMap<String, JobId>,
    /// Acknowledged notes per job, in the order they were sent.
    pub(crate) notes: BTreeMap<JobId, Vec<String>>,
    /// Jobs whose result was acknowledged.
    pub(crate) results: BTreeMap<JobId, String>,
    /// Job and name of each acknowledged artifact, and the SHA-256 of what was handed in.
    pub(crate) artifacts: BTreeMap<(JobId, String), String>,
}

impl Ledger {
    pub(crate) fn describe(&self) -> String {
        let notes: usize = self.notes.values().map(Vec::len).sum();
        format!(
            "{} jobs, {notes} events, {} results, {} artifacts acknowledged",
            self.jobs.len(),
            self.results.len(),
            self.artifacts.len()
        )
    }
}

/// 64 lower-case hex digits.
pub(crate) fn sha256(content: &[u8]) -> String {
    hex::encode(Sha256::digest(content))
}
