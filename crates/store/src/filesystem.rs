//! Which file systems a write-ahead log survives on.
//!
//! SQLite's log needs shared memory and locks that every process sees alike. Network and host-share file systems promise
//! both and keep neither: databases there were damaged within minutes, without an error. So the folder is looked up in
//! the mount table before the log is switched on.

use std::{
    ffi::OsString,
    os::unix::ffi::OsStringExt,
    path::{Path, PathBuf},
};

/// Where a folder is mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    pub point: PathBuf,
    /// As the kernel names it: `ext4`, `virtiofs`, `fuse.sshfs` …
    pub filesystem: String,
}

/// What is shared with another machine or a hypervisor's host.
const SHARED: &[&str] = &[
    "virtiofs",
    "9p",
    "v9fs",
    "nfs",
    "nfs3",
    "nfs4",
    "cifs",
    "smb",
    "smb2",
    "smb3",
    "smbfs",
    "osxfs",
    "grpcfuse",
    "vboxsf",
    "vmhgfs",
    "prl_fs",
    "prl_vfs",
    "drvfs",
    "afs",
    "ceph",
    "lustre",
    "gfs2",
    "ocfs2",
    "beegfs",
    "glusterfs",
    "orangefs",
    "pvfs2",
    "coda",
    "davfs",
    "davfs2",
    "ncpfs",
    "fuse",
];

impl Mount {
    /// Whether a database is safe here. Anything through FUSE is refused except `fuseblk`, which is a local block
    /// device: from inside, a FUSE mount does not say whether a network lies behind it.
    pub fn is_safe(&self) -> bool {
        !SHARED.contains(&self.filesystem.as_str()) && !self.filesystem.starts_with("fuse.")
    }
}

/// The mount an absolute path without symbolic links lies on, out of the text of `/proc/self/mountinfo`
/// (proc_pid_mountinfo(5)): the longest mount point that is a prefix of it, and of two alike the later, which hides
/// the earlier. Lines that cannot be read are passed over.
pub fn mount_of(mountinfo: &str, path: &Path) -> Option<Mount> {
    let mut found: Option<Mount> = None;
    for line in mountinfo.lines() {
        let Some((left, right)) = line.split_once(" - ") else { continue };
        let (Some(point), Some(filesystem)) = (left.split(' ').nth(4), right.split(' ').next()) else { continue };
        let point = unescape(point);
        let deeper = found.as_ref().is_none_or(|found| point.as_os_str().len() >= found.point.as_os_str().len());
        if path.starts_with(&point) && deeper {
            found = Some(Mount { point, filesystem: filesystem.to_owned() });
        }
    }
    found
}

/// Space, tab, newline and backslash stand as three octal digits after a backslash.
fn unescape(text: &str) -> PathBuf {
    let bytes = text.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let octal = bytes.get(at + 1..at + 4).and_then(|digits| std::str::from_utf8(digits).ok());
        match octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()).filter(|_| bytes[at] == b'\\') {
            Some(byte) => {
                plain.push(byte);
                at += 4;
            }
            None => {
                plain.push(bytes[at]);
                at += 1;
            }
        }
    }
    PathBuf::from(OsString::from_vec(plain))
}

/// Refuses a folder whose file system would damage a database. `folder` exists.
#[cfg(target_os = "linux")]
pub(crate) fn check(folder: &Path) -> Result<(), crate::Error> {
    let real = folder.canonicalize().map_err(crate::Error::file(folder, "resolved"))?;
    // Mount points may hold any bytes; what is not UTF-8 cannot match anything this looks for by name.
    let table = match std::fs::read("/proc/self/mountinfo") {
        Ok(table) => String::from_utf8_lossy(&table).into_owned(),
        Err(error) => {
            tracing::warn!(%error, "the mount table is not readable: the file system of the data folder is not checked");
            return Ok(());
        }
    };
    match mount_of(&table, &real) {
        Some(mount) if !mount.is_safe() => Err(crate::Error::UnsafeFilesystem {
            folder: folder.to_owned(),
            filesystem: mount.filesystem,
            mount_point: mount.point,
        }),
        _ => Ok(()),
    }
}

/// Only Linux tells by a file that anyone may read; elsewhere the operator has to know.
#[cfg(not(target_os = "linux"))]
pub(crate) fn check(folder: &Path) -> Result<(), crate::Error> {
    tracing::warn!(
        folder = %folder.display(),
        "the file system of the data folder is not checked on this system: keep it on a local disk, never on a network share"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStrExt;

    const TABLE: &str = "\
22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime shared:1 master:2 - ext4 /dev/vda rw,discard
30 27 0:30 / /data rw,relatime - virtiofs share rw
31 27 0:31 / /data/inner rw - ext4 /dev/vdb rw
32 27 0:32 / /home/my\\040files rw - fuse.sshfs host:/ rw,user_id=0
33 27 0:33 / /over rw - nfs4 host:/ rw
34 27 0:34 / /over rw - tmpfs tmpfs rw
a line without meaning
35 27 0:35 / /disk rw - fuseblk /dev/sdb1 rw
";

    fn at(path: &str) -> (String, bool) {
        let mount = mount_of(TABLE, Path::new(path)).unwrap();
        let safe = mount.is_safe();
        (mount.filesystem, safe)
    }

    #[test]
    fn the_deepest_and_latest_mount_decides() {
        assert_eq!(at("/var/lib/devmesh"), ("ext4".into(), true));
        assert_eq!(at("/data"), ("virtiofs".into(), false));
        assert_eq!(at("/data/devmesh"), ("virtiofs".into(), false));
        assert_eq!(at("/data/inner/devmesh"), ("ext4".into(), true));
        assert_eq!(at("/database"), ("ext4".into(), true), "a name that only begins alike is another folder");
        assert_eq!(at("/home/my files/devmesh"), ("fuse.sshfs".into(), false));
        assert_eq!(at("/over/devmesh"), ("tmpfs".into(), true));
        assert_eq!(at("/disk/devmesh"), ("fuseblk".into(), true));
    }

    #[test]
    fn every_shared_kind_is_refused_and_local_ones_are_not() {
        for kind in ["virtiofs", "9p", "nfs", "nfs4", "cifs", "smb3", "fuse", "fuse.grpcfuse", "fuse.gvfsd-fuse"] {
            assert!(!Mount { point: "/".into(), filesystem: kind.into() }.is_safe(), "{kind}");
        }
        for kind in ["ext4", "xfs", "btrfs", "zfs", "overlay", "tmpfs", "f2fs", "apfs"] {
            assert!(Mount { point: "/".into(), filesystem: kind.into() }.is_safe(), "{kind}");
        }
    }

    #[test]
    fn escapes_of_any_shape_are_read() {
        assert_eq!(unescape(r"/a\040b\134c"), Path::new(r"/a b\c"));
        assert_eq!(unescape(r"/a\04"), Path::new(r"/a\04"));
        assert_eq!(unescape(r"/a\999"), Path::new(r"/a\999"));
        assert!(unescape("/é\\").as_os_str().as_bytes().ends_with(b"\\"));
        assert_eq!(mount_of("", Path::new("/")), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_real_table_of_this_machine_is_understood() {
        let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert_eq!(mount_of(&table, Path::new("/proc/self")).unwrap().filesystem, "proc");
    }
}
