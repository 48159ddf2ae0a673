//! The files of a question, in a folder of their own, looked at and changed by what does so in a job.
//!
//! Only what a question put there and a model wrote over it lies here, and no command is run: so no sandbox is needed.

use crate::{
    context,
    conversation::{Finished, Opening},
    helper::{self, Edit, Edited, Over, Read, Search, Task, Write, Written},
    model::Profile,
    output::{plain, shown_characters},
    prompt,
    tool::{Action, said},
};
use protocol::{Limits, ToolOutcome};
use serde::de::DeserializeOwned;
use std::{fs, io, path::PathBuf};
use tempfile::TempDir;

/// A file's name and its text.
pub(super) type File = (&'static str, &'static str);

/// Of the list of files and of the files that are shown: all there are.
const FILE_LIST_BYTES: usize = 1_000;
const OPENING_TOKENS: u64 = 1_000;

pub(super) struct Desk {
    folder: TempDir,
    names: Vec<String>,
}

impl Desk {
    pub(super) fn new(files: &[File]) -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("devmesh-exam-").tempdir()?;
        for (name, text) in files {
            fs::write(folder.path().join(name), text)?;
        }
        Ok(Self { folder, names: files.iter().map(|(name, _)| (*name).to_owned()).collect() })
    }

    /// As it is now; empty where it is gone.
    pub(super) fn text(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).unwrap_or_default()
    }

    /// Whether the file is as it should be, but for white space at the ends of lines.
    pub(super) fn holds(&self, name: &str, expected: &str) -> bool {
        let text = self.text(name);
        text.trim_end().lines().map(str::trim_end).eq(expected.trim_end().lines().map(str::trim_end))
    }

    /// The files as a job's first message shows them.
    pub(super) fn shown(&self, task: &str) -> Vec<String> {
        let sources = self.names.iter().map(|name| (name.clone(), self.text(name))).collect();
        context::opening(sources, task, OPENING_TOKENS)
    }

    /// A job's first message.
    pub(super) fn opening(&self, task: &str) -> Opening {
        let files = context::summary(&self.names, FILE_LIST_BYTES);
        Opening { task: prompt::code_task(task, &files, &Limits::default()), shown: self.shown(task) }
    }

    /// Does what a model asks for.
    pub(super) fn carry_out(&self, action: &Action, profile: &Profile) -> Finished {
        let over = if profile.is_small { Over::Nothing } else { Over::WholeFiles };
        let bytes = shown_characters(profile.context_tokens);
        let (tree, folder) = (self.folder.path().to_owned(), PathBuf::new());
        let done = match action.clone() {
            Action::ReadFile { path, from, to } => here(Task::Read(Read { tree, folder, path, from, to, bytes })),
            Action::Search { pattern, path } => here(Task::Search(Search { tree, folder, pattern, path, bytes })),
            Action::EditFile { path, old, new } => {
                here(Task::Edit(Edit { tree, folder, path, old, new })).map(|edited: Edited| edited.map(said::edited))
            }
            Action::WriteFile { path, content } => {
                let named = (path.clone(), content.clone());
                let written = here(Task::Write(Write { tree, folder, path, content, over }));
                written.map(|written: Written| said::written(written, (&named.0, &named.1), over, profile.dialect))
            }
            Action::Run { .. } | Action::Finish { .. } => Err("no command can be run here".to_owned()),
        };
        let (outcome, output) = match done.flatten() {
            Ok(shown) => (ToolOutcome::Succeeded, shown),
            Err(reason) => (ToolOutcome::Failed, reason),
        };
        Finished { outcome, exit_code: None, output: plain(&output) }
    }

    /// Puts a file in place of another, as a job does whose answer becomes a file.
    pub(super) fn replace(&self, path: &str, content: String) -> Result<(), String> {
        let (tree, folder) = (self.folder.path().to_owned(), PathBuf::new());
        let write = Write { tree, folder, path: path.to_owned(), content, over: Over::Anything };
        let written: Written = here(Task::Write(write))?;
        written.map(|_| ()).map_err(|refused| refused.why)
    }
}

/// What a task answers; why there is none, in words for the model.
fn here<T: DeserializeOwned>(task: Task) -> Result<T, String> {
    helper::here(&task).map_err(|error| error.words().to_owned())
}
