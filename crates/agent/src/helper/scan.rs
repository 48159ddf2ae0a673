//! What changed in a tree since the last look: one walk, without opening what did not change.
//!
//! A file counts as unchanged while its size, times and inode are those of the last look. The time that decides is the
//! one no program can set, and a file that changed while we looked, or within a tick of the clock before, is read again.

use super::{
    Error,
    folder::{Folder, Kind, Look, shown},
    ignored::{Rules, is_compiled, is_output},
    joined,
    known::{Entry, Known},
};
use std::{
    collections::BTreeSet,
    ffi::OsString,
    io::{self, Read},
    os::unix::ffi::OsStrExt,
};

/// Folders within folders within folders. No source lies deeper, and it bounds the descriptors that are open at once.
const DEPTH: usize = 256;
/// Longest path in bytes that git and the system take.
const PATH_BYTES: usize = 4_000;
/// Files one step adds, at most. Past that it is the work of a program gone wild.
const NEW_FILES: usize = 50_000;
/// Largest file a step keeps, in bytes: 100 MiB. Larger ones are results of builds, not sources.
pub(crate) const FILE_BYTES: u64 = 100 << 20;
/// Largest binary file that a step takes for work unless `write_file` made it: 8 MiB, a large picture.
const BINARY_BYTES: u64 = 8 << 20;
/// How much of a file tells whether it is binary; git looks at as much.
const START_BYTES: u64 = 8_000;
/// Names of what was ignored that are told.
const TOLD: usize = 20;

/// What a walk found.
#[derive(Default)]
pub(super) struct Found {
    /// New, or not known to be unchanged.
    pub changed: Vec<(Vec<u8>, Entry)>,
    /// Not there any more.
    pub gone: Vec<Vec<u8>>,
    /// There and unchanged, or not to be seen.
    pub kept: Vec<(Vec<u8>, Entry)>,
    /// New, and nobody's work for its size, name or kind.
    pub left_out: Vec<Vec<u8>>,
    /// Folders in which nothing is known, outermost first.
    pub folders: Vec<Vec<u8>>,
    /// What to tell people and the model.
    pub notes: Vec<String>,
    /// What the rules leave out, folders as one.
    pub ignored: BTreeSet<String>,
    /// How many names that would be; only a few are kept.
    pub ignored_count: u64,
}

struct Frame {
    folder: Folder,
    /// Relative to the tree, without a slash at the end.
    path: Vec<u8>,
    names: Vec<OsString>,
    /// All names, where outputs of builds have to be told apart.
    siblings: Vec<OsString>,
    /// Only what is known already is looked at: the rules ignore the folder itself.
    only_known: bool,
}

/// What a walk is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum For {
    /// To keep what is new: so much of it, and what is somebody's work.
    Step,
    /// To undo what is new: all of it.
    Restore,
}

/// Walks `tree`. `wanted` is taken whatever the rules say.
pub(super) fn scan(tree: Folder, known: &Known, wanted: &BTreeSet<Vec<u8>>, purpose: For) -> Result<Found, Error> {
    let most_new = if purpose == For::Step { NEW_FILES } else { usize::MAX };
    let (found, seen) = (Found::default(), BTreeSet::new());
    let mut walk = Walk { known, wanted, rules: Rules::new(), found, seen, new: 0, most_new };
    let mut frames = Vec::new();
    walk.enter(&mut frames, tree, Vec::new(), false).map_err(Error::doing("listing the tree"))?;
    while let Some(frame) = frames.last_mut() {
        let Some(name) = frame.names.pop() else {
            frames.pop();
            continue;
        };
        walk.visit(&mut frames, &name);
    }
    let Walk { mut found, seen, .. } = walk;
    found.gone = known.entries.keys().filter(|path| !seen.contains(*path)).cloned().collect();
    Ok(found)
}

struct Walk<'a> {
    known: &'a Known,
    wanted: &'a BTreeSet<Vec<u8>>,
    rules: Rules,
    found: Found,
    /// Every known path that is not gone.
    seen: BTreeSet<Vec<u8>>,
    new: usize,
    most_new: usize,
}

impl Walk<'_> {
    fn enter(&mut self, frames: &mut Vec<Frame>, folder: Folder, path: Vec<u8>, only_known: bool) -> io::Result<()> {
        let mut names = folder.names()?;
        // From the end, so that it goes in order.
        names.sort_unstable_by(|left, right| right.cmp(left));
        if !only_known && let Some(note) = self.rules.enter(&folder, &path, frames.len() + 1) {
            self.found.notes.push(note);
        }
        let siblings = names.clone();
        frames.push(Frame { folder, path, names, siblings, only_known });
        Ok(())
    }

    fn visit(&mut self, frames: &mut Vec<Frame>, name: &OsString) {
        let depth = frames.len();
        let Some(frame) = frames.last() else { return };
        // A repository inside the tree is its files.
        if name == ".git" {
            return;
        }
        let path = joined(&frame.path, name.as_bytes());
        if means_git(name.as_bytes()) {
            self.note(format!("`{}` was left out: git keeps nothing of that name", shown(&path)));
            return;
        }
        if path.len() > PATH_BYTES {
            self.note(format!(
                "`{}…` was left out: its path has {} bytes",
                shown(&path[..path.len().min(80)]),
                path.len()
            ));
            return self.not_seen(&path);
        }
        let look = match frame.folder.look(name) {
            Ok(look) => look,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(_) => return self.not_seen(&path),
        };
        let is_known = self.known.entries.contains_key(&path);
        let is_wanted = self.wanted.contains(&path);
        match look.kind {
            Kind::Folder => self.folder(frames, name, path, depth),
            // No longer a file that git could keep.
            Kind::Special => {
                if is_known {
                    self.note(format!("`{}` became a pipe, socket or device, which counts as deleted", shown(&path)));
                } else if !frame.only_known && !self.rules.ignore(&path, false, depth) {
                    self.found.left_out.push(path);
                }
            }
            Kind::Link if is_attributes_of_git(name.as_bytes()) && !is_known => {
                self.note(format!("`{}` was left out: git takes no link of that name", shown(&path)));
                self.found.left_out.push(path);
            }
            Kind::File | Kind::Link => {
                let only_known = frame.only_known;
                if !is_known && !is_wanted {
                    if only_known {
                        return;
                    }
                    if self.rules.ignore(&path, false, depth) {
                        return self.leave_out(&path, "");
                    }
                }
                self.file(frames, name, path, &look, is_known, is_wanted);
            }
        }
    }

    fn folder(&mut self, frames: &mut Vec<Frame>, name: &OsString, path: Vec<u8>, depth: usize) {
        let Some(frame) = frames.last() else { return };
        let (only_known, holds_known) = (frame.only_known, self.holds(&path));
        if only_known && !holds_known {
            return;
        }
        if depth >= DEPTH {
            self.note(format!(
                "folders nested deeper than {DEPTH} were left out, such as in `{}…`",
                shown(&path[..80])
            ));
            return self.not_seen_below(&path);
        }
        let folder = match frame.folder.enter_by_force(name) {
            Ok(folder) => folder,
            Err(error) => {
                self.note(format!("`{}/` cannot be read and was left out: {error}", shown(&path)));
                return self.not_seen_below(&path);
            }
        };
        let is_ignored = only_known
            || self.rules.ignore(&path, true, depth)
            || is_output(name, &frame.siblings, &folder) && !self.known_below(&path);
        if is_ignored && !holds_known {
            return self.leave_out(&path, "/");
        }
        if !holds_known {
            self.found.folders.push(path.clone());
        }
        if let Err(error) = self.enter(frames, folder, path.clone(), is_ignored) {
            self.note(format!("`{}/` cannot be read and was left out: {error}", shown(&path)));
            self.not_seen_below(&path);
        }
    }

    fn file(&mut self, frames: &[Frame], name: &OsString, path: Vec<u8>, look: &Look, is_known: bool, is_wanted: bool) {
        let entry = Entry::of(look);
        if let Some(before) = self.known.entries.get(&path) {
            self.seen.insert(path.clone());
            if *before == entry && self.known.is_settled(&entry) {
                self.found.kept.push((path, entry));
                return;
            }
        }
        let is_as_before = self.known.entries.get(&path).is_some_and(|before| before.is_unseen() || *before == entry);
        if is_as_before && look.kind == Kind::File && look.bytes > FILE_BYTES {
            // As it was checked out: too large to be kept once more, and not changed either.
            self.found.kept.push((path, entry));
            return;
        }
        let left_out = |walk: &mut Self, what: String| {
            walk.note(what);
            // What was kept of it before stays.
            match walk.known.entries.get(&path) {
                Some(before) => walk.found.kept.push((path.clone(), *before)),
                None => walk.found.left_out.push(path.clone()),
            }
        };
        let name_shown = shown(&path);
        if look.kind == Kind::File && look.bytes > FILE_BYTES {
            let (is, most) = (look.bytes >> 20, FILE_BYTES >> 20);
            let what = format!("`{name_shown}` has {is} MiB and was left out: steps keep files of up to {most} MiB");
            return left_out(self, what);
        }
        if !is_known && !is_wanted && look.kind == Kind::File {
            let start = frames.last().map(|frame| start_of(&frame.folder, name));
            match start {
                Some(Ok(start)) if is_compiled(&start) => {
                    return self.leave_out(&path, "");
                }
                Some(Ok(start)) if look.bytes > BINARY_BYTES && start.contains(&0) => {
                    let is = look.bytes >> 20;
                    let most = BINARY_BYTES >> 20;
                    return left_out(
                        self,
                        format!(
                            "`{name_shown}` is binary, has {is} MiB and was left out: the patch takes binary files of up to \
                             {most} MiB"
                        ),
                    );
                }
                Some(Err(_)) => {
                    return left_out(self, format!("`{name_shown}` cannot be read and was left out"));
                }
                _ => {}
            }
            self.new += 1;
            if self.new > self.most_new {
                self.found.left_out.push(path);
                return self.note(format!("more than {NEW_FILES} new files: the rest of them was left out"));
            }
        }
        self.found.changed.push((path, entry));
    }

    /// Whether anything below `path` is known or wanted.
    fn holds(&self, path: &[u8]) -> bool {
        let prefix = joined(path, b"");
        self.known_below(path)
            || self.wanted.range(prefix.clone()..).next().is_some_and(|next| next.starts_with(&prefix))
    }

    fn known_below(&self, path: &[u8]) -> bool {
        let prefix = joined(path, b"");
        self.known.entries.range(prefix.clone()..).next().is_some_and(|(next, _)| next.starts_with(&prefix))
    }

    /// Not seen is not gone.
    fn not_seen(&mut self, path: &[u8]) {
        if let Some(entry) = self.known.entries.get(path) {
            self.seen.insert(path.to_vec());
            self.found.kept.push((path.to_vec(), *entry));
        }
        self.not_seen_below(path);
    }

    fn not_seen_below(&mut self, path: &[u8]) {
        let prefix = joined(path, b"");
        let below = self.known.entries.range(prefix.clone()..).take_while(|(path, _)| path.starts_with(&prefix));
        for (path, entry) in below {
            self.seen.insert(path.clone());
            self.found.kept.push((path.clone(), *entry));
        }
    }

    fn leave_out(&mut self, path: &[u8], end: &str) {
        self.found.ignored_count += 1;
        if self.found.ignored.len() < TOLD {
            self.found.ignored.insert(format!("{}{end}", shown(path)));
        }
    }

    fn note(&mut self, note: String) {
        const NOTES: usize = 20;
        if self.found.notes.len() < NOTES && !self.found.notes.contains(&note) {
            self.found.notes.push(note);
        }
    }
}

/// Names that some system takes for `.git`: git refuses whole patches for them.
fn means_git(name: &[u8]) -> bool {
    name.split(|byte| *byte == b'\\').any(|part| {
        let part = part.split(|byte| *byte == b':').next().unwrap_or_default();
        let end = part.iter().rposition(|byte| !matches!(byte, b' ' | b'.')).map_or(0, |at| at + 1);
        let plain = &part[..end];
        plain.eq_ignore_ascii_case(b".git") || plain.eq_ignore_ascii_case(b"git~1")
    })
}

/// Files that git reads itself, which it takes for an attack when they are links.
fn is_attributes_of_git(name: &[u8]) -> bool {
    [&b".gitmodules"[..], b"gitmod~1"].iter().any(|special| name.eq_ignore_ascii_case(special))
}

fn start_of(folder: &Folder, name: &OsString) -> io::Result<Vec<u8>> {
    let mut start = Vec::new();
    folder.file(name)?.take(START_BYTES).read_to_end(&mut start)?;
    Ok(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_git_refuses_somewhere_are_known() {
        for name in
            [".GIT", ".git ", ".git.", ".git . ", "git~1", "GIT~1", ".git::$INDEX_ALLOCATION", "a\\.git", ".git\\x"]
        {
            assert!(means_git(name.as_bytes()), "{name}");
        }
        for name in [".gitignore", ".github", "git", "a\\b", ".git-x", "x.git", "...", "git~2", " .git"] {
            assert!(!means_git(name.as_bytes()), "{name}");
        }
    }
}
