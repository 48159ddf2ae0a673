//! `devmesh version`: of this program and of the backend it finds.

use crate::{
    context::{Access, Context},
    output::{Exit, Result},
};
use client::{Client, Options};
use std::time::Duration;

#[derive(Debug, clap::Args)]
pub struct Arguments {}

/// Nobody waits longer than this to learn a version.
const PATIENCE: Duration = Duration::from_secs(2);

pub async fn run(_: Arguments, context: &Context) -> Result<Exit> {
    let here = env!("CARGO_PKG_VERSION");
    // No backend is no failure here.
    let (backend, place) = match context.access() {
        Ok(Access { url, token }) => {
            let client = Client::new(Options::new(&url, token))?;
            let asked = tokio::time::timeout(PATIENCE, client.version()).await;
            (asked.ok().and_then(std::result::Result::ok), Ok(url))
        }
        Err(failure) => (None, Err(failure.what)),
    };
    let document = serde_json::json!({"version": here, "backend": backend});
    context.output.show(&document, || {
        let backend = match (&backend, &place) {
            (Some(backend), Ok(url)) => format!("backend {} at {url}, SQLite {}", backend.version, backend.sqlite),
            (_, Ok(url)) => format!("no backend answers at {url}"),
            (_, Err(why)) => why.clone(),
        };
        format!("devmesh {here}\n{backend}")
    })?;
    Ok(Exit::Done)
}
