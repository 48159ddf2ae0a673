//! A row that cannot be read costs what is in it, never the list it is in.

use rusqlite::{Row, types::Type, types::ValueRef};
use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};
use uuid::Uuid;

/// Rows that are logged, at most, until the process ends: whoever has more knows by then.
const LOGGED: usize = 1_000;

/// Rows that were logged, because lists are read again and again.
static SEEN: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// A row this build did not write: a value outside its type or set of names. Says where it is and never what is in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the stored row of {what} {id} is damaged (its `{column}` cannot be read); a backup has it: devmesh restore FILE --data NEW_FOLDER"
)]
pub struct Unreadable {
    pub what: &'static str,
    pub id: String,
    pub column: String,
}

impl Unreadable {
    /// At error level, once for each row.
    pub fn log_once(&self) {
        let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() < LOGGED && seen.insert(format!("{} {}", self.what, self.id)) {
            tracing::error!(what = self.what, id = %self.id, column = %self.column, "a stored row is damaged, and lists go on without it");
        }
    }
}

/// Reads a row of `what`, whose first column is an id.
pub(crate) fn reading<T>(
    what: &'static str,
    row: &Row<'_>,
    read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    read(row).map_err(|error| {
        let Some(at) = column_of(&error) else { return error };
        let column = row.as_ref().column_name(at).unwrap_or("?").to_owned();
        let unreadable = Unreadable { what, id: id_of(row), column };
        rusqlite::Error::FromSqlConversionFailure(at, Type::Null, Box::new(unreadable))
    })
}

/// `None` instead of a row that cannot be read, which is logged.
pub(crate) fn pass_over<T>(row: rusqlite::Result<T>) -> Option<rusqlite::Result<T>> {
    match &row {
        Err(rusqlite::Error::FromSqlConversionFailure(_, _, cause)) => match cause.downcast_ref::<Unreadable>() {
            Some(unreadable) => {
                unreadable.log_once();
                None
            }
            None => Some(row),
        },
        _ => Some(row),
    }
}

fn column_of(error: &rusqlite::Error) -> Option<usize> {
    match error {
        rusqlite::Error::FromSqlConversionFailure(at, ..)
        | rusqlite::Error::IntegralValueOutOfRange(at, _)
        | rusqlite::Error::InvalidColumnType(at, ..)
        | rusqlite::Error::Utf8Error(at, _) => Some(*at),
        _ => None,
    }
}

fn id_of(row: &Row<'_>) -> String {
    match row.get_ref(0) {
        Ok(ValueRef::Integer(number)) => number.to_string(),
        Ok(ValueRef::Blob(bytes)) => Uuid::from_slice(bytes).map_or_else(|_| hex::encode(bytes), |id| id.to_string()),
        Ok(ValueRef::Text(text)) => String::from_utf8_lossy(text).into_owned(),
        _ => "without an id".to_owned(),
    }
}
