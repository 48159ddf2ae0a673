//! What HTTP providers share besides the [`Endpoint`](crate::endpoint::Endpoint): frames of bounded size, and what errors mean.

pub(crate) mod failure;
pub(crate) mod frame;

use std::time::Duration;

/// TCP and TLS. A host that is there answers within a few round trips; one that is not must not hold up the next target.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
