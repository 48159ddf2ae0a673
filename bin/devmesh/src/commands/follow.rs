//! Following a job: what `run`, `attach`, `logs -f` and `try` have in common.

use crate::{
    context::Context,
    output::{EventView, Exit, FAINT, Failure, Output, Result, Seen},
    wiring::Signals,
};
use client::{Client, Connection, Error};
use domain::{ApprovalId, Cursor, JobId};
use futures_util::StreamExt;
use protocol::{Event, ListApprovals, WaitsFor};
use std::time::Duration;
use tokio::time::Instant;

/// A broken connection is mentioned only after this long; most are back before anybody would have noticed.
const QUIET_GAP: Duration = Duration::from_secs(3);

/// Between two looks at why a job is still in the queue.
const QUEUE_LOOK: Duration = Duration::from_secs(2);
/// Where nobody reads along, a job that no agent can take is left in the queue after this long.
const DESERTED_PATIENCE: Duration = Duration::from_secs(12);

/// Where events go when they are not JSON, which is always data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The events are what was asked for.
    Data,
    /// The events are company while one waits for the result.
    Talk,
}

/// What to do when the job waits for a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnApproval {
    Wait,
    Leave,
}

/// How the following ended.
#[derive(Debug)]
pub enum Followed {
    Closed(Seen),
    /// The user has seen enough; the job goes on.
    Interrupted,
    WaitsFor(ApprovalId),
    /// No agent is connected that could work on it; the job stays in the queue.
    Deserted,
}

pub async fn follow(
    context: &Context,
    client: &Client,
    job: JobId,
    after: Option<Cursor>,
    stage: Stage,
    on_approval: OnApproval,
    signals: &mut Signals,
) -> Result<Followed> {
    let output = &context.output;
    let mut view = EventView::default();
    let mut after = after;
    let (mut look_at, mut deserted_since) = (Instant::now() + QUEUE_LOOK, None::<Instant>);
    let (mut is_queued, mut said_deserted) = (false, false);
    loop {
        let mut stream = client.events(job, after);
        let mut connection = stream.connection();
        let mut mentioned = false;
        let reset = loop {
            let broken = matches!(*connection.borrow_and_update(), Connection::Waiting { .. });
            if !broken && std::mem::take(&mut mentioned) {
                output.say(format_args!("{FAINT}live again{FAINT:#}"));
            }
            tokio::select! {
                item = stream.next() => match item {
                    Some(Ok(event)) => {
                        show(output, stage, &mut view, &event)?;
                        is_queued = matches!(event.event_type.as_str(), "job.created" | "job.requeued");
                        deserted_since = None;
                        if event.event_type == "closed" {
                            return Ok(Followed::Closed(view.seen));
                        }
                        // An old request may have been decided since; what was decided follows in the log.
                        if let (Some(approval), OnApproval::Leave) = (view.seen.waiting_for, on_approval)
                            && event.event_type == "approval.requested"
                            && still_waits(client, job, approval).await?
                        {
                            return Ok(Followed::WaitsFor(approval));
                        }
                    }
                    Some(Err(Error::Reset(reset))) => break reset,
                    Some(Err(error)) => return Err(Failure::from(error).next(format!("devmesh attach {job}"))),
                    None => return Ok(Followed::Closed(view.seen)),
                },
                // Says so once a gap has lasted; a change of state starts the wait anew.
                () = tokio::time::sleep(QUIET_GAP), if broken && !mentioned => {
                    mentioned = true;
                    output.say(format_args!("{FAINT}no connection to {}; trying again, nothing is lost{FAINT:#}", client.base_url()));
                }
                _ = connection.changed() => {}
                () = tokio::time::sleep_until(look_at), if is_queued => {
                    look_at = Instant::now() + QUEUE_LOOK;
                    // A backend that does not answer is told of where its stream breaks.
                    let is_deserted = client.job(job).await.is_ok_and(|job| job.waits_for == Some(WaitsFor::Agent));
                    deserted_since = deserted_since.filter(|_| is_deserted).or_else(|| is_deserted.then(Instant::now));
                    if let Some(since) = deserted_since {
                        if !std::mem::replace(&mut said_deserted, true) {
                            output.say("no agent is connected to this mesh, so the job waits: `devmesh up` starts one with the backend, `devmesh agent` alone");
                        }
                        if on_approval == OnApproval::Leave && since.elapsed() > DESERTED_PATIENCE {
                            return Ok(Followed::Deserted);
                        }
                    }
                }
                () = signals.next() => return Ok(Followed::Interrupted),
            }
        };
        output.say(format_args!(
            "{FAINT}{}; going on from {}{FAINT:#}",
            Error::Reset(reset.clone()),
            reset.resume_from
        ));
        after = Some(reset.resume_from);
    }
}

async fn still_waits(client: &Client, job: JobId, approval: ApprovalId) -> Result<bool> {
    let pending =
        client.approvals(&ListApprovals { job_id: Some(job), pending: Some(true), ..ListApprovals::default() }).await?;
    Ok(pending.approvals.iter().any(|known| known.id == approval))
}

fn show(output: &Output, stage: Stage, view: &mut EventView, event: &Event) -> Result<()> {
    let text = view.render(event);
    match (output.json, stage) {
        (true, _) => output.json(event),
        (false, Stage::Data) => output.text(&text),
        (false, Stage::Talk) => {
            output.say_text(&text);
            Ok(())
        }
    }
}

/// Follows to the end and turns the job's result into the command's.
pub async fn to_result(
    context: &Context,
    client: &Client,
    job: JobId,
    on_approval: OnApproval,
    signals: &mut Signals,
) -> Result<Exit> {
    let output = &context.output;
    match follow(context, client, job, None, Stage::Talk, on_approval, signals).await? {
        Followed::Closed(seen) => {
            let job = client.job(job).await?;
            let result = job.result.clone().unwrap_or_default();
            if let Some(answer) = &result.answer
                && !output.json
                && !was_read_already(output, &seen, answer)
            {
                // In a pipe the answer is data and stays as it is; a terminal gets it without escapes.
                output.line(if output.stdout_is_terminal { crate::output::plain(answer) } else { answer.clone() })?;
            }
            if let Some(check) = &result.check {
                output.say(check);
            }
            if job.changed_nothing() {
                output.say("nothing was changed");
            }
            if result.patch_artifact.is_some() {
                output.next(format_args!("devmesh diff {0}, then devmesh apply {0}", super::short(job.id)));
            } else if Exit::of_job(&job) != Exit::Done {
                output.next(format_args!("devmesh logs {0}, or devmesh jobs retry {0}", super::short(job.id)));
            }
            Ok(Exit::of_job(&job))
        }
        Followed::Interrupted => {
            output.say(format_args!("detached; the job goes on"));
            output.next(format_args!("devmesh attach {job}"));
            Ok(Exit::Interrupted)
        }
        Followed::Deserted => {
            output.say("the job stays in the queue, and is worked on once an agent is connected");
            output.next(format_args!("devmesh attach {job}"));
            Ok(Exit::Stopped)
        }
        Followed::WaitsFor(approval) => {
            output.say("the job waits for a decision");
            output.next(format_args!("devmesh approve {approval}, then devmesh attach {job}"));
            Ok(Exit::Stopped)
        }
    }
}

/// On a terminal that shows both streams the answer has just gone by.
fn was_read_already(output: &Output, seen: &Seen, answer: &str) -> bool {
    let both = output.stdout_is_terminal && output.stderr_is_terminal && !output.quiet;
    both && seen.last_answer.as_deref().is_some_and(|last| last.trim() == answer.trim())
}
