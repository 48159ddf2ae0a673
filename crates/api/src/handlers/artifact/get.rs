use crate::{
    app::App,
    auth::Reader,
    download,
    extract::Path,
    problem::{Failure, Result},
};
use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use domain::JobId;
use headers::ETag;
use http::{HeaderMap, Method, header};
use std::sync::Arc;

/// Read an artifact's bytes
///
/// `ETag` is the SHA-256 of the content, with which what is sent is compared: of content that was damaged since, the answer is
/// cut off before its end, or is `content_lost`. It is always a download: a page a job wrote must not run as a page of this server.
/// One `Range` is answered with that part, so that a download which broke off goes on; with `If-Range` only while the content
/// is the same. Its last bytes come after all of the content was read and compared: small parts are not cheaper than the whole.
#[utoipa::path(
    get,
    path = "/api/v1/jobs/{id}/artifacts/{name}",
    operation_id = "get_artifact",
    tag = "artifacts",
    security(("bearer" = ["viewer", "user", "admin", "agent"])),
    params(
        ("id" = uuid::Uuid, Path, description = "The job."),
        ("name" = String, Path, description = "The artifact's name."),
        ("Range" = Option<String>, Header, description = "One range of bytes; several are answered with the whole.", example = "bytes=1024-"),
        ("If-Range" = Option<String>, Header, description = "The `ETag` that the range is of: of other content all of it comes."),
        ("If-None-Match" = Option<String>, Header, description = "The `ETag` of what the client has."),
    ),
    responses(
        (
            status = 200,
            description = "The content, as the media type it was stored with.",
            content_type = "application/octet-stream",
            body = protocol::schema::Bytes,
            headers(("etag" = String, description = "The SHA-256 of the content, in quotes."), ("accept-ranges" = String, description = "`bytes`.")),
        ),
        (
            status = 206,
            description = "The part that `Range` asks for.",
            content_type = "application/octet-stream",
            body = protocol::schema::Bytes,
            headers(("etag" = String, description = "As of the whole."), ("content-range" = String, description = "Which part, of how many bytes.")),
        ),
        (status = 304, description = "`If-None-Match` names this content.", headers(("etag" = String, description = "As before."))),
    ),
)]
pub async fn get(
    State(app): State<Arc<App>>,
    Reader(asker): Reader,
    Path((id, name)): Path<(JobId, String)>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response> {
    let (artifact, contents) = app.jobs.artifact(&asker.caller, id, &name).await?;
    let etag: ETag = format!("\"{}\"", artifact.sha256).parse().map_err(Failure::internal)?;
    let content = download::answer(&method, &headers, contents, artifact.bytes, &etag).await?;
    let described = [
        (header::CONTENT_TYPE, artifact.media_type),
        // Names are letters, digits, dots, dashes and underscores, so nothing needs quoting.
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{}\"", artifact.name)),
    ];
    Ok((described, content).into_response())
}
