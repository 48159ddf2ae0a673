//! `devmesh egress`: what left this machine for a cloud.

use crate::{
    context::Context,
    output::{Exit, Result, Table, bytes},
};
use protocol::ListEgress;

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Every body that left, by its digest, the oldest first
    List(ListArguments),
    /// Recompute the hash chain of the ledger
    Verify,
}

#[derive(Debug, clap::Args)]
pub struct ListArguments {
    /// Entries after this number
    #[arg(long, value_name = "SEQ")]
    after: Option<u64>,
    /// At most this many, 1 to 1000
    #[arg(long, value_name = "COUNT", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
}

pub async fn run(command: Command, context: &Context) -> Result<Exit> {
    match command {
        Command::List(arguments) => list(arguments, context).await,
        Command::Verify => verify(context).await,
    }
}

async fn list(arguments: ListArguments, context: &Context) -> Result<Exit> {
    let output = &context.output;
    let list = ListEgress { after: arguments.after, limit: Some(arguments.limit) };
    let page = context.client()?.egress(&list).await?;
    if output.json {
        output.json(&page.entries)?;
        return Ok(Exit::Done);
    }
    let mut table = Table::new(["SEQ", "AT", "TARGET", "BYTES", "REDACTED", "BODY SHA-256", "WHY"]);
    for entry in &page.entries {
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
    if let Some(after) = page.next_after {
        output.next(format_args!("devmesh egress list --after {after}"));
    }
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
