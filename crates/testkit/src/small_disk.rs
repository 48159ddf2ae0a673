//! A disk small enough to fill.

use crate::skipped;
use std::{
    fs::File,
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};
use tempfile::TempDir;

/// A small file system of its own, unmounted in the end.
pub struct SmallDisk {
    folder: TempDir,
    mounted: bool,
}

impl SmallDisk {
    /// Where this user may not mount, or there is nothing to mount, `None`, and [`skipped`] has said so.
    pub fn mount(kib: u32) -> Option<Self> {
        let folder = TempDir::new().expect("a temporary folder");
        let mut disk = Self { folder, mounted: false };
        let options = format!("size={kib}k,mode=755");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "small"]).arg(disk.path()).output();
        match mounted {
            Ok(output) if output.status.success() => {
                disk.mounted = true;
                Some(disk)
            }
            Ok(output) => {
                skipped(&format!("cannot mount a small disk: {}", String::from_utf8_lossy(&output.stderr).trim()));
                None
            }
            Err(error) => {
                skipped(&format!("cannot mount a small disk: `mount`: {error}"));
                None
            }
        }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Somebody else's file on it.
    pub fn filler(&self) -> PathBuf {
        self.path().join("filler")
    }

    /// Takes this much of it, to be given back with [`Self::empty`].
    pub fn occupy(&self, bytes: usize) {
        std::fs::write(self.filler(), vec![0; bytes]).expect("room for the filler");
    }

    /// Takes every free byte.
    pub fn fill(&self) {
        let mut filler = File::options().append(true).create(true).open(self.filler()).expect("a file to fill it with");
        for piece in [64 << 10, 4 << 10, 1] {
            while filler.write(&vec![0; piece]).is_ok_and(|written| written > 0) {}
        }
    }

    /// Gives the filler's room back.
    pub fn empty(&self) {
        std::fs::remove_file(self.filler()).expect("a filler to remove");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        if self.mounted {
            let unmounted = Command::new("umount").arg("--lazy").arg(self.path()).status();
            assert!(unmounted.is_ok_and(|status| status.success()), "{} stays mounted", self.path().display());
        }
    }
}
