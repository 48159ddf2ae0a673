//! The end of an attempt: finish the job, hand it back, or leave without a word.

use super::{Attempt, Done, broken_workspace};
use crate::{
    appender::Appender,
    halt::{Halt, persist},
    output::plain,
    stop::{Cause, Stop},
};
use client::{Client, Upload};
use domain::{Epoch, FailureReason, JobId, JobKind};
use protocol::{EventBody, FinishJob, JobResult, Outcome, ReleaseJob, Usage};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// The artifact with the patch.
const PATCH: &str = "patch.diff";
const PATCH_MEDIA_TYPE: &str = "text/x-diff";
/// Longest message of a failed job or a release, in bytes; the backend takes 2 KiB.
const MESSAGE_BYTES: usize = 2_000;
/// How long after the lease is gone the answer to a last word may still come.
const LATE_ANSWER: Duration = Duration::from_secs(2);
/// Said of a `code` job without a patch.
const UNCHANGED: &str = "nothing was changed, so there is no patch";
/// Stands for words the backend would not take.
const UNSAID: &str = "what there was to say could not be recorded; the agent's own log has it";
/// Longest answer in a job's result, in bytes; the backend takes 4 MiB for the whole result.
const ANSWER_BYTES: usize = 1024 * 1024;

pub(super) struct Ending {
    pub(super) client: Client,
    pub(super) job: JobId,
    pub(super) epoch: Epoch,
    pub(super) number: u32,
    pub(super) stop: Stop,
    pub(super) appender: Appender,
    /// For an attempt that never got as far as counting.
    pub(super) usage: Usage,
}

impl Ending {
    pub(super) async fn conclude(self, attempt: Option<&mut Attempt>, outcome: Result<Done, Halt>) {
        let (job, number) = (self.job, self.number);
        match self.close(attempt, outcome).await {
            Ok(word) => tracing::info!(%job, attempt = number, "{word}"),
            // The lease is lost or the backend refuses; either way the job is no longer ours to end.
            Err(halt) => {
                tracing::warn!(%job, attempt = number, ?halt, cause = ?self.stop.cause(), "left without a word")
            }
        }
    }

    async fn close(&self, attempt: Option<&mut Attempt>, outcome: Result<Done, Halt>) -> Result<&'static str, Halt> {
        let changes_files = attempt.as_ref().is_some_and(|attempt| attempt.spec.kind == JobKind::Code);
        let halt = match outcome {
            Ok(done) => match self.result(attempt, Some(done.answer)).await {
                Ok(result) if changes_files && result.patch_artifact.is_none() => {
                    // People read it; the job ends the same without.
                    let _ = self.appender.append(vec![EventBody::AgentNote { message: UNCHANGED.into() }]).await;
                    return self.finish(Outcome::Succeeded { result }, "succeeded").await;
                }
                Ok(result) => return self.finish(Outcome::Succeeded { result }, "succeeded").await,
                Err((halt, _)) => halt,
            },
            Err(halt) => {
                return self.halted(attempt, halt).await;
            }
        };
        // The work is done and cannot be handed in.
        self.halted(None, halt).await
    }

    async fn halted(&self, attempt: Option<&mut Attempt>, halt: Halt) -> Result<&'static str, Halt> {
        let (reason, message) = match (halt, self.stop.cause()) {
            (Halt::WaitsForApproval, _) => return Ok("waits for a decision"),
            (_, Some(Cause::Lost)) => return Err(Halt::Stopped),
            (_, Some(Cause::Cancelled)) => {
                let result = self.result(attempt, None).await.unwrap_or_else(|(_, result)| result);
                return self.finish(Outcome::Cancelled { result }, "cancelled").await;
            }
            (_, Some(Cause::TimedOut)) => {
                (FailureReason::TimedOut, "the job's time is up; raise its limits to let it run longer".into())
            }
            (Halt::Stopped, Some(Cause::ShuttingDown)) => {
                return self.release("the agent is shutting down", false).await;
            }
            (Halt::Stopped, None) => return self.release("the attempt stopped without a cause", true).await,
            (Halt::AttemptFailed { message }, _) => return self.release(&message, true).await,
            (Halt::Failed { reason, message }, _) => (reason, message),
        };
        let message = clipped(message, MESSAGE_BYTES);
        let result = self.result(attempt, None).await.unwrap_or_else(|(_, result)| result);
        self.finish(Outcome::Failed { reason, message, result }, "failed").await
    }

    /// What the job hands back. A patch that cannot be handed in is told apart, with the rest of the result.
    async fn result(
        &self,
        attempt: Option<&mut Attempt>,
        answer: Option<String>,
    ) -> Result<JobResult, (Halt, JobResult)> {
        let Some(attempt) = attempt else { return Ok(JobResult { usage: self.usage, ..JobResult::default() }) };
        let mut result = JobResult {
            answer: answer.filter(|answer| !answer.is_empty()).map(|answer| clipped(answer, ANSWER_BYTES)),
            patch_artifact: None,
            base_commit: Some(attempt.workspace.base_commit().to_owned()),
            branch: Some(attempt.workspace.branch().to_owned()),
            subfolder: attempt.workspace.subfolder().to_str().filter(|path| !path.is_empty()).map(str::to_owned),
            check: attempt.checked.clone(),
            models: attempt.models.clone(),
            usage: attempt.budget.usage(),
        };
        match self.hand_in_patch(attempt).await {
            Ok(name) => {
                result.patch_artifact = name;
                Ok(result)
            }
            Err(halt) => Err((halt, result)),
        }
    }

    async fn hand_in_patch(&self, attempt: &mut Attempt) -> Result<Option<String>, Halt> {
        let patch = attempt.workspace.patch().await.map_err(broken_workspace)?;
        if let Some(words) = attempt.workspace.left_out() {
            // People read it; the job ends the same without.
            let _ = self.appender.append(vec![EventBody::AgentNote { message: plain(&words) }]).await;
        }
        if patch.is_empty() {
            return Ok(None);
        }
        let upload = Upload::Bytes(patch.into());
        persist(&self.stop, self.stop.lost(), || {
            self.client.put_artifact(self.job, (self.epoch, self.number), PATCH, PATCH_MEDIA_TYPE, &upload)
        })
        .await?;
        Ok(Some(PATCH.into()))
    }

    async fn finish(&self, outcome: Outcome, word: &'static str) -> Result<&'static str, Halt> {
        let (Outcome::Succeeded { result } | Outcome::Failed { result, .. } | Outcome::Cancelled { result }) = &outcome;
        // Events that are refused must not keep the job from ending; the refusal is in its message already.
        let _ = self.appender.append(vec![EventBody::BudgetUpdated { usage: result.usage }]).await;
        let _ = self.appender.flush().await;
        let plain = match &outcome {
            Outcome::Failed { reason, .. } => {
                let result = JobResult { answer: None, ..result.clone() };
                Outcome::Failed { reason: *reason, message: UNSAID.into(), result }
            }
            Outcome::Succeeded { .. } => Outcome::Succeeded { result: JobResult { answer: None, ..result.clone() } },
            Outcome::Cancelled { .. } => Outcome::Cancelled { result: JobResult { answer: None, ..result.clone() } },
        };
        let mut refused = Err(Halt::Stopped);
        for outcome in [outcome, plain] {
            let finish = FinishJob { epoch: self.epoch, attempt: self.number, outcome };
            refused = self.last_word(|| self.client.finish(self.job, &finish)).await.map(drop);
            match &refused {
                // The last word is said again without what was refused; a job is not lost for its words.
                Err(Halt::Failed { message, .. }) => {
                    tracing::warn!(job = %self.job, %message, "the end of a job was refused");
                }
                _ => break,
            }
        }
        refused.map(|()| word)
    }

    /// A heartbeat may hear of the end before its own call does; the answer to that is waited for all the same.
    async fn last_word<T, F: Future<Output = client::Result<T>>>(&self, call: impl FnMut() -> F) -> Result<T, Halt> {
        let never = CancellationToken::new();
        tokio::select! {
            biased;
            answer = persist(&self.stop, &never, call) => answer,
            () = async {
                self.stop.lost().cancelled().await;
                tokio::time::sleep(LATE_ANSWER).await;
            } => Err(Halt::Stopped),
        }
    }

    async fn release(&self, message: &str, failed: bool) -> Result<&'static str, Halt> {
        let _ = self.appender.flush().await;
        let mut refused = Err(Halt::Stopped);
        for message in [clipped(message.to_owned(), MESSAGE_BYTES), UNSAID.to_owned()] {
            let release = ReleaseJob { epoch: self.epoch, attempt: self.number, message, failed };
            refused = self.last_word(|| self.client.release(self.job, &release)).await.map(drop);
            match &refused {
                Err(Halt::Failed { message, .. }) => {
                    tracing::warn!(job = %self.job, %message, "handing a job back was refused");
                }
                _ => break,
            }
        }
        refused.map(|()| "handed back")
    }
}

/// Foreign text made safe, cut at a character, and saying so.
fn clipped(text: String, bytes: usize) -> String {
    const MARK: &str = " [...]";
    let mut text = plain(&text);
    if text.len() > bytes {
        text.truncate(text.floor_char_boundary(bytes - MARK.len()));
        text.push_str(MARK);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_words_are_cut_at_a_character_and_say_so() {
        assert_eq!(clipped("short".into(), 20), "short");
        let cut = clipped("é".repeat(20), 20);
        assert_eq!(cut, "ééééééé [...]");
    }
}
