//! [`Books`] on SQLite.

use super::Sqlite;
use crate::operations::Books;

impl Books for Sqlite {}
