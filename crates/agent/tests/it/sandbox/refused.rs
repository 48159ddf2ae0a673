//! On a machine or in a container that refuses namespaces: Docker's default profile does, and Ubuntu to most programs.

use super::{Bench, escapes};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};
use std::process::Command;

/// Started with this, the test binary puts the filter on itself and is an agent in such a container.
const CONTAINED_AGENT: &str = "contained-agent";

#[test]
fn without_namespaces_the_other_layers_hold() {
    let ran = Command::new(std::env::current_exe().unwrap()).arg(CONTAINED_AGENT).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(ran.status.success(), "{}{}", text(&ran.stdout), text(&ran.stderr));
    assert!(text(&ran.stdout).ends_with("all held\n"), "{}", text(&ran.stdout));
    eprint!("{}", text(&ran.stderr));
}

pub fn enter_if_asked() {
    if std::env::args_os().nth(1).is_some_and(|argument| argument == CONTAINED_AGENT) {
        refuse_namespaces();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(check());
        println!("all held");
        std::process::exit(0)
    }
}

async fn check() {
    let bench = Bench::new().await;
    assert!(!bench.has("processes"), "the filter works");
    let sockets = bench.sandbox.protections().iter().find(|protection| protection.name == "sockets").unwrap();
    assert!(sockets.active && sockets.detail.contains("Operation not permitted"), "{sockets:?}");
    for layer in ["seccomp", "sockets", "network", "memory", "environment"] {
        assert!(bench.needs(layer));
    }
    escapes::local_sockets_are_out_of_reach(&bench).await;
    escapes::ports_are_out_of_reach(&bench).await;
    if bench.needs("landlock") {
        escapes::files_are_out_of_reach(&bench).await;
    }
    assert_eq!(bench.sh("exit 3").await.finished.ending, agent::sandbox::Ending::Exited(3));
}

/// As that profile: new namespaces, mounts and joining others' answer EPERM, and `clone3` is not there.
fn refuse_namespaces() {
    const NAMESPACES: u64 = 0x7e02_0000;
    let flags = (0..64).map(|bit| 1_u64 << bit).filter(|flag| NAMESPACES & flag != 0).map(|flag| {
        let is_set = SeccompCondition::new(0, SeccompCmpArgLen::Qword, SeccompCmpOp::MaskedEq(flag), flag).unwrap();
        SeccompRule::new(vec![is_set]).unwrap()
    });
    let always = [libc::SYS_unshare, libc::SYS_setns, libc::SYS_mount, libc::SYS_umount2, libc::SYS_pivot_root];
    let mut refused: std::collections::BTreeMap<_, _> = always.map(|call| (call, Vec::new())).into();
    refused.insert(libc::SYS_clone, flags.collect());
    let missing = [(libc::SYS_clone3, Vec::new())].into();
    for (rules, errno) in [(missing, libc::ENOSYS), (refused, libc::EPERM)] {
        let target = TargetArch::try_from(std::env::consts::ARCH).unwrap();
        let filter =
            SeccompFilter::new(rules, SeccompAction::Allow, SeccompAction::Errno(errno as u32), target).unwrap();
        seccompiler::apply_filter(&BpfProgram::try_from(filter).unwrap()).unwrap();
    }
}
