//! A repository of the user's, as far as applying a patch needs it.

use super::patch::Name;
use crate::{
    git::{Git, Programs, Ran, zero_separated},
    output::{Failure, Result, shell_quoted},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

#[derive(Clone, Debug)]
pub struct Repository {
    /// Where its files are; `None` for a bare one.
    pub top: Option<PathBuf>,
    /// Its own, also where it is a linked worktree.
    pub git_folder: PathBuf,
    /// Where all its worktrees have their objects.
    pub objects: PathBuf,
    /// On exactly this repository, and with its own files where it has any.
    pub git: Git,
    pub programs: Programs,
}

/// What is known of one name in an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub mode: String,
    pub id: String,
    /// 0, but for what a merge left to be decided.
    pub stage: u8,
    /// Not in the tree on purpose: outside of a sparse checkout.
    pub is_skipped: bool,
    /// Git was told not to look whether it changed.
    pub is_assumed: bool,
}

/// An index: entries by name, the first stage of each.
#[derive(Clone, Debug, Default)]
pub struct Index {
    pub entries: BTreeMap<Name, Entry>,
}

impl Repository {
    /// The repository that `path`, which is canonical, lies in; `None` when it lies in none.
    pub async fn open(path: &Path) -> Result<Option<Self>> {
        let git = Git::at(path);
        let looked = git.ran(&["rev-parse", "--is-inside-work-tree"]).await?;
        if !looked.status.success() {
            // Anything else, such as a `.git` that leads nowhere, is a repository that cannot be used.
            if looked.stderr.contains("not a git repository (or any") {
                return Ok(None);
            }
            let failure = looked.refused("this repository cannot be used, and nothing was changed", path);
            return Err(failure);
        }
        let git_folder = git.path(&["rev-parse", "--absolute-git-dir"]).await?;
        let common = git.path(&["rev-parse", "--git-common-dir"]).await?;
        let top = match looked.stdout.starts_with(b"true") {
            true => Some(git.path(&["rev-parse", "--show-toplevel"]).await?),
            false => None,
        };
        if let Some(top) = &top {
            stays_here(path, top)?;
        }
        let (git, programs) = Programs::switched_off(git).await?;
        let git = git.with("GIT_DIR", &git_folder);
        let git = match &top {
            Some(top) => git.moved(top).with("GIT_WORK_TREE", top),
            None => git,
        };
        Ok(Some(Self { top, objects: common.join("objects"), git_folder, git, programs }))
    }

    /// Whether it has this commit.
    pub async fn knows(&self, commit: &str) -> Result<bool> {
        if !is_object_id(commit) {
            return Ok(false);
        }
        Ok(self.git.ran(&["cat-file", "-e", &format!("{commit}^{{commit}}")]).await?.status.success())
    }

    pub async fn index(&self) -> Result<Index> {
        Index::read(&self.git).await
    }
}

impl Index {
    pub async fn read(git: &Git) -> Result<Self> {
        let listed = git.bytes(&["ls-files", "-v", "--stage", "-z"]).await?;
        let mut index = Self::default();
        for line in zero_separated(&listed) {
            if let Some((name, entry)) = read_entry(line) {
                index.entries.entry(name).or_insert(entry);
            }
        }
        Ok(index)
    }

    /// The link to another repository that `name` lies below.
    pub fn link_above(&self, name: &[u8]) -> Option<Name> {
        let mut ends = name.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| &name[..at]);
        ends.find(|above| self.entries.get(*above).is_some_and(|entry| entry.mode == "160000")).map(<[u8]>::to_vec)
    }

    /// Makes `git`'s index tell what is in the tree of `names`: what it remembers of files may be of another machine or an
    /// older copy of them.
    pub async fn refresh<'a>(git: &Git, names: impl Iterator<Item = &'a Name>) -> Result<()> {
        let index = Self::read(git).await?;
        let assumed = names.filter(|name| index.entries.get(*name).is_some_and(|entry| entry.is_assumed));
        let assumed: Vec<u8> = assumed.flat_map(|name| [name.as_slice(), b"\0"].concat()).collect();
        let failed =
            |ran: Ran| ran.refused("the index cannot be brought up to date, and nothing was changed", git.folder());
        if !assumed.is_empty() {
            let ran = git.fed(&["update-index", "--no-assume-unchanged", "-z", "--stdin"], &assumed).await?;
            if !ran.status.success() {
                return Err(failed(ran));
            }
        }
        // Ends with 1 when something is changed, which is no failure.
        let ran = git.ran(&["update-index", "-q", "--refresh"]).await?;
        if ran.status.code().is_none_or(|code| code > 1) { Err(failed(ran)) } else { Ok(()) }
    }

    /// Those of `names` that a merge left undecided.
    pub fn unmerged<'a>(&self, names: impl IntoIterator<Item = &'a Name>) -> BTreeSet<Name> {
        let is_unmerged = |name: &&Name| self.entries.get(*name).is_some_and(|entry| entry.stage > 0);
        names.into_iter().filter(is_unmerged).cloned().collect()
    }
}

/// `TAG MODE ID STAGE TAB NAME`.
fn read_entry(line: &[u8]) -> Option<(Name, Entry)> {
    let tab = line.iter().position(|byte| *byte == b'\t')?;
    let text = std::str::from_utf8(&line[..tab]).ok()?;
    let mut fields = text.split(' ');
    let (tag, mode, id, stage) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    let stage = stage.parse().ok()?;
    let is_assumed = tag.starts_with(|letter: char| letter.is_ascii_lowercase());
    let entry =
        Entry { mode: mode.to_owned(), id: id.to_owned(), stage, is_skipped: matches!(tag, "S" | "s"), is_assumed };
    Some((line[tab + 1..].to_vec(), entry))
}

/// A repository's own configuration may put its files anywhere (`core.worktree`). A patch goes where the user can see it
/// goes: to the folder that holds the repository's `.git`, or the very folder they named.
fn stays_here(path: &Path, top: &Path) -> Result<()> {
    let home = path.ancestors().find(|folder| folder.join(".git").symlink_metadata().is_ok());
    if path == top || home == Some(top) {
        return Ok(());
    }
    Err(Failure::failed(format!(
        "the repository of {} has its files in {} (its core.worktree says so), and nothing was changed",
        path.display(),
        top.display()
    ))
    .next(format!("git -C {} config --show-origin core.worktree", shell_quoted(path))))
}

/// Whether it is written like an object id, so that nothing can be taken for an option or an expression.
pub fn is_object_id(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_tells_links_and_what_is_left_out() {
        let listing: [&[u8]; 3] =
            [b"H 160000 aaaa 0\tlibs/sub", b"S 100644 bbbb 0\ta\tname\nwith anything", b"M 100644 cccc 1\tundecided"];
        let index = Index { entries: listing.iter().filter_map(|line| read_entry(line)).collect() };
        assert_eq!(index.link_above(b"libs/sub/deep/file"), Some(b"libs/sub".to_vec()));
        assert_eq!(index.link_above(b"libs/sub"), None);
        assert_eq!(index.link_above(b"libs/subway/file"), None);
        assert!(index.entries[b"a\tname\nwith anything".as_slice()].is_skipped);
        assert_eq!(index.unmerged([&b"undecided".to_vec(), &b"libs/sub".to_vec()]).len(), 1);
    }
}
