//! What is known of models by their family: how they call tools, which edit form they keep, how much chance does them good.
//!
//! `profiles.toml` has a row for each, with its reasons. An exam of the very model goes before it.

use protocol::{Calls, EditForm, Model, ModelProfile, ProfileSource, WorkMode};
use serde::Deserialize;
use std::sync::LazyLock;

/// A family, or the part of one below a size.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Family {
    /// As people call it.
    name: String,
    /// Parts of a model's name, in lower case with `-` between words. One of them has to be there.
    names: Vec<String>,
    /// `general.architecture` of files whose names tell nothing.
    #[serde(default)]
    architectures: Vec<String>,
    /// Only of models with fewer parameters, in thousand millions.
    #[serde(default)]
    below: Option<f64>,
    calls: Calls,
    edits: EditForm,
    mode: WorkMode,
    #[serde(default)]
    answer_tokens: Option<u32>,
    #[serde(default)]
    temperature: Option<f32>,
}

static FAMILIES: LazyLock<Vec<Family>> = LazyLock::new(|| match parse(include_str!("profiles.toml")) {
    Ok(families) => families,
    Err(error) => unreachable!("the table of families is part of the program and tested: {error}"),
});

fn parse(text: &str) -> Result<Vec<Family>, toml::de::Error> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Table {
        family: Vec<Family>,
    }
    toml::from_str::<Table>(text).map(|table| table.family)
}

/// What is known of models like this one. The first row that fits, by name before architecture.
pub fn of_family(model: &Model) -> Option<ModelProfile> {
    let name = words(&model.name);
    let size = model.billions();
    let fits = |family: &&Family| family.below.is_none_or(|below| size.is_some_and(|size| size < below));
    let by_name = |family: &&Family| family.names.iter().any(|part| has_words(&name, part));
    let by_architecture =
        |family: &&Family| family.architectures.iter().any(|known| model.architecture.as_ref() == Some(known));
    let families = || FAMILIES.iter().filter(fits);
    let family = families().find(by_name).or_else(|| families().find(by_architecture))?;
    Some(ModelProfile {
        source: ProfileSource::Family,
        family: Some(family.name.clone()),
        calls: family.calls,
        edits: family.edits,
        mode: family.mode,
        answer_tokens: family.answer_tokens,
        temperature: family.temperature,
        examined_at: None,
    })
}

/// A name as the table writes it.
fn words(name: &str) -> String {
    name.to_ascii_lowercase().replace(['_', ' ', '/', ':'], "-")
}

/// Whether the part begins where a word of the name does: `glm` is not in `chatglm`.
fn has_words(name: &str, part: &str) -> bool {
    name.match_indices(part).any(|(at, _)| !name[..at].ends_with(|before: char| before.is_ascii_alphanumeric()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::Location;

    fn found(name: &str, architecture: Option<&str>, size_bytes: Option<u64>) -> Option<(String, Calls, WorkMode)> {
        let architecture = architecture.map(str::to_owned);
        let model = Model { architecture, size_bytes, ..Model::new("p", name, Location::Local) };
        of_family(&model).map(|profile| (profile.family.unwrap(), profile.calls, profile.mode))
    }

    #[test]
    fn the_shipped_table_is_whole() {
        let families = parse(include_str!("profiles.toml")).unwrap();
        for family in &families {
            assert!(!family.names.is_empty(), "{family:?}");
            assert!(family.names.iter().all(|part| *part == words(part)), "{family:?}");
            assert!(family.temperature.is_none_or(|temperature| (0. ..=2.).contains(&temperature)), "{family:?}");
            assert!(family.answer_tokens != Some(0), "{family:?}");
        }
        // A row that can never be reached says something that nobody follows.
        for (index, family) in families.iter().enumerate() {
            let hidden = families[..index].iter().find(|earlier| {
                earlier.below.is_none()
                    && family.names.iter().all(|part| earlier.names.iter().any(|by| has_words(part, by)))
            });
            assert_eq!(hidden, None, "{family:?}");
        }
    }

    #[test]
    fn names_as_people_and_providers_write_them_lead_to_their_family() {
        use Calls::{Native, Text};
        use WorkMode::{Free, Guided};
        for (name, family, calls, mode) in [
            ("qwen2.5-coder:1.5b", "Qwen 2.5 Coder", Text, Guided),
            ("Qwen/Qwen2.5-Coder-32B-Instruct", "Qwen 2.5 Coder", Text, Free),
            ("qwen2.5-coder-7b-instruct-q4_k_m", "Qwen 2.5 Coder", Text, Free),
            ("qwen2.5:0.5b", "Qwen 2.5", Native, Guided),
            ("qwen3-coder:30b-a3b-q4_K_M", "Qwen 3 Coder", Native, Free),
            ("qwen3:1.7b", "Qwen 3", Native, Guided),
            ("qwen3:32b", "Qwen 3", Native, Free),
            ("llama3.2:3b", "Llama 3", Text, Guided),
            ("meta-llama/Llama-3.3-70B-Instruct", "Llama 3", Native, Free),
            ("llama3.1:8b", "Llama 3", Text, Free),
            ("gpt-oss:20b", "gpt-oss", Native, Free),
            ("deepseek-r1:14b", "DeepSeek R1", Text, Free),
            ("deepseek-coder-v2:16b", "DeepSeek Coder", Text, Free),
            ("deepseek-ai/DeepSeek-V3.1", "DeepSeek", Native, Free),
            ("gemma3:27b", "Gemma", Text, Free),
            ("gemma3:270m", "Gemma", Text, Guided),
            ("devstral:24b", "Devstral", Native, Free),
            ("mistral-small3.2:24b", "Mistral", Native, Free),
            ("codestral:22b", "Codestral", Text, Free),
            ("zai-org/GLM-4.6", "GLM", Native, Free),
            ("glm-4:9b", "GLM 4", Text, Free),
            ("SmolLM2-135M-Instruct.Q4_1", "SmolLM", Text, Guided),
        ] {
            assert_eq!(found(name, None, None), Some((family.to_owned(), calls, mode)), "{name}");
        }
        for name in ["mine", "chatglm", "phi-4", "notqwen3"] {
            assert_eq!(found(name, None, None), None, "{name}");
        }
    }

    #[test]
    fn the_smallest_get_the_form_that_asks_least_of_them() {
        for (name, edits) in [
            ("qwen2.5-coder:0.5b", EditForm::WholeFile),
            ("qwen2.5-coder-1.5b-instruct-q4_k_m", EditForm::Blocks),
            ("qwen2.5-coder:14b", EditForm::Tool),
        ] {
            let found = of_family(&Model::new("p", name, Location::Local)).unwrap();
            assert_eq!(found.edits, edits, "{name}");
        }
    }

    #[test]
    fn a_file_tells_its_family_where_its_name_does_not() {
        let by = |architecture, size_bytes| found("mine", Some(architecture), size_bytes);
        let tell = |family: &str, calls, mode| Some((family.to_owned(), calls, mode));
        assert_eq!(by("qwen2", Some(1_117_320_768)), tell("Qwen 2.5", Calls::Native, WorkMode::Guided));
        assert_eq!(by("gemma3", Some(17_000_000_000)), tell("Gemma", Calls::Text, WorkMode::Free));
        assert_eq!(by("bert", None), None);
        assert_eq!(
            found("gpt-oss:20b", Some("llama"), None),
            tell("gpt-oss", Calls::Native, WorkMode::Free),
            "the name first"
        );
    }
}
