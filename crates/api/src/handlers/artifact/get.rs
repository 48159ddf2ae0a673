use crate::{app::App, auth::Reader, extract::Path, problem::Result};
use axum::{
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
};
use domain::JobId;
use http::header;
use std::sync::Arc;

/// Read an artifact's bytes
///
/// `ETag` is the SHA-256 of the content, with which what is sent is compared: of content that was damaged since, the answer is
/// cut off before its end, or is `content_lost`. It is always a download: a page a job wrote must not run as a page of this server.
#[utoipa::path(
    get,
    path = "/api/v1/jobs/{id}/artifacts/{name}",
    operation_id = "get_artifact",
    tag = "artifacts",
    security(("bearer" = ["viewer", "user", "admin", "agent"])),
    params(("id" = uuid::Uuid, Path, description = "The job."), ("name" = String, Path, description = "The artifact's name.")),
    responses((status = 200, description = "The content, as the media type it was stored with.", content_type = "application/octet-stream", body = Vec<u8>)),
)]
pub async fn get(
    State(app): State<Arc<App>>,
    Reader(asker): Reader,
    Path((id, name)): Path<(JobId, String)>,
) -> Result<Response> {
    let (artifact, contents) = app.jobs.artifact(&asker.caller, id, &name).await?;
    let headers = [
        (header::CONTENT_TYPE, artifact.media_type),
        (header::CONTENT_LENGTH, artifact.bytes.to_string()),
        (header::ETAG, format!("\"{}\"", artifact.sha256)),
        // Names are letters, digits, dots, dashes and underscores, so nothing needs quoting.
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{}\"", artifact.name)),
    ];
    Ok((headers, Body::from_stream(contents)).into_response())
}
