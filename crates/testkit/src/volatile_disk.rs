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
//! It is a FUSE file system, mounted as a local block device (`fuseblk`) over a small loop device, because devmesh refuses
//! folders that could lie on a network. A process of its own serves it: the kernel may hold the whole address space of a
//! program back until what it wrote is answered for, and in the same process the answer would wait for that too. The test
//! runs itself again as that process, which ends with the test however that ends.

mod serve;
mod server;
mod tree;

use crate::skipped;
use server::Server;
use std::{
    io,
    path::{Path, PathBuf},
};
use tempfile::TempDir;

pub use tree::Kept;

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
    server: Server,
    folder: TempDir,
}

impl VolatileDisk {
    /// To be called in a test, on its own thread and before anything that must not be done twice: the test runs itself again
    /// as the process that serves the disk, and comes no further there. Where this user may not mount, or there is nothing to
    /// mount with, `None`, and [`skipped`] has said so.
    pub fn mount(syncs: Syncs) -> Option<Self> {
        server::serve_if_asked();
        let mounted = TempDir::new().and_then(|folder| {
            std::fs::create_dir(point(folder.path()))?;
            Ok(Self { server: Server::start(folder.path(), syncs)?, folder })
        });
        mounted.inspect_err(|error: &io::Error| skipped(&format!("cannot mount a disk that forgets: {error}"))).ok()
    }

    /// Where it is mounted: an empty folder whose own name is safe.
    pub fn path(&self) -> PathBuf {
        point(self.folder.path())
    }

    /// Writes what is there after a power cut at this moment into `folder`, which is made. The same `seed` loses the same of
    /// the same changes.
    ///
    /// # Panics
    /// When the copy cannot be written.
    pub fn cut(&mut self, kept: Kept, seed: u64, folder: &Path) {
        self.server.cut(kept, seed, folder).expect("a copy of what survived");
    }
}

fn point(folder: &Path) -> PathBuf {
    folder.join("disk")
}
