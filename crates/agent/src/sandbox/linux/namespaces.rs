//! Namespaces: which processes, networks and mounts exist for the command.

use crate::sandbox::policy::{Failure, Layer, Namespaces, Policy};
use nix::{
    sched::{CloneFlags, unshare},
    sys::prctl,
    unistd::{getegid, geteuid},
};
use std::{
    fs,
    os::{fd::AsFd, unix::net::UnixDatagram},
};

pub(super) fn enter(policy: &Policy) -> Result<(), Failure> {
    let layers = &policy.layers;
    match layers.namespaces {
        Namespaces::None => return Ok(()),
        Namespaces::Unprivileged => own_user_namespace(Layer::Namespaces)?,
        Namespaces::Privileged => unshare(CloneFlags::CLONE_NEWNS)
            .map_err(|error| Failure::of(Layer::Namespaces, "making namespaces as root", error))?,
    }
    for (wanted, layer, flags) in [
        (layers.files && layers.namespaces != Namespaces::Privileged, Layer::Files, CloneFlags::CLONE_NEWNS),
        (layers.network, Layer::Network, CloneFlags::CLONE_NEWNET),
        (layers.ipc, Layer::Ipc, CloneFlags::CLONE_NEWIPC | CloneFlags::CLONE_NEWUTS),
        // Takes effect for the next process that is forked.
        (layers.processes, Layer::Processes, CloneFlags::CLONE_NEWPID),
    ] {
        if wanted {
            unshare(flags).map_err(|error| Failure::of(layer, format_args!("unshare {flags:?}"), error))?;
        }
    }
    if layers.ipc {
        let _ = nix::unistd::sethostname("sandbox");
    }
    Ok(())
}

/// A user namespace in which this user is itself and nobody else exists.
pub(super) fn own_user_namespace(layer: Layer) -> Result<(), Failure> {
    let (user, group) = (geteuid(), getegid());
    unshare(CloneFlags::CLONE_NEWUSER).map_err(|error| Failure::of(layer, "making a user namespace", error))?;
    // A process that changed its user does not own its own files in /proc until it is dumpable again.
    prctl::set_dumpable(true).map_err(|error| Failure::of(layer, "opening /proc for a moment", error))?;
    // The kernel wants `setgroups` closed before an unprivileged group mapping.
    for (file, text) in [
        ("/proc/self/setgroups", "deny".to_owned()),
        ("/proc/self/uid_map", format!("{user} {user} 1")),
        ("/proc/self/gid_map", format!("{group} {group} 1")),
    ] {
        fs::write(file, text).map_err(|error| Failure::of(layer, format_args!("writing {file}"), error))?;
    }
    Ok(())
}

/// A new network namespace has a loopback device that is down. Test suites expect it up.
pub(super) fn raise_loopback() -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::of(Layer::Network, "raising the loopback device", error);
    let socket = UnixDatagram::unbound().map_err(failed)?;
    #[expect(unsafe_code, reason = "nix has no interface ioctls")]
    // SAFETY: `ifreq` is plain data for which zero is valid. The name is shorter than its field and ends in a zero. The
    // kernel reads the name and the flags and writes nothing for SIOCSIFFLAGS.
    let answer = unsafe {
        let mut request: libc::ifreq = std::mem::zeroed();
        for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
            *to = *from as libc::c_char;
        }
        request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
        libc::ioctl(super::raw(socket.as_fd()), libc::SIOCSIFFLAGS, &raw const request)
    };
    if answer == 0 { Ok(()) } else { Err(failed(std::io::Error::last_os_error())) }
}
