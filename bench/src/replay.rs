//! Reading a very long log from its start.

use crate::{
    seed,
    server::{Server, folder},
    stalled::Stalled,
    summary::{Rounds, print},
};
use anyhow::{Context, Result, ensure};
use domain::JobId;
use futures_util::StreamExt as _;
use std::time::Instant;

const EVENTS: u64 = 1_000_000;
const ROUNDS: usize = 3;

pub async fn run() -> Result<()> {
    let folder = folder()?;
    let data = folder.path().join("data");
    drop(Server::start(&data).await?);
    let job = seed::long_log(&data, EVENTS).await?;
    let server = Server::start(&data).await?;
    let before = server.resident_mib().unwrap_or_default();
    let (mut rate, mut beside, mut peak) = (Rounds::default(), Rounds::default(), before);
    for _ in 0..ROUNDS {
        rate.0.push(events_per_second(&server, job, &mut peak).await?);
    }
    let stalled = Stalled::beside(&server, &[job]).await?;
    for _ in 0..ROUNDS {
        beside.0.push(events_per_second(&server, job, &mut peak).await?);
    }
    drop(stalled);
    ensure!(!rate.0.is_empty(), "no round ran");
    print("replay over SSE", &rate.line("events/s"));
    print("the same beside readers that do not read", &beside.line("events/s"));
    print("ratio of medians with and without them", &format!("{:.2}×", beside.median() / rate.median()));
    print("server memory before → at most", &format!("{before:.0} → {peak:.0} MiB"));
    print("wanted", "≥ 100,000 events/s, memory flat, ≥ 0.9× beside readers that do not read");
    Ok(())
}

async fn events_per_second(server: &Server, job: JobId, peak: &mut f64) -> Result<f64> {
    let started = Instant::now();
    let url = format!("{}/api/v1/jobs/{job}/events", server.url);
    let request = reqwest::Client::builder().build()?.get(url);
    let answer = request.bearer_auth(server.admin_token()?).header("accept", "text/event-stream").send().await?;
    let mut body = answer.error_for_status()?.bytes_stream();
    let (mut events, mut last) = (0u64, 0u8);
    // Counting blank lines is the least a client can do: the figure is the server's, not a JSON parser's.
    while events < EVENTS {
        let piece = body.next().await.context("the stream ended early")??;
        for byte in piece {
            let blank_line = byte == b'\n' && last == b'\n';
            events += u64::from(blank_line);
            last = if blank_line { 0 } else { byte };
        }
        *peak = f64::max(*peak, server.resident_mib().unwrap_or_default());
    }
    Ok(events as f64 / started.elapsed().as_secs_f64())
}
