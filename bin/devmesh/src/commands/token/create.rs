use super::policy::Limits;
use crate::{
    context::Context,
    output::{Exit, Result},
};
use domain::Scope;
use protocol::{CreateToken, KeyPolicy};

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// What it is for
    #[arg(required_unless_present = "named", conflicts_with = "named")]
    name: Option<String>,
    /// The same as an option
    #[arg(long = "name", id = "named", value_name = "NAME")]
    named: Option<String>,
    /// admin: everything. user: own jobs. viewer: reads. agent: works on jobs. model: calls models
    #[arg(long, default_value = "user")]
    scope: Scope,
    #[command(flatten)]
    limits: Limits,
}

pub async fn run(arguments: Arguments, context: &Context) -> Result<Exit> {
    let client = context.client()?;
    let name = arguments.name.or(arguments.named).unwrap_or_default();
    let policy = arguments.limits.over(&KeyPolicy::default())?;
    arguments.limits.warn_of_unknown_routes(&client, &context.output).await?;
    let created = client.create_token(&CreateToken { name, scope: arguments.scope, policy }).await?;
    context.output.show(&created, || created.secret.clone())?;
    context.output.say("this is the only time the secret is shown");
    context.output.next("put it into a file only you can read, and name that file in DEVMESH_TOKEN_FILE");
    Ok(Exit::Done)
}
