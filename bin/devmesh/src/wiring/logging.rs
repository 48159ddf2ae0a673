//! The log of commands that run for long, on stderr.

use crate::{
    config::Settings,
    output::{Failure, Result},
};
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// `at_most` lowers the default for commands whose stderr is meant for people; what was configured always holds.
pub fn start(settings: &Settings, quieter: Option<&str>) -> Result<()> {
    let wanted = settings.log.filter.as_str();
    let text = quieter.filter(|_| wanted == "info").unwrap_or(wanted);
    let filter = EnvFilter::try_new(text).map_err(|error| {
        Failure::usage(format!("log.filter `{text}`: {error}")).next("devmesh config explain log.filter")
    })?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    // A second start in one process would be a bug of ours and costs nothing but the second set-up.
    let _ = if settings.log.json { builder.json().try_init() } else { builder.try_init() };
    Ok(())
}
