//! The setup of a job: one command that makes its workspace ready, before the check and the model. The only one that may have
//! a network. It is recorded as a tool call of its own, and made again only in a workspace that did not have it.

use crate::{
    attempt::{Attempt, broken_workspace},
    halt::Halt,
    sandbox,
};
use protocol::{Egress, EventBody, ToolOutcome};
use serde_json::json;

/// Its name in the log: no call of a model is named so.
pub(crate) const CALL_ID: &str = "setup";
/// How much of its end a failure tells, in bytes.
const TOLD_BYTES: usize = 600;

impl Attempt {
    /// `is_done`: by an earlier attempt, in this workspace.
    pub(crate) async fn set_up(&mut self, is_done: bool) -> Result<(), Halt> {
        let Some(script) = self.spec.setup.clone().filter(|_| !is_done) else { return Ok(()) };
        let network = self.options.setup_network && self.spec.egress != Egress::LocalOnly;
        let arguments = json!({"command": script, "network": network});
        let started = EventBody::ToolStarted { call_id: CALL_ID.into(), tool: CALL_ID.into(), arguments };
        self.appender.append(vec![started]).await?;
        self.appender.flush().await?;
        let command = sandbox::Command {
            folder: self.workspace.subfolder().to_owned(),
            environment: vec![("CI".into(), "true".into())],
            network,
            ..sandbox::Command::new(script, self.check_timeout())
        };
        let ran = self.run_logged(CALL_ID, command).await?;
        // A lockfile it wrote anew is nobody's work.
        let undone = self.workspace.undo().await.map_err(broken_workspace)?;
        let duration_ms = u64::try_from(ran.duration.as_millis()).unwrap_or(u64::MAX);
        self.budget.count_tool(duration_ms);
        let finished = EventBody::ToolFinished {
            call_id: CALL_ID.into(),
            outcome: ran.outcome,
            exit_code: ran.exit_code,
            duration_ms,
            output: ran.output.clone(),
            omitted_bytes: ran.omitted_bytes,
            artifact: ran.artifact,
        };
        self.appender.append(vec![finished, EventBody::BudgetUpdated { usage: self.budget.usage() }]).await?;
        if undone.files > 0 {
            self.note(format!(
                "the setup changed or made {} files that are part of the work; they were put back",
                undone.files
            ))
            .await?;
        }
        match ran.outcome {
            ToolOutcome::Succeeded => Ok(()),
            ToolOutcome::Cancelled => Err(Halt::Stopped),
            _ => {
                let output = ran.output.trim();
                let end = &output[output.ceil_char_boundary(output.len().saturating_sub(TOLD_BYTES))..];
                let code = ran.exit_code.map_or_else(String::new, |code| format!(" with exit code {code}"));
                let hint = match network {
                    true => "",
                    false => {
                        "; it had no network, which `agents.setup_network` and a job that may leave the machine give it"
                    }
                };
                Err(Halt::error(format!("the setup failed{code}{hint}: {end}")))
            }
        }
    }
}
