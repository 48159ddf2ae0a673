//! What guided work came to, and what stays of it.

use super::Work;
use crate::guided::candidates::{self, Plan};

impl Work {
    /// Nothing is tried any more, and these are the files that stay.
    pub(in crate::guided) fn kept(&mut self, at: Option<usize>) {
        self.is_over = true;
        self.kept = at;
        let ended = match at {
            Some(at) => self.tries.get(at).and_then(|tried| tried.ended.clone()),
            None => self.checks.before().cloned(),
        };
        if let (true, Some(ended)) = (self.checks.is_usable(), ended) {
            self.checks.ended(ended);
        }
    }

    /// Which try to keep when there is nothing more to try, or no time for it: the best one so far, if it is no worse than the start.
    pub(in crate::guided) fn best(&self) -> Option<usize> {
        let (at, score) = candidates::best(&self.came())?;
        self.score_before().is_none_or(|before| score <= before).then_some(at)
    }

    pub(in crate::guided) fn try_of(&self, candidate: u32, round: u32) -> Option<usize> {
        self.tries.iter().position(|tried| (tried.plan.candidate, tried.plan.round) == (candidate, round))
    }

    pub(in crate::guided) fn plan_of(&self, at: usize) -> Option<&Plan> {
        self.tries.get(at).map(|tried| &tried.plan)
    }

    /// Answers that were asked for.
    pub(in crate::guided) fn attempts(&self) -> usize {
        self.tries.len()
    }

    pub(in crate::guided) fn kept_candidate(&self) -> Option<u32> {
        self.plan_of(self.kept?).map(|plan| plan.candidate)
    }

    /// Files that the last try changed.
    pub(in crate::guided) fn changed(&self) -> Vec<String> {
        self.overlay(self.tries.len().checked_sub(1)).into_keys().collect()
    }

    /// How the form of the last try looks, where nothing else checked it.
    pub(in crate::guided) fn form_was_looked_at(&self) -> bool {
        let last = self.tries.last();
        last.and_then(|last| last.ended.as_ref()).is_some_and(|ended| ended.exit_code == Some(0))
    }
}
