//! Writing profiles of models.

use crate::{Error, ModelProfileRow, sqlite::Transaction};

const PUT: &str = "INSERT INTO model_profiles (key, found_at, detail) VALUES (?1, ?2, ?3) \
     ON CONFLICT (key) DO UPDATE SET found_at = excluded.found_at, detail = excluded.detail";
pub(crate) const DELETE: &str = "DELETE FROM model_profiles WHERE key = ?1";

impl Transaction<'_> {
    /// Stores a profile in place of the one its model had.
    pub fn put_model_profile(&mut self, row: &ModelProfileRow) -> Result<(), Error> {
        self.run(|connection| {
            connection.prepare_cached(PUT)?.execute((&row.key, row.found_at.as_millis(), &row.detail))
        })?;
        Ok(())
    }

    /// Says whether there was one.
    pub fn delete_model_profile(&mut self, key: &str) -> Result<bool, Error> {
        self.run(|connection| Ok(connection.prepare_cached(DELETE)?.execute([key])? > 0))
    }
}
