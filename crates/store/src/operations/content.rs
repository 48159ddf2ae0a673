//! Which content is named by an artifact, and which may go.

use super::Answer;
use crate::{ArtifactRow, ContentPlace};

/// The table of what [`crate::Blobs`] holds. A row comes before its file and goes after it.
pub trait Content {
    /// Tells of files, each with its digest and length in bytes, and says how many of them were not known. What is new is named
    /// by nobody, so it goes with the next sweep unless somebody does.
    fn register_blobs(&self, files: Vec<(String, u64)>) -> Answer<usize>;

    /// Everything artifacts name, in the order of digests, after this place: a page of at most `limit`.
    fn named_content(&self, after: Option<ContentPlace>, limit: usize) -> Answer<Vec<ArtifactRow>>;
}
