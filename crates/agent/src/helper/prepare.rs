//! Makes a tree: from a commit of a repository, from a plain folder, from nothing, or from a step of another workspace.
//!
//! ```text
//!   source repository ──fetch──▶ store (shared by all workspaces of that source)
//!                                  ▲ borrowed objects
//!                    git (steps) ──┴── tree/.git (the tools' own, with history)
//! ```

use super::{
    Error, bring,
    copy::{self, SOURCE_BYTES, within_limits},
    folder::{Folder, shown},
    git::{Git, Transport, is_object_id, zero_separated},
    known::{Known, Mode},
    scan, source, step, submodules, tools_repository,
};
use crate::workspace::Ssh;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

/// How many names a note shows.
const SHOWN: usize = 5;
/// What a large file's pointer has in bytes, roughly.
const POINTER_BYTES: std::ops::RangeInclusive<u64> = 110..=200;

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Prepare {
    /// Empty folders, both.
    pub git: PathBuf,
    pub tree: PathBuf,
    /// Where objects of the source are kept for all workspaces. `None`: the source has none.
    pub store: Option<PathBuf>,
    pub from: From,
    /// For the tools' own repository.
    pub branch: String,
    /// Where steps are kept.
    pub reference: String,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum From {
    Nothing,
    Local(Local),
    Remote(Remote),
    /// A step of another workspace of the job, which has the store already.
    Step {
        git: PathBuf,
        commit: String,
        base_commit: String,
        objects: Vec<PathBuf>,
    },
}

/// A folder on this machine, as the agent found it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Local {
    /// In the user's words.
    pub asked: String,
    pub folder: PathBuf,
    /// The git directory, where there is one.
    pub git_folder: Option<PathBuf>,
    /// Where its objects are: for a linked worktree not the same.
    pub common_folder: Option<PathBuf>,
    /// The top of the checked-out files.
    pub checkout: Option<PathBuf>,
    /// `folder` relative to the top; empty for the top itself.
    pub subfolder: String,
    pub reference: Option<String>,
    /// Folders that are never copied: the agent's own.
    pub without: Vec<PathBuf>,
}

/// A repository somewhere else. The configuration allows its address.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Remote {
    pub address: String,
    pub reference: Option<String>,
    /// For `ssh://`.
    pub ssh: Option<Ssh>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Prepared {
    /// The commit everything is compared with: the source's files, those of its submodules filled in.
    pub start: String,
    /// What the tree holds.
    pub head: String,
    /// The source's own commit; `start` where it has none.
    pub base_commit: String,
    /// Names of the files at the start, sorted. What is not UTF-8 is replaced.
    pub files: Vec<String>,
    /// Where in the tree the job works; empty for its top.
    pub subfolder: String,
    /// Folders of objects that the tools' repository borrows.
    pub objects: Vec<PathBuf>,
    /// It is a commit of a repository, not files that were copied.
    pub is_repository: bool,
    /// Some of its files are those of submodules, each of which takes its own part of the patch.
    #[serde(default)]
    pub has_submodules: bool,
    pub notes: Vec<String>,
}

pub(super) fn prepare(task: &Prepare) -> Result<Prepared, Error> {
    let mut prepared = match &task.from {
        From::Nothing => files(task, Vec::new())?,
        From::Local(local) => match source::find(local)? {
            source::Found::Commit(at) => {
                let store = fetched(task, &at)?;
                let checkout = local.checkout.as_deref().zip(local.common_folder.as_deref());
                let shown = &local.asked;
                Prepared {
                    subfolder: local.subfolder.clone(),
                    ..commit(task, &store, &at.commit, &at.object_format, checkout, shown)?
                }
            }
            source::Found::Files(note) => {
                let mut notes = copy::copy(&local.folder, &task.tree, &local.without)?;
                notes.splice(0..0, note);
                files(task, notes)?
            }
        },
        From::Remote(remote) => {
            let (store, base) = cloned(task, remote)?;
            commit(task, &store, &base, "sha1", None, &remote.address)?
        }
        From::Step { git, commit, base_commit, objects } => step_of(task, git, commit, base_commit, objects)?,
    };
    let git = Git::at(&task.git);
    let names = git.run(["ls-tree", "-r", "-z", "--name-only", "--full-tree", &prepared.start]).bytes()?;
    prepared.files = zero_separated(&names).map(|name| String::from_utf8_lossy(name).into_owned()).collect();
    prepared.files.sort_unstable();
    if let From::Local(Local { checkout: Some(checkout), .. }) = &task.from
        && prepared.is_repository
    {
        match bring::bring(checkout, &task.tree, &prepared.files) {
            Ok(brought) => prepared.notes.extend(brought.into_notes()),
            Err(error) => prepared.notes.push(format!("what was installed did not come along: {}", error.words())),
        }
    }
    Ok(prepared)
}

/// The source's commit in the store, with its history where that is not too large.
fn fetched(task: &Prepare, at: &source::At) -> Result<Git, Error> {
    let store = store(task, &at.object_format)?;
    let reference = format!("refs/devmesh/base/{}", at.commit);
    if store.run(["rev-parse", "--verify", "--quiet", &reference]).ran()?.status.success() {
        return Ok(store);
    }
    // A partial clone has the commit and not what lies before it.
    let is_whole = source::history_bytes(&at.git) <= SOURCE_BYTES && !source::is_partial(&at.git);
    let depth = (!is_whole).then_some("--depth=1");
    let wanted = format!("{}:{reference}", at.commit);
    fetch(&store, depth, at.common_folder.as_os_str(), &wanted, Transport::Local)?;
    Ok(store)
}

fn cloned(task: &Prepare, remote: &Remote) -> Result<(Git, String), Error> {
    let store = store(task, "sha1")?;
    let reference = remote.reference.as_deref().unwrap_or("HEAD");
    source::check_reference(reference)?;
    const FETCHED: &str = "refs/devmesh/remote";
    let wanted = format!("+{reference}:{FETCHED}");
    fetch(&store, None, OsStr::new(&remote.address), &wanted, Transport::Remote(remote.ssh.as_ref())).map_err(
        |error| match error {
            Error::Failed(why) => Error::Refused(format!("`{}` cannot be cloned: {why}", remote.address)),
            refused @ Error::Refused(_) => refused,
        },
    )?;
    let commit = store.run(["rev-parse", "--verify", &format!("{FETCHED}^{{commit}}")]).line()?;
    store.run(["update-ref", &format!("refs/devmesh/base/{commit}"), &commit]).done()?;
    Ok((store, commit))
}

fn store(task: &Prepare, object_format: &str) -> Result<Git, Error> {
    let folder = task.store.as_ref().ok_or_else(|| Error::Failed("there is no place to keep objects".into()))?;
    let folder = folder.join(object_format);
    match folder.join("HEAD").exists() {
        true => Ok(Git::at(folder)),
        false => Git::init(&folder, object_format),
    }
}

pub(super) fn fetch(
    store: &Git,
    depth: Option<&str>,
    from: &OsStr,
    wanted: &str,
    transport: Transport<'_>,
) -> Result<(), Error> {
    let fixed = ["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance", "--update-shallow"];
    let fixed = fixed.into_iter().chain(depth).chain(["--"]).map(OsStr::new);
    store.run(fixed.chain([from, wanted.as_ref()])).transport(transport).done()
}

/// Checks a commit of the store out.
fn commit(
    task: &Prepare,
    store: &Git,
    base: &str,
    object_format: &str,
    checkout: Option<(&Path, &Path)>,
    shown: &str,
) -> Result<Prepared, Error> {
    let mut notes = Vec::new();
    let git = Git::init(&task.git, object_format)?;
    let objects = vec![store.folder().to_owned()];
    git.borrow_objects(&objects)?;
    let (mut count, mut bytes) = (0, 0_u64);
    let listing = git.run(["ls-tree", "-r", "-z", "--long", "--full-tree", base]).bytes()?;
    for entry in zero_separated(&listing) {
        // mode, type, id, size, then a tab and the name
        let about = entry.split(|byte| *byte == b'\t').next().unwrap_or_default();
        let about = String::from_utf8_lossy(about);
        let size = about.split_ascii_whitespace().nth(3).and_then(|size| size.parse().ok());
        count += 1;
        bytes = bytes.saturating_add(size.unwrap_or(0));
    }
    within_limits(count, bytes, shown)?;
    git.run(["read-tree", base]).done()?;
    let links = source::links(&git, base)?;
    if !links.is_empty() {
        notes.extend(submodules::fill(&git, store, checkout, &links)?);
    }
    let start = start_commit(&git)?;
    check_out(&git, &task.tree, &start)?;
    git.run(["update-ref", &task.reference, &start]).done()?;
    for (path, _) in &links {
        // What was not filled in is an empty folder, as after a clone; without it git would call it deleted.
        fs::create_dir_all(task.tree.join(OsStr::from_bytes(path)))
            .map_err(Error::doing("making the folder of a submodule"))?;
    }
    let small = remember(&git, &task.tree, &start)?;
    notes.extend(pointers(&task.tree, &small));
    let given = tools_repository::give(&tools_repository::Give {
        tree: &task.tree,
        branch: &task.branch,
        commit: base,
        object_format,
        objects: &objects,
        index: Some(&task.git.join("index")),
        links: &links,
        shallow: Some(store.folder()),
    });
    if let Err(error) = given {
        notes.push(format!("git cannot be used inside the workspace: {}", error.words()));
    }
    Ok(Prepared {
        head: start.clone(),
        start,
        base_commit: base.to_owned(),
        objects,
        is_repository: true,
        has_submodules: !links.is_empty(),
        notes,
        ..Prepared::default()
    })
}

/// What lies in the tree becomes the start.
fn files(task: &Prepare, mut notes: Vec<String>) -> Result<Prepared, Error> {
    const FORMAT: &str = "sha1";
    let git = Git::init(&task.git, FORMAT)?;
    let first = step::first(&git, &task.tree, &task.reference)?;
    notes.extend(first.notes);
    let start = first.commit;
    let objects = vec![task.git.clone()];
    let given = tools_repository::give(&tools_repository::Give {
        tree: &task.tree,
        branch: &task.branch,
        commit: &start,
        object_format: FORMAT,
        objects: &objects,
        index: None,
        links: &[],
        shallow: None,
    });
    if let Err(error) = given {
        notes.push(format!("git cannot be used inside the workspace: {}", error.words()));
    }
    Ok(Prepared { head: start.clone(), base_commit: start.clone(), start, objects, notes, ..Prepared::default() })
}

/// Goes on from a step that another workspace has. Only the recorded commit is looked at, never what its refs say now.
fn step_of(task: &Prepare, from: &Path, step: &str, base: &str, objects: &[PathBuf]) -> Result<Prepared, Error> {
    if ![step, base].into_iter().all(is_object_id) {
        return Err(Error::Refused("the log names something that is not a commit id".into()));
    }
    let format = Git::at(from).run(["rev-parse", "--show-object-format"]).line()?;
    let git = Git::init(&task.git, &format)?;
    let shared: Vec<PathBuf> = objects.iter().filter(|folder| folder.as_path() != from).cloned().collect();
    git.borrow_objects(&shared)?;
    fetch(&git, None, from.as_os_str(), &format!("{step}:{}", task.reference), Transport::Local)?;
    let start = git.run(["rev-list", "--max-parents=0", step]).line()?;
    check_out(&git, &task.tree, step)?;
    remember(&git, &task.tree, step)?;
    let is_repository = start != base;
    let objects = if is_repository { shared } else { vec![task.git.clone()] };
    let mut notes = Vec::new();
    let links = if is_repository { source::links(&git, base).unwrap_or_default() } else { Vec::new() };
    let given = tools_repository::give(&tools_repository::Give {
        tree: &task.tree,
        branch: &task.branch,
        commit: base,
        object_format: &format,
        objects: &objects,
        index: Some(&task.git.join("index")),
        links: &links,
        shallow: objects.first().map(PathBuf::as_path).filter(|_| is_repository),
    });
    if let Err(error) = given {
        notes.push(format!("git cannot be used inside the workspace: {}", error.words()));
    }
    Ok(Prepared {
        start,
        head: step.to_owned(),
        base_commit: base.to_owned(),
        objects,
        is_repository,
        has_submodules: !links.is_empty(),
        notes,
        ..Prepared::default()
    })
}

/// A commit of the index without a past. It has no date either, so the same source gives the same start.
fn start_commit(git: &Git) -> Result<String, Error> {
    const EPOCH: &str = "@0 +0000";
    let tree = git.run(["write-tree"]).line()?;
    let commit = git.run(["commit-tree", &tree, "-m", "start"]);
    commit.environment("GIT_AUTHOR_DATE", EPOCH).environment("GIT_COMMITTER_DATE", EPOCH).line()
}

/// Writes the files of a commit into the empty tree.
fn check_out(git: &Git, tree: &Path, commit: &str) -> Result<(), Error> {
    git.run(["read-tree", commit]).done()?;
    git.with_tree(tree, ["checkout-index", "--all", "--force", "--quiet", "-u"]).done()
}

/// What was just checked out is what is known. Returns the files as small as a large file's pointer.
fn remember(git: &Git, tree: &Path, commit: &str) -> Result<Vec<Vec<u8>>, Error> {
    let at = Known::now(git.folder()).map_err(Error::doing("asking the file system for the time"))?;
    let folder = Folder::open(tree).map_err(Error::doing("opening the tree"))?;
    let found = scan::scan(folder, &step::listed(git, commit)?, &BTreeSet::new(), scan::For::Step)?;
    let small =
        found.changed.iter().filter(|(_, entry)| entry.mode != Mode::Link && POINTER_BYTES.contains(&entry.bytes));
    let small = small.map(|(path, _)| path.clone()).collect();
    let entries = found.changed.into_iter().chain(found.kept).collect();
    Known { commit: commit.to_owned(), at, entries }.save(git.folder())?;
    Ok(small)
}

fn pointers(tree: &Path, small: &[Vec<u8>]) -> Option<String> {
    let found: Vec<_> = small.iter().filter(|path| source::is_large_file_pointer(tree, path)).collect();
    if found.is_empty() {
        return None;
    }
    let names: Vec<_> = found.iter().map(|path| shown(path)).collect();
    Some(format!(
        "{} files are pointers of Git LFS, and their content is not part of the workspace: {}",
        found.len(),
        listed(&names)
    ))
}

/// The first of some names.
pub(super) fn listed(names: &[String]) -> String {
    let more = if names.len() > SHOWN { ", …" } else { "" };
    format!("{}{more}", names.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", "))
}
