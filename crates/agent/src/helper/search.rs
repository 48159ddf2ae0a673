//! `search`: lines that a regular expression matches, found as ripgrep finds them.

use super::{
    folder::{Folder, Kind, shown},
    inside,
};
use grep_regex::RegexMatcherBuilder;
use grep_searcher::{BinaryDetection, SearcherBuilder, sinks};
use ignore::WalkBuilder;
use serde::{Deserialize, Serialize};
use std::{
    ffi::OsStr,
    fs::OpenOptions,
    os::unix::{ffi::OsStrExt, fs::OpenOptionsExt},
    path::PathBuf,
};

/// Lines of one file that are shown, and of all together: past that a search says too little.
const FILE_LINES: usize = 20;
const LINES: usize = 100;
/// Longest line that is shown whole, in bytes.
const LINE_BYTES: usize = 200;
/// A larger file is data, in bytes.
const FILE_BYTES: u64 = 16 << 20;

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Search {
    pub tree: PathBuf,
    /// Where commands start, relative to the tree; the path is relative to it.
    pub folder: PathBuf,
    pub pattern: String,
    /// A folder or a file; empty for all.
    pub path: String,
    /// Most text that is shown, in bytes.
    pub bytes: usize,
}

/// What a model is shown, or what was wrong, in words for it.
pub(crate) type Found = Result<String, String>;

pub(super) fn search(task: &Search) -> Found {
    let names = inside::any(&task.folder, &task.path)?;
    let mut top = Folder::open(&task.tree).map_err(|error| format!("cannot search: {error}"))?;
    for name in &names {
        let name = OsStr::new(name);
        match top.look(name).map(|look| look.kind) {
            Ok(Kind::Folder) => {
                top = top.enter(name).map_err(|error| format!("cannot search {}: {error}", task.path))?
            }
            Ok(Kind::File) => {}
            Ok(_) => return Err(format!("{} is a link or no regular file", task.path)),
            Err(_) => return Err(format!("there is no file or folder {}", task.path)),
        }
    }
    let mut matcher = RegexMatcherBuilder::new();
    matcher.case_smart(true);
    // What is no regular expression is looked for as it stands.
    let as_it_stands = || matcher.build(&escaped(&task.pattern));
    let matcher = matcher.build(&task.pattern).or_else(|_| as_it_stands()).map_err(|error| error.to_string())?;
    let mut searcher = SearcherBuilder::new().binary_detection(BinaryDetection::quit(0)).line_number(true).build();
    let top = names.iter().fold(task.tree.clone(), |path, name| path.join(name));
    let start = task.tree.join(&task.folder);
    // Rules of ignoring as ripgrep follows them, but only those in the tree.
    let walk = WalkBuilder::new(&top)
        .hidden(false)
        .parents(false)
        .git_global(false)
        .git_exclude(false)
        .require_git(false)
        .follow_links(false)
        .filter_entry(|entry| entry.file_name() != ".git")
        .sort_by_file_name(OsStr::cmp)
        .build();
    let mut lines = String::new();
    let (mut count, mut files, mut hidden) = (0, 0, 0);
    for entry in walk.flatten().filter(|entry| entry.file_type().is_some_and(|kind| kind.is_file())) {
        let flags = nix::fcntl::OFlag::O_NOFOLLOW | nix::fcntl::OFlag::O_NONBLOCK;
        let opened = OpenOptions::new().read(true).custom_flags(flags.bits()).open(entry.path());
        let Some(file) = opened.ok().filter(|file| file.metadata().is_ok_and(|about| about.len() <= FILE_BYTES)) else {
            continue;
        };
        let name = entry.path().strip_prefix(&start).unwrap_or(entry.path()).as_os_str().as_bytes();
        let name = shown(name);
        let mut here = 0;
        let sink = sinks::Lossy(|number, line| {
            here += 1;
            if here > FILE_LINES || count >= LINES || lines.len() > task.bytes {
                hidden += 1;
            } else {
                count += 1;
                let line = line.trim_end();
                let cut = line.floor_char_boundary(LINE_BYTES);
                let mark = if cut < line.len() { " [...]" } else { "" };
                lines.push_str(&format!("{name}:{number}: {}{mark}\n", &line[..cut]));
            }
            Ok(true)
        });
        // A file that cannot be read on is left there.
        let _ = searcher.search_file(&matcher, &file, sink);
        files += usize::from(here > 0);
    }
    match (count, hidden) {
        (0, _) => Ok(format!("Nothing matches `{}`.", task.pattern)),
        (_, 0) => Ok(lines),
        _ => Ok(format!("{lines}[{hidden} more lines match, in {files} files in all; look for something narrower]\n")),
    }
}

fn escaped(pattern: &str) -> String {
    let mut escaped = String::new();
    for character in pattern.chars() {
        if !character.is_alphanumeric() && character.is_ascii() && !character.is_whitespace() {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, path::Path};

    fn found(tree: &Path, pattern: &str, path: &str) -> Found {
        search(&Search {
            tree: tree.to_owned(),
            folder: "".into(),
            pattern: pattern.into(),
            path: path.into(),
            bytes: 4_000,
        })
    }

    fn tree() -> tempfile::TempDir {
        let tree = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &[u8]| {
            let path = tree.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("src/a.py", b"def total(prices):\n    return sum(prices)\n");
        write("src/b.py", b"from a import total\n");
        write("build/a.py", b"def total(): pass\n");
        write(".gitignore", b"build/\n");
        write("logo.png", b"\0total");
        write(".git/config", b"total\n");
        tree
    }

    #[test]
    fn matching_lines_are_shown_with_their_places() {
        let tree = tree();
        let all = found(tree.path(), "total\\(|import", "").unwrap();
        assert_eq!(all, "src/a.py:1: def total(prices):\nsrc/b.py:1: from a import total\n");
        assert_eq!(found(tree.path(), "total", "src/b.py").unwrap(), "src/b.py:1: from a import total\n");
        assert_eq!(
            found(tree.path(), "sum(prices", "").unwrap(),
            "src/a.py:2:     return sum(prices)\n",
            "no expression"
        );
        assert_eq!(found(tree.path(), "nowhere", "").unwrap(), "Nothing matches `nowhere`.");
    }

    #[test]
    fn nothing_outside_is_searched_and_much_is_counted() {
        let tree = tree();
        std::os::unix::fs::symlink("/etc", tree.path().join("etc")).unwrap();
        nix::unistd::mkfifo(&tree.path().join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(found(tree.path(), "root:", "").unwrap(), "Nothing matches `root:`.");
        for (path, reason) in
            [("etc", "is a link"), ("../x", "is not inside"), ("lib", "there is no file or folder lib")]
        {
            assert!(found(tree.path(), "root", path).unwrap_err().contains(reason), "{path}");
        }
        fs::write(tree.path().join("many.txt"), "total\n".repeat(500)).unwrap();
        let many = found(tree.path(), "^total", "many.txt").unwrap();
        assert!(many.ends_with("[480 more lines match, in 1 files in all; look for something narrower]\n"), "{many}");
    }
}
