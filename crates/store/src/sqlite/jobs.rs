//! [`Jobs`] on SQLite.

use super::Sqlite;
use crate::operations::Jobs;

impl Jobs for Sqlite {}
