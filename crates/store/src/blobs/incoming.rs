//! Content on its way in.

use crate::{Error, folder::sync_folder};
use std::{
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};
use tokio::{fs::File, io::AsyncWriteExt};

const INCOMING: &str = ".incoming-";

/// A file that disappears unless it is kept.
pub(super) struct Incoming {
    path: PathBuf,
    file: Option<File>,
}

/// Removes what a process that died was about to store.
pub(super) fn remove_left(folder: &Path) -> Result<(), Error> {
    for entry in std::fs::read_dir(folder).map_err(Error::file(folder, "listed"))? {
        let entry = entry.map_err(Error::file(folder, "listed"))?;
        if entry.file_name().as_encoded_bytes().starts_with(INCOMING.as_bytes()) {
            std::fs::remove_file(entry.path()).map_err(Error::file(entry.path(), "removed"))?;
        }
    }
    Ok(())
}

impl Incoming {
    pub(super) async fn create(folder: &Path, number: u64) -> Result<Self, Error> {
        let path = folder.join(format!("{INCOMING}{number}"));
        // Made whole where it is opened: a caller that leaves meanwhile leaves no file, because what comes of it is dropped.
        let made = tokio::task::spawn_blocking(move || {
            let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
            let file = file.map_err(Error::written(&path, "created"))?;
            Ok(Self { path, file: Some(File::from_std(file)) })
        });
        made.await.map_err(|_| Error::Closed)?
    }

    pub(super) async fn write(&mut self, chunk: &[u8]) -> Result<(), Error> {
        match &mut self.file {
            Some(file) => file.write_all(chunk).await.map_err(Error::written(&self.path, "written")),
            None => Ok(()),
        }
    }

    pub(super) async fn sync(mut self) -> Result<Self, Error> {
        if let Some(mut file) = self.file.take() {
            file.flush().await.map_err(Error::written(&self.path, "written"))?;
            file.sync_all().await.map_err(Error::written(&self.path, "synced"))?;
        }
        Ok(self)
    }

    /// Gives it its name in `folder`, for good.
    pub(super) fn keep(mut self, folder: &Path, name: &str) -> Result<(), Error> {
        let path = folder.join(name);
        std::fs::rename(&self.path, &path).map_err(Error::written(&path, "put in place"))?;
        self.path = PathBuf::new(); // nothing left to remove
        sync_folder(folder)
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if !self.path.as_os_str().is_empty() {
            // What cannot be removed now is removed at the next start.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
