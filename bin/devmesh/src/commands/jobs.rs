//! `devmesh jobs`.

mod cancel;
mod list;
mod remove;
mod retry;
mod show;

use crate::{
    context::Context,
    output::{Exit, Result},
};

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// The newest jobs first
    List(list::Arguments),
    /// All there is to know about a job
    Show(show::Arguments),
    /// End jobs; running ones stop their tool and model call
    Cancel(cancel::Arguments),
    /// Make a new job with the same specification
    Retry(retry::Arguments),
    /// Delete jobs that have ended, with their logs and files
    Rm(remove::Arguments),
}

pub async fn run(command: Command, context: &Context) -> Result<Exit> {
    match command {
        Command::List(arguments) => list::run(arguments, context).await,
        Command::Show(arguments) => show::run(arguments, context).await,
        Command::Cancel(arguments) => cancel::run(arguments, context).await,
        Command::Retry(arguments) => retry::run(arguments, context).await,
        Command::Rm(arguments) => remove::run(arguments, context).await,
    }
}
