//! A disk whose power can be cut: what was not synced may be gone.
//!
//! It keeps no more than POSIX promises. A file has what was in it at its last `fsync`; a folder has the names that were
//! in it at its own last `fsync`. A synced file whose name was not synced is gone, and so is a whole tree of synced files
//! under a folder whose own name was not. Real file systems keep more than that, most of the time and each in its own way;
//! a program that loses nothing here does not depend on which one it was given.
//!
//! ```text
//!   program ──write, rename──▶ now ──fsync of the file or folder, after a while──▶ kept
//!                               │                                                   │
//!                               └───────────── cut: some of it, by chance ──────────┴──▶ a folder elsewhere
//! ```
//! A cut takes a copy of what would have survived at that moment; the disk itself goes on. So one run of a program gives
//! many cuts, and each is looked at as a restarted machine would find it.
//!
//! It is a FUSE file system served by threads of this process, mounted as a local block device (`fuseblk`) over a small
//! loop device, because devmesh refuses folders that could lie on a network.

mod serve;
mod tree;

use crate::skipped;
use fuser::{Config, Session, SessionACL};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use rand::rngs::StdRng;
use std::{
    fs::File,
    io,
    os::fd::{AsRawFd, OwnedFd},
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tempfile::TempDir;
use tree::Tree;

pub use tree::Kept;

/// The longest a sync takes: about what a laptop's disk needs, and long enough for other requests to come in between.
const LONGEST_SYNC: Duration = Duration::from_millis(4);

/// What the loop device lies on. Nothing is ever stored there.
const BACKING_BYTES: u64 = 1 << 20;

/// Which syncs the disk obeys. All but the first are disks that lie: controls that have to lose something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Syncs {
    Obeyed,
    /// A file's content is kept by luck alone.
    IgnoredForFiles,
    /// The names in a folder are kept by luck alone.
    IgnoredForFolders,
}

/// Mounted until it is dropped.
pub struct VolatileDisk {
    folder: TempDir,
    tree: Arc<Mutex<Tree>>,
    device: LoopDevice,
    mounted: bool,
}

impl VolatileDisk {
    /// Where this user may not mount, or there is nothing to mount with, `None`, and [`skipped`] has said so.
    pub fn mount(syncs: Syncs) -> Option<Self> {
        Self::try_mount(syncs).inspect_err(|error| skipped(&format!("cannot mount a disk that forgets: {error}"))).ok()
    }

    fn try_mount(syncs: Syncs) -> io::Result<Self> {
        let folder = TempDir::new()?;
        let device = LoopDevice::attach(folder.path())?;
        let fuse = File::options().read(true).write(true).open("/dev/fuse").map_err(named("/dev/fuse"))?;
        let mut disk = Self { folder, tree: Arc::new(Mutex::new(Tree::new())), device, mounted: false };
        let point = disk.path();
        std::fs::create_dir(&point)?;
        let options = format!("fd={},rootmode=40000,user_id=0,group_id=0,default_permissions", fuse.as_raw_fd());
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOATIME;
        mount(Some(&disk.device.path), &point, Some("fuseblk"), flags, Some(options.as_str()))
            .map_err(|error| named("mount")(error.into()))?;
        disk.mounted = true;
        let files = serve::Files::new(Arc::clone(&disk.tree), syncs, LONGEST_SYNC);
        // Its threads end with the mount.
        Session::from_fd(files, OwnedFd::from(fuse), SessionACL::All, Config::default())?.spawn()?;
        Ok(disk)
    }

    /// Where it is mounted: an empty folder whose own name is safe.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("disk")
    }

    /// Writes what is there after a power cut at this moment into `folder`, which is made.
    ///
    /// # Panics
    /// When the copy cannot be written.
    pub fn cut(&self, kept: Kept, chance: &mut StdRng, folder: &Path) {
        let image = locked(&self.tree).image(kept, chance);
        image.write(folder).expect("room for what survived");
    }
}

fn locked(tree: &Mutex<Tree>) -> MutexGuard<'_, Tree> {
    tree.lock().unwrap_or_else(PoisonError::into_inner)
}

fn named(what: &'static str) -> impl Fn(io::Error) -> io::Error {
    move |error| io::Error::new(error.kind(), format!("{what}: {error}"))
}

impl Drop for VolatileDisk {
    fn drop(&mut self) {
        if self.mounted
            && let Err(error) = umount2(&self.path(), MntFlags::MNT_DETACH)
        {
            skipped(&format!("{} stays mounted: {error}", self.path().display()));
        }
    }
}

/// A block device to name in the mount, given back when dropped.
struct LoopDevice {
    path: PathBuf,
}

impl LoopDevice {
    fn attach(folder: &Path) -> io::Result<Self> {
        let backing = folder.join("backing");
        File::create(&backing)?.set_len(BACKING_BYTES)?;
        let output = Command::new("losetup").args(["--find", "--show"]).arg(&backing).output();
        let output = output.map_err(named("losetup"))?;
        if !output.status.success() {
            return Err(io::Error::other(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
        }
        Ok(Self { path: PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()) })
    }
}

impl Drop for LoopDevice {
    fn drop(&mut self) {
        // While the mount is on its way out the kernel only notes it, and lets go of the device with the mount.
        let _ = Command::new("losetup").arg("--detach").arg(&self.path).output();
    }
}
