//! `devmesh audit`: who did what.

use crate::{
    commands::{
        Ids,
        pages::{self, Ask, Pages},
    },
    context::Context,
    output::{BAD, Exit, Failure, GOOD, Result, Table, one_line, styled},
};
use client::Client;
use domain::{Clock, PrincipalId, SystemClock};
use protocol::{ListAll, ListAudit, Token};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Every entry carries the hash of the one before it; a changed, dropped or reordered entry breaks the chain. \
                  Keep the last hash that --verify shows elsewhere: it tells later whether the trail was cut short."
)]
pub struct Arguments {
    /// Only this action, such as token.create
    #[arg(long)]
    action: Option<String>,
    /// Only what this principal did; of one that has a token, the beginning of the id will do
    #[arg(long, value_name = "ID")]
    principal: Option<String>,
    /// Only what was done to this, such as a job's id or token:ID
    #[arg(long)]
    object: Option<String>,
    #[command(flatten)]
    pages: Pages,
    /// Recompute the hash chain of the whole trail instead
    #[arg(long, conflicts_with_all = ["action", "principal", "object", "limit", "cursor"])]
    verify: bool,
}

/// Characters of an object in a cell.
const OBJECT_WIDTH: usize = 100;

pub async fn run(arguments: Arguments, context: &Context) -> Result<Exit> {
    if arguments.verify {
        return verify(context).await;
    }
    let (client, output) = (context.client()?, &context.output);
    let Arguments { action, principal, object, pages, .. } = arguments;
    let principal = match principal {
        Some(text) => Some(find(&client, &text).await?),
        None => None,
    };
    let read = pages.read(async |ask: Ask| {
        let list = ListAudit {
            action: action.clone(),
            principal,
            object: object.clone(),
            limit: ask.limit,
            cursor: ask.cursor,
        };
        client.audit(&list).await.map(|page| (page.entries, page.next_cursor))
    });
    let listed = read.await?;
    if output.json {
        output.json(&listed.rows)?;
        listed.say_where_it_goes_on(output);
        return Ok(Exit::Done);
    }
    let mut table = Table::new(["SEQ", "AGE", "PRINCIPAL", "ACTION", "OBJECT"]);
    let now = SystemClock.now();
    let ids = Ids::of(output, listed.rows.iter().map(|entry| entry.principal));
    for entry in &listed.rows {
        table.row([
            entry.seq.to_string(),
            output.when(entry.at, now),
            ids.show(entry.principal),
            entry.action.clone(),
            one_line(&entry.object, OBJECT_WIDTH),
        ]);
    }
    if table.is_empty() {
        output.say("no such entries");
        return Ok(Exit::Done);
    }
    output.table(table)?;
    listed.say_where_it_goes_on(output);
    output.next("devmesh audit --verify");
    Ok(Exit::Done)
}

/// The principal whose id is `text`, or of all that have tokens the only one whose id begins with it.
async fn find(client: &Client, text: &str) -> Result<PrincipalId> {
    let wanted = text.trim().to_ascii_lowercase();
    if let Ok(id) = wanted.parse() {
        return Ok(id);
    }
    let read = pages::every(
        |token: &Token| token.principal.to_string().starts_with(&wanted),
        async |ask: Ask| {
            let list = ListAll { limit: ask.limit, cursor: ask.cursor };
            client.tokens(&list).await.map(|page| (page.tokens, page.next_cursor))
        },
    );
    let mut found: Vec<_> = read.await?.into_iter().map(|token| token.principal).collect();
    found.sort_unstable();
    found.dedup();
    match found[..] {
        [principal] if !wanted.is_empty() => Ok(principal),
        [] => {
            Err(Failure::new(Exit::NotFound, format!("no principal with a token has an id that begins with `{text}`"))
                .next("devmesh audit --json, which has whole ids"))
        }
        _ => Err(Failure::usage(format!("`{text}` begins the id of more than one principal; give more of it"))
            .next("devmesh audit --json, which has whole ids")),
    }
}

async fn verify(context: &Context) -> Result<Exit> {
    let output = &context.output;
    let found = context.client()?.verify_audit().await?;
    output.show(&found, || match found.broken_at {
        None => {
            let entries = format!("{} entries up to {}, last hash {}", found.entries, found.head_seq, found.head_hash);
            match found.removed_through {
                0 => format!("{} {entries}", styled(GOOD, "intact:")),
                seq => format!("{} {entries}; retention removed those up to {seq}", styled(GOOD, "intact:")),
            }
        }
        Some(seq) => {
            let why = found.why.as_deref().unwrap_or("the chain does not hold");
            format!("{} at entry {seq}: {why}", styled(BAD, "broken"))
        }
    })?;
    if !found.intact {
        output.next("stop the backend, keep a copy of the data folder, and devmesh restore a backup into a new one");
        return Ok(Exit::Failed);
    }
    Ok(Exit::Done)
}
