//! JSON Schema, from the caller, against JSON, from the model. Neither is trusted: references lead nowhere outside the
//! schema itself, patterns cannot backtrack, and what is reported is cut to a readable length.

use crate::http::failure::cut;
use boon::{CompileError, Compiler, Draft, Schemas, UrlLoader, ValidationError};
use serde_json::Value;

/// One place where a value is not what its schema asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Breach {
    /// JSON pointer into the value.
    pub(super) pointer: String,
    pub(super) message: String,
}

impl Breach {
    pub(super) fn new(pointer: &str, message: &str) -> Self {
        Self { pointer: short(pointer), message: short(message) }
    }
}

/// More would help nobody: one is enough to ask again.
const MOST_BREACHES: usize = 8;

/// Empty as well for a schema that is none: that is the caller's mistake, not the answer's.
pub(super) fn breaches(schema: &Value, value: &Value) -> Vec<Breach> {
    let mut schemas = Schemas::new();
    let mut compiler = Compiler::new();
    compiler.set_default_draft(Draft::V2020_12);
    compiler.use_loader(Box::new(Nowhere));
    if let Err(error) = compiler.add_resource(HERE, schema.clone()) {
        return unusable(&error);
    }
    let index = match compiler.compile(HERE, &mut schemas) {
        Ok(index) => index,
        Err(error) => return unusable(&error),
    };
    let mut found = Vec::new();
    if let Err(error) = schemas.validate(value, index) {
        leaves(&error, &mut found);
    }
    found
}

fn unusable(_: &CompileError) -> Vec<Breach> {
    tracing::debug!("a schema cannot be used, so the answer is not held against it");
    Vec::new()
}

/// The innermost reasons. Of alternatives that all failed, those of the first few.
fn leaves(error: &ValidationError<'_, '_>, found: &mut Vec<Breach>) {
    if found.len() >= MOST_BREACHES {
        return;
    }
    if error.causes.is_empty() {
        let breach = Breach::new(&error.instance_location.to_string(), &error.kind.to_string());
        if !found.contains(&breach) {
            found.push(breach);
        }
    }
    for cause in &error.causes {
        leaves(cause, found);
    }
}

/// Where the schema pretends to lie.
const HERE: &str = "devmesh:///schema";

struct Nowhere;

impl UrlLoader for Nowhere {
    fn load(&self, url: &str) -> Result<Value, Box<dyn std::error::Error>> {
        Err(format!("schemas are not fetched, and `{url}` is outside of this one").into())
    }
}

pub(super) fn short(text: &str) -> String {
    const MOST_CHARACTERS: usize = 200;
    cut(text.to_owned(), MOST_CHARACTERS)
}
