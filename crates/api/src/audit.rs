//! What is done without a change in the database: it is told to the audit trail first, so nothing happens unrecorded.

use crate::{app::App, auth::Identity, problem::Result};
use domain::{Clock, RequestId, Scope, Timestamp};
use serde::Deserialize;
use store::{AuditRow, Store};

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

/// Tells the trail of a folder that it was made from a backup, in the name of the owner of the mesh: whoever can write there
/// is that. No server has the folder yet.
pub async fn record_restore(
    store: &Store,
    clock: &dyn Clock,
    backup_made_at: Option<Timestamp>,
) -> Result<(), store::Error> {
    let Some(owner) = store.tokens().await?.into_iter().find(|token| token.scope == Scope::Admin) else {
        return Ok(());
    };
    let now = clock.now();
    let audit = AuditRow {
        at: now,
        principal: owner.principal,
        action: "backup.restore".to_owned(),
        object: backup_made_at.map_or_else(|| "unknown".to_owned(), |at| at.to_string()),
        request_id: RequestId::new(now),
    };
    store.record_audit(audit).await
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
