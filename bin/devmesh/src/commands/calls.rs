//! `devmesh calls`: what models were asked, by whom, and why it went where it went.

mod list;
mod show;

use crate::{
    context::Context,
    output::{Exit, Result},
};

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Model calls, the newest first
    List(list::Arguments),
    /// One call: who answered and why, every try, tokens and cost
    Show(show::Arguments),
}

pub async fn run(command: Command, context: &Context) -> Result<Exit> {
    match command {
        Command::List(arguments) => list::run(arguments, context).await,
        Command::Show(arguments) => show::run(arguments, context).await,
    }
}
