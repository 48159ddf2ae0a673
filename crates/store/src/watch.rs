//! "The log goes further than n": no data, only a reason to read.

use domain::JobId;
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};
use tokio::sync::watch;

/// Below this many watched jobs nobody looks for abandoned ones.
const SMALL: usize = 64;

#[derive(Debug, Default)]
pub(crate) struct JobWatches {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    heads: HashMap<JobId, watch::Sender<u64>>,
    /// Number of entries at which abandoned ones are looked for again: twice what was left last time, so that looking
    /// costs a constant share of watching.
    sweep_at: usize,
}

impl JobWatches {
    pub(crate) fn watch(&self, job: JobId) -> watch::Receiver<u64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.heads.len() >= state.sweep_at.max(SMALL) {
            state.heads.retain(|_, sender| sender.receiver_count() > 0);
            state.sweep_at = 2 * state.heads.len();
        }
        state.heads.entry(job).or_insert_with(|| watch::Sender::new(0)).subscribe()
    }

    pub(crate) fn announce(&self, heads: &[(JobId, u64)]) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.heads.is_empty() {
            return;
        }
        for (job, head) in heads {
            let Some(sender) = state.heads.get(job) else { continue };
            if sender.send(*head).is_err() {
                state.heads.remove(job);
            }
        }
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.state.lock().unwrap().heads.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::Timestamp;

    fn job(number: i64) -> JobId {
        JobId::new(Timestamp::from_millis(number))
    }

    #[test]
    fn a_watcher_hears_of_its_own_job_only() {
        let watches = JobWatches::default();
        let (mine, other) = (job(1), job(2));
        let mut receiver = watches.watch(mine);
        watches.announce(&[(other, 5)]);
        assert!(!receiver.has_changed().unwrap());
        watches.announce(&[(mine, 3), (other, 6), (mine, 4)]);
        assert_eq!(*receiver.borrow_and_update(), 4);
    }

    #[test]
    fn entries_vanish_when_nobody_watches() {
        let watches = JobWatches::default();
        let kept = watches.watch(job(0));
        for number in 1..10_000 {
            drop(watches.watch(job(number)));
        }
        assert!(watches.len() <= 2 * SMALL, "{}", watches.len());
        let abandoned = job(10_001);
        drop(watches.watch(abandoned));
        let before = watches.len();
        watches.announce(&[(abandoned, 1)]);
        assert_eq!(watches.len(), before - 1);
        drop(kept);
    }
}
