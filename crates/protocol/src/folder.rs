//! Which folders of a machine a job may be about.
//!
//! A path is read with the rights of who asks. The backend asks this rule when a job is created, with what it can see
//! from where it runs; the agent asks it again on real paths before it reads a byte, and its answer is the one that counts.
//!
//! ```text
//!                  is, contains or     under one of     is or contains
//!                  lies in devmesh's   `agents.roots`   a home folder
//!   Folders::Any   refused             not asked        refused
//!   Folders::Roots refused             needed           refused
//! ```
//! What is refused is compared without regard to case, what is allowed exactly: a file system that takes `/Home` for
//! `/home` then opens nothing, and one that does not refuses a name nobody uses.

use crate::Folders;
use std::{
    fmt,
    path::{Component, Path, PathBuf},
};

/// Why a folder is not for this job. Its text goes on after the name of the folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FolderRefusal {
    /// Not absolute, or with `..` in it: nobody can say what it would lead to.
    NotPlain,
    /// The operator gave tokens like this one no folder at all.
    NoRoots,
    OutsideRoots,
    /// Is, contains or lies in the data or configuration folder.
    Private,
    /// Is or contains somebody's home folder.
    Home,
}

impl fmt::Display for FolderRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotPlain => "is not an absolute path without `..`; say where it is from the root on",
            Self::NoRoots => {
                "may be named by the owner of the mesh alone, since `agents.roots` is empty; create the job with an admin \
                 token, or let the owner add a folder to `agents.roots` (devmesh config explain agents.roots)"
            }
            Self::OutsideRoots => {
                "lies under none of the folders in `agents.roots`, and this job's creator is not the owner of the mesh; name \
                 a folder under one of them, or let the owner add it (devmesh config explain agents.roots)"
            }
            Self::Private => {
                "is, contains or lies in a folder of devmesh's own, where its tokens and keys are; name the repository itself"
            }
            Self::Home => {
                "is a home folder or contains one, with keys and passwords beside the work; name the repository inside it"
            }
        })
    }
}

impl std::error::Error for FolderRefusal {}

/// Whether a job with these rights may be about `path`. Every path is absolute and canonical (no links, no `..`): this looks
/// at names alone. `private` are the data and configuration folders, `homes` the home folders of all users of the machine.
pub fn may_read(
    path: &Path,
    folders: Folders,
    roots: &[PathBuf],
    private: &[PathBuf],
    homes: &[PathBuf],
) -> Result<(), FolderRefusal> {
    if !is_plain(path) {
        return Err(FolderRefusal::NotPlain);
    }
    // First, so that nobody without rights is told where the rest lies.
    if folders == Folders::Roots {
        let mut roots = roots.iter().filter(|root| is_plain(root)).peekable();
        if roots.peek().is_none() {
            return Err(FolderRefusal::NoRoots);
        }
        if !roots.any(|root| path.starts_with(root)) {
            return Err(FolderRefusal::OutsideRoots);
        }
    }
    let path = folded(path);
    if homes.iter().any(|home| folded(home).starts_with(&path)) {
        return Err(FolderRefusal::Home);
    }
    let mut private = private.iter().map(|folder| folded(folder));
    if private.any(|folder| path.starts_with(&folder) || folder.starts_with(&path)) {
        return Err(FolderRefusal::Private);
    }
    Ok(())
}

/// The home folders in the text of `/etc/passwd` (passwd(5)), of people and of services alike.
pub fn homes(passwd: &str) -> Vec<PathBuf> {
    let homes = passwd.lines().filter_map(|line| line.split(':').nth(5)).map(PathBuf::from);
    let mut homes: Vec<_> = homes.filter(|home| is_plain(home)).collect();
    homes.sort_unstable();
    homes.dedup();
    homes
}

fn is_plain(path: &Path) -> bool {
    path.is_absolute() && path.components().all(|part| !matches!(part, Component::ParentDir))
}

/// As one that does not tell upper from lower case sees it. What is not UTF-8 keeps its replacement characters, which
/// can only refuse more.
fn folded(path: &Path) -> PathBuf {
    PathBuf::from(path.to_string_lossy().to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOTS: &[&str] = &["/srv/code", "/home/ann/projects"];
    const PRIVATE: &[&str] = &["/home/ann/.local/share/devmesh", "/etc/devmesh"];
    const HOMES: &[&str] = &["/root", "/home/ann", "/home/ben"];

    fn paths(names: &[&str]) -> Vec<PathBuf> {
        names.iter().map(PathBuf::from).collect()
    }

    fn asked(path: &str, folders: Folders, roots: &[&str]) -> Result<(), FolderRefusal> {
        may_read(Path::new(path), folders, &paths(roots), &paths(PRIVATE), &paths(HOMES))
    }

    #[test]
    fn the_owner_may_name_any_folder_but_homes_and_devmeshs_own() {
        for path in ["/srv/code/a", "/home/ann/a", "/home/benedict", "/tmp/x/", "/etc/devmesh-notes", "/opt//x/./y"] {
            assert_eq!(asked(path, Folders::Any, &[]), Ok(()), "{path}");
        }
        for path in ["/root", "/root/", "/home/ann", "/home/ann/.", "/home", "/", "/HOME/Ann", "/home/ben"] {
            assert_eq!(asked(path, Folders::Any, &[]), Err(FolderRefusal::Home), "{path}");
        }
        let own =
            ["/home/ann/.local/share/devmesh", "/home/ann/.local/share/devmesh/blobs", "/home/ann/.local", "/etc"];
        for path in own.into_iter().chain(["/etc/devmesh/", "/ETC/DevMesh/keys"]) {
            assert_eq!(asked(path, Folders::Any, &[]), Err(FolderRefusal::Private), "{path}");
        }
    }

    #[test]
    fn others_may_name_what_lies_under_the_roots() {
        for path in ["/srv/code", "/srv/code/a/b", "/home/ann/projects/x"] {
            assert_eq!(asked(path, Folders::Roots, ROOTS), Ok(()), "{path}");
            assert_eq!(asked(path, Folders::Roots, &[]), Err(FolderRefusal::NoRoots), "{path}");
        }
        for path in ["/srv/codex", "/srv", "/SRV/code/a", "/etc/devmesh", "/home/ann/other", "/root"] {
            assert_eq!(asked(path, Folders::Roots, ROOTS), Err(FolderRefusal::OutsideRoots), "{path}");
        }
        assert_eq!(asked("/home/ann", Folders::Roots, &["/home/ann"]), Err(FolderRefusal::Home));
        assert_eq!(asked("/etc/devmesh/keys", Folders::Roots, &["/"]), Err(FolderRefusal::Private));
        assert_eq!(asked("/srv/code", Folders::Roots, &["srv", ""]), Err(FolderRefusal::NoRoots), "no root at all");
    }

    #[test]
    fn a_path_that_may_lead_elsewhere_is_none() {
        for path in ["", "code", "./x", "/srv/code/../../etc/devmesh", "~"] {
            assert_eq!(asked(path, Folders::Any, &[]), Err(FolderRefusal::NotPlain), "{path}");
        }
    }

    #[test]
    fn homes_are_read_from_the_list_of_users() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nann:x:1000:1000:Ann,,,:/home/ann:/bin/sh\n+::::::\nbroken\n\
                      sync:x:4:65534:sync:/bin:/bin/sync\nbin:x:2:2:bin:/bin:/usr/sbin/nologin\n";
        assert_eq!(homes(passwd), paths(&["/bin", "/home/ann", "/root"]));
    }

    #[test]
    fn a_refusal_says_what_to_do() {
        assert!(FolderRefusal::NoRoots.to_string().contains("`agents.roots` is empty"));
        assert!(FolderRefusal::OutsideRoots.to_string().contains("agents.roots"));
    }
}
