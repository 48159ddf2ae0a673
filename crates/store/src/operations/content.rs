//! Which content is named by an artifact, and which may go.

/// The table of what [`crate::Blobs`] holds.
pub trait Content {}
