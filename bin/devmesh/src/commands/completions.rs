//! `devmesh completions`: for your shell.

use crate::output::{Exit, Result};
use std::io::Write;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    shell: clap_complete::Shell,
}

pub fn run(arguments: &Arguments, command: &mut clap::Command) -> Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, command, "devmesh", &mut script);
    std::io::stdout().lock().write_all(&script)?;
    Ok(Exit::Done)
}
