//! What a job starts from: looks at somebody's repository without changing it or running any of it.

use super::{
    Error,
    folder::{Folder, Kind, shown},
    git::{Git, is_object_id, zero_separated},
    joined,
    prepare::Local,
};
use nix::unistd::{AccessFlags, access};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

/// Longest ref name in bytes; git's own limit is what fits in a file name.
const REFERENCE_BYTES: usize = 255;
/// Folders within folders in a git directory; refs and modules are nested, and it bounds the descriptors that are open.
const GIT_DEPTH: usize = 128;
/// How many names a message shows.
const SHOWN: usize = 5;

/// One commit of a repository.
#[derive(Clone, Debug)]
pub(super) struct At {
    pub git: Git,
    pub commit: String,
    /// `sha1` or `sha256`.
    pub object_format: String,
    /// Where its objects are.
    pub common_folder: PathBuf,
}

pub(super) enum Found {
    Commit(At),
    /// Files without a commit that holds them. With what to say about it.
    Files(Option<String>),
}

/// Finds out which commit is meant.
pub(super) fn find(local: &Local) -> Result<Found, Error> {
    let path = &local.asked;
    let unusable = |what: &str| Error::Refused(format!("the repository `{path}` cannot be used: {what}"));
    let reference = local.reference.as_deref();
    if let Some(reference) = reference {
        check_reference(reference)?;
    }
    let Some(git_folder) = &local.git_folder else {
        return match reference {
            Some(reference) => Err(unusable(&format!(
                "the ref `{reference}` was given, but it is a plain folder without git; leave the ref out"
            ))),
            None => Ok(Found::Files(None)),
        };
    };
    for folder in [Some(git_folder), local.common_folder.as_ref()].into_iter().flatten() {
        nothing_waits_in(folder).map_err(|error| unusable(error.words()))?;
    }
    let git = Git::at(git_folder);
    let looked = git.run(["rev-parse", "--show-object-format"]).ran()?;
    if !looked.status.success() {
        // As git asks: with the rights of the user alone, where this helper may not have others count.
        if access(git_folder, AccessFlags::X_OK).is_err() {
            let (folder, user) = (git_folder.display(), nix::unistd::getuid());
            return Err(unusable(&format!(
                "{folder} is closed to user {user}, as whom the agent looks at it here. Open it to that user, or give the \
                 agent the right to read it all the same, which takes CAP_SETPCAP and CAP_DAC_OVERRIDE"
            )));
        }
        return Err(unusable(&format!("git says: {}", looked.stderr)));
    }
    let object_format = String::from_utf8_lossy(&looked.stdout).trim_end().to_owned();
    let Some(commit) = resolve(&git, reference.unwrap_or("HEAD"))? else {
        let Some(reference) = reference else {
            if local.checkout.is_none() {
                return Err(unusable("it has no commit yet, and no files beside its git directory"));
            }
            return Ok(Found::Files(Some(format!("`{path}` has no commit yet, so its files were copied as they are"))));
        };
        let branches = branches(&git)?;
        return Err(Error::Refused(format!("the ref `{reference}` names no commit in `{path}`; {branches}")));
    };
    if !local.subfolder.is_empty() {
        let listed = git.run(["ls-tree", "-z", "--name-only", &format!("{commit}:{}", local.subfolder)]).ran()?;
        if !listed.status.success() || listed.stdout.is_empty() {
            let top = local.checkout.as_deref().unwrap_or(git_folder);
            if let Some(reference) = reference {
                return Err(Error::Refused(format!(
                    "`{path}` is no part of the repository `{}` at `{reference}`",
                    top.display()
                )));
            }
            return Ok(Found::Files(Some(format!(
                "`{path}` is no part of the repository `{}` it lies in, so its files were copied as they are",
                top.display()
            ))));
        }
    }
    let common_folder = local.common_folder.clone().unwrap_or_else(|| git_folder.clone());
    let at = At { git, commit, object_format, common_folder };
    if is_partial(&at.git) {
        whole(&at, path)?;
    }
    Ok(Found::Commit(at))
}

/// Git opens whatever has the right name, and a pipe keeps it waiting for ever. So nothing but files and folders may lie in a
/// git directory, nor be what its configuration includes.
pub(super) fn nothing_waits_in(git_folder: &Path) -> Result<(), Error> {
    let failed = |error: std::io::Error| Error::Refused(format!("{} cannot be read: {error}", git_folder.display()));
    let top = Folder::open(git_folder).map_err(failed)?;
    let mut open = vec![(Vec::new(), top.names().map_err(failed)?, top)];
    while let Some((path, names, folder)) = open.last_mut() {
        let Some(name) = names.pop() else {
            open.pop();
            continue;
        };
        let path = joined(path, name.as_bytes());
        let Ok(look) = folder.look(&name) else { continue };
        let linked = || fs::metadata(git_folder.join(OsStr::from_bytes(&path)));
        let waits = match look.kind {
            Kind::Special => true,
            Kind::Link => linked().is_ok_and(|metadata| !metadata.is_file() && !metadata.is_dir()),
            Kind::File | Kind::Folder => false,
        };
        if waits {
            return Err(Error::Refused(format!("{}/{} is no regular file", git_folder.display(), shown(&path))));
        }
        if look.kind == Kind::Folder
            && open.len() < GIT_DEPTH
            && let Some(Ok(below)) = open.last().map(|(_, _, folder)| folder.enter(&name))
        {
            open.push((path, below.names().map_err(failed)?, below));
        }
    }
    let configuration = fs::read(git_folder.join("config")).unwrap_or_default();
    let included = String::from_utf8_lossy(&configuration)
        .lines()
        .filter_map(|line| {
            let (key, value) = line.split_once('=')?;
            key.trim().eq_ignore_ascii_case("path").then(|| git_folder.join(value.trim().trim_matches('"')))
        })
        .find(|path| fs::metadata(path).is_ok_and(|metadata| !metadata.is_file() && !metadata.is_dir()));
    match included {
        Some(path) => {
            Err(Error::Refused(format!("{}, which its configuration includes, is no regular file", path.display())))
        }
        None => Ok(()),
    }
}

/// Whether objects may be missing that only a remote has.
pub(super) fn is_partial(git: &Git) -> bool {
    let pattern = r"^(extensions\.partialclone|remote\..*\.(promisor|partialclonefilter))$";
    let asked = git.run(["config", "--local", "--get-regexp", pattern]).ran();
    asked.is_ok_and(|ran| ran.status.success() && !ran.stdout.is_empty())
}

/// Devmesh fetches nothing by itself, so what a partial clone does not have is not to be had.
fn whole(at: &At, path: &str) -> Result<(), Error> {
    let arguments = ["rev-list", "--objects", "--missing=print", "--no-walk", &at.commit];
    let listed = at.git.run(arguments).bytes()?;
    let missing = listed.split(|byte| *byte == b'\n').filter(|line| line.starts_with(b"?")).count();
    if missing == 0 {
        return Ok(());
    }
    Err(Error::Refused(format!(
        "`{path}` is a partial clone: {missing} of the objects of commit {} are missing on this machine, and devmesh fetches \
         nothing by itself. Fetch them with `git fetch --refetch --no-filter` there, or give a whole clone",
        &at.commit[..12]
    )))
}

/// What cannot be a ref is refused before git sees it, so that nothing can be taken for an option or a path.
pub(super) fn check_reference(reference: &str) -> Result<(), Error> {
    let shown = reference.chars().take(64).collect::<String>();
    let wrong = |why: &str| Err(Error::Refused(format!("the ref `{}` {why}", shown.escape_debug())));
    if reference.is_empty() || reference.len() > REFERENCE_BYTES {
        return wrong("has to have 1 to 255 bytes");
    }
    if reference.starts_with('-') || reference.contains("..") {
        return wrong("is not the name of a branch, tag or commit");
    }
    const NEVER: &[char] = &[' ', ':', '?', '*', '[', '\\'];
    match reference.contains(|character: char| character.is_control() || NEVER.contains(&character)) {
        true => wrong("has a character that no branch, tag or commit has"),
        false => Ok(()),
    }
}

/// The commit a ref names here, or on the remote this was cloned from.
fn resolve(git: &Git, reference: &str) -> Result<Option<String>, Error> {
    // What is checked out is never somebody else's branch.
    let remote = (reference != "HEAD").then(|| format!("refs/remotes/origin/{reference}"));
    for candidate in [Some(reference.to_owned()), remote].into_iter().flatten() {
        let revision = format!("{candidate}^{{commit}}");
        let ran = git.run(["rev-parse", "--verify", "--quiet", "--end-of-options", &revision]).ran()?;
        let commit = String::from_utf8_lossy(&ran.stdout).trim_end().to_owned();
        if ran.status.success() && is_object_id(&commit) {
            return Ok(Some(commit));
        }
    }
    // A name that leads to something which is no commit is not the same as no name.
    let named = git.run(["rev-parse", "--verify", "--quiet", "--end-of-options", reference]).ran()?;
    if named.status.success() && is_object_id(String::from_utf8_lossy(&named.stdout).trim_end()) {
        let why = git.run(["cat-file", "commit", reference]).ran()?;
        return Err(Error::Refused(format!(
            "`{reference}` cannot be read in the repository `{}`: git says: {}",
            git.folder().display(),
            why.stderr
        )));
    }
    Ok(None)
}

fn branches(git: &Git) -> Result<String, Error> {
    let arguments = ["for-each-ref", "--format=%(refname:short)", "--sort=-committerdate", "refs/heads"];
    let listed = git.run(arguments).line()?;
    let names: Vec<_> = listed.lines().collect();
    Ok(match names.len() {
        0 => "it has no branches".to_owned(),
        many if many > SHOWN => format!("its latest branches are {}", names[..SHOWN].join(", ")),
        _ => format!("its branches are {}", names.join(", ")),
    })
}

/// Bytes of a repository's history on the disk; 0 when git does not say.
pub(super) fn history_bytes(git: &Git) -> u64 {
    let Ok(counted) = git.run(["count-objects", "-v"]).line() else { return 0 };
    let kibibytes = |name: &str| {
        let value = counted.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")?.parse::<u64>().ok());
        value.unwrap_or(0)
    };
    (kibibytes("size") + kibibytes("size-pack")) << 10
}

/// A look for what the user changed and did not commit.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Uncommitted {
    /// The agent's repository, which has the commit.
    pub git: PathBuf,
    /// In the user's words.
    pub asked: String,
    pub checkout: PathBuf,
    /// The user's git directory.
    pub git_folder: PathBuf,
    /// What the job starts from.
    pub commit: String,
}

/// In words. Looks with our repository and a copy of the user's index, so that no program the user's configuration names
/// is run and nothing is refreshed in place. `None` where there is nothing to say, or it cannot be told this way.
pub(super) fn uncommitted(task: &Uncommitted) -> Option<String> {
    let git = Git::at(&task.git);
    let copy = task.git.join("users-index");
    fs::copy(task.git_folder.join("index"), &copy).ok()?;
    let mut changed = BTreeSet::new();
    let listing = ["ls-files", "-z", "--modified", "--deleted", "--others", "--directory", "--exclude-standard"];
    let listed = git.with_tree(&task.checkout, listing).environment("GIT_INDEX_FILE", &copy).bytes().ok()?;
    changed.extend(zero_separated(&listed).map(<[u8]>::to_vec));
    let head = resolve(&Git::at(&task.git_folder), "HEAD").ok()?;
    if head.as_ref() == Some(&task.commit) {
        let staged = ["diff-index", "-z", "--cached", "--name-only", "--ignore-submodules=all", &task.commit];
        let listed = git.run(staged).environment("GIT_INDEX_FILE", &copy).bytes().ok()?;
        changed.extend(zero_separated(&listed).map(<[u8]>::to_vec));
    }
    let _ = fs::remove_file(&copy);
    // Gitlinks are listed as modified or not by what lies in them; the job sees their committed state.
    let links = links(&git, &task.commit).unwrap_or_default();
    changed.retain(|name| !links.iter().any(|(link, _)| link == name.strip_suffix(b"/").unwrap_or(name)));
    if changed.is_empty() {
        return None;
    }
    let names: Vec<_> = changed.iter().take(SHOWN).map(|name| shown(name)).collect();
    let more = if changed.len() > SHOWN { ", …" } else { "" };
    let (count, path) = (changed.len(), &task.asked);
    let changes = if count == 1 { "change" } else { "changes" };
    let names = names.join(", ");
    Some(format!(
        "{count} uncommitted {changes} in `{path}` ({names}{more}) are not part of this job; commit them to include them"
    ))
}

/// Links to other repositories in a commit: path and commit of each.
pub(super) fn links(git: &Git, commit: &str) -> Result<Vec<(Vec<u8>, String)>, Error> {
    let listing = git.run(["ls-tree", "-r", "-z", "--full-tree", commit]).bytes()?;
    let links = zero_separated(&listing).filter_map(|line| {
        let tab = line.iter().position(|byte| *byte == b'\t')?;
        let about = std::str::from_utf8(&line[..tab]).ok()?;
        let id = about.strip_prefix("160000 commit ")?;
        Some((line[tab + 1..].to_vec(), id.trim().to_owned()))
    });
    Ok(links.collect())
}

/// Files whose content is somewhere else, by the words they hold instead.
pub(super) fn is_large_file_pointer(tree: &Path, name: &[u8]) -> bool {
    use std::io::Read;
    const WORDS: &[u8] = b"version https://git-lfs.github.com/spec/v1\n";
    let path = tree.join(OsStr::from_bytes(name));
    let mut start = Vec::new();
    let read = fs::File::open(path).and_then(|file| file.take(WORDS.len() as u64).read_to_end(&mut start));
    read.is_ok() && start == WORDS
}
