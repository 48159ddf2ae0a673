//! Backups: the whole data folder as one tar archive, and back.
//!
//! ```text
//!   devmesh.db                 a consistent copy of the database
//!   blobs/ab/ab12…             the content that copy names, each under its SHA-256
//!   manifest.json              last, with what was written: an archive without it was cut
//! ```
//! - What the copy names is in the archive or listed in the manifest as lost: no content is removed while a backup is read, and
//!   its digest is compared as it is written.
//! - An archive is restored as far as it is whole. Damage costs the file it is in; what that was is said by name.
//! - Names are read from a closed list and content by its digest, so nothing in an archive can lead out of the folder.
//!
//! ```text
//!   restore:  claim the folder ─▶ .restoring/ ─▶ unpack, check, put in order ─▶ content in place ─▶ the database in place ─▶ done
//!                                  └──────────── killed: `up` refuses the folder, the next restore begins again ──────┘
//! ```

mod archive;
mod entries;
mod restore;
mod turns;

pub use archive::Archive;
pub(crate) use archive::{Copying, begin};
pub use restore::{RestoreError, Unpacked, unpack};
pub(crate) use turns::Turns;

use crate::{ArtifactRow, BLOB_FOLDER, Condition, Error};
use domain::{JobId, Timestamp};
use serde::{Deserialize, Serialize};
use std::{
    fs::File,
    io::{self, Read},
};

const MANIFEST: &str = "manifest.json";
/// Goes up when the layout of the archive changes in a way that older builds cannot read. Since 2, an archive may lack content,
/// and says which.
const FORMAT: u32 = 2;
/// Bytes of a manifest.
const MANIFEST_BYTES: u64 = 64 * 1024;
/// Artifacts a manifest or a report names: more than anybody reads, few enough for [`MANIFEST_BYTES`].
const LISTED: usize = 100;

/// What an archive says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    pub format: u32,
    /// The build that wrote it.
    pub version: String,
    pub created_at: Timestamp,
    pub database_bytes: u64,
    /// Not in format 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database_sha256: Option<String>,
    /// Files of content.
    pub blobs: u64,
    /// What was missing or damaged when the backup was made.
    #[serde(default)]
    pub lost: LostArtifacts,
}

/// Artifacts whose content is missing or damaged.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LostArtifacts {
    pub count: u64,
    /// The first of them.
    pub listed: Vec<LostArtifact>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LostArtifact {
    pub job_id: JobId,
    pub name: String,
    pub sha256: String,
    /// How it was found: "missing", or "damaged" and how that shows.
    pub condition: String,
}

impl LostArtifact {
    pub fn new(artifact: &ArtifactRow, condition: &Condition) -> Self {
        let ArtifactRow { job_id, name, sha256, .. } = artifact.clone();
        Self { job_id, name, sha256, condition: condition.to_string() }
    }
}

impl LostArtifacts {
    fn add(&mut self, artifact: &ArtifactRow, condition: &Condition) {
        self.count += 1;
        if self.listed.len() < LISTED {
            self.listed.push(LostArtifact::new(artifact, condition));
        }
    }
}

/// Reads the manifest at the end of a whole archive, passing over everything else.
pub fn manifest_of(archive: &mut File) -> Result<Manifest, RestoreError> {
    let mut entries = entries::Entries::seeking(archive);
    while let Some(entry) = entries.next_entry()? {
        if entry.name == MANIFEST && entries.is_in_step() {
            let mut text = Vec::new();
            entries.content().take(MANIFEST_BYTES).read_to_end(&mut text)?;
            return parse_manifest(&text);
        }
    }
    Err(RestoreError::Incomplete)
}

fn parse_manifest(text: &[u8]) -> Result<Manifest, RestoreError> {
    serde_json::from_slice(text).map_err(|_| RestoreError::Damaged(MANIFEST.to_owned()))
}

/// `blobs/ab/ab12…` of a digest.
fn blob_name(sha256: &str) -> String {
    format!("{BLOB_FOLDER}/{}/{sha256}", &sha256[..2])
}

/// The digest of a name that is exactly `blobs/ab/ab12…`.
fn digest_of(name: &str) -> Option<&str> {
    let sha256 = name.rsplit('/').next()?;
    (crate::blobs::is_digest(sha256) && name == blob_name(sha256)).then_some(sha256)
}

fn as_io(error: Error) -> io::Error {
    io::Error::other(error)
}
