//! Tries to break out, in the place where the command will run. Anything that works is a protection that does not hold.

use crate::sandbox::policy::{Failure, Layer, Policy, Verify};
use nix::{errno::Errno, sys::signal::kill, unistd::Pid};
use std::{
    fs::{self, File},
    io::ErrorKind,
    net::{SocketAddr, TcpStream},
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr as LocalAddress, UnixStream},
    },
    time::Duration,
};

/// A loopback connection that is let through takes microseconds.
const CONNECT: Duration = Duration::from_millis(500);

pub(in crate::sandbox) fn verify(policy: &Policy, tries: &Verify) -> Result<(), Failure> {
    let layers = &policy.layers;
    let broken =
        |layer, what: &str| Err(Failure { layer: Some(layer), message: format!("does not hold here: {what}") });

    if layers.identity && nix::unistd::geteuid().as_raw() != policy.identity.user {
        return broken(Layer::Identity, "the command still runs as root");
    }
    if (layers.files || layers.landlock) && File::open(&tries.secret_file).is_ok() {
        let layer = if layers.landlock { Layer::Landlock } else { Layer::Files };
        return broken(layer, "a file of the agent could be read");
    }
    if layers.files && fs::symlink_metadata(&tries.secret_file).is_ok() {
        return broken(Layer::Files, "a file of the agent can be seen");
    }
    if layers.landlock && !layers.files && fs::read_dir("/").is_ok() {
        return broken(Layer::Landlock, "the root folder can be listed");
    }
    if layers.processes && kill(Pid::from_raw(tries.agent_process), None) != Err(Errno::ESRCH) {
        return broken(Layer::Processes, "the agent's process can be seen");
    }
    if layers.network || layers.seccomp {
        let layer = if layers.network { Layer::Network } else { Layer::Seccomp };
        match TcpStream::connect_timeout(&SocketAddr::from(([127, 0, 0, 1], tries.port)), CONNECT) {
            Ok(_) => return broken(layer, "a port of the agent could be reached"),
            // Refused: loopback is up, and it is not the agent's.
            Err(error) if layers.network && error.kind() == ErrorKind::TimedOut => {
                return broken(layer, "packets leave the sandbox");
            }
            Err(_) => {}
        }
    }
    if layers.sockets {
        let name = LocalAddress::from_abstract_name(&tries.abstract_socket);
        if UnixStream::connect(&tries.socket).is_ok() || name.and_then(|name| UnixStream::connect_addr(&name)).is_ok() {
            return broken(Layer::Sockets, "a local socket of the agent could be reached");
        }
    }
    if layers.seccomp && nix::sched::unshare(nix::sched::CloneFlags::CLONE_FILES) != Err(Errno::EPERM) {
        return broken(Layer::Seccomp, "a refused system call was carried out");
    }
    for folder in &policy.files.writable {
        let file = format!("{folder}/.probe");
        if let Err(error) = fs::write(&file, "probe").and_then(|()| fs::remove_file(&file)) {
            return Err(Failure::of(
                if layers.identity { Layer::Identity } else { Layer::Landlock },
                format_args!("the command could not write to its own folder {folder}"),
                error,
            ));
        }
    }
    Ok(())
}
