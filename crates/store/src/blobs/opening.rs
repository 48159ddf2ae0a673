//! Opening stored content, and nothing else that may lie in its place.

use super::Condition;
use nix::fcntl::OFlag;
use std::{
    fs::{File, OpenOptions},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

/// A file of this length. A pipe in its place would keep whoever opens it waiting, and a link leads elsewhere.
pub(crate) fn open(path: &Path, bytes: u64) -> Result<File, Condition> {
    match Condition::at_a_glance(path, bytes) {
        Condition::Whole => {}
        other => return Err(other),
    }
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOFOLLOW;
    let opened = OpenOptions::new().read(true).custom_flags(flags.bits()).open(path);
    // Once more, of what was opened: the name may stand for something else by now.
    let file = opened.map_err(|error| Condition::unread(&error))?;
    let metadata = file.metadata().map_err(|error| Condition::unread(&error))?;
    match Condition::of_metadata(&metadata, bytes) {
        Condition::Whole => Ok(file),
        other => Err(other),
    }
}
