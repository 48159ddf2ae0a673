//! The tree as the kernel asks for it.

use super::{
    Syncs,
    tree::{Node, Number, Tree},
};
use fuser::{
    BsdFileFlags, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, LockOwner,
    OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen,
    ReplyStatfs, ReplyWrite, ReplyXattr, Request, TimeOrNow, WriteFlags,
};
use std::{
    ffi::OsStr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// How long the kernel may remember what it was told: nobody else changes anything.
const REMEMBERED: Duration = Duration::from_secs(3_600);

const BLOCK: u32 = 4_096;
/// What the disk says it has, so that devmesh keeps little of it in reserve.
const BLOCKS: u64 = 16 << 10;

pub(super) struct Files {
    tree: Arc<Mutex<Tree>>,
    syncs: Syncs,
    longest_sync: Duration,
}

impl Files {
    pub(super) fn new(tree: Arc<Mutex<Tree>>, syncs: Syncs, longest_sync: Duration) -> Self {
        Self { tree, syncs, longest_sync }
    }

    /// Covers what was changed before it was asked for, once it has taken as long as a disk does. Others go on meanwhile.
    fn sync(&self, node: INodeNo, obeyed: bool, reply: ReplyEmpty) {
        let (tree, node) = (Arc::clone(&self.tree), node.0);
        let moment = locked(&tree).moment();
        let takes = self.longest_sync.mul_f64(rand::random());
        std::thread::spawn(move || {
            std::thread::sleep(takes);
            if obeyed {
                locked(&tree).sync(node, moment);
            }
            reply.ok();
        });
    }
}

pub(super) fn locked(tree: &Mutex<Tree>) -> MutexGuard<'_, Tree> {
    tree.lock().unwrap_or_else(PoisonError::into_inner)
}

fn attributes(number: Number, node: &Node) -> FileAttr {
    let size = node.bytes().len() as u64;
    FileAttr {
        ino: INodeNo(number),
        size,
        blocks: size.div_ceil(512),
        atime: UNIX_EPOCH,
        mtime: UNIX_EPOCH,
        ctime: UNIX_EPOCH,
        crtime: UNIX_EPOCH,
        kind: if node.is_folder() { FileType::Directory } else { FileType::RegularFile },
        perm: (node.mode & 0o7777) as u16,
        nlink: if node.is_folder() { 2 } else { 1 },
        uid: 0,
        gid: 0,
        rdev: 0,
        blksize: BLOCK,
        flags: 0,
    }
}

fn entry(tree: &Tree, number: Option<Number>, reply: ReplyEntry) {
    match number.and_then(|number| Some((number, tree.node(number)?))) {
        Some((number, node)) => reply.entry(&REMEMBERED, &attributes(number, node), Generation(0)),
        None => reply.error(Errno::ENOENT),
    }
}

fn attribute(tree: &Tree, number: INodeNo, reply: ReplyAttr) {
    match tree.node(number.0) {
        Some(node) => reply.attr(&REMEMBERED, &attributes(number.0, node)),
        None => reply.error(Errno::ENOENT),
    }
}

/// Whatever is asked for and not here is not supported, which the kernel remembers.
impl Filesystem for Files {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let tree = locked(&self.tree);
        entry(&tree, tree.find(parent.0, name), reply);
    }

    fn getattr(&self, _: &Request, number: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        attribute(&locked(&self.tree), number, reply);
    }

    fn setattr(
        &self,
        _: &Request,
        number: INodeNo,
        mode: Option<u32>,
        _: Option<u32>,
        _: Option<u32>,
        size: Option<u64>,
        _: Option<TimeOrNow>,
        _: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let mut tree = locked(&self.tree);
        if let Some(mode) = mode {
            tree.set_mode(number.0, mode);
        }
        if let Some(size) = size {
            tree.set_length(number.0, size as usize);
        }
        attribute(&tree, number, reply);
    }

    fn mkdir(&self, _: &Request, parent: INodeNo, name: &OsStr, mode: u32, umask: u32, reply: ReplyEntry) {
        let mut tree = locked(&self.tree);
        let made = tree.make_folder(parent.0, name, mode & !umask);
        entry(&tree, Some(made), reply);
    }

    fn create(&self, _: &Request, parent: INodeNo, name: &OsStr, mode: u32, umask: u32, _: i32, reply: ReplyCreate) {
        let mut tree = locked(&self.tree);
        let made = tree.make_file(parent.0, name, mode & !umask);
        match tree.node(made) {
            Some(node) => {
                let attributes = attributes(made, node);
                reply.created(&REMEMBERED, &attributes, Generation(0), FileHandle(0), FopenFlags::empty());
            }
            None => reply.error(Errno::EIO),
        }
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        locked(&self.tree).name(parent.0, name, None);
        reply.ok();
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let mut tree = locked(&self.tree);
        let found = tree.find(parent.0, name).and_then(|number| tree.node(number));
        if found.is_some_and(|node| node.names().next().is_some()) {
            return reply.error(Errno::ENOTEMPTY);
        }
        tree.name(parent.0, name, None);
        reply.ok();
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let mut tree = locked(&self.tree);
        if flags.contains(RenameFlags::RENAME_EXCHANGE) {
            return reply.error(Errno::EINVAL);
        }
        if flags.contains(RenameFlags::RENAME_NOREPLACE) && tree.find(new_parent.0, new_name).is_some() {
            return reply.error(Errno::EEXIST);
        }
        let Some(number) = tree.find(parent.0, name) else { return reply.error(Errno::ENOENT) };
        tree.name(new_parent.0, new_name, Some(number));
        tree.name(parent.0, name, None);
        reply.ok();
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(0), FopenFlags::FOPEN_KEEP_CACHE);
    }

    fn read(
        &self,
        _: &Request,
        number: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let tree = locked(&self.tree);
        let bytes = tree.node(number.0).map_or(&[][..], Node::bytes);
        let begin = bytes.len().min(offset as usize);
        let end = bytes.len().min(begin + size as usize);
        reply.data(&bytes[begin..end]);
    }

    fn write(
        &self,
        _: &Request,
        number: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        locked(&self.tree).write(number.0, offset as usize, data);
        reply.written(data.len() as u32);
    }

    fn fallocate(
        &self,
        _: &Request,
        number: INodeNo,
        _: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        let mut tree = locked(&self.tree);
        let end = (offset + length) as usize;
        if mode == 0 && tree.node(number.0).is_some_and(|node| node.bytes().len() < end) {
            tree.set_length(number.0, end);
        }
        reply.ok();
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn fsync(&self, _: &Request, number: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        self.sync(number, self.syncs != Syncs::IgnoredForFiles, reply);
    }

    fn fsyncdir(&self, _: &Request, number: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        self.sync(number, self.syncs != Syncs::IgnoredForFolders, reply);
    }

    fn readdir(&self, _: &Request, number: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let tree = locked(&self.tree);
        let Some(node) = tree.node(number.0) else { return reply.error(Errno::ENOENT) };
        for (place, (name, number)) in (1..).zip(node.names()).skip(offset as usize) {
            let folder = tree.node(number).is_some_and(Node::is_folder);
            let kind = if folder { FileType::Directory } else { FileType::RegularFile };
            if reply.add(INodeNo(number), place, kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        reply.statfs(BLOCKS, BLOCKS, BLOCKS, BLOCKS, BLOCKS, BLOCK, 255, BLOCK);
    }

    fn getxattr(&self, _: &Request, _: INodeNo, _: &OsStr, _: u32, reply: ReplyXattr) {
        reply.error(Errno::EOPNOTSUPP);
    }
}
