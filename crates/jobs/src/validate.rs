//! Every mistake of a request, each with where it is.
//!
//! Pointers are RFC 6901 into the body. All checks run before anything is refused, so that a person corrects a request
//! once.

use crate::Error;
use domain::JobKind;
use protocol::{CreateJob, FieldError, Limits, Repository};
use std::{
    ops::RangeInclusive,
    path::{Component, Path},
};

/// 2 MiB: a task may quote a whole log or a file, and still fits a model with a million tokens of context.
pub const TASK_BYTES: usize = 2 << 20;
/// What Linux allows for a path.
const PATH_BYTES: usize = 4096;
/// What git and every file system allow for a reference.
const REFERENCE_BYTES: usize = 255;
/// Long enough for `provider/organisation/model:tag`.
const ROUTE_BYTES: usize = 200;
/// A command line, not a script: that belongs into the repository.
const COMMAND_BYTES: usize = 4096;
/// What a person may say along with a command: a paragraph, kept in the log for ever.
pub(crate) const MESSAGE_BYTES: usize = 2048;
const NAME_BYTES: usize = 128;
const MEDIA_TYPE_BYTES: usize = 128;
const CALL_ID_BYTES: usize = 64;

const DAY_MS: u64 = 24 * 3600 * 1000;
/// Below this a limit only measures how busy the machine is.
const SHORTEST_TIMEOUT_MS: u64 = 100;
/// A week of work without a person looking at it is a mistake.
const TOTAL_TIMEOUT_MS: RangeInclusive<u64> = SHORTEST_TIMEOUT_MS..=7 * DAY_MS;
const IDLE_TIMEOUT_MS: RangeInclusive<u64> = SHORTEST_TIMEOUT_MS..=7 * DAY_MS;
/// As a tool call.
const CHECK_TIMEOUT_MS: RangeInclusive<u64> = TOOL_TIMEOUT_MS;
/// A build may take hours; a command that takes a day hangs.
const TOOL_TIMEOUT_MS: RangeInclusive<u64> = SHORTEST_TIMEOUT_MS..=DAY_MS;
const STEPS: RangeInclusive<u64> = 1..=1_000;
/// A thousand full contexts of a hundred thousand tokens.
const TOKENS: RangeInclusive<u64> = 1..=100_000_000;
/// A thousand US dollars: above that a zero was typed twice.
const COST_MICROUSD: RangeInclusive<u64> = 0..=1_000_000_000;
const ATTEMPTS: RangeInclusive<u64> = 1..=20;

/// Collects mistakes.
#[derive(Default)]
pub(crate) struct Mistakes(Vec<FieldError>);

impl Mistakes {
    pub(crate) fn add(&mut self, pointer: &str, detail: impl Into<String>) {
        self.0.push(FieldError { pointer: pointer.into(), detail: detail.into() });
    }

    fn bytes(&mut self, pointer: &str, text: &str, allowed: RangeInclusive<usize>) {
        if !allowed.contains(&text.len()) {
            let (least, most) = allowed.into_inner();
            self.add(pointer, format!("is {} bytes long; {least} to {most} are allowed", text.len()));
        }
        if text.contains('\0') {
            self.add(pointer, "contains a NUL character; remove it");
        }
    }

    /// A note from a person or an agent: may be empty.
    pub(crate) fn message(&mut self, pointer: &str, text: &str) {
        self.bytes(pointer, text, 0..=MESSAGE_BYTES);
    }

    /// A name people are shown.
    pub(crate) fn shown_name(&mut self, pointer: &str, text: &str) {
        self.bytes(pointer, text, 1..=NAME_BYTES);
        if text.chars().any(char::is_control) {
            self.add(pointer, "contains a control character; names are one line of plain text");
        }
    }

    /// A name that is also part of a URL or a file name.
    fn plain_name(&mut self, pointer: &str, text: &str, most: usize) {
        let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'));
        if text.is_empty() || text.len() > most || !plain {
            self.add(pointer, format!("`{}` is not 1 to {most} of A-Z a-z 0-9 . _ -", shortened(text)));
        }
    }

    pub(crate) fn call_id(&mut self, pointer: &str, text: &str) {
        self.plain_name(pointer, text, CALL_ID_BYTES);
    }

    pub(crate) fn tool(&mut self, pointer: &str, text: &str) {
        self.plain_name(pointer, text, CALL_ID_BYTES);
    }

    pub(crate) fn artifact_name(&mut self, pointer: &str, text: &str) {
        self.plain_name(pointer, text, NAME_BYTES);
        if text.starts_with('.') {
            self.add(pointer, "begins with a dot; artifact names do not");
        }
    }

    pub(crate) fn media_type(&mut self, pointer: &str, text: &str) {
        let visible = text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
        if text.len() > MEDIA_TYPE_BYTES || !text.contains('/') || !visible {
            self.add(pointer, format!("`{}` is not a media type such as text/plain", shortened(text)));
        }
    }

    fn number(&mut self, pointer: &str, value: u64, allowed: RangeInclusive<u64>) {
        if !allowed.contains(&value) {
            let (least, most) = allowed.into_inner();
            self.add(pointer, format!("is {value}; {least} to {most} are allowed"));
        }
    }

    pub(crate) fn into_result(self) -> Result<(), Error> {
        if self.0.is_empty() { Ok(()) } else { Err(Error::Invalid(self.0)) }
    }
}

pub(crate) fn create_job(job: &CreateJob) -> Result<(), Error> {
    let mut mistakes = Mistakes::default();
    mistakes.bytes("/task", &job.task, 1..=TASK_BYTES);
    if let Some(repository) = &job.repository {
        check_repository(&mut mistakes, repository);
    }
    if let Some(file) = &job.write_file {
        if job.kind != JobKind::Ask {
            mistakes.add("/write_file", "is for `ask` jobs only; a `code` job writes files with its tools");
        }
        check_write_file(&mut mistakes, file);
    }
    for (pointer, command) in [("/setup", &job.setup), ("/check", &job.check)] {
        if let Some(command) = command {
            check_command(&mut mistakes, pointer, job.kind, command);
        }
    }
    if job.mode.is_some() && job.kind != JobKind::Code {
        mistakes.add("/mode", "is for `code` jobs only");
    }
    if let Some(route) = &job.route {
        mistakes.bytes("/route", route, 1..=ROUTE_BYTES);
        if !route.bytes().all(|byte| byte.is_ascii_graphic()) {
            mistakes.add("/route", "is a logical model name or `provider/model`, without spaces");
        }
    }
    check_limits(&mut mistakes, &job.limits);
    mistakes.into_result()
}

/// A command that a job names.
fn check_command(mistakes: &mut Mistakes, pointer: &str, kind: JobKind, command: &str) {
    if kind != JobKind::Code {
        mistakes.add(pointer, "is for `code` jobs only; an `ask` job runs no commands");
    }
    mistakes.bytes(pointer, command, 1..=COMMAND_BYTES);
    if command.trim().is_empty() && !command.is_empty() {
        mistakes.add(pointer, "is blank; give a command, such as `make test`, or leave it out");
    }
}

fn check_repository(mistakes: &mut Mistakes, repository: &Repository) {
    mistakes.bytes("/repository/path", &repository.path, 1..=PATH_BYTES);
    if let Err(refusal) = repository.place() {
        mistakes.add("/repository/path", format!("`{}` {refusal}", shortened(&repository.path)));
    }
    if let Some(reference) = &repository.reference {
        mistakes.bytes("/repository/ref", reference, 1..=REFERENCE_BYTES);
        // git would take it for an option.
        if reference.starts_with('-') || reference.chars().any(|c| c.is_control() || c == ' ') {
            let reference = shortened(reference);
            mistakes.add("/repository/ref", format!("`{reference}` is not a branch, tag or commit"));
        }
    }
}

fn check_write_file(mistakes: &mut Mistakes, file: &str) {
    mistakes.bytes("/write_file", file, 1..=PATH_BYTES);
    let inside = Path::new(file).components().all(|part| matches!(part, Component::Normal(_)));
    if !inside || file.ends_with('/') {
        let file = shortened(file);
        mistakes.add(
            "/write_file",
            format!("`{file}` is not a relative path inside the workspace, such as docs/answer.md"),
        );
    }
    if Path::new(file).components().any(|part| part.as_os_str().eq_ignore_ascii_case(".git")) {
        mistakes.add("/write_file", "lies in a .git folder, which is never written to");
    }
}

fn check_limits(mistakes: &mut Mistakes, limits: &Limits) {
    mistakes.number("/limits/steps", limits.steps.into(), STEPS);
    mistakes.number("/limits/tokens", limits.tokens, TOKENS);
    mistakes.number("/limits/cost_microusd", limits.cost_microusd, COST_MICROUSD);
    mistakes.number("/limits/total_timeout_ms", limits.total_timeout_ms, TOTAL_TIMEOUT_MS);
    mistakes.number("/limits/idle_timeout_ms", limits.idle_timeout_ms, IDLE_TIMEOUT_MS);
    mistakes.number("/limits/tool_timeout_ms", limits.tool_timeout_ms, TOOL_TIMEOUT_MS);
    mistakes.number("/limits/check_timeout_ms", limits.check_timeout_ms, CHECK_TIMEOUT_MS);
    mistakes.number("/limits/attempts", limits.attempts.into(), ATTEMPTS);
}

/// An error repeats the value seen, but never a megabyte of it.
pub(crate) fn shortened(text: &str) -> String {
    text.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn job(body: serde_json::Value) -> CreateJob {
        serde_json::from_value(body).unwrap()
    }

    fn pointers(body: serde_json::Value) -> Vec<String> {
        match create_job(&job(body)) {
            Ok(()) => Vec::new(),
            Err(Error::Invalid(mistakes)) => mistakes.into_iter().map(|mistake| mistake.pointer).collect(),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn only_kind_and_task_are_needed() {
        assert_eq!(pointers(json!({"kind": "ask", "task": "x"})), Vec::<String>::new());
    }

    #[test]
    fn all_mistakes_come_at_once() {
        let found = pointers(json!({
            "kind": "code", "task": "", "write_file": "../up.md", "route": "two words",
            "repository": {"path": "here", "ref": "--upload-pack=x"},
            "limits": {"steps": 0, "attempts": 21, "total_timeout_ms": 604_800_001},
        }));
        assert_eq!(
            found,
            [
                "/task",
                "/repository/path",
                "/repository/ref",
                "/write_file",
                "/write_file",
                "/route",
                "/limits/steps",
                "/limits/total_timeout_ms",
                "/limits/attempts"
            ]
        );
    }

    #[test]
    fn a_check_is_a_command_of_a_code_job() {
        assert!(pointers(json!({"kind": "code", "task": "x", "check": "pytest -q", "setup": "npm ci"})).is_empty());
        assert!(pointers(json!({"kind": "code", "task": "x", "check": "x".repeat(COMMAND_BYTES)})).is_empty());
        for check in ["", "  ", "a\u{0}b", &"x".repeat(COMMAND_BYTES + 1)] {
            assert_eq!(pointers(json!({"kind": "code", "task": "x", "check": check})), ["/check"], "{check:.20}");
        }
        assert_eq!(pointers(json!({"kind": "ask", "task": "x", "check": "a", "setup": "b"})), ["/setup", "/check"]);
        assert!(pointers(json!({"kind": "code", "task": "x", "mode": "guided"})).is_empty());
        assert_eq!(pointers(json!({"kind": "ask", "task": "x", "mode": "free"})), ["/mode"]);
    }

    #[test]
    fn a_task_may_be_2_mib_and_not_one_byte_more() {
        assert!(create_job(&job(json!({"kind": "ask", "task": "x".repeat(TASK_BYTES)}))).is_ok());
        assert_eq!(pointers(json!({"kind": "ask", "task": "x".repeat(TASK_BYTES + 1)})), ["/task"]);
        assert_eq!(pointers(json!({"kind": "ask", "task": "a\u{0}b"})), ["/task"]);
    }

    #[test]
    fn a_written_file_stays_inside_the_workspace() {
        for file in ["/etc/passwd", "a/../../b", "..", ".", "./a", "a/", "", ".git/hooks/pre-commit", "sub/.GIT/config"]
        {
            let found = pointers(json!({"kind": "ask", "task": "x", "write_file": file}));
            assert!(found.iter().all(|pointer| pointer == "/write_file") && !found.is_empty(), "{file}: {found:?}");
        }
        for file in ["answer.md", "docs/a b/c.txt", "..almost", ".hidden"] {
            assert!(pointers(json!({"kind": "ask", "task": "x", "write_file": file})).is_empty(), "{file}");
        }
    }

    #[test]
    fn names_of_calls_and_artifacts_are_plain() {
        for (name, fine) in [("out.txt", true), (".x", false), ("a/b", false), ("", false), ("ä", false)] {
            let mut mistakes = Mistakes::default();
            mistakes.artifact_name("/name", name);
            assert_eq!(mistakes.into_result().is_ok(), fine, "{name}");
        }
    }
}
