//! The router's side of [`crate::accounts`]: who may call what, what it costs, and what became of it.

use crate::{
    Error,
    accounts::{
        self, Accounts, Calls, Charge, Estimate, JobBudget, Journal, Ledger, Pending, Price, PriceTable, Prices,
        Refusal, Reservation, allows_model, allows_route,
    },
    call::Call,
    error::LimitKind,
    plan::Candidate,
    route::Policy,
};
use domain::{JobId, PrincipalId};
use protocol::{KeyPolicy, Location, ModelCallRecord};
use std::sync::Arc;
use store::Store;

/// Tokens of an answer that nobody bounded, for what is held back from a budget while it runs.
const UNBOUNDED_OUTPUT_TOKENS: u64 = 4_096;

/// Cheap to clone; clones share everything.
#[derive(Clone)]
pub struct Books {
    accounts: Accounts,
    calls: Calls,
    ledger: Ledger,
    journal: Journal,
    store: Store,
    prices: Arc<PriceTable>,
}

impl Books {
    pub fn new(opened: &accounts::Opened, store: Store) -> Self {
        Self {
            accounts: opened.accounts.clone(),
            calls: opened.calls.clone(),
            ledger: opened.ledger.clone(),
            journal: opened.journal.clone(),
            store,
            prices: Arc::new(PriceTable::new(Prices::default())),
        }
    }

    pub fn accounts(&self) -> &Accounts {
        &self.accounts
    }

    pub fn calls(&self) -> &Calls {
        &self.calls
    }

    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Opens the account of a job before its first call, with what it spent before, and closes those of jobs that are over
    /// by now: there are never many more accounts than jobs that run.
    ///
    /// # Errors
    /// [`store::Error`] when the disk cannot be read.
    pub async fn open_job(&self, job: JobId, parent: Option<JobId>, budget: JobBudget) -> Result<(), store::Error> {
        if self.accounts.has_job(job) {
            return Ok(());
        }
        let over = self.store.jobs_over(self.accounts.open_jobs()).await?;
        over.into_iter().for_each(|job| self.accounts.close_job(job));
        accounts::open_job((&self.accounts, &self.journal, &self.store), job, parent, budget).await
    }

    /// Waits until everything booked so far is on disk.
    pub async fn flush(&self) {
        // A journal that has stopped has written what it could.
        let _ = self.journal.flush().await;
    }

    /// What waits to be written.
    pub fn pending(&self) -> Pending {
        self.journal.pending()
    }

    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Of a key; everything is open where nobody set one.
    pub fn policy(&self, key: PrincipalId) -> Arc<KeyPolicy> {
        self.accounts.policy(key)
    }

    pub(crate) fn set_prices(&self, prices: Prices) {
        self.prices.replace(prices);
    }

    pub(crate) fn price(&self, location: Location, provider: &str, model: &str) -> Option<Price> {
        self.prices.load().of(location, provider, model)
    }

    /// # Errors
    /// [`Error::NotAllowed`] when the key's policy does not name the route.
    pub(crate) fn check_route(&self, call: &Call) -> Result<(), Error> {
        let policy = self.policy(call.caller.principal);
        if allows_route(&policy, &call.route) || (call.route.contains('/') && allows_model(&policy, &call.route)) {
            return Ok(());
        }
        Err(Error::NotAllowed {
            message: format!("this key may not ask for `{}`; its policy allows: {}", call.route, named(&policy)),
        })
    }

    /// Why the key's policy keeps this model from it.
    pub(crate) fn keeps_out(&self, call: &Call, candidate: &Candidate) -> Option<String> {
        let policy = self.policy(call.caller.principal);
        (!allows_model(&policy, candidate.id())).then(|| "the policy of this key does not name it".to_owned())
    }

    /// Why neither key nor route lets this call have that target.
    pub(crate) fn may_not_ask(&self, call: &Call, candidate: &Candidate, policy: &Policy) -> Option<String> {
        let cap = || over_cap(call, candidate, policy.cost_cap_microusd?);
        self.keeps_out(call, candidate).or_else(cap)
    }

    /// # Errors
    /// [`Error::NotAllowed`] when the key's policy keeps this model from it.
    pub(crate) fn check_target(&self, call: &Call, candidate: &Candidate) -> Result<(), Error> {
        match self.keeps_out(call, candidate) {
            None => Ok(()),
            Some(why) => Err(Error::NotAllowed { message: format!("`{}`: {why}", candidate.id()) }),
        }
    }

    /// The most that a call of this target may come to.
    pub(crate) fn estimate(call: &Call, price: Option<&Price>) -> Estimate {
        let peek = &call.asked.peek;
        let output =
            peek.max_output_tokens.or(call.caller.max_output_tokens).map_or(UNBOUNDED_OUTPUT_TOKENS, u64::from);
        // A byte is a token at the very most; four make one on average. Budgets hold only if this is not too low.
        let input = (peek.prompt_bytes as u64).div_ceil(3).max(1);
        Estimate::new(input, output, price)
    }

    /// # Errors
    /// [`Refusal`], with the limit that is in the way.
    pub(crate) fn reserve(&self, call: &Call, candidate: &Candidate) -> Result<Reservation, Refusal> {
        self.accounts.reserve(&Charge {
            key: call.caller.principal,
            job: call.caller.job,
            estimate: Self::estimate(call, candidate.price.as_ref()),
            target: candidate.id().to_owned(),
        })
    }

    pub(crate) fn record(&self, record: Arc<ModelCallRecord>) {
        self.calls.put(record);
    }
}

fn over_cap(call: &Call, candidate: &Candidate, cap: u64) -> Option<String> {
    match Books::estimate(call, candidate.price.as_ref()).cost {
        Some(cost) if cost.input_microusd + cost.output_microusd <= cap => None,
        Some(cost) => Some(format!(
            "it could cost {} microusd, over the route's cap of {cap}",
            cost.input_microusd + cost.output_microusd
        )),
        None => Some(format!("its price is not known, and the route has a cap of {cap} microusd")),
    }
}

fn named(policy: &KeyPolicy) -> String {
    let all = policy.routes.iter().flatten().chain(policy.models.iter().flatten());
    all.map(String::as_str).collect::<Vec<_>>().join(", ")
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        let message = refusal.to_string();
        match refusal {
            Refusal::Rate { retry_after, .. } => {
                Self::OverLimit { message, retry_after: Some(retry_after), kind: LimitKind::Rate }
            }
            Refusal::Expired { .. } | Refusal::UnknownJob { .. } => Self::NotAllowed { message },
            Refusal::TooLarge { .. } | Refusal::Budget { .. } | Refusal::UnknownPrice { .. } => {
                Self::OverLimit { message, retry_after: None, kind: LimitKind::Budget }
            }
        }
    }
}
