//! Profiles of models.

use crate::{
    Error, ModelProfileRow,
    sqlite::{Reader, column::Columns},
    unreadable::{pass_over, reading},
};
use rusqlite::Row;

/// A start reads all of them, so it goes through the table in its order.
const PROFILES: &str = "SELECT key, found_at, detail FROM model_profiles ORDER BY key";
const OTHERS: &str = "SELECT count(*) FROM model_profiles WHERE key <> ?1";

impl Reader<'_> {
    /// Every profile there is; one that cannot be read is not among them.
    pub fn model_profiles(&self) -> Result<Vec<ModelProfileRow>, Error> {
        self.run(|connection| {
            connection.prepare_cached(PROFILES)?.query_map((), profile_row)?.filter_map(pass_over).collect()
        })
    }

    /// How many there are of other models than this.
    pub fn other_model_profiles(&self, key: &str) -> Result<u64, Error> {
        self.run(|connection| connection.prepare_cached(OTHERS)?.query_row([key], |row| Columns::of(row).count()))
    }
}

fn profile_row(row: &Row<'_>) -> rusqlite::Result<ModelProfileRow> {
    reading("model profile", row, |row| {
        let mut columns = Columns::of(row);
        Ok(ModelProfileRow { key: columns.take()?, found_at: columns.time()?, detail: columns.take()? })
    })
}
