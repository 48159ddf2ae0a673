//! Old workspaces, and how much all of them may take.
//!
//! Whether an attempt still runs is what its lock says, which the kernel releases however the attempt ended. A finished
//! attempt is worth two things: its tree, to look at and to go on in, and its steps, to go on from. The tree goes first.
//! Several agents may tidy one folder; one of them at a time does. What cannot be removed is told and passed over.

use super::{
    Error, doing, files,
    lock::{Lock, try_lock},
    objects, record,
};
use crate::{
    disk::{self, Bounds},
    helper::{Empty, Helper},
    sandbox::PROBE_FOLDER,
};
use domain::JobId;
use std::{
    collections::BTreeSet,
    fs,
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

/// Jobs that have a workspace here, each with the mesh it is of.
pub fn jobs(folder: &Path) -> Vec<(JobId, String)> {
    let of = |job: PathBuf| {
        let mesh = attempts(&job).iter().find_map(|attempt| record::load(attempt))?.mesh;
        Some((name(&job).parse().ok()?, mesh))
    };
    folders(folder).into_iter().filter_map(of).collect()
}

/// Removes everything of a job that is over. Attempts that still run are left.
pub(crate) async fn remove_job(helper: &Helper, folder: &Path, job: JobId) -> Result<(), Error> {
    let job = job_folder(folder, job);
    for attempt in attempts(&job) {
        if let Some(_lock) = try_lock(&attempt.join("lock"))? {
            files::remove(helper, &attempt).await.map_err(doing(|| format!("removing {}", attempt.display())))?;
        }
    }
    // Stays while an attempt runs in it.
    let _ = fs::remove_dir(&job);
    Ok(())
}

/// Once an attempt works in `kept`: the job's other workspaces are of no use, unless somebody works there.
pub(super) async fn after_resume(helper: &Helper, folder: &Path, job: JobId, kept: &Path) -> Result<(), Error> {
    for old in attempts(&job_folder(folder, job)).into_iter().filter(|old| old != kept) {
        let Some(_lock) = try_lock(&old.join("lock"))? else { continue };
        if let Err(error) = files::remove(helper, &old).await {
            tracing::warn!(workspace = %old.display(), %error, "an old workspace cannot be removed");
        }
    }
    Ok(())
}

/// A workspace nobody works in.
struct Finished {
    folder: PathBuf,
    at: SystemTime,
    bytes: u64,
    _lock: Lock,
}

/// Keeps all workspaces in `folder` under `quota_bytes` by removing what finished longest ago; attempts that run stay,
/// whatever they take. Also finishes removals that were interrupted.
pub(crate) async fn tidy(helper: &Helper, folder: &Path, quota_bytes: u64) -> Result<Tidied, Error> {
    let mut done = Tidied::default();
    let Some(_lock) = try_lock(&folder.join("tidy.lock"))? else { return Ok(done) };
    take_in(folder);
    for probe in folders(folder).into_iter().filter(|path| name(path).starts_with(PROBE_FOLDER)) {
        let age =
            fs::metadata(&probe).and_then(|metadata| metadata.modified()).ok().and_then(|time| time.elapsed().ok());
        if age.is_some_and(|age| age > PROBE_AGE) {
            told(&probe, files::remove_all(helper, &probe).await);
        }
    }
    let (mut finished, mut used) = (Vec::new(), BTreeSet::new());
    for job in folders(folder).into_iter().filter(|path| name(path).parse::<JobId>().is_ok()) {
        for attempt in folders(&job) {
            if name(&attempt).starts_with(files::REMOVING) {
                told(&attempt, files::remove_all(helper, &attempt).await);
                continue;
            }
            if number(&attempt).is_none() {
                continue;
            }
            used.extend(record::load(&attempt).and_then(|record| record.source));
            match try_lock(&attempt.join("lock"))? {
                None => done.bytes += files::disk_bytes(helper, &attempt).await,
                Some(lock) => {
                    let bytes = measured(helper, &attempt).await;
                    done.bytes += bytes;
                    finished.push(Finished { at: last_step(&attempt), folder: attempt, bytes, _lock: lock });
                }
            }
        }
    }
    let stores = objects::tidy(folder, &used);
    done.bytes += files::measured(helper, stores).await.map_or(0, |measured| measured.bytes);
    finished.sort_by(|left, right| (left.at, &left.folder).cmp(&(right.at, &right.folder)));
    for attempt in &mut finished {
        if done.bytes <= quota_bytes {
            return Ok(done);
        }
        if attempt.folder.join("tree").exists() && told(&attempt.folder, remove_files(helper, &attempt.folder).await) {
            let left = measured(helper, &attempt.folder).await;
            done.bytes = done.bytes.saturating_sub(attempt.bytes.saturating_sub(left));
            attempt.bytes = left;
            done.removed += 1;
        }
    }
    for attempt in &finished {
        if done.bytes <= quota_bytes {
            break;
        }
        if told(&attempt.folder, files::remove(helper, &attempt.folder).await) {
            if let Some(job) = attempt.folder.parent() {
                let _ = fs::remove_dir(job);
            }
            done.bytes = done.bytes.saturating_sub(attempt.bytes);
            done.removed += 1;
        }
    }
    Ok(done)
}

/// Earlier versions gave each agent a folder of its own in here, `agent-1` and so on. Its workspaces count like the others.
fn take_in(folder: &Path) {
    for own in folders(folder).into_iter().filter(|path| name(path).starts_with("agent-")) {
        for job in folders(&own).into_iter().filter(|job| name(job).parse::<JobId>().is_ok()) {
            // A job that is here already keeps what is here.
            let _ = fs::rename(&job, folder.join(name(&job)));
        }
        // Stays while there is anything else in it.
        let _ = fs::remove_dir(&own);
    }
}

pub(super) fn make_room(folder: &Path, bounds: Bounds) {
    let has_room = || disk::check(folder, bounds).is_ok();
    if has_room() {
        return;
    }
    let jobs = folders(folder).into_iter().filter(|path| name(path).parse::<JobId>().is_ok());
    let mut finished: Vec<_> =
        jobs.flat_map(|job| folders(&job)).map(|attempt| (last_step(&attempt), attempt)).collect();
    finished.sort();
    for (_, attempt) in finished {
        if has_room() {
            return;
        }
        let Ok(Some(_lock)) = try_lock(&attempt.join("lock")) else { continue };
        tracing::warn!(workspace = %attempt.display(), "its files are removed, because the disk has too little room left");
        told(&attempt, Empty { folders: files::tools_folders(&attempt) }.carry_out());
        // Without its tree it is not taken over, but made anew from its steps.
        let _ = fs::remove_dir(attempt.join("tree"));
    }
}

/// Whether it worked. What did not is tried again next time.
fn told(path: &Path, removed: std::io::Result<()>) -> bool {
    if let Err(error) = &removed {
        tracing::warn!(workspace = %path.display(), %error, "an old workspace cannot be removed");
    }
    removed.is_ok()
}

/// Leaves the steps.
async fn remove_files(helper: &Helper, attempt: &Path) -> std::io::Result<()> {
    files::remove_tools_folders(helper, attempt).await?;
    let _ = fs::remove_file(attempt.join("bytes"));
    Ok(())
}

/// A finished attempt does not change any more, so it is measured once.
async fn measured(helper: &Helper, attempt: &Path) -> u64 {
    let known = attempt.join("bytes");
    let is_fresh = || fs::metadata(&known).ok()?.modified().ok().map(|at| at >= last_step(attempt));
    if is_fresh().unwrap_or(false)
        && let Some(bytes) = fs::read_to_string(&known).ok().and_then(|text| text.parse().ok())
    {
        return bytes;
    }
    let bytes = files::disk_bytes(helper, attempt).await;
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

pub(super) fn folders(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path()).collect()
}

pub(super) fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

pub(super) fn number(attempt: &Path) -> Option<u32> {
    name(attempt).parse().ok()
}
