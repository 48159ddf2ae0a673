use crate::{
    commands::{
        Ids,
        pages::{Ask, Pages},
    },
    context::Context,
    output::{Exit, Result, Table},
};
use domain::{Clock, SystemClock};
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
        let mut table = Table::new(["ID", "SCOPE", "AGE", "EXPIRES", "NAME"]);
        let now = SystemClock.now();
        let ids = Ids::of(output, listed.rows.iter().map(|token| token.id));
        for token in &listed.rows {
            table.row([
                ids.show(token.id),
                token.scope.to_string(),
                output.when(token.created_at, now),
                token.expires_at.map_or_else(|| "never".to_owned(), |at| at.to_string()),
                token.name.clone(),
            ]);
        }
        output.table(table)?;
    }
    listed.say_where_it_goes_on(output);
    Ok(Exit::Done)
}
