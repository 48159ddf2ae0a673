//! What a command can take of the machine, and what it must be able to take.

use super::{Bench, Ran, skipped};
use agent::sandbox::{Command, Ending, Limits};
use std::{path::Path, time::Duration};
use tokio_util::sync::CancellationToken;

const MIB: u64 = 1 << 20;
const LIMIT: u64 = 192 * MIB;

fn tight() -> Limits {
    Limits { memory_bytes: LIMIT, ..Limits::default() }
}

#[track_caller]
fn ran_out(ran: &Ran) {
    let Ending::OutOfMemory { had_bytes, limit_bytes } = ran.finished.ending else { panic!("{ran:?}") };
    assert_eq!(limit_bytes, LIMIT);
    assert!(had_bytes >= LIMIT, "{had_bytes}");
}

#[tokio::test]
async fn memory_is_bounded_for_all_processes_together() {
    for namespaces in [true, false] {
        let bench = Bench::with(|options| (options.limits, options.namespaces) = (tight(), namespaces)).await;
        // Eight of them, none with much; and one that left its parents and its session behind.
        let many = "for i in 1 2 3 4 5 6 7 8; do
            setsid python3 -c 'import time; x = bytearray(48 << 20); time.sleep(100)' & done; wait";
        ran_out(&bench.sh(many).await);
        let orphan = "(setsid python3 -c 'import time; x = bytearray(400 << 20); time.sleep(100)' &) ; sleep 100";
        ran_out(&bench.sh(orphan).await);
        assert_eq!(bench.sh("python3 -c 'bytearray(32 << 20)'").await.ok(), "", "the next command has it all again");
    }
}

#[tokio::test]
async fn memory_that_forked_processes_share_counts_once() {
    let bench = Bench::with(|options| options.limits = tight()).await;
    let script = "exec python3 -c '
import os, time
x = b\"x\" * (96 << 20)
for i in range(6):
    if os.fork() == 0:
        time.sleep(1.5)
        os._exit(0)
for i in range(6): os.wait()'";
    bench.sh(script).await.ok();
}

#[tokio::test]
async fn memory_that_is_shared_on_purpose_counts() {
    let bench = Bench::with(|options| options.limits = tight()).await;
    let script = "exec python3 -c 'import mmap, time; x = mmap.mmap(-1, 400 << 20); x.write(b\"x\" * (400 << 20)); time.sleep(100)'";
    ran_out(&bench.sh(script).await);
}

/// A workspace on a file system that lies in memory.
#[tokio::test]
async fn files_in_memory_count() {
    let shared_memory = Path::new("/dev/shm");
    use nix::sys::statfs::{TMPFS_MAGIC, statfs};
    if statfs(shared_memory).is_ok_and(|status| status.filesystem_type() != TMPFS_MAGIC) {
        return skipped("/dev/shm does not lie in memory");
    }
    let bench = Bench::within(shared_memory, |options| options.limits = tight()).await;
    ran_out(&bench.sh("head -c 300M /dev/zero > file; sleep 100").await);
    bench.sh("rm file; head -c 100M /dev/zero > file; sleep 0.5").await.ok();
}

#[tokio::test]
async fn a_control_group_bounds_memory_where_the_agent_has_one() {
    let bench = Bench::with(|options| options.limits = tight()).await;
    let memory = bench.sandbox.protections().iter().find(|protection| protection.name == "memory").unwrap();
    assert!(memory.active);
    if !memory.detail.starts_with("cgroup: ") {
        assert!(memory.detail.starts_with("watched: "), "{}", memory.detail);
        return skipped(&memory.detail);
    }
    // What no process has mapped is seen as well.
    let script = "exec python3 -c 'import os, time
file = os.memfd_create(\"x\")
for i in range(400): os.write(file, b\"x\" * (1 << 20))
time.sleep(100)'";
    ran_out(&bench.sh(script).await);
}

/// Address space is not memory: these reserve terabytes of it.
#[tokio::test]
async fn sanitizers_and_webassembly_work() {
    let bench = Bench::with(|options| options.limits.memory_bytes = 2048 * MIB).await;
    let program =
        "#include <stdlib.h>\nint main(int n, char **v) { char *p = malloc(8); p[0] = n; free(p); return p[0] == 9; }";
    std::fs::write(bench.tree().join("use.c"), program).unwrap();
    let built = bench.sh("gcc -fsanitize=address -g use.c -o use 2>&1").await;
    if built.finished.ending == Ending::Exited(0) {
        let stderr = bench.sh("./use").await.refused();
        assert!(stderr.contains("heap-use-after-free"), "{stderr}");
    } else {
        skipped(format_args!("no address sanitizer: {}", built.stdout.trim()));
    }
    let script = "node -e '
const memories = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10].map(() => new WebAssembly.Memory({ initial: 1, maximum: 65536 }));
console.log(memories.length)'";
    if bench.sh("command -v node").await.finished.ending == Ending::Exited(0) {
        assert_eq!(bench.sh(script).await.ok(), "10\n");
    } else {
        skipped("no node");
    }
}

#[tokio::test]
async fn everything_else_on_the_machine_goes_first() {
    let bench = Bench::new().await;
    let script = "exec python3 -c 'import os; print(os.nice(0), os.sched_getscheduler(0) == os.SCHED_BATCH)'";
    assert_eq!(bench.sh(script).await.ok(), "10 True\n");
}

#[tokio::test]
async fn terminals_work() {
    let bench = Bench::new().await;
    // They come with a private root folder.
    if !bench.needs("processes") {
        return;
    }
    let script = "set -e
        python3 -c '
import os, pty
ours, theirs = pty.openpty()
assert os.ttyname(theirs).startswith(\"/dev/pts/\"), os.ttyname(theirs)
os.write(theirs, b\"typed\")
assert os.read(ours, 5) == b\"typed\"
assert pty.spawn([\"test\", \"-t\", \"0\"]) == 0' < /dev/null
        ls /dev/pts | sort | tr '\\n' ' '";
    assert_eq!(bench.sh(script).await.ok(), "ptmx ", "none of the machine's own");
    let run = bench.run(Command::new("script -qec 'tty' /dev/null", Duration::from_secs(30)), CancellationToken::new());
    let stdout = run.await.ok();
    assert!(stdout.contains("/dev/pts/0"), "{stdout}");
}
