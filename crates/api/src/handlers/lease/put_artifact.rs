use crate::{
    app::App,
    auth::Agent,
    extract::{self, Path, Query},
    problem::Result,
    upload,
};
use axum::{
    Json,
    extract::{Request, State},
};
use domain::{Epoch, JobId};
use http::header;
use protocol::Artifact;
use std::sync::Arc;

#[derive(serde::Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PutArtifact {
    /// That of the lease.
    #[param(value_type = protocol::schema::Epoch)]
    pub epoch: Epoch,
    pub attempt: u32,
}

/// Store a file the job produced
///
/// The same name again replaces it.
#[utoipa::path(
    put,
    path = "/api/v1/leases/{job_id}/artifacts/{name}",
    operation_id = "put_artifact",
    tag = "leases",
    security(("bearer" = ["agent"])),
    params(
        ("job_id" = uuid::Uuid, Path, description = "The leased job."),
        ("name" = String, Path, pattern = "^[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}$", description = "1 to 128 of `A-Z a-z 0-9 . _ -`, not beginning with a dot."),
        PutArtifact,
    ),
    request_body(content = protocol::schema::Bytes, content_type = "application/octet-stream", description = "The content. Its media type is kept with it."),
    responses((status = 200, body = Artifact)),
)]
pub async fn put_artifact(
    State(app): State<Arc<App>>,
    Agent(asker): Agent,
    Path((job, name)): Path<(JobId, String)>,
    Query(query): Query<PutArtifact>,
    request: Request,
) -> Result<Json<Artifact>> {
    let (pause, limit) = (app.options.limits.upload_pause, app.options.limits.artifact_bytes);
    extract::check_length(request.headers(), limit)?;
    let media_type = request.headers().get(header::CONTENT_TYPE).map(|value| String::from_utf8_lossy(value.as_bytes()));
    let media_type = media_type.map_or_else(|| "application/octet-stream".into(), std::borrow::Cow::into_owned);
    let content = upload::steady(request.into_body(), pause, limit);
    let fence = (query.epoch, query.attempt);
    let stored = app.jobs.put_artifact(&asker.caller, job, fence, &name, &media_type, content).await;
    Ok(Json(stored.map_err(|error| upload::failure(error, pause, limit))?))
}
