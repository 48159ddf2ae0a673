use crate::{
    commands::each::each,
    context::Context,
    output::{Exit, Result},
};

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Token ids, or their beginnings
    #[arg(required = true)]
    tokens: Vec<String>,
}

pub async fn run(arguments: Arguments, context: &Context) -> Result<Exit> {
    let client = context.client()?;
    each(&context.output, &arguments.tokens, async |text| {
        let token = super::policy::find(&client, text).await?;
        client.delete_token(token).await?;
        context.output.show(&serde_json::json!({"deleted": token}), || token.to_string())
    })
    .await
}
