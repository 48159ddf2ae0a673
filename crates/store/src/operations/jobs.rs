//! Jobs.

/// Jobs, their logs, leases, artifacts and approvals.
pub trait Jobs {}
