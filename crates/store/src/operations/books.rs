//! What models were asked, what it cost, and what left the machine.

/// Spend, model calls, the egress ledger.
pub trait Books {}
