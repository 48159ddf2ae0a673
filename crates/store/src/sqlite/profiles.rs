//! [`Profiles`] on SQLite.

use super::Sqlite;
use crate::{Answer, AuditRow, ModelProfileRow, operations::Profiles};

impl Profiles for Sqlite {
    fn model_profiles(&self) -> Answer<Vec<ModelProfileRow>> {
        self.read(|reader| reader.model_profiles())
    }

    fn put_model_profile(&self, profile: ModelProfileRow, most: usize, audit: AuditRow) -> Answer<bool> {
        self.write(move |transaction| {
            if transaction.other_model_profiles(&profile.key)? >= most as u64 {
                return Ok(false);
            }
            transaction.put_model_profile(&profile)?;
            transaction.audit(&audit)?;
            Ok(true)
        })
    }

    fn delete_model_profile(&self, key: String, audit: AuditRow) -> Answer<bool> {
        self.relieve(move |transaction| {
            if !transaction.delete_model_profile(&key)? {
                return Ok(false);
            }
            transaction.audit(&audit)?;
            Ok(true)
        })
    }
}
