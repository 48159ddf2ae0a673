use crate::{
    commands::{
        Ids,
        pages::{Ask, Pages},
    },
    context::Context,
    output::{Exit, Result, Table, age, duration_ms, money},
};
use domain::{Clock, SystemClock};
use protocol::ListModelCalls;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Only those made for this job: its id, or the beginning of it
    #[arg(long)]
    job: Option<String>,
    #[command(flatten)]
    pages: Pages,
}

pub async fn run(arguments: Arguments, context: &Context) -> Result<Exit> {
    let client = context.client()?;
    let output = &context.output;
    let job_id = match &arguments.job {
        Some(text) => Some(context.job(&client, text).await?.id),
        None => None,
    };
    let read = arguments.pages.read(async |ask: Ask| {
        let list = ListModelCalls { job_id, limit: ask.limit, cursor: ask.cursor, ..ListModelCalls::default() };
        client.model_calls(&list).await.map(|page| (page.model_calls, page.next_cursor))
    });
    let listed = read.await?;
    if output.json {
        output.json(&listed.rows)?;
        listed.say_where_it_goes_on(output);
        return Ok(Exit::Done);
    }
    let now = SystemClock.now();
    let ids = Ids::of(output, listed.rows.iter().map(|call| call.id));
    let mut table = Table::new(["ID", "STATE", "AGE", "TOOK", "TOKENS", "COST", "ROUTE", "ANSWERED BY"]);
    for call in &listed.rows {
        let target = match (&call.provider, &call.model) {
            (Some(provider), Some(model)) => format!("{provider}/{model}"),
            _ => "-".to_owned(),
        };
        table.row([
            ids.show(call.id),
            call.state.as_str().to_owned(),
            age(call.at, now),
            call.total_ms.map_or_else(|| "-".into(), duration_ms),
            call.tokens.map_or_else(|| "-".into(), |tokens| format!("{}+{}", tokens.input, tokens.output)),
            call.cost_microusd.map_or_else(|| "-".into(), money),
            call.route.clone(),
            target,
        ]);
    }
    if table.is_empty() {
        output.say("no model calls");
        output.next("devmesh routes list");
        return Ok(Exit::Done);
    }
    output.table(table)?;
    listed.say_where_it_goes_on(output);
    output.next("devmesh calls show ID");
    Ok(Exit::Done)
}
