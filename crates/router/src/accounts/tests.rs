//! Accounts, journal and store together.

use super::*;
use super::{opening::open_with, prices::Price};
use async_trait::async_trait;
use domain::{Clock, ModelCallId, Timestamp};
use protocol::{BudgetWindow, CallTokens, Egress, KeyPolicy, ModelCallRecord, ModelCallState, Spend};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};
use store::{ModelCallFilter, Store};
use tempfile::TempDir;
use testkit::TestClock;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A store that can be made to fail, before or after it has written.
struct Failing {
    store: Store,
    down: AtomicBool,
    /// How many of the next writes are done and then answered with an error.
    lost_answers: AtomicU32,
}

#[async_trait]
impl Disk for Failing {
    async fn write(&self, batch: Arc<Batch>) -> Result<(), store::Error> {
        let failure = || store::Error::StorageFailed("on purpose".to_owned());
        if self.down.load(Ordering::SeqCst) {
            return Err(failure());
        }
        Disk::write(&self.store, batch).await?;
        let lost = self.lost_answers.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if lost.is_ok() { Err(failure()) } else { Ok(()) }
    }
}

struct Bench {
    _folder: TempDir,
    store: Store,
    disk: Arc<Failing>,
    clock: TestClock,
    accounts: Accounts,
    calls: Calls,
    ledger: Ledger,
    journal: Journal,
    shutdown: CancellationToken,
    service: JoinHandle<Pending>,
}

impl Bench {
    async fn new() -> Self {
        Self::with(Options { gather: Duration::from_millis(1), ..Options::default() }).await
    }

    async fn with(options: Options) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(store::Options::new(folder.path().join("data"))).await.unwrap();
        Self::over(folder, store, TestClock::new(), options).await
    }

    async fn over(folder: TempDir, store: Store, clock: TestClock, options: Options) -> Self {
        let disk =
            Arc::new(Failing { store: store.clone(), down: AtomicBool::new(false), lost_answers: AtomicU32::new(0) });
        let opened = open_with(&store, disk.clone(), Arc::new(clock.clone()), options).await.unwrap();
        let Opened { accounts, calls, ledger, journal, service } = opened;
        let shutdown = CancellationToken::new();
        let service = tokio::spawn(service.run(shutdown.clone()));
        Self { _folder: folder, store, disk, clock, accounts, calls, ledger, journal, shutdown, service }
    }

    /// The program ends and starts again on the same folder.
    async fn restarted(self) -> Self {
        self.shutdown.cancel();
        assert_eq!(self.service.await.unwrap(), Pending::default(), "nothing is lost at the end");
        Self::over(self._folder, self.store, self.clock, Options::default()).await
    }

    fn fail(&self, down: bool) {
        self.disk.down.store(down, Ordering::SeqCst);
    }

    fn job(&self, job: JobId, parent: Option<JobId>, tokens: Option<u64>, microusd: Option<u64>) {
        self.accounts.put_job(job, parent, JobBudget { tokens, microusd }, Spend::default());
    }

    fn record(&self, state: ModelCallState) -> ModelCallRecord {
        ModelCallRecord {
            id: ModelCallId::new(self.clock.now()),
            at: self.clock.now(),
            caller: key(1),
            job: None,
            route: "fast".to_owned(),
            dialect: "openai_chat".into(),
            stream: true,
            state,
            provider: Some("ollama".to_owned()),
            model: Some("small".to_owned()),
            digest: None,
            attempts: Vec::new(),
            fallbacks: 0,
            candidates: Vec::new(),
            rule: "the first target".to_owned(),
            egress: Egress::LocalOnly,
            tokens: Some(CallTokens::default()),
            cost_microusd: Some(0),
            first_token_ms: None,
            total_ms: None,
            quality: None,
            cache_hit: false,
            lost_fields: Vec::new(),
            redactions: 0,
            error: None,
        }
    }

    fn entry(&self) -> LedgerEntry {
        LedgerEntry {
            at: self.clock.now(),
            call_id: ModelCallId::new(self.clock.now()),
            principal: key(1),
            job: None,
            provider: "openai".to_owned(),
            model: "gpt".to_owned(),
            body_sha256: "ab".repeat(32),
            body_bytes: 10,
            redactions: 0,
            reason: "the route allows it".to_owned(),
        }
    }
}

fn key(number: u128) -> PrincipalId {
    PrincipalId(uuid::Uuid::from_u128(number))
}

fn job(number: u128) -> JobId {
    JobId(uuid::Uuid::from_u128(number))
}

/// Ten tokens in, ten out, a microdollar each.
fn charge(key: PrincipalId, job: Option<JobId>) -> Charge {
    let cost = Some(EstimatedCost { input_microusd: 10, output_microusd: 10 });
    let estimate = Estimate { input_tokens: 10, output_tokens: 10, cost };
    Charge { key, job, estimate, target: "openai/gpt".to_owned() }
}

fn spent(tokens: u64, microusd: u64) -> Spent {
    Spent { tokens, microusd }
}

fn used(tokens: u64, microusd: u64, requests: u64) -> Spend {
    Spend { tokens, microusd, requests }
}

#[tokio::test]
async fn a_call_holds_its_estimate_and_books_what_it_came_to() {
    let bench = Bench::new().await;
    bench.accounts.set_policy(key(1), KeyPolicy { budget_tokens: Some(30), ..KeyPolicy::default() });
    let first = bench.accounts.reserve(&charge(key(1), None)).unwrap();
    let refused = bench.accounts.reserve(&charge(key(1), None)).unwrap_err();
    insta::assert_snapshot!(refused, @"the budget of key 00000000-0000-0000-0000-000000000001 has no room for this call: 30 tokens in all, 0 tokens spent, 20 tokens held by running calls; it needs up to 20 tokens. It does not begin anew: raise it to go on.");
    assert_eq!(refused.retry_after(), None);
    first.settle(spent(5, 2));
    let account = bench.accounts.account(key(1)).unwrap();
    assert_eq!((account.total, account.reserved_tokens, account.running_requests), (used(5, 2, 1), 0, 0));
    bench.accounts.reserve(&charge(key(1), None)).unwrap().settle(spent(20, 20));
}

#[tokio::test]
async fn a_call_that_does_not_end_well_is_paid_for_as_far_as_it_went() {
    let bench = Bench::new().await;
    let total = || bench.accounts.account(key(1)).unwrap().total;
    drop(bench.accounts.reserve(&charge(key(1), None)).unwrap());
    assert_eq!(total(), used(10, 10, 1), "dropped: the prompt");
    bench.accounts.reserve(&charge(key(1), None)).unwrap().settle_partial(spent(3, 0));
    assert_eq!(total(), used(20, 20, 2), "the prompt at least");
    bench.accounts.reserve(&charge(key(1), None)).unwrap().settle_partial(spent(14, 15));
    assert_eq!(total(), used(34, 35, 3));
    bench.accounts.reserve(&charge(key(1), None)).unwrap().release();
    assert_eq!(total(), used(34, 35, 4), "nothing was sent");
    let mut reservation = bench.accounts.reserve(&charge(key(1), None)).unwrap();
    reservation.change(spent(2, 1), &charge(key(1), None).estimate, "openai/gpt").unwrap();
    drop(reservation);
    assert_eq!(total(), used(46, 46, 5), "both attempts");
}

#[tokio::test]
async fn a_job_spends_from_its_own_budget_and_from_those_above() {
    let bench = Bench::new().await;
    bench.job(job(1), None, Some(50), None);
    bench.job(job(2), Some(job(1)), Some(30), None);
    bench.job(job(3), Some(job(1)), None, None);
    let of_two = bench.accounts.reserve(&charge(key(1), Some(job(2)))).unwrap();
    let refused = bench.accounts.reserve(&charge(key(1), Some(job(2)))).unwrap_err();
    assert!(
        matches!(refused, Refusal::Budget { ref account, limit: 30, .. } if account.account == Account::Job(job(2))),
        "{refused}"
    );
    let of_three = bench.accounts.reserve(&charge(key(1), Some(job(3)))).unwrap();
    let refused = bench.accounts.reserve(&charge(key(1), Some(job(3)))).unwrap_err();
    assert!(
        matches!(refused, Refusal::Budget { ref account, reserved: 40, .. } if account.account == Account::Job(job(1))),
        "{refused}"
    );
    assert_eq!(bench.accounts.account(key(1)).unwrap().running_requests, 2, "a refused call holds nothing");
    of_two.settle(spent(8, 0));
    of_three.settle(spent(9, 0));
    assert_eq!(bench.accounts.job_spend(job(1)), Some(used(17, 0, 2)));
    assert_eq!(bench.accounts.job_spend(job(2)), Some(used(8, 0, 1)));
    bench.accounts.close_job(job(2));
    let refused = bench.accounts.reserve(&charge(key(1), Some(job(2)))).unwrap_err();
    assert_eq!(refused, Refusal::UnknownJob { account: Account::Job(job(2)).into() });
}

#[tokio::test]
async fn jobs_in_a_circle_end() {
    let bench = Bench::new().await;
    bench.job(job(1), Some(job(2)), None, None);
    bench.job(job(2), Some(job(1)), None, None);
    bench.accounts.reserve(&charge(key(1), Some(job(1)))).unwrap().settle(spent(1, 0));
    assert_eq!(bench.accounts.job_spend(job(2)), Some(used(1, 0, 1)));
}

#[tokio::test]
async fn an_unknown_price_is_refused_only_where_money_counts() {
    let bench = Bench::new().await;
    let unpriced = Charge { estimate: Estimate::new(10, 10, None), ..charge(key(1), None) };
    bench.accounts.reserve(&unpriced).unwrap().release();
    bench.accounts.set_policy(key(1), KeyPolicy { budget_microusd: Some(1_000), ..KeyPolicy::default() });
    let refused = bench.accounts.reserve(&unpriced).unwrap_err();
    insta::assert_snapshot!(refused, @r#"key 00000000-0000-0000-0000-000000000001 has a budget in money and the price of openai/gpt is not known. Add ["openai/gpt"] with input_usd_per_million and output_usd_per_million to the price table, or use another model."#);
    assert!(refused.is_about_the_target());
    let free = Charge { estimate: Estimate::new(10, 10, Some(&Price::FREE)), ..charge(key(1), None) };
    bench.accounts.reserve(&free).unwrap().settle(spent(20, 5_000));
    bench.accounts.reserve(&free).unwrap().release();
    assert!(bench.accounts.reserve(&charge(key(1), None)).is_err(), "the money is gone, what is free goes on");
}

#[tokio::test]
async fn a_dearer_target_needs_room_and_a_refused_one_changes_nothing() {
    let bench = Bench::new().await;
    bench.accounts.set_policy(key(1), KeyPolicy { budget_microusd: Some(100), ..KeyPolicy::default() });
    let mut reservation = bench.accounts.reserve(&charge(key(1), None)).unwrap();
    let dear = |input_microusd| Estimate {
        input_tokens: 10,
        output_tokens: 10,
        cost: Some(EstimatedCost { input_microusd, output_microusd: 0 }),
    };
    assert!(reservation.change(spent(10, 10), &dear(91), "openai/dear").is_err());
    assert_eq!(bench.accounts.account(key(1)).unwrap().reserved_microusd, 20);
    reservation.change(spent(10, 10), &dear(90), "openai/dear").unwrap();
    assert_eq!(bench.accounts.account(key(1)).unwrap().reserved_microusd, 100);
    drop(reservation);
    assert_eq!(bench.accounts.account(key(1)).unwrap().total, used(20, 100, 1));
}

#[tokio::test]
async fn a_budget_begins_anew_with_its_window_and_survives_a_restart_within() {
    let bench = Bench::new().await;
    let policy = KeyPolicy { budget_tokens: Some(20), budget_window: BudgetWindow::Day, ..KeyPolicy::default() };
    bench.accounts.set_policy(key(1), policy.clone());
    bench.accounts.reserve(&charge(key(1), None)).unwrap().settle(spent(20, 7));
    let bench = bench.restarted().await;
    bench.accounts.set_policy(key(1), policy);
    let refused = bench.accounts.reserve(&charge(key(1), None)).unwrap_err().to_string();
    assert!(refused.contains("begins anew at 2026-01-03T00:00:00.000Z"), "{refused}");
    bench.clock.advance(Duration::from_secs(24 * 3_600));
    bench.accounts.reserve(&charge(key(1), None)).unwrap().settle(spent(1, 1));
    let account = bench.accounts.account(key(1)).unwrap();
    assert_eq!((account.day, account.month, account.total), (used(1, 1, 1), used(21, 8, 2), used(21, 8, 2)));
}

#[tokio::test]
async fn an_expired_key_opens_nothing() {
    let bench = Bench::new().await;
    let at = bench.clock.now().plus_millis(1_000);
    bench.accounts.set_policy(key(1), KeyPolicy { expires_at: Some(at), ..KeyPolicy::default() });
    bench.accounts.reserve(&charge(key(1), None)).unwrap().release();
    bench.clock.advance(Duration::from_secs(1));
    let refused = bench.accounts.reserve(&charge(key(1), None)).unwrap_err();
    assert_eq!(refused, Refusal::Expired { account: Account::Key(key(1)).into(), at });
}

#[tokio::test]
async fn rates_refuse_with_the_time_to_wait_and_count_what_was_really_used() {
    let bench = Bench::new().await;
    tokio::time::pause();
    let policy = KeyPolicy {
        requests_per_minute: Some(3),
        tokens_per_minute: Some(40),
        concurrent_requests: Some(2),
        ..KeyPolicy::default()
    };
    bench.accounts.set_policy(key(1), policy);
    let first = bench.accounts.reserve(&charge(key(1), None)).unwrap();
    let second = bench.accounts.reserve(&charge(key(1), None)).unwrap();
    assert_eq!(second.rates().tokens.unwrap().remaining, 0);
    assert_eq!(second.rates().requests.unwrap().remaining, 1);
    let refused = bench.accounts.reserve(&charge(key(1), None)).unwrap_err();
    assert!(matches!(refused, Refusal::Rate { what: Limit::ConcurrentRequests, used: 2, .. }), "{refused}");
    first.settle(spent(40, 0));
    let refused = bench.accounts.reserve(&charge(key(1), None)).unwrap_err();
    assert!(matches!(refused, Refusal::Rate { what: Limit::TokensPerMinute, .. }), "{refused}");
    assert_eq!(refused.retry_after(), Some(Duration::from_secs(60)), "20 are owed and 20 are needed");
    second.settle(spent(0, 0));
    let third = bench.accounts.reserve(&charge(key(1), None)).unwrap_err();
    assert!(matches!(third, Refusal::Rate { what: Limit::TokensPerMinute, used: 40, .. }), "{third}");
    tokio::time::advance(Duration::from_secs(60)).await;
    bench.accounts.reserve(&charge(key(1), None)).unwrap().release();
    let huge = Charge { estimate: Estimate { input_tokens: 41, ..Estimate::default() }, ..charge(key(1), None) };
    let refused = bench.accounts.reserve(&huge).unwrap_err();
    insta::assert_snapshot!(refused, @"key 00000000-0000-0000-0000-000000000001 may have 40 tokens per minute and this call alone needs 41. Shorten the prompt, lower the output limit, or raise `tokens_per_minute` of the key.");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_never_overshoot_any_budget() {
    let bench = Bench::new().await;
    bench.accounts.set_policy(key(1), KeyPolicy { budget_tokens: Some(10_000), ..KeyPolicy::default() });
    bench.job(job(1), None, Some(6_000), None);
    bench.job(job(2), Some(job(1)), Some(5_000), None);
    std::thread::scope(|scope| {
        for number in 0..8_u64 {
            let accounts = &bench.accounts;
            scope.spawn(move || {
                for turn in 0..400 {
                    let job = [None, Some(job(1)), Some(job(2))][(turn % 3) as usize];
                    let Ok(reservation) = accounts.reserve(&charge(key(1), job)) else { continue };
                    let account = accounts.account(key(1)).unwrap();
                    assert!(account.total.tokens + account.reserved_tokens <= 10_000);
                    match (number + turn) % 4 {
                        0 => drop(reservation),
                        1 => reservation.release(),
                        _ => reservation.settle(spent(20, 0)),
                    }
                }
            });
        }
    });
    let account = bench.accounts.account(key(1)).unwrap();
    assert!((9_981..=10_000).contains(&account.total.tokens), "used up and not beyond: {account:?}");
    assert_eq!((account.reserved_tokens, account.running_requests), (0, 0));
    assert!(bench.accounts.job_spend(job(1)).unwrap().tokens <= 6_000);
    assert!(bench.accounts.job_spend(job(2)).unwrap().tokens <= 5_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_disk_down_no_call_fails_and_afterwards_the_sums_match() {
    let bench = Bench::new().await;
    bench.job(job(1), None, None, None);
    bench.fail(true);
    let mut tasks = Vec::new();
    for number in 1..=4 {
        let (accounts, calls) = (bench.accounts.clone(), bench.calls.clone());
        let record = ModelCallRecord { caller: key(number), ..bench.record(ModelCallState::Succeeded) };
        let clock = bench.clock.clone();
        tasks.push(tokio::spawn(async move {
            for _ in 0..250 {
                let reservation = accounts.reserve(&charge(key(number), Some(job(1)))).unwrap();
                reservation.settle(spent(number as u64, 1));
                calls.put(ModelCallRecord { id: ModelCallId::new(clock.now()), ..record.clone() });
                tokio::task::yield_now().await;
            }
        }));
    }
    let durable = bench.ledger.append(bench.entry()).unwrap();
    for task in tasks {
        task.await.unwrap();
    }
    assert!(bench.journal.pending().calls > 0 && bench.journal.pending().ledger > 0);
    // It comes back, and the answers to what it writes first are lost.
    bench.disk.lost_answers.store(2, Ordering::SeqCst);
    bench.fail(false);
    durable.await.unwrap();
    bench.journal.flush().await.unwrap();
    assert_eq!(bench.journal.pending(), Pending::default());
    let store = bench.store.clone();
    let of = async |kind: &'static str, account: uuid::Uuid| {
        let begins_at = Timestamp::from_millis(0);
        let row = store.spend_of(store::SpendKey { account_kind: kind, account, period: "total", begins_at }).await;
        row.map(|row| (row.tokens, row.microusd, row.requests)).unwrap()
    };
    for number in 1..=4_u64 {
        assert_eq!(of("key", key(number.into()).0).await, (250 * number, 250, 250));
    }
    assert_eq!(of("job", job(1).0).await, (2_500, 1_000, 1_000));
    let kept = store.page_of_model_calls(ModelCallFilter::default()).await.unwrap();
    assert_eq!((kept.rows.len(), kept.more), (1_000, false));
    assert_eq!(verify_store(&store).await.unwrap(), Ok(1));
}

#[tokio::test]
async fn details_beyond_the_bound_are_dropped_and_spend_is_not() {
    let options =
        Options { waiting_calls: 3, waiting_entries: 2, recent_calls: 2, gather: Duration::ZERO, ..Options::default() };
    let bench = Bench::with(options).await;
    bench.fail(true);
    for _ in 0..10 {
        bench.accounts.reserve(&charge(key(1), None)).unwrap().settle(spent(1, 1));
        bench.calls.put(bench.record(ModelCallState::Failed));
    }
    assert_eq!((bench.journal.pending().calls, bench.journal.pending().dropped_calls), (3, 7));
    let _first = bench.ledger.append(bench.entry()).unwrap();
    let _second = bench.ledger.append(bench.entry()).unwrap();
    assert!(matches!(bench.ledger.append(bench.entry()), Err(LedgerError::Full { waiting: 2 })));
    bench.fail(false);
    let bench = bench.restarted().await;
    assert_eq!(bench.accounts.account(key(1)).unwrap().total, used(10, 10, 10));
    assert_eq!(bench.calls.page(&ModelCallFilter::default()).await.unwrap().rows.len(), 3);
    let _third = bench.ledger.append(bench.entry()).unwrap();
    bench.journal.flush().await.unwrap();
    assert_eq!(verify_store(&bench.store).await.unwrap(), Ok(3), "the chain goes on after a restart");
}

#[tokio::test]
async fn a_call_is_seen_before_the_disk_has_it_and_after() {
    let bench = Bench::new().await;
    bench.fail(true);
    let running = bench.record(ModelCallState::Running);
    let over = bench.record(ModelCallState::Succeeded);
    bench.calls.put(running.clone());
    bench.calls.put(over.clone());
    assert_eq!(bench.calls.get(running.id).await.unwrap(), Some(running.clone()));
    assert_eq!(bench.calls.page(&ModelCallFilter::default()).await.unwrap().rows, [over.clone(), running.clone()]);
    let older = ModelCallFilter { before: Some(over.id), ..ModelCallFilter::default() };
    assert_eq!(bench.calls.page(&older).await.unwrap().rows, std::slice::from_ref(&running));
    let others = ModelCallFilter { principal: Some(key(2)), ..ModelCallFilter::default() };
    assert!(bench.calls.page(&others).await.unwrap().rows.is_empty());
    bench.fail(false);
    let bench = bench.restarted().await;
    assert_eq!(bench.calls.get(over.id).await.unwrap(), Some(over.clone()));
    assert_eq!(bench.calls.page(&ModelCallFilter::default()).await.unwrap().rows, [over]);
    assert_eq!(bench.calls.get(running.id).await.unwrap(), None, "it never ended");
}

#[tokio::test]
async fn a_job_opened_again_has_what_it_spent() {
    let bench = Bench::new().await;
    let budget = JobBudget { tokens: Some(30), microusd: None };
    let opened = (&bench.accounts, &bench.journal, &bench.store);
    open_job(opened, job(1), None, budget).await.unwrap();
    bench.accounts.reserve(&charge(key(1), Some(job(1)))).unwrap().settle(spent(20, 0));
    bench.accounts.close_job(job(1));
    open_job(opened, job(1), None, budget).await.unwrap();
    assert_eq!(bench.accounts.job_spend(job(1)), Some(used(20, 0, 1)));
    assert!(bench.accounts.reserve(&charge(key(1), Some(job(1)))).is_err());
}

#[tokio::test]
async fn a_disk_that_stays_down_does_not_hold_up_the_end() {
    let bench = Bench::new().await;
    bench.fail(true);
    bench.accounts.reserve(&charge(key(1), None)).unwrap().settle(spent(1, 1));
    let durable = bench.ledger.append(bench.entry()).unwrap();
    tokio::time::pause();
    bench.shutdown.cancel();
    let left = bench.service.await.unwrap();
    assert_eq!((left.spend, left.ledger), (3, 1));
    assert!(matches!(durable.await, Err(LedgerError::Stopped(_))));
}

#[tokio::test]
async fn a_policy_this_build_does_not_understand_stops_the_start() {
    let bench = Bench::new().await;
    let row =
        store::KeyPolicyRow { principal: key(1), policy: r#"{"sees":1}"#.to_owned(), updated_at: bench.clock.now() };
    let audit = store::AuditRow {
        at: bench.clock.now(),
        principal: key(2),
        action: "key_policy.put".to_owned(),
        object: "token".to_owned(),
        request_id: domain::RequestId::new(bench.clock.now()),
    };
    bench.store.put_key_policy(row, audit).await.unwrap();
    let opened = open(&bench.store, Arc::new(bench.clock.clone()), Options::default()).await;
    assert!(matches!(opened, Err(store::Error::Corrupt(why)) if why.contains("sees")));
}
