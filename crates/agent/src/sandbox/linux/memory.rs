//! How much memory a command and all it started may have together.
//!
//! Where the agent has control groups, the kernel bounds it ([`super::control_group`]). Elsewhere the guard looks again
//! and again and ends the command when it is over. What counts then: memory of the program's own, what it shares, what of
//! it was swapped out, and how much fuller the command's folders became where they lie in memory. What no process has
//! mapped cannot be seen, such as a `memfd` that is only written; each of those is as long as a file may be.

use super::{control_group, leftovers::parent_of};
use crate::sandbox::policy::{Failure, Layer, Message, Policy};
use nix::sys::statfs::{TMPFS_MAGIC, statfs};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// Between two looks. A program on one core takes half a gigabyte meanwhile, which the quarter of the machine's memory
/// that is held back can stand.
const PAUSE: Duration = Duration::from_millis(200);
/// Looking takes at most one part in so many of a core, however many processes there are.
const SHARE: u32 = 20;

pub(in crate::sandbox) struct Memory {
    limit_bytes: u64,
    bound: Bound,
    next: Instant,
}

enum Bound {
    /// By the kernel. The name is relative to the current folder: the guard's root folder becomes the command's.
    Group(PathBuf),
    /// By looking at the machine's `/proc`, which is the current folder for the same reason.
    Watched { folders: Vec<InMemory> },
}

/// A file system that lies in memory.
struct InMemory {
    folder: PathBuf,
    /// What it held before the command began.
    before_bytes: u64,
}

impl Memory {
    /// In the guard, before it has namespaces. What it starts is bound.
    pub fn bound(policy: &Policy) -> Result<Self, Failure> {
        let failed = |what: &str, error: std::io::Error| Failure::of(Layer::Memory, what, error);
        let bound = match &policy.control_group {
            Some(group) => {
                let group = Path::new(group);
                control_group::make(group, &policy.limits)
                    .map_err(|error| failed(&format!("making the control group {}", group.display()), error))?;
                let parent = group.parent().unwrap_or(Path::new("/"));
                std::env::set_current_dir(parent).map_err(|error| failed("entering its folder", error))?;
                Bound::Group(group.file_name().map(PathBuf::from).unwrap_or_default())
            }
            None => {
                std::env::set_current_dir("/proc").map_err(|error| failed("entering /proc", error))?;
                Bound::Watched { folders: in_memory(policy) }
            }
        };
        Ok(Self { limit_bytes: policy.limits.memory_bytes, bound, next: Instant::now() + PAUSE })
    }

    /// How long until it must look again, or how much the command has when that is too much.
    pub fn look(&mut self) -> Result<Duration, u64> {
        let Bound::Watched { folders } = &self.bound else { return Ok(Duration::MAX) };
        let started = Instant::now();
        let left = self.next.saturating_duration_since(started);
        if !left.is_zero() {
            return Ok(left);
        }
        let guard = std::process::id().cast_signed();
        let had_bytes = watched(Path::new("."), guard, folders, self.limit_bytes);
        let pause = PAUSE.max(started.elapsed() * SHARE);
        self.next = Instant::now() + pause;
        if had_bytes > self.limit_bytes { Err(had_bytes) } else { Ok(pause) }
    }

    /// The kernel's word, where it ended the command: that looks like any other end.
    pub fn overrule(&self, ending: Message) -> Message {
        match &self.bound {
            Bound::Group(group) if !matches!(ending, Message::TimedOut | Message::Cancelled) => {
                control_group::ran_out(group).map_or(ending, Message::OutOfMemory)
            }
            _ => ending,
        }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        if let Bound::Group(group) = &self.bound {
            control_group::remove(group);
        }
    }
}

/// Of the command's own folders those that lie in memory, each file system once.
fn in_memory(policy: &Policy) -> Vec<InMemory> {
    let mut seen = BTreeSet::new();
    let folders = policy.files.writable.iter().map(PathBuf::from);
    let new = folders.filter(|folder| fs::metadata(folder).is_ok_and(|metadata| seen.insert(metadata.dev())));
    new.filter_map(|folder| used(&folder).map(|before_bytes| InMemory { folder, before_bytes })).collect()
}

/// Bytes a file system in memory holds; `None` for any other.
fn used(folder: &Path) -> Option<u64> {
    let status = statfs(folder).ok().filter(|status| status.filesystem_type() == TMPFS_MAGIC)?;
    let blocks = status.blocks().saturating_sub(status.blocks_free());
    Some(blocks.saturating_mul(u64::try_from(status.block_size()).unwrap_or_default()))
}

/// What every process below `ancestor` has, and what lies in `folders`.
fn watched(processes: &Path, ancestor: i32, folders: &[InMemory], limit_bytes: u64) -> u64 {
    let files = folders.iter().map(|known| used(&known.folder).unwrap_or_default().saturating_sub(known.before_bytes));
    let files: u64 = files.sum();
    let below = below(processes, ancestor);
    // What processes share is counted for each of them here, which is too much but cheap.
    let roughly = total(&below, files, |process| held(processes, process));
    if roughly <= limit_bytes {
        return roughly;
    }
    total(&below, files, |process| share(processes, process).or_else(|| held(processes, process)))
}

/// Own and shared bytes of one process.
#[derive(Clone, Copy, Default)]
struct Held {
    own: u64,
    shared: u64,
}

/// Files in memory that are mapped show up twice, as shared memory and in their folder, so the larger of both counts.
fn total(below: &[i32], files: u64, of: impl Fn(i32) -> Option<Held>) -> u64 {
    let mut sum = Held::default();
    for held in below.iter().filter_map(|process| of(*process)) {
        sum.own += held.own;
        sum.shared += held.shared;
    }
    sum.own + sum.shared.max(files)
}

/// Every process that descends from `ancestor`. An orphan's parent is the reaper above it, which is the command's first
/// process or the guard itself, so no process gets out of this by leaving its parents behind.
fn below(processes: &Path, ancestor: i32) -> Vec<i32> {
    let mut children = BTreeMap::<i32, Vec<i32>>::new();
    for entry in fs::read_dir(processes).into_iter().flatten().flatten() {
        let Some(process) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        if let Some(parent) = parent_of(processes, process) {
            children.entry(parent).or_default().push(process);
        }
    }
    let mut below = Vec::new();
    let mut ahead = vec![ancestor];
    while let Some(process) = ahead.pop() {
        // Taken out, because a number that was used again meanwhile could make a circle.
        let found = children.remove(&process).unwrap_or_default();
        ahead.extend(&found);
        below.extend(found);
    }
    below
}

fn held(processes: &Path, process: i32) -> Option<Held> {
    let status = fs::read_to_string(processes.join(format!("{process}/status"))).ok()?;
    let own = kibibytes(&status, "RssAnon:") + kibibytes(&status, "VmSwap:");
    Some(Held { own, shared: kibibytes(&status, "RssShmem:") })
}

/// The same with what is shared divided among those who share it, forked workers for one. The kernel walks through all of
/// the process's memory for it. Not every kernel tells, and not about every process.
fn share(processes: &Path, process: i32) -> Option<Held> {
    let rollup = fs::read_to_string(processes.join(format!("{process}/smaps_rollup"))).ok()?;
    let own = kibibytes(&rollup, "Pss_Anon:") + kibibytes(&rollup, "SwapPss:");
    rollup.contains("Pss_Anon:").then(|| Held { own, shared: kibibytes(&rollup, "Pss_Shmem:") })
}

/// In bytes; 0 where there is no such line, as for a process that has ended.
fn kibibytes(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    number.unwrap_or_default().saturating_mul(1024)
}

/// What there is for everything on this machine, or in this container where that is less.
pub(in crate::sandbox) fn memory_here() -> u64 {
    let machine = fs::read_to_string("/proc/meminfo").map_or(0, |text| kibibytes(&text, "MemTotal:"));
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    allowed(Path::new("/sys/fs/cgroup"), &groups).unwrap_or(u64::MAX).min(machine)
}

/// The lowest bound on this process in either version's hierarchy. Inside a container the paths may be the outside's, so
/// that only the hierarchy's root is there.
fn allowed(mount: &Path, groups: &str) -> Option<u64> {
    let first = groups.lines().find_map(|line| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        controllers.split(',').any(|name| name == "memory").then(|| path.trim_start_matches('/'))
    });
    let hierarchies = [
        (mount.to_path_buf(), control_group::own(groups), "memory.max"),
        (mount.join("memory"), first, "memory.limit_in_bytes"),
    ];
    let bounds = hierarchies.into_iter().filter_map(|(root, own, file)| {
        let own = root.join(own?);
        let folders = own.ancestors().take_while(|folder| folder.starts_with(&root));
        folders.filter_map(|folder| control_group::number(&folder.join(file))).min()
    });
    bounds.min()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &Path, file: &str, text: &str) {
        let file = folder.join(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }

    #[test]
    fn all_descendants_count_and_what_they_share_counts_once() {
        let folder = tempfile::tempdir().unwrap();
        let processes = folder.path();
        for (process, parent, name) in [(1, 0, "init"), (7, 1, "guard"), (8, 7, "a) 1 (b"), (9, 8, "c"), (10, 1, "x")] {
            write(processes, &format!("{process}/stat"), &format!("{process} ({name}) S {parent} 7 7 0"));
            let status = "Name:\tx\nVmSwap:\t 24 kB\nRssAnon:\t 1000 kB\nRssFile:\t 9999 kB\nRssShmem:\t 500 kB\n";
            write(processes, &format!("{process}/status"), status);
        }
        write(processes, "not-a-process/stat", "");
        let mut found = below(processes, 7);
        found.sort_unstable();
        assert_eq!(found, [8, 9]);
        assert_eq!(watched(processes, 7, &[], u64::MAX), 2 * 1524 * 1024);
        // Over the limit it is looked at closely.
        for process in [8, 9] {
            let rollup =
                "Pss:\t 9999 kB\nPss_Anon:\t 600 kB\nPss_File:\t 9 kB\nPss_Shmem:\t 250 kB\nSwapPss:\t 12 kB\n";
            write(processes, &format!("{process}/smaps_rollup"), rollup);
        }
        assert_eq!(watched(processes, 7, &[], 1), 2 * 862 * 1024);
    }

    #[test]
    fn a_container_may_have_less_than_the_machine() {
        let folder = tempfile::tempdir().unwrap();
        let mount = folder.path();
        assert_eq!(allowed(mount, "0::/\n"), None);
        write(mount, "memory.max", "max\n");
        write(mount, "slice/memory.max", "3000\n");
        write(mount, "slice/unit/memory.max", "max\n");
        assert_eq!(allowed(mount, "0::/slice/unit\n"), Some(3000), "a bound above it holds as well");
        assert_eq!(allowed(mount, "0::/\n"), None);
        write(mount, "memory/memory.limit_in_bytes", "2000\n");
        let first = "5:cpu,memory:/docker/not-seen-here\n0::/slice/unit\n";
        assert_eq!(allowed(mount, first), Some(2000));
    }
}
