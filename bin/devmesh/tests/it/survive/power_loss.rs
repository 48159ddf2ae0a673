//! The power goes under the whole program: what it acknowledged over HTTP is there, and its owner gets in.

use super::{
    kill_backend::check,
    ledger::{Ledger, sha256},
    stage::Backend,
};
use anyhow::{Context, Result, ensure};
use client::{Client, Upload};
use domain::{JobKind, WorkerId};
use protocol::{AppendEvents, CreateJob, EventBody, FinishJob, JobResult, LeaseRequest, Outcome};
use testkit::{Kept, Syncs, VolatileDisk};

/// Each in another folder that was made just before: nothing of it has had time to reach the disk by itself.
const CUTS: u64 = 6;

#[tokio::test(flavor = "multi_thread")]
async fn a_power_cut_loses_nothing_that_was_acknowledged_and_locks_nobody_out() -> Result<()> {
    for seed in 0..CUTS {
        let Some(mut disk) = VolatileDisk::mount(Syncs::Obeyed) else { return Ok(()) };
        let backend = Backend::start(&disk.path().join("data")).await?;
        let token = backend.admin_token()?;
        let agent = backend.agent_client().await?;
        let ledger = work(&backend.client()?, &agent).await?;
        let home = tempfile::tempdir()?;
        let survived = home.path().join("disk");
        let kept = if seed % 2 == 0 { Kept::Nothing } else { Kept::Any };
        disk.cut(kept, seed, &survived);
        drop(backend);

        let folder = survived.join("data");
        let backend = Backend::start(&folder).await.with_context(|| format!("cut {seed}, {kept:?}"))?;
        ensure!(backend.admin_token().ok().as_ref() == Some(&token), "cut {seed}, {kept:?}: the owner's token is gone");
        let checked = check::everything(&backend.client()?, &folder, &ledger).await;
        checked.with_context(|| format!("cut {seed}, {kept:?}"))?;
    }
    Ok(())
}

/// One job of every stage: waiting, running, done.
async fn work(client: &Client, agent: &Client) -> Result<Ledger> {
    let mut ledger = Ledger::default();
    for number in 0..3 {
        let key = format!("job-{number}");
        let job = client.create_job(&CreateJob::new(JobKind::Ask, &key), Some(&key)).await?;
        ledger.jobs.insert(key, job.id);
    }
    let worker_id = WorkerId::new(domain::Clock::now(&domain::SystemClock));
    for finishes in [true, false] {
        let request = LeaseRequest { worker_id, worker_name: "test".into(), wait_ms: 5_000 };
        let lease = agent.lease(&request).await?.context("a job waits")?;
        let (job, epoch, attempt) = (lease.job_id, lease.epoch, lease.attempt);
        let note = format!("{attempt}/1/0");
        let events = vec![EventBody::AgentNote { message: note.clone() }];
        agent.append_events(job, &AppendEvents { epoch, attempt, producer_seq: 1, events }).await?;
        ledger.notes.entry(job).or_default().push(note);
        for (name, content) in [("own", format!("output of {job}")), ("shared", "printed by both".to_owned())] {
            let upload = Upload::Bytes(content.clone().into());
            agent.put_artifact(job, (epoch, attempt), name, "text/plain", &upload).await?;
            ledger.artifacts.insert((job, name.to_owned()), sha256(content.as_bytes()));
        }
        if finishes {
            let answer = "done".to_owned();
            let result = JobResult { answer: Some(answer.clone()), ..JobResult::default() };
            agent.finish(job, &FinishJob { epoch, attempt, outcome: Outcome::Succeeded { result } }).await?;
            ledger.results.insert(job, answer);
        }
    }
    Ok(ledger)
}
