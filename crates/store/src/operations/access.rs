//! Who may ask, and who did what.

/// Tokens, the policies of keys, remembered answers, the audit trail.
pub trait Access {}
