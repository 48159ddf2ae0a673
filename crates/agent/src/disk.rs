//! Room on the disk: a command may not take what the mesh needs to go on, nor more than a job's share.
//!
//! ```text
//!   before a command   free ≥ reserve? ── no ──▶ the attempt fails; somebody has to make room
//!   while it runs      every 100 ms: free < reserve, or the job's files over their share ──▶ it is stopped
//!   after that         files go back to the last step; still no room: what no step holds goes too
//! ```

use crate::workspace::Workspace;
use nix::sys::statvfs::statvfs;
use std::{path::Path, time::Duration};
use tokio::time::{Instant, sleep};

/// Between two looks. A fast disk writes some 300 MiB meanwhile, which the reserve is for.
const PAUSE: Duration = Duration::from_millis(100);
/// Between two walks over the job's files, which cost time.
const WALK_PAUSE: Duration = Duration::from_secs(3);
/// On a small disk the reserve is at most this part of it.
const RESERVE_PART: u64 = 20;

/// Files that can still be made, at the least: what everybody else makes in a day.
const RESERVE_FILES: u64 = 10_000;

/// What commands have to leave, and may take. In bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Free space that is left on the disk of the workspaces. Default 1 GiB, at most a twentieth of the disk.
    pub reserve_bytes: u64,
    /// What the files of one job may take. Default 20 GiB: a large checkout with its build outputs.
    pub job_bytes: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { reserve_bytes: 1 << 30, job_bytes: 20 << 30 }
    }
}

/// Why there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    Disk {
        free_bytes: u64,
        reserve_bytes: u64,
    },
    /// No more files can be made, whatever room there is.
    Files {
        free: u64,
    },
    Share {
        bytes: u64,
        most_bytes: u64,
    },
}

impl Full {
    /// What happened, for people and the model.
    pub fn describe(self) -> String {
        match self {
            Self::Disk { free_bytes, reserve_bytes } => format!(
                "the disk has {} MiB left, and commands have to leave {} MiB",
                free_bytes >> 20,
                reserve_bytes >> 20
            ),
            Self::Files { free } => format!("the disk has room for {free} more files, too few for others to go on"),
            Self::Share { bytes, most_bytes } => {
                format!("the job's files take {} MiB, and a job may take {} MiB", bytes >> 20, most_bytes >> 20)
            }
        }
    }
}

/// Whether there is room on the disk `folder` lies on. A disk that does not say has room.
pub(crate) fn check(folder: &Path, bounds: Bounds) -> Result<(), Full> {
    let Some(Space { free_bytes, reserve_bytes, free_files, reserve_files }) = space(folder, bounds) else {
        return Ok(());
    };
    if free_bytes < reserve_bytes {
        return Err(Full::Disk { free_bytes, reserve_bytes });
    }
    match free_files < reserve_files {
        true => Err(Full::Files { free: free_files }),
        false => Ok(()),
    }
}

struct Space {
    free_bytes: u64,
    reserve_bytes: u64,
    free_files: u64,
    reserve_files: u64,
}

fn space(folder: &Path, bounds: Bounds) -> Option<Space> {
    let status = statvfs(folder).ok()?;
    #[expect(clippy::useless_conversion, reason = "narrower on other systems")]
    let block = u64::from(status.fragment_size());
    #[expect(clippy::useless_conversion, reason = "narrower on other systems")]
    let (free, all) = (u64::from(status.blocks_available()), u64::from(status.blocks()));
    let (free_bytes, all_bytes) = (free.saturating_mul(block), all.saturating_mul(block));
    #[expect(clippy::useless_conversion, reason = "narrower on other systems")]
    let (free_files, all_files) = (u64::from(status.files_available()), u64::from(status.files()));
    Some(Space {
        free_bytes,
        reserve_bytes: bounds.reserve_bytes.min(all_bytes / RESERVE_PART),
        free_files,
        // File systems that make room for files as they come say that they have none.
        reserve_files: RESERVE_FILES.min(all_files / RESERVE_PART),
    })
}

/// Ends when there is no room any more.
pub(crate) async fn watch(workspace: &Workspace, bounds: Bounds) -> Full {
    let tree = workspace.place().tree;
    let at_first = space(&tree, bounds).map_or(0, |space| space.free_bytes);
    // What the job has already is not known until it is looked at once.
    let (mut walked_at, mut known_bytes, mut free_then) = (None::<Instant>, 0_u64, at_first);
    loop {
        if let Err(full) = check(&tree, bounds) {
            return full;
        }
        let free = space(&tree, bounds).map_or(at_first, |space| space.free_bytes);
        let grown = free_then.saturating_sub(free);
        let may_be_over = match walked_at {
            // Others write to the disk too; only a walk tells whose it is.
            Some(at) => known_bytes.saturating_add(grown) > bounds.job_bytes && at.elapsed() >= WALK_PAUSE,
            None => grown > bounds.job_bytes / 4,
        };
        if may_be_over {
            let bytes = workspace.disk_bytes().await;
            if bytes > bounds.job_bytes {
                return Full::Share { bytes, most_bytes: bounds.job_bytes };
            }
            (walked_at, known_bytes, free_then) = (Some(Instant::now()), bytes, free);
        }
        sleep(PAUSE).await;
    }
}
