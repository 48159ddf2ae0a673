//! How many events a second become durable.

use crate::{
    peer::Sqlite,
    server::{Server, folder, lease_request},
    stalled::Stalled,
    summary::{Rounds, print},
};
use anyhow::{Context, Result};
use domain::JobKind;
use protocol::{AppendEvents, CreateJob, EventBody};
use std::{path::Path, time::Instant};

const WRITERS: usize = 64;
const BATCHES: u64 = 40;
/// What an agent sends at once when a tool prints a lot.
const EVENTS_PER_BATCH: u64 = 128;
const ROUNDS: usize = 5;
/// About the size of one such event as stored.
const ROW_BYTES: usize = 160;

pub async fn run() -> Result<()> {
    let folder = folder()?;
    let mut sqlite = Sqlite::open(folder.path())?;
    let (mut devmesh, mut beside, mut direct) = (Rounds::default(), Rounds::default(), Rounds::default());
    for round in 0..ROUNDS {
        devmesh.0.push(events_per_second(&folder.path().join(format!("data-{round}")), false).await?);
        beside.0.push(events_per_second(&folder.path().join(format!("stalled-{round}")), true).await?);
        let rows = 1_000;
        let mut taken = std::time::Duration::ZERO;
        for number in 0..100 {
            taken += sqlite.commit((round as i64 * 100 + number) * rows, rows, ROW_BYTES)?;
        }
        direct.0.push(100.0 * rows as f64 / taken.as_secs_f64());
    }
    print("64 writers over HTTP, hashed and fsynced", &devmesh.line("events/s"));
    print("the same beside readers that do not read", &beside.line("events/s"));
    print("ratio of medians with and without them", &format!("{:.2}×", beside.median() / devmesh.median()));
    print("bare SQLite FULL, 1,000 rows per commit", &direct.line("rows/s"));
    print("ratio of medians", &format!("{:.2}×", devmesh.median() / direct.median()));
    print("wanted", "≥ 50,000 events/s, ≥ 0.9× beside readers that do not read");
    Ok(())
}

async fn events_per_second(data: &Path, beside_stalled: bool) -> Result<f64> {
    let server = Server::start(data).await?;
    let (user, agent) = (server.client()?, server.agent().await?);
    let mut leases = Vec::new();
    for principal in 0..WRITERS {
        // One user each: a single one may not have 64 jobs running.
        let token = protocol::CreateToken::new(format!("user {principal}"), domain::Scope::User);
        let secret = user.create_token(&token).await?.secret;
        let own = client::Client::new(client::Options::new(&server.url, secret))?;
        own.create_job(&CreateJob::new(JobKind::Ask, "write"), None).await?;
        leases.push(agent.lease(&lease_request(5_000)).await?.context("the job was there")?);
    }
    let jobs: Vec<_> = leases.iter().map(|lease| lease.job_id).collect();
    let _stalled = if beside_stalled { Some(Stalled::beside(&server, &jobs).await?) } else { None };
    let started = Instant::now();
    let mut writers = tokio::task::JoinSet::new();
    for lease in leases {
        let agent = agent.clone();
        writers.spawn(async move {
            for producer_seq in 1..=BATCHES {
                let note = |n| EventBody::AgentNote { message: format!("compiling unit {producer_seq} of {n}") };
                let events = (0..EVENTS_PER_BATCH).map(note).collect();
                let batch = AppendEvents { epoch: lease.epoch, attempt: lease.attempt, producer_seq, events };
                agent.append_events(lease.job_id, &batch).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(writer) = writers.join_next().await {
        writer??;
    }
    let events = WRITERS as u64 * BATCHES * EVENTS_PER_BATCH;
    Ok(events as f64 / started.elapsed().as_secs_f64())
}
