//! Copies a plain folder. It may hold anything; only folders, regular files and links are taken.

use super::{Error, SOURCE_BYTES, SOURCE_FILES, doing};
use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt, symlink},
    path::{Path, PathBuf},
};

/// How many names a note shows.
const SHOWN: usize = 5;

/// What was left out, by reason.
#[derive(Default)]
struct LeftOut {
    special: Vec<String>,
    unreadable: Vec<String>,
    repositories: Vec<String>,
}

/// Copies what is in `from` into the empty folder `to`, except for `without` and what it holds. Returns notes.
pub(super) fn copy(from: &Path, to: &Path, without: &Path) -> Result<Vec<String>, Error> {
    let mut left_out = LeftOut::default();
    let (mut files, mut bytes) = (0_u64, 0_u64);
    let identity = |metadata: &fs::Metadata| (metadata.dev(), metadata.ino());
    let without = fs::metadata(without).ok().map(|metadata| identity(&metadata));
    let mut waiting = vec![PathBuf::new()];
    while let Some(below) = waiting.pop() {
        let entries = match fs::read_dir(from.join(&below)) {
            Ok(entries) => entries,
            Err(error) if below.as_os_str().is_empty() => {
                return Err(Error::Source(format!("the folder `{}` cannot be read: {error}", from.display())));
            }
            Err(_) => {
                left_out.unreadable.push(shown(&below));
                continue;
            }
        };
        for entry in entries {
            let Ok(entry) = entry else { continue };
            let name = below.join(entry.file_name());
            let (source, target) = (from.join(&name), to.join(&name));
            let metadata = match fs::symlink_metadata(&source) {
                Ok(metadata) => metadata,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(_) => {
                    left_out.unreadable.push(shown(&name));
                    continue;
                }
            };
            let kind = metadata.file_type();
            if entry.file_name() == ".git" {
                // Its hooks and configuration would be run by whoever uses git there.
                left_out.repositories.push(shown(&name));
                continue;
            }
            if kind.is_dir() {
                if without != Some(identity(&metadata)) {
                    fs::create_dir(&target).map_err(doing(|| format!("making {}", target.display())))?;
                    waiting.push(name);
                }
                continue;
            }
            files += 1;
            bytes = bytes.saturating_add(if kind.is_file() { metadata.len() } else { 0 });
            within_limits(files, bytes, &from.display().to_string())?;
            if kind.is_symlink() {
                let link = fs::read_link(&source).map_err(doing(|| format!("reading {}", source.display())))?;
                symlink(link, &target).map_err(doing(|| format!("linking {}", target.display())))?;
            } else if kind.is_fifo() || kind.is_socket() || kind.is_char_device() || kind.is_block_device() {
                left_out.special.push(shown(&name));
            } else {
                match open(&source) {
                    Ok(file) => copy_file(file, &target).map_err(doing(|| format!("copying {}", source.display())))?,
                    Err(_) => left_out.unreadable.push(shown(&name)),
                }
            }
        }
    }
    Ok(left_out.into_notes())
}

/// The limits of a source, the same for folders and repositories.
pub(super) fn within_limits(files: u64, bytes: u64, path: &str) -> Result<(), Error> {
    if files > SOURCE_FILES {
        return Err(Error::Source(format!(
            "`{path}` has more than {SOURCE_FILES} files; give a smaller folder or repository"
        )));
    }
    if bytes > SOURCE_BYTES {
        let mebibytes = SOURCE_BYTES >> 20;
        return Err(Error::Source(format!(
            "the files in `{path}` have more than {mebibytes} MiB; give a smaller folder or repository"
        )));
    }
    Ok(())
}

/// Opens a regular file; never waits for the other end of a pipe that took its place meanwhile.
fn open(path: &Path) -> io::Result<File> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::other("it is no longer a regular file")),
    }
}

/// Content and whether it can be executed; no other rights, times or owners.
fn copy_file(mut from: File, to: &Path) -> io::Result<()> {
    let is_executable = from.metadata()?.permissions().mode() & 0o100 != 0;
    let mut target = OpenOptions::new().write(true).create_new(true).open(to)?;
    io::copy(&mut from, &mut target)?;
    target.set_permissions(fs::Permissions::from_mode(if is_executable { 0o755 } else { 0o644 }))
}

fn shown(name: &Path) -> String {
    name.to_string_lossy().escape_debug().to_string()
}

impl LeftOut {
    fn into_notes(self) -> Vec<String> {
        let say = |names: Vec<String>, what: &str| match names.len() {
            0 => None,
            count => {
                let more = if count > SHOWN { ", …" } else { "" };
                let names = names.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
                Some(format!("{count} {what} not copied: {names}{more}"))
            }
        };
        [
            say(self.special, "pipes, sockets or devices were"),
            say(self.unreadable, "unreadable files or folders were"),
            say(self.repositories, "repositories inside the folder had their .git"),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_told_with_the_path_and_a_way_out() {
        within_limits(SOURCE_FILES, SOURCE_BYTES, "/source").unwrap();
        for (files, bytes, limit) in [(SOURCE_FILES + 1, 0, "500000 files"), (0, SOURCE_BYTES + 1, "2048 MiB")] {
            let error = within_limits(files, bytes, "/source").unwrap_err();
            assert!(error.is_callers());
            let message = error.to_string();
            assert!(message.contains("/source") && message.contains(limit) && message.contains("smaller"), "{message}");
        }
    }

    #[test]
    fn a_file_larger_than_a_source_may_be_stops_the_copy_before_it_begins() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        fs::create_dir_all(&from).unwrap();
        fs::create_dir_all(&to).unwrap();
        File::create(from.join("sparse")).unwrap().set_len(SOURCE_BYTES + 1).unwrap();
        assert!(copy(&from, &to, &to).unwrap_err().is_callers());
        assert_eq!(fs::read_dir(&to).unwrap().count(), 0);
    }
}
