//! `devmesh spend`: what model calls used and cost.
//!
//! ```text
//!   calls, the newest first, page by page ──▶ as far back as asked ──▶ a sum for each key, route, model or day
//! ```

use crate::{
    commands::pages::{self, Ask},
    context::Context,
    output::{Exit, Result, Table, money},
};
use client::Client;
use domain::{Clock, PrincipalId, SystemClock};
use protocol::{ListAll, ListModelCalls, MOST_ROWS, ModelCallRecord, ModelCallState};
use serde::Serialize;
use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap},
};

/// More are not read for one command.
const MOST_CALLS: u64 = 100_000;
const DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// Of a time as text: its date.
const DATE: usize = "2027-01-01".len();

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum By {
    Key,
    Route,
    /// Of the target that answered
    Model,
    /// In UTC
    Day,
}

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// What a row is about
    #[arg(long, value_enum, default_value = "key")]
    by: By,
    /// How far back
    #[arg(long, value_name = "DAYS", default_value_t = 30, value_parser = clap::value_parser!(u16).range(1..))]
    days: u16,
}

#[derive(Debug, Default, Serialize)]
struct Sum {
    calls: u64,
    failed: u64,
    input_tokens: u64,
    output_tokens: u64,
    /// Of the calls whose price is known.
    cost_microusd: u64,
    /// Calls whose cost is not in there.
    not_priced: u64,
}

#[derive(Debug, Serialize)]
struct Row {
    name: String,
    #[serde(flatten)]
    sum: Sum,
}

pub async fn run(arguments: Arguments, context: &Context) -> Result<Exit> {
    let (client, output) = (context.client()?, &context.output);
    let since = SystemClock.now().as_millis() - i64::from(arguments.days) * DAY_MS;
    let names = if arguments.by == By::Key { key_names(&client).await } else { HashMap::new() };
    let mut sums: BTreeMap<String, Sum> = BTreeMap::new();
    let (mut read, mut cursor) = (0, None);
    loop {
        let list = ListModelCalls { limit: Some(MOST_ROWS), cursor, ..ListModelCalls::default() };
        let page = client.model_calls(&list).await?;
        let is_new = |call: &&ModelCallRecord| call.at.as_millis() >= since;
        for call in page.model_calls.iter().filter(is_new) {
            sums.entry(name(call, arguments.by, &names)).or_default().add(call);
            read += 1;
        }
        cursor = page.next_cursor;
        if cursor.is_none() || !page.model_calls.last().is_some_and(|last| is_new(&last)) {
            break;
        }
        if read >= MOST_CALLS {
            output.warn(&format!("only the newest {read} calls are in the sums; --days {} has more", arguments.days));
            break;
        }
    }
    let mut rows: Vec<Row> = sums.into_iter().map(|(name, sum)| Row { name, sum }).collect();
    match arguments.by {
        By::Day => rows.reverse(),
        _ => rows.sort_by_key(|row| Reverse((row.sum.cost_microusd, row.sum.calls))),
    }
    if output.json {
        output.json(&rows)?;
        return Ok(Exit::Done);
    }
    if rows.is_empty() {
        output.say(format_args!("no model calls in {} days", arguments.days));
        return Ok(Exit::Done);
    }
    let about = match arguments.by {
        By::Key => "KEY",
        By::Route => "ROUTE",
        By::Model => "MODEL",
        By::Day => "DAY",
    };
    let mut table = Table::new([about, "CALLS", "FAILED", "TOKENS IN", "TOKENS OUT", "COST", "NOT PRICED"]);
    for Row { name, sum } in &rows {
        table.row([
            name.clone(),
            sum.calls.to_string(),
            sum.failed.to_string(),
            sum.input_tokens.to_string(),
            sum.output_tokens.to_string(),
            money(sum.cost_microusd),
            sum.not_priced.to_string(),
        ]);
    }
    output.table(table)?;
    Ok(Exit::Done)
}

impl Sum {
    fn add(&mut self, call: &ModelCallRecord) {
        self.calls += 1;
        self.failed += u64::from(call.state == ModelCallState::Failed);
        let tokens = call.tokens.map_or((0, 0), |tokens| (tokens.input, tokens.output));
        self.input_tokens = self.input_tokens.saturating_add(tokens.0);
        self.output_tokens = self.output_tokens.saturating_add(tokens.1);
        self.cost_microusd = self.cost_microusd.saturating_add(call.cost_microusd.unwrap_or_default());
        self.not_priced += u64::from(call.cost_microusd.is_none());
    }
}

fn name(call: &ModelCallRecord, by: By, names: &HashMap<PrincipalId, String>) -> String {
    match by {
        By::Key => names.get(&call.caller).cloned().unwrap_or_else(|| call.caller.to_string()),
        By::Route => call.route.clone(),
        By::Model => match (&call.provider, &call.model) {
            (Some(provider), Some(model)) => format!("{provider}/{model}"),
            _ => "nobody answered".to_owned(),
        },
        By::Day => call.at.to_string().chars().take(DATE).collect(),
    }
}

/// Who may not list tokens sees ids; so does whoever asks about a token that is gone.
async fn key_names(client: &Client) -> HashMap<PrincipalId, String> {
    let all = pages::every(
        |_| true,
        async |ask: Ask| {
            let list = ListAll { limit: ask.limit, cursor: ask.cursor };
            client.tokens(&list).await.map(|page| (page.tokens, page.next_cursor))
        },
    );
    let tokens = all.await.unwrap_or_default();
    tokens.into_iter().map(|token| (token.principal, format!("{} ({})", token.name, token.id))).collect()
}
