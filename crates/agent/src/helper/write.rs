//! `write_file`: one whole file, never outside the workspace.

use super::{
    folder::{Folder, Kind},
    joined,
};
use serde::{Deserialize, Serialize};
use std::{
    ffi::OsStr,
    io,
    path::{Component, Path, PathBuf},
};

/// Largest file a model may write, in bytes: no model answers with more.
const FILE_BYTES: usize = 1024 * 1024;
/// Longest path in bytes, and what file systems take in one name.
const PATH_BYTES: usize = 1_024;
const NAME_BYTES: usize = 255;

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Write {
    pub tree: PathBuf,
    /// Where commands start, relative to the tree; the path is relative to it.
    pub folder: PathBuf,
    pub path: String,
    pub content: String,
}

/// The file's path in the tree, or what was wrong, in words for the model.
pub(crate) type Written = Result<String, String>;

/// Folders on the way are made. Links are not followed, not even to places inside.
pub(super) fn write(task: &Write) -> Written {
    let path = &task.path;
    let names = names(&task.folder, path)?;
    if task.content.len() > FILE_BYTES {
        return Err(format!("the content has {} bytes; at most {FILE_BYTES} can be written", task.content.len()));
    }
    let failed = |error: io::Error| format!("cannot write {path}: {error}");
    let Some((file_name, folders)) = names.split_last() else { return Err("the path is empty".into()) };
    let mut folder = Folder::open(&task.tree).map_err(failed)?;
    for name in folders {
        let at = OsStr::new(name);
        match folder.look(at).map(|look| look.kind) {
            Ok(Kind::Folder) => {}
            Ok(Kind::Link) => return Err(format!("{name} is a link; links are not followed")),
            Ok(_) => return Err(format!("{name} is a file, not a folder")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => folder.make_folder(at).map_err(failed)?,
            Err(error) => return Err(failed(error)),
        }
        folder = folder.enter(at).map_err(failed)?;
    }
    let file = OsStr::new(file_name);
    let is_executable = match folder.look(file) {
        Ok(look) => match look.kind {
            Kind::File => look.is_executable,
            Kind::Folder => return Err(format!("{path} is a folder")),
            Kind::Link => return Err(format!("{path} is a link; links are not followed")),
            Kind::Special => return Err(format!("{path} is not a regular file")),
        },
        Err(_) => false,
    };
    folder.write(file, task.content.as_bytes(), is_executable).map_err(failed)?;
    let whole = names.iter().fold(Vec::new(), |path, name| joined(&path, name.as_bytes()));
    Ok(String::from_utf8_lossy(&whole).into_owned())
}

/// The parts of a path that stays inside.
fn names(folder: &Path, path: &str) -> Result<Vec<String>, String> {
    if path.len() > PATH_BYTES {
        return Err(format!("the path has {} bytes; at most {PATH_BYTES} are allowed", path.len()));
    }
    if path.contains('\0') {
        return Err("the path has a zero byte in it".into());
    }
    let outside = || format!("{path} is not inside the repository; give a path relative to where commands start");
    let mut names: Vec<String> = Vec::new();
    for component in folder.components().chain(Path::new(path).components()) {
        match component {
            Component::CurDir => {}
            Component::Normal(name) => names.push(name.to_str().ok_or_else(outside)?.to_owned()),
            Component::ParentDir => drop(names.pop().ok_or_else(outside)?),
            Component::RootDir | Component::Prefix(_) => return Err(outside()),
        }
    }
    if names.iter().any(|name| name.eq_ignore_ascii_case(".git")) {
        return Err(".git is not for files of the repository".into());
    }
    if let Some(long) = names.iter().find(|name| name.len() > NAME_BYTES) {
        return Err(format!("a name in the path has {} bytes; at most {NAME_BYTES} are allowed", long.len()));
    }
    let names_a_folder = matches!(path.rsplit('/').next(), Some("" | "." | "..") | None);
    match names.is_empty() || names_a_folder {
        true => Err(format!("{path} names no file")),
        false => Ok(names),
    }
}

/// What was asked for with `write_file` of an `ask` job, before anything is paid for.
pub(crate) fn check_path(folder: &Path, path: &str) -> Result<(), String> {
    names(folder, path).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn write_file(tree: &Path, folder: &str, path: &str, content: &str) -> Written {
        let (folder, path, content) = (folder.into(), path.to_owned(), content.to_owned());
        write(&Write { tree: tree.to_owned(), folder, path, content })
    }

    #[test]
    fn writes_into_folders_that_are_not_there_yet() {
        let tree = tempfile::tempdir().unwrap();
        write_file(tree.path(), "", "./a/b/c.txt", "one\n").unwrap();
        assert_eq!(write_file(tree.path(), "", "a/b/c.txt", "two\n").unwrap(), "a/b/c.txt");
        assert_eq!(fs::read_to_string(tree.path().join("a/b/c.txt")).unwrap(), "two\n");
    }

    #[test]
    fn paths_begin_where_commands_start_and_may_leave_that_folder() {
        let tree = tempfile::tempdir().unwrap();
        assert_eq!(write_file(tree.path(), "packages/app", "src/x.ts", "").unwrap(), "packages/app/src/x.ts");
        assert_eq!(write_file(tree.path(), "packages/app", "../lib/y.ts", "").unwrap(), "packages/lib/y.ts");
        assert!(write_file(tree.path(), "packages/app", "../../../y.ts", "").is_err());
    }

    #[test]
    fn never_writes_outside() {
        let parent = tempfile::tempdir().unwrap();
        let tree = parent.path().join("tree");
        fs::create_dir_all(tree.join("dir")).unwrap();
        fs::write(parent.path().join("victim"), "intact").unwrap();
        fs::write(tree.join("named"), "intact").unwrap();
        fs::hard_link(parent.path().join("victim"), tree.join("hard")).unwrap();
        std::os::unix::fs::symlink("..", tree.join("up")).unwrap();
        std::os::unix::fs::symlink("../victim", tree.join("link")).unwrap();
        nix::unistd::mkfifo(&tree.join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        for path in [
            "../victim",
            "/etc/devmesh",
            "dir/../../victim",
            "up/victim",
            "link",
            "pipe",
            "",
            ".",
            "dir/",
            "dir/.",
            "dir",
            ".git/config",
            ".GIT/hooks/x",
            "a\0b",
        ] {
            let refused = write_file(&tree, "", path, "changed");
            assert!(refused.is_err(), "{path:?}");
        }
        write_file(&tree, "", "hard", "changed").unwrap();
        assert_eq!(fs::read_to_string(parent.path().join("victim")).unwrap(), "intact", "not even through a hard link");
        let entries: Vec<_> = fs::read_dir(parent.path()).unwrap().flatten().map(|entry| entry.file_name()).collect();
        assert_eq!(entries.len(), 2, "{entries:?}");
    }

    #[test]
    fn says_what_is_in_the_way() {
        let tree = tempfile::tempdir().unwrap();
        fs::write(tree.path().join("file"), "").unwrap();
        assert_eq!(write_file(tree.path(), "", "file/x", ""), Err("file is a file, not a folder".into()));
        let long = "x".repeat(300);
        assert!(write_file(tree.path(), "", &long, "").unwrap_err().contains("300 bytes"));
    }
}
