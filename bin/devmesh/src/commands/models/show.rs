use super::{exam::first, profile};
use crate::{
    context::Context,
    output::{Exit, Result},
};
use protocol::Egress;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Which one: provider/model, or a route, whose first model is meant
    model: String,
    /// A model in the cloud too, whose provider gets to see its key
    #[arg(long)]
    allow_cloud: bool,
}

pub async fn run(arguments: Arguments, context: &Context) -> Result<Exit> {
    let output = context.output;
    let client = context.client()?;
    let egress = if arguments.allow_cloud { Egress::Allowed } else { Egress::LocalOnly };
    let model = first(&client, &arguments.model, egress).await?;
    let found = profile::found(&client, &model.id, egress).await;
    if output.json {
        output.json(&serde_json::json!({"model": model, "profile": found}))?;
        return Ok(Exit::Done);
    }
    match found {
        Some(found) => output.table(profile::table(&found))?,
        None => output.say("nothing is known of how to work with it; agents go by its size"),
    }
    output.next(format_args!("devmesh models test {}", model.id));
    Ok(Exit::Done)
}
