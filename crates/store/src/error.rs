//! What can go wrong, split by what a caller can do about it.

use crate::limits;
use domain::JobId;
use rusqlite::ErrorCode;
use std::{
    io,
    path::{Path, PathBuf},
};
use thiserror::Error;

/// Why a decision did not let an operation happen.
pub type Refused = Box<dyn std::error::Error + Send + Sync>;

#[derive(Debug, Error)]
pub enum Error {
    // Repeat the request later. Nothing of it was acknowledged, and nobody was told of it.
    /// No room for the write.
    #[error(
        "the disk under the data folder is full ({0}); free some space and repeat the request, writing resumes by itself"
    )]
    StorageFull(String),
    /// The disk refused a write or a sync.
    #[error("the data folder could not be written ({0}); look at the disk and the system log, then repeat the request")]
    StorageFailed(String),
    #[error("no turn at the database within {waited_ms} ms; repeat the request later")]
    Busy { waited_ms: u128 },
    #[error("another backup is being read; wait until it is done")]
    BackupRunning,
    #[error("the store is closed")]
    Closed,

    // The data folder cannot be opened; a person has to do something first.
    #[error(
        "the data folder {} is in use by {}; stop that one or choose another folder",
        folder.display(),
        pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
    )]
    FolderInUse { folder: PathBuf, pid: Option<u32> },
    #[error(
        "the data folder {} lies on {filesystem} (mounted at {}), where SQLite loses data without a word; choose a folder on a local disk, \
         or a named volume instead of a shared folder when this runs in a container",
        folder.display(),
        mount_point.display()
    )]
    UnsafeFilesystem { folder: PathBuf, filesystem: String, mount_point: PathBuf },
    #[error(
        "{} was written by a newer devmesh: its last migration is `{name}` ({found}) and this build ends at {known}; \
         install that version or restore an older backup",
        file.display()
    )]
    NewerSchema { file: PathBuf, found: u32, name: String, known: u32 },
    #[error("{} is no devmesh database (application id {application_id:#010x}); choose another folder or file", file.display())]
    ForeignDatabase { file: PathBuf, application_id: i32 },
    #[error(
        "{} is {found}, so another folder may have the same data, and two backends would damage it; \
         choose the folder it really lies in with --data, or put a copy in its place",
        path.display()
    )]
    NotItsOwn { path: PathBuf, found: String },
    #[error("the data folder {} is not empty (it holds `{entry}`); restore into a new folder", folder.display())]
    FolderNotEmpty { folder: PathBuf, entry: String },
    #[error(
        "a restore into {0} was interrupted, and nothing can start there; run `devmesh restore FILE --data {0}` again, or remove the folder",
        folder.display()
    )]
    RestoreUnfinished { folder: PathBuf },
    #[error("{} could not be {what}: {source}", path.display())]
    File { path: PathBuf, what: &'static str, source: io::Error },
    #[error("SQLite {found} can damage its write-ahead log; this program needs {needed} or newer")]
    UnsafeSqlite { found: String, needed: &'static str },
    #[error("SQLite keeps `{pragma}` at `{found}` instead of `{wanted}`")]
    Pragma { pragma: &'static str, wanted: String, found: String },

    // The request is wrong.
    /// A decision did not let it happen. Whoever made the decision knows the error by its type.
    #[error(transparent)]
    Refused(Refused),
    #[error("there is no job {0}")]
    NoSuchJob(JobId),
    #[error("attempt {attempt} of job {job} is over (the job has come to attempt {current})")]
    StaleAttempt { job: JobId, attempt: u32, current: u32 },
    #[error("producer_seq {got} leaves a gap; send the batch with producer_seq {expected} first")]
    ProducerGap { expected: u64, got: u64 },
    #[error("producer_seq {producer_seq} was stored with other events; a repeat brings the same ones")]
    ProducerConflict { producer_seq: u64 },
    #[error("producer_seq {producer_seq} is too old to tell whether it was stored with these events")]
    ProducerForgotten { producer_seq: u64 },
    #[error("that breaks a rule of the database: {0}")]
    Constraint(String),
    #[error("the content is longer than the {limit_bytes} bytes allowed here")]
    BlobTooLarge { limit_bytes: u64 },
    #[error("the content stopped arriving: {0}")]
    BlobInput(io::Error),
    /// Stored content that an artifact names is gone or was changed behind our back.
    #[error(
        "the stored content with SHA-256 {sha256} is {condition}; `devmesh doctor` lists all such content, a backup has it"
    )]
    BlobLost { sha256: String, condition: crate::Condition },
    #[error("no content with SHA-256 {0} is stored; send it again")]
    BlobMissing(String),
    #[error("a digest is 64 lower-case hex digits; got `{0}`")]
    NotADigest(String),

    // A bug, or damage.
    #[error(transparent)]
    Unreadable(crate::Unreadable),
    #[error("the database is damaged ({0}); stop, copy the data folder for diagnosis, and restore a backup")]
    Corrupt(String),
    #[error("a database request panicked ({0}); nothing of it was stored")]
    Panicked(String),
    #[error(transparent)]
    Sqlite(rusqlite::Error),
}

impl Error {
    pub(crate) fn busy() -> Self {
        Self::Busy { waited_ms: limits::LONGEST_WAIT.as_millis() }
    }

    pub(crate) fn file(path: impl Into<PathBuf>, what: &'static str) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| match Failure::of_io(&source) {
            Some(failure) => failure.into(),
            None => Self::File { path, what, source },
        }
    }
}

impl Error {
    /// Of a file written in a folder that is ours: whatever refuses it is the disk's doing, as it is for a row.
    pub(crate) fn written(path: &Path, what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| match Failure::of_io(&source) {
            Some(failure) => failure.into(),
            None => Self::StorageFailed(format!("{} could not be {what}: {source}", path.display())),
        }
    }
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        if let Some(failure) = Failure::of(&error) {
            return failure.into();
        }
        match error {
            rusqlite::Error::SqliteFailure(code, message) if code.code == ErrorCode::ConstraintViolation => {
                Self::Constraint(message.unwrap_or_else(|| code.to_string()))
            }
            rusqlite::Error::FromSqlConversionFailure(at, kind, cause) => match cause.downcast::<crate::Unreadable>() {
                Ok(unreadable) => Self::Unreadable(*unreadable),
                Err(cause) => Self::Corrupt(rusqlite::Error::FromSqlConversionFailure(at, kind, cause).to_string()),
            },
            // A row this build did not write: a value outside its type or set of names.
            rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::Utf8Error(..) => Self::Corrupt(error.to_string()),
            other => Self::Sqlite(other),
        }
    }
}

/// An error after which a whole transaction cannot be trusted. Unlike [`Error`] it can be told to everyone in a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    Full(String),
    Failed(String),
    Corrupt(String),
}

/// `SQLITE_IOERR_SHMSIZE`.
const NO_ROOM_FOR_INDEX: i32 = rusqlite::ffi::SQLITE_IOERR_SHMSIZE;

impl Failure {
    pub(crate) fn of(error: &rusqlite::Error) -> Option<Self> {
        let code = error.sqlite_error_code()?;
        let text = match error.sqlite_extended_error_code() {
            Some(extended) => format!("{error}, code {extended}"),
            None => error.to_string(),
        };
        match code {
            ErrorCode::DiskFull => Some(Self::Full(text)),
            // The log's index is extended by writing to it, and nothing else makes that fail.
            ErrorCode::SystemIoFailure if error.sqlite_extended_error_code() == Some(NO_ROOM_FOR_INDEX) => {
                Some(Self::Full(text))
            }
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => Some(Self::Corrupt(text)),
            ErrorCode::SystemIoFailure
            | ErrorCode::ReadOnly
            | ErrorCode::CannotOpen
            | ErrorCode::PermissionDenied
            | ErrorCode::OutOfMemory
            | ErrorCode::DatabaseBusy
            | ErrorCode::DatabaseLocked
            | ErrorCode::FileLockingProtocolFailed
            | ErrorCode::OperationInterrupted => Some(Self::Failed(text)),
            _ => None,
        }
    }

    fn of_io(error: &io::Error) -> Option<Self> {
        matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
            .then(|| Self::Full(error.to_string()))
    }

    pub(crate) fn is_full(&self) -> bool {
        matches!(self, Self::Full(_))
    }

    pub(crate) fn reason(&self) -> String {
        match self {
            Self::Full(text) => format!("the disk is full ({text})"),
            Self::Failed(text) => format!("the disk cannot be written ({text})"),
            Self::Corrupt(text) => format!("the database is damaged ({text})"),
        }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Full(text) => Self::StorageFull(text),
            Failure::Failed(text) => Self::StorageFailed(text),
            Failure::Corrupt(text) => Self::Corrupt(text),
        }
    }
}
