//! `devmesh models`.

mod add;
mod exam;
mod facts;
mod list;
mod profile;
pub(super) mod pull;
mod remove;
mod show;

use crate::{
    context::Context,
    output::{Exit, Result},
};

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// The models that can answer, and what to know about each
    List(list::Arguments),
    /// Examine a model: how it calls tools, edits files and can be left to itself
    Test(exam::Arguments),
    /// Fetch a model into this machine's cache
    Pull(pull::Arguments),
    /// Offer a GGUF file as a model
    Add(add::Arguments),
    /// Everything known of one model, and how agents work with it
    Show(show::Arguments),
    /// Take back an added file, or delete a fetched one from the cache
    #[command(alias = "rm")]
    Remove(remove::Arguments),
}

pub async fn run(command: Command, context: &Context) -> Result<Exit> {
    match command {
        Command::List(arguments) => list::run(&arguments, context).await,
        Command::Test(arguments) => exam::run(arguments, context).await,
        Command::Pull(arguments) => pull::run(arguments, context).await,
        Command::Add(arguments) => add::run(arguments, context).await,
        Command::Show(arguments) => show::run(arguments, context).await,
        Command::Remove(arguments) => remove::run(arguments, context),
    }
}
