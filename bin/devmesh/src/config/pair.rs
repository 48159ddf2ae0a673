//! The one place where a secret meets the address it is shown to.
//!
//! No other way leads from what was resolved to a secret: [`Resolved::text`] has none. So whoever adds a service says which
//! address its key belongs to, and cannot forget the rule.

use super::{
    Resolved,
    origin::{Origin, Trust},
};

/// An address, as far as one was set, and what may be shown there.
pub struct Pair<'a> {
    pub address: Option<&'a str>,
    pub secret: Option<&'a str>,
}

impl Resolved {
    /// A secret goes only to an address that came from a place that is trusted as much as its own, or more.
    pub fn pair(&self, address: &str, secret: &str) -> Pair<'_> {
        let trust = |name: &str| self.origin(name).map_or(Trust::User, Origin::trust);
        let is_shown = trust(address) >= trust(secret);
        Pair { address: self.text(address), secret: self.any_text(secret).filter(|_| is_shown) }
    }
}
