//! How soon it is there, and how little it takes.

use crate::{
    seed,
    server::{Server, folder},
    summary::{Latencies, Rounds, print},
};
use anyhow::Result;
use std::time::Duration;

const STARTS: usize = 20;
const JOBS: u64 = 10_000;
/// After this a process has done what it does at its start.
const SETTLE: Duration = Duration::from_secs(2);

pub async fn run() -> Result<()> {
    let folder = folder()?;
    let data = folder.path().join("data");
    drop(Server::start(&data).await?);
    seed::queued_jobs(&data, JOBS).await?;
    let mut ready = Latencies::default();
    for _ in 0..STARTS {
        ready.record(Server::start(&data).await?.ready_after);
    }
    let mut resident = Rounds::default();
    for _ in 0..3 {
        let server = Server::start(&data).await?;
        tokio::time::sleep(SETTLE).await;
        resident.0.extend(server.resident_mib());
    }
    print("exec → ready, 10,000 jobs stored", &ready.line());
    print("resident at rest, no model loaded", &resident.line("MiB"));
    print("wanted", "ready ≤ 300 ms, ≤ 40 MiB");
    Ok(())
}
