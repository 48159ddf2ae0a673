//! The working copy of a job on this machine, and its history.
//!
//! ```text
//!   <folder>/<job>/<attempt that made it>/
//!     tree/           what tools see and change, with a `.git` of its own that is theirs alone
//!     scratch/        home and temporary files of tools
//!     git/            bare: start ── step 1 ── step 2 …   under refs/devmesh/steps/<attempt>
//!     workspace.json  what the agent knows of it
//!     lock            held while an attempt works in it
//!   <folder>/sources/  objects of the repositories jobs are about, see `objects`
//! ```
//! Tools may do anything to `tree`, also to `tree/.git`. Whoever walks there, or runs git there, can be made to wait for
//! ever, to run out of memory, or to run what they wrote. So the agent never does: a [`crate::helper`] in the sandbox does
//! it all, and git keeps objects in a repository of the agent's own, out of the tools' reach.
//!
//! The user's own repository or folder is read and never written, and no program of its configuration is run.
//!
//! ```text
//!   a later attempt:   workspace here and free ──▶ taken over: put back to the last step, all that is ignored stays
//!                      here, but taken or empty ──▶ a new one from the last step
//!                      not here ──▶ a new one from the source
//! ```
//! The step is the one the log names, by its commit id. What a lost attempt commits after that has another id and is never
//! seen. All agents of a machine share one folder.

pub mod access;
mod files;
mod local;
mod lock;
mod look;
mod objects;
mod patch;
mod prepare;
mod record;
mod step;
mod tidy;
mod undo;

pub use access::{Access, Ssh};
pub use patch::ChangedFile;
pub use tidy::{Tidied, jobs};

use crate::{
    disk::Bounds,
    helper::Helper,
    sandbox::{Place, Sandbox},
};
use domain::JobId;
use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio_util::sync::CancellationToken;

/// Largest file a step keeps, in bytes: 100 MiB. Larger ones are results of builds, not sources.
pub const STEP_FILE_BYTES: u64 = crate::helper::FILE_BYTES;
/// Largest patch in bytes: 64 MiB. Nobody reviews more, and it has to fit in memory.
pub const PATCH_BYTES: u64 = 64 << 20;
/// What all workspaces of a machine may take before finished ones are removed, in bytes: 20 GiB, a few large ones.
pub const QUOTA_BYTES: u64 = 20 << 30;
/// Longest look at what a command left. A tree that takes longer is nobody's work.
const STEP_TAKES: Duration = Duration::from_secs(60);

/// What to make a workspace from.
#[derive(Clone, Debug)]
pub struct Prepare {
    /// Where tools run, and whoever looks at what they did.
    pub sandbox: Arc<Sandbox>,
    /// Holds the workspaces of this machine's agents.
    pub folder: PathBuf,
    pub job: JobId,
    pub attempt: u32,
    /// Tells one mesh from another that keeps workspaces in the same folder.
    pub mesh: String,
    /// In the user's words; a few of them become part of the branch name.
    pub task: String,
    /// `None`: an empty tree.
    pub repository: Option<protocol::Repository>,
    /// What the job may be about.
    pub access: Access,
    pub disk: Bounds,
    /// Go on from here if it is still there, else start over.
    pub resume: Option<Resume>,
    /// Ends whatever is being done for the workspace.
    pub cancel: CancellationToken,
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
    git: PathBuf,
    helper: Helper,
    cancel: CancellationToken,
    base_commit: String,
    branch: String,
    resumed_from: Option<String>,
    /// The commit everything is compared with: the source's files, those of its submodules filled in.
    start: String,
    head: String,
    files: Vec<String>,
    subfolder: PathBuf,
    has_submodules: bool,
    reference: String,
    state: tokio::sync::Mutex<Step>,
    notes: Mutex<Notes>,
    ignored: Mutex<Ignored>,
    _lock: lock::Lock,
}

/// The last step that was committed.
#[derive(Clone, Debug)]
struct Step {
    commit: String,
    /// What `write_file` wrote since.
    written: BTreeSet<String>,
}

/// What is in the tree and in no step.
#[derive(Clone, Debug, Default)]
struct Ignored {
    names: BTreeSet<String>,
    count: u64,
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

    /// Their names, sorted, as seen from where the job works; those of other folders are left out. What is not UTF-8 is
    /// replaced.
    pub fn files_at_base(&self) -> Vec<String> {
        let below = |name: &String| Some(Path::new(name).strip_prefix(&self.subfolder).ok()?.to_str()?.to_owned());
        self.files.iter().filter_map(below).collect()
    }

    /// Where the step commits live.
    pub fn location(&self) -> &Path {
        &self.git
    }

    /// Where in the tree the job works and commands start; empty for its top.
    pub fn subfolder(&self) -> &Path {
        &self.subfolder
    }

    /// Where commands work.
    pub fn place(&self) -> Place {
        self.place.clone()
    }

    /// What people should know and was not told yet: what was left out, and why.
    pub fn take_notes(&self) -> Vec<String> {
        std::mem::take(&mut self.notes.lock().unwrap_or_else(PoisonError::into_inner).waiting)
    }

    /// What the patch leaves out because of the tree's own rules or everybody's, in words; `None` when there is nothing.
    pub fn left_out(&self) -> Option<String> {
        let ignored = self.ignored.lock().unwrap_or_else(PoisonError::into_inner);
        if ignored.names.is_empty() {
            return None;
        }
        let names: Vec<_> = ignored.names.iter().map(|name| format!("`{name}`")).collect();
        let others = ignored.count.saturating_sub(names.len() as u64);
        let more = if others > 0 { format!(" and {others} more") } else { String::new() };
        Some(format!(
            "not in the patch, because a .gitignore names it or builds and installs leave it behind: {}{more}",
            names.join(", ")
        ))
    }

    fn note(&self, text: String) {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).add(text);
    }
}

impl Notes {
    fn add(&mut self, text: String) {
        // Names and git's own words are in it.
        let text = crate::output::plain(&text);
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
    /// What was being done was cancelled.
    #[error("it was stopped")]
    Stopped,
    #[error("{0}")]
    Failed(String),
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

/// Keeps all workspaces in `folder` under `quota_bytes` by removing what finished longest ago; attempts that run stay,
/// whatever they take. Also finishes removals that were interrupted.
pub async fn tidy(sandbox: &Arc<Sandbox>, folder: &Path, quota_bytes: u64) -> Result<Tidied, Error> {
    tidy::tidy(&Helper::new(sandbox.clone(), folder), folder, quota_bytes).await
}

/// Where the disk has too little room left: removes the files of workspaces nobody works in, those that finished longest ago
/// first, until there is room. Their steps stay. Blocking, and without a helper: it has to work where nothing else does.
pub fn make_room(folder: &Path, bounds: Bounds) {
    tidy::make_room(folder, bounds);
}

/// Removes everything of a job that is over. Attempts that still run are left.
pub async fn remove_job(sandbox: &Arc<Sandbox>, folder: &Path, job: JobId) -> Result<(), Error> {
    tidy::remove_job(&Helper::new(sandbox.clone(), folder), folder, job).await
}
