//! What can be chosen about how jobs are run.

use std::{path::PathBuf, time::Duration};

/// Every limit of the job engine that an operator may set. The limits of one job are in its own `limits`.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long a lease holds without a heartbeat. Default 15 s: three missed heartbeats of 5 s, so one slow answer
    /// costs nothing and a dead worker is noticed before a person wonders.
    pub lease: Duration,
    /// How much longer than one lease an attempt that was told to stop may take before its job is closed without it.
    /// Default 5 s: time to kill a process group and hand in what there is.
    pub stop_grace: Duration,
    /// How long the answer to an `Idempotency-Key` is remembered. Default 24 h: longer than any client retries.
    pub idempotency_ttl: Duration,
    /// How many jobs of one principal run at the same time. Default 8: one noisy user leaves workers for the others.
    pub running_per_principal: u32,
    pub backoff: Backoff,
    /// Age after which a finished job is deleted with its log and artifacts. Default `None`: kept.
    pub retention: Option<Duration>,
    /// Age after which the record of a model call is deleted; what it spent stays. Default `None`: kept.
    pub model_calls_retention: Option<Duration>,
    /// Age after which an entry of the audit trail goes; what is left stays verifiable. Default `None`: kept.
    pub audit_retention: Option<Duration>,
    /// How many workers may wait for a job at once. Default 1,024: far above any mesh, and a bound.
    pub waiters: usize,
    /// Size of one artifact, in bytes. Default 2 GiB: the whole output of a tool that printed 1 GiB, and a bound.
    pub artifact_bytes: u64,
    /// Folders that jobs of others than the owner of the mesh may be about. Default: none.
    pub roots: Vec<PathBuf>,
    /// Beginnings of the addresses that agents may clone from, for everybody. Default: none.
    pub remotes: Vec<String>,
    /// devmesh's own folders, with data and configuration: no job is about them.
    pub private: Vec<PathBuf>,
    /// The home folders of everybody here: no job is about the whole of one.
    pub homes: Vec<PathBuf>,
    /// How often retention, idempotency keys and forgotten attempts are looked at. Default 60 s: none of them is urgent.
    pub housekeeping: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(15),
            stop_grace: Duration::from_secs(5),
            idempotency_ttl: Duration::from_secs(24 * 3600),
            running_per_principal: 8,
            backoff: Backoff::default(),
            retention: None,
            model_calls_retention: None,
            audit_retention: None,
            waiters: 1024,
            artifact_bytes: 2 << 30,
            roots: Vec::new(),
            remotes: Vec::new(),
            private: Vec::new(),
            homes: Vec::new(),
            housekeeping: Duration::from_secs(60),
        }
    }
}

/// Delay before the next attempt: exponential with full jitter ([`domain::Backoff`]), which spreads jobs that failed together
/// the widest.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    /// Longest delay after the first failure. Default 1 s.
    pub base: Duration,
    /// Longest delay after an attempt that failed. Default 60 s.
    pub cap: Duration,
    /// Longest delay after a lost lease. Default 4 s: a job whose worker vanished is with another one within the
    /// lease time plus 5 s.
    pub lost_lease_cap: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { base: Duration::from_secs(1), cap: Duration::from_secs(60), lost_lease_cap: Duration::from_secs(4) }
    }
}

impl Backoff {
    pub(crate) fn after_failure(self, failures: u32) -> Duration {
        self.up_to(self.cap).after(failures)
    }

    pub(crate) fn after_lost_lease(self, failures: u32) -> Duration {
        self.up_to(self.lost_lease_cap).after(failures)
    }

    fn up_to(self, longest: Duration) -> domain::Backoff {
        domain::Backoff { first: self.base, longest, jitter: domain::Jitter::Full }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_lease_is_made_good_within_five_seconds() {
        let backoff = Backoff::default();
        for failures in 1..=20 {
            assert!(backoff.after_lost_lease(failures) <= Duration::from_secs(4));
        }
    }
}
