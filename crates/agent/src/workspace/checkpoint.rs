//! Step commits: the whole tree, after every tool call.
//!
//! `git add` would do, but for two things: it takes a repository inside the tree for a link to it, and git runs itself,
//! with that repository's configuration, inside what it has a link to. So git is asked what changed, we look at each
//! name, and git is told which of them to take. It costs one walk and, when nothing changed, ends there.

use super::{
    Error, STEP_FILE_BYTES, Step, Workspace, blocking,
    git::{Git, remove_stale_lock, zero_separated},
};
use std::{
    collections::{BTreeSet, HashMap},
    ffi::OsStr,
    fs::{self, OpenOptions},
    io,
    os::unix::{
        ffi::OsStrExt,
        fs::{FileTypeExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
};

/// Most bytes one step adds, which bounds what a run of steps can take of the disk: 2 GiB, the size of a whole source.
const STEP_BYTES: u64 = 2 << 30;
/// Repositories inside repositories inside repositories. Further down nothing is looked at.
const NESTED_DEPTH: usize = 8;

pub(super) fn reference(attempt: u32) -> String {
    format!("refs/devmesh/steps/{attempt}")
}

impl Workspace {
    /// Commits the tree as it is, but for what its `.gitignore` files say, and returns the commit: the last one again
    /// when nothing changed. Nothing may run in the tree meanwhile.
    pub async fn checkpoint(&self, step: u32) -> Result<String, Error> {
        let mut last = self.state.lock().await;
        remove_stale_lock(&self.git)?;
        let tree = &self.place.tree;
        refresh(&self.git, tree).await?;
        for note in stage(&self.git, tree).await? {
            self.note(note);
        }
        let tree = self.git.bare(["write-tree"]).line().await?;
        if tree == last.tree {
            return Ok(last.commit.clone());
        }
        let message = format!("step {step}");
        let commit = self.git.bare(["commit-tree", &tree, "-p", &last.commit, "-m", &message]).line().await?;
        self.git.bare(["update-ref", &self.reference, &commit]).bytes().await?;
        *last = Step { commit: commit.clone(), tree };
        Ok(commit)
    }
}

/// Brings up to date what git remembers of files that did not change, so that it need not read them again.
pub(super) async fn refresh(git: &Git, tree: &Path) -> Result<(), Error> {
    // Ends with 1 when something did change, which is no failure.
    git.with_tree(tree, ["update-index", "-q", "--refresh"]).ran().await.map(drop)
}

/// Brings the index to what the tree holds. Returns what to tell people.
pub(super) async fn stage(git: &Git, tree: &Path) -> Result<Vec<String>, Error> {
    let listing = ["ls-files", "-z", "--modified", "--deleted", "--others", "--exclude-standard"];
    let listed = git.with_tree(tree, listing).bytes().await?;
    let mut names: BTreeSet<Vec<u8>> = BTreeSet::new();
    let mut nested = Vec::new();
    for name in zero_separated(&listed) {
        // Only a repository is listed as a folder.
        match name.strip_suffix(b"/") {
            Some(folder) => nested.push((folder.to_vec(), 1)),
            None => drop(names.insert(name.to_vec())),
        }
    }
    while let Some((folder, depth)) = nested.pop() {
        // With its folder as the top, its own `.git` is passed over and its files are files.
        let at = tree.join(OsStr::from_bytes(&folder));
        let listing = ["ls-files", "-z", "--others", "--exclude-standard"];
        let none = git.folder().join("no-index");
        let listed = git.with_tree(&at, listing).environment("GIT_INDEX_FILE", none).bytes().await?;
        for name in zero_separated(&listed) {
            let below = |name: &[u8]| [&folder, b"/".as_slice(), name].concat();
            match name.strip_suffix(b"/") {
                Some(inner) if depth < NESTED_DEPTH => nested.push((below(inner), depth + 1)),
                Some(_) => {}
                None => drop(names.insert(below(name))),
            }
        }
    }
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let at = tree.to_path_buf();
    let sorted = blocking(move || sort(&at, names)).await?;
    if !sorted.gone.is_empty() {
        let remove = ["update-index", "-z", "--force-remove", "--stdin"];
        git.with_tree(tree, remove).input(sorted.gone).bytes().await?;
    }
    if !sorted.take.is_empty() {
        let add = ["update-index", "-z", "--add", "--remove", "--replace", "--stdin"];
        git.with_tree(tree, add).input(sorted.take).bytes().await?;
    }
    Ok(sorted.notes)
}

/// Names to remove from and to take into the index, each ended by a zero.
#[derive(Default)]
struct Sorted {
    gone: Vec<u8>,
    take: Vec<u8>,
    notes: Vec<String>,
}

fn sort(tree: &Path, names: BTreeSet<Vec<u8>>) -> Sorted {
    let mut sorted = Sorted::default();
    let mut folders = HashMap::new();
    let mut left = STEP_BYTES;
    for name in names {
        let path = tree.join(OsStr::from_bytes(&name));
        let shown = || String::from_utf8_lossy(&name).escape_debug().to_string();
        let push = |to: &mut Vec<u8>| {
            to.extend_from_slice(&name);
            to.push(0);
        };
        let relative = Path::new(OsStr::from_bytes(&name));
        if !is_within(tree, relative, &mut folders) {
            // A folder became a link or a file: what was in it is not there any more.
            push(&mut sorted.gone);
            continue;
        }
        let metadata = match fs::symlink_metadata(&path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                sorted.notes.push(format!("`{}` cannot be read and was left out", shown()));
                continue;
            }
            Err(_) => {
                push(&mut sorted.gone);
                continue;
            }
        };
        let kind = metadata.file_type();
        let bytes = if kind.is_file() { metadata.len() } else { 0 };
        if kind.is_dir() || kind.is_fifo() || kind.is_socket() || kind.is_char_device() || kind.is_block_device() {
            // No longer a file that git could keep.
            push(&mut sorted.gone);
        } else if bytes > STEP_FILE_BYTES {
            let (is, most) = (bytes >> 20, STEP_FILE_BYTES >> 20);
            sorted
                .notes
                .push(format!("`{}` has {is} MiB and was left out: steps keep files of up to {most} MiB", shown()));
        } else if bytes > left {
            let most = STEP_BYTES >> 20;
            sorted.notes.push(format!("`{}` was left out: one step adds at most {most} MiB", shown()));
        } else if kind.is_file() && !is_readable(&path) {
            sorted.notes.push(format!("`{}` cannot be read and was left out", shown()));
        } else {
            left -= bytes;
            push(&mut sorted.take);
        }
    }
    sorted
}

/// Whether every folder on the way is a folder.
fn is_within(tree: &Path, name: &Path, known: &mut HashMap<PathBuf, bool>) -> bool {
    let Some(parent) = name.parent().filter(|parent| !parent.as_os_str().is_empty()) else { return true };
    if let Some(answer) = known.get(parent) {
        return *answer;
    }
    let is_folder = || match fs::symlink_metadata(tree.join(parent)) {
        Ok(metadata) => metadata.is_dir(),
        // Not seen is not gone.
        Err(error) => error.kind() == io::ErrorKind::PermissionDenied,
    };
    let answer = is_within(tree, parent, known) && is_folder();
    known.insert(parent.to_path_buf(), answer);
    answer
}

fn is_readable(path: &Path) -> bool {
    OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path).is_ok()
}
