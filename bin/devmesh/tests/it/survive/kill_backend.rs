//! kill -9 of the backend at random points under mixed load.

pub(super) mod check;
mod load;

use super::{
    ledger::{Ledger, Shared},
    stage::Backend,
};
use anyhow::{Context, Result, ensure};
use rand::RngExt as _;
use std::{sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

/// Kills in an ordinary test run; `DEVMESH_TORTURE_CYCLES` overrides it.
const CYCLES: u32 = 25;
const CREATORS: u32 = 3;
const WORKERS: u32 = 3;
/// What a start may take on an existing folder, as the middle of all cycles: the promise is two seconds.
const READY_MEDIAN: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_when_the_backend_is_killed() -> Result<()> {
    #[expect(clippy::disallowed_methods, reason = "a test is told its length like this")]
    let cycles = std::env::var("DEVMESH_TORTURE_CYCLES").ok().and_then(|text| text.parse().ok()).unwrap_or(CYCLES);
    let home = tempfile::tempdir()?;
    let folder = home.path().join("data");
    let mut backend = Backend::start(&folder).await?;
    let ledger = Shared::default();
    let stop = CancellationToken::new();
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..CREATORS {
        tasks.spawn(load::create_jobs(backend.client()?, number, ledger.clone(), stop.clone()));
    }
    for _ in 0..WORKERS {
        tasks.spawn(load::work(backend.agent_client().await?, ledger.clone(), stop.clone()));
    }

    let mut ready = Vec::new();
    for _ in 0..cycles {
        // A kill lands anywhere between the middle of a commit and an idle moment.
        let pause = Duration::from_millis(rand::rng().random_range(20..400));
        tokio::time::sleep(pause).await;
        backend.kill_and_restart().await?;
        ready.push(backend.ready_after);
    }
    stop.cancel();
    while let Some(task) = tasks.join_next().await {
        task??;
    }
    ready.sort();
    let median = ready[ready.len() / 2];
    let ledger: Ledger = Arc::into_inner(ledger).context("all load has ended")?.into_inner().expect("no load panicked");
    eprintln!(
        "{cycles} kills; {}; ready after {median:?} (median), {:?} (worst)",
        ledger.describe(),
        ready[ready.len() - 1]
    );
    ensure!(
        !ledger.jobs.is_empty() && !ledger.results.is_empty() && !ledger.artifacts.is_empty(),
        "the load did nothing: the test would prove nothing"
    );
    ensure!(median <= READY_MEDIAN, "half of the starts took longer than {READY_MEDIAN:?}: {ready:?}");
    check::everything(&backend.client()?, &folder, &ledger).await
}
