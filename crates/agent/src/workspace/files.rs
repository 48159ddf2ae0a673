//! Walking trees that programs with other intentions may have made: links are never followed.

use crate::sandbox::Owner;
use std::{
    fs, io,
    os::unix::fs::{MetadataExt, PermissionsExt, lchown},
    path::{Path, PathBuf},
};

/// Other users may pass through to what they own further down, and see nothing on the way.
const PASS_THROUGH: u32 = 0o711;
const PRIVATE: u32 = 0o700;

pub(super) fn make_passage(folder: &Path) -> io::Result<()> {
    make(folder, PASS_THROUGH)
}

pub(super) fn make_private(folder: &Path) -> io::Result<()> {
    make(folder, PRIVATE)
}

fn make(folder: &Path, mode: u32) -> io::Result<()> {
    match fs::create_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        made => {
            made?;
            fs::set_permissions(folder, fs::Permissions::from_mode(mode))?;
        }
    }
    Ok(())
}

/// Calls `visit` with everything in `folder`, itself first, folders before what they hold.
pub(super) fn walk(folder: &Path, mut visit: impl FnMut(&Path, &fs::Metadata) -> io::Result<()>) -> io::Result<()> {
    let mut waiting = vec![folder.to_path_buf()];
    while let Some(path) = waiting.pop() {
        let metadata = match fs::symlink_metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            metadata => metadata?,
        };
        visit(&path, &metadata)?;
        if metadata.is_dir() {
            for entry in fs::read_dir(&path)? {
                waiting.push(entry?.path());
            }
        }
    }
    Ok(())
}

/// Makes all of `folder` belong to `owner`.
pub(super) fn hand_over(folder: &Path, owner: Option<Owner>) -> io::Result<()> {
    let Some(owner) = owner else { return Ok(()) };
    walk(folder, |path, metadata| match (metadata.uid(), metadata.gid()) == (owner.user, owner.group) {
        true => Ok(()),
        false => lchown(path, Some(owner.user), Some(owner.group)),
    })
}

/// Bytes a folder takes on the disk. What cannot be read counts nothing.
pub(super) fn disk_bytes(folder: &Path) -> u64 {
    const BLOCK_BYTES: u64 = 512;
    let mut total = 0;
    let mut waiting = vec![folder.to_path_buf()];
    while let Some(path) = waiting.pop() {
        let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
        total += metadata.blocks() * BLOCK_BYTES;
        if metadata.is_dir() {
            waiting.extend(fs::read_dir(&path).into_iter().flatten().flatten().map(|entry| entry.path()));
        }
    }
    total
}

/// Removes a folder, also one whose permissions were taken away. It is out of the way at once, even when removing all
/// of it takes long or is interrupted.
pub(super) fn remove(folder: &Path) -> io::Result<()> {
    let aside = aside(folder);
    match fs::rename(folder, &aside) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        renamed => renamed?,
    }
    remove_all(&aside)
}

pub(super) const REMOVING: &str = ".removing-";

fn aside(folder: &Path) -> PathBuf {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    (0..)
        .map(|number: u32| folder.with_file_name(format!("{REMOVING}{name}-{number}")))
        .find(|path| fs::symlink_metadata(path).is_err())
        .unwrap_or_else(|| folder.with_file_name(REMOVING))
}

pub(super) fn remove_all(folder: &Path) -> io::Result<()> {
    let first = fs::remove_dir_all(folder);
    match first {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            // Tools run as our own user may have closed folders against us.
            let _ = walk(folder, |path, metadata| match metadata.is_dir() {
                true => fs::set_permissions(path, fs::Permissions::from_mode(PRIVATE)),
                false => Ok(()),
            });
            fs::remove_dir_all(folder)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}
