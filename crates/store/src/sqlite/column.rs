//! Between the vocabulary and SQLite's five types: ids are 16-byte blobs, names are text, times are milliseconds.

use domain::{ApprovalId, EventHash, JobId, ModelCallId, PrincipalId, RequestId, Timestamp, TokenId, WorkerId};
use rusqlite::{Row, types::FromSql, types::Type};
use std::{fmt::Display, str::FromStr};
use uuid::Uuid;

pub(crate) trait Id: Copy {
    fn of(uuid: Uuid) -> Self;
    fn blob(self) -> [u8; 16];
}

macro_rules! ids {
    ($($name:ident),+) => {$(
        impl Id for $name {
            fn of(uuid: Uuid) -> Self {
                Self(uuid)
            }
            fn blob(self) -> [u8; 16] {
                self.0.into_bytes()
            }
        }
    )+};
}

ids!(JobId, ApprovalId, ModelCallId, PrincipalId, RequestId, TokenId, WorkerId);

/// A count as SQLite holds it. Counts here go up by one at a time, so the upper half of `u64` is never reached; the
/// clamp turns a bug into a value that compares as largest, never into a negative one.
pub(crate) fn integer(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// The largest seq there is room for in a place.
pub(crate) const LAST_SEQ: u64 = u32::MAX as u64;

/// Where an event lies: see the migration that makes the table.
pub(crate) fn place(job_key: i64, seq: u64) -> i64 {
    job_key << 32 | integer(seq.min(LAST_SEQ))
}

/// The seq of the event at this place.
pub(crate) fn seq_of(place: i64) -> u64 {
    (place & integer(LAST_SEQ)).unsigned_abs()
}

pub(crate) fn millis(time: Option<Timestamp>) -> Option<i64> {
    time.map(Timestamp::as_millis)
}

/// Takes the columns of a row one after the other, in the order the SELECT names them.
pub(crate) struct Columns<'row, 'statement> {
    row: &'row Row<'statement>,
    next: usize,
}

impl<'row, 'statement> Columns<'row, 'statement> {
    pub(crate) fn of(row: &'row Row<'statement>) -> Self {
        Self { row, next: 0 }
    }

    pub(crate) fn take<T: FromSql>(&mut self) -> rusqlite::Result<T> {
        let at = self.next;
        self.next += 1;
        self.row.get(at)
    }

    pub(crate) fn id<T: Id>(&mut self) -> rusqlite::Result<T> {
        Ok(T::of(Uuid::from_bytes(self.take()?)))
    }

    pub(crate) fn id_or_null<T: Id>(&mut self) -> rusqlite::Result<Option<T>> {
        Ok(self.take::<Option<[u8; 16]>>()?.map(|blob| T::of(Uuid::from_bytes(blob))))
    }

    pub(crate) fn count(&mut self) -> rusqlite::Result<u64> {
        let at = self.next;
        let value: i64 = self.take()?;
        u64::try_from(value).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(at, value))
    }

    pub(crate) fn time(&mut self) -> rusqlite::Result<Timestamp> {
        Ok(Timestamp::from_millis(self.take()?))
    }

    pub(crate) fn time_or_null(&mut self) -> rusqlite::Result<Option<Timestamp>> {
        Ok(self.take::<Option<i64>>()?.map(Timestamp::from_millis))
    }

    pub(crate) fn hash(&mut self) -> rusqlite::Result<EventHash> {
        Ok(EventHash(self.take()?))
    }

    /// A word out of a closed set.
    pub(crate) fn name<T: FromStr<Err: Display>>(&mut self) -> rusqlite::Result<T> {
        let at = self.next;
        parse(at, &self.take::<String>()?)
    }

    pub(crate) fn name_or_null<T: FromStr<Err: Display>>(&mut self) -> rusqlite::Result<Option<T>> {
        let at = self.next;
        self.take::<Option<String>>()?.map(|text| parse(at, &text)).transpose()
    }
}

fn parse<T: FromStr<Err: Display>>(at: usize, text: &str) -> rusqlite::Result<T> {
    text.parse()
        .map_err(|error: T::Err| rusqlite::Error::FromSqlConversionFailure(at, Type::Text, error.to_string().into()))
}
