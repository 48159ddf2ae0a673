use crate::auth::Viewer;
use axum::Json;
use protocol::Version;

/// Which build is this?
#[utoipa::path(
    get,
    path = "/version",
    operation_id = "get_version",
    tag = "server",
    security(("bearer" = ["viewer", "user", "admin"])),
    responses((status = 200, body = Version)),
)]
pub async fn version(Viewer(_): Viewer) -> Json<Version> {
    Json(Version {
        name: "devmesh".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        sqlite: store::sqlite_version().into(),
    })
}
