//! `GET /v1/models` and `GET /v1/models/{id}`, which two vendors shape differently. Routes come first, because they are what to ask for.

use protocol::Models;
use serde_json::{Value, json};

/// Models here have no date of making; the vendors' clients want one.
const UNKNOWN_DATE: &str = "1970-01-01T00:00:00Z";

/// What a caller may put in `model`: its id, whose it is, and a name for people.
fn names(models: &Models) -> impl Iterator<Item = (&str, &str, String)> {
    let routes = models.routes.iter().map(|route| (route.name.as_str(), "devmesh", format!("{} (route)", route.name)));
    let models = models.models.iter().map(|model| {
        let name = format!("{} ({})", model.name, model.provider);
        (model.id.as_str(), model.provider.as_str(), name)
    });
    routes.chain(models)
}

/// In OpenAI's shape.
pub(crate) fn list(models: &Models) -> Value {
    let data = names(models).map(|(id, owner, _)| entry(id, owner));
    json!({"object": "list", "data": data.collect::<Value>()})
}

/// In Anthropic's shape, all on one page.
pub(crate) fn list_anthropic(models: &Models) -> Value {
    let data: Vec<_> = names(models).map(|(id, _, name)| entry_anthropic(id, &name)).collect();
    let id = |model: Option<&Value>| model.map_or(Value::Null, |model| model["id"].clone());
    json!({"first_id": id(data.first()), "last_id": id(data.last()), "has_more": false, "data": data})
}

/// `GET /v1/models/{id}`: one of those listed, in OpenAI's shape.
pub(crate) fn one(models: &Models, id: &str) -> Option<Value> {
    names(models).find(|(listed, ..)| *listed == id).map(|(id, owner, _)| entry(id, owner))
}

/// In Anthropic's.
pub(crate) fn one_anthropic(models: &Models, id: &str) -> Option<Value> {
    names(models).find(|(listed, ..)| *listed == id).map(|(id, _, name)| entry_anthropic(id, &name))
}

fn entry(id: &str, owner: &str) -> Value {
    json!({"id": id, "object": "model", "created": 0, "owned_by": owner})
}

fn entry_anthropic(id: &str, name: &str) -> Value {
    json!({"type": "model", "id": id, "display_name": name, "created_at": UNKNOWN_DATE})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn models() -> Models {
        let model = json!({
            "id": "ollama/qwen3:8b", "provider": "ollama", "name": "qwen3:8b", "location": "local",
            "chats": true, "embeds": false, "vision": false, "native_tools": true, "structured_output": true, "available": true,
        });
        serde_json::from_value(json!({
            "models": [model], "routes": [{"name": "fast", "targets": [model]}], "unavailable": [],
        }))
        .unwrap()
    }

    #[test]
    fn routes_come_first_in_both_shapes() {
        assert_eq!(
            list(&models()),
            json!({"object": "list", "data": [
                {"id": "fast", "object": "model", "created": 0, "owned_by": "devmesh"},
                {"id": "ollama/qwen3:8b", "object": "model", "created": 0, "owned_by": "ollama"},
            ]})
        );
        assert_eq!(
            list_anthropic(&models()),
            json!({"first_id": "fast", "last_id": "ollama/qwen3:8b", "has_more": false, "data": [
                {"type": "model", "id": "fast", "display_name": "fast (route)", "created_at": "1970-01-01T00:00:00Z"},
                {"type": "model", "id": "ollama/qwen3:8b", "display_name": "qwen3:8b (ollama)", "created_at": "1970-01-01T00:00:00Z"},
            ]})
        );
    }

    #[test]
    fn whatever_is_listed_is_there_by_itself() {
        let models = models();
        for listed in list(&models)["data"].as_array().unwrap() {
            assert_eq!(one(&models, listed["id"].as_str().unwrap()).as_ref(), Some(listed));
        }
        for listed in list_anthropic(&models)["data"].as_array().unwrap() {
            assert_eq!(one_anthropic(&models, listed["id"].as_str().unwrap()).as_ref(), Some(listed));
        }
        assert_eq!((one(&models, "qwen3:8b"), one_anthropic(&models, "nothing")), (None, None));
    }

    #[test]
    fn a_list_of_nothing_has_no_first() {
        let none = Models { models: Vec::new(), routes: Vec::new(), unavailable: Vec::new(), not_asked: Vec::new() };
        assert_eq!(list_anthropic(&none), json!({"first_id": null, "last_id": null, "has_more": false, "data": []}));
    }
}
