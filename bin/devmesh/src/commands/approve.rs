//! `devmesh approve`.

use super::decide::decide;
use crate::{
    context::Context,
    output::{Exit, Result},
};
use protocol::Decision;

#[derive(Debug, clap::Args)]
#[command(after_help = "Lets the tool call go ahead, exactly as it was shown.")]
pub struct Arguments {
    /// Id of the approval or of its job, or the beginning of one
    id: String,
    /// A word for the model
    #[arg(long, short)]
    message: Option<String>,
}

pub async fn run(arguments: Arguments, context: &Context) -> Result<Exit> {
    decide(context, &arguments.id, Decision::Approved, arguments.message).await
}
