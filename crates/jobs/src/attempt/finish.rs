//! The last word of an attempt: the job is over.

use super::fence;
use crate::{
    Caller, Error, Handle,
    event::to_store,
    last_words,
    lifecycle::{Ending, close},
};
use domain::{JobId, JobState};
use protocol::{Actor, FinishJob, Job, JobResult, Outcome};
use store::{Found, JobHead, JobRow, Urgency, Write};

/// What a job may hand back in its row: answer and closing words (bytes). Longer results are artifacts.
const RESULT_BYTES: usize = 4 << 20;

impl Handle {
    /// Records the one outcome of the job. A job that somebody cancelled ends as cancelled, whatever the outcome says,
    /// and keeps the result. The same words again, after an answer that got lost, are harmless.
    pub async fn finish(&self, caller: &Caller, job: JobId, finish: FinishJob) -> Result<Job, Error> {
        let fence = fence(caller, job, finish.epoch, finish.attempt)?;
        let outcome = last_words::fit_outcome(finish.outcome);
        check(&outcome)?;
        let (now, ran_ms) = (self.shared.now(), self.shared.live.ran_ms(job, finish.attempt));
        let finish = move |found: &Found| {
            let mut row = found.job.clone();
            if row.state.is_terminal() && fence.was_last(&row) && repeats(&row, &outcome)? {
                return Ok(None);
            }
            fence.check(&JobHead::from(&row))?;
            row.running_ms = ran_ms.unwrap_or(row.running_ms);
            let ending = ending(&row, outcome.clone())?;
            let closed = close(&mut row, Actor::Agent, now, ending)?;
            Ok(Some(Write::new(row, vec![closed])))
        };
        self.carry_through(async move |shared| {
            let row = shared.store.change_job(job, Urgency::Relief, Box::new(finish)).await?.job;
            shared.live.end(job, fence.attempt);
            shared.freed(&row);
            shared.view(row)
        })
        .await
    }
}

fn check(outcome: &Outcome) -> Result<(), Error> {
    let (result, _) = parts(outcome);
    let bytes = to_store(result)?.len();
    if bytes > RESULT_BYTES {
        let detail = format!("is {bytes} bytes; {RESULT_BYTES} are allowed. Hand the rest in as an artifact");
        return Err(Error::invalid("/outcome/result", detail));
    }
    Ok(())
}

fn parts(outcome: &Outcome) -> (&JobResult, Option<&str>) {
    match outcome {
        Outcome::Succeeded { result } | Outcome::Cancelled { result } => (result, None),
        Outcome::Failed { result, message, .. } => (result, Some(message)),
    }
}

fn ending(row: &JobRow, outcome: Outcome) -> Result<Ending, Error> {
    if row.cancel_requested {
        let (Outcome::Succeeded { result } | Outcome::Cancelled { result } | Outcome::Failed { result, .. }) = outcome;
        return Ok(Ending { result: Some(result), ..Ending::cancelled(row.message.clone()) });
    }
    Ok(match outcome {
        Outcome::Succeeded { result } => {
            Ending { state: JobState::Succeeded, reason: None, message: None, result: Some(result) }
        }
        Outcome::Failed { reason, message, result } => {
            Ending { result: Some(result), ..Ending::failed(reason, message) }
        }
        Outcome::Cancelled { .. } => {
            let detail = "nobody asked to cancel this job; finish it as failed, or release it for another worker";
            return Err(Error::invalid("/outcome/state", detail));
        }
    })
}

/// Whether a closed job was closed with these very words. Usage is left out: it only ever grows on its way in.
fn repeats(row: &JobRow, outcome: &Outcome) -> Result<bool, Error> {
    let (result, message) = parts(outcome);
    let Some(recorded) = row.result.as_deref() else { return Ok(false) };
    let recorded: JobResult = crate::event::stored(row.id, "result", recorded)?;
    let same_result = JobResult { usage: recorded.usage, ..result.clone() } == recorded;
    let same_state = match outcome {
        _ if row.cancel_requested => true,
        Outcome::Succeeded { .. } => row.state == JobState::Succeeded,
        Outcome::Failed { reason, .. } => row.reason == Some(*reason) && row.message.as_deref() == message,
        Outcome::Cancelled { .. } => row.state == JobState::Cancelled,
    };
    Ok(same_result && same_state)
}
