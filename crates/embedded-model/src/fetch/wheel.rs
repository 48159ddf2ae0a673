//! One member out of a wheel (a zip archive), streamed.

use super::COPY_BYTES;
use crate::Error;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Hands the bytes of `member` of the one wheel in `folder` to `write`. More than `most_bytes` is an error.
pub(crate) fn read_member(
    folder: &Path,
    member: &str,
    most_bytes: u64,
    write: &mut dyn FnMut(&[u8]) -> Result<(), Error>,
) -> Result<(), Error> {
    let path = wheel_in(folder)?;
    let corrupt = |reason: String| Error::Corrupt { path: path.clone(), reason };
    let file = fs::File::open(&path).map_err(Error::io(&path))?;
    let mut archive = zip::ZipArchive::new(file).map_err(|error| corrupt(error.to_string()))?;
    let mut member_file = archive.by_name(member).map_err(|error| corrupt(format!("{member}: {error}")))?;
    let mut buffer = vec![0; COPY_BYTES];
    let mut read_bytes = 0;
    loop {
        let count = member_file.read(&mut buffer).map_err(|error| corrupt(format!("{member}: {error}")))?;
        if count == 0 {
            return Ok(());
        }
        read_bytes += count as u64;
        if read_bytes > most_bytes {
            return Err(corrupt(format!("{member} is longer than the {most_bytes} bytes it should have")));
        }
        write(&buffer[..count])?;
    }
}

fn wheel_in(folder: &Path) -> Result<PathBuf, Error> {
    let entries = fs::read_dir(folder).map_err(Error::io(folder))?;
    let mut wheels = entries
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "whl"));
    let missing = || Error::Corrupt { path: folder.to_owned(), reason: "there is no wheel in it".into() };
    wheels.next().ok_or_else(missing)
}
