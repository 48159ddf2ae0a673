//! How often one token, or one address without a valid token, may ask.

use crate::problem::Failure;
use domain::ErrorCode;
use governor::{
    DefaultDirectRateLimiter, DefaultKeyedRateLimiter, Quota, RateLimiter,
    clock::{Clock, DefaultClock},
};
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    num::NonZeroU32,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Requests per second in the long run, and how many may come at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    pub per_second: NonZeroU32,
    pub burst: NonZeroU32,
}

impl Rate {
    /// Zero counts as one: a limit that lets nothing through is a switch, not a rate.
    pub fn new(per_second: u32, burst: u32) -> Self {
        let at_least_one = |number| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
        Self { per_second: at_least_one(per_second), burst: at_least_one(burst) }
    }

    pub fn limiter(self) -> Limiter {
        Limiter(RateLimiter::direct(Quota::per_second(self.per_second).allow_burst(self.burst)))
    }
}

/// One bucket.
#[derive(Debug)]
pub struct Limiter(DefaultDirectRateLimiter);

impl Limiter {
    /// `Err` is how long to wait.
    pub fn check(&self) -> Result<(), Duration> {
        self.0.check().map_err(|until| until.wait_time_from(DefaultClock::default().now()))
    }
}

/// Addresses remembered at once. Beyond it, all further ones share a bucket, so memory stays bounded.
const ADDRESSES: usize = 10_000;
const BETWEEN_SWEEPS: Duration = Duration::from_secs(1);

/// Counts failed authentications per address. A valid token always passes: behind one NAT or on one host everybody
/// has the same address, and a stranger's guesses must not lock them out. Guessing is hopeless anyway (256 bits);
/// this keeps the log and the processor quiet.
pub struct FailedAuthentications {
    limiter: DefaultKeyedRateLimiter<IpAddr>,
    swept: Mutex<Instant>,
}

impl FailedAuthentications {
    pub fn new(per_minute: u32) -> Self {
        let per_minute = NonZeroU32::new(per_minute).unwrap_or(NonZeroU32::MIN);
        Self { limiter: RateLimiter::keyed(Quota::per_minute(per_minute)), swept: Mutex::new(Instant::now()) }
    }

    pub fn record(&self, address: IpAddr) -> Result<(), Failure> {
        self.sweep();
        let full = self.limiter.len() >= ADDRESSES;
        let key = if full { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { network(address) };
        self.limiter.check_key(&key).map_err(|until| {
            Failure::new(
                ErrorCode::RateLimited,
                "Too many requests without a valid token came from this address. Check the token, then try again.",
            )
            .retry_after(until.wait_time_from(DefaultClock::default().now()))
        })
    }

    /// Forgets addresses that have been quiet. Looking at all of them costs about a millisecond, so not at every request.
    fn sweep(&self) {
        if self.limiter.len() < ADDRESSES {
            return;
        }
        let mut swept = self.swept.lock().unwrap_or_else(PoisonError::into_inner);
        if swept.elapsed() >= BETWEEN_SWEEPS {
            self.limiter.retain_recent();
            *swept = Instant::now();
        }
    }
}

/// One IPv6 host owns a whole /64, so that is what counts as one address.
pub fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_none() => {
            IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)))
        }
        other => other.to_canonical(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_burst_passes_and_then_the_wait_is_told() {
        let limiter = Rate::new(1, 3).limiter();
        for _ in 0..3 {
            limiter.check().unwrap();
        }
        let wait = limiter.check().unwrap_err();
        assert!(wait > Duration::ZERO && wait <= Duration::from_secs(1), "{wait:?}");
    }

    #[test]
    fn one_address_does_not_use_up_another_ones_tries() {
        let failed = FailedAuthentications::new(2);
        let (first, second) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        failed.record(first).unwrap();
        failed.record(first).unwrap();
        assert_eq!(failed.record(first).unwrap_err().code, ErrorCode::RateLimited);
        failed.record(second).unwrap();
    }

    #[test]
    fn addresses_of_one_network_share_a_bucket_and_memory_is_bounded() {
        let failed = FailedAuthentications::new(1);
        failed.record("2001:db8::1".parse().unwrap()).unwrap();
        assert!(failed.record("2001:db8::2".parse().unwrap()).is_err());
        for number in 0..2 * ADDRESSES as u32 {
            let _ = failed.record(IpAddr::V4(Ipv4Addr::from_bits(number + 1)));
        }
        assert!(failed.limiter.len() <= ADDRESSES + 1);
    }
}
