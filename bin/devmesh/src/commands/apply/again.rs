//! The same command once more, as a hint.

use crate::output::shell_quoted;
use protocol::Job;
use std::path::Path;

#[derive(Clone, Copy, Debug)]
pub struct Again<'a> {
    pub job: &'a Job,
    /// What `--repo` said.
    pub repo: Option<&'a Path>,
}

impl Again<'_> {
    pub fn command(&self, option: &str) -> String {
        let mut command = format!("devmesh apply {}", super::super::short(self.job.id));
        if let Some(path) = self.repo {
            // With `=`, a name that begins with a dash is one too.
            command += &format!(" --repo={}", shell_quoted(path));
        }
        if !option.is_empty() {
            command += &format!(" {option}");
        }
        command
    }

    /// The patch on a branch of its own, where the job proposed a name for one.
    pub fn branch(&self) -> Option<String> {
        self.job.result.as_ref()?.branch.as_ref().map(|_| self.command("--branch"))
    }
}
