//! What a model's name tells about it. Written after the vendor's model pages; a newer name than these is taken for one of
//! the newest.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Capabilities {
    /// Goes on with an answer that the conversation ends with.
    pub(crate) prefill: bool,
    pub(crate) thinking: ThinkingStyle,
    /// How much it thinks can be said in these words, where it thinks as much as it finds right.
    pub(crate) efforts: &'static [&'static str],
    /// Accepts being told not to think; some always do.
    pub(crate) thinking_off: bool,
    /// Temperature and its like are accepted.
    pub(crate) sampling: bool,
    /// Answers and tool arguments can be held to a schema.
    pub(crate) schema: bool,
}

/// How a model is told to think.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThinkingStyle {
    /// It does not.
    Never,
    /// Within a budget of tokens.
    Budget,
    /// As much as it finds right.
    Adaptive,
}

const NEWEST: Capabilities = Capabilities {
    prefill: false,
    thinking: ThinkingStyle::Adaptive,
    efforts: &["low", "medium", "high", "xhigh", "max"],
    thinking_off: true,
    sampling: false,
    schema: true,
};
/// Of another vendor, behind the same API: the parts of it that everybody has.
const OTHER: Capabilities =
    Capabilities { thinking: ThinkingStyle::Budget, efforts: &[], sampling: true, schema: false, ..NEWEST };

pub(crate) fn of(model: &str) -> Capabilities {
    // Some put a vendor or a region before it.
    let Some(at) = model.find("claude-") else { return OTHER };
    let name = &model[at..];
    let old = |thinking| Capabilities { prefill: true, thinking, ..OTHER };
    if name.starts_with("claude-2") || name.starts_with("claude-instant") {
        return old(ThinkingStyle::Never);
    }
    if name.starts_with("claude-3-7") {
        return old(ThinkingStyle::Budget);
    }
    if name.starts_with("claude-3-") {
        return old(ThinkingStyle::Never);
    }
    let family =
        ["claude-opus-4", "claude-sonnet-4", "claude-haiku-4"].iter().find_map(|family| name.strip_prefix(family));
    match family.map(minor) {
        Some(Some(0)) => old(ThinkingStyle::Budget),
        Some(Some(1..=5)) => Capabilities { schema: true, ..old(ThinkingStyle::Budget) },
        Some(Some(6)) => Capabilities { sampling: true, efforts: &["low", "medium", "high", "max"], ..NEWEST },
        _ => NEWEST,
    }
}

/// What stands after `claude-…-4`: nothing or a date is 4.0, `-5` and `-5-20250929` are 4.5.
fn minor(rest: &str) -> Option<u32> {
    let part = match rest.strip_prefix(['-', '.']) {
        None => return rest.is_empty().then_some(0).or_else(|| rest.starts_with('@').then_some(0)),
        Some(rest) => rest.split(['-', '@', ':', '.']).next().unwrap_or_default(),
    };
    match part.parse::<u32>() {
        Ok(number) if part.len() <= 2 => Some(number),
        // A date.
        Ok(_) => Some(0),
        Err(_) => (part == "latest").then_some(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_models_known_to_go_on_with_an_answer_are_asked_to() {
        for (model, prefill) in [
            ("claude-3-opus-20240229", true),
            ("claude-3-5-haiku-latest", true),
            ("claude-3-7-sonnet-20250219", true),
            ("claude-sonnet-4-20250514", true),
            ("claude-opus-4-0", true),
            ("claude-opus-4-1-20250805", true),
            ("claude-sonnet-4-5-20250929", true),
            ("claude-haiku-4-5", true),
            ("anthropic.claude-opus-4-5-20251101-v1:0", true),
            ("claude-opus-4-6", false),
            ("claude-sonnet-4-6-20260101", false),
            ("claude-opus-4-10", false),
            ("claude-opus-5", false),
            ("claude-opus-40", false),
            ("claude-something", false),
            ("glm-5", false),
        ] {
            assert_eq!(of(model).prefill, prefill, "{model}");
        }
    }

    #[test]
    fn thinking_and_schemas_came_with_time() {
        let facts = |model| (of(model).thinking, of(model).schema, of(model).sampling);
        assert_eq!(facts("claude-3-5-sonnet-20241022"), (ThinkingStyle::Never, false, true));
        assert_eq!(facts("claude-3-7-sonnet-latest"), (ThinkingStyle::Budget, false, true));
        assert_eq!(facts("claude-sonnet-4-5"), (ThinkingStyle::Budget, true, true));
        assert_eq!(facts("claude-opus-4-6"), (ThinkingStyle::Adaptive, true, true));
        assert_eq!(facts("claude-opus-5"), (ThinkingStyle::Adaptive, true, false));
        assert_eq!(facts("qwen3"), (ThinkingStyle::Budget, false, true));
    }
}
