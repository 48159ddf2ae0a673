//! The working copy of one attempt, and its history.
//!
//! ```text
//!   <folder>/<job>/<attempt>/
//!     tree/     what tools see and change, with a `.git` of its own that is theirs alone
//!     scratch/  home and temporary files of tools
//!     git/      bare: start ── step 1 ── step 2 …   under refs/devmesh/steps/<attempt>
//!     lock      held while the attempt runs
//! ```
//! Tools may do anything to `tree`, also to `tree/.git`: hooks, filters, a file system monitor, links. Whoever runs git
//! there runs what they wrote. So the agent never does; it keeps its own repository in `git`, out of their reach, and
//! tells git where the files are. Its index never holds a link to another repository, because git runs itself inside
//! those.
//!
//! The user's own repository or folder is read and never written, and no program of its configuration is run.
//!
//! A later attempt goes on from a step by its commit id. What a lost attempt commits after that has another id and is
//! never seen.

mod checkpoint;
mod copy;
mod files;
mod git;
mod patch;
mod prepare;
mod source;
mod tidy;

pub use patch::ChangedFile;
pub use tidy::{Tidied, remove_job, tidy};

use crate::sandbox::{Owner, Place};
use domain::JobId;
use git::Git;
use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

/// Files of a source, at most: beyond that a job spends its time on copying.
pub const SOURCE_FILES: u64 = 500_000;
/// Bytes of a source, at most, without its history: 2 GiB, for the same reason.
pub const SOURCE_BYTES: u64 = 2 << 30;
/// Largest file a step keeps, in bytes: 100 MiB. Larger ones are results of builds, not sources.
pub const STEP_FILE_BYTES: u64 = 100 << 20;
/// Largest patch in bytes: 64 MiB. Nobody reviews more, and it has to fit in memory.
pub const PATCH_BYTES: u64 = 64 << 20;
/// What all workspaces of one agent may take before finished ones are removed, in bytes: 20 GiB, a few large ones.
pub const QUOTA_BYTES: u64 = 20 << 30;

/// What to make a workspace from.
#[derive(Clone, Debug)]
pub struct Prepare {
    /// Holds the workspaces of this agent.
    pub folder: PathBuf,
    pub job: JobId,
    pub attempt: u32,
    /// In the user's words; a few of them become part of the branch name.
    pub task: String,
    /// `None`: an empty tree.
    pub repository: Option<protocol::Repository>,
    /// Go on from here if it is still there, else start over.
    pub resume: Option<Resume>,
    /// Who tools run as. Everything they may change is made theirs.
    pub owner: Option<Owner>,
}

/// A step of an earlier attempt, as its log tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resume {
    /// [`Workspace::location`] of that attempt.
    pub location: PathBuf,
    pub commit: String,
    pub base_commit: String,
    pub branch: String,
}

/// A prepared working copy. Its lock is released when this is dropped.
#[derive(Debug)]
pub struct Workspace {
    place: Place,
    git: Git,
    base_commit: String,
    branch: String,
    resumed_from: Option<String>,
    /// The commit everything is compared with: the source's files without links to other repositories.
    start: String,
    head: String,
    files: Vec<String>,
    reference: String,
    state: tokio::sync::Mutex<Step>,
    notes: Mutex<Notes>,
    _lock: tidy::Lock,
}

/// The last step that was committed.
#[derive(Clone, Debug)]
struct Step {
    commit: String,
    tree: String,
}

/// What people should know, each said once.
#[derive(Debug, Default)]
struct Notes {
    waiting: Vec<String>,
    said: BTreeSet<String>,
}

impl Workspace {
    /// Step commit of an earlier attempt this one goes on from; `None` for a start from the source.
    pub fn resumed_from(&self) -> Option<&str> {
        self.resumed_from.as_deref()
    }

    /// Commit of the source the patch applies to. For a plain folder, the commit made of it.
    pub fn base_commit(&self) -> &str {
        &self.base_commit
    }

    /// A name for the branch the patch could go to.
    pub fn branch(&self) -> &str {
        &self.branch
    }

    /// The commit the tree held when it was prepared.
    pub fn head(&self) -> &str {
        &self.head
    }

    /// How many files the source has.
    pub fn files(&self) -> u64 {
        self.files.len() as u64
    }

    /// Their names, sorted. What is not UTF-8 is replaced.
    pub fn files_at_base(&self) -> Vec<String> {
        self.files.clone()
    }

    /// Where the step commits live.
    pub fn location(&self) -> &Path {
        self.git.folder()
    }

    /// Where commands work.
    pub fn place(&self) -> Place {
        self.place.clone()
    }

    /// What people should know and was not told yet: what was left out, and why.
    pub fn take_notes(&self) -> Vec<String> {
        std::mem::take(&mut self.notes.lock().unwrap_or_else(PoisonError::into_inner).waiting)
    }

    fn note(&self, text: String) {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).add(text);
    }
}

impl Notes {
    fn add(&mut self, text: String) {
        if self.said.insert(text.clone()) {
            self.waiting.push(text);
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The job cannot be done as asked. Another attempt would end the same way.
    #[error("{0}")]
    Source(String),
    #[error(
        "the patch has more than {limit} bytes; let the job leave build results out, with a .gitignore for example"
    )]
    PatchTooLarge { limit: u64 },
    #[error("`git {command}` {what}")]
    Git { command: String, what: String },
    #[error("{what}: {source}")]
    Io { what: String, source: io::Error },
}

impl Error {
    /// Whether the caller has to change something, as opposed to trying again.
    pub fn is_callers(&self) -> bool {
        matches!(self, Self::Source(_) | Self::PatchTooLarge { .. })
    }
}

/// Says what was being done when it failed.
fn doing<S: Into<String>>(what: impl FnOnce() -> S) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Io { what: what().into(), source }
}

/// File system work of any length, off the threads that serve other futures.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Error::Io {
        what: "a file system task did not finish".to_owned(),
        source: io::Error::other(error),
    })
}
