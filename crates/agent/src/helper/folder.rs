//! A folder that is open. Names are looked up in it and never along a path, links are never followed and nothing is waited
//! for: whatever somebody put in the way, what is read, written or removed is what was looked at.

use nix::{
    dir::Dir,
    fcntl::{AtFlags, OFlag, openat, readlinkat, renameat},
    sys::stat::{FchmodatFlags, FileStat, Mode, fchmodat, fstat, fstatat, mkdirat},
    unistd::{UnlinkatFlags, symlinkat, unlinkat},
};
use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io::{self, Read, Write},
    os::{
        fd::OwnedFd,
        unix::{ffi::OsStrExt, fs::MetadataExt},
    },
    path::Path,
};

/// Most names read of one folder. A folder with more is somebody's joke.
const NAMES: usize = 2_000_000;

#[derive(Debug)]
pub(super) struct Folder(OwnedFd);

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Folder,
    Link,
    /// A pipe, socket or device.
    Special,
}

/// What is known of a name without opening it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Look {
    pub kind: Kind,
    pub is_executable: bool,
    pub bytes: u64,
    /// On the disk.
    pub disk_bytes: u64,
    /// Nanoseconds since 1970.
    pub modified: i64,
    /// When anything about it last changed, which no program can set.
    pub changed: i64,
    pub inode: u64,
}

impl Look {
    fn of(stat: &FileStat) -> Self {
        const NANOSECONDS: i64 = 1_000_000_000;
        const BLOCK_BYTES: u64 = 512;
        let kind = match stat.st_mode & libc::S_IFMT {
            libc::S_IFREG => Kind::File,
            libc::S_IFDIR => Kind::Folder,
            libc::S_IFLNK => Kind::Link,
            _ => Kind::Special,
        };
        let time = |seconds: i64, nanoseconds: i64| seconds.saturating_mul(NANOSECONDS).saturating_add(nanoseconds);
        Self {
            kind,
            is_executable: stat.st_mode & 0o100 != 0,
            bytes: stat.st_size.unsigned_abs(),
            disk_bytes: stat.st_blocks.unsigned_abs() * BLOCK_BYTES,
            modified: time(stat.st_mtime, stat.st_mtime_nsec),
            changed: time(stat.st_ctime, stat.st_ctime_nsec),
            inode: stat.st_ino,
        }
    }
}

const ENTER: OFlag = OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

impl Folder {
    /// By a path that only the agent's own folders lie on.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(nix::fcntl::open(path, ENTER, Mode::empty())?))
    }

    /// The same, and where its rights are in the way gives itself what it needs first.
    pub fn open_by_force(path: &Path) -> io::Result<Self> {
        use std::os::unix::fs::PermissionsExt;
        match Self::open(path) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))?;
                Self::open(path)
            }
            opened => opened,
        }
    }

    pub fn enter(&self, name: &OsStr) -> io::Result<Self> {
        Ok(Self(openat(&self.0, name, ENTER, Mode::empty())?))
    }

    /// Enters, and where its rights are in the way gives itself what it needs first.
    pub fn enter_by_force(&self, name: &OsStr) -> io::Result<Self> {
        match self.enter(name) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                self.set_mode(name, 0o700)?;
                self.enter(name)
            }
            entered => entered,
        }
    }

    /// All names but `.` and `..`, in no order.
    pub fn names(&self) -> io::Result<Vec<OsString>> {
        let mut names = Vec::new();
        // A descriptor of its own: reading moves a position that copies of one share.
        let mut folder = Dir::from_fd(openat(&self.0, ".", ENTER, Mode::empty())?)?;
        for entry in folder.iter() {
            let name = OsStr::from_bytes(entry?.file_name().to_bytes()).to_owned();
            if name == "." || name == ".." {
                continue;
            }
            if names.len() == NAMES {
                return Err(io::Error::other(format!("it holds more than {NAMES} names")));
            }
            names.push(name);
        }
        Ok(names)
    }

    pub fn look(&self, name: &OsStr) -> io::Result<Look> {
        Ok(Look::of(&fstatat(&self.0, name, AtFlags::AT_SYMLINK_NOFOLLOW)?))
    }

    /// Which folder it is, under whatever name: device and inode.
    pub fn identity(&self) -> io::Result<(u64, u64)> {
        let stat = fstat(&self.0)?;
        Ok((stat.st_dev, stat.st_ino))
    }

    /// A regular file, opened for reading.
    pub fn file(&self, name: &OsStr) -> io::Result<File> {
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        let file = File::from(openat(&self.0, name, flags, Mode::empty())?);
        match file.metadata()?.is_file() {
            true => Ok(file),
            false => Err(io::Error::other("it is no regular file")),
        }
    }

    /// The whole of a regular file, if it has at most `limit` bytes.
    pub fn read(&self, name: &OsStr, limit: u64) -> io::Result<Vec<u8>> {
        let file = self.file(name)?;
        let too_large = || io::Error::new(io::ErrorKind::FileTooLarge, format!("it has more than {limit} bytes"));
        if file.metadata()?.size() > limit {
            return Err(too_large());
        }
        let mut bytes = Vec::new();
        file.take(limit + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > limit { Err(too_large()) } else { Ok(bytes) }
    }

    pub fn link(&self, name: &OsStr) -> io::Result<OsString> {
        Ok(readlinkat(&self.0, name)?)
    }

    pub fn make_folder(&self, name: &OsStr) -> io::Result<()> {
        Ok(mkdirat(&self.0, name, Mode::from_bits_truncate(0o755))?)
    }

    pub fn make_link(&self, name: &OsStr, target: &OsStr) -> io::Result<()> {
        Ok(symlinkat(target, &self.0, name)?)
    }

    /// A file that was not there, opened for writing.
    pub fn make_file(&self, name: &OsStr, is_executable: bool) -> io::Result<File> {
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let mode = if is_executable { 0o755 } else { 0o644 };
        Ok(File::from(openat(&self.0, name, flags, Mode::from_bits_truncate(mode))?))
    }

    /// A file with this content in place of whatever file has the name. What others have linked or opened under the name
    /// stays as it was.
    pub fn write(&self, name: &OsStr, content: &[u8], is_executable: bool) -> io::Result<()> {
        match self.remove_file(name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        self.make_file(name, is_executable)?.write_all(content)
    }

    pub fn set_mode(&self, name: &OsStr, mode: u32) -> io::Result<()> {
        Ok(fchmodat(&self.0, name, Mode::from_bits_truncate(mode), FchmodatFlags::FollowSymlink)?)
    }

    pub fn remove_file(&self, name: &OsStr) -> io::Result<()> {
        Ok(unlinkat(&self.0, name, UnlinkatFlags::NoRemoveDir)?)
    }

    pub fn remove_folder(&self, name: &OsStr) -> io::Result<()> {
        Ok(unlinkat(&self.0, name, UnlinkatFlags::RemoveDir)?)
    }

    pub fn move_to(&self, name: &OsStr, folder: &Self, target: &OsStr) -> io::Result<()> {
        Ok(renameat(&self.0, name, &folder.0, target)?)
    }

    /// Another descriptor of the same folder.
    pub fn again(&self) -> io::Result<Self> {
        Ok(Self(self.0.try_clone()?))
    }
}

/// A name for people and models: bytes that are no text replaced, control characters escaped.
pub(super) fn shown(name: &[u8]) -> String {
    String::from_utf8_lossy(name).escape_debug().to_string()
}
