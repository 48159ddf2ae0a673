use crate::{
    app::App,
    auth::Admin,
    extract::Query,
    problem::{Failure, Result},
};
use axum::{Json, extract::State};
use domain::ErrorCode;
use protocol::{CheckContent, ContentCheck, LostContent};
use std::sync::Arc;
use store::{ContentPlace, Thoroughness};

/// Look for content that is missing or damaged
///
/// Goes through what artifacts name, a stretch at a time: pass `next_cursor` on as `cursor` until there is none.
#[utoipa::path(
    get,
    path = "/api/v1/content/check",
    operation_id = "check_content",
    tag = "administration",
    security(("bearer" = ["admin"])),
    params(CheckContent),
    responses((status = 200, body = ContentCheck)),
)]
pub async fn check(
    State(app): State<Arc<App>>,
    Admin(_): Admin,
    Query(query): Query<CheckContent>,
) -> Result<Json<ContentCheck>> {
    let after = query.cursor.as_deref().map(place).transpose()?;
    let how = if query.deep { Thoroughness::Read } else { Thoroughness::Glance };
    let checked = app.store.check_content(after, how).await?;
    let lost = checked.lost.into_iter().map(|(row, condition)| LostContent {
        job_id: row.job_id,
        artifact: row.name,
        bytes: row.bytes,
        sha256: row.sha256,
        condition: condition.to_string(),
    });
    let next_cursor = checked.next.map(|next| format!("{}.{}.{}", next.sha256, next.job_id, next.name));
    Ok(Json(ContentCheck { artifacts: checked.artifacts, lost: lost.collect(), next_cursor }))
}

fn place(cursor: &str) -> Result<ContentPlace> {
    let mut parts = cursor.splitn(3, '.');
    let place = (|| {
        let (sha256, job_id, name) = (parts.next()?, parts.next()?, parts.next()?);
        Some(ContentPlace { sha256: sha256.to_owned(), job_id: job_id.parse().ok()?, name: name.to_owned() })
    })();
    place.ok_or_else(|| {
        Failure::new(ErrorCode::InvalidCursor, "A cursor is what `next_cursor` of an earlier page said, unchanged.")
    })
}
