//! `devmesh verify`: recompute the hash chain of a job's log, and the digests of its artifacts.

use crate::{
    context::Context,
    output::{BAD, Exit, GOOD, Result, WARNING, one_line, styled},
};
use client::Client;
use domain::{CanonicalJson, EventHash, JobId, Link, verify_link};
use futures_util::{StreamExt, TryStreamExt};
use protocol::{BrokenLink, Event, VerifyReport};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Every event carries the hash of the one before it; a changed, dropped or reordered event breaks the chain."
)]
pub struct Arguments {
    /// Job id, or the beginning of one
    job: String,
    /// Read the whole log and recompute here too, without trusting the backend's word
    #[arg(long)]
    here: bool,
}

pub async fn run(arguments: Arguments, context: &Context) -> Result<Exit> {
    let client = context.client()?;
    let output = &context.output;
    let job = context.job(&client, &arguments.job).await?;
    let mut report = client.verify(job.id).await?;
    if arguments.here {
        let here = recompute(&client, &report).await?;
        if report.intact {
            report = here;
        }
    }
    let intact = report.intact;
    output.show(&report, || match &report.broken_at {
        None => format!(
            "{} {} events up to {}, last hash {}; {} artifacts",
            styled(GOOD, "intact:"),
            report.events,
            report.head,
            report.head_hash,
            report.artifacts
        ),
        Some(broken) => told(broken),
    })?;
    if report.broken_at.as_ref().is_some_and(|broken| broken.artifact.is_some()) {
        output.next("devmesh restore FILE --data NEW_FOLDER, from a backup that has it, or devmesh jobs retry ID");
        return Ok(Exit::Failed);
    }
    if !intact {
        output.next("stop the backend, keep a copy of the data folder, and devmesh restore a backup into a new one");
        return Ok(Exit::Failed);
    }
    Ok(Exit::Done)
}

fn told(broken: &BrokenLink) -> String {
    let detail = one_line(&broken.detail, WARNING);
    match (&broken.artifact, broken.seq) {
        (None, 0) => format!("{}: {detail}", styled(BAD, "broken")),
        (None, seq) => format!("{} at event {seq}: {detail}", styled(BAD, "broken")),
        (Some(artifact), 0) => format!("{}: artifact `{artifact}`: {detail}", styled(BAD, "broken")),
        (Some(artifact), seq) => {
            format!("{}: artifact `{artifact}`, handed in with event {seq}: {detail}", styled(BAD, "broken"))
        }
    }
}

/// The same chain from the events as they travelled, up to the head the backend named.
async fn recompute(client: &Client, named: &VerifyReport) -> Result<VerifyReport> {
    let mut chain = Chain { job: named.job_id, previous: EventHash::START, seq: 0, events: 0 };
    let mut broken_at = None;
    if named.head.seq > 0 {
        let mut events = client.events(named.job_id, None).take((named.head.seq) as usize);
        while let Some(event) = events.try_next().await? {
            if let Err(detail) = chain.add(&event) {
                broken_at = Some(BrokenLink { seq: event.seq, artifact: None, detail });
                break;
            }
        }
    }
    if broken_at.is_none() && chain.previous != named.head_hash {
        broken_at = Some(BrokenLink {
            seq: chain.seq,
            artifact: None,
            detail: format!("the log ends with hash {}, the backend says {}", chain.previous, named.head_hash),
        });
    }
    Ok(VerifyReport {
        intact: broken_at.is_none(),
        events: chain.events,
        head_hash: chain.previous,
        broken_at,
        ..named.clone()
    })
}

struct Chain {
    job: JobId,
    previous: EventHash,
    seq: u64,
    events: u64,
}

impl Chain {
    fn add(&mut self, event: &Event) -> Result<(), String> {
        let payload = CanonicalJson::of_kept(&event.payload).map_err(|error| error.to_string())?;
        if event.seq != self.seq + 1 {
            return Err(format!("event {} follows event {}", event.seq, self.seq));
        }
        if event.previous != self.previous {
            return Err("it does not link to the event before it".into());
        }
        let link = Link {
            job_id: self.job,
            epoch: event.epoch,
            seq: event.seq,
            event_type: &event.event_type,
            actor: event.actor.as_str(),
            attempt: event.attempt,
            at: event.at,
            payload: &payload,
            previous: event.previous,
        };
        if !verify_link(&link, event.hash) {
            return Err("its fields do not have the hash it carries".into());
        }
        (self.previous, self.seq, self.events) = (event.hash, event.seq, self.events + 1);
        Ok(())
    }
}
