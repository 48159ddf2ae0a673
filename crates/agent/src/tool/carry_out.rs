//! One tool call from permission to record.
//!
//! ```text
//!   policy ─ ask ─▶ decided? ─ no ──▶ the attempt ends; the job waits
//!     │                 │ approved          (the next attempt comes back to this very call)
//!     └── auto ────────▶┴▶ tool.started, durable ─▶ it runs ─▶ step commit ─▶ tool.finished + workspace.checkpoint
//!                       └ denied ──────────────────────────────────────────▶ tool.finished: denied
//! ```
//! `tool.finished` and `workspace.checkpoint` are stored together. So a log either knows both, and the next attempt goes on
//! after the call, or neither, and it goes on before it.

use super::{Action, run::Ran, said};
use crate::{
    attempt::{Attempt, broken_workspace},
    conversation::{Call, Finished},
    halt::{Halt, persist},
    helper::Over,
    output::{plain, shown_characters},
    prompt, workspace,
};
use domain::{FailureReason, JobKind};
use protocol::{ApprovalPolicy, Decision, EventBody, RequestApproval, ToolOutcome};
use std::time::Duration;
use tokio::time::Instant;

/// Notes of one step that the model is told, each a line; people read all of them.
const NOTES_TOLD: usize = 3;

impl Attempt {
    /// Does what a call asks for and records it.
    pub(crate) async fn carry_out(&mut self, call: &Call) -> Result<Finished, Halt> {
        if let Some(denial) = self.denied(call).await? {
            return self.record(call, denial).await;
        }
        let tool = call.action.tool().as_str().to_owned();
        let started = EventBody::ToolStarted { call_id: call.id.clone(), tool, arguments: call.action.arguments() };
        self.appender.append(vec![started]).await?;
        // Whatever happens from here on, the log knows that it may have happened.
        self.appender.flush().await?;
        let ran = match &call.action {
            Action::Run { command } => self.run_command(&call.id, command).await?,
            Action::ReadFile { path, from, to } => {
                self.timed(|bytes| self.workspace.read_file(path, (*from, *to), bytes)).await?
            }
            Action::Search { pattern, path } => self.timed(|bytes| self.workspace.search(pattern, path, bytes)).await?,
            Action::EditFile { path, old, new } => self.edit(path, old, new).await?,
            Action::WriteFile { path, content } => self.write(path, content).await?,
            Action::Finish { .. } => return Err(Halt::error("finish is not a call that can be carried out")),
        };
        self.record(call, ran).await
    }

    /// The result of a call a person refused; `None` when it may go ahead.
    async fn denied(&self, call: &Call) -> Result<Option<Ran>, Halt> {
        let tool = call.action.tool();
        match tool.policy(&self.spec.approvals) {
            ApprovalPolicy::Auto => return Ok(None),
            ApprovalPolicy::Ask => {}
            ApprovalPolicy::Never => {
                let policy = tool.decided_with().unwrap_or(tool).as_str();
                let message = format!(
                    "the job needs `{}` and its approvals say `never` to it; create it again with `approvals.{policy}` set to \
                     `auto` or `ask`",
                    tool.as_str()
                );
                return Err(Halt::Failed { reason: FailureReason::Refused, message });
            }
        }
        // Asking may end the attempt, and with it the right to write.
        self.appender.flush().await?;
        let request = RequestApproval {
            epoch: self.epoch,
            attempt: self.number,
            call_id: call.id.clone(),
            tool: tool.as_str().to_owned(),
            arguments: call.action.arguments(),
        };
        let answer =
            persist(&self.stop, self.stop.requested(), || self.client.request_approval(self.job, &request)).await?;
        match answer.decision {
            None => Err(Halt::WaitsForApproval),
            Some(Decision::Approved) => Ok(None),
            Some(Decision::Denied) => Ok(Some(Ran {
                outcome: ToolOutcome::Denied,
                exit_code: None,
                duration: Duration::ZERO,
                output: answer.message.unwrap_or_default(),
                omitted_bytes: 0,
                artifact: None,
            })),
        }
    }

    /// Does what is done in a helper, shown in as many bytes as the model can take.
    async fn timed<F: Future<Output = Result<Result<String, String>, workspace::Error>>>(
        &self,
        work: impl FnOnce(usize) -> F,
    ) -> Result<Ran, Halt> {
        let started = Instant::now();
        let done = work(shown_characters(self.profile.context_tokens)).await.map_err(broken_workspace)?;
        let (outcome, output) = match done {
            Ok(shown) => (ToolOutcome::Succeeded, plain(&shown)),
            Err(reason) => (ToolOutcome::Failed, plain(&reason)),
        };
        Ok(Ran { outcome, exit_code: None, duration: started.elapsed(), output, omitted_bytes: 0, artifact: None })
    }

    async fn edit(&self, path: &str, old: &str, new: &str) -> Result<Ran, Halt> {
        let edited = async |_| {
            let edited = self.workspace.edit(path, old, new).await?;
            Ok(edited.map(said::edited))
        };
        self.timed(edited).await
    }

    async fn write(&self, path: &str, content: &str) -> Result<Ran, Halt> {
        let over = match (self.spec.kind, self.profile.is_small) {
            // The user named the file that the answer becomes.
            (JobKind::Ask, _) => Over::Anything,
            (JobKind::Code, true) if !self.is_guided => Over::Nothing,
            // A guided model is asked for whole files.
            (JobKind::Code, _) => Over::WholeFiles,
        };
        let written = async |_| {
            let written = self.workspace.write_over(path, content, over).await?;
            Ok(said::written(written, (path, content), over, self.profile.dialect))
        };
        self.timed(written).await
    }

    /// What a call that was under way when an agent died came to: nobody knows, so it is said to have been interrupted.
    pub(crate) async fn interrupt(&mut self, call: &Call) -> Result<Finished, Halt> {
        self.note(format!("`{}` was interrupted when the agent before stopped", call.action.tool().as_str())).await?;
        let interrupted = Ran {
            outcome: ToolOutcome::Interrupted,
            exit_code: None,
            duration: Duration::ZERO,
            output: prompt::INTERRUPTED.into(),
            omitted_bytes: 0,
            artifact: None,
        };
        self.record(call, interrupted).await
    }

    async fn record(&mut self, call: &Call, ran: Ran) -> Result<Finished, Halt> {
        let duration_ms = u64::try_from(ran.duration.as_millis()).unwrap_or(u64::MAX);
        self.budget.count_tool(duration_ms);
        let commit = self.checkpoint().await?;
        let notes = self.workspace.take_notes();
        let mut output = ran.output;
        for note in self.untold.drain(..).chain(notes.iter().cloned()).take(NOTES_TOLD) {
            output.push_str(&format!("\n[note: {note}]"));
        }
        let finished = Finished { outcome: ran.outcome, exit_code: ran.exit_code, output };
        let recorded = EventBody::ToolFinished {
            call_id: call.id.clone(),
            outcome: finished.outcome,
            exit_code: finished.exit_code,
            duration_ms,
            output: finished.output.clone(),
            omitted_bytes: ran.omitted_bytes,
            artifact: ran.artifact,
        };
        let kept = EventBody::WorkspaceCheckpoint { commit, step: self.step };
        let used = EventBody::BudgetUpdated { usage: self.budget.usage() };
        let mut events = vec![recorded, kept, used];
        events.extend(notes.into_iter().map(|message| EventBody::AgentNote { message }));
        self.appender.append(events).await?;
        Ok(finished)
    }
}
