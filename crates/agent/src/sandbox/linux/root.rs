//! A root folder of the command's own: only what the policy names exists in it.
//!
//! Landlock decides what may be opened. This decides what is there at all, which also takes away what Landlock does not
//! govern: the sockets of other programs, names, sizes and dates of other files. And it gives every command a `/tmp`, a
//! `/proc` and terminals of its own. Paths stay what they are outside, so messages and configuration files keep making sense.

use super::DEVICES;
use crate::sandbox::policy::Files;
use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    unistd::pivot_root,
};
use std::{
    ffi::{CString, OsString},
    fmt::Display,
    fs, io,
    os::unix::fs::symlink,
    path::{Component, Path, PathBuf},
};

/// The folder all mount points are made on holds nothing but those and links: 1 MiB is plenty.
const ROOT: &str = "size=1m,mode=755";
/// Shared memory, which counts as the machine's memory: 64 MiB is what containers have by default.
const SHARED_MEMORY: &str = "size=64m,mode=1777";

/// Terminals of the command's own. No `gid=5` for their group as elsewhere: in a user namespace that group does not exist.
const TERMINALS: &str = "newinstance,ptmxmode=0666,mode=620";

const NONE: Option<&str> = None;

/// Turns this process's mount namespace into the private root and enters it. Needs the rights of the namespace's owner.
pub(super) fn enter(files: &Files) -> Result<(), String> {
    let base = Path::new(&files.root);
    // Nothing done here may travel back to the machine.
    mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NONE)
        .map_err(failed("making mounts private", "/"))?;
    let quiet = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some("tmpfs"), base, Some("tmpfs"), quiet, Some(ROOT))
        .map_err(failed("mounting the root on", &files.root))?;

    let inside = |path: &str| base.join(path);
    // Before all else: a workspace may lie in the machine's shared memory.
    for (name, kind, options) in [("dev/shm", "tmpfs", Some(SHARED_MEMORY)), ("proc", "proc", None)] {
        let target = inside(name);
        fs::create_dir_all(&target).map_err(failed("making the folder", name))?;
        mount(Some(kind), &target, Some(kind), quiet | MsFlags::MS_NOEXEC, options)
            .map_err(failed("mounting", name))?;
    }

    let mut parts = parts(files);
    // A folder comes before what lies in it, and a link before what leads through it.
    parts.sort_by_key(|part| (part.path.components().count(), part.path));
    for part in &parts {
        place(base, part)?;
    }

    for (name, target) in
        [("dev/fd", "/proc/self/fd"), ("dev/stdin", "fd/0"), ("dev/stdout", "fd/1"), ("dev/stderr", "fd/2")]
    {
        symlink(target, inside(name)).map_err(failed("linking", name))?;
    }
    // Without CONFIG_DEVPTS or the right to mount it there are no terminals, as in many containers, and that is all.
    let terminals = inside("dev/pts");
    fs::create_dir_all(&terminals).map_err(failed("making the folder", "dev/pts"))?;
    let quiet = MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC;
    if mount(Some("devpts"), &terminals, Some("devpts"), quiet, Some(TERMINALS)).is_ok() {
        symlink("pts/ptmx", inside("dev/ptmx")).map_err(failed("linking", "dev/ptmx"))?;
    }

    // The old root ends up under the new one and goes away with everything below it.
    std::env::set_current_dir(base).map_err(failed("entering", &files.root))?;
    pivot_root(".", ".").map_err(failed("changing the root to", &files.root))?;
    umount2(".", MntFlags::MNT_DETACH).map_err(failed("leaving the old root of", &files.root))?;
    std::env::set_current_dir("/").map_err(failed("entering", "/"))?;
    set_attributes(Path::new("/"), libc::MOUNT_ATTR_RDONLY, 0).map_err(failed("closing", "/"))
}

/// Whether `/tmp` is free to be the temporary folder: mount points are never made in a folder the command can change,
/// because it could have put a link in their way.
pub(super) fn offers_tmp(files: &Files) -> bool {
    let read = files.readable.iter().chain(&files.links).map(String::as_str);
    let lies_there = |path: &str| ["/tmp", "/var/tmp"].iter().any(|folder| Path::new(path).starts_with(folder));
    !read.chain(files.writable.iter().map(String::as_str)).any(lies_there)
}

struct Part<'a> {
    /// Where it appears.
    path: &'a Path,
    /// Where it comes from; the same path but for `/tmp`.
    source: &'a Path,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Readable,
    Writable,
    Device,
}

impl<'a> Part<'a> {
    fn at_home(path: &'a str, kind: Kind) -> Self {
        Self { path: Path::new(path), source: Path::new(path), kind }
    }
}

fn parts(files: &Files) -> Vec<Part<'_>> {
    let readable = files.links.iter().chain(&files.readable).map(|path| Part::at_home(path, Kind::Readable));
    let writable = files.writable.iter().map(|path| Part::at_home(path, Kind::Writable));
    let devices = DEVICES.iter().map(|path| Part::at_home(path, Kind::Device));
    let mut parts: Vec<_> = readable.chain(writable).chain(devices).collect();
    if offers_tmp(files) {
        let source = Path::new(&files.temporary);
        parts.extend(["/tmp", "/var/tmp"].map(|path| Part { path: Path::new(path), source, kind: Kind::Writable }));
    }
    parts
}

fn place(base: &Path, part: &Part<'_>) -> Result<(), String> {
    let shown = part.path.display();
    // What is not there, or not for us, is not there for the command either.
    let Ok(metadata) = fs::symlink_metadata(part.source) else { return Ok(()) };
    let target = base.join(part.path.strip_prefix("/").unwrap_or(part.path));
    let is_there = fs::symlink_metadata(&target).is_ok();
    if metadata.is_symlink() {
        if is_there {
            return Ok(());
        }
        let to = fs::read_link(part.source).map_err(failed("reading the link", &shown))?;
        make_parent(&target).map_err(failed("making the folder of", &shown))?;
        return symlink(to, &target).map_err(failed("linking", &shown));
    }
    if !is_there {
        make_parent(&target).map_err(failed("making the folder of", &shown))?;
        let made = if metadata.is_dir() { fs::create_dir(&target) } else { fs::write(&target, []) };
        made.map_err(failed("making a mount point for", &shown))?;
    }
    mount(Some(part.source), &target, NONE, MsFlags::MS_BIND | MsFlags::MS_REC, NONE)
        .map_err(failed("mounting", &shown))?;
    let attributes = match part.kind {
        Kind::Readable => libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV,
        Kind::Writable => libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV,
        Kind::Device => libc::MOUNT_ATTR_NOSUID,
    };
    set_attributes(&target, attributes, libc::AT_RECURSIVE).map_err(failed("restricting", &shown))
}

fn make_parent(target: &Path) -> io::Result<()> {
    target.parent().map_or(Ok(()), fs::create_dir_all)
}

/// Adds to the attributes of a mount and keeps those it has, which a plain remount would drop.
fn set_attributes(target: &Path, attributes: u64, flags: libc::c_int) -> io::Result<()> {
    use std::os::unix::ffi::OsStrExt;
    let path = CString::new(target.as_os_str().as_bytes())?;
    let attributes = libc::mount_attr { attr_set: attributes, attr_clr: 0, propagation: 0, userns_fd: 0 };
    #[expect(unsafe_code, reason = "nix has no mount_setattr")]
    // SAFETY: the path ends in a zero and the attributes are of the size that is told; both live through the call, and
    // the kernel only reads them.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            path.as_ptr(),
            flags,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn failed<E: Display>(doing: &str, what: impl Display) -> impl FnOnce(E) -> String {
    move |error| format!("{doing} {what}: {error}")
}

/// Symbolic links met while following `path` to its end, each by a name that leads through no other link. Such a name
/// can be made anew in an empty root without anything being followed to somewhere else.
pub(in crate::sandbox) fn links_along(path: &Path) -> Vec<PathBuf> {
    let mut links = Vec::new();
    let mut reached = PathBuf::from("/");
    let mut ahead: Vec<OsString> = names(path);
    while let Some(name) = ahead.pop() {
        if name == ".." {
            reached.pop();
            continue;
        }
        reached.push(name);
        // A loop has no end to show; the kernel gives up at the same number.
        if links.len() < LINKS
            && let Ok(target) = fs::read_link(&reached)
        {
            links.push(reached.clone());
            reached.pop();
            if target.is_absolute() {
                reached = PathBuf::from("/");
            }
            ahead.extend(names(&target));
        }
    }
    links
}

const LINKS: usize = 40;

/// The parts of a path, last first.
fn names(path: &Path) -> Vec<OsString> {
    let parts = path.components().rev().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    });
    parts.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_link_on_the_way_is_found_by_its_own_name() {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().canonicalize().unwrap();
        fs::create_dir_all(base.join("real/inner")).unwrap();
        symlink("../real", base.join("real/again")).unwrap();
        symlink(base.join("middle"), base.join("first")).unwrap();
        symlink("./real", base.join("middle")).unwrap();
        symlink("loop", base.join("loop")).unwrap();
        let found = |path: &str| links_along(&base.join(path));
        assert_eq!(found("real/inner"), Vec::<PathBuf>::new());
        assert_eq!(found("first/again/inner"), ["first", "middle", "real/again"].map(|name| base.join(name)));
        assert_eq!(found("loop/x").len(), LINKS);
    }
}
