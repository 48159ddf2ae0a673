//! Answers that must have a given form: before every token, llguidance says which tokens could still lead there.

mod schema;

use crate::Error;
use crate::tokenizer::Tokenizer;
use llguidance::api::TopLevelGrammar;
use llguidance::toktrie::{ApproximateTokEnv, InferenceCapabilities, TokEnv, TokRxInfo, TokTrie};
use llguidance::{Matcher, ParserFactory};
use serde_json::Value;
use std::sync::Arc;

/// Larger grammars are nearly always a mistake; llguidance bounds their inner complexity itself.
const MAX_GRAMMAR_BYTES: usize = 64 * 1024;

/// What an answer must be.
#[derive(Clone, Debug, PartialEq)]
pub enum Format {
    /// JSON of this JSON Schema.
    Schema(Value),
    /// A text of this grammar, in llguidance's Lark form.
    Grammar(String),
}

/// The vocabulary as llguidance wants it; made once per model.
pub(crate) struct Formats {
    factory: ParserFactory,
}

pub(crate) struct Constraint {
    matcher: Matcher,
    failed: fn(String) -> Error,
}

impl Formats {
    pub(crate) fn new(tokenizer: &Tokenizer, vocabulary: usize) -> Result<Formats, Error> {
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
        Ok(Formats { factory })
    }

    pub(crate) fn constraint(&self, format: &Format) -> Result<Constraint, Error> {
        let (grammar, failed): (_, fn(String) -> Error) = match format {
            Format::Schema(schema) => (schema::grammar(schema)?, |reason| Error::Schema { reason }),
            Format::Grammar(grammar) => (lark(grammar)?, |reason| Error::Grammar { reason }),
        };
        let parser = self.factory.create_parser(grammar).map_err(|error| failed(beginning(&error.to_string())))?;
        let matcher = Matcher::new(Ok(parser));
        match matcher.get_error() {
            Some(error) => Err(failed(beginning(&error))),
            None => Ok(Constraint { matcher, failed }),
        }
    }
}

fn lark(grammar: &str) -> Result<TopLevelGrammar, Error> {
    match grammar.len() {
        0..=MAX_GRAMMAR_BYTES => Ok(TopLevelGrammar::from_lark(grammar.to_owned())),
        size => Err(Error::Grammar { reason: format!("it has {size} bytes, at most {MAX_GRAMMAR_BYTES} are read") }),
    }
}

impl Constraint {
    /// Makes impossible tokens impossible. `false` when the answer is complete.
    pub(crate) fn apply(&mut self, scores: &mut [f32]) -> Result<bool, Error> {
        if self.matcher.is_stopped() && self.matcher.get_error().is_none() {
            return Ok(false);
        }
        let mask = self.matcher.compute_mask().map_err(|error| self.too_complex(&error.to_string()))?;
        for (score, token) in scores.iter_mut().zip(0_u32..) {
            if !mask.is_allowed(token) {
                *score = f32::NEG_INFINITY;
            }
        }
        Ok(scores.iter().any(|score| score.is_finite()))
    }

    pub(crate) fn accept(&mut self, token: u32) -> Result<(), Error> {
        self.matcher.consume_token(token).map_err(|error| self.too_complex(&error.to_string()))
    }

    fn too_complex(&self, error: &str) -> Error {
        (self.failed)(format!("it is too complex to follow ({}); simplify it", beginning(error)))
    }
}

/// As much of a message as one can read: the rest is the grammar itself.
fn beginning(message: &str) -> String {
    message.lines().next().unwrap_or_default().chars().take(200).collect()
}
