//! Why a call may not begin.

use super::{Payer, dollars, rate::spelled};
use domain::{ErrorCode, Timestamp};
use protocol::BudgetWindow;
use std::{fmt, time::Duration};

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Waiting helps.
    #[error(
        "{account} may have {limit} {what}: {used} are used and this call needs {asked}. Ask again in {}.",
        spelled(*retry_after)
    )]
    Rate { account: Payer, what: Limit, limit: u64, used: u64, asked: u64, retry_after: Duration },
    /// Waiting does not help; a smaller call does.
    #[error(
        "{account} may have {limit} {what} and this call alone needs {asked}. Shorten the prompt, lower the output limit, or raise `{}` of the key.",
        what.field()
    )]
    TooLarge { account: Payer, what: Limit, limit: u64, asked: u64 },
    #[error(
        "the budget of {account} has no room for this call: {}{}, {} spent{}; it needs up to {}. {}",
        what.amount(*limit),
        within(*window),
        what.amount(*spent),
        held(*what, *reserved),
        what.amount(*asked),
        resets(*resets_at)
    )]
    Budget {
        account: Payer,
        what: Limit,
        window: BudgetWindow,
        limit: u64,
        spent: u64,
        reserved: u64,
        asked: u64,
        resets_at: Option<Timestamp>,
    },
    /// Something with a budget in money asks for what has no price.
    #[error(
        "{account} has a budget in money and the price of {target} is not known. Add [\"{target}\"] with input_usd_per_million and output_usd_per_million to the price table, or use another model."
    )]
    UnknownPrice { account: Payer, target: String },
    #[error("{account} expired at {at}. Make a new key, or set its `expires_at` to a later time.")]
    Expired { account: Payer, at: Timestamp },
    /// Its account has not been opened, or was closed when the job ended.
    #[error("no model call is accepted for {account}: it is not running here")]
    UnknownJob { account: Payer },
}

/// What is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Limit {
    RequestsPerMinute,
    TokensPerMinute,
    ConcurrentRequests,
    BudgetTokens,
    BudgetMicrousd,
}

impl Limit {
    /// The policy's field.
    pub fn field(self) -> &'static str {
        match self {
            Self::RequestsPerMinute => "requests_per_minute",
            Self::TokensPerMinute => "tokens_per_minute",
            Self::ConcurrentRequests => "concurrent_requests",
            Self::BudgetTokens => "budget_tokens",
            Self::BudgetMicrousd => "budget_microusd",
        }
    }

    /// So much of it, in words.
    fn amount(self, amount: u64) -> String {
        if self == Self::BudgetMicrousd { dollars(amount) } else { format!("{amount} {self}") }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RequestsPerMinute => "requests per minute",
            Self::TokensPerMinute => "tokens per minute",
            Self::ConcurrentRequests => "requests at once",
            Self::BudgetTokens => "tokens",
            Self::BudgetMicrousd => "dollars",
        })
    }
}

impl Refusal {
    /// How long to wait, for `Retry-After`; `None`: waiting alone does not help, or only until the budget begins anew.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Rate { retry_after, .. } => Some(*retry_after),
            _ => None,
        }
    }

    /// Whether another, cheaper or priced target may still be asked for the same call.
    pub fn is_about_the_target(&self) -> bool {
        matches!(self, Self::UnknownPrice { .. } | Self::Budget { what: Limit::BudgetMicrousd, .. })
    }

    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Rate { .. } => ErrorCode::RateLimited,
            Self::TooLarge { .. } => ErrorCode::InvalidRequest,
            Self::Budget { .. } | Self::UnknownPrice { .. } => ErrorCode::Forbidden,
            Self::Expired { .. } => ErrorCode::Unauthorized,
            Self::UnknownJob { .. } => ErrorCode::WrongState,
        }
    }
}

fn held(what: Limit, reserved: u64) -> String {
    if reserved == 0 { String::new() } else { format!(", {} held by running calls", what.amount(reserved)) }
}

fn within(window: BudgetWindow) -> &'static str {
    match window {
        BudgetWindow::Total => " in all",
        BudgetWindow::Day => " a day",
        BudgetWindow::Month => " a month",
    }
}

fn resets(at: Option<Timestamp>) -> String {
    match at {
        Some(at) => format!("It begins anew at {at}."),
        None => "It does not begin anew: raise it to go on.".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounts::Account;
    use domain::JobId;

    #[test]
    fn a_budget_is_told_with_whose_it_is_and_in_its_own_unit() {
        let job = JobId(uuid::Uuid::nil());
        let named = Payer { account: Account::Job(job), name: Some("token `laptop` (01a2)".into()) };
        for (account, what, reserved, told) in [
            (
                named,
                Limit::BudgetMicrousd,
                0,
                "the budget of token `laptop` (01a2) has no room for this call: $0.01 a day, $0.009216 spent; it needs up to $0.000826.",
            ),
            (
                Account::Job(job).into(),
                Limit::BudgetTokens,
                5,
                "the budget of job 00000000-0000-0000-0000-000000000000 has no room for this call: 10000 tokens a day, 9216 tokens spent, 5 tokens held by running calls; it needs up to 826 tokens.",
            ),
        ] {
            let refusal = Refusal::Budget {
                account,
                what,
                window: BudgetWindow::Day,
                limit: 10_000,
                spent: 9_216,
                reserved,
                asked: 826,
                resets_at: None,
            };
            assert!(refusal.to_string().starts_with(told), "{refusal}");
        }
    }
}
