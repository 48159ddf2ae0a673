//! Making a data folder out of a backup.

use super::{
    FORMAT, LostArtifacts, MANIFEST, MANIFEST_BYTES, Manifest, blob_name, digest_of,
    entries::{Entries, Entry, Flowing},
    parse_manifest,
};
use crate::{
    ArtifactRow, BLOB_FOLDER, Condition, DATABASE_FILE, Error, LOCK_FILE, RESERVE_FILE, RESTORING_FOLDER, Store,
    folder::{Folder, make_folder, sync_folder},
    limits, sqlite,
};
use domain::Epoch;
use sha2::{Digest, Sha256};
use std::{
    collections::HashSet,
    fs::{File, OpenOptions},
    io::{self, Cursor, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// Damaged files an archive is remembered to have, by digest; of more it is only known that they are not there.
const REMEMBERED: usize = 10_000;
/// Content on its way, until it was compared with its digest.
const INCOMING: &str = ".incoming";

#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    #[error("this is no backup of devmesh; nothing was restored. `devmesh backup FILE` makes one")]
    NotABackup,
    /// Not a backup, or one somebody tampered with.
    #[error("the archive holds `{0}`, which no backup of devmesh does; nothing was restored")]
    UnknownEntry(String),
    #[error("`{0}` in the archive is damaged; nothing was restored. Use another copy of the backup, or an earlier one")]
    Damaged(String),
    #[error(
        "the archive ends before its manifest: it was cut while it was made or copied; nothing was restored. Use another copy of it"
    )]
    Incomplete,
    #[error(
        "the archive has format {found} and this build reads format {known}; use the build that wrote it, or a newer one"
    )]
    Newer { found: u32, known: u32 },
    #[error("the archive could not be read or unpacked: {0}")]
    Io(#[from] io::Error),
    #[error(transparent)]
    Store(#[from] Error),
}

/// A backup that was unpacked beside where it belongs. The folder is held, and counts for nothing until [`Self::finish`]. Dropped,
/// it is empty again.
#[derive(Debug)]
pub struct Unpacked {
    staging: Staging,
    /// Before the folder is given free.
    folder: Folder,
    /// `None` where the archive's own list was damaged.
    pub manifest: Option<Manifest>,
    /// Whether the database is not bit for bit what was backed up, although SQLite finds nothing wrong with it. `None` where no
    /// digest of it came along.
    pub is_database_changed: Option<bool>,
    /// Digests of files that were not what they should be, and were left out.
    damaged: HashSet<String>,
}

/// Unpacks an archive for `folder`, which must be empty or absent, under a new epoch. What an earlier restore left there that was
/// killed is cleared away. All of the archive is read and checked before any of it counts; content that is damaged is left out.
pub fn unpack(archive: impl Read, folder: &Path, epoch: Epoch) -> Result<Unpacked, RestoreError> {
    sqlite::connection::assert_safe_sqlite()?;
    let folder = Folder::claim(folder)?;
    let staging = Staging::begin(&folder)?;
    let Found { manifest, database_sha256, damaged } = read(archive, &staging.0)?;
    let is_database_changed = manifest
        .as_ref()
        .and_then(|manifest| manifest.database_sha256.as_ref())
        .map(|recorded| *recorded != database_sha256);
    sqlite::adopt_copy(&staging.0.join(DATABASE_FILE), epoch).map_err(|error| match error {
        Error::Corrupt(detail) => RestoreError::Damaged(format!("{DATABASE_FILE} ({detail})")),
        other => other.into(),
    })?;
    Ok(Unpacked { staging, folder, manifest, is_database_changed, damaged })
}

impl Unpacked {
    /// A data folder of its own, to be put in order before it counts. It must be closed again by then.
    pub fn staging(&self) -> &Path {
        &self.staging.0
    }

    /// What the database names and the archive did not bring. `store` is the open [`Self::staging`].
    pub async fn lost(&self, store: &Store) -> Result<LostArtifacts, Error> {
        let mut lost = LostArtifacts::default();
        let mut after = None;
        loop {
            let page = store.named_content(after, limits::ROWS_PER_PAGE).await?;
            for row in &page {
                let condition = match store.blobs().glance(&row.sha256, row.bytes).await? {
                    Condition::Whole => continue,
                    Condition::Missing if self.damaged.contains(&row.sha256) => {
                        Condition::Damaged("it is not what was stored".to_owned())
                    }
                    condition => condition,
                };
                lost.add(row, &condition);
            }
            after = page.last().map(ArtifactRow::place);
            if after.is_none() {
                return Ok(lost);
            }
        }
    }

    /// Puts everything in its place, the database last: until then the folder is none that anything starts on.
    pub fn finish(self) -> Result<(), Error> {
        let (staging, folder) = (&self.staging.0, self.folder.path());
        sqlite::settle_database(staging)?;
        sync_content(&staging.join(BLOB_FOLDER))?;
        move_up(staging, folder, BLOB_FOLDER)?;
        for entry in std::fs::read_dir(staging).map_err(Error::file(staging, "listed"))? {
            let name = entry.map_err(Error::file(staging, "listed"))?.file_name();
            if let Some(name) = name.to_str().filter(|name| !is_of_the_process(name) && *name != DATABASE_FILE) {
                move_up(staging, folder, name)?;
            }
        }
        sync_folder(folder)?;
        move_up(staging, folder, DATABASE_FILE)?;
        sync_folder(folder)
    }
}

/// What an open folder has beside what it keeps.
fn is_of_the_process(name: &str) -> bool {
    name == LOCK_FILE || name == RESERVE_FILE || name.starts_with(&format!("{DATABASE_FILE}-"))
}

fn move_up(from: &Path, to: &Path, name: &str) -> Result<(), Error> {
    std::fs::rename(from.join(name), to.join(name)).map_err(Error::file(to.join(name), "put in place"))
}

/// The files are on disk already; their names are not.
fn sync_content(blobs: &Path) -> Result<(), Error> {
    for entry in std::fs::read_dir(blobs).map_err(Error::file(blobs, "listed"))? {
        let path = entry.map_err(Error::file(blobs, "listed"))?.path();
        if path.is_dir() {
            sync_folder(&path)?;
        }
    }
    sync_folder(blobs)
}

/// Lies inside the folder, so that it is on the same file system and also works where only that one is writable. While it is
/// there and the database is not, the folder is a restore that was not finished.
#[derive(Debug)]
struct Staging(PathBuf);

impl Staging {
    fn begin(folder: &Folder) -> Result<Self, Error> {
        let path = folder.path().join(RESTORING_FOLDER);
        if folder.is_half_restored() {
            clear(&path)?;
            clear(&folder.blobs())?;
        } else if let Some(entry) = folder.first_entry()? {
            return Err(Error::FolderNotEmpty { folder: folder.path().to_owned(), entry });
        }
        make_folder(&path)?;
        let staging = Self(path);
        make_folder(&staging.0.join(BLOB_FOLDER))?;
        Ok(staging)
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // What cannot be removed now is removed by the next start or the next try.
        let _ = clear(&self.0);
    }
}

fn clear(folder: &Path) -> Result<(), Error> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::file(folder, "removed")(error)),
        _ => Ok(()),
    }
}

struct Found {
    manifest: Option<Manifest>,
    database_sha256: String,
    damaged: HashSet<String>,
}

/// What was read up to now.
#[derive(Default)]
struct Reading {
    manifest: Option<Manifest>,
    is_manifest_damaged: bool,
    database_sha256: Option<String>,
    damaged: HashSet<String>,
    /// Whether anything of ours was met.
    is_ours: bool,
}

fn read(archive: impl Read, staging: &Path) -> Result<Found, RestoreError> {
    let mut entries = Entries::flowing(archive);
    let mut reading = Reading::default();
    while let Some(Entry { name, is_file }) = entries.next_entry()? {
        let unknown = || RestoreError::UnknownEntry(name.chars().take(128).collect());
        if !is_file {
            return Err(unknown());
        }
        // Names are compared with the ones we write and never joined to a path as they come.
        if let Some(sha256) = digest_of(&name) {
            reading.blob(&mut entries, sha256, staging)?;
        } else if name == MANIFEST {
            reading.manifest(&mut entries)?;
        } else if name == DATABASE_FILE && reading.database_sha256.is_none() {
            reading.database_sha256 = Some(write(entries.content(), &staging.join(DATABASE_FILE))?);
        } else {
            return Err(unknown());
        }
        reading.is_ours = true;
        if entries.has_more() {
            return Err(RestoreError::Incomplete);
        }
    }
    if let Some(manifest) = reading.manifest.as_ref().filter(|manifest| manifest.format > FORMAT) {
        return Err(RestoreError::Newer { found: manifest.format, known: FORMAT });
    }
    // An archive that goes on to its end mark was not cut: its list was damaged.
    let is_list_damaged = reading.is_manifest_damaged || entries.is_damaged();
    let is_whole = reading.manifest.is_some() || (entries.is_ended() && is_list_damaged);
    match reading.database_sha256 {
        _ if !reading.is_ours => Err(RestoreError::NotABackup),
        _ if !is_whole => Err(RestoreError::Incomplete),
        None => Err(RestoreError::Damaged(DATABASE_FILE.to_owned())),
        Some(database_sha256) => Ok(Found { manifest: reading.manifest, database_sha256, damaged: reading.damaged }),
    }
}

impl Reading {
    fn blob(
        &mut self,
        entries: &mut Entries<Flowing<impl Read>>,
        sha256: &str,
        staging: &Path,
    ) -> Result<(), RestoreError> {
        let (incoming, file) = (staging.join(INCOMING), staging.join(blob_name(sha256)));
        let is_whole = write(entries.content(), &incoming)? == sha256;
        if is_whole {
            if let Some(folder) = file.parent() {
                make_folder(folder)?;
            }
            std::fs::rename(incoming, file)?;
            // One that stood before it was that of an archive inside a damaged file.
            self.manifest = None;
            return Ok(());
        }
        let content = File::open(&incoming)?;
        std::fs::remove_file(incoming)?;
        if !entries.is_in_step() {
            entries.put_back(content);
        } else if self.damaged.len() < REMEMBERED {
            self.damaged.insert(sha256.to_owned());
        }
        Ok(())
    }

    /// The last one counts.
    fn manifest(&mut self, entries: &mut Entries<Flowing<impl Read>>) -> Result<(), RestoreError> {
        let mut text = Vec::new();
        entries.content().take(MANIFEST_BYTES).read_to_end(&mut text)?;
        match parse_manifest(&text) {
            Ok(manifest) if entries.is_in_step() || self.agrees_with(&manifest) => self.manifest = Some(manifest),
            _ if !entries.is_in_step() => entries.put_back(Cursor::new(text)),
            _ => self.is_manifest_damaged = true,
        }
        Ok(())
    }

    /// Whether it may be that of this archive.
    fn agrees_with(&self, manifest: &Manifest) -> bool {
        manifest.database_sha256.is_none() || manifest.database_sha256 == self.database_sha256
    }
}

/// Writes a new private file, durably; its digest.
fn write(mut content: impl Read, path: &Path) -> io::Result<String> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 128 * 1024];
    loop {
        let read = content.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        digest.update(&buffer[..read]);
        file.write_all(&buffer[..read])?;
    }
    file.sync_all()?;
    Ok(hex::encode(digest.finalize()))
}
