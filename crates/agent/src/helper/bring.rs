//! What a project needs to build and test, and no commit of it has: packages that were installed beside it, and outputs that
//! make the next build short. They are copied into a new tree once, share their blocks with the source's where the file
//! system can, and are never part of a step or written back.

use super::{
    Error,
    folder::{Folder, Kind, Look, shown},
    joined,
};
use std::{
    collections::BTreeSet,
    ffi::{OsStr, OsString},
    fs::FileTimes,
    io,
    path::Path,
    time::{Duration, UNIX_EPOCH},
};

/// What is brought, and the file beside it that says whose it is.
const BROUGHT: &[(&str, &[&str])] = &[
    ("node_modules", &["package.json"]),
    (".venv", &["pyproject.toml", "setup.py", "setup.cfg", "requirements.txt", "uv.lock", "poetry.lock", "Pipfile"]),
    ("target", &["Cargo.toml"]),
];
/// What signs in somewhere and can lie among packages.
const SECRETS: &[&str] = &[".npmrc", ".yarnrc", ".yarnrc.yml", ".netrc", "pip.conf", ".pypirc", ".git-credentials"];
/// Projects in one tree that are looked at: packages of a large monorepo.
const PROJECTS: usize = 256;
/// Files of all that is brought: a web project of middle size has 50,000.
const FILES: u64 = 250_000;
/// Bytes of all that is brought: 2 GiB, as a source may have.
const BYTES: u64 = 2 << 30;
/// Of what is free on the disk, one part in this many may be taken.
const FREE_PART: u64 = 4;
const DEPTH: usize = 128;

/// What became of it, for people.
#[derive(Default)]
pub(super) struct Brought {
    names: Vec<String>,
    left_out: Vec<String>,
}

/// How much there is, or may still be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Amount {
    files: u64,
    bytes: u64,
}

/// Copies from the checkout a tree was made from. `files` are names in the tree.
pub(super) fn bring(checkout: &Path, tree: &Path, files: &[String]) -> Result<Brought, Error> {
    let (from, to) = (Folder::open(checkout), Folder::open(tree));
    let (from, to) =
        (from.map_err(Error::doing("opening the checkout"))?, to.map_err(Error::doing("opening the tree"))?);
    let free = nix::sys::statvfs::statvfs(tree).map_or(u64::MAX, |status| {
        #[expect(clippy::useless_conversion, reason = "narrower on other systems")]
        u64::from(status.blocks_available()).saturating_mul(u64::from(status.fragment_size()))
    });
    let mut left = Amount { files: FILES, bytes: BYTES.min(free / FREE_PART) };
    let mut brought = Brought::default();
    for path in wanted(files) {
        let source = || -> io::Result<(Folder, Folder, OsString)> {
            let (source, name) = super::reach(&from, &path)?;
            let (target, _) = super::reach(&to, &path)?;
            Ok((source, target, name.to_owned()))
        };
        let Ok((source, target, name)) = source() else { continue };
        let is_folder = source.look(&name).is_ok_and(|look| look.kind == Kind::Folder);
        // What a commit has is there already.
        if !is_folder || target.look(&name).is_ok() {
            continue;
        }
        let shown = shown(&path);
        match amount(&source, &name, left) {
            Ok(Some(amount)) => {
                copy(&source, &target, &name).map_err(|error| Error::Failed(format!("copying `{shown}`: {error}")))?;
                left = Amount { files: left.files - amount.files, bytes: left.bytes - amount.bytes };
                brought.names.push(format!("`{shown}`"));
            }
            Ok(None) => brought.left_out.push(format!("`{shown}` is too large")),
            Err(error) => brought.left_out.push(format!("`{shown}` cannot be read: {error}")),
        }
    }
    Ok(brought)
}

impl Brought {
    pub fn into_notes(self) -> impl Iterator<Item = String> {
        let listed = |what: &str, names: &[String]| {
            (!names.is_empty()).then(|| format!("{what}: {}", super::prepare::listed(names)))
        };
        let brought = listed("brought along from the checkout, and never part of the patch", &self.names);
        brought.into_iter().chain(listed("not brought along from the checkout", &self.left_out))
    }
}

/// The folders worth looking for, by the projects in a tree; the outermost projects first.
fn wanted(files: &[String]) -> Vec<Vec<u8>> {
    let known: BTreeSet<&str> = files.iter().map(String::as_str).collect();
    let mut projects: Vec<&str> = files
        .iter()
        .filter_map(|file| match file.rsplit_once('/') {
            Some((folder, name)) => is_sign(name).then_some(folder),
            None => is_sign(file).then_some(""),
        })
        .collect();
    projects.sort_by_key(|folder| (folder.matches('/').count() + usize::from(!folder.is_empty()), *folder));
    projects.dedup();
    projects.truncate(PROJECTS);
    let wanted = projects.into_iter().flat_map(|folder| {
        let at = move |name: &str| String::from_utf8_lossy(&joined(folder.as_bytes(), name.as_bytes())).into_owned();
        let known = &known;
        BROUGHT
            .iter()
            .filter(move |(_, signs)| signs.iter().any(|sign| known.contains(at(sign).as_str())))
            .map(move |(name, _)| at(name).into_bytes())
    });
    wanted.collect()
}

fn is_sign(name: &str) -> bool {
    BROUGHT.iter().any(|(_, signs)| signs.contains(&name))
}

/// What a folder has; `None` where that is more than `most`.
fn amount(folder: &Folder, name: &OsStr, most: Amount) -> io::Result<Option<Amount>> {
    let mut all = Amount::default();
    let mut waiting = vec![(folder.enter(name)?, 0)];
    while let Some((folder, depth)) = waiting.pop() {
        for name in folder.names()? {
            let look = folder.look(&name)?;
            all.files += 1;
            all.bytes += if look.kind == Kind::File { look.bytes } else { 0 };
            if all.files > most.files || all.bytes > most.bytes || depth > DEPTH {
                return Ok(None);
            }
            if look.kind == Kind::Folder {
                waiting.push((folder.enter(&name)?, depth + 1));
            }
        }
    }
    Ok(Some(all))
}

fn copy(from: &Folder, to: &Folder, name: &OsStr) -> io::Result<()> {
    to.make_folder(name)?;
    let mut waiting = vec![(from.enter(name)?, to.enter(name)?)];
    while let Some((from, to)) = waiting.pop() {
        for name in from.names()? {
            if SECRETS.iter().any(|secret| name == *secret) {
                continue;
            }
            let look = from.look(&name)?;
            match look.kind {
                Kind::Folder => {
                    to.make_folder(&name)?;
                    waiting.push((from.enter(&name)?, to.enter(&name)?));
                }
                Kind::Link => to.make_link(&name, &from.link(&name)?)?,
                Kind::File => copy_file(&from, &to, &name, &look)?,
                Kind::Special => {}
            }
        }
    }
    Ok(())
}

/// With its time: Python and Cargo tell by it whether what they compiled is as new as what they compiled it from.
fn copy_file(from: &Folder, to: &Folder, name: &OsStr, look: &Look) -> io::Result<()> {
    let mut target = to.make_file(name, look.is_executable)?;
    io::copy(&mut from.file(name)?, &mut target)?;
    let modified = UNIX_EPOCH + Duration::from_nanos(u64::try_from(look.modified).unwrap_or_default());
    target.set_times(FileTimes::new().set_modified(modified))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::symlink, time::SystemTime};

    fn write(folder: &Path, name: &str, text: &str) {
        fs::create_dir_all(folder.join(name).parent().unwrap()).unwrap();
        fs::write(folder.join(name), text).unwrap();
    }

    #[test]
    fn packages_come_along_with_their_times_and_without_secrets() {
        let (checkout, tree) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for name in [
            "node_modules/a/index.js",
            "node_modules/.npmrc",
            "web/node_modules/b/index.js",
            "target/debug/x",
            "docs/target/x",
            ".venv/pyvenv.cfg",
        ] {
            write(checkout.path(), name, "text");
        }
        symlink("../a/index.js", checkout.path().join("node_modules/a/link")).unwrap();
        let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        fs::File::open(checkout.path().join("node_modules/a/index.js"))
            .unwrap()
            .set_times(FileTimes::new().set_modified(old))
            .unwrap();
        let files = ["Cargo.toml", "docs/README.md", "package.json", "web/package.json"].map(String::from);
        for file in &files {
            write(tree.path(), file, "");
        }
        // This one a commit has.
        write(tree.path(), "target/kept", "");
        let notes: Vec<String> = bring(checkout.path(), tree.path(), &files).unwrap().into_notes().collect();
        assert_eq!(
            notes,
            ["brought along from the checkout, and never part of the patch: `node_modules`, `web/node_modules`"]
        );
        let has = |name: &str| fs::symlink_metadata(tree.path().join(name)).is_ok();
        assert!(has("node_modules/a/index.js") && has("node_modules/a/link") && has("web/node_modules/b/index.js"));
        assert!(!has("node_modules/.npmrc") && !has("target/debug") && !has("docs/target") && !has(".venv"));
        assert_eq!(fs::metadata(tree.path().join("node_modules/a/index.js")).unwrap().modified().unwrap(), old);
    }

    #[test]
    fn what_is_too_large_stays() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "x/a", "12345");
        write(folder.path(), "x/b/c", "12345");
        let folder = Folder::open(folder.path()).unwrap();
        let amount = |files, bytes| amount(&folder, OsStr::new("x"), Amount { files, bytes }).unwrap();
        assert_eq!(amount(3, 10), Some(Amount { files: 3, bytes: 10 }));
        assert_eq!((amount(2, 10), amount(3, 9)), (None, None));
    }
}
