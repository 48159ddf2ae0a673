//! The files of submodules, where a commit only has links to them. They come from the user's own checkout: nothing is fetched
//! from anywhere else.

use super::{
    Error,
    folder::shown,
    git::{Git, Transport, is_object_id},
    joined,
    prepare::{fetch, listed},
    source,
};
use std::{
    ffi::{OsStr, OsString},
    fs,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

/// Repositories in repositories in repositories. Further down nothing is filled in.
const NESTED: usize = 4;

/// Puts the files into the index of `git` in place of `links`. Returns what to tell people.
pub(super) fn fill(
    git: &Git,
    store: &Git,
    checkout: Option<(&Path, &Path)>,
    links: &[(Vec<u8>, String)],
) -> Result<Vec<String>, Error> {
    let mut filler = Filler { git, store, checkout, filled: Vec::new(), notes: Vec::new() };
    filler.fill(links, Path::new(""), 0)?;
    let Filler { filled, mut notes, .. } = filler;
    if !filled.is_empty() {
        notes.push(format!("submodules are in the workspace as plain files: {}", listed(&filled)));
    }
    Ok(notes)
}

struct Filler<'a> {
    git: &'a Git,
    store: &'a Git,
    /// The user's checked-out files, and the git directory that may hold the submodules' own.
    checkout: Option<(&'a Path, &'a Path)>,
    filled: Vec<String>,
    notes: Vec<String>,
}

impl Filler<'_> {
    fn fill(&mut self, links: &[(Vec<u8>, String)], below: &Path, depth: usize) -> Result<(), Error> {
        let mut gone = Vec::new();
        for (path, _) in links {
            gone.extend_from_slice(&joined(below.as_os_str().as_bytes(), path));
            gone.push(0);
        }
        self.git.with_index(["update-index", "-z", "--force-remove", "--stdin"]).input(gone).done()?;
        for (path, commit) in links {
            let path = below.join(OsStr::from_bytes(path));
            let name = shown(path.as_os_str().as_bytes());
            match self.fill_one(&path, commit, depth) {
                Ok(()) => self.filled.push(name),
                Err(error) => self.notes.push(format!(
                    "the files of the submodule `{name}` are not part of the workspace: {}",
                    error.words()
                )),
            }
        }
        Ok(())
    }

    fn fill_one(&mut self, path: &Path, commit: &str, depth: usize) -> Result<(), Error> {
        let refused = |why: &str| Err(Error::Refused(why.to_owned()));
        if depth >= NESTED {
            return refused("it lies too deep in others");
        }
        let Some((checkout, common)) = self.checkout else { return refused("the repository has no checked-out files") };
        let Some(from) = git_folder_of(&checkout.join(path)) else { return refused("it is not checked out") };
        if ![checkout, common].iter().any(|folder| from.starts_with(folder)) {
            return refused("its repository lies elsewhere");
        }
        source::nothing_waits_in(&from)?;
        if !is_object_id(commit) {
            return refused("its commit makes no sense");
        }
        let reference = format!("refs/devmesh/base/{commit}");
        let wanted = format!("{commit}:{reference}");
        if !self.store.run(["rev-parse", "--verify", "--quiet", &reference]).ran()?.status.success()
            && fetch(self.store, Some("--depth=1"), from.as_os_str(), &wanted, Transport::Local).is_err()
        {
            return refused("the commit it should be at is not on this machine");
        }
        let mut prefix = OsString::from("--prefix=");
        prefix.push(path);
        prefix.push("/");
        self.git.with_index([OsStr::new("read-tree"), &prefix, OsStr::new(commit)]).done()?;
        let inner = source::links(self.git, commit)?;
        if inner.is_empty() { Ok(()) } else { self.fill(&inner, path, depth + 1) }
    }
}

/// The git directory of a checkout, read without git.
fn git_folder_of(checkout: &Path) -> Option<PathBuf> {
    let dot_git = checkout.join(".git");
    let metadata = fs::symlink_metadata(&dot_git).ok()?;
    if metadata.is_dir() {
        return dot_git.canonicalize().ok();
    }
    const LONGEST: u64 = 8 << 10;
    if !metadata.is_file() || metadata.len() > LONGEST {
        return None;
    }
    let text = fs::read(&dot_git).ok()?;
    let named = text.strip_prefix(b"gitdir: ")?.trim_ascii_end();
    checkout.join(OsStr::from_bytes(named)).canonicalize().ok()
}
