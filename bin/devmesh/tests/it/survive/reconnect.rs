//! Fifty clients that lose their connection again and again while a hundred thousand events flow, beside some that are
//! connected and do not read.

use super::stage::{Backend, Stalled};
use anyhow::{Context, Result, bail, ensure};
use client::Client;
use domain::{Cursor, EventHash, JobId, JobKind, WorkerId};
use futures_util::{SinkExt as _, StreamExt as _};
use protocol::{
    AppendEvents, ClientMessage, CreateJob, Event, EventBody, FinishJob, Heartbeat, JobResult, LeaseRequest, Outcome,
    ServerMessage,
};
use rand::RngExt as _;
use std::time::Duration;
use tokio_tungstenite::tungstenite::Message;

const EVENTS: u64 = 100_000;
const EVENTS_PER_BATCH: u64 = 200;
const CLIENTS: usize = 50;
/// Clients of each kind that read nothing.
const STALLED: usize = 4;
/// Further jobs that those subscribe to.
const OTHER_JOBS: usize = 20;
/// How long a connection lives before its client drops it.
const CONNECTION_MS: std::ops::Range<u64> = 100..5_000;

/// What a client has seen: how far, and the hash of the last event, which covers all before it.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Seen {
    cursor: Option<Cursor>,
    seq: u64,
    hash: EventHash,
}

impl Seen {
    const NOTHING: Self = Self { cursor: None, seq: 0, hash: EventHash::START };

    /// Takes the next event; refuses a gap, a repeat, and another history.
    fn take(&mut self, event: &Event) -> Result<()> {
        ensure!(event.seq == self.seq + 1, "event {} came after {}", event.seq, self.seq);
        ensure!(event.previous == self.hash, "event {} does not follow what was read before it", event.seq);
        *self = Self { cursor: Some(event.cursor), seq: event.seq, hash: event.hash };
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_reconnecting_client_ends_with_the_same_sequence() -> Result<()> {
    let home = tempfile::tempdir()?;
    let backend = Backend::start(&home.path().join("data")).await?;
    let client = backend.client()?;
    let agent = backend.agent_client().await?;
    let spec = CreateJob::new(JobKind::Ask, "talk a lot");
    let job = client.create_job(&spec, None).await?.id;

    // Made after it, so that the agent is given the one that everybody reads.
    let mut followed = vec![job];
    for number in 0..OTHER_JOBS {
        followed.push(client.create_job(&CreateJob::new(JobKind::Ask, format!("wait {number}")), None).await?.id);
    }
    let mut stalled = Vec::new();
    for _ in 0..STALLED {
        stalled.push(Stalled::beside(&backend, &followed).await?);
    }
    let mut readers = tokio::task::JoinSet::new();
    for number in 0..CLIENTS {
        let client = backend.client()?;
        let url = backend.url();
        readers.spawn(async move {
            if number % 2 == 0 { read_sse(client, job).await } else { read_websocket(client, url, job).await }
        });
    }
    write(&agent, job).await?;

    let head = client.job(job).await?.head;
    let report = client.verify(job).await?;
    ensure!(report.intact && head.seq > EVENTS, "the log has {} events: {report:?}", head.seq);
    let mut ended = 0;
    while let Some(reader) = readers.join_next().await {
        let (seen, connections) = reader??;
        ensure!(
            (seen.seq, seen.hash) == (head.seq, report.head_hash),
            "after {connections} connections a client had {seen:?}; the log ends at {head}"
        );
        ended += 1;
    }
    ensure!(ended == CLIENTS, "{ended} of {CLIENTS} clients came to the end");
    drop(stalled);
    Ok(())
}

async fn write(agent: &Client, job: JobId) -> Result<()> {
    let worker_id = WorkerId::new(domain::Clock::now(&domain::SystemClock));
    let request = LeaseRequest { worker_id, worker_name: "talker".into(), wait_ms: 5_000 };
    let lease = agent.lease(&request).await?.context("the job is there to lease")?;
    let (epoch, attempt) = (lease.epoch, lease.attempt);
    let talk = async {
        for producer_seq in 1..=EVENTS / EVENTS_PER_BATCH {
            let note = |n| EventBody::AgentNote { message: format!("{producer_seq}/{n}") };
            let events = (0..EVENTS_PER_BATCH).map(note).collect();
            agent.append_events(job, &AppendEvents { epoch, attempt, producer_seq, events }).await?;
        }
        anyhow::Ok(())
    };
    let keep = async {
        loop {
            agent.heartbeat(job, &Heartbeat { epoch, attempt, wait_ms: 500 }).await?;
        }
    };
    tokio::select! {
        talked = talk => talked?,
        kept = keep => return kept,
    }
    let outcome = Outcome::Succeeded { result: JobResult::default() };
    agent.finish(job, &FinishJob { epoch, attempt, outcome }).await?;
    Ok(())
}

fn lifetime() -> tokio::time::Sleep {
    tokio::time::sleep(Duration::from_millis(rand::rng().random_range(CONNECTION_MS)))
}

async fn read_sse(client: Client, job: JobId) -> Result<(Seen, u32)> {
    let mut seen = Seen::NOTHING;
    for connections in 1.. {
        let mut events = std::pin::pin!(client.events(job, seen.cursor));
        let mut over = std::pin::pin!(lifetime());
        loop {
            tokio::select! {
                () = &mut over => break,
                event = events.next() => match event {
                    Some(event) => {
                        let event = event?;
                        seen.take(&event)?;
                        if event.event_type == "closed" {
                            return Ok((seen, connections));
                        }
                    }
                    None => bail!("the stream ended at {} without `closed`", seen.seq),
                },
            }
        }
    }
    unreachable!("connections are counted without end")
}

async fn read_websocket(client: Client, url: String, job: JobId) -> Result<(Seen, u32)> {
    let mut seen = Seen::NOTHING;
    let topic = format!("job:{job}");
    for connections in 1.. {
        let ticket = client.websocket_ticket().await?.ticket;
        let address = format!("{}/api/v1/ws?ticket={ticket}", url.replacen("http", "ws", 1));
        let (mut socket, _) = tokio_tungstenite::connect_async(address).await.context("opening a WebSocket")?;
        let after = seen.cursor.map(|cursor| cursor.to_string());
        let subscribe = serde_json::to_string(&ClientMessage::Subscribe { topic: topic.clone(), after })?;
        socket.send(Message::text(subscribe)).await?;
        let mut over = std::pin::pin!(lifetime());
        loop {
            let message = tokio::select! {
                () = &mut over => break,
                message = socket.next() => message,
            };
            let Some(message) = message else { bail!("the socket ended at {} without `closed`", seen.seq) };
            let Message::Text(text) = message? else { continue };
            match serde_json::from_str(&text)? {
                ServerMessage::Event { event, .. } => seen.take(&event)?,
                ServerMessage::Closed { .. } => return Ok((seen, connections)),
                ServerMessage::Error { problem, .. } => bail!("{problem:?}"),
                ServerMessage::Reset { reset, .. } => bail!("{reset:?}"),
                ServerMessage::Subscribed { .. } | ServerMessage::Heartbeat { .. } | ServerMessage::Job { .. } => {}
            }
        }
    }
    unreachable!("connections are counted without end")
}
