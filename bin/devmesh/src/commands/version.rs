//! `devmesh version`: of this program and of the backend it finds.

use crate::{
    context::Context,
    output::{Exit, Result},
};
use std::time::Duration;

#[derive(Debug, clap::Args)]
pub struct Arguments {}

/// Nobody waits longer than this to learn a version.
const PATIENCE: Duration = Duration::from_secs(2);

pub async fn run(_: Arguments, context: &Context) -> Result<Exit> {
    let here = env!("CARGO_PKG_VERSION");
    // No backend is no failure here.
    let backend = match context.client() {
        Ok(client) => tokio::time::timeout(PATIENCE, client.version()).await.ok().and_then(std::result::Result::ok),
        Err(_) => None,
    };
    let document = serde_json::json!({"version": here, "backend": backend});
    context.output.show(&document, || {
        let backend = backend.as_ref().map_or_else(
            || format!("no backend answers at {}", context.backend_url()),
            |backend| format!("backend {} at {}, SQLite {}", backend.version, context.backend_url(), backend.sqlite),
        );
        format!("devmesh {here}\n{backend}")
    })?;
    Ok(Exit::Done)
}
