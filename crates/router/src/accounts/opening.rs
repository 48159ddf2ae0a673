//! From what the store holds to accounts in memory.

use super::{Account, Accounts, Calls, Disk, JobBudget, Journal, Ledger, Options, Service, books::spend_key};
use domain::{Clock, JobId, PrincipalId, Timestamp};
use protocol::{BudgetWindow, KeyPolicy, Spend};
use std::sync::Arc;
use store::{SpendCount, Store};

/// Everything of this module, ready. Nothing is written until `service` runs.
pub struct Opened {
    pub accounts: Accounts,
    pub calls: Calls,
    pub ledger: Ledger,
    pub journal: Journal,
    pub service: Service,
}

/// Loads policies, the spend of current windows, and where the ledger ends.
///
/// # Errors
/// [`store::Error`] when the store cannot be read, or holds a policy this build does not understand: a key must not gain
/// rights by that.
pub async fn open(store: &Store, clock: Arc<dyn Clock>, options: Options) -> Result<Opened, store::Error> {
    open_with(store, Arc::new(store.clone()), clock, options).await
}

/// Reads from `store` and writes to `disk`.
pub(crate) async fn open_with(
    store: &Store,
    disk: Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
    options: Options,
) -> Result<Opened, store::Error> {
    let now = clock.now();
    let windows = BudgetWindow::ALL.map(|window| (window, store_window(window, now)));
    let opening = store.open_books(windows.iter().map(|(_, window)| *window).collect()).await?;
    let (journal, service) = Journal::new(disk, opening.ledger_head, options);
    let accounts = Accounts::new(clock, journal.clone());
    for row in opening.policies {
        let policy: KeyPolicy = serde_json::from_str(&row.policy)
            .map_err(|error| store::Error::Corrupt(format!("the policy of key {}: {error}", row.principal)))?;
        accounts.set_policy(row.principal, policy);
    }
    for (of, row) in opening.spend {
        let window = windows.iter().find(|(_, window)| window.period == of.period).map(|(window, _)| *window);
        if let Some(window) = window {
            accounts.restore(PrincipalId(row.account), window, row.begins_at, spend(row.count));
        }
    }
    let calls = Calls::new(options.recent_calls, journal.clone(), store.clone());
    Ok(Opened { accounts, calls, ledger: Ledger::new(journal.clone()), journal, service })
}

fn store_window(window: BudgetWindow, now: Timestamp) -> store::Window {
    store::Window { period: window.as_str(), begins_at: super::window::Window::new(window, now).begins_at() }
}

/// Opens the account of a job that begins or goes on, with what it spent before. Changes budget and parent of an open one
/// without a look at the disk.
///
/// # Errors
/// [`store::Error`] when the disk cannot be read, or the journal has stopped.
pub async fn open_job(
    opened: (&Accounts, &Journal, &Store),
    job: JobId,
    parent: Option<JobId>,
    budget: JobBudget,
) -> Result<(), store::Error> {
    let (accounts, journal, store) = opened;
    let mut spent = Spend::default();
    if !accounts.has_job(job) {
        // What a closed account of this job left in the queue must be counted.
        journal.flush().await.map_err(|_| store::Error::Closed)?;
        let key = spend_key(Account::Job(job), BudgetWindow::Total, Timestamp::from_millis(0));
        spent = spend(store.spend_of(key).await?);
    }
    accounts.put_job(job, parent, budget, spent);
    Ok(())
}

fn spend(count: SpendCount) -> Spend {
    Spend { tokens: count.tokens, microusd: count.microusd, requests: count.requests }
}
