//! Which codes each operation may be refused with.
//!
//! What every request can meet on its way follows from what the operation takes; the rest is in [`OWN`].

use domain::ErrorCode::{self, *};
use protocol::PROBLEM_MEDIA_TYPE;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Codes of single operations, beyond what their parameters, bodies and scopes bring.
const OWN: &[(&str, &[ErrorCode])] = &[
    ("create_job", &[Forbidden, IdempotencyConflict, Gone]),
    ("retry_job", &[Forbidden, IdempotencyConflict, WrongState, Gone]),
    ("cancel_job", &[WrongState]),
    ("delete_job", &[WrongState]),
    ("list_events", &[InvalidCursor, CursorAhead, NotAcceptable]),
    ("get_artifact", &[RangeNotSatisfiable, ContentLost]),
    ("decide_approval", &[WrongState]),
    ("explain_route", &[EgressRefused, ModelUnavailable]),
    ("get_route", &[ModelUnavailable]),
    ("create_token", &[IdempotencyConflict, Gone, WrongState]),
    ("delete_token", &[WrongState]),
    ("create_lease", &[]),
    ("heartbeat", &[StaleAttempt]),
    ("append_events", &[StaleAttempt, ProducerGap, ProducerConflict, WrongState]),
    ("request_approval", &[StaleAttempt, WrongState]),
    ("call_model", &[StaleAttempt, WrongState, EgressRefused, ModelUnavailable, ModelFailed, ContextLengthExceeded]),
    ("finish_job", &[StaleAttempt, WrongState]),
    ("release_job", &[StaleAttempt, WrongState]),
    ("put_artifact", &[StaleAttempt, WrongState, BodyTooLarge, RequestTimeout, UnsupportedMediaType]),
];

/// Whatever is asked for: who asks from where, how much, and how the server is.
const ANY: &[ErrorCode] = &[OriginNotAllowed, HostNotAllowed, HeadersTooLarge, Internal];
const WITH_A_TOKEN: &[ErrorCode] = &[Unauthorized, RateLimited, TooManyConnections];
const WITH_A_STORE: &[ErrorCode] = &[StorageFull, Unavailable];
const WITH_A_BODY: &[ErrorCode] = &[InvalidRequest, InvalidJson, BodyTooLarge, RequestTimeout, UnsupportedMediaType];

/// What one operation may be refused with: by the status, the codes that come with it.
pub fn of(operation: &Value) -> BTreeMap<u16, Vec<ErrorCode>> {
    let id = operation["operationId"].as_str().unwrap_or_default();
    let has = |place: &str| operation["parameters"].as_array().into_iter().flatten().any(|one| one["in"] == place);
    let mut codes = ANY.to_vec();
    if operation["security"].is_array() || id == "open_websocket" {
        codes.extend_from_slice(WITH_A_TOKEN);
        codes.extend_from_slice(WITH_A_STORE);
        codes.push(Forbidden);
    }
    if operation["requestBody"]["content"].get("application/json").is_some() {
        codes.extend_from_slice(WITH_A_BODY);
    }
    if has("path") {
        codes.extend([InvalidRequest, NotFound]);
    }
    if operation["parameters"].as_array().into_iter().flatten().any(|one| one["name"] == "cursor") {
        codes.push(InvalidCursor);
    }
    if has("query") || has("header") {
        codes.push(InvalidRequest);
    }
    codes.extend(OWN.iter().filter(|(name, _)| *name == id).flat_map(|(_, codes)| codes.iter().copied()));
    let mut by_status = BTreeMap::<u16, Vec<ErrorCode>>::new();
    for code in ErrorCode::ALL.iter().filter(|code| codes.contains(code)) {
        by_status.entry(code.status()).or_default().push(*code);
    }
    by_status
}

/// The name under which an answer with one of these codes is described once for all operations.
pub fn name(codes: &[ErrorCode]) -> String {
    codes.iter().map(|code| code.as_str()).collect::<Vec<_>>().join(".")
}

pub fn response(codes: &[ErrorCode]) -> Value {
    let named: Vec<_> = codes.iter().map(|code| format!("`{code}`: {}.", code.title())).collect();
    let codes: Vec<_> = codes.iter().map(|code| code.as_str()).collect();
    let schema = json!({
        "allOf": [{"$ref": "#/components/schemas/Problem"}, {"properties": {"code": {"enum": codes}}}],
    });
    json!({"description": named.join(" "), "content": {PROBLEM_MEDIA_TYPE: {"schema": schema}}})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_named_here_is_there() {
        let document: Value = serde_json::from_str(&crate::openapi_json()).unwrap();
        let items = document["paths"].as_object().unwrap().values();
        let ids: Vec<_> = items
            .flat_map(|item| item.as_object().unwrap().values())
            .map(|operation| operation["operationId"].as_str().unwrap())
            .collect();
        for (id, _) in OWN {
            assert!(ids.contains(id), "{id}");
        }
    }
}
