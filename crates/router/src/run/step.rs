//! What a run tells whoever reads it.

use crate::{Error, Frame, accounts::RateLimits, answer::Usage, plan::Candidate};
use protocol::{Fallback, Model};
use std::{borrow::Cow, sync::Arc, time::Duration};

/// What a run says, in order. The last one is [`Step::Finished`] or [`Step::Failed`].
#[derive(Debug)]
pub(crate) enum Step {
    /// A target took the request. Said again for every further target.
    Accepted {
        model: Arc<Model>,
        why: Cow<'static, str>,
    },
    /// A target came to nothing.
    Gave(Fallback),
    /// From here on frames follow.
    Committed(Box<Committed>),
    Frame(Frame),
    /// The frame with [`crate::Event::Finished`], and what the call came to with every target that was asked; `None` where a price is
    /// not known.
    Finished {
        frame: Frame,
        cost_microusd: Option<u64>,
        /// What of the answer the caller was not told, where its head went out before that was known.
        lost: Vec<String>,
    },
    /// Nothing comes after it. With the targets that came to nothing and were not said yet.
    Failed {
        error: Error,
        fallbacks: Vec<Fallback>,
    },
}

/// Who answers, for the head of the answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Committed {
    pub(crate) model: Arc<Model>,
    /// Targets that did not answer before this one.
    pub(crate) fallbacks: usize,
    pub(crate) notice: Option<String>,
    /// Fields of the request that this target was not told of, and what of its answer the caller is not.
    pub(crate) lost: Vec<String>,
    /// Age of the kept answer that this one is.
    pub(crate) cached: Option<Duration>,
    /// What is wrong with the answer, when it was verified before it was passed on and no target did better.
    pub(crate) flaws: Vec<String>,
    /// Known when the answer was verified before it was passed on.
    pub(crate) usage: Option<Usage>,
    pub(crate) cost_microusd: Option<u64>,
    pub(crate) rates: Option<RateLimits>,
}

impl Committed {
    /// Of whose answer nothing is known yet.
    pub(crate) fn by(candidate: &Candidate, fallbacks: usize) -> Self {
        Self {
            model: candidate.model.clone(),
            fallbacks,
            notice: candidate.notice.clone(),
            lost: Vec::new(),
            cached: None,
            flaws: Vec::new(),
            usage: None,
            cost_microusd: None,
            rates: None,
        }
    }

    /// Whose answer came to this.
    pub(crate) fn counted(self, usage: Usage, cost_microusd: Option<u64>) -> Self {
        Self { usage: Some(usage), cost_microusd, ..self }
    }
}
