//! Letting somebody in again.

use super::Answer;
use crate::{AuditRow, TokenRow};

/// What becomes of the tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// Deleted, and with the last token of a principal its policy.
    pub gone: Vec<TokenRow>,
    /// How many stay.
    pub kept: usize,
    pub token: TokenRow,
    pub audit: Vec<AuditRow>,
}

/// From all tokens there are to what becomes of them.
pub type DecideRecovery = Box<dyn FnMut(&[TokenRow]) -> Recovered + Send>;

/// For a folder whose owner has lost every token.
pub trait Recovery {
    /// Works on a full disk too.
    fn recover(&self, decide: DecideRecovery) -> Answer<Recovered>;
}
