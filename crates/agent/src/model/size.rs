//! Whether a model is small.

use protocol::{Location, Model};

/// Below this many parameters, in thousand millions, a model does better with few tools and firm rules; public runs draw the
/// line between the 9B and the 14B models.
const SMALL: f64 = 10.;
/// Below this many it is guided where nothing better is known of it: left to choose, it looks again and again and does not mend.
const TINY: f64 = 4.;

/// Models in the cloud are not: what is asked of them they do.
pub(super) fn is_small(model: &Model) -> bool {
    is_below(model, SMALL)
}

pub(super) fn is_tiny(model: &Model) -> bool {
    is_below(model, TINY)
}

fn is_below(model: &Model, limit: f64) -> bool {
    model.location == Location::Local && model.billions().is_some_and(|billions| billions < limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_or_the_file_tells_the_size() {
        let local = |name: &str, size_bytes| Model { size_bytes, ..Model::new("p", name, Location::Local) };
        for (name, size_bytes, small) in [
            ("qwen2.5-coder-1.5b-instruct", None, true),
            ("smollm2:135m", None, true),
            ("qwen2.5-coder:7b-instruct-q4_k_m", None, true),
            ("qwen3-coder-30b-a3b", Some(1), false),
            ("mixtral-8x7b", None, false),
            ("gpt-oss:20b", None, false),
            ("codestral", Some(13_000_000_000), false),
            ("mine", Some(1_100_000_000), true),
            ("mine", None, false),
            ("elsewhere", Some(384), false),
        ] {
            assert_eq!(is_small(&local(name, size_bytes)), small, "{name}");
        }
        let cloud = Model::new("p", "llama-3.1-8b", Location::Cloud);
        assert!(!is_small(&cloud));
    }
}
