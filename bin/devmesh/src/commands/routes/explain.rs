use crate::{
    context::Context,
    output::{Exit, Failure, Result, Table, duration_ms, money},
};
use protocol::{ExplainRoute, Location, RouteWork};

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// A route, a model's name, or provider/model
    name: String,
    /// As a call for vectors
    #[arg(long)]
    embed: bool,
    /// As a call with tools
    #[arg(long)]
    tools: bool,
    /// As a call with a schema for the answer
    #[arg(long)]
    schema: bool,
    /// As a call with images
    #[arg(long)]
    images: bool,
    /// As a call with a prompt of so many bytes; four make about one token
    #[arg(long, value_name = "BYTES", default_value_t = 0)]
    prompt_bytes: u64,
}

pub async fn run(arguments: Arguments, context: &Context) -> Result<Exit> {
    let output = &context.output;
    let explain = ExplainRoute {
        work: if arguments.embed { RouteWork::Embed } else { RouteWork::Chat },
        tools: arguments.tools,
        schema: arguments.schema,
        images: arguments.images,
        prompt_bytes: arguments.prompt_bytes,
        ..ExplainRoute::default()
    };
    let explained = context.client()?.explain_route(&arguments.name, &explain).await;
    let explained = explained.map_err(|error| Failure::from(error).listed_by("devmesh routes list"))?;
    if output.json {
        output.json(&explained)?;
        return Ok(Exit::Done);
    }
    output.say(format_args!("{}; egress {}", explained.rule, super::egress(explained.egress)));
    let mut table = Table::new(["TARGET", "WHERE", "LOADED", "BREAKER", "WAITING", "ETA", "AT MOST", "WHY"]);
    for target in &explained.targets {
        table.row([
            target.target.clone(),
            if target.location == Location::Local { "local".into() } else { "cloud".into() },
            target.loaded.map_or("-", |loaded| if loaded { "yes" } else { "no" }).to_owned(),
            target.breaker.clone(),
            target.queue_waiting.to_string(),
            duration_ms(target.queue_eta_ms),
            target.cost_at_most_microusd.map_or_else(|| "-".into(), money),
            target.kept_out.clone().unwrap_or_else(|| target.why.clone()),
        ]);
    }
    if table.is_empty() {
        output.say("no target can take such a call now");
    } else {
        output.table(table)?;
    }
    if !explained.candidates.is_empty() {
        output.line("")?;
        output.table(super::candidates(&explained.candidates))?;
    }
    Ok(Exit::Done)
}
