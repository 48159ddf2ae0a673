//! `devmesh deny`.

use super::decide::decide;
use crate::{
    context::Context,
    output::{Exit, Result},
};
use protocol::Decision;

#[derive(Debug, clap::Args)]
#[command(after_help = "Refuses the tool call; the job goes on and the model hears why.")]
pub struct Arguments {
    /// Id of the approval or of its job, or the beginning of one
    id: String,
    /// What to do instead, for the model
    #[arg(long, short)]
    message: Option<String>,
}

pub async fn run(arguments: Arguments, context: &Context) -> Result<Exit> {
    decide(context, &arguments.id, Decision::Denied, arguments.message).await
}
