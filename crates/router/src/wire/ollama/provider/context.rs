//! How much context a model is asked for, where nobody said a number for it.
//!
//! A coding tool begins with more than most chats ever hold: Claude Code with about 20,000 tokens. Ollama reserves the cache
//! for all of a context when it loads a model, so the largest that memory allows is as good a choice as any, and it stays
//! the same for a model: another `num_ctx` would load it anew.

use super::Details;

/// No model is asked for less that was made for it: an agent's turns need as much.
const LEAST_TOKENS: u64 = 16_384;
/// Of a model that does not tell what a token takes: room for what coding tools begin with.
const USUAL_TOKENS: u64 = 32_768;
/// Contexts are whole multiples of it, so that they read well.
const STEP_TOKENS: u64 = 1024;
/// Of the cache where nothing is known of the machine: 32,768 tokens of a usual model of 8 billion parameters.
const USUAL_CACHE_BYTES: u64 = 4 << 30;

/// What is asked of models that have no number of their own. Never more than a model was made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Context {
    Tokens(u64),
    /// The largest whose cache takes at most so much memory, beside the model's weights.
    Fitting {
        cache_bytes: u64,
    },
}

impl Default for Context {
    fn default() -> Self {
        Self::Fitting { cache_bytes: USUAL_CACHE_BYTES }
    }
}

impl Context {
    pub(super) fn tokens(self, details: &Details) -> u64 {
        match (self, details.cache_bytes_per_token) {
            (Self::Tokens(tokens), _) => tokens,
            (Self::Fitting { .. }, None) => USUAL_TOKENS,
            (Self::Fitting { cache_bytes }, Some(per_token)) => {
                let fitting = cache_bytes / per_token.max(1);
                (fitting - fitting % STEP_TOKENS).max(LEAST_TOKENS)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_context_is_the_largest_that_memory_allows() {
        let of = |cache_bytes: u64, per_token: Option<u64>| {
            let details = Details { cache_bytes_per_token: per_token, ..Details::default() };
            Context::Fitting { cache_bytes }.tokens(&details)
        };
        const GIB: u64 = 1 << 30;
        // A model of 8 billion parameters takes 128 KiB for a token, one of 32 billion twice as much.
        for (cache_bytes, per_token, expected) in [
            (4 * GIB, Some(128 << 10), 32_768),
            (6 * GIB, Some(128 << 10), 49_152),
            (8 * GIB, Some(256 << 10), 32_768),
            (4 * GIB, Some(57_000), 74_752),
            (GIB, Some(256 << 10), 16_384),
            (0, Some(128 << 10), 16_384),
            (8 * GIB, None, 32_768),
        ] {
            assert_eq!(of(cache_bytes, per_token), expected, "{cache_bytes} {per_token:?}");
        }
        assert_eq!(Context::Tokens(4096).tokens(&Details::default()), 4096);
    }
}
