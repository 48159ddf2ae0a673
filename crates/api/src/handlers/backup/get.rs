use crate::{app::App, auth::Admin, backup, problem::Result};
use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::header;
use std::sync::Arc;

/// Read a backup
///
/// A tar archive of the database and the artifacts, consistent as of the moment it began. An archive that was cut is
/// refused when it is restored.
#[utoipa::path(
    get,
    path = "/api/v1/backup",
    operation_id = "get_backup",
    tag = "administration",
    security(("bearer" = ["admin"])),
    responses((status = 200, description = "The archive.", content_type = "application/octet-stream", body = protocol::schema::Bytes)),
)]
pub async fn get(State(app): State<Arc<App>>, Admin(asker): Admin) -> Result<Response> {
    let archive = backup::stream(&app, &asker).await?;
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"devmesh-backup.tar\""),
    ];
    Ok((headers, archive).into_response())
}
