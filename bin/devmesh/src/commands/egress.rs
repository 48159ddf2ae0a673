//! `devmesh egress`: what left this machine for a cloud.

use crate::{
    commands::pages::{Ask, Pages},
    context::Context,
    output::{Exit, Result, Table, bytes},
};
use protocol::ListAll;

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Every body that left, by its digest, the oldest first
    List(Pages),
    /// Recompute the hash chain of the ledger
    Verify,
}

pub async fn run(command: Command, context: &Context) -> Result<Exit> {
    match command {
        Command::List(pages) => list(pages, context).await,
        Command::Verify => verify(context).await,
    }
}

async fn list(pages: Pages, context: &Context) -> Result<Exit> {
    let (client, output) = (context.client()?, &context.output);
    let read = pages.read(async |ask: Ask| {
        let list = ListAll { limit: ask.limit, cursor: ask.cursor };
        client.egress(&list).await.map(|page| (page.entries, page.next_cursor))
    });
    let listed = read.await?;
    if output.json {
        output.json(&listed.rows)?;
        listed.say_where_it_goes_on(output);
        return Ok(Exit::Done);
    }
    let mut table = Table::new(["SEQ", "AT", "TARGET", "BYTES", "REDACTED", "BODY SHA-256", "WHY"]);
    for entry in &listed.rows {
        table.row([
            entry.seq.to_string(),
            entry.at.to_string(),
            format!("{}/{}", entry.provider, entry.model),
            bytes(entry.body_bytes),
            entry.redactions.to_string(),
            entry.body_sha256.clone(),
            entry.reason.clone(),
        ]);
    }
    if table.is_empty() {
        output.say("nothing left this machine");
        return Ok(Exit::Done);
    }
    output.table(table)?;
    listed.say_where_it_goes_on(output);
    Ok(Exit::Done)
}

async fn verify(context: &Context) -> Result<Exit> {
    let output = &context.output;
    let found = context.client()?.verify_egress().await?;
    output.show(&found, || match (found.intact, found.broken_at) {
        (true, _) => format!("intact: {} entries", found.entries),
        (false, at) => format!(
            "broken{}: {}",
            at.map_or_else(String::new, |at| format!(" at {at}")),
            found.why.as_deref().unwrap_or("the chain does not hold")
        ),
    })?;
    Ok(if found.intact { Exit::Done } else { Exit::Failed })
}
