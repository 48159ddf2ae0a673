//! What is done without a change in the database: it is told to the audit trail first, so nothing happens unrecorded.

use crate::{app::App, auth::Identity, problem::Result};
use serde::Deserialize;
use store::AuditRow;

/// Characters of an object that a client named.
const OBJECT_CHARACTERS: usize = 200;

pub async fn record(app: &App, asker: &Identity, action: &str, object: &str) -> Result<()> {
    let audit = AuditRow {
        at: app.clock.now(),
        principal: asker.caller.principal,
        action: action.to_owned(),
        object: object.chars().take(OBJECT_CHARACTERS).collect(),
        request_id: asker.caller.request,
    };
    Ok(app.store.record_audit(audit).await?)
}

/// The model that a body in Ollama's words is about, as it names it.
pub fn ollama_model(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Named {
        #[serde(alias = "name")]
        model: String,
    }
    serde_json::from_slice::<Named>(body).map_or_else(|_| "unnamed".to_owned(), |named| named.model)
}
