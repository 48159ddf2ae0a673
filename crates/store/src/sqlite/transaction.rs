//! One write request: all of it or nothing, beside others in the same COMMIT.

pub(crate) mod access;
pub(crate) mod approvals;
pub(crate) mod artifacts;
pub(crate) mod events;
pub(crate) mod jobs;
pub(crate) mod models;
pub(crate) mod profiles;

use crate::Blobs;
use crate::sqlite::Reader;
use domain::JobId;
use std::ops::Deref;

/// What a closure handed to [`crate::Store::write`] works on. It reads its own writes.
pub struct Transaction<'a> {
    reader: Reader<'a>,
    batch: &'a mut Batch,
    blobs: &'a Blobs,
}

impl<'a> Deref for Transaction<'a> {
    type Target = Reader<'a>;

    fn deref(&self) -> &Reader<'a> {
        &self.reader
    }
}

impl<'a> Transaction<'a> {
    pub(crate) fn new(reader: Reader<'a>, batch: &'a mut Batch, blobs: &'a Blobs) -> Self {
        Self { reader, batch, blobs }
    }

    pub(crate) fn into_reader(self) -> Reader<'a> {
        self.reader
    }
}

/// What one COMMIT will have to tell, gathered while its requests run.
#[derive(Debug)]
pub(crate) struct Batch {
    /// The last revision given to a job. Numbers of requests that were rolled back are skipped, never given again.
    pub(crate) revision: u64,
    /// Jobs whose log grew, with the head they have now; the later entry of one job counts.
    pub(crate) heads: Vec<(JobId, u64)>,
    /// Whether a job was inserted, updated or deleted.
    pub(crate) jobs_changed: bool,
    /// Whether events wait to be deleted.
    pub(crate) purge_pending: bool,
    /// Whether to look for content nobody names.
    pub(crate) sweep_pending: bool,
    /// Content whose file is gone and whose row is not yet.
    pub(crate) forgotten_blobs: Vec<String>,
    /// Content that lost an artifact that named it. Looked at again after the COMMIT: only then is it known which
    /// content no artifact names, and only then may a file go.
    pub(crate) released_blobs: Vec<String>,
}

/// A place in a batch to come back to when one of its requests is rolled back.
pub(crate) struct Mark {
    heads: usize,
    released_blobs: usize,
    jobs_changed: bool,
    purge_pending: bool,
}

impl Batch {
    pub(crate) fn next_revision(&mut self) -> u64 {
        self.jobs_changed = true;
        self.revision += 1;
        self.revision
    }

    /// Whether there is something to do about content beside the requests.
    pub(crate) fn blobs_wait(&self) -> bool {
        self.sweep_pending || !self.forgotten_blobs.is_empty()
    }

    /// What was told, or is not to be told.
    pub(crate) fn forget(&mut self) {
        self.heads.clear();
        self.released_blobs.clear();
        self.jobs_changed = false;
    }

    pub(crate) fn mark(&self) -> Mark {
        Mark {
            heads: self.heads.len(),
            released_blobs: self.released_blobs.len(),
            jobs_changed: self.jobs_changed,
            purge_pending: self.purge_pending,
        }
    }

    pub(crate) fn rewind(&mut self, mark: Mark) {
        self.heads.truncate(mark.heads);
        self.released_blobs.truncate(mark.released_blobs);
        self.jobs_changed = mark.jobs_changed;
        self.purge_pending = mark.purge_pending;
    }
}
