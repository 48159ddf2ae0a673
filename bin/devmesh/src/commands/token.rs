//! `devmesh token`.

mod create;
mod list;
mod path;
mod policy;
mod remove;
mod reset;

use crate::{
    commands::pages::Pages,
    context::Context,
    output::{Exit, Result},
};

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Make a token; its secret is printed this once
    Create(Box<create::Arguments>),
    /// Tokens without their secrets, the oldest first
    List(Pages),
    /// What a token may do with models and what it used; with options, change that
    Policy(Box<policy::Arguments>),
    /// Delete tokens; what uses them is shut out at once
    #[command(visible_alias = "delete")]
    Rm(remove::Arguments),
    /// The file with the first admin token of this data folder
    Path,
    /// Make a new first admin token for a data folder whose mesh is stopped, in place of the one before
    Reset,
}

pub async fn run(command: Command, context: &Context) -> Result<Exit> {
    match command {
        Command::Create(arguments) => create::run(*arguments, context).await,
        Command::List(pages) => list::run(pages, context).await,
        Command::Policy(arguments) => policy::run(*arguments, context).await,
        Command::Rm(arguments) => remove::run(arguments, context).await,
        Command::Path => path::run(context),
        Command::Reset => reset::run(context).await,
    }
}
