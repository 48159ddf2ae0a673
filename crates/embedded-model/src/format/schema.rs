//! JSON Schemas on their way to llguidance, and which of them it had better not see.

use crate::Error;
use llguidance::api::TopLevelGrammar;
use serde_json::{Value, json};

/// Larger schemas compile for seconds and are nearly always a mistake; the engine bounds their inner complexity itself.
const MAX_SCHEMA_BYTES: usize = 128 * 1024;

/// Text rules that must hold at once. llguidance multiplies them out before its own limits look: with forty it computes
/// for ever, with eight for milliseconds.
const MAX_COMBINED_RULES: usize = 8;

pub(super) fn grammar(schema: &Value) -> Result<TopLevelGrammar, Error> {
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
    Ok(TopLevelGrammar::from_json_schema(Value::Object(schema)))
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
