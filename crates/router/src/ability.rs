//! How able a local model is likely to be, from what is known without asking it: which one `default` leads to when nobody
//! configured that route.
//!
//! What does not fit into this machine's memory comes last. Of the rest, more parameters are better; training on code counts
//! as twice as many, because what is asked here is mostly about code; tool calls of its own count half as many again. The
//! weights are rules of thumb: no benchmark is run. Whoever knows better configures a route.

use protocol::Model;
use std::cmp::Ordering;

/// For code.
const CODE: f64 = 2.0;
/// For tool calls of its own.
const TOOLS: f64 = 1.5;
/// What a model needs beside its weights: the context, and room to compute in.
const MEMORY_PER_SIZE: f64 = 1.2;

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ability {
    /// In billions. `None`: neither its name nor its size tells.
    parameters: Option<f64>,
    is_for_code: bool,
    has_tools: bool,
    fits: bool,
}

impl Ability {
    /// `memory_bytes` is what the machine it runs on has; `None` where that is not known.
    pub fn of(model: &Model, memory_bytes: Option<u64>) -> Self {
        let name = model.name.to_ascii_lowercase();
        let size = model.size_bytes.map(|bytes| bytes as f64);
        let needs_more = |memory: u64| size.is_some_and(|size| size * MEMORY_PER_SIZE > memory as f64);
        Self {
            parameters: model.billions(),
            // `code` is in coder, codellama, codegemma and starcoder2.
            is_for_code: ["code", "codestral", "devstral"].iter().any(|word| name.contains(word)),
            has_tools: model.native_tools,
            fits: !memory_bytes.is_some_and(needs_more),
        }
    }

    /// The abler one is the greater.
    pub fn compare(&self, other: &Self) -> Ordering {
        self.fits.cmp(&other.fits).then(self.score().total_cmp(&other.score()))
    }

    pub fn score(&self) -> f64 {
        let code = if self.is_for_code { CODE } else { 1.0 };
        let tools = if self.has_tools { TOOLS } else { 1.0 };
        self.parameters.unwrap_or(0.0) * code * tools
    }

    /// In words, for those who ask why.
    pub fn why(&self) -> String {
        let mut why = vec![match self.parameters {
            Some(billions) if billions < 1.0 => format!("about {:.0} million parameters", billions * 1e3),
            Some(billions) => format!("about {billions:.1} billion parameters").replace(".0 ", " "),
            None => "of unknown size".to_owned(),
        }];
        if self.is_for_code {
            why.push("made for code".to_owned());
        }
        if self.has_tools {
            why.push("with tool calls of its own".to_owned());
        }
        if !self.fits {
            why.push("too large for this machine's memory".to_owned());
        }
        why.join(", ")
    }
}

/// The places of the models, the ablest first; equals stay in their order.
pub fn order(abilities: &[Ability]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..abilities.len()).collect();
    order.sort_by(|&one, &other| abilities[other].compare(&abilities[one]));
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::Location;

    const GIB: u64 = 1 << 30;

    fn model(name: &str, size_bytes: Option<u64>, native_tools: bool) -> Model {
        Model { size_bytes, native_tools, ..Model::new("ollama", name, Location::Local) }
    }

    #[test]
    fn the_ablest_that_fits_comes_first() {
        let coder_15 = || model("qwen2.5-coder-1.5b-instruct", Some(1_117_320_768), false);
        let coder_05 = || model("qwen2.5-coder-0.5b-instruct", Some(491_400_064), false);
        let small = || model("smollm2-135m-instruct", Some(98_362_432), false);
        /// What is shown, the models, the machine's memory, and the names in the order expected.
        type Row = (&'static str, Vec<Model>, Option<u64>, &'static [&'static str]);
        let table: &[Row] = &[
            (
                "of coders the larger, and a smoke-test model last",
                vec![small(), coder_05(), coder_15()],
                Some(24 * GIB),
                &["qwen2.5-coder-1.5b-instruct", "qwen2.5-coder-0.5b-instruct", "smollm2-135m-instruct"],
            ),
            (
                "a model made for code before a larger one that is not, but not before a far larger one",
                vec![
                    model("llama3.2:3b", Some(2 * GIB), false),
                    model("coder:2b", Some(GIB), false),
                    model("chat:8b", Some(5 * GIB), false),
                ],
                Some(24 * GIB),
                &["chat:8b", "coder:2b", "llama3.2:3b"],
            ),
            (
                "what a name does not tell, the size does",
                vec![small(), model("phi3:mini", Some(2_300_000_000), false), coder_15()],
                Some(24 * GIB),
                &["phi3:mini", "qwen2.5-coder-1.5b-instruct", "smollm2-135m-instruct"],
            ),
            (
                "what does not fit comes last, however able",
                vec![model("qwen2.5-coder:32b", Some(20 * GIB), true), coder_05(), small()],
                Some(8 * GIB),
                &["qwen2.5-coder-0.5b-instruct", "smollm2-135m-instruct", "qwen2.5-coder:32b"],
            ),
            (
                "where the memory is not known, everything fits",
                vec![coder_05(), model("qwen2.5-coder:32b", Some(20 * GIB), true)],
                None,
                &["qwen2.5-coder:32b", "qwen2.5-coder-0.5b-instruct"],
            ),
            (
                "of equals the one with tool calls, then the first",
                vec![
                    model("a:7b", Some(5 * GIB), false),
                    model("b:7b", Some(5 * GIB), false),
                    model("c:7b", Some(5 * GIB), true),
                ],
                Some(24 * GIB),
                &["c:7b", "a:7b", "b:7b"],
            ),
            (
                "what nothing is known of comes after everything known",
                vec![model("mystery", None, false), small()],
                Some(24 * GIB),
                &["smollm2-135m-instruct", "mystery"],
            ),
            ("nothing", vec![], None, &[]),
        ];
        for (what, models, memory, expected) in table {
            let abilities: Vec<Ability> = models.iter().map(|model| Ability::of(model, *memory)).collect();
            let names: Vec<&str> = order(&abilities).into_iter().map(|at| models[at].name.as_str()).collect();
            assert_eq!(&names, expected, "{what}");
        }
    }

    #[test]
    fn the_reason_is_told_in_words() {
        let of = |name, size, tools, memory| Ability::of(&model(name, size, tools), memory).why();
        assert_eq!(
            of("qwen2.5-coder:1.5b", None, true, None),
            "about 1.5 billion parameters, made for code, with tool calls of its own"
        );
        assert_eq!(of("smollm2-135m", None, false, None), "about 135 million parameters");
        assert_eq!(
            of("m:70b", Some(40 * GIB), false, Some(8 * GIB)),
            "about 70 billion parameters, too large for this machine's memory"
        );
        assert_eq!(of("mystery", None, false, None), "of unknown size");
    }
}
