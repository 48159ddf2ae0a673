//! Old workspaces, and how much all of them may take.
//!
//! Whether an attempt still runs is what its lock says, which the kernel releases however the attempt ended. A finished
//! attempt is worth two things: its tree, to look at, and its steps, to go on from. The tree goes first.

use super::{Error, blocking, doing, files};
use crate::sandbox::PROBE_FOLDER;
use domain::JobId;
use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

/// A probe of the sandbox takes a second. What is older than this was left by one that was killed.
const PROBE_AGE: Duration = Duration::from_secs(3600);

/// What [`tidy`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tidied {
    /// Attempts that lost their files or all they had.
    pub removed: usize,
    /// What is left, in bytes on the disk.
    pub bytes: u64,
}

pub(super) fn job_folder(folder: &Path, job: JobId) -> PathBuf {
    folder.join(job.to_string())
}

pub(super) fn attempt_folder(folder: &Path, job: JobId, attempt: u32) -> PathBuf {
    job_folder(folder, job).join(attempt.to_string())
}

/// The lock of an attempt, held until dropped.
#[derive(Debug)]
pub(super) struct Lock(File);

impl Drop for Lock {
    /// Closing is not enough: a command that is just being started has its copy of the file until it becomes the command.
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}

/// Takes the lock of an attempt; `None` when somebody has it.
pub(super) fn lock(attempt: &Path) -> Result<Option<Lock>, Error> {
    let path = attempt.join("lock");
    let failed = || format!("locking {}", path.display());
    let file = File::options().write(true).create(true).truncate(false).open(&path).map_err(doing(failed))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(Lock(file))),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(doing(failed)(error)),
    }
}

/// Keeps all workspaces in `folder` under `quota_bytes` by removing what finished longest ago; attempts that run stay,
/// whatever they take. Also finishes removals that were interrupted.
pub async fn tidy(folder: &Path, quota_bytes: u64) -> Result<Tidied, Error> {
    let folder = folder.to_path_buf();
    blocking(move || tidy_now(&folder, quota_bytes)).await?
}

/// Removes everything of a job that is over. Attempts that still run are left.
pub async fn remove_job(folder: &Path, job: JobId) -> Result<(), Error> {
    let job = job_folder(folder, job);
    blocking(move || {
        for attempt in attempts(&job) {
            if let Some(_lock) = lock(&attempt)? {
                files::remove(&attempt).map_err(removing(&attempt))?;
            }
        }
        // Stays while an attempt runs in it.
        let _ = fs::remove_dir(&job);
        Ok(())
    })
    .await?
}

/// Once an attempt went on from the steps at `location`: older attempts are of no use, and of that one only its steps
/// are, until this one has made one of its own.
pub(super) async fn after_resume(folder: &Path, job: JobId, attempt: u32, location: &Path) -> Result<(), Error> {
    let job = job_folder(folder, job);
    let resumed = location.parent().map(Path::to_path_buf);
    blocking(move || {
        for old in attempts(&job).into_iter().filter(|old| number(old).is_some_and(|number| number < attempt)) {
            let Some(_lock) = lock(&old)? else { continue };
            match Some(&old) == resumed.as_ref() {
                true => remove_files(&old)?,
                false => files::remove(&old).map_err(removing(&old))?,
            }
        }
        Ok(())
    })
    .await?
}

fn tidy_now(folder: &Path, quota_bytes: u64) -> Result<Tidied, Error> {
    let mut done = Tidied::default();
    let mut finished = Vec::new();
    for probe in folders(folder).into_iter().filter(|path| name(path).starts_with(PROBE_FOLDER)) {
        let age =
            fs::metadata(&probe).and_then(|metadata| metadata.modified()).ok().and_then(|time| time.elapsed().ok());
        if age.is_some_and(|age| age > PROBE_AGE) {
            files::remove_all(&probe).map_err(removing(&probe))?;
        }
    }
    for job in folders(folder).into_iter().filter(|path| name(path).parse::<JobId>().is_ok()) {
        for attempt in folders(&job) {
            if name(&attempt).starts_with(files::REMOVING) {
                files::remove_all(&attempt).map_err(removing(&attempt))?;
                continue;
            }
            if number(&attempt).is_none() {
                continue;
            }
            match lock(&attempt)? {
                None => done.bytes += files::disk_bytes(&attempt),
                Some(lock) => {
                    let bytes = measured(&attempt);
                    done.bytes += bytes;
                    finished.push((last_step(&attempt), attempt, bytes, lock));
                }
            }
        }
    }
    finished.sort_by(|left, right| (left.0, &left.1).cmp(&(right.0, &right.1)));
    for (_, attempt, bytes, _lock) in &mut finished {
        if done.bytes <= quota_bytes {
            return Ok(done);
        }
        if attempt.join("tree").exists() {
            remove_files(attempt)?;
            let left = measured(attempt);
            done.bytes = done.bytes.saturating_sub(bytes.saturating_sub(left));
            *bytes = left;
            done.removed += 1;
        }
    }
    for (_, attempt, bytes, _lock) in &finished {
        if done.bytes <= quota_bytes {
            break;
        }
        files::remove(attempt).map_err(removing(attempt))?;
        if let Some(job) = attempt.parent() {
            let _ = fs::remove_dir(job);
        }
        done.bytes = done.bytes.saturating_sub(*bytes);
        done.removed += 1;
    }
    Ok(done)
}

/// Leaves the steps.
fn remove_files(attempt: &Path) -> Result<(), Error> {
    for folder in ["tree", "scratch"].map(|name| attempt.join(name)) {
        files::remove(&folder).map_err(removing(&folder))?;
    }
    let _ = fs::remove_file(attempt.join("bytes"));
    Ok(())
}

/// A finished attempt does not change any more, so it is measured once.
fn measured(attempt: &Path) -> u64 {
    let known = attempt.join("bytes");
    if let Some(bytes) = fs::read_to_string(&known).ok().and_then(|text| text.parse().ok()) {
        return bytes;
    }
    let bytes = files::disk_bytes(attempt);
    let _ = fs::write(&known, bytes.to_string());
    bytes
}

fn last_step(attempt: &Path) -> SystemTime {
    let changed = |path: PathBuf| fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    let steps = changed(attempt.join("git/refs/devmesh/steps"));
    steps.or_else(|| changed(attempt.to_path_buf())).unwrap_or(SystemTime::UNIX_EPOCH)
}

fn attempts(job: &Path) -> Vec<PathBuf> {
    folders(job).into_iter().filter(|path| number(path).is_some()).collect()
}

fn folders(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path()).collect()
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn number(attempt: &Path) -> Option<u32> {
    name(attempt).parse().ok()
}

fn removing(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.display().to_string();
    doing(move || format!("removing {path}"))
}
