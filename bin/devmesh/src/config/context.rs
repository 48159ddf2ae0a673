//! How much context an Ollama is asked for.

use super::{Resolved, memory_of_the_machine};
use reqwest::Url;
use router::providers::ollama::Context;

/// Of this machine's memory, for one loaded model's context; its weights and everything else need the rest.
const SHARE: u64 = 4;
/// What fits into memory may not fit beside the weights on a graphics card.
const MOST_BYTES: u64 = 8 << 30;

/// A number of the provider's own, else the one for all, else what memory has room for.
pub(super) fn of_an_ollama(resolved: &Resolved, own: Option<u64>, base_url: &str) -> Context {
    if let Some(tokens) = own.or_else(|| resolved.integer("ollama.context_tokens")) {
        return Context::Tokens(tokens);
    }
    let here = || memory_of_the_machine().filter(|_| is_here(base_url));
    let worked_out = || here().map(|memory| (memory / SHARE).min(MOST_BYTES));
    match resolved.integer("ollama.context_memory_bytes").or_else(worked_out) {
        Some(cache_bytes) => Context::Fitting { cache_bytes },
        None => Context::default(),
    }
}

fn is_here(base_url: &str) -> bool {
    Url::parse(base_url).is_ok_and(|url| url.host_str().is_some_and(protocol::is_loopback))
}

#[cfg(test)]
mod tests {
    use super::is_here;

    #[test]
    fn only_loopback_is_this_machine() {
        for here in ["http://127.0.0.1:11434", "http://localhost:1", "http://[::1]:1/"] {
            assert!(is_here(here), "{here}");
        }
        for elsewhere in ["http://ollama:11434", "http://10.0.0.2:11434", "nothing"] {
            assert!(!is_here(elsewhere), "{elsewhere}");
        }
    }
}
