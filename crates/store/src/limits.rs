//! Every number the store stops at, with its unit and its reason.

use std::time::Duration;

/// Write requests waiting for the writer thread. Four full batches: enough to keep the writer busy through a slow sync,
/// few enough that the last in line still waits well under a second on a laptop disk. Callers beyond it wait outside.
pub const QUEUED_WRITES: usize = 1_024;

/// Read requests waiting for a reader thread. A read is a page, a millisecond or so: the last in line waits for about a
/// tenth of a second.
pub const QUEUED_READS: usize = 512;

/// Write requests per COMMIT. More only makes the first one wait longer for its answer: at 256 the sync is already
/// less than a tenth of the batch.
pub const REQUESTS_PER_COMMIT: usize = 256;

/// Work per COMMIT; the batch closes after the request that passes it, so that one heavy request delays few others.
pub const WORK_PER_COMMIT: Duration = Duration::from_millis(2);

/// How long a request waits for a place in the queue or for a reader before it is told [`crate::Error::Busy`].
pub const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// How long a backup waits for whoever reads it before it ends: content that could go waits for it meanwhile.
pub const BACKUP_PAUSE: Duration = Duration::from_secs(30);

/// After this fraction of the pause another backup takes the place of one that is not read.
pub const BACKUP_TAKEN_OVER_AFTER: u32 = 6;

/// How long SQLite waits for a lock some other program took on our file, a shell with an open transaction for example.
pub const LOCK_WAIT: Duration = Duration::from_secs(5);

/// How long a truncating checkpoint waits for readers. They are short, except for a backup, which must not stop writes.
pub const CHECKPOINT_WAIT: Duration = Duration::from_millis(50);

/// Pages in the write-ahead log after which they are copied into the database (4 MiB at 4 KiB a page).
pub const CHECKPOINT_PAGES: u64 = 1_000;

/// Size in bytes at which the write-ahead log is cut even though the writer is busy.
pub const WAL_BYTES: u64 = 256 * 1024 * 1024;

/// Size in bytes the write-ahead log keeps on disk when it starts over, so that steady work does not grow it anew.
pub const WAL_KEPT_BYTES: i64 = 64 * 1024 * 1024;

/// Quiet time after which the write-ahead log is emptied, so that a folder at rest is one complete file.
pub const IDLE_BEFORE_TRUNCATE: Duration = Duration::from_secs(1);

/// How often a folder that refused a write is tried again while nobody else tries.
pub const PROBE_INTERVAL: Duration = Duration::from_millis(250);

/// Room kept free for what frees space or ends work (bytes): some hundred cancelled jobs, or the last words of several, even
/// though the write-ahead log grows with each. A twelfth of a disk smaller than 384 MiB.
pub const RESERVE_BYTES: u64 = 32 * 1024 * 1024;

/// The least room that helps (bytes): a few small commits and the index of the write-ahead log.
pub const RESERVE_SMALLEST_BYTES: u64 = 256 * 1024;

/// What a start needs free (bytes): the index of the write-ahead log and a few small files.
pub const START_BYTES: u64 = 64 * 1024;

/// Parts the reserve is given away in, so that one cancelled job does not use up all of it.
pub const RESERVE_STEPS: u64 = 8;

/// Pieces a step is handed over in, a few microseconds each: somebody who fills the disk at the same time gets some of them.
/// More would take longer than a commit.
pub const RESERVE_PIECES: u64 = 64;

/// Events removed per COMMIT after a deletion: about a millisecond of work.
pub const PURGED_EVENTS_PER_COMMIT: u64 = 500;

/// Batches of events of an attempt whose digests are kept. An agent repeats the last one, or a proxy one before it.
pub const REMEMBERED_BATCHES: usize = 16;

/// Files of content nobody names removed after a COMMIT: a few milliseconds on a slow disk.
pub const SWEPT_PER_COMMIT: usize = 64;

/// Bytes of content read per call of [`crate::Store::check_content`]: a second of a slow disk.
pub const READ_PER_CHECK: u64 = 64 * 1024 * 1024;

/// Delayed jobs made ready per call of [`crate::Jobs::promote_delayed`].
pub const PROMOTED_PER_CALL: usize = 1_000;

/// Rows a page of jobs, approvals, audit entries or digests has at most, whatever the caller asks for.
pub const ROWS_PER_PAGE: usize = 1_000;

/// Rows that cannot be read, and that a page passes over to be full all the same. Bounds what one page of a badly damaged database
/// costs; a list ends before that many in a row.
pub const UNREADABLE_PER_PAGE: usize = 10_000;

/// Queued jobs that cannot be read and that others go past: each costs every lease a few steps down an index. A database with more of them
/// is one to restore.
pub const UNREADABLE_IN_QUEUE: usize = 100;

/// A page ends early rather than hold more than this of what people and agents wrote (bytes), unless its first row alone does:
/// 200 jobs with a task of 2 MiB each, or as many approvals of 1 MiB, would otherwise be one answer.
pub const PAGE_BYTES: usize = 4 << 20;

/// [`PAGE_BYTES`] for approvals: their arguments take up to sixteen times their length while they are read as JSON.
pub const APPROVALS_PAGE_BYTES: usize = 1 << 20;

/// Prepared statements kept per connection: more than there are in this crate, so none is prepared twice.
pub(crate) const CACHED_STATEMENTS: usize = 96;

/// Page cache per connection, in KiB. Holds the inner pages of a database of several GiB.
pub(crate) const WRITER_CACHE_KIB: i64 = 16 * 1024;
pub(crate) const READER_CACHE_KIB: i64 = 4 * 1024;
