use crate::{
    context::Context,
    output::{Exit, Result, Table},
};

pub async fn run(context: &Context) -> Result<Exit> {
    let tokens = context.client()?.tokens().await?.tokens;
    if context.output.json {
        context.output.json(&tokens)?;
        return Ok(Exit::Done);
    }
    let mut table = Table::new(["ID", "SCOPE", "CREATED", "NAME"]);
    for token in &tokens {
        table.row([token.id.to_string(), token.scope.to_string(), token.created_at.to_string(), token.name.clone()]);
    }
    context.output.table(table)?;
    Ok(Exit::Done)
}
