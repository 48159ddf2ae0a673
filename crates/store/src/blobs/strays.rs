//! Files the table does not know: of a build without the table, or left by a power cut between a row's end and a file's.

use super::{Blobs, is_digest, shards};
use crate::{Error, operations::Answer};
use std::path::Path;

/// Files looked up at once.
const FILES: usize = 500;

/// Tells the table of every file it does not know, a folder at a time, so that what nobody names is swept. `register` takes
/// digests and lengths and says how many were new; `None` when the store is gone.
pub(crate) async fn take_up_strays(blobs: &Blobs, register: impl Fn(Vec<(String, u64)>) -> Option<Answer<usize>>) {
    for shard in shards::names() {
        let folder = blobs.shared.folder.join(shard);
        let Ok(files) = tokio::task::spawn_blocking(move || files(&folder)).await else { return };
        for files in files.chunks(FILES) {
            let Some(registered) = register(files.to_vec()) else { return };
            match registered.await {
                Ok(0) => {}
                Ok(files) => {
                    tracing::warn!(files, "stored content without a row was found; what no artifact names goes");
                    blobs.sweep();
                }
                Err(Error::Closed) => return,
                Err(error) => {
                    tracing::warn!(%error, "stored content without a row cannot be looked for; the next start tries again");
                    return;
                }
            }
        }
    }
}

/// A folder that is not there has none.
fn files(folder: &Path) -> Vec<(String, u64)> {
    let shard = folder.file_name().unwrap_or_default().as_encoded_bytes();
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let files = entries.filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        let metadata = entry.metadata().ok()?;
        let is_content = is_digest(&name) && name.as_bytes().starts_with(shard) && metadata.is_file();
        is_content.then_some((name, metadata.len()))
    });
    files.collect()
}
