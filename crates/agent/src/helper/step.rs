//! A step commit: what changed in the tree, on top of the step before.
//!
//! Git is handed content and names on its standard input and never sees the tree.

use super::{
    Error,
    folder::{Folder, shown},
    git::{Git, zero_separated},
    known::{Entry, Known, Mode},
    scan::{self, FILE_BYTES, For, Found},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeSet,
    ffi::OsStr,
    io::{BufWriter, Read, Write},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

/// Most bytes one step adds, which bounds what a run of steps can take of the disk: 2 GiB, the size of a whole source.
const STEP_BYTES: u64 = 2 << 30;
/// The largest index of the tools' own repository that is asked what was added to it by force, in bytes.
const INDEX_BYTES: u64 = 256 << 20;
const NANOSECONDS: i64 = 1_000_000_000;

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Step {
    pub git: PathBuf,
    pub tree: PathBuf,
    /// The step before.
    pub parent: String,
    /// Where the commit is kept.
    pub reference: String,
    pub message: String,
    /// Files that `write_file` made: they are part of the work whatever a `.gitignore` says.
    pub written: Vec<String>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Stepped {
    /// The one before again when nothing changed.
    pub commit: String,
    pub notes: Vec<String>,
    /// What is there and in no step, as the rules of the tree or of everybody say; only the first of it.
    pub ignored: BTreeSet<String>,
    pub ignored_count: u64,
}

pub(super) fn step(step: &Step) -> Result<Stepped, Error> {
    let git = Git::at(&step.git);
    let known = Known::load(&step.git, &step.parent);
    // Without it every file counts as new, which is slow and right.
    let known = if known.commit.is_empty() { listed(&git, &step.parent)? } else { known };
    let mut wanted: BTreeSet<Vec<u8>> = step.written.iter().map(|path| path.as_bytes().to_vec()).collect();
    wanted.extend(forced(&git, &step.tree));
    let at = Known::now(&step.git).map_err(Error::doing("asking the file system for the time"))?;
    let folder = || Folder::open_by_force(&step.tree).map_err(Error::doing("opening the tree"));
    let mut found = scan::scan(folder()?, &known, &wanted, For::Step)?;
    let mut commit = step.parent.clone();
    if !found.changed.is_empty() || !found.gone.is_empty() {
        let made = commit_of(&git, &folder()?, step, at, &mut found)?;
        let tree_of = |commit: &str| git.run(["rev-parse", &format!("{commit}^{{tree}}")]).line();
        commit = match tree_of(&made)? == tree_of(&step.parent)? {
            // Touched, not changed.
            true => {
                git.run(["update-ref", &step.reference, &step.parent]).done()?;
                step.parent.clone()
            }
            false => made,
        };
    }
    let Found { changed, kept, notes, ignored, ignored_count, .. } = found;
    let entries = changed.into_iter().chain(kept).collect();
    Known { commit: commit.clone(), at, entries }.save(&step.git)?;
    Ok(Stepped { commit, notes, ignored, ignored_count })
}

/// A first commit of all there is in a tree, without a past. It has no date either, so the same files give the same
/// commit.
pub(super) fn first(git: &Git, tree: &Path, reference: &str) -> Result<Stepped, Error> {
    const START: &str = "start";
    let step = Step {
        git: git.folder().to_owned(),
        tree: tree.to_owned(),
        parent: String::new(),
        reference: reference.to_owned(),
        message: START.to_owned(),
        written: Vec::new(),
    };
    let at = Known::now(&step.git).map_err(Error::doing("asking the file system for the time"))?;
    let folder = || Folder::open(tree).map_err(Error::doing("opening the tree"));
    let mut found = scan::scan(folder()?, &Known::default(), &BTreeSet::new(), For::Step)?;
    let commit = commit_of(git, &folder()?, &step, at, &mut found)?;
    let Found { changed, notes, ignored, ignored_count, .. } = found;
    Known { commit: commit.clone(), at, entries: changed.into_iter().collect() }.save(&step.git)?;
    Ok(Stepped { commit, notes, ignored, ignored_count })
}

/// What a commit holds, as if nothing were known of its files but their names.
pub(super) fn listed(git: &Git, commit: &str) -> Result<Known, Error> {
    let listing = git.run(["ls-tree", "-r", "-z", "--full-tree", commit]).bytes()?;
    let mut known = Known { commit: commit.to_owned(), ..Known::default() };
    for line in zero_separated(&listing) {
        let tab = line.iter().position(|byte| *byte == b'\t').unwrap_or(line.len());
        let mode = std::str::from_utf8(&line[..tab]).ok().and_then(|about| Mode::parse(about.split(' ').next()?));
        if let (Some(mode), Some(path)) = (mode, line.get(tab + 1..)) {
            known.entries.insert(path.to_vec(), Entry::unseen(mode));
        }
    }
    Ok(known)
}

/// What somebody added to the tools' own repository: with `git add --force` also what is ignored. The index is read with
/// our repository, so nothing their configuration names is looked at; when it makes no sense it says nothing.
fn forced(git: &Git, tree: &Path) -> Vec<Vec<u8>> {
    let read = || -> Option<Vec<Vec<u8>>> {
        let index =
            Folder::open(tree).ok()?.enter(OsStr::new(".git")).ok()?.read(OsStr::new("index"), INDEX_BYTES).ok()?;
        let copy = git.folder().join("tools-index");
        std::fs::write(&copy, index).ok()?;
        let listed = git.run(["ls-files", "-z", "--cached"]).environment("GIT_INDEX_FILE", &copy).bytes().ok()?;
        Some(zero_separated(&listed).map(<[u8]>::to_vec).collect())
    };
    read().unwrap_or_default()
}

fn commit_of(git: &Git, tree: &Folder, step: &Step, at: i64, found: &mut Found) -> Result<String, Error> {
    let arguments = ["fast-import", "--quiet", "--done", "--force", "--date-format=raw"];
    let mut child = git.run(arguments).talk()?;
    let fed = child.stdin.take().map(|stdin| feed(BufWriter::new(stdin), tree, step, at, found));
    let mut said = Vec::new();
    if let Some(mut stdout) = child.stdout.take() {
        let _ = (&mut stdout).take(4 << 10).read_to_end(&mut said);
    }
    let status = child.wait().map_err(Error::doing("waiting for git"))?;
    if !status.success() {
        remove_unfinished(git);
        return Err(Error::Failed(format!("`git fast-import` ended with {status}")));
    }
    fed.transpose().map_err(Error::doing("handing files to git"))?;
    reference(git, &step.reference)
}

/// What an import that broke off had packed so far.
fn remove_unfinished(git: &Git) {
    let packs = std::fs::read_dir(git.folder().join("objects/pack")).into_iter().flatten().flatten();
    for pack in packs.filter(|pack| pack.file_name().as_bytes().starts_with(b"tmp_")) {
        let _ = std::fs::remove_file(pack.path());
    }
}

fn reference(git: &Git, name: &str) -> Result<String, Error> {
    git.run(["rev-parse", "--verify", "--end-of-options", name]).line()
}

fn feed(mut to: impl Write, tree: &Folder, step: &Step, at: i64, found: &mut Found) -> std::io::Result<()> {
    let message = &step.message;
    // Without a past there is no time either.
    let seconds = if step.parent.is_empty() { 0 } else { at / NANOSECONDS };
    write!(to, "commit {}\ncommitter devmesh <devmesh@localhost> {seconds} +0000\n", step.reference)?;
    write!(to, "data {}\n{message}\n", message.len())?;
    if !step.parent.is_empty() {
        writeln!(to, "from {}", step.parent)?;
    }
    // First what is gone: a name can have become a folder, or a folder a name.
    for path in &found.gone {
        writeln!(to, "D {}", quoted(path))?;
    }
    // Half of what is free, so that what is kept fills no disk either.
    let mut left = STEP_BYTES.min(free_bytes(&step.git) / 2);
    let most = left >> 20;
    let mut taken = Vec::with_capacity(found.changed.len());
    for (path, entry) in std::mem::take(&mut found.changed) {
        let name = shown(&path);
        if entry.bytes > left {
            found.notes.push(format!("`{name}` was left out: there is room for {most} MiB in this step"));
            found.left_out.push(path);
            continue;
        }
        match content(tree, &path, entry.mode) {
            Ok(bytes) => {
                left = left.saturating_sub(bytes.len() as u64);
                write!(to, "M {} inline {}\ndata {}\n", entry.mode.as_str(), quoted(&path), bytes.len())?;
                to.write_all(&bytes)?;
                to.write_all(b"\n")?;
                taken.push((path, entry));
            }
            Err(error) => found.notes.push(format!("`{name}` cannot be read and was left out: {error}")),
        }
    }
    found.changed = taken;
    writeln!(to, "\ndone")?;
    to.flush()
}

/// A disk that does not say has room.
fn free_bytes(folder: &Path) -> u64 {
    nix::sys::statvfs::statvfs(folder).map_or(u64::MAX, |status| {
        #[expect(clippy::useless_conversion, reason = "narrower on other systems")]
        u64::from(status.blocks_available()).saturating_mul(u64::from(status.fragment_size()))
    })
}

fn content(tree: &Folder, path: &[u8], mode: Mode) -> std::io::Result<Vec<u8>> {
    let (folder, name) = super::reach(tree, path)?;
    match mode {
        Mode::Link => Ok(folder.link(name)?.as_bytes().to_vec()),
        Mode::File | Mode::Executable => folder.read(name, FILE_BYTES),
    }
}

/// A path as `git fast-import` reads it.
fn quoted(path: &[u8]) -> String {
    let mut quoted = String::with_capacity(path.len() + 2);
    quoted.push('"');
    for byte in path {
        match byte {
            b'"' => quoted.push_str("\\\""),
            b'\\' => quoted.push_str("\\\\"),
            b' '..=b'~' => quoted.push(char::from(*byte)),
            other => quoted.push_str(&format!("\\{other:03o}")),
        }
    }
    quoted.push('"');
    quoted
}

/// A comparison of two commits.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Difference {
    pub git: PathBuf,
    pub from: String,
    pub to: String,
    /// Whether a file that moved is told as one. Not where it could have moved between repositories.
    pub renames: bool,
}

impl Difference {
    /// Everything in it, for `git apply`.
    pub(super) fn patch(&self) -> Result<Vec<u8>, Error> {
        self.run(&["--binary", "--full-index", "--src-prefix=a/", "--dst-prefix=b/"])
    }

    /// What it touches.
    pub(super) fn names(&self) -> Result<Vec<u8>, Error> {
        self.run(&["--numstat", "-z"])
    }

    fn run(&self, more: &[&str]) -> Result<Vec<u8>, Error> {
        let renames = if self.renames { "--find-renames" } else { "--no-renames" };
        let options = ["diff", "--no-color", "--no-ext-diff", "--no-textconv", renames];
        Git::at(&self.git).run(options.iter().chain(more).chain(&[self.from.as_str(), self.to.as_str()])).bytes()
    }
}
