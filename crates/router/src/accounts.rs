//! Money, limits and truth: what a key or a job may use, what it used, what was asked, and what left the machine.
//!
//! Everything a call needs is in memory, and everything worth keeping is written behind: with the database stopped no
//! call waits or fails for it, and what was spent is written once it runs again.
//!
//! ```text
//!             reserve ──▶ Accounts ──refused──▶ Refusal: which limit, how much of it is used, when there is more
//!                            │
//!   Reservation ◀────────────┘   holds tokens, money and a place until one of
//!        │ settle(what it cost)      whole answer
//!        │ settle_partial(so far)    cut, or the caller went: at least the prompt is booked
//!        │ dropped                   the prompt is booked
//!        │ release                   nothing was sent to anybody
//!        ▼
//!     Journal: spend is added up, calls and ledger entries queue ──one task, in batches──▶ store
//! ```
//!
//! One call's life:
//!
//! ```ignore
//! let opened = accounts::open(&store, clock, Options::default()).await?;
//! tasks.spawn(opened.service.run(shutdown));                      // the one task that writes
//!
//! let estimate = Estimate::new(prompt_tokens, max_output_tokens, prices.load().of(location, provider, model).as_ref());
//! let charge = Charge { key, job: Some(job), estimate, target: "openai/gpt-large".into() };
//! let mut reservation = opened.accounts.reserve(&charge)?;        // Refusal: 429, or the next target
//! let headers = reservation.rates().openai_headers();
//! opened.calls.put(record_as_running);
//! opened.ledger.append(entry)?.await?;                            // before a body leaves, within a bound
//! // the target failed after some tokens, and another one costs more:
//! reservation.change(Spent { tokens: 12, microusd: 3 }, &dearer_estimate, "openai/gpt-dear")?;
//! // …
//! reservation.settle(Spent { tokens: usage.input_tokens + usage.output_tokens, microusd: price.cost_microusd(&usage) });
//! opened.calls.put(finished_record);                              // `GET` sees it at once, the disk a little later
//! ```
//!
//! The budgets of a job, of every job above it, and of the key must all have room. Opening a job's account reads the disk
//! ([`open_job`]); do it when the job begins, not when it calls a model.

mod books;
mod calls;
mod journal;
mod ledger;
mod money;
mod opening;
mod policy;
mod prices;
mod rate;
mod refusal;
mod reservation;
mod window;

#[cfg(test)]
mod tests;

pub use books::{Accounts, JobBudget};
pub use calls::Calls;
use domain::{JobId, PrincipalId};
pub use journal::{Batch, Disk, Journal, Options, Pending, Service};
pub use ledger::{BrokenAt, Ledger, LedgerEntry, LedgerError, verify, verify_store};
pub(crate) use money::dollars;
pub use opening::{Opened, open, open_job};
pub use policy::{allows_model, allows_name, policy_mistakes};
pub use prices::{Price, PriceTable, Prices};
pub use protocol::KeyPolicy as Policy;
pub use rate::{Rate, RateLimits};
pub use refusal::{Limit, Refusal};
pub use reservation::{Charge, Estimate, EstimatedCost, Reservation, Spent};
use std::{fmt, sync::Arc};

/// Whose money it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Account {
    /// A principal: a user's key, or an agent's own token.
    Key(PrincipalId),
    Job(JobId),
}

/// Who pays, as people know them: a principal is of no use to who wants to change what its token may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payer {
    pub account: Account,
    /// Of a key, where one was given.
    name: Option<Arc<str>>,
}

impl From<Account> for Payer {
    fn from(account: Account) -> Self {
        Self { account, name: None }
    }
}

impl fmt::Display for Payer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.name, self.account) {
            (Some(name), _) => f.write_str(name),
            (None, Account::Key(key)) => write!(f, "key {key}"),
            (None, Account::Job(job)) => write!(f, "job {job}"),
        }
    }
}
