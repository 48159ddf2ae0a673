//! Backups: the whole data folder as one tar archive, and back.
//!
//! ```text
//!   devmesh.db                 a consistent copy of the database
//!   blobs/ab/ab12…             every artifact's content, named by its SHA-256
//!   manifest.json              last, with what was written: an archive without it was cut
//! ```
//! Restoring reads names from a closed list and content by its digest, so nothing in an archive can lead out of the
//! folder, and nothing that was damaged comes back.

mod archive;
mod restore;

pub use archive::stream;
pub use restore::{RestoreError, Restored, restore};

const MANIFEST: &str = "manifest.json";
/// Goes up when the layout of the archive changes in a way that older builds cannot read.
const FORMAT: u32 = 1;

#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
struct Manifest {
    format: u32,
    /// The build that wrote it.
    version: String,
    created_at: domain::Timestamp,
    database_bytes: u64,
    blobs: u64,
}

/// `blobs/ab/ab12…` of a digest.
fn blob_name(sha256: &str) -> String {
    format!("{}/{}/{sha256}", store::BLOB_FOLDER, &sha256[..2])
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest, Sha256};
    use std::{fs::File, io::Write, path::Path};

    fn entry(archive: &mut tar::Builder<File>, name: &[u8], kind: tar::EntryType, content: &[u8]) {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(content.len() as u64);
        header.set_mode(0o600);
        // Written as bytes, because the library refuses to write what an attacker would.
        header.as_old_mut().name[..name.len()].copy_from_slice(name);
        if kind == tar::EntryType::Symlink {
            header.set_link_name("/etc/passwd").unwrap();
        }
        header.set_cksum();
        archive.append(&header, content).unwrap();
    }

    fn archive(file: &Path, entries: &[(&[u8], tar::EntryType, &[u8])]) {
        let mut archive = tar::Builder::new(File::create(file).unwrap());
        for (name, kind, content) in entries {
            entry(&mut archive, name, *kind, content);
        }
        archive.into_inner().unwrap().flush().unwrap();
    }

    #[test]
    fn nothing_in_an_archive_leads_out_of_the_folder() {
        let outside = tempfile::tempdir().unwrap();
        let digest = hex::encode(Sha256::digest(b"content"));
        let blob = blob_name(&digest);
        let file = tar::EntryType::Regular;
        let hostile: &[(&[u8], tar::EntryType)] = &[
            (b"../escaped", file),
            (b"/tmp/devmesh-escaped", file),
            (b"blobs/../../escaped", file),
            (b"blobs/ab/../../../escaped", file),
            (b"./devmesh.db", file),
            (b"blobs/ab/short", file),
            (b"devmesh.lock", file),
            (b"devmesh.db", tar::EntryType::Symlink),
            (b"devmesh.db", tar::EntryType::Link),
            (blob.as_bytes(), tar::EntryType::Symlink),
            (b"blobs", tar::EntryType::Directory),
        ];
        for (number, (name, kind)) in hostile.iter().enumerate() {
            let path = outside.path().join(format!("{number}.tar"));
            let folder = outside.path().join(format!("folder-{number}"));
            archive(&path, &[(name, *kind, b"")]);
            let refused = restore(File::open(&path).unwrap(), &folder, domain::Epoch(1)).unwrap_err();
            assert!(matches!(refused, RestoreError::UnknownEntry(_)), "{}: {refused}", String::from_utf8_lossy(name));
            assert!(!folder.join("devmesh.db").exists());
        }
        assert!(!outside.path().join("escaped").exists());
    }

    #[test]
    fn changed_content_and_cut_archives_are_refused() {
        let outside = tempfile::tempdir().unwrap();
        let blob = blob_name(&hex::encode(Sha256::digest(b"content")));
        let file = tar::EntryType::Regular;

        let path = outside.path().join("changed.tar");
        archive(&path, &[(b"devmesh.db", file, b"x"), (blob.as_bytes(), file, b"contend")]);
        let refused = restore(File::open(&path).unwrap(), &outside.path().join("a"), domain::Epoch(1)).unwrap_err();
        assert!(matches!(refused, RestoreError::Damaged(_)), "{refused}");

        let path = outside.path().join("cut.tar");
        archive(&path, &[(b"devmesh.db", file, b"x"), (blob.as_bytes(), file, b"content")]);
        let refused = restore(File::open(&path).unwrap(), &outside.path().join("b"), domain::Epoch(1)).unwrap_err();
        assert!(matches!(refused, RestoreError::Incomplete), "{refused}");
        assert!(!outside.path().join("b/.restoring").exists(), "nothing half-done stays");
    }
}
