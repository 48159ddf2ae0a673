//! How large what a provider sends may be.

/// One line of JSON or one server-sent event. A token's frame has some hundred bytes; a whole tool call that writes a
/// file can have hundreds of thousands.
pub(crate) const FRAME_BYTES: usize = 1024 * 1024;
/// Everything a model says in one answer, thoughts and tool calls included.
pub(crate) const ANSWER_BYTES: usize = 16 * 1024 * 1024;
