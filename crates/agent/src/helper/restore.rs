//! Puts a tree back to where a step left it. What the rules ignore stays: installed packages and build outputs are worth
//! having and are in no step.

use super::{
    Error,
    folder::{Folder, Kind, shown},
    git::{Git, zero_separated},
    joined,
    known::{Entry, Known, Mode},
    remove,
    scan::{self, For},
    step,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeSet, HashMap},
    ffi::OsStr,
    io::{self, BufRead, BufReader, Read, Write},
    os::unix::ffi::OsStrExt,
    path::PathBuf,
};

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Restore {
    pub git: PathBuf,
    pub tree: PathBuf,
    pub commit: String,
    pub extent: Extent,
}

/// What is put back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Extent {
    /// What a step would take, changed or new.
    Work,
    /// Also what is new and too large for a step, or of another kind.
    New,
    /// Also what the rules ignore: for want of room on the disk.
    Everything,
}

/// Names that are told.
const NAMES: usize = 5;

#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Restored {
    /// Files that were not as the step has them.
    pub files: u64,
    /// A few of them.
    pub names: Vec<String>,
}

impl Restored {
    fn count(&mut self, path: &[u8]) {
        self.files += 1;
        if self.names.len() < NAMES {
            self.names.push(shown(path));
        }
    }
}

pub(super) fn restore(restore: &Restore) -> Result<Restored, Error> {
    let git = Git::at(&restore.git);
    // Fails where the step is not here.
    git.run(["cat-file", "-e", &format!("{}^{{tree}}", restore.commit)]).done()?;
    let known = Known::load(&restore.git, &restore.commit);
    let mut known = if known.commit.is_empty() { step::listed(&git, &restore.commit)? } else { known };
    let tree = Folder::open_by_force(&restore.tree).map_err(Error::doing("opening the tree"))?;
    let found =
        scan::scan(tree.again().map_err(Error::doing("opening the tree"))?, &known, &BTreeSet::new(), For::Restore)?;
    let mut wrong: Vec<Vec<u8>> = found.gone;
    let mut restored = Restored::default();
    for (path, _) in found.changed {
        match known.entries.contains_key(&path) {
            true => wrong.push(path),
            false => {
                restored.count(&path);
                remove_at(&tree, &path)?;
            }
        }
    }
    let left_out = if restore.extent == Extent::Work { Vec::new() } else { found.left_out };
    for path in left_out {
        restored.count(&path);
        remove_at(&tree, &path)?;
    }
    // Those within others first. What is ignored in one keeps it.
    for path in found.folders.iter().rev() {
        let _ = super::reach(&tree, path).and_then(|(folder, name)| folder.remove_folder(name));
    }
    if restore.extent == Extent::Everything {
        remove_others(&tree, &known)?;
    }
    if !wrong.is_empty() {
        write_out(&git, &tree, &restore.commit, &known, &wrong, &mut restored)?;
        // They have other times now, later than the look that the rest is known from: the next step reads them again.
        for path in wrong {
            let look = super::reach(&tree, &path).and_then(|(folder, name)| folder.look(name));
            known.entries.insert(path, Entry::of(&look.map_err(Error::doing("looking at what was put back"))?));
        }
        known.commit.clone_from(&restore.commit);
        // On a full disk it may not be remembered; then everything is read again.
        let _ = known.save(&restore.git);
    }
    Ok(restored)
}

fn remove_at(tree: &Folder, path: &[u8]) -> Result<(), Error> {
    let removed = super::reach(tree, path).and_then(|(folder, name)| remove::entry(&folder, name));
    removed.map_err(|error| Error::Failed(format!("removing `{}`: {error}", shown(path))))
}

/// Everything that is not known, the tools' own repository excepted.
fn remove_others(tree: &Folder, known: &Known) -> Result<(), Error> {
    let failed =
        |path: &[u8], error: io::Error| Error::Failed(format!("removing what fills `{}`: {error}", shown(path)));
    let mut waiting = vec![Vec::new()];
    while let Some(path) = waiting.pop() {
        let folder = super::enter_along(tree, &path).map_err(|error| failed(&path, error))?;
        for name in folder.names().map_err(|error| failed(&path, error))? {
            let below = joined(&path, name.as_bytes());
            if path.is_empty() && name == ".git" || known.entries.contains_key(&below) {
                continue;
            }
            let prefix = joined(&below, b"");
            let holds = known.entries.range(prefix.clone()..).next().is_some_and(|(next, _)| next.starts_with(&prefix));
            match folder.look(&name).map(|look| look.kind) {
                Ok(Kind::Folder) if holds => waiting.push(below),
                _ => remove::entry(&folder, &name).map_err(|error| failed(&below, error))?,
            }
        }
    }
    Ok(())
}

/// Writes files of a commit, in place of whatever is in their way, where they are not there already.
fn write_out(
    git: &Git,
    tree: &Folder,
    commit: &str,
    known: &Known,
    paths: &[Vec<u8>],
    restored: &mut Restored,
) -> Result<(), Error> {
    let failed = |path: &[u8], error: io::Error| Error::Failed(format!("writing `{}`: {error}", shown(path)));
    let broken = Error::doing("reading a file from git");
    let mut child = git.run(["cat-file", "--batch"]).talk()?;
    let (Some(mut ask), Some(answers)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(Error::Failed("git gave no pipes".into()));
    };
    let mut answers = BufReader::new(answers);
    let ids = ids(git, commit)?;
    let mut read = |id: &str| -> io::Result<Vec<u8>> {
        writeln!(ask, "{id}")?;
        ask.flush()?;
        let mut head = String::new();
        answers.read_line(&mut head)?;
        let length = head.trim_end().rsplit(' ').next().and_then(|length| length.parse::<u64>().ok());
        let length = length.filter(|_| head.contains(" blob ")).ok_or_else(|| io::Error::other(head.clone()))?;
        let mut content = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
        answers.read_exact(&mut content)?;
        answers.read_exact(&mut [0])?;
        Ok(content)
    };
    for path in paths {
        let mode = known.entries.get(path).map_or(Mode::File, |entry| entry.mode);
        let id = ids.get(path).ok_or_else(|| failed(path, io::Error::other("the step does not have it")))?;
        let content = read(id).map_err(|error| failed(path, error))?;
        if !is_there(tree, path, mode, &content) {
            put(tree, path, mode, &content).map_err(|error| failed(path, error))?;
            restored.count(path);
        }
    }
    drop(ask);
    child.wait().map_err(broken)?;
    Ok(())
}

/// Whether a file is as it should be after all: what changed within a tick of the clock only looks as if it had.
fn is_there(tree: &Folder, path: &[u8], mode: Mode, content: &[u8]) -> bool {
    let same = || -> io::Result<bool> {
        let (folder, name) = super::reach(tree, path)?;
        Ok(match (mode, Entry::of(&folder.look(name)?).mode == mode) {
            (_, false) => false,
            (Mode::Link, true) => folder.link(name)?.as_bytes() == content,
            (Mode::File | Mode::Executable, true) => folder.read(name, content.len() as u64)? == content,
        })
    };
    same().unwrap_or(false)
}

/// The object of each file of a commit.
fn ids(git: &Git, commit: &str) -> Result<HashMap<Vec<u8>, String>, Error> {
    let listing = git.run(["ls-tree", "-r", "-z", "--full-tree", commit]).bytes()?;
    let entries = zero_separated(&listing).filter_map(|line| {
        let tab = line.iter().position(|byte| *byte == b'\t')?;
        let id = std::str::from_utf8(&line[..tab]).ok()?.split(' ').nth(2)?;
        Some((line[tab + 1..].to_vec(), id.to_owned()))
    });
    Ok(entries.collect())
}

fn put(tree: &Folder, path: &[u8], mode: Mode, content: &[u8]) -> io::Result<()> {
    let (folder, name) = super::make_way(tree, path)?;
    remove::entry(&folder, name)?;
    match mode {
        Mode::Link => folder.make_link(name, OsStr::from_bytes(content)),
        Mode::File | Mode::Executable => {
            let mut file = folder.make_file(name, mode == Mode::Executable)?;
            file.write_all(content)
        }
    }
}
