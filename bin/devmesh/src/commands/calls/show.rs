use crate::{
    context::Context,
    output::{Exit, Failure, Result, Table, duration_ms, money, one_line},
};
use client::Client;
use domain::ModelCallId;
use protocol::{ListModelCalls, ModelCallRecord};

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Id of the call, or the beginning of one, as `x-devmesh-request-id` and `devmesh calls list` tell it
    call: String,
}

pub async fn run(arguments: Arguments, context: &Context) -> Result<Exit> {
    let output = &context.output;
    let call = find(&context.client()?, &arguments.call).await?;
    if output.json {
        output.json(&call)?;
        return Ok(Exit::Done);
    }
    output.table(facts(&call))?;
    let mut tries = Table::new(["TRY", "OUTCOME", "TOOK", "ERROR"]);
    for attempt in &call.attempts {
        tries.row([
            format!("{}/{}", attempt.provider, attempt.model),
            attempt.outcome.as_str().to_owned(),
            duration_ms(attempt.ms),
            attempt.error.clone().unwrap_or_default(),
        ]);
    }
    if !tries.is_empty() {
        output.line("")?;
        output.table(tries)?;
    }
    if !call.candidates.is_empty() {
        output.line("")?;
        output.table(super::super::routes::candidates(&call.candidates))?;
    }
    Ok(Exit::Done)
}

/// The call whose id is, or uniquely begins with, `text`.
async fn find(client: &Client, text: &str) -> Result<ModelCallRecord> {
    const LIST: &str = "devmesh calls list";
    let text = text.trim().to_ascii_lowercase();
    if let Ok(id) = text.parse::<ModelCallId>() {
        let found = client.model_call_record(id).await;
        return found.map_err(|error| Failure::from(error).listed_by(LIST));
    }
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-') {
        return Err(Failure::usage(format!("`{text}` is no id of a call: ids are hex digits and dashes")).next(LIST));
    }
    let list = ListModelCalls { id_prefix: Some(text.clone()), limit: Some(2), ..ListModelCalls::default() };
    let mut found = client.model_calls(&list).await?.model_calls.into_iter();
    match (found.next(), found.next()) {
        (Some(call), None) => Ok(call),
        (None, _) => Err(Failure::new(Exit::NotFound, format!("no call's id begins with `{text}`")).next(LIST)),
        (Some(one), Some(other)) => Err(Failure::usage(format!(
            "`{text}` begins the id of more than one call, such as {} and {}; give more of it",
            one.id, other.id
        ))),
    }
}

fn facts(call: &ModelCallRecord) -> Table {
    let mut table = Table::new(["", ""]);
    let mut fact = |name: &str, value: String| table.row([name.to_owned(), value]);
    fact("id", call.id.to_string());
    fact("state", call.state.as_str().to_owned());
    fact("route", call.route.clone());
    if let (Some(provider), Some(model)) = (&call.provider, &call.model) {
        fact("answered by", format!("{provider}/{model}"));
    }
    if let Some(digest) = &call.digest {
        fact("digest", digest.clone());
    }
    if !call.rule.is_empty() {
        fact("why", one_line(&call.rule, 400));
    }
    if let Some(error) = &call.error {
        fact("error", one_line(error, 400));
    }
    if let Some(quality) = &call.quality {
        fact("quality", one_line(quality, 400));
    }
    fact("at", call.at.to_string());
    if let Some(job) = call.job {
        fact("job", job.to_string());
    }
    fact("egress", super::super::routes::egress(call.egress).to_owned());
    fact("fallbacks", call.fallbacks.to_string());
    let tokens = call.tokens.map(|tokens| format!("{} in, {} out", tokens.input, tokens.output));
    fact("tokens", tokens.unwrap_or_else(|| "not known".into()));
    fact("cost", call.cost_microusd.map_or_else(|| "not known".into(), money));
    if let Some(first) = call.first_token_ms {
        fact("first token", duration_ms(first));
    }
    if let Some(total) = call.total_ms {
        fact("took", duration_ms(total));
    }
    if call.cache_hit {
        fact("cache", "answered from memory".into());
    }
    if call.redactions > 0 {
        fact("redactions", call.redactions.to_string());
    }
    if !call.lost_fields.is_empty() {
        fact("lost fields", call.lost_fields.join(", "));
    }
    table
}
