//! What Linux has to confine a command. The order matters and is the order of the functions here:
//! guard ([`become_guard`], [`separate`]), first process ([`settle`]), shell ([`confine`], [`verify`]).

mod capabilities;
mod control_group;
mod landlock;
mod leftovers;
mod memory;
mod namespaces;
mod root;
mod seccomp;
mod verify;

use super::{
    guard::default_signals,
    policy::{Failure, Files, Layer, Namespaces, Policy},
};
use nix::{
    sys::{
        prctl,
        resource::{Resource, setrlimit},
        signal::Signal,
    },
    unistd::{Gid, Uid, setgroups, setresgid, setresuid},
};
use std::{
    os::{
        fd::{AsRawFd, BorrowedFd},
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixListener},
    },
    path::PathBuf,
};

pub(super) use control_group::{PREFIX as GROUP, prepare as prepare_control_groups};
pub(super) use leftovers::end_all;
pub(super) use memory::{Memory, memory_here};
pub(super) use root::links_along;
pub(super) use verify::verify;

/// Stays right when the file is replaced by an upgrade while the agent runs.
pub(super) fn this_program() -> PathBuf {
    PathBuf::from("/proc/self/exe")
}

pub(super) const NOT_HERE: &str = "not available here";
pub(super) const COUNTS_MEMORY: bool = true;
pub(super) const LIMITS_NOTE: &str = "";
pub(super) const WITHOUT_PROCESS_NAMESPACE: &str = "The command's processes are found one by one and killed when it ends; there is no /proc/self and no /dev/shm for them";

/// A local socket with a name that is in no folder.
pub(super) fn abstract_listener(name: &str) -> std::io::Result<Option<UnixListener>> {
    UnixListener::bind_addr(&SocketAddr::from_abstract_name(name)?).map(Some)
}

/// Layers worth trying on this system, best first choice.
pub(super) const LAYERS: super::policy::Layers = super::policy::Layers {
    identity: true,
    namespaces: Namespaces::Privileged,
    processes: true,
    files: true,
    network: true,
    ipc: true,
    accounting: true,
    landlock: true,
    seccomp: true,
    sockets: true,
    control_group: true,
};

/// Orphans of the command come to the guard, and nothing the agent had open goes further than this.
pub(super) fn become_guard() -> std::io::Result<()> {
    prctl::set_child_subreaper(true)?;
    #[expect(unsafe_code, reason = "nix has no close_range")]
    // SAFETY: three integers; with CLOEXEC nothing is closed before an exec. An old kernel answers ENOSYS: then the
    // flag that Rust sets on everything it opens has to do.
    unsafe {
        libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC);
    }
    Ok(())
}

/// In the guard: makes the namespaces the next process is born into.
pub(super) fn separate(policy: &Policy) -> Result<(), Failure> {
    // Without the right to make namespaces as root, root is given up first and a user namespace asked for.
    if policy.layers.namespaces != Namespaces::Privileged {
        become_identity(policy)?;
    }
    namespaces::enter(policy)?;
    prctl::set_dumpable(false).map_err(|error| Failure::command("closing /proc of the guard", error))
}

/// In the first process: what needs rights that the command must not have.
pub(super) fn settle(policy: &Policy, reporter: BorrowedFd<'_>) -> Result<(), Failure> {
    if let Some(group) = &policy.control_group {
        control_group::join(group.as_ref())
            .map_err(|error| Failure::of(Layer::Memory, format_args!("joining the control group {group}"), error))?;
    }
    if policy.layers.network {
        namespaces::raise_loopback()?;
    }
    if policy.layers.files {
        root::enter(&policy.files).map_err(|message| Failure { layer: Some(Layer::Files), message })?;
    }
    if policy.layers.namespaces == Namespaces::Privileged {
        become_identity(policy)?;
    }
    if policy.layers.accounting {
        namespaces::own_user_namespace(Layer::Accounting)?;
    }
    capabilities::drop_but(policy.program.reads_all())
        .map_err(|error| Failure::of(Layer::Identity, "dropping capabilities", error))?;
    // After the identity changed, because that clears it.
    die_with_guard(reporter).map_err(|error| Failure::command("tying the command to its guard", error))?;
    prctl::set_dumpable(false).map_err(|error| Failure::command("closing /proc of the first process", error))
}

/// In the shell process: everything that holds for itself and all its children, for good.
/// Returns Landlock's ABI version.
pub(super) fn confine(policy: &Policy) -> Result<u32, Failure> {
    default_signals();
    let _ = nix::unistd::setsid();
    let _ = prctl::set_pdeathsig(Signal::SIGKILL);
    // The first to go when memory runs out. The file is this user's only while the process is dumpable, which the next
    // program will be anyway.
    let _ = prctl::set_dumpable(true);
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o022));
    limit(policy)?;
    step_back();
    prctl::set_no_new_privs().map_err(|error| Failure::of(Layer::Seccomp, "setting no_new_privs", error))?;
    let version = if policy.layers.landlock { landlock::restrict(policy)? } else { 0 };
    if policy.layers.seccomp {
        let network = policy.layers.network || policy.program.uses_network();
        seccomp::install(network, policy.layers.separates_sockets(version))?;
    }
    Ok(version)
}

fn limit(policy: &Policy) -> Result<(), Failure> {
    let limits = &policy.limits;
    for (resource, name, limit) in [
        (Resource::RLIMIT_NPROC, "processes", limits.processes.saturating_add(policy.other_processes)),
        (Resource::RLIMIT_FSIZE, "file size", limits.file_bytes),
        (Resource::RLIMIT_NOFILE, "open files", limits.open_files),
        (Resource::RLIMIT_CORE, "core files", 0),
    ] {
        let failed = |error| Failure::of(Layer::Limits, format_args!("limiting {name} to {limit}"), error);
        let (_, hard) = nix::sys::resource::getrlimit(resource).map_err(failed)?;
        // Lowering is always allowed; a lower limit that is there already stays.
        setrlimit(resource, limit.min(hard), limit.min(hard)).map_err(failed)?;
    }
    Ok(())
}

/// Lets everything else on the machine go first. Not a protection, so it is no fault where it is not allowed.
fn step_back() {
    const NICENESS: i32 = 10;
    const THIS_PROCESS: libc::c_int = 1;
    // Within the class of ordinary disk access the last of eight.
    const LAST_AT_DISKS: libc::c_int = 2 << 13 | 7;
    let scheduling = libc::sched_param { sched_priority: 0 };
    #[expect(unsafe_code, reason = "nix has none of the three")]
    // SAFETY: integers, and a pointer to a live value that the kernel only reads.
    unsafe {
        if libc::getpriority(libc::PRIO_PROCESS, 0) < NICENESS {
            libc::setpriority(libc::PRIO_PROCESS, 0, NICENESS);
        }
        libc::syscall(libc::SYS_ioprio_set, THIS_PROCESS, 0, LAST_AT_DISKS);
        libc::sched_setscheduler(0, libc::SCHED_BATCH, &raw const scheduling);
    }
}

/// Gives up root for good. Nothing to do where the agent is not root.
fn become_identity(policy: &Policy) -> Result<(), Failure> {
    if !policy.layers.identity {
        return Ok(());
    }
    let (user, group) = (Uid::from_raw(policy.identity.user), Gid::from_raw(policy.identity.group));
    if policy.program.reads_all() {
        capabilities::keep_over_identity()
            .map_err(|error| Failure::of(Layer::Identity, "keeping capabilities", error))?;
    }
    setgroups(&[])
        .and_then(|()| setresgid(group, group, group))
        .and_then(|()| setresuid(user, user, user))
        .map_err(|error| Failure::of(Layer::Identity, format_args!("becoming user {user}"), error))
}

/// Asks for a SIGKILL when the guard dies, and checks that it has not died before this took effect.
fn die_with_guard(reporter: BorrowedFd<'_>) -> nix::Result<()> {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    let mut ends = [PollFd::new(reporter, PollFlags::empty())];
    poll(&mut ends, PollTimeout::ZERO)?;
    match ends[0].revents() {
        Some(seen) if seen.contains(PollFlags::POLLERR) => Err(nix::errno::Errno::EPIPE),
        _ => Ok(()),
    }
}

/// Existing folders and files that programs need, whatever they do.
pub(super) const SYSTEM: &[&str] = &[
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/nix/store",
    "/gnu/store",
    "/run/current-system/sw",
    "/etc/alternatives",
    "/etc/ca-certificates",
    "/etc/fonts",
    "/etc/group",
    "/etc/host.conf",
    "/etc/hosts",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/locale.alias",
    "/etc/localtime",
    "/etc/magic",
    "/etc/mime.types",
    "/etc/nsswitch.conf",
    "/etc/os-release",
    "/etc/passwd",
    "/etc/perl",
    "/etc/pki/tls/certs",
    "/etc/protocols",
    "/etc/services",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
    "/etc/terminfo",
    "/etc/timezone",
    "/sys/devices/system/cpu",
    "/sys/fs/cgroup",
];

/// Beginnings of names in `/etc` that carry a version.
pub(super) const SYSTEM_VERSIONED: &[&str] = &["java-", "python3"];

/// Devices that do nothing but read and write.
const DEVICES: &[&str] = &["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty"];

/// How many processes and threads a user runs already, for the limit that counts them together.
pub(super) fn processes_of(user: u32) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let Ok(entries) = std::fs::read_dir("/proc") else { return 0 };
    let mine = entries.flatten().filter(|entry| {
        entry.file_name().as_encoded_bytes().first().is_some_and(u8::is_ascii_digit)
            && entry.metadata().is_ok_and(|metadata| metadata.uid() == user)
    });
    mine.map(|entry| std::fs::read_dir(entry.path().join("task")).map_or(1, |tasks| tasks.count() as u64)).sum()
}

/// The temporary folder as commands see it.
pub(super) fn temporary_folder(files: &Files, private_root: bool) -> &str {
    if private_root && root::offers_tmp(files) { "/tmp" } else { &files.temporary }
}

fn raw(descriptor: BorrowedFd<'_>) -> i32 {
    descriptor.as_raw_fd()
}
