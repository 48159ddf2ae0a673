//! One tree and the part of a patch that goes there.
//!
//! ```text
//!   Part ── rehearse ──▶ Rehearsal: fits ── perform ──▶ Performed ── undo ──▶ as before
//!                          │  already there: nothing to do
//!                          └─ anything else: refused, nothing was touched
//! ```
//! A rehearsal is the real command on a copy of the index and of the files concerned, with a place of its own for new
//! objects. So what it finds is what will happen, but for what happens to the tree meanwhile.

use super::{
    again::Again,
    files,
    patch::{Name, Section, Side, quoted},
    repository::{Index, Repository},
};
use crate::{
    git::{Git, Ran},
    output::{Failure, Result, shell_quoted, visible},
};
use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs,
    io::{self, Write},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};
use tempfile::{NamedTempFile, TempDir};

/// How many names a message shows.
const SHOWN: usize = 12;
const DOES_NOT_FIT: &str = "the patch does not fit, and nothing was changed";
/// In the patch's folder of attributes: a plain folder's files are bytes, as they were for the job.
const ATTRIBUTES: &str = "* -text !eol -ident !filter !working-tree-encoding !diff !merge\n";

#[derive(Debug)]
pub struct Part {
    pub top: PathBuf,
    /// `None`: a plain folder, also inside a repository that does not know it.
    pub repository: Option<Repository>,
    /// Leading folders that the patch's names have and this tree does not.
    depth: usize,
    sections: Vec<Section>,
    names: BTreeSet<Name>,
    patch: NamedTempFile,
}

#[derive(Debug)]
pub struct Rehearsal {
    pub verdict: Verdict,
    scratch: TempDir,
}

#[derive(Debug)]
pub enum Verdict {
    Fits,
    /// The tree has what the patch brings.
    Already,
    /// A merge would leave these files for the user to decide.
    Conflicts(Vec<Name>),
    Refused(Failure),
}

/// A part that is in the tree now.
#[derive(Debug)]
pub struct Performed<'a> {
    part: &'a Part,
    scratch: &'a Path,
}

impl Part {
    /// `sections` have the names of this tree; `patch` has `depth` more folders in front of each.
    pub fn new(
        top: PathBuf,
        repository: Option<Repository>,
        depth: usize,
        sections: Vec<Section>,
        patch: &[u8],
    ) -> Result<Self> {
        let mut file = NamedTempFile::new()?;
        file.write_all(patch)?;
        file.flush()?;
        let names = sections.iter().flat_map(Section::names).cloned().collect();
        Ok(Self { top, repository, depth, sections, names, patch: file })
    }

    pub async fn rehearse(&self, again: &Again<'_>) -> Result<Rehearsal> {
        if let Some(repository) = &self.repository {
            let lock = repository.git_folder.join("index.lock");
            if lock.symlink_metadata().is_ok() {
                let what = "another git command is at work there, or one was killed: its lock has to go first";
                return Err(Failure::failed(format!("nothing was changed: {} exists; {what}", lock.display()))
                    .next(format!("git -C {} status", shell_quoted(&self.top))));
            }
            let names = self.names.iter().map(Vec::as_slice);
            repository.programs.refuse(&repository.git, names).await?;
        }
        let scratch = tempfile::tempdir()?;
        let git = self.set_up(scratch.path()).await?;
        let verdict = self.verdict(&git, again).await?;
        Ok(Rehearsal { verdict, scratch })
    }

    async fn verdict(&self, git: &Git, again: &Again<'_>) -> Result<Verdict> {
        let before = Index::read(git).await?;
        if holds(&before, &self.sections, |section| (&section.new, &section.old)) {
            return Ok(Verdict::Already);
        }
        let could_be_taken_back = self.run(git, &["--check", "--reverse"], Merge::Never).await?.status.success();
        if let Some(name) = self.unsaved_removal(&before) {
            return Ok(match could_be_taken_back {
                true => Verdict::Already,
                false => {
                    let why = format!("`{name}` is deleted, and that is not committed");
                    Verdict::Refused(self.does_not_fit(&why))
                }
            });
        }
        let ran = self.run(git, &[], Merge::WhereNeeded).await?;
        let after = Index::read(git).await?;
        if !ran.status.success() {
            let undecided: Vec<_> =
                after.unmerged(&self.names).difference(&before.unmerged(&self.names)).cloned().collect();
            return Ok(match (could_be_taken_back, undecided.is_empty()) {
                (true, _) => Verdict::Already,
                (false, false) => Verdict::Conflicts(undecided),
                (false, true) => Verdict::Refused(self.refused(&ran, &before, again)),
            });
        }
        let is_same = |name| before.entries.get(name) == after.entries.get(name);
        if self.repository.is_some() && self.names.iter().all(is_same) {
            return Ok(Verdict::Already);
        }
        // Where lines repeat, a patch can be fitted in twice. A merge with what it was made from cannot be fooled.
        if could_be_taken_back
            && !holds(&before, &self.sections, |section| (&section.old, &section.new))
            && !self.has_origins(git).await?
        {
            return Ok(Verdict::Refused(self.does_not_fit(
                "it cannot be told whether it is applied already, for it could be applied and taken back alike",
            )));
        }
        if let Some(folder) = self.closed_folder() {
            return Ok(Verdict::Refused(self.does_not_fit(&format!("{} cannot be written to", folder.display()))));
        }
        Ok(Verdict::Fits)
    }

    /// After a rehearsal that fits, or has conflicts that are wanted.
    pub async fn perform<'a>(&'a self, rehearsal: &'a Rehearsal) -> Result<Performed<'a>> {
        let scratch = rehearsal.scratch.path();
        let before = scratch.join("before");
        fs::create_dir(&before)?;
        files::copy(&self.top, &self.names, &before, false)?;
        let git = match &self.repository {
            Some(repository) => {
                copy_if_there(&repository.git_folder.join("index"), &scratch.join("index.before"))?;
                Index::refresh(&repository.git, self.names.iter()).await?;
                repository.git.clone()
            }
            None => plain(scratch, &self.top),
        };
        let ran = self.run(&git, &[], Merge::WhereNeeded).await;
        let expected = match (&ran, &rehearsal.verdict) {
            (Ok(ran), Verdict::Conflicts(_)) => ran.status.code() == Some(1),
            (Ok(ran), _) => ran.status.success(),
            (Err(_), _) => false,
        };
        if expected {
            return Ok(Performed { part: self, scratch });
        }
        let left = files::put_back(&self.top, &self.names, &before, &scratch.join("tree"));
        let what = match left.is_empty() {
            true => "git stopped while applying the patch; what it had changed is as it was".to_owned(),
            false => {
                format!("git stopped while applying the patch, and these files are changed:\n  {}\ngit", list(&left))
            }
        };
        match ran {
            Ok(ran) => Err(ran.refused(&what, &self.top)),
            Err(failure) => Err(failure.context(what)),
        }
    }

    /// The copy, and a git that works on it.
    async fn set_up(&self, scratch: &Path) -> Result<Git> {
        let tree = scratch.join("tree");
        fs::create_dir(&tree)?;
        files::copy(&self.top, &self.names, &tree, self.repository.is_some())?;
        let Some(repository) = &self.repository else {
            let format = self.object_format();
            let git = Git::at(scratch);
            git.bytes(&["init", "--quiet", "--bare", "--template=", &format, "git"]).await?;
            fs::create_dir_all(scratch.join("git/info"))?;
            fs::write(scratch.join("git/info/attributes"), ATTRIBUTES)?;
            let git = plain(scratch, &tree);
            let is_kept = |name: &&Name| {
                let found = fs::symlink_metadata(tree.join(OsStr::from_bytes(name)));
                found.is_ok_and(|metadata| !metadata.is_dir())
            };
            let kept: Vec<u8> =
                self.names.iter().filter(is_kept).flat_map(|name| [name.as_slice(), b"\0"].concat()).collect();
            if !kept.is_empty() {
                let ran = git.fed(&["update-index", "--add", "-z", "--stdin"], &kept).await?;
                if !ran.status.success() {
                    return Err(ran.refused("the patch cannot be tried on a copy, and nothing was changed", &self.top));
                }
            }
            return Ok(git);
        };
        let objects = scratch.join("objects");
        fs::create_dir_all(objects.join("info"))?;
        let theirs = [quoted(repository.objects.as_os_str().as_bytes()).as_slice(), b"\n"].concat();
        fs::write(objects.join("info/alternates"), theirs)?;
        copy_if_there(&repository.git_folder.join("index"), &scratch.join("index"))?;
        let git = repository
            .git
            .clone()
            .moved(&tree)
            .with("GIT_WORK_TREE", &tree)
            .with("GIT_INDEX_FILE", scratch.join("index"))
            .with("GIT_OBJECT_DIRECTORY", objects);
        // The copies are other files than those git remembers.
        Index::refresh(&git, self.names.iter()).await?;
        Ok(git)
    }

    async fn run(&self, git: &Git, more: &[&str], merge: Merge) -> Result<Ran> {
        let depth = format!("-p{}", self.depth + 1);
        let three_way = (self.repository.is_some() && merge == Merge::WhereNeeded).then_some("--3way");
        let options = ["apply", "--whitespace=nowarn", &depth].into_iter().chain(three_way).chain(more.iter().copied());
        let arguments: Vec<_> = options.chain(["--"]).map(OsStr::new).chain([self.patch.path().as_os_str()]).collect();
        git.ran(&arguments).await
    }

    /// A file the patch changes that was deleted, but not in the index. Git would bring it back.
    fn unsaved_removal(&self, index: &Index) -> Option<String> {
        self.repository.as_ref()?;
        let is_removed = |name: &&Name| {
            let entry = index.entries.get(*name);
            entry.is_some_and(|entry| !entry.is_skipped && entry.stage == 0)
                && fs::symlink_metadata(self.top.join(OsStr::from_bytes(name))).is_err()
        };
        let changed = self.sections.iter().filter(|section| section.new.name.is_some());
        changed.flat_map(Section::names).find(is_removed).map(|name| String::from_utf8_lossy(name).into_owned())
    }

    /// Whether all files the patch was made from are known, as a merge needs it.
    async fn has_origins(&self, git: &Git) -> Result<bool> {
        if self.repository.is_none() {
            return Ok(false);
        }
        let ids: String = self
            .sections
            .iter()
            .filter(|section| section.old.name.is_some())
            .filter_map(|section| Some(format!("{}\n", section.old.id.as_ref()?)))
            .collect();
        let looked = git.fed(&["cat-file", "--batch-check"], ids.as_bytes()).await?;
        Ok(!String::from_utf8_lossy(&looked.stdout).contains(" missing"))
    }

    fn closed_folder(&self) -> Option<PathBuf> {
        let own = self.repository.as_ref().map(|repository| repository.git_folder.clone());
        let index = own.filter(|folder| nix::unistd::access(folder, nix::unistd::AccessFlags::W_OK).is_err());
        index.or_else(|| files::closed_folder(&self.top, &self.names))
    }

    /// As the patch's ids are written.
    fn object_format(&self) -> String {
        let ids = self.sections.iter().flat_map(|section| [&section.old.id, &section.new.id]).flatten();
        let is_long = ids.into_iter().any(|id| id.len() == 64);
        format!("--object-format={}", if is_long { "sha256" } else { "sha1" })
    }

    fn does_not_fit(&self, why: &str) -> Failure {
        Failure::failed(format!("{DOES_NOT_FIT} in {}{}: {why}", self.kind(), self.top.display()))
            .next(format!("git -C {} status", shell_quoted(&self.top)))
    }

    fn refused(&self, ran: &Ran, index: &Index, again: &Again<'_>) -> Failure {
        if let Some(name) = self.without_content(index) {
            return self.does_not_fit(&format!(
                "`{name}` is in the index without its content (git add -N); add or commit it first"
            ));
        }
        let what = match self.kind() {
            "" => DOES_NOT_FIT.to_owned(),
            kind => format!("{DOES_NOT_FIT}, because of {}", kind.trim_end()),
        };
        let failure = ran.refused(&what, &self.top);
        if self.repository.is_none() || failure.next.is_some() {
            return failure;
        }
        let is_unsaved = |text: &str| text.contains("does not match index") || text.contains("does not exist in index");
        if ran.stderr.lines().any(is_unsaved) {
            let why = "what is in these files is not committed; commit it, or put it aside";
            let next = format!("git -C {} status", shell_quoted(&self.top));
            return Failure { what: format!("{}\n{why}", failure.what), ..failure }.next(next);
        }
        match again.branch() {
            Some(command) => failure.next(command),
            None => failure,
        }
    }

    fn without_content(&self, index: &Index) -> Option<String> {
        const EMPTY: [&str; 2] = [
            "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391",
            "473a0f4c3be8a93681a267e3b1e9a7dcda1185436fe141f7749120a303721813",
        ];
        self.repository.as_ref()?;
        let is_bare = |name: &&Name| {
            let has_text =
                fs::symlink_metadata(self.top.join(OsStr::from_bytes(name))).is_ok_and(|file| file.len() > 0);
            has_text && index.entries.get(*name).is_some_and(|entry| EMPTY.contains(&entry.id.as_str()))
        };
        self.names.iter().find(is_bare).map(|name| String::from_utf8_lossy(name).into_owned())
    }

    /// What `top` is, where that is no matter of course.
    fn kind(&self) -> &'static str {
        if self.repository.is_some() && self.depth > 0 { "the submodule " } else { "" }
    }

    pub fn conflicts(&self, names: &[Name], again: &Again<'_>) -> Failure {
        Failure::failed(format!(
            "{DOES_NOT_FIT} in {}{}: it changes the same lines as the tree has changed since, in\n  {}\n\
             --3way leaves both sides in these files for you to decide, --branch makes a branch of it",
            self.kind(),
            self.top.display(),
            list(names)
        ))
        .next(again.command("--3way"))
    }
}

impl Performed<'_> {
    /// Takes it back, because another part did not work. Gives the names that are not as before.
    pub fn undo(self) -> Vec<Name> {
        let part = self.part;
        if let Some(repository) = &part.repository {
            let index = repository.git_folder.join("index");
            if put_index_back(&index, &self.scratch.join("index.before")).is_err() {
                return part.names.iter().cloned().collect();
            }
        }
        files::put_back(&part.top, &part.names, &self.scratch.join("before"), &self.scratch.join("tree"))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Merge {
    WhereNeeded,
    Never,
}

/// Git on the files in `tree`, with the repository in `scratch` that nothing else uses: whatever lies around `tree` has no
/// say in where names lead.
fn plain(scratch: &Path, tree: &Path) -> Git {
    Git::at(tree)
        .with("GIT_DIR", scratch.join("git"))
        .with("GIT_WORK_TREE", tree)
        .with("GIT_INDEX_FILE", scratch.join("index"))
        .set("core.autocrlf", "false")
        .set("core.safecrlf", "false")
        .set("core.attributesFile", "/dev/null")
}

/// Whether the index is exactly as one side of every section says.
fn holds(index: &Index, sections: &[Section], sides: impl Fn(&Section) -> (&Side, &Side)) -> bool {
    sections.iter().all(|section| {
        let (side, other) = sides(section);
        let is_there = side.name.as_ref().is_none_or(|name| {
            index.entries.get(name).is_some_and(|entry| {
                entry.stage == 0
                    && side.id.as_ref().is_none_or(|id| *id == entry.id)
                    && side.mode.as_ref().is_none_or(|mode| *mode == entry.mode)
            })
        });
        let is_gone =
            other.name == side.name || other.name.as_ref().is_none_or(|name| !index.entries.contains_key(name));
        is_there && is_gone
    })
}

fn copy_if_there(from: &Path, to: &Path) -> io::Result<()> {
    match fs::copy(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        copied => copied.map(drop),
    }
}

/// As git replaces an index: under its lock, in one step.
fn put_index_back(index: &Path, before: &Path) -> io::Result<()> {
    if !before.exists() {
        return fs::remove_file(index);
    }
    let lock = index.with_extension("lock");
    let mut file = fs::File::create_new(&lock)?;
    io::copy(&mut fs::File::open(before)?, &mut file)?;
    fs::rename(lock, index)
}

pub fn list(names: &[Name]) -> String {
    let mut lines: Vec<_> = names.iter().take(SHOWN).map(|name| visible(&String::from_utf8_lossy(name))).collect();
    if names.len() > SHOWN {
        lines.push(format!("and {} more", names.len() - SHOWN));
    }
    lines.join("\n  ")
}
