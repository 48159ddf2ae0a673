//! `write_file`: one whole file, never outside the workspace, and not over one that would lose by it.

mod rewrite;

use super::{
    folder::{Folder, Kind},
    inside, joined,
};
use serde::{Deserialize, Serialize};
use std::{ffi::OsStr, io, path::PathBuf};

pub(crate) use rewrite::{placeholder, refusal};

/// Largest file a model may write, in bytes: no model answers with more.
pub(super) const FILE_BYTES: usize = 1024 * 1024;

/// Which files that are there may be written over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Over {
    /// Any, with anything.
    Anything,
    /// Any, unless most of it would be lost or the new content says that it leaves something out.
    WholeFiles,
    /// None: what is there is edited.
    Nothing,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Write {
    pub tree: PathBuf,
    /// Where commands start, relative to the tree; the path is relative to it.
    pub folder: PathBuf,
    pub path: String,
    pub content: String,
    pub over: Over,
}

/// The file's path in the tree.
pub(crate) type Written = Result<String, Refused>;

/// Why a file was not written, in words for the model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Refused {
    pub why: String,
    /// The edit that would come to the same.
    pub instead: Option<Change>,
}

/// One place of a file and what shall stand there, as `edit_file` takes them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Change {
    pub old: String,
    pub new: String,
}

impl<T: Into<String>> From<T> for Refused {
    fn from(why: T) -> Self {
        Self { why: why.into(), instead: None }
    }
}

/// Folders on the way are made. Links are not followed, not even to places inside.
pub(super) fn write(task: &Write) -> Written {
    let path = &task.path;
    let names = inside::file(&task.folder, path)?;
    if task.content.len() > FILE_BYTES {
        return Err(format!("the content has {} bytes; at most {FILE_BYTES} can be written", task.content.len()).into());
    }
    let failed = |error: io::Error| format!("cannot write {path}: {error}");
    let Some((file_name, folders)) = names.split_last() else { return Err("the path is empty".into()) };
    let mut folder = Folder::open(&task.tree).map_err(failed)?;
    for name in folders {
        let at = OsStr::new(name);
        match folder.look(at).map(|look| look.kind) {
            Ok(Kind::Folder) => {}
            Ok(Kind::Link) => return Err(format!("{name} is a link; links are not followed").into()),
            Ok(_) => return Err(format!("{name} is a file, not a folder").into()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => folder.make_folder(at).map_err(failed)?,
            Err(error) => return Err(failed(error).into()),
        }
        folder = folder.enter(at).map_err(failed)?;
    }
    let file = OsStr::new(file_name);
    let is_executable = match folder.look(file) {
        Ok(look) => match look.kind {
            Kind::File => {
                let known = folder.read(file, FILE_BYTES as u64).ok().and_then(|bytes| String::from_utf8(bytes).ok());
                if let Some(refused) = known.and_then(|known| rewrite::judge(task, &known)) {
                    return Err(refused);
                }
                look.is_executable
            }
            Kind::Folder => return Err(format!("{path} is a folder").into()),
            Kind::Link => return Err(format!("{path} is a link; links are not followed").into()),
            Kind::Special => return Err(format!("{path} is not a regular file").into()),
        },
        Err(_) => false,
    };
    folder.write(file, task.content.as_bytes(), is_executable).map_err(failed)?;
    let whole = names.iter().fold(Vec::new(), |path, name| joined(&path, name.as_bytes()));
    Ok(String::from_utf8_lossy(&whole).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, path::Path};

    fn write_file(tree: &Path, folder: &str, path: &str, content: &str) -> Written {
        let (folder, path, content) = (folder.into(), path.to_owned(), content.to_owned());
        write(&Write { tree: tree.to_owned(), folder, path, content, over: Over::Anything })
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
        assert!(write_file(tree.path(), "", &long, "").unwrap_err().why.contains("300 bytes"));
    }
}
