//! What of a tree is no work of anybody: what its `.gitignore` files name, and what builds and installs leave behind
//! under names everybody knows, whether or not somebody thought of a `.gitignore`.

use super::folder::{Folder, shown};
use ignore::{
    Match,
    gitignore::{Gitignore, GitignoreBuilder},
};
use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt,
    path::Path,
};

/// The largest `.gitignore` that is read, in bytes: 256 KiB. Long ones that people write have a few hundred lines.
const GITIGNORE_BYTES: u64 = 256 << 10;
/// Its longest line, in bytes: longer than any path.
const LINE_BYTES: usize = 4 << 10;
const GITIGNORE: &str = ".gitignore";

/// Never anybody's work. A `.gitignore` of the tree can take any of them back with `!`.
const LITTER: &[&str] = &[
    "__pycache__/",
    "*.py[cod]",
    "node_modules/",
    ".venv/",
    ".tox/",
    ".nox/",
    ".mypy_cache/",
    ".pytest_cache/",
    ".ruff_cache/",
    ".hypothesis/",
    "*.egg-info/",
    ".gradle/",
    ".next/",
    ".nuxt/",
    ".svelte-kit/",
    ".parcel-cache/",
    ".turbo/",
    ".nyc_output/",
    ".eslintcache",
    ".coverage",
    ".ccls-cache/",
    "*.class",
    "*.o",
    "*.obj",
    ".DS_Store",
];

/// Outputs of a build where the file beside them says what builds there. The names alone are ordinary words.
const BUILDS: &[(&str, &[&str])] = &[
    ("target", &["Cargo.toml", "pom.xml", "build.sbt"]),
    ("build", &["CMakeLists.txt", "build.gradle", "build.gradle.kts", "setup.py", "pyproject.toml", "meson.build"]),
    ("dist", &["package.json", "setup.py", "pyproject.toml"]),
    ("venv", &["requirements.txt", "setup.py", "pyproject.toml"]),
    ("obj", &["CMakeLists.txt", "Makefile"]),
];
/// A folder that says of itself that it can be made again; see bford.info/cachedir.
const CACHE_MARK: &str = "CACHEDIR.TAG";

/// The rules of one folder and of those it lies in.
pub(super) struct Rules {
    /// Outermost first; the last one that says something holds.
    levels: Vec<(usize, Gitignore)>,
}

impl Rules {
    pub fn new() -> Self {
        let mut builder = GitignoreBuilder::new("/");
        for line in LITTER {
            // A fixed list of patterns that are known to be right.
            let _ = builder.add_line(None, line);
        }
        Self { levels: vec![(0, builder.build().unwrap_or_else(|_| Gitignore::empty()))] }
    }

    /// Adds what a folder's own `.gitignore` says; `depth` is that folder's, 1 for the top. Returns what to tell people.
    pub fn enter(&mut self, folder: &Folder, path: &[u8], depth: usize) -> Option<String> {
        self.leave(depth);
        let name = OsStr::new(GITIGNORE);
        folder.look(name).ok()?;
        let (text, note) = match folder.read(name, GITIGNORE_BYTES) {
            Ok(bytes) => (String::from_utf8_lossy(&bytes).into_owned(), None),
            Err(error) => {
                let path = shown(&super::joined(path, GITIGNORE.as_bytes()));
                (String::new(), Some(format!("`{path}` is not followed: {error}")))
            }
        };
        let at = Path::new("/").join(OsStr::from_bytes(path));
        let (rules, odd_lines) = rules_of(&at, &text);
        if !rules.is_empty() {
            self.levels.push((depth, rules));
        }
        let odd = (odd_lines > 0).then(|| {
            let path = shown(&super::joined(path, GITIGNORE.as_bytes()));
            format!("{odd_lines} lines of `{path}` are too long or make no sense, and are not followed")
        });
        note.or(odd)
    }

    fn leave(&mut self, depth: usize) {
        self.levels.retain(|(level, _)| *level < depth);
    }

    /// Whether the rules name `path`, of which no folder on the way is ignored. `depth` is that of the folder it lies in.
    pub fn ignore(&self, path: &[u8], is_folder: bool, depth: usize) -> bool {
        let path = Path::new("/").join(OsStr::from_bytes(path));
        for (level, rules) in self.levels.iter().rev() {
            if *level > depth {
                continue;
            }
            match rules.matched(&path, is_folder) {
                Match::None => {}
                Match::Ignore(_) => return true,
                Match::Whitelist(_) => return false,
            }
        }
        false
    }
}

/// What the lines of one file say, and how many of them say nothing that could be followed.
fn rules_of(at: &Path, text: &str) -> (Gitignore, usize) {
    let sound = |line: &&str| {
        let mut alone = GitignoreBuilder::new(at);
        line.len() <= LINE_BYTES && alone.add_line(None, line).is_ok() && alone.build().is_ok()
    };
    let build = |lines: &mut dyn Iterator<Item = &str>| {
        let mut builder = GitignoreBuilder::new(at);
        for line in lines {
            // A line that makes no sense ignores nothing, as with git.
            let _ = builder.add_line(None, line);
        }
        builder.build().ok()
    };
    let is_plain = text.lines().all(|line| line.len() <= LINE_BYTES);
    match is_plain.then(|| build(&mut text.lines())).flatten() {
        Some(rules) => (rules, 0),
        // One line must not take the others with it.
        None => {
            let kept: Vec<&str> = text.lines().filter(sound).collect();
            let odd = text.lines().count() - kept.len();
            (build(&mut kept.into_iter()).unwrap_or_else(Gitignore::empty), odd)
        }
    }
}

/// Whether a folder is the output of a build: by the names beside it, or by a mark inside.
pub(super) fn is_output(name: &OsStr, siblings: &[OsString], inside: &Folder) -> bool {
    let builds = BUILDS.iter().find(|(output, _)| name == *output);
    let is_beside = |file: &&str| siblings.iter().any(|sibling| sibling == *file);
    builds.is_some_and(|(_, files)| files.iter().any(is_beside)) || inside.look(OsStr::new(CACHE_MARK)).is_ok()
}

/// Programs, libraries and objects, by how they begin.
pub(super) fn is_compiled(start: &[u8]) -> bool {
    const BEGINNINGS: &[&[u8]] = &[
        b"\x7fELF",
        b"MZ",
        b"!<arch>\n",
        b"\xfe\xed\xfa\xce",
        b"\xfe\xed\xfa\xcf",
        b"\xce\xfa\xed\xfe",
        b"\xcf\xfa\xed\xfe",
        b"\0asm",
    ];
    start.contains(&0) && BEGINNINGS.iter().any(|beginning| start.starts_with(beginning))
}
