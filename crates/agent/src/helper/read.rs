//! `read_file`: a file with line numbers, or a part of it.

use super::{
    folder::{Folder, Kind, shown},
    inside,
};
use serde::{Deserialize, Serialize};
use std::{ffi::OsStr, io, os::unix::ffi::OsStrExt, path::PathBuf};

/// Largest file that is looked into, in bytes. A larger one is data.
const FILE_BYTES: u64 = 16 << 20;
/// Longest line that is shown whole, in bytes: longer ones were not written by people.
const LINE_BYTES: usize = 500;
/// Names that are told where a folder was given, or a file is not there.
const NAMES: usize = 40;

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Read {
    pub tree: PathBuf,
    /// Where commands start, relative to the tree; the path is relative to it.
    pub folder: PathBuf,
    pub path: String,
    /// First line, from 1.
    pub from: Option<u32>,
    /// Last line.
    pub to: Option<u32>,
    /// Most text that is shown, in bytes.
    pub bytes: usize,
}

/// What a model is shown, or what was wrong, in words for it.
pub(crate) type Page = Result<String, String>;

pub(super) fn read(task: &Read) -> Page {
    let path = &task.path;
    let names = inside::any(&task.folder, path)?;
    let failed = |error: io::Error| format!("cannot read {path}: {error}");
    let mut folder = Folder::open(&task.tree).map_err(failed)?;
    let Some((file, folders)) = names.split_last() else { return Err(a_folder(path, &folder)) };
    for name in folders {
        folder = match folder.look(OsStr::new(name)).map(|look| look.kind) {
            Ok(Kind::Folder) => folder.enter(OsStr::new(name)).map_err(failed)?,
            _ => return Err(missing(path, &folder)),
        };
    }
    let file = OsStr::new(file);
    match folder.look(file).map(|look| look.kind) {
        Ok(Kind::File) => {}
        Ok(Kind::Folder) => return Err(a_folder(path, &folder.enter(file).map_err(failed)?)),
        Ok(Kind::Link) => return Err(format!("{path} is a link; links are not followed")),
        Ok(Kind::Special) => return Err(format!("{path} is not a regular file")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(missing(path, &folder)),
        Err(error) => return Err(failed(error)),
    }
    let bytes = folder.read(file, FILE_BYTES).map_err(failed)?;
    let Some(text) = String::from_utf8(bytes).ok().filter(|text| !text.contains('\0')) else {
        return Err(format!("{path} is not text"));
    };
    page(task, &text)
}

fn page(task: &Read, text: &str) -> Page {
    let path = &task.path;
    let total = text.lines().count();
    let from = task.from.unwrap_or(1).max(1) as usize;
    let to = task.to.map_or(total, |to| (to as usize).min(total));
    if total == 0 {
        return Ok(format!("{path} is empty."));
    }
    if from > total || to < from {
        return Err(format!("{path} has {total} lines; there is nothing from line {from} to {to}"));
    }
    let mut shown = String::new();
    let mut last = from - 1;
    for (index, line) in text.lines().enumerate().take(to).skip(from - 1) {
        let cut = line.floor_char_boundary(LINE_BYTES);
        let mark = if cut < line.len() { " [...]" } else { "" };
        let numbered = format!("{}| {}{mark}\n", index + 1, &line[..cut]);
        if !shown.is_empty() && shown.len() + numbered.len() > task.bytes {
            break;
        }
        shown.push_str(&numbered);
        last = index + 1;
    }
    let more = if last < to {
        format!("[lines {} to {to} did not fit; read on from there]\n", last + 1)
    } else {
        String::new()
    };
    Ok(format!("{path}, lines {from} to {last} of {total}:\n{shown}{more}"))
}

fn a_folder(path: &str, folder: &Folder) -> String {
    format!("{} is a folder{}", if path.is_empty() { "." } else { path }, listed(folder))
}

fn missing(path: &str, folder: &Folder) -> String {
    format!("there is no file {path}; nearest to it{}", listed(folder))
}

fn listed(folder: &Folder) -> String {
    let Ok(mut names) = folder.names() else { return String::new() };
    names.retain(|name| name != ".git");
    names.sort();
    let more = if names.len() > NAMES { " …" } else { "" };
    let names: Vec<String> = names.iter().take(NAMES).map(|name| shown(name.as_bytes())).collect();
    match names.is_empty() {
        true => ", which is empty".into(),
        false => format!(", which holds: {}{more}", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, path::Path};

    fn read_file(tree: &Path, path: &str, from: Option<u32>, to: Option<u32>, bytes: usize) -> Page {
        read(&Read { tree: tree.to_owned(), folder: "".into(), path: path.into(), from, to, bytes })
    }

    fn tree() -> tempfile::TempDir {
        let tree = tempfile::tempdir().unwrap();
        fs::create_dir(tree.path().join("src")).unwrap();
        fs::write(tree.path().join("src/a.py"), "one\n\nthree\nfour").unwrap();
        fs::write(tree.path().join("data"), b"\0\x01").unwrap();
        tree
    }

    #[test]
    fn lines_are_numbered_and_counted() {
        let tree = tree();
        let whole = read_file(tree.path(), "src/a.py", None, None, 1_000).unwrap();
        assert_eq!(whole, "src/a.py, lines 1 to 4 of 4:\n1| one\n2| \n3| three\n4| four\n");
        let part = read_file(tree.path(), "./src/a.py", Some(3), Some(9), 1_000).unwrap();
        assert_eq!(part, "./src/a.py, lines 3 to 4 of 4:\n3| three\n4| four\n");
        let little = read_file(tree.path(), "src/a.py", None, None, 12).unwrap();
        assert!(little.ends_with("1| one\n2| \n[lines 3 to 4 did not fit; read on from there]\n"), "{little}");
    }

    #[test]
    fn what_cannot_be_read_is_said_with_what_there_is() {
        let tree = tree();
        std::os::unix::fs::symlink("/etc/passwd", tree.path().join("link")).unwrap();
        nix::unistd::mkfifo(&tree.path().join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        for (path, reason) in [
            ("src/b.py", "there is no file src/b.py; nearest to it, which holds: a.py"),
            ("lib/b.py", "there is no file lib/b.py; nearest to it, which holds: data, link, pipe, src"),
            ("src", "src is a folder, which holds: a.py"),
            ("", ". is a folder, which holds: data, link, pipe, src"),
            ("data", "data is not text"),
            ("link", "link is a link; links are not followed"),
            ("pipe", "pipe is not a regular file"),
            ("../x", "../x is not inside the repository"),
            ("/etc/passwd", "/etc/passwd is not inside the repository"),
        ] {
            let told = read_file(tree.path(), path, None, None, 1_000).unwrap_err();
            assert!(told.starts_with(reason), "{told}");
        }
        let past = read_file(tree.path(), "src/a.py", Some(9), None, 1_000);
        assert_eq!(past, Err("src/a.py has 4 lines; there is nothing from line 9 to 4".into()));
    }
}
