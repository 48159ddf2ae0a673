use crate::{
    auth::Anyone,
    extract::Path,
    problem::{Failure, Result},
};
use axum::response::{IntoResponse, Redirect, Response};
use http::header;
use std::sync::{Arc, LazyLock};
use utoipa_swagger_ui::{Config, serve};

/// Everything comes from this server. Swagger UI sets styles from its script and draws its icons as data URLs.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

static CONFIG: LazyLock<Arc<Config<'static>>> = LazyLock::new(|| {
    // Without "none" the page would ask a validator on the internet about our document.
    Arc::new(Config::from("/api/openapi.json").validator_url("none").display_operation_id(true))
});

/// The documentation
#[utoipa::path(
    get,
    path = "/api/docs",
    operation_id = "redirect_to_docs",
    tag = "server",
    security(("bearer" = ["viewer", "user", "admin", "agent", "model"])),
    responses((status = 308, description = "The page lies under `/api/docs/`.")),
)]
pub async fn redirect(_: Anyone) -> Redirect {
    Redirect::permanent("/api/docs/")
}

/// The documentation, for a browser
///
/// A browser asks for a user name and a password: any name, and a token as the password.
#[utoipa::path(
    get,
    path = "/api/docs/",
    operation_id = "get_docs",
    tag = "server",
    security(("bearer" = ["viewer", "user", "admin", "agent", "model"])),
    responses((status = 200, content_type = "text/html", body = String)),
)]
pub async fn index(_: Anyone) -> Result<Response> {
    part_of_the_page("index.html")
}

/// The parts of the documentation page
#[utoipa::path(
    get,
    path = "/api/docs/{file}",
    operation_id = "get_docs_file",
    tag = "server",
    security(("bearer" = ["viewer", "user", "admin", "agent", "model"])),
    params(("file" = String, Path, description = "A script, a style sheet or an icon.")),
    responses((status = 200, content_type = "application/octet-stream", body = protocol::schema::Bytes)),
)]
pub async fn file(_: Anyone, Path(file): Path<String>) -> Result<Response> {
    part_of_the_page(&file)
}

fn part_of_the_page(name: &str) -> Result<Response> {
    let file = serve(name, CONFIG.clone()).map_err(Failure::internal)?;
    let file = file.ok_or_else(|| Failure::not_found("such part of the documentation"))?;
    let headers = [(header::CONTENT_TYPE, file.content_type), (header::CONTENT_SECURITY_POLICY, POLICY.to_owned())];
    Ok((headers, file.bytes.into_owned()).into_response())
}
