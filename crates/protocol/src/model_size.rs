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

/// Of `qwen2.5-coder:1.5b`, `smollm2-135m`, `mixtral:8x7b`, `gemma3n:e4b`.
fn from_name(name: &str) -> Option<f64> {
    let lower = name.to_ascii_lowercase();
    let parts = lower.split(|character: char| !character.is_ascii_alphanumeric() && character != '.');
    parts.filter_map(amount).next()
}

fn amount(part: &str) -> Option<f64> {
    let (number, unit) = match part.strip_suffix('b') {
        Some(number) => (number, 1.0),
        None => (part.strip_suffix('m')?, 1e-3),
    };
    // Gemma 3n writes `e` before what it has at work at a time.
    let number = number.strip_prefix('e').unwrap_or(number);
    let (experts, number) = number.split_once('x').unwrap_or(("1", number));
    let is_plain = |text: &str| text.starts_with(|character: char| character.is_ascii_digit());
    (is_plain(experts) && is_plain(number)).then_some(())?;
    Some(experts.parse::<f64>().ok()? * number.parse::<f64>().ok()? * unit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Location;

    #[test]
    fn the_name_or_the_file_tells_the_size() {
        for (name, size_bytes, billions) in [
            ("qwen2.5-coder-1.5b-instruct", None, Some(1.5)),
            ("Qwen/Qwen2.5-Coder-7B-Instruct", None, Some(7.0)),
            ("smollm2:135m", None, Some(0.135)),
            ("qwen3:30b-a3b", Some(1), Some(30.0)),
            ("mixtral:8x7b", None, Some(56.0)),
            ("gemma3n:e4b", None, Some(4.0)),
            ("qwen2.5-7b-instruct-1m", None, Some(7.0)),
            ("someone/llama-3.1-8b:q4_k_m", None, Some(8.0)),
            ("codestral", Some(13_020_000_000), Some(21.0)),
            ("model-v2-128k-4bit", None, None),
            ("phi3:mini", None, None),
            ("elsewhere", Some(384), None),
        ] {
            let found = Model { size_bytes, ..Model::new("p", name, Location::Local) }.billions();
            let is_same = found.zip(billions).map_or(found == billions, |(one, other)| (one - other).abs() < 1e-9);
            assert!(is_same, "{name}: {found:?}");
        }
    }
}
