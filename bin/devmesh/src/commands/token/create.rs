use crate::{
    context::Context,
    output::{Exit, Result},
};
use domain::Scope;
use protocol::CreateToken;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// What it is for
    name: String,
    /// admin: everything. user: own jobs. viewer: reads. agent: works on jobs
    #[arg(long, default_value = "user")]
    scope: Scope,
}

pub async fn run(arguments: Arguments, context: &Context) -> Result<Exit> {
    let created = context.client()?.create_token(&CreateToken { name: arguments.name, scope: arguments.scope }).await?;
    context.output.show(&created, || created.secret.clone())?;
    context.output.say("this is the only time the secret is shown");
    context.output.next("put it into a file only you can read, and name that file in DEVMESH_TOKEN_FILE");
    Ok(Exit::Done)
}
