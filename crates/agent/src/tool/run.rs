//! `run`: one shell command in the sandbox, its output to the log as it comes.

use super::Tool;
use crate::{
    appender::Appender,
    attempt::Attempt,
    disk,
    halt::{Halt, persist},
    output::{Capture, Collected, shown_characters},
    sandbox::{self, Ending, Finished},
    stop::Cause,
};
use client::Upload;
use protocol::{EventBody, OutputStream, ToolOutcome};
use std::time::Duration;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};

/// Output is sent on when this much has gathered, in bytes …
const FLUSH_BYTES: usize = 8 * 1024;
/// … or when the oldest of it is this old: live to the eye.
const FLUSH_AFTER: Duration = Duration::from_millis(50);
/// Pieces between sandbox and relay, of at most 64 KiB each.
const PIECES: usize = 4;

/// How a tool call ended, before it is written down.
pub(crate) struct Ran {
    pub(crate) outcome: ToolOutcome,
    pub(crate) exit_code: Option<i32>,
    pub(crate) duration: Duration,
    pub(crate) output: String,
    pub(crate) omitted_bytes: u64,
    pub(crate) artifact: Option<String>,
}

/// A command was stopped for want of room, and what was done about it.
pub(crate) struct NoRoom {
    full: disk::Full,
    cleaned: String,
}

impl NoRoom {
    pub(crate) fn describe(&self) -> String {
        format!("{}; {}", self.full.describe(), self.cleaned)
    }
}

impl Attempt {
    pub(crate) async fn run_command(&self, call_id: &str, command: &str) -> Result<Ran, Halt> {
        let timeout = Duration::from_millis(self.spec.limits.tool_timeout_ms);
        let folder = self.workspace.subfolder().to_owned();
        self.run_logged(call_id, sandbox::Command { folder, ..sandbox::Command::new(command, timeout) }).await
    }

    /// Runs a command whose output goes to the log as that of this call.
    pub(crate) async fn run_logged(&self, call_id: &str, command: sandbox::Command) -> Result<Ran, Halt> {
        let timeout = command.timeout;
        let (pieces, printed) = mpsc::channel(PIECES);
        let started = Instant::now();
        disk::check(&self.place.tree, self.options.disk).map_err(|full| Halt::AttemptFailed {
            message: format!("{}, so no command was run; free some space on it", full.describe()),
        })?;
        // Room is made before the rest of the output is waited for: the log may lie on the same disk.
        let running = self.run_with_room(&command, pieces);
        let (finished, relayed) = tokio::join!(running, relay(printed, &self.appender, call_id));
        let (finished, no_room) = match finished {
            Ok(finished) => finished,
            Err(sandbox::Error::Invalid(message)) => {
                return Ok(Ran {
                    outcome: ToolOutcome::Failed,
                    exit_code: None,
                    duration: started.elapsed(),
                    output: message,
                    omitted_bytes: 0,
                    artifact: None,
                });
            }
            Err(error) => return Err(Halt::AttemptFailed { message: error.to_string() }),
        };
        if let Some(NoRoom { full, cleaned }) = &no_room {
            self.note(format!("the command was stopped: {}; {}", full.describe(), cleaned)).await?;
        }
        // A command that was stopped because the agent goes away counts as never done: the next attempt begins before
        // it, as it would after a crash.
        if matches!(self.stop.cause(), Some(Cause::Lost | Cause::ShuttingDown)) {
            return Err(Halt::Stopped);
        }
        let capture = relayed?;
        let Collected { mut shown, omitted_bytes, kept } =
            capture.collect(shown_characters(self.profile.context_tokens));
        let artifact = match kept {
            Some(bytes) => Some(self.keep_output(call_id, bytes).await?),
            None => None,
        };
        if let Some(NoRoom { full, cleaned }) = &no_room {
            shown.push_str(&format!("\n[stopped: {}; {cleaned}]\n", full.describe()));
        }
        let (outcome, exit_code) = match finished.ending {
            _ if no_room.is_some() => (ToolOutcome::Failed, None),
            Ending::Exited(0) => (ToolOutcome::Succeeded, Some(0)),
            Ending::Exited(code) => (ToolOutcome::Failed, Some(code)),
            Ending::Signalled(signal) => {
                shown.push_str(&format!("\n[ended by signal {signal}]\n"));
                (ToolOutcome::Failed, None)
            }
            Ending::TimedOut => {
                shown.push_str(&format!("\n[stopped after {} s]\n", timeout.as_secs_f32()));
                (ToolOutcome::TimedOut, None)
            }
            Ending::OutOfMemory { limit_bytes, .. } => {
                shown.push_str(&format!("\n[stopped: it took more than {} MiB of memory]\n", limit_bytes >> 20));
                (ToolOutcome::Failed, None)
            }
            Ending::Cancelled => (ToolOutcome::Cancelled, None),
        };
        Ok(Ran { outcome, exit_code, duration: finished.duration, output: shown, omitted_bytes, artifact })
    }

    /// Runs a command while there is room on the disk. What a command that took too much has written is removed.
    pub(crate) async fn run_with_room(
        &self,
        command: &sandbox::Command,
        pieces: mpsc::Sender<sandbox::Output>,
    ) -> Result<(Finished, Option<NoRoom>), sandbox::Error> {
        let over = self.stop.requested().child_token();
        let mut running = std::pin::pin!(self.sandbox.run(&self.place, command, pieces, over.clone()));
        let watched = tokio::select! {
            finished = &mut running => Ok(finished?),
            full = disk::watch(&self.workspace, self.options.disk) => Err(full),
        };
        let (finished, full) = match watched {
            // It may have ended by itself, for want of the room it took.
            Ok(finished) => match disk::check(&self.place.tree, self.options.disk) {
                Ok(()) => return Ok((finished, None)),
                Err(full) => (finished, full),
            },
            Err(full) => {
                over.cancel();
                (running.await?, full)
            }
        };
        let mut cleaned = self.workspace.restore(false).await.map(|_| "files were put back to the last step");
        if disk::check(&self.place.tree, self.options.disk).is_err() {
            let all = "files were put back to the last step, and packages, build outputs and the home folder's files were removed";
            cleaned = self.workspace.restore(true).await.map(|_| all);
        }
        let cleaned = cleaned.map_or_else(|error| format!("the files could not be put back: {error}"), str::to_owned);
        Ok((finished, Some(NoRoom { full, cleaned })))
    }

    /// Puts the whole output where people can fetch it; returns its name.
    async fn keep_output(&self, call_id: &str, bytes: Vec<u8>) -> Result<String, Halt> {
        let name = format!("{}-{call_id}.txt", Tool::Run.as_str());
        let upload = Upload::Bytes(bytes.into());
        persist(&self.stop, self.stop.lost(), || {
            self.client.put_artifact(self.job, (self.epoch, self.number), &name, "text/plain", &upload)
        })
        .await?;
        Ok(name)
    }
}

/// Text that waits to be sent on.
#[derive(Default)]
struct Waiting {
    stream: Option<OutputStream>,
    text: String,
}

/// Passes output on to the log, coalesced, until the command has closed its end.
async fn relay(mut printed: mpsc::Receiver<sandbox::Output>, log: &Appender, call_id: &str) -> Result<Capture, Halt> {
    let mut capture = Capture::default();
    let mut waiting = Waiting::default();
    let mut oldest = Instant::now();
    loop {
        let piece = tokio::select! {
            piece = printed.recv() => piece,
            () = sleep_until(oldest + FLUSH_AFTER), if !waiting.text.is_empty() => {
                waiting.send(log, call_id).await?;
                continue;
            }
        };
        let Some(sandbox::Output { stream, bytes }) = piece else { break };
        let safe = capture.push(stream, &bytes);
        if waiting.stream != Some(stream) {
            waiting.send(log, call_id).await?;
            waiting.stream = Some(stream);
        }
        if waiting.text.is_empty() {
            oldest = Instant::now();
        }
        waiting.text.push_str(&safe);
        if waiting.text.len() >= FLUSH_BYTES {
            waiting.send(log, call_id).await?;
        }
    }
    waiting.text.push_str(&capture.end());
    waiting.send(log, call_id).await?;
    Ok(capture)
}

impl Waiting {
    async fn send(&mut self, log: &Appender, call_id: &str) -> Result<(), Halt> {
        let text = std::mem::take(&mut self.text);
        if text.is_empty() {
            return Ok(());
        }
        // What remains of both streams at the end may come without either having been named.
        let stream = self.stream.unwrap_or(OutputStream::Stdout);
        log.append(vec![EventBody::ToolOutput { call_id: call_id.to_owned(), stream, text }]).await
    }
}
