use crate::{app::App, auth::Viewer, extract::Query, problem::Result};
use axum::{Json, extract::State};
use protocol::{JobPage, ListJobs};
use std::sync::Arc;

/// List jobs, newest first
///
/// A `user` token sees its own jobs, `viewer` and `admin` see all.
#[utoipa::path(
    get,
    path = "/api/v1/jobs",
    operation_id = "list_jobs",
    tag = "jobs",
    security(("bearer" = ["viewer", "user", "admin"])),
    params(ListJobs),
    responses((status = 200, body = JobPage)),
)]
pub async fn list(
    State(app): State<Arc<App>>,
    Viewer(asker): Viewer,
    Query(query): Query<ListJobs>,
) -> Result<Json<JobPage>> {
    Ok(Json(app.jobs.list(&asker.caller, query).await?))
}
