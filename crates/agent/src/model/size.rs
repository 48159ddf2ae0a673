//! How large a model is, as far as its name or its file tells.

use protocol::{Location, Model};

/// Below this many parameters, in thousand millions, a model does better with few tools and firm rules; public runs draw the
/// line between the 9B and the 14B models.
const SMALL: f64 = 10.;
/// Bytes a parameter takes at the usual four to five bits, for files whose name tells nothing.
const BYTES_PER_PARAMETER: f64 = 0.62;

/// A file below this holds no model: it stands for one that runs elsewhere.
const LEAST_BYTES: u64 = 50_000_000;

/// Models in the cloud are not: what is asked of them they do.
pub(super) fn is_small(model: &Model) -> bool {
    let bytes = model.size_bytes.filter(|bytes| *bytes >= LEAST_BYTES);
    let from_file = || Some(bytes? as f64 / 1e9 / BYTES_PER_PARAMETER);
    model.location == Location::Local && billions(&model.name).or_else(from_file).is_some_and(|size| size < SMALL)
}

/// The number in `7b`, `0.5B`, `135m`, `8x7b`, `a3b` as a model's name has it: of all its parameters, where it tells both.
fn billions(name: &str) -> Option<f64> {
    let lower = name.to_ascii_lowercase();
    let words = lower.split(|character: char| !character.is_ascii_alphanumeric() && character != '.');
    words.filter_map(size).max_by(f64::total_cmp)
}

fn size(word: &str) -> Option<f64> {
    let (number, unit) = word.split_at(word.len().checked_sub(1)?);
    let unit = match unit {
        "b" => 1.,
        "m" => 1e-3,
        _ => return None,
    };
    let factors = number.split('x').map(|factor| factor.parse::<f64>().ok().filter(|factor| *factor > 0.));
    factors.product::<Option<f64>>().map(|count| count * unit)
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
