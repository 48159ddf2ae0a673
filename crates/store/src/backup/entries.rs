//! The files in an archive of ours, also of one that was damaged.
//!
//! The format is POSIX ustar as [`tar::Header`] reads it: blocks of 512 bytes, a header with a checksum before each file, blocks of
//! zeros at the end.
//!
//! ```text
//!   in step ── a block that is no header ──▶ out of step: every block may be one, and only what is named like ours counts
//! ```
//! Out of step, what looks like a file of ours may be a part of a damaged one, which holds an archive itself. Whoever reads it compares
//! it with its digest, and puts it back if it was none: then it is looked through as well. There is no way back into step, because
//! an archive in a damaged file may hold whole files.

use super::{MANIFEST, digest_of};
use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
};

const BLOCK: usize = 512;
/// Where a header has its checksum, which is computed as if spaces stood there.
const CHECKSUM: std::ops::Range<usize> = 148..156;

/// What a header says.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) is_file: bool,
}

/// Where content is passed over.
pub(super) trait Source: Read {
    /// Says how many bytes there were.
    fn pass_over(&mut self, bytes: u64) -> io::Result<u64>;
}

/// Read from its beginning to its end, as from a pipe, with what was put back before the rest of it.
pub(super) struct Flowing<R> {
    /// The next is the last.
    put_back: Vec<Box<dyn Read>>,
    rest: R,
}

impl<R: Read> Read for Flowing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(next) = self.put_back.last_mut().filter(|_| !buffer.is_empty()) {
            match next.read(buffer)? {
                0 => drop(self.put_back.pop()),
                read => return Ok(read),
            }
        }
        self.rest.read(buffer)
    }
}

impl<R: Read> Source for Flowing<R> {
    fn pass_over(&mut self, bytes: u64) -> io::Result<u64> {
        io::copy(&mut self.take(bytes), &mut io::sink())
    }
}

impl Source for &mut File {
    fn pass_over(&mut self, bytes: u64) -> io::Result<u64> {
        let (at, end) = (self.stream_position()?, self.metadata()?.len());
        let passed = bytes.min(end.saturating_sub(at));
        self.seek(SeekFrom::Start(at + passed))?;
        Ok(passed)
    }
}

/// Blocks of zeros after the last file.
const END_BLOCKS: u64 = 2;

/// One after the other.
pub(super) struct Entries<S> {
    source: S,
    /// Bytes of the current content that were not read.
    content: u64,
    /// Bytes after it up to the next block.
    padding: u64,
    is_in_step: bool,
    /// Blocks of zeros that came last.
    zeros: u64,
    is_damaged: bool,
}

impl<R: Read> Entries<Flowing<R>> {
    pub(super) fn flowing(source: R) -> Self {
        Self::new(Flowing { put_back: Vec::new(), rest: source })
    }

    /// The current entry, of which this was read, was none.
    pub(super) fn put_back(&mut self, content: impl Read + 'static) {
        self.source.put_back.push(Box::new(content));
        (self.content, self.padding) = (0, 0);
    }
}

impl<'a> Entries<&'a mut File> {
    pub(super) fn seeking(source: &'a mut File) -> Self {
        Self::new(source)
    }
}

impl<S: Source> Entries<S> {
    fn new(source: S) -> Self {
        Self { source, content: 0, padding: 0, is_in_step: true, zeros: 0, is_damaged: false }
    }

    /// Passes over what was not read of the one before. `None` at the end.
    pub(super) fn next_entry(&mut self) -> io::Result<Option<Entry>> {
        let rest = self.content.saturating_add(self.padding);
        if self.source.pass_over(rest)? < rest {
            return Ok(None);
        }
        (self.content, self.padding) = (0, 0);
        while let Some(block) = self.block()? {
            if block.iter().all(|byte| *byte == 0) {
                // The end, unless something comes after it.
                (self.is_in_step, self.zeros) = (false, self.zeros + 1);
                continue;
            }
            self.is_damaged |= self.zeros > 0;
            self.zeros = 0;
            if let Some((entry, bytes)) = read_header(&block).filter(|(entry, _)| self.is_in_step || entry.is_ours()) {
                self.content = bytes;
                self.padding = bytes.next_multiple_of(BLOCK as u64) - bytes;
                return Ok(Some(entry));
            }
            (self.is_in_step, self.is_damaged) = (false, true);
        }
        Ok(None)
    }

    /// Whether entries come one after the other, so that each is what it says.
    pub(super) fn is_in_step(&self) -> bool {
        self.is_in_step
    }

    /// Whether the mark stood at the end. Without it the archive was cut.
    pub(super) fn is_ended(&self) -> bool {
        self.zeros >= END_BLOCKS
    }

    /// Whether some of it is not what was written, as far as that shows here: also where zeros stand in the place of the last files.
    pub(super) fn is_damaged(&self) -> bool {
        self.is_damaged || self.zeros > END_BLOCKS
    }

    /// Of the entry that came last. Ends early where the archive does.
    pub(super) fn content(&mut self) -> impl Read + '_ {
        Content(self)
    }

    /// Whether the content that is being read goes on.
    pub(super) fn has_more(&self) -> bool {
        self.content > 0
    }

    fn block(&mut self) -> io::Result<Option<[u8; BLOCK]>> {
        let mut block = [0; BLOCK];
        match self.source.read_exact(&mut block) {
            Ok(()) => Ok(Some(block)),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(error),
        }
    }
}

struct Content<'a, S>(&'a mut Entries<S>);

impl<S: Source> Read for Content<'_, S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.0.content).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.0.source.read(&mut buffer[..wanted])?;
        self.0.content -= read as u64;
        Ok(read)
    }
}

impl Entry {
    /// What may stand after a damaged header.
    fn is_ours(&self) -> bool {
        self.is_file && (self.name == MANIFEST || digest_of(&self.name).is_some())
    }
}

/// What it says and how long the content is; `None` when it does not have its checksum.
fn read_header(block: &[u8; BLOCK]) -> Option<(Entry, u64)> {
    let header = tar::Header::from_byte_slice(block);
    let sum = |range: &[u8]| range.iter().map(|byte| u32::from(*byte)).sum::<u32>();
    let spaces = u32::from(b' ') * CHECKSUM.len() as u32;
    let computed = sum(&block[..CHECKSUM.start]) + spaces + sum(&block[CHECKSUM.end..]);
    if header.cksum().ok()? != computed {
        return None;
    }
    let name = String::from_utf8_lossy(&header.path_bytes()).into_owned();
    let entry = Entry { name, is_file: header.entry_type() == tar::EntryType::Regular };
    Some((entry, header.entry_size().ok().filter(|bytes| *bytes <= i64::MAX as u64)?))
}
