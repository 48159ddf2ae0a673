use crate::{
    app::App,
    auth::ModelReader,
    extract::Query,
    problem::{Failure, Result},
};
use axum::{Json, extract::State};
use domain::{ModelCallId, Scope};
use protocol::{List, ListModelCalls, ModelCallPage};
use std::sync::Arc;
use store::ModelCallFilter;
use uuid::Uuid;

/// Of an id, with its dashes and without.
const ID_CHARACTERS: usize = 36;
const ID_DIGITS: usize = 32;

/// List model calls, newest first
#[utoipa::path(
    get,
    path = "/api/v1/model-calls",
    operation_id = "list_model_calls",
    tag = "models",
    security(("bearer" = ["model", "viewer", "user", "admin"])),
    params(ListModelCalls),
    responses((status = 200, body = ModelCallPage)),
)]
pub async fn list(
    State(app): State<Arc<App>>,
    ModelReader(asker): ModelReader,
    Query(query): Query<ListModelCalls>,
) -> Result<Json<ModelCallPage>> {
    let sees_all = asker.caller.scope.covers(Scope::Viewer) && asker.caller.scope != Scope::User;
    let page = List::ModelCalls.query(query.limit, query.cursor.as_deref())?;
    let prefix = query.id_prefix.as_deref().map(digits).transpose()?;
    // Ids that begin alike stand together, below the first that is larger than all of them.
    let beyond = prefix.as_deref().and_then(beyond);
    let after: Option<ModelCallId> = page.after;
    let before = after.into_iter().chain(beyond).min();
    let filter = ModelCallFilter {
        principal: (!sees_all).then_some(asker.caller.principal),
        job: query.job_id,
        before,
        limit: page.limit,
    };
    let found = app.router.books().calls().page(&filter).await?;
    let begins = |id: ModelCallId| prefix.as_ref().is_none_or(|prefix| id.0.simple().to_string().starts_with(prefix));
    let last = found.last_if_more().filter(|last| begins(last.id));
    let next_cursor = last.map(|last| List::ModelCalls.cursor_after(last.id));
    let model_calls = found.rows.into_iter().filter(|call| begins(call.id)).collect();
    Ok(Json(ModelCallPage { model_calls, next_cursor }))
}

/// The hex digits that an id begins with.
fn digits(prefix: &str) -> Result<String> {
    let digits: String = prefix.chars().filter(|&character| character != '-').collect();
    if prefix.len() <= ID_CHARACTERS && digits.len() <= ID_DIGITS && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
    {
        return Ok(digits.to_ascii_lowercase());
    }
    Err(Failure::field("/id_prefix", "is not the beginning of an id: hex digits and dashes.".to_owned()))
}

/// The first id after all that begin so; `None`: there is none.
fn beyond(digits: &str) -> Option<ModelCallId> {
    let last = u128::from_str_radix(&format!("{digits:f<ID_DIGITS$}"), 16).ok()?;
    last.checked_add(1).map(|beyond| ModelCallId(Uuid::from_u128(beyond)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beginning_ends_before_the_next_one() {
        assert_eq!(digits("01A2-3").unwrap(), "01a23");
        let next = beyond("01a2").unwrap().to_string();
        assert_eq!(next, "01a30000-0000-0000-0000-000000000000");
        assert_eq!(beyond("ff"), None);
        assert_eq!(beyond(""), None);
        for wrong in ["01g2", "é", &"0".repeat(33), &"-".repeat(37)] {
            assert!(digits(wrong).is_err(), "{wrong}");
        }
    }
}
