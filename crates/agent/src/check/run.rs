//! One run of the check, from the question whether it is due to its record.
//!
//! ```text
//!   due? ─▶ check.started, durable ─▶ it runs, CI=true ─▶ what it changed is put back ─▶ check.finished
//! ```
//! An agent that dies in between leaves a run without an end; the next one runs it again, on the same files.

use super::{Check, Checks, Ended, Verdict, counts, excerpt, find};
use crate::{
    attempt::{Attempt, broken_workspace},
    conversation::Conversation,
    disk,
    halt::Halt,
    helper::Restored,
    output::{Capture, Collected, plain, shown_characters},
    sandbox::{self, Ending},
    stop::Cause,
};
use domain::FailureReason;
use protocol::{ApprovalPolicy, CheckOutcome, EventBody, NO_CHECK};
use std::time::Duration;
use tokio::sync::mpsc;

/// Pieces between sandbox and us, of at most 64 KiB each.
const PIECES: usize = 4;
/// What is looked at of an output for counts and failures, in characters: half from its beginning, half from its end. More is
/// read and forgotten, so that what prints without end only costs its time.
const READ_CHARACTERS: usize = 100_000;
/// Most a model is shown of it, as a part of what a command's output may take: it comes after each change.
const SHOWN_PART: usize = 3;
/// What a shell says of a command that is not there, or cannot be executed.
const NO_COMMAND: &[i32] = &[126, 127];
/// What runners say when something they need is not there, whatever the work is like.
const MISSING: &[&str] = &[
    "No module named pytest",
    "No module named 'pytest'",
    "no tests ran in ",
    "NO TESTS RAN",
    "error: no matching package named",
    "error: failed to get `",
    "failed to download",
    "but --offline was specified",
    "attempting to make an HTTP request",
    "Could not resolve host",
    "module lookup disabled by GOPROXY=off",
    "dial tcp: lookup ",
    "Cannot access central",
    "No cached version of ",
    "Cannot find package '",
];

impl Attempt {
    /// The check before the work, where this job has one and no earlier attempt ran it.
    pub(crate) async fn check_before(&mut self, conversation: &mut Conversation, has_turns: bool) -> Result<(), Halt> {
        if !conversation.checks().has_begun()
            && !has_turns
            && let Some(check) = self.choose_check().await?
        {
            let commit = self.workspace.commit().await;
            self.check(conversation, check, commit).await?;
        }
        self.checked = conversation.checks().result();
        Ok(())
    }

    /// The same for work that is no conversation: also where an earlier attempt died in it.
    pub(crate) async fn check_first(&mut self, checks: &mut Checks) -> Result<(), Halt> {
        let commit = self.workspace.commit().await;
        let check = match checks.has_begun() {
            false => self.choose_check().await?,
            true => checks.due(&commit).filter(|_| checks.last.is_none()).cloned(),
        };
        if let Some(check) = check {
            checks.started(check.clone());
            let ended = self.run_recorded(checks, &check, commit).await?;
            checks.ended(ended);
        }
        self.checked = checks.result();
        Ok(())
    }

    /// After a turn: runs the check if files changed. Returns whether the work is done by it: it was mended, the model was told
    /// so, and it went on without a change.
    pub(crate) async fn check_turn(&mut self, conversation: &mut Conversation) -> Result<bool, Halt> {
        if self.check_if_due(conversation).await? {
            // With nothing left to ask a model with, there is no finish to wait for.
            return Ok(conversation.checks().is_mended() && self.budget.exhausted().is_some());
        }
        Ok(conversation.checks().is_mended() && !conversation.is_at_check())
    }

    /// Whether a finish is one. If not, the model was told why.
    pub(crate) async fn check_finish(&mut self, conversation: &mut Conversation) -> Result<bool, Halt> {
        self.check_if_due(conversation).await?;
        match conversation.checks().on_finish() {
            Verdict::Accepted => Ok(true),
            Verdict::Refused => {
                conversation.refuse_finish();
                Ok(false)
            }
            Verdict::Failed(message) => Err(Halt::Failed { reason: FailureReason::CheckFailed, message }),
        }
    }

    /// What the job says, or what lies in its workspace.
    async fn choose_check(&self) -> Result<Option<Check>, Halt> {
        match self.spec.check.as_deref() {
            Some(NO_CHECK) => Ok(None),
            Some(command) => Ok(Some(Check { command: command.to_owned(), why: "named by the job".into() })),
            // Nobody named it, so it is run only where commands are.
            None if self.spec.approvals.run != ApprovalPolicy::Auto => Ok(None),
            None => {
                let names = self.workspace.files_at_base();
                let texts = self.workspace.sources(&find::wanted(&names)).await.map_err(broken_workspace)?;
                Ok(find::find(&names, &texts))
            }
        }
    }

    async fn check_if_due(&mut self, conversation: &mut Conversation) -> Result<bool, Halt> {
        let commit = self.workspace.commit().await;
        let Some(check) = conversation.checks().due(&commit).cloned() else { return Ok(false) };
        self.check(conversation, check, commit).await?;
        Ok(true)
    }

    async fn check(&mut self, conversation: &mut Conversation, check: Check, commit: String) -> Result<(), Halt> {
        conversation.check_started(check.clone());
        let ended = self.run_recorded(conversation.checks(), &check, commit).await?;
        conversation.checked(ended);
        self.checked = conversation.checks().result();
        Ok(())
    }

    /// Runs a check that was noted as started, with its record in the log.
    pub(crate) async fn run_recorded(&mut self, checks: &Checks, check: &Check, commit: String) -> Result<Ended, Halt> {
        let check_id = format!("check-{}", checks.begun);
        let (command, why) = (check.command.clone(), check.why.clone());
        let started = EventBody::CheckStarted { check_id: check_id.clone(), command, why, commit: commit.clone() };
        self.appender.append(vec![started]).await?;
        self.appender.flush().await?;
        let (ended, record) = Box::pin(self.run_check(checks, &check.command, commit)).await?;
        let undone = self.put_back().await?;
        let duration_ms = u64::try_from(record.duration.as_millis()).unwrap_or(u64::MAX);
        self.budget.count_tool(duration_ms);
        let finished = EventBody::CheckFinished {
            check_id,
            commit: ended.commit.clone(),
            outcome: ended.outcome,
            exit_code: ended.exit_code,
            duration_ms,
            passed: ended.passed,
            failed: ended.failed,
            output: ended.output.clone(),
            omitted_bytes: record.omitted_bytes,
            undone_files: undone,
        };
        self.appender.append(vec![finished, EventBody::BudgetUpdated { usage: self.budget.usage() }]).await?;
        if ended.outcome == CheckOutcome::Unusable {
            let note =
                format!("`{}` cannot run here, so this job has no check; name another with `--check`", check.command);
            self.note(note).await?;
        }
        match ended.outcome {
            CheckOutcome::Cancelled => Err(Halt::Stopped),
            _ => Ok(ended),
        }
    }

    async fn run_check(&self, checks: &Checks, command: &str, commit: String) -> Result<(Ended, Record), Halt> {
        let timeout = self.check_timeout();
        let command = sandbox::Command {
            folder: self.workspace.subfolder().to_owned(),
            // Runners that wait for changes on a terminal run once, and none asks anything.
            environment: vec![("CI".into(), "true".into())],
            ..sandbox::Command::new(command, timeout)
        };
        disk::check(&self.place.tree, self.options.disk).map_err(|full| Halt::AttemptFailed {
            message: format!("{}, so the check was not run; free some space on it", full.describe()),
        })?;
        let (pieces, printed) = mpsc::channel(PIECES);
        let (finished, capture) = tokio::join!(self.run_with_room(&command, pieces), collect(printed));
        let (finished, no_room) = finished.map_err(|error| Halt::AttemptFailed { message: error.to_string() })?;
        // As if it had never begun: the next attempt runs it.
        if matches!(self.stop.cause(), Some(Cause::Lost | Cause::ShuttingDown)) {
            return Err(Halt::Stopped);
        }
        let Collected { shown: mut output, omitted_bytes: unread, .. } = capture.collect(READ_CHARACTERS);
        // As the model names files, and the same in every workspace.
        let here = self.place.tree.join(self.workspace.subfolder());
        output = output.replace(&format!("{}/", here.display().to_string().trim_end_matches('/')), "");
        let (passed, failed) = counts::read(&output, unread == 0);
        let mut outcome = CheckOutcome::Failed;
        let mut exit_code = None;
        let mut say = |words: String| output.push_str(&format!("\n[{words}]\n"));
        match finished.ending {
            _ if no_room.is_some() => {
                say(no_room.map(|no_room| format!("stopped: {}", no_room.describe())).unwrap_or_default());
            }
            Ending::Exited(code) => {
                exit_code = Some(code);
                let ran = passed.unwrap_or_default() + failed.unwrap_or_default();
                match code {
                    0 if passed == Some(0) && ran == 0 && checks.ran_before() > 0 => {
                        say(format!("no tests ran, and before the work {} did", checks.ran_before()));
                    }
                    0 => outcome = CheckOutcome::Passed,
                    _ => {}
                }
            }
            Ending::Signalled(signal) => say(format!("ended by signal {signal}")),
            Ending::TimedOut => {
                outcome = CheckOutcome::TimedOut;
                say(format!("stopped after {} s", timeout.as_secs_f32()));
            }
            Ending::OutOfMemory { limit_bytes, .. } => {
                say(format!("stopped: it took more than {} MiB of memory", limit_bytes >> 20));
            }
            Ending::Cancelled => outcome = CheckOutcome::Cancelled,
        }
        let is_first_of_found = self.spec.check.is_none() && checks.last.is_none();
        if is_first_of_found
            && is_unusable(outcome, exit_code, passed.unwrap_or_default() + failed.unwrap_or_default(), &output)
        {
            outcome = CheckOutcome::Unusable;
        }
        let bytes = shown_characters(self.profile.context_tokens) / SHOWN_PART;
        let (shown, omitted) = match outcome {
            CheckOutcome::Passed | CheckOutcome::Cancelled => (String::new(), output.len() as u64),
            _ => excerpt::failing(&output, bytes),
        };
        let ended = Ended { commit, outcome, exit_code, passed, failed, output: shown };
        Ok((ended, Record { duration: finished.duration, omitted_bytes: omitted + unread }))
    }

    /// Below the time after which a silent job is given up.
    pub(crate) fn check_timeout(&self) -> Duration {
        let limits = &self.spec.limits;
        Duration::from_millis(limits.check_timeout_ms.min(limits.idle_timeout_ms / 10 * 9))
    }

    /// What a check changes is nobody's work: files are as the last step has them when the model goes on.
    async fn put_back(&mut self) -> Result<u64, Halt> {
        let Restored { files, names } = self.workspace.undo().await.map_err(broken_workspace)?;
        if files > 0 && !std::mem::replace(&mut self.said_undone, true) {
            let names: Vec<String> = names.iter().map(|name| format!("`{}`", plain(name))).collect();
            let more = files.saturating_sub(names.len() as u64);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            let note =
                format!("the check changed or made {}{more}, which was put back, as it is each time", names.join(", "));
            self.note(note).await?;
        }
        Ok(files)
    }
}

/// What the log has of a run besides.
struct Record {
    duration: Duration,
    omitted_bytes: u64,
}

/// Whether a first run says that the check cannot run here at all, rather than that something is wrong with the project.
fn is_unusable(outcome: CheckOutcome, exit_code: Option<i32>, ran: u64, output: &str) -> bool {
    let is_missing = || MISSING.iter().any(|words| output.contains(words));
    match outcome {
        CheckOutcome::TimedOut => true,
        CheckOutcome::Failed => ran == 0 && (exit_code.is_some_and(|code| NO_COMMAND.contains(&code)) || is_missing()),
        _ => false,
    }
}

async fn collect(mut printed: mpsc::Receiver<sandbox::Output>) -> Capture {
    let mut capture = Capture::default();
    while let Some(sandbox::Output { stream, bytes }) = printed.recv().await {
        drop(capture.push(stream, &bytes));
    }
    capture.end();
    capture
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_told_from_what_fails() {
        let unusable = |code, ran, output| is_unusable(CheckOutcome::Failed, Some(code), ran, output);
        assert!(unusable(127, 0, "bash: mvn: command not found"));
        assert!(unusable(1, 0, "/usr/bin/python3: No module named pytest\n"));
        assert!(unusable(101, 0, "error: no matching package named `itoa` found\n"));
        assert!(unusable(127, 0, "sh: 1: vitest: not found\n"));
        assert!(!unusable(1, 0, "error[E0425]: cannot find value `x` in this scope\n"));
        assert!(!unusable(1, 3, "No module named pytest"), "tests ran");
        assert!(!unusable(1, 0, "ModuleNotFoundError: No module named 'slug'"), "what the task may be to write");
        assert!(is_unusable(CheckOutcome::TimedOut, None, 0, ""), "no answer to each change");
        assert!(!is_unusable(CheckOutcome::Passed, Some(0), 0, ""));
    }
}
