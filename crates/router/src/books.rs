//! The router's side of [`crate::accounts`]: who may call what, what it costs, and what became of it.

use crate::{
    Error,
    accounts::{
        self, Accounts, Calls, Charge, Estimate, JobBudget, Journal, Ledger, Pending, Price, PriceTable, Prices,
        Refusal, Reservation, allows_model, allows_name, dollars,
    },
    call::{Call, Caller},
    error::LimitKind,
    plan::Candidate,
    route::Policy,
};
use domain::{JobId, PrincipalId};
use protocol::{Egress, KeyPolicy, Location, ModelCallRecord};
use std::sync::Arc;
use store::Store;

/// Tokens of an answer that nobody bounded, for what is held back while it runs where tokens are counted and money is not.
const UNBOUNDED_OUTPUT_TOKENS: u64 = 4_096;
/// The bound that is written into a request without one where money is capped: what providers themselves take for enough
/// where they demand a bound.
const BOUND_FOR_MONEY_TOKENS: u32 = 8_192;
/// The most that a model of which nothing is known writes, where no bound can be written.
const LONGEST_OUTPUT_TOKENS: u64 = 131_072;

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

    /// On whose account a call is made, and what of its prompt may leave: as the key's policy says, or `otherwise` where it
    /// says nothing. Every call's caller is made here, whoever makes the call.
    pub fn caller(&self, key: PrincipalId, otherwise: Egress) -> (Caller, Egress) {
        let policy = self.policy(key);
        let caller = Caller { max_output_tokens: policy.max_output_tokens, ..Caller::new(key) };
        (caller, policy.egress.unwrap_or(otherwise))
    }

    /// `is_route` tells whether the name asked for is one of a route, and not of a model.
    ///
    /// # Errors
    /// [`Error::NotAllowed`] when the key's policy does not name it.
    pub(crate) fn check_route(&self, call: &Call, is_route: bool) -> Result<(), Error> {
        self.check_name(call.caller.principal, &call.route, is_route)
    }

    /// # Errors
    /// As of [`Self::check_route`].
    pub(crate) fn check_name(&self, key: PrincipalId, name: &str, is_route: bool) -> Result<(), Error> {
        let policy = self.policy(key);
        if allows_name(&policy, name, is_route) {
            return Ok(());
        }
        Err(Error::NotAllowed {
            message: format!("this key may not ask for `{name}`; its policy allows: {}", named(&policy)),
        })
    }

    /// Why the key's policy keeps this model from it.
    pub(crate) fn keeps_out(&self, call: &Call, candidate: &Candidate) -> Option<String> {
        let policy = self.policy(call.caller.principal);
        (!allows_model(&policy, candidate.id())).then(|| "the policy of this key does not name it".to_owned())
    }

    /// Why neither key nor route lets this call have that target.
    pub(crate) fn may_not_ask(&self, call: &Call, candidate: &Candidate, policy: &Policy) -> Option<String> {
        let cap = || self.over_cap(call, candidate, policy);
        self.keeps_out(call, candidate).or_else(cap)
    }

    fn over_cap(&self, call: &Call, candidate: &Candidate, policy: &Policy) -> Option<String> {
        let cap = policy.cost_cap_microusd?;
        let Some(cost) = self.estimate(call, candidate, Some(policy)).cost else {
            return Some(format!("its price is not known, and the route has a cap of {} a call", dollars(cap)));
        };
        let cost = cost.input_microusd.saturating_add(cost.output_microusd);
        (cost > cap)
            .then(|| format!("it could cost {}, over the route's cap of {} a call", dollars(cost), dollars(cap)))
    }

    /// # Errors
    /// [`Error::NotAllowed`] when the key's policy keeps this model from it.
    pub(crate) fn check_target(&self, call: &Call, candidate: &Candidate) -> Result<(), Error> {
        match self.keeps_out(call, candidate) {
            None => Ok(()),
            Some(why) => Err(Error::NotAllowed { message: format!("`{}`: {why}", candidate.id()) }),
        }
    }

    /// The bound on one answer that the router sets: the lowest of what key and route allow. Where money is capped, nobody
    /// said anything and the target costs something, there is one all the same.
    pub(crate) fn output_bound(&self, call: &Call, candidate: &Candidate, policy: Option<&Policy>) -> Option<u32> {
        let route = policy.and_then(|policy| policy.max_output_tokens);
        let bound = [route, call.caller.max_output_tokens].into_iter().flatten().min();
        let may_bound = bound.is_none() && call.asked.peek.max_output_tokens.is_none();
        bound.or_else(|| (may_bound && self.caps_money(call, candidate, policy)).then_some(BOUND_FOR_MONEY_TOKENS))
    }

    fn caps_money(&self, call: &Call, candidate: &Candidate, policy: Option<&Policy>) -> bool {
        candidate.price != Some(Price::FREE)
            && (policy.is_some_and(|policy| policy.cost_cap_microusd.is_some())
                || self.accounts.caps_money(call.caller.principal, call.caller.job))
    }

    /// The most that a call of this target may come to, with every answer that it asks for at once.
    pub(crate) fn estimate(&self, call: &Call, candidate: &Candidate, policy: Option<&Policy>) -> Estimate {
        let peek = &call.asked.peek;
        let bound = self.output_bound(call, candidate, policy);
        let output = match [peek.max_output_tokens, bound].into_iter().flatten().min() {
            Some(bound) => u64::from(bound),
            None if self.caps_money(call, candidate, policy) => {
                candidate.model.context_tokens.unwrap_or(LONGEST_OUTPUT_TOKENS)
            }
            None => UNBOUNDED_OUTPUT_TOKENS,
        };
        // A byte is a token at the very most; four make one on average. Budgets hold only if this is not too low.
        let input = (peek.prompt_bytes as u64).div_ceil(3).max(1);
        let output = output.saturating_mul(u64::from(peek.choices.max(1)));
        Estimate::new(input, output, candidate.price.as_ref())
    }

    /// # Errors
    /// [`Refusal`], with the limit that is in the way.
    pub(crate) fn reserve(
        &self,
        call: &Call,
        candidate: &Candidate,
        estimate: Estimate,
    ) -> Result<Reservation, Refusal> {
        self.accounts.reserve(&Charge {
            key: call.caller.principal,
            job: call.caller.job,
            estimate,
            target: candidate.id().to_owned(),
        })
    }

    pub(crate) fn record(&self, record: Arc<ModelCallRecord>) {
        self.calls.put(record);
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
