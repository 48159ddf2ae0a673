//! Callers to whom a target broke off in the middle of an answer that nobody could go on with.
//!
//! Their client asks the same again at once, and would be cut off and charged again. Nobody else is sent elsewhere for it: that
//! an answer broke off may be the request's doing, and elsewhere may be the cloud.

use super::Who;
use std::{collections::HashMap, time::Duration};
use tokio::time::Instant;

/// How long others come first: clients ask again within seconds, some of them after ten.
const OTHERS_FIRST: Duration = Duration::from_secs(30);
/// Callers of one target that are remembered. Those beyond it are asked for as if nothing had happened.
const REMEMBERED: usize = 256;

#[derive(Default)]
pub(crate) struct Unfinished(HashMap<Who, Instant>);

impl Unfinished {
    pub(super) fn note(&mut self, who: Who) {
        if self.0.len() >= REMEMBERED {
            self.0.retain(|_, at| at.elapsed() < OTHERS_FIRST);
        }
        if self.0.len() < REMEMBERED || self.0.contains_key(&who) {
            self.0.insert(who, Instant::now());
        }
    }

    pub(super) fn is_fresh(&self, who: Who) -> bool {
        self.0.get(&who).is_some_and(|at| at.elapsed() < OTHERS_FIRST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::Caller;
    use domain::{PrincipalId, Timestamp};

    fn who() -> Who {
        Who::of(&Caller::new(PrincipalId::new(Timestamp::from_millis(0))))
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_forgotten_after_a_while_and_there_are_never_too_many() {
        let (mut unfinished, first) = (Unfinished::default(), who());
        unfinished.note(first);
        assert!(unfinished.is_fresh(first) && !unfinished.is_fresh(who()));
        for _ in 0..2 * REMEMBERED {
            unfinished.note(who());
        }
        assert_eq!(unfinished.0.len(), REMEMBERED);
        tokio::time::advance(OTHERS_FIRST).await;
        assert!(!unfinished.is_fresh(first));
        unfinished.note(first);
        assert!(unfinished.is_fresh(first) && unfinished.0.len() == 1);
    }
}
