use crate::{
    context::Context,
    output::{Exit, Failure, Result},
};

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Token ids, or their beginnings
    #[arg(required = true)]
    tokens: Vec<String>,
}

pub async fn run(arguments: Arguments, context: &Context) -> Result<Exit> {
    let client = context.client()?;
    for text in &arguments.tokens {
        let wanted = text.trim().to_ascii_lowercase();
        let tokens = client.tokens().await?.tokens;
        let mut found = tokens.iter().filter(|token| token.id.to_string().starts_with(&wanted));
        let token = match (found.next(), found.next()) {
            (Some(token), None) if !wanted.is_empty() => token,
            (None, _) => {
                return Err(Failure::new(Exit::NotFound, format!("no token's id begins with `{wanted}`"))
                    .next("devmesh token list"));
            }
            _ => {
                return Err(Failure::usage(format!(
                    "`{wanted}` begins the id of more than one token; give more of it"
                ))
                .next("devmesh token list"));
            }
        };
        client.delete_token(token.id).await?;
        context.output.show(&serde_json::json!({"deleted": token.id}), || token.id.to_string())?;
    }
    Ok(Exit::Done)
}
