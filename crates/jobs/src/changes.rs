//! Jobs as they change: what a job list on a screen is kept fresh with.

use crate::{Caller, Error, Handle, handle::Shared, view::pass_over};
use protocol::Job;
use std::{sync::Arc, time::Duration};
use tokio::{sync::watch, time::Instant};

/// Rows looked at by one read. Each may carry a specification of 2 MiB.
const PAGE_JOBS: usize = 16;
/// Shortest time between two answers. A job that streams an answer changes fifty times a second; a list is read by eye.
const PACE: Duration = Duration::from_millis(100);

/// Follows every job the caller may see, from now on. A job that changed several times is told once, as it is now, so a
/// slow reader is never behind by more than the number of jobs.
pub struct JobChanges {
    shared: Arc<Shared>,
    caller: Caller,
    revision: u64,
    woken: watch::Receiver<u64>,
    not_before: Instant,
}

impl Handle {
    pub async fn changed_jobs(&self, caller: &Caller) -> Result<JobChanges, Error> {
        caller.lists_only()?;
        let woken = self.shared.store.watch_jobs();
        let revision = self.shared.store.newest_revision().await?;
        Ok(JobChanges { shared: self.shared.clone(), caller: *caller, revision, woken, not_before: Instant::now() })
    }
}

impl JobChanges {
    /// Jobs that changed since the last call, waiting for as long as it takes. `None`: the backend shuts down. Safe to
    /// drop half-way and call again.
    pub async fn next(&mut self) -> Result<Option<Vec<Job>>, Error> {
        let stopping = self.shared.live.stopping().clone();
        loop {
            tokio::select! {
                biased;
                () = stopping.cancelled() => return Ok(None),
                () = tokio::time::sleep_until(self.not_before) => {}
            }
            self.woken.borrow_and_update();
            let rows = self.shared.store.changed_jobs(self.revision, PAGE_JOBS).await?;
            if let Some(last) = rows.last() {
                self.revision = last.revision;
            }
            let looked_at = rows.len();
            let seen = rows.into_iter().filter(|row| self.caller.sees(row));
            let jobs = seen.filter_map(|row| pass_over(self.shared.view(row))).collect::<Result<Vec<_>, _>>()?;
            if !jobs.is_empty() {
                // A full page is followed by the rest at once.
                if looked_at < PAGE_JOBS {
                    self.not_before = Instant::now() + PACE;
                }
                return Ok(Some(jobs));
            }
            if looked_at > 0 {
                continue;
            }
            tokio::select! {
                biased;
                () = stopping.cancelled() => return Ok(None),
                woken = self.woken.changed() => if woken.is_err() { return Ok(None) },
            }
        }
    }
}
