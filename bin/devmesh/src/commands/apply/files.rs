//! The files a patch is about: copied as they are, compared, and put back.
//!
//! Nothing is followed or opened but regular files: what stands where a patch wants a file may be a link to anywhere or a
//! pipe that never ends.

use super::patch::Name;
use crate::output::{Failure, Result};
use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs::{self, File, Metadata},
    io::{self, Read},
    os::unix::{
        ffi::OsStrExt,
        fs::{FileTypeExt, PermissionsExt, symlink},
    },
    path::{Path, PathBuf},
};

/// Copies what stands at `names` in `from`, and the folders, links or files on the way there, to `to`. With
/// `attributes`, what git reads about the files of these folders too.
pub fn copy(from: &Path, names: &BTreeSet<Name>, to: &Path, attributes: bool) -> Result<()> {
    let mut folders = BTreeSet::from([PathBuf::new()]);
    let mut ways = BTreeSet::new();
    for name in names {
        let whole = Path::new(OsStr::from_bytes(name));
        let mut ancestors: Vec<_> = whole.ancestors().filter(|path| !path.as_os_str().is_empty()).collect();
        ancestors.reverse();
        for path in ancestors {
            if folders.contains(path) {
                continue;
            }
            let Some(metadata) = look(&from.join(path))? else { break };
            if metadata.is_dir() {
                fs::create_dir_all(to.join(path)).map_err(copying(path))?;
                folders.insert(path.to_owned());
                continue;
            }
            // Git looks for links in its index alone, and writes through those that are not there. One that the patch
            // itself takes away is gone by then.
            if metadata.is_symlink() && path != whole && !names.contains(path.as_os_str().as_bytes()) {
                return Err(Failure::failed(format!(
                    "the patch does not fit, and nothing was changed: in {}, `{}` lies beyond the symbolic link `{}`",
                    from.display(),
                    whole.display(),
                    path.display()
                )));
            }
            if ways.insert(path.to_owned()) {
                copy_one(&from.join(path), &metadata, &to.join(path), path == whole)?;
            }
            break;
        }
    }
    for folder in &folders {
        if names.contains(folder.as_os_str().as_bytes()) {
            mark_as_full(from, folder, names, to)?;
        }
        let (file, copied) = (from.join(folder).join(".gitattributes"), to.join(folder).join(".gitattributes"));
        if attributes
            && let Some(metadata) = look(&file)?
            && metadata.is_file()
            && look(&copied)?.is_none()
        {
            fs::copy(&file, &copied).map_err(copying(&file))?;
        }
    }
    Ok(())
}

/// What a name stands for, without following a link there; `None`: nothing.
fn look(path: &Path) -> Result<Option<Metadata>> {
    match fs::symlink_metadata(path) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(Failure::from(error).context(format_args!("looking at {}", path.display()))),
    }
}

fn copy_one(from: &Path, metadata: &Metadata, to: &Path, is_whole: bool) -> Result<()> {
    let kind = metadata.file_type();
    if kind.is_symlink() {
        let target = fs::read_link(from).map_err(copying(from))?;
        return symlink(target, to).map_err(copying(from));
    }
    if kind.is_file() && is_whole {
        return fs::copy(from, to).map(drop).map_err(copying(from));
    }
    if kind.is_file() {
        // In the way of a folder; what is in it does not matter.
        return File::create(to).map(drop).map_err(copying(from));
    }
    let what = match () {
        () if kind.is_fifo() => "a pipe",
        () if kind.is_socket() => "a socket",
        () => "a device",
    };
    Err(Failure::failed(format!(
        "the patch does not fit, and nothing was changed: {} is {what} where the patch needs a file",
        from.display()
    )))
}

/// A folder where the patch wants a file is in the way unless the patch empties it.
fn mark_as_full(from: &Path, folder: &Path, names: &BTreeSet<Name>, to: &Path) -> Result<()> {
    for entry in fs::read_dir(from.join(folder)).map_err(copying(folder))? {
        let name = folder.join(entry.map_err(copying(folder))?.file_name());
        let below = [name.as_os_str().as_bytes(), b"/"].concat();
        let is_copied = names.contains(name.as_os_str().as_bytes())
            || names.range(below.clone()..).next().is_some_and(|other| other.starts_with(&below));
        if !is_copied {
            File::create(to.join(&name)).map_err(copying(&name))?;
            return Ok(());
        }
    }
    Ok(())
}

fn copying(path: &Path) -> impl FnOnce(io::Error) -> Failure {
    move |error| Failure::from(error).context(format_args!("trying the patch on a copy of {}", path.display()))
}

/// A folder in `top` that has to be changed for one of `names` and cannot be.
pub fn closed_folder(top: &Path, names: &BTreeSet<Name>) -> Option<PathBuf> {
    use nix::unistd::{AccessFlags, access};
    let folder_of = |name: &Name| {
        let whole = top.join(OsStr::from_bytes(name));
        whole.ancestors().skip(1).find(|path| path.is_dir()).map(Path::to_owned)
    };
    let folders: BTreeSet<_> = names.iter().filter_map(folder_of).collect();
    folders.into_iter().find(|folder| access(folder, AccessFlags::W_OK | AccessFlags::X_OK).is_err())
}

/// After git stopped in the middle: brings `names` in `top` back to what `before` has, where git changed them. What is
/// neither as before nor as git was to write it (`after`) is somebody else's and left alone. Gives the names that are
/// not as before.
pub fn put_back(top: &Path, names: &BTreeSet<Name>, before: &Path, after: &Path) -> Vec<Name> {
    let mut left = Vec::new();
    for name in names {
        let path = Path::new(OsStr::from_bytes(name));
        let (now, old, new) = (top.join(path), before.join(path), after.join(path));
        if is_same(&now, &old) {
            continue;
        }
        let is_gits = !exists(&now) || is_same(&now, &new) || is_beginning(&now, &new);
        if !is_gits || replace(&now, &old).is_err() {
            left.push(name.clone());
            continue;
        }
        // Folders that git made for it.
        for folder in path.ancestors().skip(1).filter(|folder| !folder.as_os_str().is_empty()) {
            if before.join(folder).is_dir() || fs::remove_dir(top.join(folder)).is_err() {
                break;
            }
        }
    }
    left
}

fn exists(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// Both the same file, link or folder, or both nothing.
fn is_same(one: &Path, other: &Path) -> bool {
    let (one_is, other_is) = (fs::symlink_metadata(one), fs::symlink_metadata(other));
    match (one_is, other_is) {
        (Err(_), Err(_)) => true,
        (Ok(left), Ok(right)) if left.is_symlink() && right.is_symlink() => {
            fs::read_link(one).ok() == fs::read_link(other).ok()
        }
        (Ok(left), Ok(right)) if left.is_file() && right.is_file() => {
            left.len() == right.len()
                && left.permissions().mode() & 0o111 == right.permissions().mode() & 0o111
                && begins_alike(one, other, left.len()).unwrap_or(false)
        }
        (Ok(left), Ok(right)) => left.is_dir() && right.is_dir(),
        _ => false,
    }
}

/// What a full disk leaves.
fn is_beginning(now: &Path, whole: &Path) -> bool {
    match (fs::symlink_metadata(now), fs::symlink_metadata(whole)) {
        (Ok(left), Ok(right)) if left.is_file() && right.is_file() => {
            left.len() < right.len() && begins_alike(now, whole, left.len()).unwrap_or(false)
        }
        _ => false,
    }
}

fn begins_alike(one: &Path, other: &Path, bytes: u64) -> io::Result<bool> {
    let (mut left, mut right) = (File::open(one)?.take(bytes), File::open(other)?.take(bytes));
    let (mut here, mut there) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        let read = left.read(&mut here)?;
        if read == 0 {
            return Ok(true);
        }
        right.read_exact(&mut there[..read])?;
        if here[..read] != there[..read] {
            return Ok(false);
        }
    }
}

fn replace(now: &Path, old: &Path) -> io::Result<()> {
    if exists(now) {
        fs::remove_file(now)?;
    }
    let Ok(metadata) = fs::symlink_metadata(old) else { return Ok(()) };
    if let Some(folder) = now.parent() {
        fs::create_dir_all(folder)?;
    }
    match metadata.is_symlink() {
        true => symlink(fs::read_link(old)?, now),
        false => fs::copy(old, now).map(drop),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> BTreeSet<Name> {
        names.iter().map(|name| name.as_bytes().to_vec()).collect()
    }

    fn write(folder: &Path, name: &str, text: &str) {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn what_git_left_half_done_is_put_back_and_other_peoples_work_is_not() {
        let scratch = tempfile::tempdir().unwrap();
        let [top, before, after] = ["top", "before", "after"].map(|name| scratch.path().join(name));
        for folder in [&top, &before, &after] {
            fs::create_dir(folder).unwrap();
        }
        for name in ["written", "removed", "cut", "edited"] {
            write(&before, name, "old\n");
            write(&after, name, "new text\n");
        }
        write(&top, "written", "new text\n");
        write(&top, "cut", "new t");
        write(&top, "edited", "somebody else's\n");
        write(&after, "made/deep/new", "new\n");
        write(&top, "made/deep/new", "new\n");
        let all = names(&["written", "removed", "cut", "edited", "made/deep/new"]);
        assert_eq!(put_back(&top, &all, &before, &after), [b"edited"]);
        for name in ["written", "removed", "cut"] {
            assert_eq!(fs::read_to_string(top.join(name)).unwrap(), "old\n", "{name}");
        }
        assert_eq!(fs::read_to_string(top.join("edited")).unwrap(), "somebody else's\n");
        assert!(!top.join("made").exists());
    }

    #[test]
    fn a_copy_has_the_links_and_folders_that_are_in_the_way() {
        let scratch = tempfile::tempdir().unwrap();
        let [top, copied] = ["top", "copied"].map(|name| scratch.path().join(name));
        fs::create_dir(&copied).unwrap();
        write(&top, "folder/file", "x");
        write(&top, "file", "x");
        write(&top, "emptied/only", "x");
        write(&top, "other", "not copied");
        symlink("/etc", top.join("link")).unwrap();
        let all = names(&["folder", "file/below", "emptied", "emptied/only", "link", "link/passwd", "new/deep"]);
        copy(&top, &all, &copied, false).unwrap();
        assert_eq!(fs::read_dir(copied.join("folder")).unwrap().count(), 1);
        assert_eq!(fs::read_dir(copied.join("emptied")).unwrap().count(), 1);
        assert!(copied.join("file").is_file());
        assert_eq!(fs::read_link(copied.join("link")).unwrap(), Path::new("/etc"));
        assert!(!copied.join("other").exists() && !copied.join("new").exists());

        let failure = copy(&top, &names(&["link/passwd"]), &scratch.path().join("none"), false).unwrap_err();
        assert!(failure.what.contains("beyond the symbolic link `link`"), "{}", failure.what);
    }
}
