//! The OpenAPI 3.1 document, made from the handlers themselves. `docs/openapi.json` is its committed copy.

mod refusals;

use crate::routes;
use domain::i_json::LARGEST_INTEGER;
use protocol::{ClientMessage, ModelStreamItem, Problem, Reset, ServerMessage, StreamHeartbeat};
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::LazyLock};
use utoipa::{
    Modify, OpenApi,
    openapi::{
        Content, Ref, RefOr, Response,
        path::Operation,
        security::{Http, HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};
use utoipa_axum::router::OpenApiRouter;

const DESCRIPTION: &str = "\
Durable jobs done by agents, on models that are local first.

Every request but `/`, `/ollama/`, `/healthz` and `/readyz` carries `Authorization: Bearer dm_…`. The list behind `bearer` in an operation's \
security names the scopes that may use it, any of them: `admin` includes `user`, which includes `viewer`; `agent` and `model` stand apart.

Errors are RFC 9457 problems with a stable `code`; `type` leads to the page that explains it. Every answer has an \
`x-request-id`. Every list is read in pages: at most `limit` rows (50 unless said, 200 at most; more is refused), fewer when \
they are large. Pass `next_cursor` on as `cursor`; where it is absent the list is over. A job's log is read from any `epoch.seq` cursor, as pages, \
as Server-Sent Events, or over one WebSocket for many jobs.";

#[derive(OpenApi)]
#[openapi(
    info(title = "devmesh", description = DESCRIPTION, license(name = "Apache-2.0", identifier = "Apache-2.0")),
    components(schemas(ClientMessage, ServerMessage, ModelStreamItem, Problem, Reset, StreamHeartbeat)),
    modifiers(&Tokens),
    tags(
        (name = "jobs", description = "What users ask for, and the log of each job."),
        (name = "artifacts", description = "Files that jobs produced."),
        (name = "approvals", description = "Tool calls that wait for a person."),
        (name = "models", description = "Who can answer, and what became of calls."),
        (name = "gateway", description = "For clients of OpenAI, Anthropic and Ollama: their words, answered by local models first. Errors have the vendor's shape."),
        (name = "live", description = "Many logs over one WebSocket."),
        (name = "leases", description = "What agents say: under one attempt, refused once it is over."),
        (name = "administration", description = "Tokens, backups, what is stored, who did what and what left the machine."),
        (name = "server", description = "Is it up, what is it, what does it say."),
    )
)]
struct Base;

/// Those for which [`protocol::EventBody::is_agents_to_write`] holds.
const AGENTS_EVENTS: [&str; 14] = [
    "sandbox.ready",
    "workspace.prepared",
    "workspace.checkpoint",
    "tool.started",
    "tool.output",
    "tool.finished",
    "check.started",
    "check.finished",
    "guided.started",
    "candidate.started",
    "candidate.kept",
    "model.escalated",
    "budget.updated",
    "agent.note",
];

struct Tokens;

impl Modify for Tokens {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        let scheme: Http = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .bearer_format("dm_<scope>_<43 base64url characters>")
            .description(Some("A token. The first one lies in `admin-token` in the data folder."))
            .build();
        components.add_security_scheme("bearer", SecurityScheme::Http(scheme));
        let of_a_vendor = Response::builder()
            .description("An error in the shape of the vendor whose path was asked: OpenAI's, Anthropic's or Ollama's.")
            .content("application/json", Content::new(None::<RefOr<utoipa::openapi::Schema>>))
            .build();
        components.responses.insert("VendorError".into(), RefOr::T(of_a_vendor));
    }
}

/// The document of every route there is.
pub fn openapi() -> utoipa::openapi::OpenApi {
    let routes = OpenApiRouter::with_openapi(Base::openapi())
        .merge(routes::anonymous())
        .merge(routes::documentation())
        .merge(routes::gateway())
        .merge(routes::authenticated())
        .merge(routes::long_polls());
    let mut document = routes.into_openapi();
    // A parameter that takes the rest of the path is written with a star in routes, and without one in this format.
    document.paths.paths = std::mem::take(&mut document.paths.paths)
        .into_iter()
        .map(|(path, item)| (path.replace("{*", "{"), item))
        .collect();
    for item in document.paths.paths.values_mut() {
        let operations = [&mut item.get, &mut item.put, &mut item.post, &mut item.delete, &mut item.patch];
        for operation in operations.into_iter().flatten() {
            explain_answers(operation);
        }
    }
    document
}

/// The format wants a word on every answer; where the schema says it all, that word is short. A vendor's client is refused in
/// the vendor's shape.
fn explain_answers(operation: &mut Operation) {
    for response in operation.responses.responses.values_mut() {
        match response {
            RefOr::T(response) if response.description.is_empty() => response.description = "As asked.".into(),
            _ => {}
        }
    }
    if operation.tags.iter().flatten().any(|tag| tag == "gateway") {
        let refusal = RefOr::Ref(Ref::from_response_name("VendorError"));
        operation.responses.responses.insert("default".into(), refusal);
    }
}

/// Says what the types do not: the codes of each refusal, how large an integer may be, what an agent may append, and that a
/// parameter or body which says nothing is left out.
fn complete(document: &mut Value) {
    let schemas = &mut document["components"]["schemas"];
    let mut of_agents = schemas["EventBody"].clone();
    if let Some(kinds) = of_agents["oneOf"].as_array_mut() {
        kinds
            .retain(|kind| AGENTS_EVENTS.contains(&kind["properties"]["type"]["enum"][0].as_str().unwrap_or_default()));
    }
    of_agents["description"] = json!("What an agent appends. The backend writes everything else itself.");
    schemas["AgentEvent"] = of_agents;
    schemas["AppendEvents"]["properties"]["events"]["items"] = json!({"$ref": "#/components/schemas/AgentEvent"});
    let mut shared = BTreeMap::new();
    let items = document["paths"].as_object_mut().into_iter().flat_map(|paths| paths.values_mut());
    let operations = items.filter_map(Value::as_object_mut).flat_map(|item| item.values_mut());
    for operation in operations {
        for parameter in operation.get_mut("parameters").and_then(Value::as_array_mut).into_iter().flatten() {
            never_null(&mut parameter["schema"]);
        }
        if let Some(schema) = operation.pointer_mut("/requestBody/content/application~1json/schema") {
            never_null(schema);
        }
        let refusals = refusals::of(operation);
        let Some(responses) = operation["responses"].as_object_mut() else { continue };
        if responses.contains_key("default") {
            continue;
        }
        for (status, codes) in refusals {
            let name = refusals::name(&codes);
            let described = json!({"$ref": format!("#/components/responses/{name}")});
            responses.entry(status.to_string()).or_insert(described);
            shared.entry(name).or_insert_with(|| refusals::response(&codes));
        }
    }
    if let Some(responses) = document["components"]["responses"].as_object_mut() {
        responses.extend(shared);
    }
    bound_integers(&mut document["components"], Some(LARGEST_INTEGER));
    // In a query they are text, and as large as their type.
    bound_integers(&mut document["paths"], None);
}

fn never_null(schema: &mut Value) {
    let is_null = |schema: &Value| schema == "null" || schema["type"] == "null";
    for alternatives in ["type", "oneOf"] {
        let Some(given) = schema.get_mut(alternatives).and_then(Value::as_array_mut) else { continue };
        given.retain(|one| !is_null(one));
        if let [one] = given.as_mut_slice() {
            let one = one.take();
            match alternatives {
                "type" => schema["type"] = one,
                _ => *schema = one,
            }
        }
    }
}

/// Those of 64 bits to what [`domain::i_json`] reads, and those of 32 to what they are: the format has a word only for signed ones.
fn bound_integers(value: &mut Value, largest: Option<u64>) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| bound_integers(item, largest)),
        Value::Object(members) => {
            members.values_mut().for_each(|member| bound_integers(member, largest));
            let is_unsigned = members.get("minimum").is_some_and(|least| least.as_u64().is_some());
            match members.get("format").and_then(Value::as_str) {
                Some("int64") => match largest {
                    Some(largest) => drop(members.entry("maximum").or_insert(json!(largest))),
                    None => drop(members.shift_remove("format")),
                },
                Some("int32") if is_unsigned => {
                    members.entry("maximum").or_insert(json!(u32::MAX));
                    members.insert("format".into(), json!("int64"));
                }
                _ => {}
            }
        }
        _ => {}
    }
}

static JSON: LazyLock<String> = LazyLock::new(|| {
    let mut document = serde_json::to_value(openapi()).unwrap_or_default();
    complete(&mut document);
    // It is made of text and numbers, which always have a JSON form.
    serde_json::to_string_pretty(&document).unwrap_or_default() + "\n"
});

/// What `/api/openapi.json` serves and `docs/openapi.json` holds.
pub fn openapi_json() -> String {
    JSON.clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_copy_is_current() {
        let committed = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.json");
        let committed = std::fs::read_to_string(committed).unwrap_or_default();
        let differs = committed.lines().zip(JSON.lines()).position(|(old, new)| old != new);
        assert!(
            committed == *JSON,
            "docs/openapi.json is not what the handlers say (from line {}). Run `cargo xtask openapi` and read the difference.",
            differs.map_or(0, |line| line + 1)
        );
    }

    #[test]
    fn every_operation_has_a_scope_a_summary_and_explains_its_errors() {
        let document: serde_json::Value = serde_json::from_str(&JSON).unwrap();
        assert_eq!(document["openapi"], "3.1.0");
        let mut ids = std::collections::BTreeSet::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                let name = format!("{method} {path}");
                let responses = operation["responses"].as_object().unwrap();
                if operation["tags"][0] == "gateway" {
                    assert_eq!(responses["default"]["$ref"], "#/components/responses/VendorError", "{name}");
                } else {
                    assert!(responses.contains_key("500") && !responses.contains_key("default"), "{name}");
                }
                assert!(!path.contains('*'), "{name} is a path of this format");
                assert!(operation["summary"].is_string(), "{name} has no summary");
                assert!(ids.insert(operation["operationId"].as_str().unwrap().to_owned()), "{name} repeats an id");
                let anonymous = ["/", "/ollama/", "/healthz", "/readyz", "/api/v1/ws"].contains(&path.as_str());
                let scopes = operation["security"][0]["bearer"].as_array();
                assert_eq!(scopes.is_some_and(|scopes| !scopes.is_empty()), !anonymous, "{name} names its scopes");
            }
        }
    }
}
