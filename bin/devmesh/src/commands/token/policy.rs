use crate::{
    commands::pages::{self, Ask},
    context::Context,
    output::{Exit, Failure, Output, Result, Table, money},
};
use client::Client;
use domain::{Timestamp, TokenId};
use protocol::{BudgetWindow, Egress, KeyAccount, KeyPolicy, ListAll, Spend, Token};

/// What a token may do with models. What is not given is not limited, or stays as it was.
#[derive(Debug, Default, clap::Args)]
pub struct Limits {
    /// The only routes it may ask for; can be given more than once
    #[arg(long = "route", value_name = "ROUTE")]
    routes: Vec<String>,
    /// The only models it may use, as provider/model; can be given more than once
    #[arg(long = "model", value_name = "MODEL")]
    models: Vec<String>,
    /// How far its prompts may go
    #[arg(long, value_name = "HOW", value_parser = ["never", "redacted", "allowed"])]
    egress: Option<String>,
    /// Calls begun within a minute
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    requests_per_minute: Option<u64>,
    /// Tokens, in and out, of the calls begun within a minute
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    tokens_per_minute: Option<u64>,
    /// Calls that run at once
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    concurrent: Option<u32>,
    /// Longest answer of one call, in tokens
    #[arg(long, value_name = "TOKENS", value_parser = clap::value_parser!(u32).range(1..))]
    max_output_tokens: Option<u32>,
    /// Tokens it may use within the window
    #[arg(long, value_name = "TOKENS")]
    budget_tokens: Option<u64>,
    /// US dollars it may spend within the window, like 2.50
    #[arg(long, value_name = "DOLLARS", value_parser = microusd)]
    budget_usd: Option<u64>,
    /// When its budgets begin anew
    #[arg(long, value_name = "WINDOW", value_parser = ["total", "day", "month"])]
    budget_window: Option<String>,
    /// From then on it opens nothing, like 2027-01-01T00:00:00Z
    #[arg(long, value_name = "TIME")]
    expires: Option<Timestamp>,
}

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Token id, or the beginning of one
    token: String,
    #[command(flatten)]
    limits: Limits,
}

impl Limits {
    /// Over what `policy` says; `None` when nothing was given.
    pub(super) fn over(&self, policy: &KeyPolicy) -> Result<Option<KeyPolicy>> {
        let list = |given: &Vec<String>, old: &Option<Vec<String>>| {
            if given.is_empty() { old.clone() } else { Some(given.clone()) }
        };
        let egress = self.egress.as_deref().map(|egress| match egress {
            "allowed" => Egress::Allowed,
            "redacted" => Egress::Redacted,
            _ => Egress::LocalOnly,
        });
        let window = self.budget_window.as_deref();
        let window = window.and_then(|window| BudgetWindow::ALL.into_iter().find(|known| known.as_str() == window));
        let new = KeyPolicy {
            models: list(&self.models, &policy.models),
            routes: list(&self.routes, &policy.routes),
            egress: egress.or(policy.egress),
            requests_per_minute: self.requests_per_minute.or(policy.requests_per_minute),
            tokens_per_minute: self.tokens_per_minute.or(policy.tokens_per_minute),
            concurrent_requests: self.concurrent.or(policy.concurrent_requests),
            max_output_tokens: self.max_output_tokens.or(policy.max_output_tokens),
            budget_tokens: self.budget_tokens.or(policy.budget_tokens),
            budget_microusd: self.budget_usd.or(policy.budget_microusd),
            budget_window: window.unwrap_or(policy.budget_window),
            expires_at: self.expires.or(policy.expires_at),
        };
        if self.budget_window.is_some() && new.budget_tokens.is_none() && new.budget_microusd.is_none() {
            return Err(Failure::usage("--budget-window is of a budget, and there is none")
                .next("give --budget-usd DOLLARS or --budget-tokens TOKENS with it"));
        }
        Ok((new != *policy).then_some(new))
    }

    /// Routes may be made later, and slips are made now.
    pub(super) async fn warn_of_unknown_routes(&self, client: &Client, output: &Output) -> Result<()> {
        if self.routes.is_empty() {
            return Ok(());
        }
        let known: Vec<_> =
            client.models(Egress::LocalOnly).await?.routes.into_iter().map(|route| route.name).collect();
        // A pattern, or a model by its name.
        let is_open = |name: &str| name.ends_with('*') || name.contains('/');
        for name in self.routes.iter().filter(|name| !is_open(name) && !known.contains(*name)) {
            output.warn(&format!(
                "there is no route `{name}`: the token opens nothing by that name until there is; known: {}",
                known.join(", ")
            ));
        }
        Ok(())
    }
}

/// Exact: a budget in binary fractions would be off by a millionth now and then.
fn microusd(text: &str) -> std::result::Result<u64, String> {
    let wrong = || format!("`{text}` is no amount in dollars with at most six decimals, like 2.50");
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || part.len() > 6 || !digits(whole) || !digits(part) {
        return Err(wrong());
    }
    let dollars: u64 = whole.parse().map_err(|_| wrong())?;
    let millionths: u64 = format!("{part:0<6}").parse().map_err(|_| wrong())?;
    dollars.checked_mul(1_000_000).and_then(|all| all.checked_add(millionths)).ok_or_else(wrong)
}

pub async fn run(arguments: Arguments, context: &Context) -> Result<Exit> {
    let client = context.client()?;
    let id = find(&client, &arguments.token).await?;
    let mut account = client.key_account(id).await?;
    if let Some(policy) = arguments.limits.over(&account.policy)? {
        arguments.limits.warn_of_unknown_routes(&client, &context.output).await?;
        account = client.put_key_policy(id, &policy).await?;
    }
    if context.output.json {
        context.output.json(&account)?;
        return Ok(Exit::Done);
    }
    context.output.table(facts(&account))?;
    Ok(Exit::Done)
}

/// The token whose id is, or uniquely begins with, `text`.
pub(super) async fn find(client: &Client, text: &str) -> Result<TokenId> {
    let wanted = text.trim().to_ascii_lowercase();
    let named = |token: &Token| token.id.to_string().starts_with(&wanted);
    let read = pages::every(named, async |ask: Ask| {
        let list = ListAll { limit: ask.limit, cursor: ask.cursor };
        client.tokens(&list).await.map(|page| (page.tokens, page.next_cursor))
    });
    let mut found = read.await?.into_iter();
    match (found.next(), found.next()) {
        (Some(token), None) if !wanted.is_empty() => Ok(token.id),
        (None, _) => {
            Err(Failure::new(Exit::NotFound, format!("no token's id begins with `{wanted}`"))
                .next("devmesh token list"))
        }
        _ => Err(Failure::usage(format!("`{wanted}` begins the id of more than one token; give more of it"))
            .next("devmesh token list")),
    }
}

fn facts(account: &KeyAccount) -> Table {
    let mut table = Table::new(["", ""]);
    let mut fact = |name: &str, value: String| table.row([name.to_owned(), value]);
    let policy = &account.policy;
    let any = |list: &Option<Vec<String>>| list.as_ref().map_or_else(|| "any".into(), |list| list.join(", "));
    let limit = |limit: Option<u64>| limit.map_or_else(|| "no limit".into(), |limit| limit.to_string());
    let spend =
        |spend: &Spend| format!("{} requests, {} tokens, {}", spend.requests, spend.tokens, money(spend.microusd));
    fact("routes", any(&policy.routes));
    fact("models", any(&policy.models));
    fact("egress", policy.egress.map_or("never, unless allowed here", super::super::routes::egress).to_owned());
    fact("requests per minute", limit(policy.requests_per_minute));
    fact("tokens per minute", limit(policy.tokens_per_minute));
    fact("concurrent", limit(policy.concurrent_requests.map(u64::from)));
    fact("max output tokens", limit(policy.max_output_tokens.map(u64::from)));
    fact("budget tokens", limit(policy.budget_tokens));
    fact("budget money", policy.budget_microusd.map_or_else(|| "no limit".into(), money));
    fact("budget window", policy.budget_window.as_str().to_owned());
    fact("expires", policy.expires_at.map_or_else(|| "never".into(), |at| at.to_string()));
    fact("used today", spend(&account.day));
    fact("used this month", spend(&account.month));
    fact("used in all", spend(&account.total));
    fact("running now", account.running_requests.to_string());
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dollars_are_counted_exactly() {
        assert_eq!(["2", "2.5", "0.000001", "0"].map(|text| microusd(text).unwrap()), [2_000_000, 2_500_000, 1, 0]);
        for wrong in ["", ".5", "-1", "1e3", "0.0000001", "1,5", "99999999999999999999"] {
            assert!(microusd(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_not_given_stays() {
        let old = KeyPolicy { budget_tokens: Some(5), egress: Some(Egress::Redacted), ..KeyPolicy::default() };
        assert_eq!(Limits::default().over(&old).unwrap(), None);
        let limits = Limits { routes: vec!["fast".into()], budget_window: Some("day".into()), ..Limits::default() };
        let new = limits.over(&old).unwrap().unwrap();
        assert_eq!((new.budget_tokens, new.egress), (Some(5), Some(Egress::Redacted)));
        assert_eq!((new.routes, new.budget_window), (Some(vec!["fast".into()]), BudgetWindow::Day));
    }
}
