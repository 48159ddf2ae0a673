//! Everything the agent does with what a command left, or with what somebody else's repository holds, is done by a helper:
//! one process inside the sandbox that can be killed, with limits on time and memory and no more rights than a command.
//!
//! ```text
//!   agent ── Task as JSON ──▶ guard ──fork, confine──▶ helper: carry_out ── git (objects only), files by descriptor
//!     ▲                                                  │
//!     └──────────── one line of JSON, then bytes ────────┘
//! ```
//! A pipe under a special name, a sparse giant, folders without end, a file that changes while it is read: each can at the
//! worst end the helper, and the agent is told so.
//!
//! - `prepare` makes a tree: `source` looks at a repository, `submodules` at those in it, `copy` at a plain folder, and `tools_repository` gives the tree a
//!   repository of its own.
//! - `bring` copies what was installed beside a checkout.
//! - `step` commits what changed, which `scan` finds with what is `known` and what is `ignored`; `restore` goes back.
//! - `sources` reads files as a commit has them; `read`, `search`, `edit` and `write` are the tools of models that look at files and change them; `inside` keeps their paths
//!   in the tree.
//! - `remove` and `measure` do what they say. All of them go through `folder`, and `git` only keeps objects.

mod bring;
mod copy;
mod edit;
mod folder;
mod git;
mod handle;
mod ignored;
mod inside;
mod known;
mod measure;
mod prepare;
mod read;
mod remove;
mod restore;
mod scan;
mod search;
mod source;
mod sources;
mod step;
mod submodules;
mod tools_repository;
mod write;

pub(crate) use copy::is_secret;
pub(crate) use edit::{Edit, Edited, replaced};
pub(crate) use git::is_object_id;
pub(crate) use handle::{Failure, Helper, Reach};
pub(crate) use inside::check_path;
pub(crate) use measure::{Measure, Measured};
pub(crate) use prepare::{From, Local, Prepare, Prepared, Remote};
pub(crate) use read::{Page, Read};
pub(crate) use remove::Empty;
pub(crate) use restore::{Extent, Restore, Restored};
pub(crate) use scan::FILE_BYTES;
pub(crate) use search::{Found, Search};
pub(crate) use source::Uncommitted;
pub(crate) use sources::Sources;
pub(crate) use step::{Difference, Step, Stepped};
pub(crate) use write::{Change, Over, Refused, Write, Written, placeholder, refusal};

use folder::{Folder, Kind};
use serde::{Deserialize, Serialize};
use std::{
    ffi::OsStr,
    io::{self, Write as _},
    os::unix::ffi::OsStrExt,
};

/// One thing to do.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Task {
    Prepare(Box<Prepare>),
    Uncommitted(Uncommitted),
    Step(Step),
    Restore(Restore),
    /// As bytes after the answer.
    Patch(Difference),
    /// What a patch touches, as `git diff --numstat -z` prints it, after the answer.
    Changed(Difference),
    Write(Write),
    Edit(Edit),
    Read(Read),
    Search(Search),
    /// Texts of files as a commit has them.
    Sources(Sources),
    Empty(Empty),
    Measure(Measure),
}

/// Why a task could not be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Error {
    /// Whoever asked has to change something.
    Refused(String),
    /// Another try may fare better.
    Failed(String),
}

impl Error {
    fn doing<E: std::fmt::Display>(what: &str) -> impl FnOnce(E) -> Self {
        move |error| Self::Failed(format!("{what}: {error}"))
    }

    pub(crate) fn words(&self) -> &str {
        match self {
            Self::Refused(words) | Self::Failed(words) => words,
        }
    }
}

/// Most memory a helper and the git it starts take for themselves, in bytes: 2 GiB.
const MEMORY_BYTES: u64 = 2 << 30;

/// In the confined process: does one task and prints how it went. Returns the exit code; the words of the answer count.
pub(crate) fn carry_out(task: &str) -> i32 {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    // What is left of it is the machine's to give.
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_DATA) {
        let _ = setrlimit(Resource::RLIMIT_DATA, MEMORY_BYTES.min(hard), MEMORY_BYTES.min(hard));
    }
    let mut out = io::stdout().lock();
    let done = match serde_json::from_str(task) {
        Ok(task) => do_it(&task),
        Err(error) => Err(Error::Failed(format!("the task makes no sense: {error}"))),
    };
    let (head, bytes) = match done {
        Ok((answer, bytes)) => (Ok(answer), bytes),
        Err(error) => (Err(error), Vec::new()),
    };
    let head: Result<serde_json::Value, Error> = head;
    let written = serde_json::to_writer(&mut out, &head)
        .map_err(io::Error::from)
        .and_then(|()| out.write_all(b"\n"))
        .and_then(|()| out.write_all(&bytes))
        .and_then(|()| out.flush());
    i32::from(written.is_err())
}

/// The same in this process, for a folder that nobody else writes to. Without the bytes that some answers come with.
pub(crate) fn here<T: serde::de::DeserializeOwned>(task: &Task) -> Result<T, Error> {
    let (answer, _) = do_it(task)?;
    serde_json::from_value(answer).map_err(Error::doing("reading the answer"))
}

type Done = Result<(serde_json::Value, Vec<u8>), Error>;

fn do_it(task: &Task) -> Done {
    fn plain(answer: impl Serialize) -> Done {
        let answer = serde_json::to_value(answer).map_err(Error::doing("writing the answer"))?;
        Ok((answer, Vec::new()))
    }
    match task {
        Task::Prepare(task) => {
            git::configure(&task.git)?;
            plain(prepare::prepare(task)?)
        }
        Task::Uncommitted(task) => {
            git::configure(&task.git)?;
            plain(source::uncommitted(task))
        }
        Task::Step(task) => {
            git::configure(&task.git)?;
            plain(step::step(task)?)
        }
        Task::Restore(task) => {
            git::configure(&task.git)?;
            plain(restore::restore(task)?)
        }
        Task::Patch(task) => {
            git::configure(&task.git)?;
            Ok((serde_json::Value::Null, task.patch()?))
        }
        Task::Changed(task) => {
            git::configure(&task.git)?;
            Ok((serde_json::Value::Null, task.names()?))
        }
        Task::Write(task) => plain(write::write(task)),
        Task::Edit(task) => plain(edit::edit(task)),
        Task::Read(task) => plain(read::read(task)),
        Task::Search(task) => plain(search::search(task)),
        Task::Sources(task) => {
            git::configure(&task.git)?;
            plain(sources::read(task)?)
        }
        Task::Empty(task) => plain(remove::empty(task)?),
        Task::Measure(task) => plain(measure::measure(task)),
    }
}

/// `folder/name`, in bytes.
fn joined(folder: &[u8], name: &[u8]) -> Vec<u8> {
    match folder.is_empty() {
        true => name.to_vec(),
        false => [folder, b"/", name].concat(),
    }
}

/// The folder a path's last name lies in, and that name. No link is followed on the way.
fn reach<'a>(top: &Folder, path: &'a [u8]) -> io::Result<(Folder, &'a OsStr)> {
    let (folder, name) = split(path);
    Ok((enter_along(top, folder)?, name))
}

fn split(path: &[u8]) -> (&[u8], &OsStr) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(at) => (&path[..at], OsStr::from_bytes(&path[at + 1..])),
        None => (&[], OsStr::from_bytes(path)),
    }
}

fn enter_along(top: &Folder, path: &[u8]) -> io::Result<Folder> {
    let names = path.split(|byte| *byte == b'/').filter(|name| !name.is_empty());
    names.map(OsStr::from_bytes).try_fold(top.again()?, |folder, name| folder.enter(name))
}

/// The same, and makes the folders on the way, in place of whatever has their names.
fn make_way<'a>(top: &Folder, path: &'a [u8]) -> io::Result<(Folder, &'a OsStr)> {
    let (along, name) = split(path);
    let mut folder = top.again()?;
    for part in along.split(|byte| *byte == b'/').filter(|part| !part.is_empty()).map(OsStr::from_bytes) {
        if !folder.look(part).is_ok_and(|look| look.kind == Kind::Folder) {
            remove::entry(&folder, part)?;
            folder.make_folder(part)?;
        }
        folder = folder.enter_by_force(part)?;
    }
    Ok((folder, name))
}
