//! `write_file`: one whole file, never outside the workspace.

use crate::sandbox::Owner;
use std::{
    fs, io,
    path::{Component, Path, PathBuf},
};

/// Largest file a model may write, in bytes: no model answers with more.
const FILE_BYTES: usize = 1024 * 1024;
/// Longest path in bytes, and what file systems take in one name.
const PATH_BYTES: usize = 1_024;
const NAME_BYTES: usize = 255;

/// Writes `content` to `path` below `tree`, folders included. What is made belongs to `owner`, because commands have to
/// be able to change it. The error is written for the model.
///
/// Links are not followed, not even to places inside: nothing else runs in the tree meanwhile, so what is checked here
/// still holds when the file is written.
pub(crate) fn write_file(tree: &Path, path: &str, content: &str, owner: Option<Owner>) -> Result<(), String> {
    let names = names(path)?;
    if content.len() > FILE_BYTES {
        return Err(format!("the content has {} bytes; at most {FILE_BYTES} can be written", content.len()));
    }
    let failed = |error: io::Error| format!("cannot write {path}: {error}");
    let Some((file_name, folders)) = names.split_last() else { return Err("the path is empty".into()) };
    let mut folder = tree.to_owned();
    for name in folders {
        folder.push(name);
        match folder.symlink_metadata() {
            Ok(metadata) if metadata.is_dir() => {}
            Ok(metadata) if metadata.is_symlink() => return Err(format!("{name} is a link; links are not followed")),
            Ok(_) => return Err(format!("{name} is a file, not a folder")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::create_dir(&folder).map_err(failed)?;
                own(&folder, owner).map_err(failed)?;
            }
            Err(error) => return Err(failed(error)),
        }
    }
    let file = folder.join(file_name);
    match file.symlink_metadata() {
        Ok(metadata) if metadata.is_dir() => return Err(format!("{path} is a folder")),
        Ok(metadata) if metadata.is_symlink() => return Err(format!("{path} is a link; links are not followed")),
        Ok(metadata) if !metadata.is_file() => return Err(format!("{path} is not a regular file")),
        _ => {}
    }
    fs::write(&file, content).map_err(failed)?;
    own(&file, owner).map_err(failed)
}

fn own(path: &Path, owner: Option<Owner>) -> io::Result<()> {
    match owner {
        Some(owner) => std::os::unix::fs::lchown(path, Some(owner.user), Some(owner.group)),
        None => Ok(()),
    }
}

/// The parts of a path that stays inside.
fn names(path: &str) -> Result<Vec<&str>, String> {
    if path.len() > PATH_BYTES {
        return Err(format!("the path has {} bytes; at most {PATH_BYTES} are allowed", path.len()));
    }
    if path.contains('\0') {
        return Err("the path has a zero byte in it".into());
    }
    let outside = || format!("{path} is not inside the repository; give a path relative to its root");
    let mut names = Vec::new();
    for component in Path::new(path).components() {
        match component {
            Component::CurDir => {}
            Component::Normal(name) => names.push(name.to_str().ok_or_else(outside)?),
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return Err(outside()),
        }
    }
    if names.iter().any(|name| name.eq_ignore_ascii_case(".git")) {
        return Err(".git is not for files of the repository".into());
    }
    if let Some(long) = names.iter().find(|name| name.len() > NAME_BYTES) {
        return Err(format!("a name in the path has {} bytes; at most {NAME_BYTES} are allowed", long.len()));
    }
    match names.is_empty() || path.ends_with('/') {
        true => Err(format!("{path} names no file")),
        false => Ok(names),
    }
}

/// What was asked for with `write_file` of an `ask` job, before anything is paid for.
pub(crate) fn check_path(path: &str) -> Result<PathBuf, String> {
    names(path).map(|names| names.iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_into_folders_that_are_not_there_yet() {
        let tree = tempfile::tempdir().unwrap();
        write_file(tree.path(), "./a/b/c.txt", "one\n", None).unwrap();
        write_file(tree.path(), "a/b/c.txt", "two\n", None).unwrap();
        assert_eq!(fs::read_to_string(tree.path().join("a/b/c.txt")).unwrap(), "two\n");
    }

    #[test]
    fn never_writes_outside() {
        let parent = tempfile::tempdir().unwrap();
        let tree = parent.path().join("tree");
        fs::create_dir_all(tree.join("dir")).unwrap();
        fs::write(parent.path().join("victim"), "intact").unwrap();
        std::os::unix::fs::symlink("..", tree.join("up")).unwrap();
        std::os::unix::fs::symlink("../victim", tree.join("link")).unwrap();
        for path in [
            "../victim",
            "/etc/devmesh",
            "dir/../../victim",
            "up/victim",
            "link",
            "",
            ".",
            "dir/",
            "dir",
            ".git/config",
            ".GIT/hooks/x",
            "a\0b",
        ] {
            let refused = write_file(&tree, path, "changed", None);
            assert!(refused.is_err(), "{path:?}");
        }
        assert_eq!(fs::read_to_string(parent.path().join("victim")).unwrap(), "intact");
        let entries: Vec<_> = fs::read_dir(parent.path()).unwrap().flatten().map(|entry| entry.file_name()).collect();
        assert_eq!(entries.len(), 2, "{entries:?}");
    }

    #[test]
    fn says_what_is_in_the_way() {
        let tree = tempfile::tempdir().unwrap();
        fs::write(tree.path().join("file"), "").unwrap();
        assert_eq!(write_file(tree.path(), "file/x", "", None), Err("file is a file, not a folder".into()));
        let long = "x".repeat(300);
        assert!(write_file(tree.path(), &long, "", None).unwrap_err().contains("300 bytes"));
    }
}
