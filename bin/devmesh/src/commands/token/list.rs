use crate::{
    commands::pages::{Ask, Pages},
    context::Context,
    output::{Exit, Result, Table},
};
use protocol::ListAll;

pub async fn run(pages: Pages, context: &Context) -> Result<Exit> {
    let (client, output) = (context.client()?, &context.output);
    let read = pages.read(async |ask: Ask| {
        let list = ListAll { limit: ask.limit, cursor: ask.cursor };
        client.tokens(&list).await.map(|page| (page.tokens, page.next_cursor))
    });
    let listed = read.await?;
    if output.json {
        output.json(&listed.rows)?;
    } else {
        let mut table = Table::new(["ID", "SCOPE", "CREATED", "EXPIRES", "NAME"]);
        for token in &listed.rows {
            table.row([
                token.id.to_string(),
                token.scope.to_string(),
                token.created_at.to_string(),
                token.expires_at.map_or_else(|| "never".to_owned(), |at| at.to_string()),
                token.name.clone(),
            ]);
        }
        output.table(table)?;
    }
    listed.say_where_it_goes_on(output);
    Ok(Exit::Done)
}
