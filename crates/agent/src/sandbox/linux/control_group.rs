//! A control group (cgroup v2) per command: the kernel itself bounds what the command and all it started have.
//!
//! ```text
//!   delegated ── devmesh-agent        the agent, moved there where it was alone in the folder above
//!             └─ devmesh-command-7-0  one command: made by its guard, removed by it
//! ```
//! Only a folder that was handed over is touched: one that the service manager marked (`Delegate=yes`), or the root of
//! what this process sees, which is the root of the machine or of its container. Everything is a small file; see the
//! kernel's cgroup-v2 document for each. Version 1 is not used: there the watching of [`super::memory`] does it.

use crate::sandbox::Limits;
use std::{
    ffi::CString,
    fs, io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// Beginning of the names of commands' groups.
pub(in crate::sandbox) const PREFIX: &str = "devmesh-command-";
const AGENT: &str = "devmesh-agent";
const MOUNT: &str = "/sys/fs/cgroup";
/// A fifth of the ordinary share of the processor when others want it too.
const WEIGHT: u32 = 20;
/// How long killed processes may take to leave their group. They take milliseconds.
const PATIENCE: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(5);

/// Finds the folder in which groups for commands can be made, or says why there is none. May move this process into a
/// group of its own. Removes what guards that were killed have left behind.
pub(in crate::sandbox) fn prepare() -> Result<PathBuf, String> {
    let mount = Path::new(MOUNT);
    if !mount.join("cgroup.controllers").exists() {
        return Err("there is no control group hierarchy of version 2".to_owned());
    }
    let groups =
        fs::read_to_string("/proc/self/cgroup").map_err(|error| format!("reading /proc/self/cgroup: {error}"))?;
    let own = own(&groups).ok_or("this process is in no control group of version 2")?;
    let folder = parent(mount, own, is_marked)?;
    let left_behind = fs::read_dir(&folder).into_iter().flatten().flatten();
    for entry in left_behind.filter(|entry| entry.file_name().as_encoded_bytes().starts_with(PREFIX.as_bytes())) {
        // Does nothing to one that is in use.
        let _ = fs::remove_dir(entry.path());
    }
    Ok(folder)
}

/// The path in version 2's hierarchy, from the text of `/proc/self/cgroup`.
pub(super) fn own(groups: &str) -> Option<&str> {
    groups.lines().find_map(|line| line.strip_prefix("0::/"))
}

fn parent(mount: &Path, own: &str, is_marked: impl Fn(&Path) -> bool) -> Result<PathBuf, String> {
    let own = mount.join(own);
    let handed_over = own.ancestors().take_while(|folder| folder.starts_with(mount)).find(|folder| is_marked(folder));
    let Some(folder) = handed_over.or((own == mount).then_some(mount)) else {
        return Err(format!("the control group {} was not handed over to the agent", own.display()));
    };
    let failed = |what: &str, error: io::Error| format!("{what} in the control group {}: {error}", folder.display());
    let offered = fs::read_to_string(folder.join("cgroup.controllers"));
    let offered = offered.map_err(|error| failed("reading what there is", error))?;
    if !offered.split_whitespace().any(|controller| controller == "memory") {
        return Err(format!("the control group {} has no control of memory", folder.display()));
    }
    let wanted: Vec<_> = offered
        .split_whitespace()
        .filter(|controller| ["memory", "pids", "cpu"].contains(controller))
        .map(|controller| format!("+{controller}"))
        .collect();
    let wanted = wanted.join(" ");
    let file = folder.join("cgroup.subtree_control");
    if fs::write(&file, &wanted).is_err() {
        // A group whose members are processes cannot have groups beneath it that are bounded.
        let members = fs::read_to_string(folder.join("cgroup.procs")).map_err(|error| failed("listing", error))?;
        if members.trim() != std::process::id().to_string() {
            return Err(format!("other processes share the agent's control group {}", folder.display()));
        }
        let agent = folder.join(AGENT);
        make_folder(&agent).and_then(|()| join(&agent)).map_err(|error| failed("moving the agent", error))?;
        fs::write(&file, &wanted).map_err(|error| failed("bounding memory", error))?;
    }
    Ok(folder.to_path_buf())
}

/// systemd marks what it hands over.
fn is_marked(folder: &Path) -> bool {
    let Ok(path) = CString::new(folder.as_os_str().as_bytes()) else { return false };
    [c"user.delegate", c"trusted.delegate"].iter().any(|name| {
        let mut value = [0_u8; 1];
        #[expect(unsafe_code, reason = "nix has no getxattr")]
        // SAFETY: both names end in a zero, and the kernel writes at most the one byte that is told.
        let length = unsafe { libc::getxattr(path.as_ptr(), name.as_ptr(), value.as_mut_ptr().cast(), value.len()) };
        length == 1 && value == *b"1"
    })
}

/// Makes a command's group and bounds it.
pub(super) fn make(group: &Path, limits: &Limits) -> io::Result<()> {
    make_folder(group)?;
    fs::write(group.join("memory.max"), limits.memory_bytes.to_string())?;
    // Not in every kernel, or without control of processes and processor: what rlimits and niceness do remains.
    for (file, value) in [
        ("memory.swap.max", "0".to_owned()),
        ("memory.oom.group", "1".to_owned()),
        ("pids.max", limits.processes.to_string()),
        ("cpu.weight", WEIGHT.to_string()),
    ] {
        match fs::write(group.join(file), value) {
            Err(error)
                if error.kind() != io::ErrorKind::NotFound && error.kind() != io::ErrorKind::PermissionDenied =>
            {
                return Err(error);
            }
            _ => {}
        }
    }
    Ok(())
}

fn make_folder(folder: &Path) -> io::Result<()> {
    match fs::create_dir(folder) {
        // Left behind by a process that had our number.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

/// This process, and all it starts from now on.
pub(super) fn join(group: &Path) -> io::Result<()> {
    fs::write(group.join("cgroup.procs"), "0")
}

/// How many bytes it had, when the kernel ended it for want of memory.
pub(super) fn ran_out(group: &Path) -> Option<u64> {
    let events = fs::read_to_string(group.join("memory.events")).ok()?;
    let killed = events.lines().find_map(|line| line.strip_prefix("oom_kill "))?;
    if killed.trim() == "0" {
        return None;
    }
    // The peak is not in every kernel; the bound is what it wanted to go beyond.
    let had = ["memory.peak", "memory.max"].iter().find_map(|file| number(&group.join(file)));
    Some(had.unwrap_or_default())
}

/// Ends what is left in it and takes it away.
pub(super) fn remove(group: &Path) {
    let _ = fs::write(group.join("cgroup.kill"), "1");
    let deadline = Instant::now() + PATIENCE;
    while fs::remove_dir(group).is_err_and(|error| error.kind() != io::ErrorKind::NotFound) && Instant::now() < deadline
    {
        std::thread::sleep(PAUSE);
    }
}

/// What a file holds; `None` for `max` too, which is no bound.
pub(super) fn number(file: &Path) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Folders and files as the kernel shows them. What cannot be written there is a folder in its place here.
    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (file, text) in files {
            let file = folder.path().join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        folder
    }

    fn read(folder: &Path, file: &str) -> String {
        fs::read_to_string(folder.join(file)).unwrap()
    }

    #[test]
    fn the_own_group_is_the_one_of_version_2() {
        assert_eq!(own("4:memory:/agent\n0::/system.slice/devmesh.service\n"), Some("system.slice/devmesh.service"));
        assert_eq!(own("4:memory:/agent\n"), None);
    }

    #[test]
    fn only_a_folder_that_was_handed_over_is_used() {
        let tree = tree(&[
            ("cgroup.controllers", "cpuset cpu io memory pids"),
            ("slice/unit/cgroup.controllers", "cpu memory pids"),
            ("slice/unit/main/cgroup.procs", "1"),
            ("slice/bare/cgroup.controllers", "cpu pids"),
            ("slice/other/cgroup.procs", "1"),
        ]);
        let root = tree.path();
        let marked = |folder: &Path| folder.ends_with("unit") || folder.ends_with("bare");
        assert_eq!(parent(root, "slice/unit/main", marked), Ok(root.join("slice/unit")));
        assert_eq!(read(root, "slice/unit/cgroup.subtree_control"), "+cpu +memory +pids");
        assert_eq!(parent(root, "", marked), Ok(root.to_path_buf()), "the root of what is seen");
        let refused = parent(root, "slice/other", marked).unwrap_err();
        assert!(refused.contains("was not handed over"), "{refused}");
        assert!(!root.join("slice/cgroup.subtree_control").exists());
        let refused = parent(root, "slice/bare", marked).unwrap_err();
        assert!(refused.contains("no control of memory"), "{refused}");
    }

    #[test]
    fn the_agent_makes_room_only_where_it_is_alone() {
        let alone = std::process::id().to_string();
        for (members, expected) in [(alone.clone(), true), (format!("1\n{alone}\n"), false)] {
            let tree = tree(&[("cgroup.controllers", "memory"), ("cgroup.procs", &members)]);
            let root = tree.path();
            // As the kernel refuses it while processes are there.
            fs::create_dir(root.join("cgroup.subtree_control")).unwrap();
            let answer = parent(root, "", |_| false).unwrap_err();
            assert_eq!(root.join(AGENT).join("cgroup.procs").exists(), expected, "{answer}");
            assert_eq!(answer.contains("other processes share"), !expected, "{answer}");
        }
    }

    #[test]
    fn a_group_is_bounded_and_tells_when_that_was_too_little() {
        let tree = tree(&[]);
        let group = tree.path().join("devmesh-command-1-0");
        make(&group, &Limits { memory_bytes: 1 << 30, processes: 7, ..Limits::default() }).unwrap();
        join(&group).unwrap();
        for (file, value) in [
            ("memory.max", "1073741824"),
            ("memory.swap.max", "0"),
            ("memory.oom.group", "1"),
            ("pids.max", "7"),
            ("cpu.weight", "20"),
            ("cgroup.procs", "0"),
        ] {
            assert_eq!(read(&group, file), value, "{file}");
        }
        assert_eq!(ran_out(&group), None, "no word of it");
        fs::write(group.join("memory.events"), "low 0\nmax 12\noom 1\noom_kill 0\noom_group_kill 0\n").unwrap();
        assert_eq!(ran_out(&group), None);
        fs::write(group.join("memory.events"), "low 0\nmax 12\noom 1\noom_kill 3\noom_group_kill 1\n").unwrap();
        assert_eq!(ran_out(&group), Some(1 << 30));
        fs::write(group.join("memory.peak"), "1073745920\n").unwrap();
        assert_eq!(ran_out(&group), Some(1_073_745_920));
    }
}
