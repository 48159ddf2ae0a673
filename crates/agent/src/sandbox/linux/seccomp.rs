//! Seccomp: kernel interfaces that no build or test needs and that escapes are made of.
//!
//! A deny list, because commands are arbitrary programs. Denied calls answer EPERM, so programs see a refusal they can
//! handle. `clone3` and `io_uring` answer ENOSYS, as on kernels without them: `clone3` hides its flags in memory where a
//! filter cannot look, and every C library falls back to `clone`. Calls of another architecture end the process.

use crate::sandbox::policy::{Failure, Layer};
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen::Dword, SeccompCmpArgLen::Qword, SeccompCmpOp,
    SeccompCondition, SeccompFilter, SeccompRule, TargetArch, sock_filter,
};
use std::collections::BTreeMap;

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// `network`: the command has a network namespace. Without one it gets no internet sockets at all. `local`: local sockets
/// lead nowhere outside. Where they do, it gets none of those either.
pub(super) fn install(network: bool, local: bool) -> Result<(), Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::of(Layer::Seccomp, "filtering system calls", error);
    let missing = missing().map_err(|error| failed(&error))?;
    let refused = refused(network, local).map_err(|error| failed(&error))?;
    for program in [missing, refused] {
        seccompiler::apply_filter(&program).map_err(|error| failed(&error))?;
    }
    Ok(())
}

fn missing() -> Result<BpfProgram, BackendError> {
    let calls = [libc::SYS_clone3, libc::SYS_io_uring_setup, libc::SYS_io_uring_enter, libc::SYS_io_uring_register];
    compile(calls.into_iter().map(|call| (call, Vec::new())).collect(), libc::ENOSYS)
}

fn refused(network: bool, local: bool) -> Result<BpfProgram, BackendError> {
    let mut rules: Rules = ALWAYS_REFUSED.iter().map(|call| (*call, Vec::new())).collect();
    #[cfg(target_arch = "x86_64")]
    rules.extend([libc::SYS_iopl, libc::SYS_ioperm, libc::SYS_uselib, libc::SYS_ustat].map(|call| (call, Vec::new())));

    let namespaces = [
        libc::CLONE_NEWUSER,
        libc::CLONE_NEWNS,
        libc::CLONE_NEWPID,
        libc::CLONE_NEWNET,
        libc::CLONE_NEWIPC,
        libc::CLONE_NEWUTS,
        libc::CLONE_NEWCGROUP,
    ];
    let clone = namespaces.iter().map(|flag| {
        let flag = *flag as u64;
        rule(&[(0, SeccompCmpOp::MaskedEq(flag), flag)])
    });
    rules.insert(libc::SYS_clone, clone.collect::<Result<_, _>>()?);

    // Local, internet and routing sockets are ordinary; everything else is a way to some driver.
    const TYPE_MASK: u64 = 0xf;
    let mut families = vec![libc::AF_NETLINK];
    if local {
        families.push(libc::AF_UNIX);
    } else {
        // A pair of streams is connected for good. A datagram socket can be pointed elsewhere afterwards; raw is another
        // name for it.
        let elsewhere = [libc::SOCK_DGRAM, libc::SOCK_RAW].map(|kind| {
            rule(&[(0, SeccompCmpOp::Eq, libc::AF_UNIX as u64), (1, SeccompCmpOp::MaskedEq(TYPE_MASK), kind as u64)])
        });
        rules.insert(libc::SYS_socketpair, elsewhere.into_iter().collect::<Result<_, _>>()?);
    }
    if network {
        families.extend([libc::AF_INET, libc::AF_INET6]);
    }
    let other: Vec<_> = families.iter().map(|family| (0, SeccompCmpOp::Ne, *family as u64)).collect();
    let mut socket = vec![rule(&other)?];
    for family in [libc::AF_INET, libc::AF_INET6] {
        socket.push(rule(&[
            (0, SeccompCmpOp::Eq, family as u64),
            (1, SeccompCmpOp::MaskedEq(TYPE_MASK), libc::SOCK_RAW as u64),
        ])?);
    }
    rules.insert(libc::SYS_socket, socket);

    // Typing into a terminal that the command happens to share. The request is 32 bits wide whatever is passed.
    let terminal = [libc::TIOCSTI, libc::TIOCLINUX];
    let ioctl = terminal.iter().map(|request| rule(&[(1, SeccompCmpOp::Eq, u64::from(*request as u32))]));
    rules.insert(libc::SYS_ioctl, ioctl.collect::<Result<_, _>>()?);

    // Asking, plain Linux and 32-bit-looking uname are harmless; the rest undoes protections of the address space.
    const PER_LINUX32: u64 = 8;
    let harmless = [u64::from(u32::MAX), 0, PER_LINUX32];
    rules.insert(libc::SYS_personality, vec![rule(&harmless.map(|persona| (0, SeccompCmpOp::Ne, persona)))?]);

    compile(rules, libc::EPERM)
}

fn rule(conditions: &[(u8, SeccompCmpOp, u64)]) -> Result<SeccompRule, BackendError> {
    let conditions = conditions.iter().map(|(argument, operator, value)| {
        let width = if matches!(operator, SeccompCmpOp::MaskedEq(_)) { Qword } else { Dword };
        SeccompCondition::new(*argument, width, operator.clone(), *value)
    });
    SeccompRule::new(conditions.collect::<Result<_, _>>()?)
}

fn compile(rules: Rules, errno: i32) -> Result<BpfProgram, BackendError> {
    let target = TargetArch::try_from(std::env::consts::ARCH)?;
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, SeccompAction::Errno(errno as u32), target)?;
    let mut program = BpfProgram::new();
    #[cfg(target_arch = "x86_64")]
    program.extend(refuse_x32());
    program.extend(BpfProgram::try_from(filter)?);
    Ok(program)
}

/// The x32 interface shares x86-64's architecture number but offsets every call, which would slip past rules by number.
#[cfg(target_arch = "x86_64")]
fn refuse_x32() -> [sock_filter; 3] {
    const X32_BIT: u32 = 0x4000_0000;
    const NUMBER_OFFSET: u32 = 0;
    let load = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    let at_least = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16;
    let answer = (libc::BPF_RET | libc::BPF_K) as u16;
    [
        sock_filter { code: load, jt: 0, jf: 0, k: NUMBER_OFFSET },
        sock_filter { code: at_least, jt: 0, jf: 1, k: X32_BIT },
        sock_filter { code: answer, jt: 0, jf: 0, k: libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32 },
    ]
}

const ALWAYS_REFUSED: &[i64] = &[
    // mounts and roots
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_quotactl,
    libc::SYS_acct,
    libc::SYS_open_by_handle_at,
    libc::SYS_fanotify_init,
    // namespaces
    libc::SYS_unshare,
    libc::SYS_setns,
    // other processes
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    libc::SYS_move_pages,
    libc::SYS_migrate_pages,
    // the kernel itself
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_reboot,
    libc::SYS_syslog,
    libc::SYS_lookup_dcookie,
    libc::SYS_nfsservctl,
    libc::SYS_vhangup,
    // keys
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    // the machine's clock and name
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
];
