use crate::{
    app::App,
    audit,
    auth::Admin,
    backup,
    problem::{Failure, Result},
};
use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use domain::ErrorCode;
use http::{Method, header};
use std::sync::Arc;

/// Read a backup
///
/// A tar archive of the database and the artifacts, consistent as of the moment it began. Its `manifest.json`, the last entry,
/// lists content that was missing or damaged. An archive that was cut is refused when it is restored.
#[utoipa::path(
    get,
    path = "/api/v1/backup",
    operation_id = "get_backup",
    tag = "administration",
    security(("bearer" = ["admin"])),
    responses((status = 200, description = "The archive.", content_type = "application/octet-stream", body = protocol::schema::Bytes)),
)]
pub async fn get(State(app): State<Arc<App>>, Admin(asker): Admin, method: Method) -> Result<Response> {
    // The router takes HEAD for a GET without its body; this would copy the database for nothing.
    if method != Method::GET {
        let detail = format!("{method} is not available here: a backup is made as it is read. Use GET.");
        let refused = Failure::new(ErrorCode::MethodNotAllowed, detail);
        return Ok(([(header::ALLOW, "GET")], refused).into_response());
    }
    audit::record(&app, &asker, "backup.read", "everything").await?;
    let archive = backup::stream(&app, &asker).await?;
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"devmesh-backup.tar\""),
    ];
    Ok((headers, archive).into_response())
}
