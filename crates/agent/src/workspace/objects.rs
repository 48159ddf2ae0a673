//! Objects of the repositories that jobs are about: fetched once for each repository and borrowed by all its workspaces.
//!
//! ```text
//!   <folder>/sources/<digest of where the repository is>/<object format>/
//!   <folder>/sources/<digest>.lock     held while something is fetched into it
//! ```
//! A copy of its own, so that a job outlives a `git gc` or the end of the user's clone, and so that commands which look
//! back see the history of the job's commit and nothing else of the repository.

use super::{
    Error, doing, files,
    lock::{Lock, lock, try_lock},
};
use crate::sandbox::Owner;
use sha2::{Digest, Sha256};
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

const FOLDER: &str = "sources";
/// Long enough for another agent to fetch the largest repository.
const PATIENCE: Duration = Duration::from_secs(15 * 60);
/// A store that no workspace borrows from is kept this long for the next job: a day.
const KEPT: Duration = Duration::from_secs(24 * 3600);

/// A store that is ours until this is dropped.
pub(super) struct Store {
    pub folder: PathBuf,
    /// What workspaces write down of it.
    pub key: String,
    _lock: Lock,
}

/// The store of the repository that `identity` names.
pub(super) async fn store(workspaces: &Path, identity: &str, owner: Option<Owner>) -> Result<Store, Error> {
    let sources = workspaces.join(FOLDER);
    let failed = || format!("making the folder {}", sources.display());
    files::make_passage(&sources).map_err(doing(failed))?;
    let key = hex::encode(&Sha256::digest(identity)[..16]);
    let lock = lock(&sources.join(format!("{key}.lock")), PATIENCE).await?;
    let lock = lock.ok_or_else(|| Error::Failed(format!("another agent keeps the objects of {identity} locked")))?;
    let folder = sources.join(&key);
    files::make_private(&folder, owner).map_err(doing(failed))?;
    Ok(Store { folder, key, _lock: lock })
}

/// Removes stores that are in nobody's use. Returns the others.
pub(super) fn tidy(workspaces: &Path, used: &BTreeSet<String>) -> Vec<PathBuf> {
    let mut kept = Vec::new();
    for store in super::tidy::folders(&workspaces.join(FOLDER)) {
        let key = super::tidy::name(&store);
        let age = fs::metadata(&store).and_then(|metadata| metadata.modified()).ok();
        let is_old = age.and_then(|time| time.elapsed().ok()).is_some_and(|age| age > KEPT);
        if !used.contains(&key)
            && is_old
            && let Ok(Some(_lock)) = try_lock(&store.with_extension("lock"))
        {
            // Only helpers wrote here, and git keeps its folders flat.
            if let Err(error) = fs::remove_dir_all(&store) {
                tracing::warn!(store = %store.display(), %error, "objects nobody uses cannot be removed");
            }
            continue;
        }
        kept.push(store);
    }
    kept
}
