//! Files and folders for this user alone.

use std::{
    fs::{self, DirBuilder},
    io::{self, Write},
    os::unix::fs::DirBuilderExt,
    path::Path,
};

/// A folder, and whatever is missing above it, that nobody else can look into.
pub fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// A file only its owner can read, there in full or not at all.
pub fn write_file(path: &Path, text: &str) -> io::Result<()> {
    match replace(path, text) {
        // A disk without room for one more file may still have room in the one that is there.
        Err(error) if error.kind() == io::ErrorKind::StorageFull && path.exists() => {
            fs::write(path, format!("{text}\n"))
        }
        written => written,
    }
}

fn replace(path: &Path, text: &str) -> io::Result<()> {
    let mut file = tempfile::NamedTempFile::new_in(path.parent().unwrap_or(Path::new(".")))?;
    writeln!(file, "{text}")?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}
