//! [`Access`] on SQLite.

use super::Sqlite;
use crate::operations::Access;

impl Access for Sqlite {}
