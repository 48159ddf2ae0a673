//! How large a model is, as far as its name or its file tells.

use crate::Model;

/// Bytes a parameter takes at the usual four to five bits, for files whose name tells nothing.
const BYTES_PER_PARAMETER: f64 = 0.62;
/// A file below this holds no model: it stands for one that runs elsewhere.
const LEAST_BYTES: u64 = 50_000_000;

impl Model {
    /// Its parameters in thousand millions: of all of them, where its name tells how many are active too.
    pub fn billions(&self) -> Option<f64> {
        let bytes = self.size_bytes.filter(|bytes| *bytes >= LEAST_BYTES);
        let from_file = || Some(bytes? as f64 / 1e9 / BYTES_PER_PARAMETER);
        from_name(&self.name).or_else(from_file)
    }
}

/// The number in `7b`, `0.5B`, `135m`, `8x7b`, `a3b` as a model's name has it.
fn from_name(name: &str) -> Option<f64> {
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
    use crate::Location;

    #[test]
    fn the_name_or_the_file_tells_the_size() {
        for (name, size_bytes, billions) in [
            ("qwen2.5-coder-1.5b-instruct", None, Some(1.5)),
            ("smollm2:135m", None, Some(0.135)),
            ("qwen3-coder-30b-a3b", Some(1), Some(30.)),
            ("mixtral-8x7b", None, Some(56.)),
            ("codestral", Some(13_020_000_000), Some(21.)),
            ("mine", None, None),
            ("elsewhere", Some(384), None),
        ] {
            let model = Model { size_bytes, ..Model::new("p", name, Location::Local) };
            assert_eq!(model.billions(), billions, "{name}");
        }
    }
}
