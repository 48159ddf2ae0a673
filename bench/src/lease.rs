//! How long a job waits for an agent that waits for a job.

use crate::{
    peer::Sqlite,
    server::{Server, folder, lease_request},
    summary::{Latencies, print, shown},
};
use anyhow::{Context, Result};
use domain::JobKind;
use protocol::{CreateJob, FinishJob, JobResult, Outcome};
use std::time::{Duration, Instant};

const JOBS: usize = 1_000;
const WARM_UP: usize = 50;
/// A long-poll is on its way to the server before the job is: longer than a loopback request takes.
const HEAD_START: Duration = Duration::from_millis(3);

pub async fn run() -> Result<()> {
    let folder = folder()?;
    let server = Server::start(&folder.path().join("data")).await?;
    let (user, agent) = (server.client()?, server.agent().await?);
    let mut sqlite = Sqlite::open(folder.path())?;
    let (mut devmesh, mut direct) = (Latencies::default(), Latencies::default());
    for number in 0..WARM_UP + JOBS {
        let waiting = tokio::spawn({
            let agent = agent.clone();
            async move { agent.lease(&lease_request(10_000)).await.map(|lease| (lease, Instant::now())) }
        });
        tokio::time::sleep(HEAD_START).await;
        let started = Instant::now();
        let job = user.create_job(&CreateJob::new(JobKind::Ask, "measure"), None).await?;
        let (lease, leased) = waiting.await??;
        let lease = lease.context("the job was there")?;
        let commit = sqlite.commit(i64::try_from(number)?, 1, 256)?;
        if number >= WARM_UP {
            devmesh.record(leased - started);
            direct.record(commit);
        }
        let outcome = Outcome::Succeeded { result: JobResult::default() };
        agent.finish(job.id, &FinishJob { epoch: lease.epoch, attempt: lease.attempt, outcome }).await?;
    }
    print("enqueue → lease, both durable, over HTTP", &devmesh.line());
    print("one bare SQLite FULL commit", &direct.line());
    let ratio = devmesh.median().as_secs_f64() / direct.median().as_secs_f64();
    print("ratio of medians (two commits and two requests)", &format!("{ratio:.1}×"));
    print("wanted", &format!("p50 ≤ {}, p99 ≤ {}", shown(Duration::from_millis(3)), shown(Duration::from_millis(15))));
    Ok(())
}
