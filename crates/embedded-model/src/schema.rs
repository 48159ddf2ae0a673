//! Answers that must be JSON of a given schema: before every token, llguidance says which tokens could still lead there.

use crate::Error;
use crate::tokenizer::Tokenizer;
use llguidance::api::TopLevelGrammar;
use llguidance::toktrie::{ApproximateTokEnv, InferenceCapabilities, TokEnv, TokRxInfo, TokTrie};
use llguidance::{Matcher, ParserFactory};
use serde_json::{Value, json};
use std::sync::Arc;

/// Larger schemas compile for seconds and are nearly always a mistake; the engine bounds their inner complexity itself.
const MAX_SCHEMA_BYTES: usize = 128 * 1024;

/// Text rules that must hold at once. llguidance multiplies them out before its own limits look: with forty it computes
/// for ever, with eight for milliseconds.
const MAX_COMBINED_RULES: usize = 8;

/// The vocabulary as llguidance wants it; made once per model.
pub(crate) struct Schemas {
    factory: ParserFactory,
}

pub(crate) struct Constraint {
    matcher: Matcher,
}

impl Schemas {
    pub(crate) fn new(tokenizer: &Tokenizer, vocabulary: usize) -> Result<Schemas, Error> {
        let failed = |error: String| Error::Inference(format!("the vocabulary cannot be indexed: {error}"));
        let word = |id: u32| match tokenizer.is_control(id) {
            true => [&[TokTrie::SPECIAL_TOKEN_MARKER], tokenizer.name(id)].concat(),
            false => tokenizer.text(id).to_vec(),
        };
        // The output matrix may be padded past the vocabulary; what has no text is never allowed.
        let mut words: Vec<Vec<u8>> = (0..tokenizer.len().min(vocabulary) as u32).map(word).collect();
        words.resize(vocabulary, Vec::new());
        let stops: Vec<u32> = tokenizer.stops().iter().copied().collect();
        let &first = stops.first().ok_or_else(|| failed("it has no token that ends an answer".into()))?;
        let trie = TokTrie::from(&TokRxInfo::new(vocabulary as u32, first), &words).with_eos_tokens(&stops);
        let environment: TokEnv = Arc::new(ApproximateTokEnv::new(trie));
        let mut factory = ParserFactory::new(&environment, InferenceCapabilities::default(), &[])
            .map_err(|error| failed(error.to_string()))?;
        factory.quiet();
        Ok(Schemas { factory })
    }

    pub(crate) fn constraint(&self, schema: &Value) -> Result<Constraint, Error> {
        let size = schema.to_string().len();
        if size > MAX_SCHEMA_BYTES {
            return Err(Error::Schema { reason: format!("it has {size} bytes, at most {MAX_SCHEMA_BYTES} are read") });
        }
        if most_combined_rules(schema) > MAX_COMBINED_RULES {
            let reason = format!("an `allOf` combines more than {MAX_COMBINED_RULES} patterns, formats and references");
            return Err(Error::Schema { reason });
        }
        let mut schema = match schema {
            Value::Object(schema) => schema.clone(),
            other => return Err(Error::Schema { reason: format!("it must be a JSON object, not `{other}`") }),
        };
        // Free white space is where a small model gets lost for good.
        let layout = json!({"whitespace_flexible": false, "item_separator": ", ", "key_separator": ": "});
        schema.insert("x-guidance".into(), layout);
        let failed = |error: String| Error::Schema { reason: beginning(&error) };
        let grammar = TopLevelGrammar::from_json_schema(Value::Object(schema));
        let parser = self.factory.create_parser(grammar).map_err(|error| failed(error.to_string()))?;
        let matcher = Matcher::new(Ok(parser));
        match matcher.get_error() {
            Some(error) => Err(failed(error)),
            None => Ok(Constraint { matcher }),
        }
    }
}

impl Constraint {
    /// Makes impossible tokens impossible. `false` when the answer is complete.
    pub(crate) fn apply(&mut self, scores: &mut [f32]) -> Result<bool, Error> {
        if self.matcher.is_stopped() && self.matcher.get_error().is_none() {
            return Ok(false);
        }
        let mask = self.matcher.compute_mask().map_err(|error| too_complex(&error.to_string()))?;
        for (score, token) in scores.iter_mut().zip(0_u32..) {
            if !mask.is_allowed(token) {
                *score = f32::NEG_INFINITY;
            }
        }
        Ok(scores.iter().any(|score| score.is_finite()))
    }

    pub(crate) fn accept(&mut self, token: u32) -> Result<(), Error> {
        self.matcher.consume_token(token).map_err(|error| too_complex(&error.to_string()))
    }
}

/// As much of a message as one can read: the rest is the grammar itself.
fn beginning(message: &str) -> String {
    message.lines().next().unwrap_or_default().chars().take(200).collect()
}

/// The most rules for one text that any `allOf` combines.
fn most_combined_rules(schema: &Value) -> usize {
    let below = children(schema).map(most_combined_rules).max().unwrap_or(0);
    match schema.get("allOf") {
        Some(_) => below.max(rules(schema)),
        None => below,
    }
}

fn rules(schema: &Value) -> usize {
    let own =
        ["pattern", "format", "$ref"].iter().filter(|rule| schema.get(rule).is_some_and(Value::is_string)).count();
    own + children(schema).map(rules).sum::<usize>()
}

fn children(value: &Value) -> Box<dyn Iterator<Item = &Value> + '_> {
    match value {
        Value::Object(members) => Box::new(members.values()),
        Value::Array(items) => Box::new(items.iter()),
        _ => Box::new(std::iter::empty()),
    }
}

fn too_complex(error: &str) -> Error {
    Error::Schema { reason: format!("it is too complex to follow ({}); simplify it", beginning(error)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_counted_where_they_must_hold_together() {
        let pattern = || json!({"type": "string", "pattern": "a"});
        let many: Vec<Value> = (0..9).map(|_| pattern()).collect();
        assert_eq!(most_combined_rules(&json!({"properties": {"a": {"allOf": many}}})), 9);
        assert_eq!(most_combined_rules(&json!({"anyOf": many})), 0);
        assert_eq!(most_combined_rules(&json!({"allOf": [{"$ref": "#/$defs/a"}], "format": "date"})), 2);
        assert_eq!(most_combined_rules(&json!({"properties": {"pattern": {"allOf": []}}})), 0);
    }
}
