//! Rows about what was found out about models.

use domain::Timestamp;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelProfileRow {
    /// Which model: `digest:…`, or `name:provider/name` where none is known.
    pub key: String,
    pub found_at: Timestamp,
    /// JSON.
    pub detail: String,
}
