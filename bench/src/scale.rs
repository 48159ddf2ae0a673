//! Does a full database make anything slower?

use crate::{
    seed,
    server::{Server, folder, lease_request},
    stalled::Stalled,
    summary::{Latencies, print, shown},
};
use anyhow::{Context, Result};
use domain::{JobKind, JobState};
use protocol::{CreateJob, FinishJob, JobResult, ListEvents, ListJobs, Outcome};
use std::{
    future::Future,
    time::{Duration, Instant},
};

const SIZES: [u64; 2] = [1_000, 1_000_000];
const SAMPLES: usize = 300;

#[derive(Default)]
struct Figures {
    enqueue: Latencies,
    claim: Latencies,
    list: Latencies,
    tail: Latencies,
}

pub async fn run() -> Result<()> {
    let mut figures = Vec::new();
    for size in SIZES {
        let folder = folder()?;
        let data = folder.path().join("data");
        drop(Server::start(&data).await?);
        seed::queued_jobs(&data, size).await?;
        let server = Server::start(&data).await?;
        figures.push(measure(&server).await?);
        if size == SIZES[SIZES.len() - 1] {
            let newest = server.client()?.jobs(&ListJobs { limit: Some(50), ..ListJobs::default() }).await?.jobs;
            let jobs: Vec<_> = newest.iter().map(|job| job.id).collect();
            let stalled = Stalled::beside(&server, &jobs).await?;
            figures.push(measure(&server).await?);
            drop(stalled);
        }
    }
    let [small, large, beside] = &figures[..] else { unreachable!("two sizes, the larger one twice") };
    for (what, of) in [
        ("enqueue", (|f: &Figures| f.enqueue.median()) as fn(&Figures) -> Duration),
        ("claim", |f| f.claim.median()),
        ("list newest 50 queued", |f| f.list.median()),
        ("tail of one log", |f| f.tail.median()),
    ] {
        let ratio = of(large).as_secs_f64() / of(small).as_secs_f64();
        print(what, &format!("p50 {} → {}  ({ratio:.2}×)", shown(of(small)), shown(of(large))));
        let ratio = of(beside).as_secs_f64() / of(large).as_secs_f64();
        print("  beside readers that do not read", &format!("p50 {}  ({ratio:.2}×)", shown(of(beside))));
    }
    print("wanted", "each ≤ 2×, also beside readers that do not read");
    Ok(())
}

async fn measure(server: &Server) -> Result<Figures> {
    let (user, agent) = (server.client()?, server.agent().await?);
    let mut figures = Figures::default();
    for _ in 0..SAMPLES {
        let job = timed(&mut figures.enqueue, user.create_job(&CreateJob::new(JobKind::Ask, "new"), None)).await?;
        let lease = timed(&mut figures.claim, agent.lease(&lease_request(1_000))).await?.context("jobs are queued")?;
        let list = ListJobs { state: Some(JobState::Queued), limit: Some(50), ..ListJobs::default() };
        timed(&mut figures.list, user.jobs(&list)).await?;
        timed(&mut figures.tail, user.events_page(job.id, &ListEvents::default())).await?;
        let outcome = Outcome::Succeeded { result: JobResult::default() };
        agent.finish(lease.job_id, &FinishJob { epoch: lease.epoch, attempt: lease.attempt, outcome }).await?;
    }
    Ok(figures)
}

async fn timed<T>(into: &mut Latencies, call: impl Future<Output = client::Result<T>>) -> Result<T> {
    let started = Instant::now();
    let answer = call.await?;
    into.record(started.elapsed());
    Ok(answer)
}
