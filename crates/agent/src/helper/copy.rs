//! Copies a plain folder. It may hold anything; only folders, regular files and links are taken.

use super::{
    Error,
    folder::{Folder, Kind, shown},
    joined,
};
use std::{
    ffi::{OsStr, OsString},
    io,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::Path,
};

/// Files of a source, at most: beyond that a job spends its time on copying.
pub(super) const SOURCE_FILES: u64 = 500_000;
/// Bytes of a source, at most, without its history: 2 GiB, for the same reason.
pub(crate) const SOURCE_BYTES: u64 = 2 << 30;
/// Folders within folders. It bounds the descriptors that are open at once.
const DEPTH: usize = 256;
/// How many names a note shows.
const SHOWN: usize = 5;

/// Folders that people keep keys and tokens in. They are never copied, wherever they lie.
const SECRETS: &[&str] = &[
    ".ssh",
    ".gnupg",
    ".aws",
    ".azure",
    ".kube",
    ".docker",
    ".gcloud",
    ".oci",
    ".fly",
    ".pulumi",
    ".netlify",
    ".password-store",
    ".mozilla",
    ".thunderbird",
];
/// The same by the end of their path.
const SECRETS_BELOW: &[&str] = &[
    ".config/gcloud",
    ".config/gh",
    ".config/hub",
    ".config/op",
    ".config/doctl",
    ".config/devmesh",
    ".config/rclone",
    ".local/share/keyrings",
    ".local/share/devmesh",
    ".terraform.d/credentials.tfrc.json",
];

/// Whether a folder is known to hold secrets, by its path.
pub(crate) fn is_secret(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default();
    SECRETS.iter().any(|secret| name == *secret) || SECRETS_BELOW.iter().any(|end| path.ends_with(end))
}

/// What was left out, by reason.
#[derive(Default)]
struct LeftOut {
    special: Vec<String>,
    unreadable: Vec<String>,
    repositories: Vec<String>,
    secrets: Vec<String>,
    deep: Vec<String>,
}

struct Frame {
    from: Folder,
    to: Folder,
    path: Vec<u8>,
    names: Vec<OsString>,
}

/// Copies what is in `from` into the empty folder `to`, except for `without` and what it holds. Returns notes.
pub(super) fn copy(from: &Path, to: &Path, without: &[std::path::PathBuf]) -> Result<Vec<String>, Error> {
    let unusable =
        |error: io::Error| Error::Refused(format!("the folder `{}` cannot be read: {error}", from.display()));
    let identity = |path: &std::path::PathBuf| std::fs::metadata(path).ok().map(|found| (found.dev(), found.ino()));
    let without: Vec<(u64, u64)> = without.iter().filter_map(identity).collect();
    let mut left_out = LeftOut::default();
    let (mut files, mut bytes) = (0_u64, 0_u64);
    let top = Folder::open(from).map_err(unusable)?;
    let names = top.names().map_err(unusable)?;
    let target = Folder::open(to).map_err(Error::doing("opening the tree"))?;
    let mut frames = vec![Frame { from: top, to: target, path: Vec::new(), names }];
    let depth_left = |frames: &[Frame]| frames.len() < DEPTH;
    while let Some(frame) = frames.last_mut() {
        let Some(name) = frame.names.pop() else {
            frames.pop();
            continue;
        };
        let path = joined(&frame.path, name.as_bytes());
        let look = match frame.from.look(&name) {
            Ok(look) => look,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(_) => {
                left_out.unreadable.push(shown(&path));
                continue;
            }
        };
        if name == ".git" {
            // Its hooks and configuration would be run by whoever uses git there.
            left_out.repositories.push(shown(&path));
            continue;
        }
        if is_secret(&from.join(OsStr::from_bytes(&path))) {
            left_out.secrets.push(shown(&path));
            continue;
        }
        let copying = |error: io::Error| Error::Failed(format!("copying `{}`: {error}", shown(&path)));
        match look.kind {
            Kind::Folder => {
                let below = match frame.from.enter(&name).and_then(|below| Ok((below.names()?, below))) {
                    Ok((names, below)) => (names, below),
                    Err(_) => {
                        left_out.unreadable.push(shown(&path));
                        continue;
                    }
                };
                if below.1.identity().is_ok_and(|identity| without.contains(&identity)) {
                    continue;
                }
                if !depth_left(&frames) {
                    left_out.deep.push(shown(&path[..path.len().min(80)]));
                    continue;
                }
                let Some(frame) = frames.last() else { break };
                frame.to.make_folder(&name).map_err(copying)?;
                let to = frame.to.enter(&name).map_err(copying)?;
                frames.push(Frame { from: below.1, to, path, names: below.0 });
                continue;
            }
            Kind::Special => {
                left_out.special.push(shown(&path));
                continue;
            }
            Kind::File | Kind::Link => {}
        }
        files += 1;
        bytes = bytes.saturating_add(if look.kind == Kind::File { look.bytes } else { 0 });
        within_limits(files, bytes, &from.display().to_string())?;
        if look.kind == Kind::Link {
            let link = frame.from.link(&name).map_err(copying)?;
            frame.to.make_link(&name, &link).map_err(copying)?;
            continue;
        }
        match frame.from.file(&name) {
            Ok(mut file) => {
                // Content and whether it can be executed; no other rights, times or owners. The blocks are shared where
                // the file system can.
                let mut target = frame.to.make_file(&name, look.is_executable).map_err(copying)?;
                io::copy(&mut file, &mut target).map_err(copying)?;
            }
            Err(_) => left_out.unreadable.push(shown(&path)),
        }
    }
    Ok(left_out.into_notes())
}

/// The limits of a source, the same for folders and repositories.
pub(super) fn within_limits(files: u64, bytes: u64, path: &str) -> Result<(), Error> {
    if files > SOURCE_FILES {
        return Err(Error::Refused(format!(
            "`{path}` has more than {SOURCE_FILES} files; give a smaller folder or repository"
        )));
    }
    if bytes > SOURCE_BYTES {
        let mebibytes = SOURCE_BYTES >> 20;
        return Err(Error::Refused(format!(
            "the files in `{path}` have more than {mebibytes} MiB; give a smaller folder or repository"
        )));
    }
    Ok(())
}

impl LeftOut {
    fn into_notes(mut self) -> Vec<String> {
        let say = |names: &mut Vec<String>, what: &str| {
            names.sort_unstable();
            match names.len() {
                0 => None,
                count => {
                    let more = if count > SHOWN { ", …" } else { "" };
                    let names = names.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
                    Some(format!("{count} {what} not copied: {names}{more}"))
                }
            }
        };
        [
            say(&mut self.special, "pipes, sockets or devices were"),
            say(&mut self.unreadable, "unreadable files or folders were"),
            say(&mut self.repositories, "repositories inside the folder had their .git"),
            say(&mut self.secrets, "folders that are known to hold secrets were"),
            say(&mut self.deep, &format!("folders nested deeper than {DEPTH} were")),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File};

    #[test]
    fn limits_are_told_with_the_path_and_a_way_out() {
        within_limits(SOURCE_FILES, SOURCE_BYTES, "/source").unwrap();
        for (files, bytes, limit) in [(SOURCE_FILES + 1, 0, "500000 files"), (0, SOURCE_BYTES + 1, "2048 MiB")] {
            let Err(Error::Refused(message)) = within_limits(files, bytes, "/source") else { panic!("not refused") };
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
        assert!(matches!(copy(&from, &to, &[]), Err(Error::Refused(_))));
        assert_eq!(fs::read_dir(&to).unwrap().count(), 0);
    }

    #[test]
    fn what_is_known_to_hold_secrets_is_left_and_told() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        for path in [".ssh", ".config/gcloud", ".config/app", "sub/.aws", "kept"] {
            fs::create_dir_all(from.join(path)).unwrap();
            fs::write(from.join(path).join("file"), "x").unwrap();
        }
        fs::create_dir_all(&to).unwrap();
        let notes = copy(&from, &to, &[]).unwrap();
        assert_eq!(notes, ["3 folders that are known to hold secrets were not copied: .config/gcloud, .ssh, sub/.aws"]);
        assert!(to.join("kept/file").exists() && to.join(".config/app/file").exists());
        assert!(!to.join(".ssh").exists() && !to.join("sub/.aws").exists());
    }
}
