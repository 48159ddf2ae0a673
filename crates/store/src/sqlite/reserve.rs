//! Room kept free for what ends work and frees space, on a disk that somebody else fills.
//!
//! A file of real blocks in the data folder. Nobody but the writer thread gives any of it away, a step at a time, and only
//! when a request of [`crate::Store::relieve`] has just met a full disk, or the program could not even start on one.
//!
//! ```text
//!           relief meets a full disk, or no room to start
//!   ┌───────┐ ─────────────────────────────────────────▶ ┌───────┐ the same: one more step
//!   │ whole │                                            │ short │◀─┐
//!   └───────┘ ◀───────────────────────────────────────── └───┬───┘──┘
//!        the disk has what is missing and a margin           │
//!                                                            └─ ordinary writes and content are refused before they
//!                                                               touch a file, so that they cannot eat what was released
//! ```
//! What is cut off the file is given to the write-ahead log and its index, as blocks beyond their ends. No system moves blocks
//! from one file to another, so for a moment they are anybody's; they go in many small pieces, because a command that writes
//! until nothing is left takes a piece now and then and never all of them. What the log has got it keeps: while it is short
//! it starts over in place and is never cut to less than it was given ([`Reserve::log_keeps`]). The first block of the file says
//! how large it is when it is whole, so that a restart on a full disk does not take what is left of it for all of it.

use crate::limits;
use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// The first block, which stays when all the others are given away.
const HEADER_BYTES: u64 = 4_096;

#[derive(Debug)]
pub(crate) struct Reserve {
    /// `None` on a file system where no room can be kept: then nothing is ever short.
    file: Option<File>,
    path: PathBuf,
    /// The write-ahead log and its index, which get what is released.
    log: PathBuf,
    index: PathBuf,
    /// Bytes when it is whole, and bytes there are, both without the header.
    size: u64,
    held: u64,
    short: Arc<AtomicBool>,
}

impl Reserve {
    /// Takes up the file of the process before, or makes one. Gives a step away at once when there is no room to start.
    pub(crate) fn open(path: PathBuf, log: PathBuf, index: PathBuf) -> Self {
        let mut reserve = Self { file: None, path, log, index, size: 0, held: 0, short: Arc::default() };
        if let Err(error) = reserve.take_up() {
            tracing::warn!(%error, path = %reserve.path.display(), "no room can be kept free for a full disk");
            reserve.disable();
        }
        reserve
    }

    fn take_up(&mut self) -> io::Result<()> {
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&self.path)?;
        let mut header = String::new();
        // Anything else than a number is nothing: then the file is measured anew.
        let _ = (&mut file).take(32).read_to_string(&mut header);
        let recorded: u64 = header.lines().next().and_then(|line| line.parse().ok()).unwrap_or(0);
        self.held = file.metadata()?.len().saturating_sub(HEADER_BYTES);
        self.file = Some(file);
        let (free, total) = disk(&self.path)?;
        self.size = wanted(free.saturating_add(self.held), total).max(recorded.min(limits::RESERVE_BYTES));
        self.short.store(self.held < self.size, Ordering::Release);
        if self.is_short() {
            self.refill();
        }
        // A start needs some blocks too: of the log's index, of the address clients look for. Few, so that a supervisor
        // that tries again and again does not use the reserve up.
        if free < limits::START_BYTES {
            self.let_go(whole_blocks(limits::START_BYTES - free));
        }
        Ok(())
    }

    fn disable(&mut self) {
        self.file = None;
        (self.size, self.held) = (0, 0);
        self.short.store(false, Ordering::Release);
    }

    /// Told to whoever writes files beside the database.
    pub(crate) fn short(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.short)
    }

    pub(crate) fn is_short(&self) -> bool {
        self.short.load(Ordering::Relaxed)
    }

    /// What to tell those who are refused.
    pub(crate) fn reason(&self) -> String {
        let free = disk(&self.path).map_or(0, |(free, _)| free);
        format!("{} KiB are free, and other writes go on at {} KiB", free / 1024, self.needed() / 1024)
    }

    /// Free bytes at which it can be whole again, with a margin so that the next write does not use it up at once.
    fn needed(&self) -> u64 {
        self.size - self.held + (self.size / 4).max(limits::RESERVE_SMALLEST_BYTES / 2)
    }

    /// Gives a step of it to the write-ahead log and its index. `false`: there is nothing left to give.
    pub(crate) fn release(&mut self) -> bool {
        if self.held == 0 {
            return false;
        }
        let step = self.step().min(self.held);
        let to_index = whole_blocks(step / 4);
        let before = self.held;
        // Opened before anything is free: what follows is two calls a piece.
        let mut log = Heir::open(&self.log);
        while self.held + (step - to_index) > before && self.let_go_of_piece(&mut log) {}
        let mut index = Heir::open(&self.index);
        while self.held + step > before && self.let_go_of_piece(&mut index) {}
        let kept = [&log, &index].into_iter().flatten().map(|heir| heir.got).sum::<u64>();
        let (released, left) = (before - self.held, self.held);
        tracing::warn!(
            released_bytes = released,
            kept_bytes = kept,
            left_bytes = left,
            "the disk is full: a part of the reserve is released"
        );
        released > 0
    }

    /// Bytes the log may keep while it is short: what was given to it, and a step more for who comes next.
    pub(crate) fn log_keeps(&self) -> u64 {
        self.size - self.held + self.step()
    }

    fn step(&self) -> u64 {
        whole_blocks(self.size.div_ceil(limits::RESERVE_STEPS))
    }

    fn let_go_of_piece(&mut self, heir: &mut Option<Heir>) -> bool {
        let piece = whole_blocks(self.step() / limits::RESERVE_PIECES).min(self.held);
        let let_go = piece > 0 && self.let_go(piece);
        if let_go && let Some(heir) = heir {
            heir.take(piece);
        }
        let_go
    }

    /// Cuts whole blocks off the file, which are anybody's from then on.
    fn let_go(&mut self, bytes: u64) -> bool {
        let (Some(file), bytes) = (&self.file, bytes.min(self.held)) else { return false };
        if let Err(error) = file.set_len(HEADER_BYTES + self.held - bytes) {
            tracing::warn!(%error, path = %self.path.display(), "the reserve for a full disk cannot be released");
            return false;
        }
        self.held -= bytes;
        self.short.store(true, Ordering::Release);
        true
    }

    /// Takes back what was given away if the disk has room for it. Says whether it is whole.
    pub(crate) fn refill(&mut self) -> bool {
        let needed = self.needed();
        let Some(file) = &mut self.file else { return true };
        match disk(&self.path) {
            Ok((free, _)) if free >= needed => {}
            _ => return false,
        }
        let before = HEADER_BYTES + self.held;
        match occupy(file, self.size, before) {
            Ok(()) => {
                self.held = self.size;
                self.short.store(false, Ordering::Release);
                true
            }
            Err(error) => {
                let _ = file.set_len(before); // what was there is still there
                if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
                    return false;
                }
                tracing::warn!(%error, path = %self.path.display(), "no room can be kept free for a full disk");
                self.disable();
                true
            }
        }
    }

    /// Whether the disk takes no further block, whatever it says about itself: a quota does not show there.
    pub(crate) fn disk_is_full(&self) -> bool {
        let Some(file) = &self.file else { return false };
        let before = HEADER_BYTES + self.held;
        let full = matches!(
            grow(file, before, HEADER_BYTES),
            Err(error) if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
        );
        let _ = file.set_len(before);
        full
    }
}

/// As much as helps, as little as hurts: a twelfth of a small disk, half of what an almost full one has left.
fn wanted(available: u64, total: u64) -> u64 {
    let size = limits::RESERVE_BYTES.min(total / 12).min(available / 2);
    whole_blocks(size.max(limits::RESERVE_SMALLEST_BYTES))
}

fn whole_blocks(bytes: u64) -> u64 {
    bytes.next_multiple_of(HEADER_BYTES)
}

/// Makes the file `size` bytes of real blocks after its header, of which `before` bytes are there.
fn occupy(file: &mut File, size: u64, before: u64) -> io::Result<()> {
    let mut header = format!("{size}\n").into_bytes();
    header.resize(usize::try_from(HEADER_BYTES).unwrap_or(4_096), 0);
    file.seek(SeekFrom::Start(0))?;
    file.write_all(&header)?;
    let before = before.max(HEADER_BYTES);
    grow(file, before, HEADER_BYTES + size - before)?;
    file.sync_all()
}

/// Real blocks from `at` on.
fn grow(file: &File, at: u64, bytes: u64) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        use nix::{
            errno::Errno,
            fcntl::{FallocateFlags, fallocate},
        };
        match fallocate(file, FallocateFlags::empty(), offset(at), offset(bytes)) {
            Err(Errno::EOPNOTSUPP | Errno::ENOSYS) => {}
            outcome => return outcome.map_err(io::Error::from),
        }
    }
    let mut file = file;
    file.seek(SeekFrom::Start(at))?;
    let zeros = [0; 64 << 10];
    let mut left = bytes;
    while left > 0 {
        let some = usize::try_from(left).unwrap_or(usize::MAX).min(zeros.len());
        file.write_all(&zeros[..some])?;
        left -= some as u64;
    }
    file.sync_data()
}

/// A file that gets blocks beyond its end, which nobody else can take and nobody sees. Where that is not possible they are
/// free for whoever comes first.
#[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "only Linux gives a file blocks beyond its end"))]
struct Heir {
    file: File,
    end: u64,
    /// Bytes beyond the end that it has already, and what of it came from here.
    beyond: u64,
    got: u64,
}

impl Heir {
    fn open(path: &Path) -> Option<Self> {
        let file = OpenOptions::new().write(true).open(path).ok()?;
        let metadata = file.metadata().ok()?;
        let beyond = (metadata.blocks() * 512).saturating_sub(metadata.len());
        Some(Self { end: metadata.len(), file, beyond, got: 0 })
    }

    fn take(&mut self, bytes: u64) {
        #[cfg(target_os = "linux")]
        {
            use nix::fcntl::{FallocateFlags, fallocate};
            let reach = offset(self.beyond + bytes);
            if fallocate(&self.file, FallocateFlags::FALLOC_FL_KEEP_SIZE, offset(self.end), reach).is_ok() {
                self.beyond += bytes;
                self.got += bytes;
            }
        }
        #[cfg(not(target_os = "linux"))]
        let _ = bytes;
    }
}

#[cfg(target_os = "linux")]
fn offset(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// Bytes this user may still write, and bytes of the whole disk, where `file` lies.
pub(crate) fn disk(file: &Path) -> io::Result<(u64, u64)> {
    let disk = nix::sys::statvfs::statvfs(file)?;
    // 32 bits wide on macOS, 64 on Linux.
    let bytes = |blocks: u64| blocks.saturating_mul(disk.fragment_size() as u64);
    Ok((bytes(disk.blocks_available() as u64), bytes(disk.blocks() as u64)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(folder: &Path) -> Reserve {
        Reserve::open(folder.join("reserve"), folder.join("log"), folder.join("index"))
    }

    #[test]
    fn it_is_sized_by_the_disk() {
        let mib = |number: u64| number << 20;
        assert_eq!(wanted(mib(100_000), mib(200_000)), mib(32));
        assert_eq!(wanted(mib(20), mib(24)), mib(2));
        assert_eq!(wanted(mib(10), mib(200_000)), mib(5), "half of what is left");
        assert_eq!(wanted(0, mib(24)), limits::RESERVE_SMALLEST_BYTES);
    }

    #[test]
    fn it_is_made_of_real_blocks_given_away_in_steps_and_taken_back() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("log"), "the log").unwrap();
        let mut reserve = open(folder.path());
        let blocks = || std::fs::metadata(folder.path().join("reserve")).unwrap().blocks() * 512;
        assert!(!reserve.is_short());
        assert!(blocks() >= reserve.size, "{} of {}", blocks(), reserve.size);
        let whole = reserve.size;
        let mut steps = 0;
        while reserve.release() {
            steps += 1;
            assert!(reserve.is_short());
        }
        assert_eq!((steps, reserve.held), (limits::RESERVE_STEPS, 0));
        assert!(blocks() <= 2 * HEADER_BYTES, "{}", blocks());
        let log = std::fs::metadata(folder.path().join("log")).unwrap();
        assert!(log.blocks() * 512 >= whole / 4 * 3, "the log has {} of {whole}", log.blocks() * 512);
        assert_eq!(std::fs::read(folder.path().join("log")).unwrap(), b"the log", "its blocks lie beyond its end");
        assert!(reserve.refill());
        assert_eq!((reserve.is_short(), reserve.held), (false, whole));
        assert!(blocks() >= whole);
    }

    #[test]
    fn a_restart_knows_how_large_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let mut reserve = open(folder.path());
        let whole = reserve.size;
        assert!(reserve.release());
        drop(reserve);
        assert_eq!(open(folder.path()).size, whole);
        std::fs::write(folder.path().join("reserve"), "no number").unwrap();
        let reserve = open(folder.path());
        assert!(!reserve.is_short() && reserve.held == reserve.size, "what cannot be read is made anew");
    }

    #[test]
    fn a_disk_with_room_is_not_full() {
        let folder = tempfile::tempdir().unwrap();
        let reserve = open(folder.path());
        assert!(!reserve.disk_is_full());
        assert_eq!(std::fs::metadata(folder.path().join("reserve")).unwrap().len(), HEADER_BYTES + reserve.held);
    }
}
