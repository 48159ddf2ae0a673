//! Small files that somebody else may have put there.
//!
//! A FIFO would be waited for, a terminal or `/dev/zero` read for ever, and some devices act when they are opened. Only a
//! regular file is opened at all, and no more of it is read than was asked for.

use nix::fcntl::OFlag;
use std::{
    fs::{File, FileType, Metadata, OpenOptions},
    io::{self, ErrorKind, Read},
    os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt},
    path::Path,
};

/// Device and number of a file: what tells that two paths lead to the same one.
pub type Identity = (u64, u64);

/// The text of a regular file, at most `largest` bytes of it, and which file that is.
///
/// # Errors
/// [`ErrorKind::InvalidInput`] for everything else that can stand under a name; [`ErrorKind::FileTooLarge`].
pub fn read(path: &Path, largest: u64) -> io::Result<(String, Identity)> {
    // Looked at before it is opened, for the devices; and again after, because it may be another one by then.
    check(&path.metadata()?)?;
    let file = open(path)?;
    let metadata = file.metadata()?;
    check(&metadata)?;
    let mut text = String::new();
    file.take(largest + 1).read_to_string(&mut text)?;
    if text.len() as u64 > largest {
        return Err(io::Error::new(ErrorKind::FileTooLarge, format!("it is larger than {largest} bytes")));
    }
    Ok((text, (metadata.dev(), metadata.ino())))
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags((OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits()).open(path)
}

fn check(metadata: &Metadata) -> io::Result<()> {
    if metadata.is_file() {
        return Ok(());
    }
    Err(io::Error::new(ErrorKind::InvalidInput, format!("it is {}, not a regular file", kind(metadata.file_type()))))
}

fn kind(found: FileType) -> &'static str {
    match found {
        found if found.is_dir() => "a folder",
        found if found.is_fifo() => "a FIFO",
        found if found.is_socket() => "a socket",
        _ => "a device",
    }
}
