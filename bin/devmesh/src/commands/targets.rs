//! `devmesh targets`: breakers, queues, and keys that are refused.

use crate::{
    context::Context,
    output::{Exit, Result, Table, duration_ms},
};
use protocol::RefusedKey;

#[derive(Debug, clap::Args)]
pub struct Arguments {}

pub async fn run(_: Arguments, context: &Context) -> Result<Exit> {
    let output = &context.output;
    let found = context.client()?.targets().await?;
    if output.json {
        output.json(&found)?;
        return Ok(Exit::Done);
    }
    let mut targets = Table::new(["TARGET", "BREAKER", "CALLS", "FAILED", "RUNNING", "ASKED AGAIN IN"]);
    for target in &found.targets {
        let pause = target.probed_in_ms.max(target.resting_ms);
        targets.row([
            target.target.clone(),
            target.breaker.clone(),
            target.recent_calls.to_string(),
            target.recent_failures.to_string(),
            target.in_flight.to_string(),
            pause.map_or_else(|| "-".into(), duration_ms),
        ]);
    }
    if targets.is_empty() {
        output.say("no target was asked since the backend started");
    } else {
        output.table(targets)?;
        output.line("")?;
    }
    let mut queues = Table::new(["PROVIDER", "RUNNING", "PLACES", "WAITING", "ETA"]);
    for queue in &found.queues {
        queues.row([
            queue.provider.clone(),
            queue.active.to_string(),
            queue.slots.to_string(),
            queue.waiting.to_string(),
            duration_ms(queue.eta_ms),
        ]);
    }
    output.table(queues)?;
    for RefusedKey { provider, key, of, status, for_ms } in &found.refused_keys {
        let since = duration_ms(*for_ms);
        output.line(format!("key {key} of {of} of {provider}: refused with HTTP {status} for {since}"))?;
    }
    Ok(Exit::Done)
}
