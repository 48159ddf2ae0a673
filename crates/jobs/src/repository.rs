//! What a job is about, and whether its creator may have it read.
//!
//! A path is read with the rights of who asks. This is the early answer, for the person who creates the job: the folder is
//! on the agent's machine, and only the agent can look at what a path really leads to. Where the backend sees the folder
//! too it follows links, so that most mistakes are told at once.

use crate::{Caller, Error, Options};
use domain::Scope;
use protocol::{CreateJob, Folders, Place, may_read};
use std::path::{Component, Path, PathBuf};

/// Where in the body the repository is named.
const POINTER: &str = "/repository/path";

/// Which folders a job may be about that this caller creates.
pub(crate) fn folders_of(caller: &Caller) -> Folders {
    if caller.scope.covers(Scope::Admin) { Folders::Any } else { Folders::Roots }
}

/// Refuses a repository this caller may not have read. Looks at the file system, so it runs where that may block.
pub(crate) fn check(spec: &CreateJob, folders: Folders, options: &Options) -> Result<(), Error> {
    let Some(repository) = &spec.repository else { return Ok(()) };
    let refused = |why: String| Error::MayNotRead { pointer: POINTER, detail: format!("`{}` {why}", repository.path) };
    match repository.place() {
        Ok(Place::Folder(path)) => check_folder(path, folders, options).map_err(|refusal| refused(refusal.to_string())),
        Ok(Place::Remote(remote)) => {
            remote.may_clone(spec.egress, &options.remotes).map_err(|refusal| refused(refusal.to_string()))
        }
        Err(refusal) => Err(Error::invalid(POINTER, format!("`{}` {refusal}", repository.path))),
    }
}

fn check_folder(path: &Path, folders: Folders, options: &Options) -> Result<(), protocol::FolderRefusal> {
    let (roots, private, homes) =
        (both_names(&options.roots), both_names(&options.private), both_names(&options.homes));
    let asked = |path: &Path| may_read(path, folders, &roots, &private, &homes);
    asked(&without_dots(path))?;
    // A folder that is not here says nothing: it may well be on the agent's machine.
    path.canonicalize().map_or(Ok(()), |real| asked(&real))
}

/// As they were given, and as they are called without links.
fn both_names(folders: &[PathBuf]) -> Vec<PathBuf> {
    let mut names: Vec<_> = folders.iter().map(|folder| without_dots(folder)).collect();
    names.extend(folders.iter().filter_map(|folder| folder.canonicalize().ok()));
    names
}

/// `..` taken by its word. Where a link makes it lead elsewhere, the real path is asked about as well.
fn without_dots(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                plain.pop();
            }
            Component::CurDir => {}
            other => plain.push(other),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{ErrorCode, JobKind};
    use protocol::{Egress, Repository};
    use std::os::unix::fs::symlink;

    fn about(path: &str) -> CreateJob {
        let repository = Some(Repository { path: path.into(), reference: None });
        CreateJob { repository, ..CreateJob::new(JobKind::Code, "x") }
    }

    fn code(spec: &CreateJob, folders: Folders, options: &Options) -> Option<ErrorCode> {
        check(spec, folders, options).err().map(|error| error.code())
    }

    #[test]
    fn a_link_is_followed_and_dots_are_resolved() {
        let disk = tempfile::tempdir().unwrap();
        let at = |name: &str| disk.path().join(name);
        for folder in ["work/mine", "data/blobs", "home/ann/code"] {
            std::fs::create_dir_all(at(folder)).unwrap();
        }
        symlink(at("data"), at("work/link")).unwrap();
        symlink(at("work"), at("other-name")).unwrap();
        let options = Options {
            roots: vec![at("other-name")],
            private: vec![at("data")],
            homes: vec![at("home/ann")],
            ..Options::default()
        };
        let asked = |name: &str, folders| code(&about(at(name).to_str().unwrap()), folders, &options);
        for name in ["work/mine", "other-name/mine", "work/link/../mine", "work/not-here", "work/./mine/"] {
            assert_eq!(asked(name, Folders::Any), None, "{name}");
            assert_eq!(asked(name, Folders::Roots), None, "{name}");
        }
        for name in
            ["data", "data/blobs", "work/link", "work/link/blobs", "work/mine/../../data", "home/ann", "home/ann/"]
        {
            assert_eq!(asked(name, Folders::Any), Some(ErrorCode::Forbidden), "{name}");
            assert_eq!(asked(name, Folders::Roots), Some(ErrorCode::Forbidden), "{name}");
        }
        assert_eq!(asked("home/ann/code", Folders::Any), None);
        assert_eq!(asked("home/ann/code", Folders::Roots), Some(ErrorCode::Forbidden));
    }

    #[test]
    fn an_address_is_fetched_for_whoever_asks_only_when_the_operator_allows_it() {
        let address = about("https://github.com/rust-lang/cargo");
        let wide = CreateJob { egress: Egress::Allowed, ..address.clone() };
        let none = Options::default();
        let some = Options { remotes: vec!["https://github.com/rust-lang".into()], ..Options::default() };
        for folders in [Folders::Any, Folders::Roots] {
            assert_eq!(code(&wide, folders, &none), Some(ErrorCode::Forbidden));
            assert_eq!(code(&address, folders, &some), Some(ErrorCode::Forbidden), "local_only");
            assert_eq!(code(&wide, folders, &some), None);
        }
        assert_eq!(code(&about("file:///etc"), Folders::Any, &some), Some(ErrorCode::InvalidRequest));
    }
}
