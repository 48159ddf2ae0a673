//! `devmesh config`.

mod explain;
mod path;
mod show;

use crate::{
    context::Context,
    output::{Exit, Result},
};

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// What a key means, its value, and every place that set it; without a key, all keys there are
    Explain(explain::Arguments),
    /// Every value in force and where it comes from
    Show,
    /// The files that are read, in order
    Path,
}

pub fn run(command: Command, context: &Context) -> Result<Exit> {
    match command {
        Command::Explain(arguments) => explain::run(&arguments, context),
        Command::Show => show::run(context),
        Command::Path => path::run(context),
    }
}
