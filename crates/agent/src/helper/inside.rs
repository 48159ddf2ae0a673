//! Paths that models give: taken only where they stay inside the tree.

use std::path::{Component, Path};

/// Longest path in bytes, and what file systems take in one name.
const PATH_BYTES: usize = 1_024;
const NAME_BYTES: usize = 255;

/// The parts of a path that stays inside.
pub(super) fn any(folder: &Path, path: &str) -> Result<Vec<String>, String> {
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
    Ok(names)
}

/// The same, of a file.
pub(super) fn file(folder: &Path, path: &str) -> Result<Vec<String>, String> {
    let names = any(folder, path)?;
    let names_a_folder = matches!(path.rsplit('/').next(), Some("" | "." | "..") | None);
    match names.is_empty() || names_a_folder {
        true => Err(format!("{path} names no file")),
        false => Ok(names),
    }
}

/// What was asked for with `write_file` of an `ask` job, before anything is paid for.
pub(crate) fn check_path(folder: &Path, path: &str) -> Result<(), String> {
    file(folder, path).map(drop)
}
