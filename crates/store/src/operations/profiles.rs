//! What was found out about models.

use crate::{Answer, AuditRow, ModelProfileRow};

/// Profiles of models.
pub trait Profiles {
    /// Every profile there is, in the order of keys; a row that cannot be read is not among them. People make them one by one.
    fn model_profiles(&self) -> Answer<Vec<ModelProfileRow>>;

    /// Stores a profile in place of the one its model had. `false`, and nothing is written: there are `most` of other models.
    fn put_model_profile(&self, profile: ModelProfileRow, most: usize, audit: AuditRow) -> Answer<bool>;

    /// Forgets a profile, on a full disk too. `false`, and nothing is written: there is none.
    fn delete_model_profile(&self, key: String, audit: AuditRow) -> Answer<bool>;
}
