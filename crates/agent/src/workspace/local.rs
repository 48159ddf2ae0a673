//! Finds what a folder on this machine is: a repository, a part of one, or files. Without git, and without opening
//! anything but a few small files, because what lies there is somebody else's.

use super::{Error, access::Access};
use crate::helper::Local;
use protocol::Repository;
use std::{
    ffi::OsStr,
    fs,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
};

/// Longest `.git` file, `commondir` or list of alternates, in bytes.
const FILE_BYTES: u64 = 64 << 10;
/// Repositories that lend a repository their objects, at most; git itself gives up at five in a row.
const LENDERS: usize = 16;

/// A folder and all that has to be read to work from it.
#[derive(Debug)]
pub(super) struct Found {
    pub local: Local,
    pub readable: Vec<PathBuf>,
    /// What the objects are kept under: the same for all folders and worktrees of one repository.
    pub identity: Option<PathBuf>,
}

pub(super) fn find(repository: &Repository, access: &Access, without: &Path) -> Result<Found, Error> {
    let asked = &repository.path;
    let unusable =
        |what: &dyn std::fmt::Display| Error::Source(format!("the repository `{asked}` cannot be used: {what}"));
    // Also settles which folder is meant when the path leads through links.
    let folder = Path::new(asked).canonicalize().map_err(|error| unusable(&error))?;
    if !folder.is_dir() {
        return Err(unusable(&"it is not a folder"));
    }
    access.check(&folder)?;
    if folder.to_str().is_none() {
        return Err(unusable(&"its path is not UTF-8"));
    }
    let mut local = Local {
        asked: asked.clone(),
        folder: folder.clone(),
        git_folder: None,
        common_folder: None,
        checkout: None,
        subfolder: String::new(),
        reference: repository.reference.clone(),
        without: vec![without.to_owned()],
    };
    let mut readable = vec![folder.clone()];
    if let Some(inside) = folder.ancestors().skip(1).find(|above| is_git_folder(above)) {
        return Err(unusable(&format_args!("it lies in the git directory {}; name the repository", inside.display())));
    }
    if is_git_folder(&folder) {
        local.git_folder = Some(folder.clone());
    } else if let Some((top, git_folder)) = above(&folder, access) {
        if let Ok(below) = folder.strip_prefix(&top) {
            local.subfolder = below.to_str().unwrap_or_default().to_owned();
        }
        readable.push(top.clone());
        local.checkout = Some(top);
        local.git_folder = Some(git_folder);
    }
    let Some(git_folder) = &local.git_folder else { return Ok(Found { local, readable, identity: None }) };
    let common = match small_file(&git_folder.join("commondir")) {
        Some(text) => git_folder.join(OsStr::from_bytes(text.trim_ascii_end())).canonicalize(),
        None => Ok(git_folder.clone()),
    };
    let common = common.map_err(|error| unusable(&format_args!("its shared git directory is not there: {error}")))?;
    readable.extend([git_folder.clone(), common.clone()]);
    readable.extend(lenders(&common));
    readable.sort();
    readable.dedup();
    let owner = |path: &Path| fs::metadata(path).map(|metadata| metadata.uid()).ok();
    for path in &readable {
        access.check(path)?;
        // An agent that may read everything is not to be sent elsewhere by what somebody wrote into their own folder.
        if owner(path) != owner(&folder) {
            return Err(unusable(&format_args!(
                "its repository is in {}, which belongs to another user than the folder; name that repository itself",
                path.display()
            )));
        }
    }
    for file in ["HEAD", "config", "packed-refs", "shallow", "index", "objects/info/alternates"] {
        for path in [git_folder.join(file), common.join(file)] {
            if fs::metadata(&path).is_ok_and(|metadata| !metadata.is_file()) {
                return Err(unusable(&format_args!("{} is no regular file", path.display())));
            }
        }
    }
    local.common_folder = Some(common.clone());
    Ok(Found { local, readable, identity: Some(common) })
}

/// The repository `folder` lies in: its top and its git directory.
fn above(folder: &Path, access: &Access) -> Option<(PathBuf, PathBuf)> {
    let device = fs::metadata(folder).ok()?.dev();
    for top in folder.ancestors() {
        // As git does by itself: another file system is another world.
        if fs::metadata(top).ok()?.dev() != device {
            return None;
        }
        let dot_git = top.join(".git");
        let Ok(metadata) = fs::metadata(&dot_git) else { continue };
        let named = if metadata.is_dir() {
            Some(dot_git.clone())
        } else {
            small_file(&dot_git)
                .and_then(|text| Some(top.join(OsStr::from_bytes(text.strip_prefix(b"gitdir: ")?.trim_ascii_end()))))
        };
        let git_folder = named.and_then(|path| path.canonicalize().ok());
        // Right where the user pointed, something broken is to be told and not to be passed over.
        let Some(git_folder) = git_folder.filter(|git| top == folder || is_git_folder(git)) else { continue };
        // A folder in somebody's home that is a repository as a whole is still only that folder.
        return (top == folder || access.check(top).is_ok()).then(|| (top.to_owned(), git_folder));
    }
    None
}

fn is_git_folder(folder: &Path) -> bool {
    let is_folder = |name: &str| folder.join(name).is_dir();
    fs::metadata(folder.join("HEAD")).is_ok()
        && (is_folder("objects") && is_folder("refs") || folder.join("commondir").is_file())
}

fn small_file(path: &Path) -> Option<Vec<u8>> {
    let metadata = fs::metadata(path).ok()?;
    (metadata.is_file() && metadata.len() <= FILE_BYTES).then(|| fs::read(path).ok()).flatten()
}

/// Folders of objects that a repository borrows from, and those that lend to them.
fn lenders(common: &Path) -> Vec<PathBuf> {
    let mut lenders = Vec::new();
    let mut waiting = vec![common.join("objects")];
    while let Some(objects) = waiting.pop() {
        let Some(text) = small_file(&objects.join("info/alternates")) else { continue };
        for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty() && !line.starts_with(b"#")) {
            if let Ok(lender) = objects.join(OsStr::from_bytes(line)).canonicalize()
                && lenders.len() < LENDERS
                && !lenders.contains(&lender)
            {
                lenders.push(lender.clone());
                waiting.push(lender);
            }
        }
    }
    lenders
}
