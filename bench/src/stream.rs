//! How far behind the log a live reader is.

use crate::{
    server::{Server, folder, lease_request},
    stalled::Stalled,
    summary::{Latencies, print},
};
use anyhow::{Context, Result};
use domain::JobKind;
use futures_util::StreamExt as _;
use protocol::{AppendEvents, CreateJob, EventBody};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

const EVENTS: u64 = 2_000;
/// As fast as a model talks, after coalescing.
const PAUSE: Duration = Duration::from_millis(2);

pub async fn run() -> Result<()> {
    let (whole, after_commit) = latencies(false).await?;
    let (_, beside) = latencies(true).await?;
    print("append sent → event at the SSE client", &whole.line());
    print("append acknowledged → event at the client", &after_commit.line());
    print("the same beside readers that do not read", &beside.line());
    let ratio = beside.quantile(0.99).as_secs_f64() / after_commit.quantile(0.99).as_secs_f64();
    print("ratio of p99 with and without them", &format!("{ratio:.2}×"));
    print("wanted", "commit → client p99 ≤ 20 ms, also beside readers that do not read");
    Ok(())
}

/// Of the whole way, and from the acknowledgement on.
async fn latencies(beside_stalled: bool) -> Result<(Latencies, Latencies)> {
    let folder = folder()?;
    let server = Server::start(&folder.path().join("data")).await?;
    let (user, agent) = (server.client()?, server.agent().await?);
    let job = user.create_job(&CreateJob::new(JobKind::Ask, "talk"), None).await?.id;
    let lease = agent.lease(&lease_request(5_000)).await?.context("the job was there")?;
    let _stalled = if beside_stalled { Some(Stalled::beside(&server, &[job]).await?) } else { None };
    let (seen, mut arrivals) = mpsc::channel(64);
    let reader = tokio::spawn({
        let mut events = Box::pin(user.events(job, None));
        async move {
            while let Some(Ok(event)) = events.next().await {
                if event.event_type == "agent.note" && seen.send(Instant::now()).await.is_err() {
                    return;
                }
            }
        }
    });
    let (mut whole, mut after_commit) = (Latencies::default(), Latencies::default());
    for producer_seq in 1..=EVENTS {
        let events = vec![EventBody::AgentNote { message: format!("word {producer_seq}") }];
        let started = Instant::now();
        let batch = AppendEvents { epoch: lease.epoch, attempt: lease.attempt, producer_seq, events };
        agent.append_events(job, &batch).await?;
        let acknowledged = Instant::now();
        let arrived = arrivals.recv().await.context("the stream ended")?;
        whole.record(arrived - started);
        after_commit.record(arrived.saturating_duration_since(acknowledged));
        tokio::time::sleep(PAUSE).await;
    }
    reader.abort();
    Ok((whole, after_commit))
}
