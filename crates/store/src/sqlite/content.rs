//! [`Content`] on SQLite.

use super::Sqlite;
use crate::operations::Content;

impl Content for Sqlite {}
