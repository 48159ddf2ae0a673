//! Folders of small text files: what is in them, and copies.

use anyhow::{Context, Result};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// What builds and tools leave behind, beside everything that begins with a dot.
const LEFT_BEHIND: &[&str] = &["target", "__pycache__", "node_modules"];

/// The files below a folder, as paths within it, in order. What builds leave, links and what is hidden is left out, but
/// for `.gitignore`.
pub fn all(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let (mut found, mut folders) = (Vec::new(), vec![PathBuf::new()]);
    while let Some(inner) = folders.pop() {
        for entry in fs::read_dir(folder.join(&inner))? {
            let entry = entry?;
            let (name, kind) = (entry.file_name(), entry.file_type()?);
            let name = name.to_string_lossy();
            if LEFT_BEHIND.contains(&&*name) || (name.starts_with('.') && name != ".gitignore") {
                continue;
            }
            match kind {
                kind if kind.is_dir() => folders.push(inner.join(&*name)),
                kind if kind.is_file() => found.push(inner.join(&*name)),
                _ => {}
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Copies the files of a folder over those of another.
pub fn copy(from: &Path, to: &Path) -> Result<()> {
    for file in all(from).with_context(|| format!("cannot read {}", from.display()))? {
        copy_one(&from.join(&file), &to.join(&file))?;
    }
    Ok(())
}

pub fn copy_one(from: &Path, to: &Path) -> Result<()> {
    let copied = to.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::copy(from, to));
    copied.map(drop).with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))
}

/// Where a program is, as a shell finds it.
pub fn in_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}
