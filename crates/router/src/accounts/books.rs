//! The accounts themselves: one lock over all of them, because a reservation takes from several at once and must take
//! from all or none. It is held for a handful of look-ups and sums, and for nothing else.

use super::{
    Account, Charge, Limit, Payer, RateLimits, Refusal, Reservation, Spent, journal::Journal, rate::Bucket,
    reservation::Hold, window::Window,
};
use domain::{Clock, JobId, PrincipalId, Timestamp};
use protocol::{BudgetWindow, KeyAccount, KeyPolicy, Spend};
use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use store::SpendKey;
use tokio::time::Instant;

/// Jobs above one another. Deeper than any plan, and it ends a circle.
const DEEPEST_JOBS: usize = 32;

/// How long a caller is told to wait when too many of its calls run: when one ends cannot be known.
const WAIT_FOR_A_PLACE: Duration = Duration::from_secs(1);

/// Every account in memory. Clones share them.
#[derive(Clone)]
pub struct Accounts {
    shared: Arc<Shared>,
}

struct Shared {
    books: Mutex<Books>,
    clock: Arc<dyn Clock>,
    journal: Journal,
}

#[derive(Default)]
struct Books {
    /// As many as there are principals with a token.
    keys: HashMap<PrincipalId, Key>,
    /// Those that run.
    jobs: HashMap<JobId, Job>,
}

struct Key {
    /// As people know it.
    name: Option<Arc<str>>,
    policy: Arc<KeyPolicy>,
    windows: [Window; 3],
    reserved: Spent,
    running: u32,
    requests: Bucket,
    tokens: Bucket,
}

struct Job {
    parent: Option<JobId>,
    budget: JobBudget,
    spent: Spend,
    reserved: Spent,
    /// Calls that hold something here.
    running: u32,
    /// Goes with its last call.
    closed: bool,
}

/// What a job may spend in all. `None`: no limit of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JobBudget {
    pub tokens: Option<u64>,
    /// 0: nothing that costs money.
    pub microusd: Option<u64>,
}

/// What is asked of one account, and how the two budgets are named.
struct Budgets {
    account: Payer,
    window: BudgetWindow,
    resets_at: Option<Timestamp>,
    limits: JobBudget,
    spent: Spend,
    reserved: Spent,
}

impl Budgets {
    /// Whether `more` fits, of which the account holds `own` already.
    fn check(&self, more: Spent, own: Spent, unpriced: bool, target: &str) -> Result<(), Refusal> {
        let reserved = self.reserved.minus(own);
        if unpriced && self.limits.microusd.is_some() {
            return Err(Refusal::UnknownPrice { account: self.account.clone(), target: target.to_owned() });
        }
        let both = [
            (Limit::BudgetTokens, self.limits.tokens, self.spent.tokens, reserved.tokens, more.tokens),
            (Limit::BudgetMicrousd, self.limits.microusd, self.spent.microusd, reserved.microusd, more.microusd),
        ];
        for (what, limit, spent, reserved, asked) in both {
            let Some(limit) = limit else { continue };
            let needed = u128::from(spent) + u128::from(reserved) + u128::from(asked);
            // What takes nothing is never refused for want of it: a free model stays free when the money is gone.
            if asked > 0 && needed > u128::from(limit) {
                return Err(Refusal::Budget {
                    account: self.account.clone(),
                    what,
                    window: self.window,
                    limit,
                    spent,
                    reserved,
                    asked,
                    resets_at: self.resets_at,
                });
            }
        }
        Ok(())
    }
}

impl Key {
    fn new(policy: Arc<KeyPolicy>, now: Timestamp) -> Self {
        let at = Instant::now();
        Self {
            name: None,
            policy,
            windows: BudgetWindow::ALL.map(|kind| Window::new(kind, now)),
            reserved: Spent::default(),
            running: 0,
            requests: Bucket::new(at),
            tokens: Bucket::new(at),
        }
    }

    fn advance(&mut self, now: Timestamp) {
        for window in &mut self.windows {
            window.roll(now);
        }
        let at = Instant::now();
        // Without a limit a bucket is not looked at; what was taken from it is gone when a limit comes.
        self.requests.drain(self.policy.requests_per_minute.unwrap_or(u64::MAX), at);
        self.tokens.drain(self.policy.tokens_per_minute.unwrap_or(u64::MAX), at);
    }

    fn window(&self, kind: BudgetWindow) -> &Window {
        let at = BudgetWindow::ALL.iter().position(|each| *each == kind).unwrap_or(0);
        &self.windows[at]
    }

    fn payer(&self, key: PrincipalId) -> Payer {
        Payer { account: Account::Key(key), name: self.name.clone() }
    }

    fn budgets(&self, key: PrincipalId) -> Budgets {
        let window = self.window(self.policy.budget_window);
        Budgets {
            account: self.payer(key),
            window: window.kind(),
            resets_at: window.ends_at(),
            limits: JobBudget { tokens: self.policy.budget_tokens, microusd: self.policy.budget_microusd },
            spent: window.spent,
            reserved: self.reserved,
        }
    }

    /// Rates, places and life; budgets come after.
    fn admits(&self, key: PrincipalId, tokens: u64, now: Timestamp) -> Result<(), Refusal> {
        let policy = &self.policy;
        let payer = || self.payer(key);
        if let Some(at) = policy.expires_at.filter(|at| now >= *at) {
            return Err(Refusal::Expired { account: payer(), at });
        }
        if let Some(limit) = policy.concurrent_requests.filter(|limit| self.running >= *limit) {
            return Err(Refusal::Rate {
                account: payer(),
                what: Limit::ConcurrentRequests,
                limit: limit.into(),
                used: self.running.into(),
                asked: 1,
                retry_after: WAIT_FOR_A_PLACE,
            });
        }
        let rates = [
            (Limit::RequestsPerMinute, policy.requests_per_minute, &self.requests, 1),
            (Limit::TokensPerMinute, policy.tokens_per_minute, &self.tokens, tokens),
        ];
        for (what, limit, bucket, asked) in rates {
            let Some(limit) = limit else { continue };
            match bucket.wait_for(asked, limit) {
                Some(Duration::ZERO) => {}
                Some(retry_after) => {
                    let used = limit - bucket.rate(limit).remaining;
                    return Err(Refusal::Rate { account: payer(), what, limit, used, asked, retry_after });
                }
                None => return Err(Refusal::TooLarge { account: payer(), what, limit, asked }),
            }
        }
        Ok(())
    }

    fn rates(&self) -> RateLimits {
        RateLimits {
            requests: self.policy.requests_per_minute.map(|limit| self.requests.rate(limit)),
            tokens: self.policy.tokens_per_minute.map(|limit| self.tokens.rate(limit)),
        }
    }
}

impl Job {
    fn budgets(&self, job: JobId) -> Budgets {
        Budgets {
            account: Account::Job(job).into(),
            window: BudgetWindow::Total,
            resets_at: None,
            limits: self.budget,
            spent: self.spent,
            reserved: self.reserved,
        }
    }
}

impl Books {
    /// The job and those above it that have an account, lowest first.
    fn lineage(&self, job: Option<JobId>) -> Result<Vec<JobId>, Refusal> {
        let mut lineage: Vec<JobId> = Vec::new();
        let mut next = job;
        while let Some(job) = next {
            let found = self.jobs.get(&job).filter(|found| !found.closed || !lineage.is_empty());
            let Some(found) = found else { return Err(Refusal::UnknownJob { account: Account::Job(job).into() }) };
            if lineage.len() == DEEPEST_JOBS || lineage.contains(&job) {
                break;
            }
            lineage.push(job);
            next = found.parent;
        }
        Ok(lineage)
    }
}

impl Accounts {
    pub(crate) fn new(clock: Arc<dyn Clock>, journal: Journal) -> Self {
        Self { shared: Arc::new(Shared { books: Mutex::default(), clock, journal }) }
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.shared.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Timestamp {
        self.shared.clock.now()
    }

    /// Gives a key this policy from the next call on; what it used and holds stays. Storing the policy is the caller's:
    /// [`store::Transaction::put_key_policy`].
    pub fn set_policy(&self, key: PrincipalId, policy: KeyPolicy) {
        let now = self.now();
        let mut books = self.books();
        books.keys.entry(key).or_insert_with(|| Key::new(Arc::default(), now)).policy = Arc::new(policy);
    }

    /// What people know the key by: refusals say it.
    pub fn name_key(&self, key: PrincipalId, name: &str) {
        let now = self.now();
        let mut books = self.books();
        books.keys.entry(key).or_insert_with(|| Key::new(Arc::default(), now)).name = Some(name.into());
    }

    /// What the key may do; a key without a policy may do everything.
    pub fn policy(&self, key: PrincipalId) -> Arc<KeyPolicy> {
        self.books().keys.get(&key).map(|key| Arc::clone(&key.policy)).unwrap_or_default()
    }

    /// Opens a job's account, or changes the budget and parent of an open one. `spent` is what an earlier run of the
    /// program counted, and only looked at when the account is new. Prefer [`super::open_job`], which knows it.
    pub fn put_job(&self, job: JobId, parent: Option<JobId>, budget: JobBudget, spent: Spend) {
        let mut books = self.books();
        let fresh = Job { parent, budget, spent, reserved: Spent::default(), running: 0, closed: false };
        let account = books.jobs.entry(job).or_insert(fresh);
        (account.parent, account.budget, account.closed) = (parent, budget, false);
    }

    /// Whether the job has an account that takes calls.
    pub fn has_job(&self, job: JobId) -> bool {
        self.books().jobs.get(&job).is_some_and(|job| !job.closed)
    }

    /// Those that have an account which takes calls.
    pub fn open_jobs(&self) -> Vec<JobId> {
        self.books().jobs.iter().filter(|(_, job)| !job.closed).map(|(job, _)| *job).collect()
    }

    /// The job is over: no call begins for it any more. Its account goes with the last of its calls, so close a job after
    /// the jobs below it.
    pub fn close_job(&self, job: JobId) {
        let mut books = self.books();
        if let Some(account) = books.jobs.get_mut(&job) {
            account.closed = true;
            if account.running == 0 {
                books.jobs.remove(&job);
            }
        }
    }

    /// What the key may do and has used. `None`: it never made a call and has no policy.
    pub fn account(&self, key: PrincipalId) -> Option<KeyAccount> {
        let now = self.now();
        let mut books = self.books();
        let account = books.keys.get_mut(&key)?;
        account.advance(now);
        Some(KeyAccount {
            principal: key,
            policy: KeyPolicy::clone(&account.policy),
            total: account.window(BudgetWindow::Total).spent,
            day: account.window(BudgetWindow::Day).spent,
            month: account.window(BudgetWindow::Month).spent,
            reserved_tokens: account.reserved.tokens,
            reserved_microusd: account.reserved.microusd,
            running_requests: account.running,
        })
    }

    /// Whether the key, the job or one above it may spend only so much money.
    pub(crate) fn caps_money(&self, key: PrincipalId, job: Option<JobId>) -> bool {
        let books = self.books();
        let of_key = books.keys.get(&key).is_some_and(|key| key.policy.budget_microusd.is_some());
        let caps = |job: &JobId| books.jobs.get(job).is_some_and(|job| job.budget.microusd.is_some());
        of_key || books.lineage(job).is_ok_and(|jobs| jobs.iter().any(caps))
    }

    /// What is left of a key's limits now. `None`: it has no account yet.
    pub(crate) fn rates(&self, key: PrincipalId) -> Option<RateLimits> {
        let now = self.now();
        let mut books = self.books();
        let account = books.keys.get_mut(&key)?;
        account.advance(now);
        Some(account.rates())
    }

    /// What the job and those below it used. `None`: its account is not open.
    pub fn job_spend(&self, job: JobId) -> Option<Spend> {
        self.books().jobs.get(&job).map(|job| job.spent)
    }

    pub(crate) fn restore(&self, key: PrincipalId, kind: BudgetWindow, begins_at: Timestamp, spent: Spend) {
        let now = self.now();
        let mut books = self.books();
        let account = books.keys.entry(key).or_insert_with(|| Key::new(Arc::default(), now));
        for window in account.windows.iter_mut().filter(|window| window.kind() == kind) {
            window.restore(begins_at, spent);
        }
    }

    /// Holds what the call may need, everywhere it is paid, or nowhere.
    ///
    /// # Errors
    /// [`Refusal`]: the first limit that has no room.
    pub fn reserve(&self, charge: &Charge) -> Result<Reservation, Refusal> {
        let now = self.now();
        let wanted = charge.estimate.whole();
        let unpriced = charge.estimate.cost.is_none();
        let mut books = self.books();
        let jobs = books.lineage(charge.job)?;
        let account = books.keys.entry(charge.key).or_insert_with(|| Key::new(Arc::default(), now));
        account.advance(now);
        account.admits(charge.key, wanted.tokens, now)?;
        account.budgets(charge.key).check(wanted, Spent::default(), unpriced, &charge.target)?;
        for job in &jobs {
            if let Some(account) = books.jobs.get(job) {
                account.budgets(*job).check(wanted, Spent::default(), unpriced, &charge.target)?;
            }
        }
        let mut rates = RateLimits::default();
        if let Some(account) = books.keys.get_mut(&charge.key) {
            account.reserved = account.reserved.plus(wanted);
            account.running += 1;
            account.requests.take(1);
            account.tokens.take(wanted.tokens);
            rates = account.rates();
        }
        for job in &jobs {
            if let Some(account) = books.jobs.get_mut(job) {
                account.reserved = account.reserved.plus(wanted);
                account.running += 1;
            }
        }
        drop(books);
        let hold = Hold { key: charge.key, jobs, held: wanted, rated_tokens: wanted.tokens };
        Ok(Reservation::new(self.clone(), hold, charge.estimate, rates))
    }

    /// Holds `wanted` instead of what is held. Rate limits are corrected at the end.
    pub(crate) fn change(&self, hold: &mut Hold, wanted: Spent, unpriced: bool, target: &str) -> Result<(), Refusal> {
        let now = self.now();
        let own = hold.held;
        let mut books = self.books();
        if let Some(account) = books.keys.get_mut(&hold.key) {
            account.advance(now);
            account.budgets(hold.key).check(wanted, own, unpriced, target)?;
        }
        for job in &hold.jobs {
            if let Some(account) = books.jobs.get(job) {
                account.budgets(*job).check(wanted, own, unpriced, target)?;
            }
        }
        if let Some(account) = books.keys.get_mut(&hold.key) {
            account.reserved = account.reserved.minus(own).plus(wanted);
        }
        for job in &hold.jobs {
            if let Some(account) = books.jobs.get_mut(job) {
                account.reserved = account.reserved.minus(own).plus(wanted);
            }
        }
        hold.held = wanted;
        Ok(())
    }

    /// Gives back what was held and books what was spent, in the windows of this moment.
    pub(crate) fn settle(&self, hold: &Hold, spent: Spent) {
        let now = self.now();
        let more = Spend { tokens: spent.tokens, microusd: spent.microusd, requests: 1 };
        let mut booked: Vec<SpendKey> = Vec::with_capacity(BudgetWindow::ALL.len() + hold.jobs.len());
        let mut books = self.books();
        if let Some(account) = books.keys.get_mut(&hold.key) {
            account.advance(now);
            account.reserved = account.reserved.minus(hold.held);
            account.running = account.running.saturating_sub(1);
            account.tokens.correct(hold.rated_tokens, spent.tokens);
            for window in &mut account.windows {
                window.spent = window.spent.plus(more);
                booked.push(spend_key(Account::Key(hold.key), window.kind(), window.begins_at()));
            }
        }
        for job in &hold.jobs {
            booked.push(spend_key(Account::Job(*job), BudgetWindow::Total, Timestamp::from_millis(0)));
            let Some(account) = books.jobs.get_mut(job) else { continue };
            account.reserved = account.reserved.minus(hold.held);
            account.running = account.running.saturating_sub(1);
            account.spent = account.spent.plus(more);
            if account.closed && account.running == 0 {
                books.jobs.remove(job);
            }
        }
        // Before the lock goes: whoever finds a job's account closed and flushes the journal must find this in it.
        self.shared.journal.add_spend(booked, more);
        drop(books);
    }
}

pub(crate) fn spend_key(account: Account, window: BudgetWindow, begins_at: Timestamp) -> SpendKey {
    let (account_kind, account) = match account {
        Account::Key(key) => ("key", key.0),
        Account::Job(job) => ("job", job.0),
    };
    SpendKey { account_kind, account, period: window.as_str(), begins_at }
}

impl fmt::Debug for Accounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let books = self.books();
        f.debug_struct("Accounts").field("keys", &books.keys.len()).field("jobs", &books.jobs.len()).finish()
    }
}
