//! How large what a provider sends may be.

/// Everything a model says in one answer, thoughts and tool calls included.
pub(crate) const ANSWER_BYTES: usize = 16 * 1024 * 1024;
/// One line of JSON or one server-sent event: a picture, or the repetition of all that was said, is one.
pub(crate) const FRAME_BYTES: usize = ANSWER_BYTES;
