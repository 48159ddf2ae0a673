//! Models whose last answer came without token counts.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
};

/// Names come from callers too, so there is an end; of what goes beyond it nothing is said.
const REMEMBERED: usize = 1024;

#[derive(Debug, Default)]
pub(crate) struct Silent(Mutex<HashSet<String>>);

impl Silent {
    /// An answer of this model is whole, and has told what it counted or has not.
    pub(crate) fn note(&self, provider: &str, model: &str, has_counted: bool) {
        let mut silent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if has_counted {
            silent.remove(model);
        } else if silent.len() < REMEMBERED && silent.insert(model.to_owned()) {
            tracing::warn!(provider, model, "an answer came without token counts: they are estimated");
        }
    }

    /// What people are told of it.
    pub(crate) fn notice(&self, model: &str) -> Option<String> {
        let silent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        silent.contains(model).then(|| "its last answer came without token counts: they are estimated".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_answer_of_each_model_counts_and_there_are_never_too_many() {
        let silent = Silent::default();
        silent.note("p", "a", false);
        assert!(silent.notice("a").is_some() && silent.notice("b").is_none());
        silent.note("p", "a", true);
        assert_eq!(silent.notice("a"), None);
        for at in 0..2 * REMEMBERED {
            silent.note("p", &at.to_string(), false);
        }
        assert_eq!(silent.0.lock().unwrap().len(), REMEMBERED);
    }
}
