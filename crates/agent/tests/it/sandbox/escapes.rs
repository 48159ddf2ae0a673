//! Ways out, tried from inside. The sandbox's own report is part of the test: what it calls active must hold.

use super::Bench;
use agent::sandbox::Ending;
use std::{
    net::TcpListener,
    os::unix::net::{UnixDatagram, UnixListener},
    time::{Duration, Instant},
};

#[tokio::test]
async fn every_protection_is_reported_once_with_what_it_does() {
    let bench = Bench::new().await;
    let names: Vec<_> = bench.sandbox.protections().iter().map(|protection| protection.name.as_str()).collect();
    assert_eq!(
        names,
        ["landlock", "seccomp", "sockets", "network", "user", "rlimits", "memory", "processes", "environment"]
    );
    assert!(bench.sandbox.protections().iter().all(|protection| protection.detail.len() > 20));
}

#[tokio::test]
async fn what_is_missing_is_reported_with_the_reason() {
    let bench = Bench::without_namespaces().await;
    assert!(!bench.has("processes"));
    let processes = bench.sandbox.protections().iter().find(|protection| protection.name == "processes").unwrap();
    assert!(processes.detail.starts_with("namespaces are switched off in the configuration. "), "{processes:?}");
}

#[tokio::test]
async fn files_outside_the_workspace_cannot_be_read_or_written() {
    for bench in [Bench::new().await, Bench::without_namespaces().await] {
        if bench.needs("landlock") {
            files_are_out_of_reach(&bench).await;
        }
    }
}

pub async fn files_are_out_of_reach(bench: &Bench) {
    let secret = bench.folder.path().join("secret");
    let other = bench.folder.path().join("workspaces/job/2/tree");
    std::fs::create_dir_all(&other).unwrap();
    std::fs::write(other.join("theirs"), "another attempt's").unwrap();
    for file in [secret.display().to_string(), other.join("theirs").display().to_string()] {
        let ran = bench.sh(&format!("cat '{file}' || cat /proc/self/root'{file}' || cat /proc/1/root'{file}'")).await;
        assert_eq!(ran.stdout, "");
        ran.refused();
        bench
            .sh(&format!("echo changed >> '{file}' || mv '{file}' . || ln '{file}' stolen || rm '{file}'"))
            .await
            .refused();
        bench.sh(&format!("ln -s '{file}' link && cat link")).await.refused();
        std::fs::remove_file(bench.tree().join("link")).unwrap();
    }
    for file in ["/etc/shadow", "/root/.bashrc", "/proc/1/environ", "/proc/kcore", "/dev/vda", "/dev/mem", "/dev/kmsg"]
    {
        let ran = bench.sh(&format!("cat {file}")).await;
        assert_eq!(ran.stdout, "", "{file}");
        ran.refused();
    }
    for folder in [
        "/",
        "/usr",
        "/usr/local/bin",
        "/etc",
        "/dev",
        "/proc/sys/kernel",
        "/opt",
        &bench.folder.path().display().to_string(),
    ] {
        bench.sh(&format!("echo planted > {folder}/planted")).await.refused();
        assert!(!std::path::Path::new(folder).join("planted").exists(), "{folder}");
    }
    assert_eq!(std::fs::read_to_string(secret).unwrap(), "the data folder's secret");
    assert_eq!(std::fs::read_to_string(other.join("theirs")).unwrap(), "another attempt's");
}

#[tokio::test]
async fn the_network_is_out_of_reach() {
    for bench in [Bench::new().await, Bench::without_namespaces().await] {
        if bench.needs("network") {
            ports_are_out_of_reach(&bench).await;
        }
    }
}

pub async fn ports_are_out_of_reach(bench: &Bench) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    bench.sh(&format!("exec 3<> /dev/tcp/127.0.0.1/{port}")).await.refused();
    let script = format!(
        "exec python3 -c '
import socket, sys
for address in [(\"127.0.0.1\", {port}), (\"192.0.2.1\", 80), (\"10.0.2.2\", 80)]:
    try: socket.create_connection(address, 2)
    except OSError: continue
    sys.exit(\"reached %s\" % (address,))
for family, kind, protocol in [(socket.AF_INET, socket.SOCK_RAW, 1), (socket.AF_PACKET, socket.SOCK_RAW, 3), (40, socket.SOCK_STREAM, 0), (38, socket.SOCK_SEQPACKET, 0)]:
    try: socket.socket(family, kind, protocol)
    except OSError: continue
    sys.exit(\"got socket %s %s\" % (family, kind))'"
    );
    bench.sh(&script).await.ok();
    assert!(listener.accept().is_err(), "nothing connected");
}

#[tokio::test]
async fn local_sockets_of_other_programs_are_out_of_reach() {
    for bench in [Bench::new().await, Bench::without_namespaces().await] {
        if bench.needs("sockets") {
            local_sockets_are_out_of_reach(&bench).await;
        }
    }
}

pub async fn local_sockets_are_out_of_reach(bench: &Bench) {
    use std::os::{linux::net::SocketAddrExt, unix::fs::PermissionsExt};
    // Open to everybody, by a path that is short enough wherever the build lies.
    let folder = tempfile::tempdir_in("/tmp").unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let paths = [folder.path().join("stream"), folder.path().join("datagrams")];
    let stream = UnixListener::bind(&paths[0]).unwrap();
    let datagrams = UnixDatagram::bind(&paths[1]).unwrap();
    for path in &paths {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o777)).unwrap();
    }
    let name = format!("sandbox-{}-{}", std::process::id(), folder.path().display());
    let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
    let named = UnixListener::bind_addr(&address).unwrap();
    stream.set_nonblocking(true).unwrap();
    datagrams.set_nonblocking(true).unwrap();
    named.set_nonblocking(true).unwrap();
    let script = format!(
        "exec python3 -c '
import socket, sys
def tries(kind, make, address):
    try: ends = make()
    except OSError: return
    # A connected pair of packets takes an address, ignores it and keeps to its other end.
    ways = [ends[0].connect] if kind == socket.SOCK_SEQPACKET else [ends[0].connect, lambda to: ends[0].sendto(b\"x\", to)]
    for way in ways:
        try: way(address)
        except OSError: continue
        sys.exit(\"%s reached %s\" % (kind, address))
for address in [\"{stream}\", \"{datagrams}\", \"\\0{name}\"]:
    for kind in [socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET, socket.SOCK_RAW]:
        for flags in [0, socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK]:
            tries(kind, lambda: [socket.socket(socket.AF_UNIX, kind | flags)], address)
            tries(kind, lambda: socket.socketpair(socket.AF_UNIX, kind | flags), address)
one, other = socket.socketpair()
one.sendall(b\"x\")
assert other.recv(1) == b\"x\"'",
        stream = paths[0].display(),
        datagrams = paths[1].display(),
    );
    bench.sh(&script).await.ok();
    assert!(stream.accept().is_err() && named.accept().is_err(), "nothing connected");
    assert!(datagrams.recv(&mut [0]).is_err(), "nothing was sent");
}

#[tokio::test]
async fn other_processes_are_out_of_reach() {
    let bench = Bench::new().await;
    if !bench.needs("processes") {
        return;
    }
    let agent = std::process::id();
    bench.sh(&format!("kill -0 {agent} || kill -9 {agent}")).await.refused();
    let ran = bench.sh(&format!("cat /proc/{agent}/environ /proc/{agent}/cmdline")).await;
    assert_eq!(ran.stdout, "");
    ran.refused();
    // Its own process 1 is the one process of the agent's that it can name.
    for file in ["environ", "mem", "maps", "fd/0", "root/etc/shadow", "cwd/secret"] {
        let ran = bench.sh(&format!("head -c 1 /proc/1/{file}")).await;
        assert_eq!(ran.stdout, "", "{file}");
        ran.refused();
    }
    // A signal to process 1 has no effect, so the command ends by itself.
    let ran = bench.sh("kill -9 1; kill -STOP 1; kill -SEGV 1; exit 3").await;
    assert_eq!(ran.finished.ending, Ending::Exited(3));
    let seen = bench.sh("ls -d /proc/[0-9]* | wc -l").await.ok();
    assert!(seen.trim().parse::<u32>().unwrap() < 10, "sees {seen} processes");
}

/// Landlock alone keeps signals and `/proc` from crossing, even between processes of one user.
#[tokio::test]
async fn the_agent_is_out_of_reach_without_namespaces() {
    let bench = Bench::without_namespaces().await;
    if !bench.needs("landlock") {
        return;
    }
    let agent = std::process::id();
    bench.sh(&format!("kill -0 {agent} || kill -0 $PPID")).await.refused();
    for process in [agent.to_string(), "$PPID".to_owned()] {
        let ran =
            bench.sh(&format!("cat /proc/{process}/environ /proc/{process}/cmdline; ls /proc/{process}/fd")).await;
        assert_eq!(ran.stdout, "");
        ran.refused();
    }
}

#[tokio::test]
async fn dangerous_system_calls_are_refused() {
    for bench in [Bench::new().await, Bench::without_namespaces().await] {
        if bench.needs("seccomp") {
            system_calls_are_refused(&bench).await;
        }
    }
}

async fn system_calls_are_refused(bench: &Bench) {
    // Numbers of x86-64 and aarch64, by name, and EPERM or ENOSYS for each.
    let calls = if cfg!(target_arch = "x86_64") {
        "ptrace=101 mount=165 umount2=166 pivot_root=155 chroot=161 unshare=272 setns=308 bpf=321 userfaultfd=323 \
         perf_event_open=298 keyctl=250 add_key=248 request_key=249 kexec_load=246 init_module=175 finit_module=313 \
         reboot=169 swapon=167 process_vm_readv=310 process_vm_writev=311 open_by_handle_at=304 io_uring_setup=425 \
         clone3=435 mount_setattr=442 open_tree=428 move_mount=429 fsopen=430 pidfd_getfd=438 personality=135 iopl=172"
    } else {
        "ptrace=117 mount=40 umount2=39 pivot_root=41 chroot=51 unshare=97 setns=268 bpf=280 userfaultfd=282 \
         perf_event_open=241 keyctl=219 add_key=217 request_key=218 kexec_load=104 init_module=105 finit_module=273 \
         reboot=142 swapon=224 process_vm_readv=270 process_vm_writev=271 open_by_handle_at=265 io_uring_setup=425 \
         clone3=435 mount_setattr=442 open_tree=428 move_mount=429 fsopen=430 pidfd_getfd=438 personality=92"
    };
    let script = format!(
        "exec python3 -c '
import ctypes, errno, sys
libc = ctypes.CDLL(None, use_errno=True)
wrong = []
for pair in \"{calls}\".split():
    name, number = pair.split(\"=\")
    argument = 0x0040000 if name == \"personality\" else 0
    for offset in ([0, 0x40000000] if {x86} else [0]):
        ctypes.set_errno(0)
        answer = libc.syscall(ctypes.c_long(int(number) + offset), ctypes.c_long(argument), 0, 0, 0, 0)
        if answer != -1 or ctypes.get_errno() not in (errno.EPERM, errno.ENOSYS):
            wrong.append((name, offset, answer, ctypes.get_errno()))
for flag in [0x10000000, 0x20000, 0x20000000, 0x40000000, 0x8000000, 0x4000000, 0x2000000]:
    ctypes.set_errno(0)
    answer = libc.syscall(ctypes.c_long({clone}), ctypes.c_long(flag | 17), 0, 0, 0, 0)
    if answer == 0: libc._exit(0)
    if answer != -1 or ctypes.get_errno() != errno.EPERM: wrong.append((\"clone\", flag, answer, ctypes.get_errno()))
sys.exit(\"let through: %s\" % wrong if wrong else 0)'",
        x86 = if cfg!(target_arch = "x86_64") { "True" } else { "False" },
        clone = if cfg!(target_arch = "x86_64") { 56 } else { 220 },
    );
    bench.sh(&script).await.ok();
    bench.sh("unshare -U true || unshare -r mount -t tmpfs none /tmp").await.refused();
}

#[tokio::test]
async fn rights_cannot_be_gained() {
    let bench = Bench::new().await;
    // Read from /proc, which commands have where they have processes of their own.
    if !bench.needs("user") || !bench.needs("processes") {
        return;
    }
    let status = bench.sh("cat /proc/self/status").await.ok();
    let of = |name: &str| {
        status.lines().find_map(|line| line.strip_prefix(name)).unwrap().split_whitespace().collect::<Vec<_>>()
    };
    assert_eq!(of("NoNewPrivs:"), ["1"]);
    for set in ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"] {
        assert_eq!(of(set), ["0000000000000000"], "{set}");
    }
    if nix::unistd::geteuid().is_root() {
        assert_eq!(of("Uid:"), ["65534"; 4]);
        assert_eq!(of("Gid:"), ["65534"; 4]);
        assert_eq!(of("Groups:"), Vec::<&str>::new());
    }
    assert_eq!(bench.sh("cat /proc/self/oom_score_adj").await.ok(), "1000\n", "first to go when memory runs out");
    bench.sh("su -c id root < /dev/null || chown 0 . || mknod device b 1 1").await.refused();
}

#[tokio::test]
async fn the_environment_holds_no_secret() {
    let bench = Bench::with(|options| options.pass_environment = vec!["OPENAI_API_KEY".into()]).await;
    let seen = bench.sh("env; cat /proc/*/environ | tr '\\0' '\\n'").await.stdout;
    assert!(seen.contains("/.venv/bin:/usr/local/bin:/usr/bin:/bin\n"), "{seen}");
    assert!(!seen.contains("canary") && !seen.contains("API_KEY"), "{seen}");
    // What the test runner was started with is not there either.
    assert!(!seen.contains("CARGO_MANIFEST"), "{seen}");
}

/// The agent dies without a chance to clean up. Here that is a child of ours which does nothing but run a command.
#[tokio::test]
async fn a_killed_agent_leaves_nothing_running() {
    let bench = Bench::new().await;
    let pulse = bench.tree().join("pulse");
    let mut agent = std::process::Command::new(std::env::current_exe().unwrap())
        .arg(super::guard::BRIEF_AGENT)
        .arg(bench.place.tree.parent().unwrap())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let beats = || std::fs::metadata(&pulse).map_or(0, |metadata| metadata.len());
    let wait = |holds: &dyn Fn() -> bool| {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !holds() {
            assert!(Instant::now() < deadline, "did not become so in time");
            std::thread::sleep(Duration::from_millis(10));
        }
    };
    wait(&|| beats() > 2);
    agent.kill().unwrap();
    agent.wait().unwrap();
    // Ten beats' time without a beat means the heart stopped.
    let mut last = (beats(), Instant::now());
    let deadline = Instant::now() + Duration::from_secs(30);
    while last.1.elapsed() < Duration::from_millis(500) {
        assert!(Instant::now() < deadline, "the command lives on without its agent");
        std::thread::sleep(Duration::from_millis(20));
        if beats() != last.0 {
            last = (beats(), Instant::now());
        }
    }
}
