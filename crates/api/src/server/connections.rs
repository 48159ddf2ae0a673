//! How many connections there are, and who has to go when there are too many.
//!
//! ```text
//!                    a request with a valid token            room for it
//!  accept ─▶ stranger ─────────────────────────────▶ known? ────────────▶ known, until it closes
//!               │                                      └─ none ─▶ 503, and it stays a stranger
//!               └─ too many strangers: the oldest of this address, or of all, is closed
//! ```
//! A newcomer is always let in, because nobody can tell yet whether it brings a token. So sockets that say nothing, however
//! many, keep nobody out: a client with a token needs its place among the strangers for the moment until its first request.
//! Everybody behind one address (a proxy, this machine) shares a bound only for that moment.

use crate::{
    problem::{Failure, Result},
    rate::network,
};
use domain::{ErrorCode, Scope};
use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio_util::{
    sync::CancellationToken,
    task::{TaskTracker, task_tracker::TaskTrackerToken},
};

/// One part in so many of all connections is for those that have shown no token yet: 256 of 1,024. A first request follows
/// within milliseconds, so that is thousands of newcomers a second.
const STRANGERS: usize = 4;
/// And for those of one address: 128 of 1,024.
const STRANGERS_OF_AN_ADDRESS: usize = 8;
/// And what is kept free of everybody else for agents, who keep a few open each for as long as they live: 64 of 1,024.
const AGENTS: usize = 16;
/// What a client is told to wait when all places are taken.
const LATER: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub struct Connections {
    bounds: Bounds,
    places: Mutex<Places>,
    /// Ends with the last place.
    open: TaskTracker,
}

#[derive(Debug)]
struct Bounds {
    strangers: usize,
    strangers_of_an_address: usize,
    known: usize,
    /// Of anybody but agents.
    others: usize,
}

#[derive(Debug, Default)]
struct Places {
    next: u64,
    /// Oldest first.
    strangers: BTreeMap<u64, Stranger>,
    agents: usize,
    others: usize,
}

#[derive(Debug)]
struct Stranger {
    address: IpAddr,
    leave: CancellationToken,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Agent,
    Other,
}

impl Connections {
    pub fn new(limit: usize) -> Arc<Self> {
        let part = |of: usize| (limit / of).max(1);
        let known = limit.saturating_sub(part(STRANGERS)).max(2);
        let bounds = Bounds {
            strangers: part(STRANGERS),
            strangers_of_an_address: part(STRANGERS_OF_AN_ADDRESS),
            known,
            others: known - part(AGENTS).min(known - 1),
        };
        Arc::new(Self { bounds, places: Mutex::default(), open: TaskTracker::new() })
    }

    /// A place for a connection that was accepted; another one may have to leave for it.
    pub fn admit(self: &Arc<Self>, address: IpAddr) -> Place {
        let address = network(address);
        let mut places = self.lock();
        let of_address = places.strangers.values().filter(|stranger| stranger.address == address).count();
        let gives_way = if of_address >= self.bounds.strangers_of_an_address {
            places.strangers.iter().find(|(_, stranger)| stranger.address == address).map(|(&number, _)| number)
        } else if places.strangers.len() >= self.bounds.strangers {
            places.strangers.keys().next().copied()
        } else {
            None
        };
        if let Some(stranger) = gives_way.and_then(|number| places.strangers.remove(&number)) {
            stranger.leave.cancel();
        }
        let (number, leave) = (places.next, CancellationToken::new());
        places.next += 1;
        places.strangers.insert(number, Stranger { address, leave: leave.clone() });
        drop(places);
        Place { number, leave, kind: Mutex::default(), connections: Arc::clone(self), _open: self.open.token() }
    }

    /// Until every place is given back. No more are given out by then.
    pub async fn gone(&self) {
        self.open.close();
        self.open.wait().await;
    }

    fn lock(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Of one connection, as long as anything of it lives, upgraded sockets included.
#[derive(Debug)]
pub struct Place {
    number: u64,
    leave: CancellationToken,
    /// Of a known one.
    kind: Mutex<Option<Kind>>,
    connections: Arc<Connections>,
    _open: TaskTrackerToken,
}

impl Place {
    /// A request on this connection brought a valid token.
    ///
    /// # Errors
    /// When as many are known as there may be.
    pub fn showed(&self, scope: Scope) -> Result<()> {
        let mut known_as = self.kind();
        if known_as.is_some() {
            return Ok(());
        }
        let kind = if scope == Scope::Agent { Kind::Agent } else { Kind::Other };
        let (bounds, mut places) = (&self.connections.bounds, self.connections.lock());
        let has_room = places.agents + places.others < bounds.known;
        if !has_room || (kind == Kind::Other && places.others >= bounds.others) {
            return Err(Failure::new(
                ErrorCode::TooManyConnections,
                "This server has as many connections open as it takes. Close some, or try again in a moment.",
            )
            .retry_after(LATER));
        }
        places.strangers.remove(&self.number);
        match kind {
            Kind::Agent => places.agents += 1,
            Kind::Other => places.others += 1,
        }
        *known_as = Some(kind);
        Ok(())
    }

    /// Until a newcomer needs it, which nobody who has shown a token has to mind.
    pub async fn has_to_leave(&self) {
        self.leave.cancelled().await;
        // What has arrived by now is looked at first: nothing of a socket is known before the first look at all of them.
        tokio::task::yield_now().await;
        if self.kind().is_some() {
            std::future::pending().await
        }
    }

    fn kind(&self) -> MutexGuard<'_, Option<Kind>> {
        self.kind.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let kind = *self.kind();
        let mut places = self.connections.lock();
        match kind {
            None => drop(places.strangers.remove(&self.number)),
            Some(Kind::Agent) => places.agents -= 1,
            Some(Kind::Other) => places.others -= 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    fn left(places: &[Place]) -> Vec<usize> {
        places.iter().enumerate().filter(|(_, place)| place.leave.is_cancelled()).map(|(index, _)| index).collect()
    }

    #[test]
    fn the_oldest_silent_one_of_the_same_address_gives_way() {
        // 8 strangers, 4 of one address.
        let connections = Connections::new(32);
        let other = connections.admit(address(2));
        let mut places: Vec<_> = (0..4).map(|_| connections.admit(address(1))).collect();
        assert!(left(&places).is_empty());
        places[1].showed(Scope::User).unwrap();
        places.extend((0..3).map(|_| connections.admit(address(1))));
        assert_eq!(left(&places), [0, 2], "one showed a token and is not counted any more");
        assert!(!other.leave.is_cancelled());
        assert_eq!(connections.lock().strangers.len(), 5);
    }

    #[test]
    fn many_addresses_together_take_no_more_than_their_part() {
        let connections = Connections::new(64);
        let places: Vec<_> = (0..40).map(|last| connections.admit(address(last))).collect();
        assert_eq!(left(&places), (0..24).collect::<Vec<_>>());
        let known = connections.admit(address(50));
        known.showed(Scope::Viewer).unwrap();
        drop(places);
        assert!(connections.lock().strangers.is_empty());
        assert_eq!(connections.lock().others, 1);
        drop(known);
        assert_eq!(connections.lock().others, 0);
    }

    #[test]
    fn agents_find_room_when_everybody_else_has_taken_theirs() {
        // 48 known, 4 of them kept for agents.
        let connections = Connections::new(64);
        let show = |scope| {
            let place = connections.admit(address(1));
            place.showed(scope).map(|()| place)
        };
        let others: Vec<_> = (0..44).map(|_| show(Scope::Admin).unwrap()).collect();
        let refused = show(Scope::User).unwrap_err();
        assert_eq!((refused.code, refused.retry_after), (ErrorCode::TooManyConnections, Some(LATER)));
        let agents: Vec<_> = (0..4).map(|_| show(Scope::Agent).unwrap()).collect();
        assert!(show(Scope::Agent).is_err());
        others[0].showed(Scope::Admin).unwrap();
        drop(others);
        assert!(show(Scope::User).is_ok());
        drop(agents);
    }

    #[tokio::test]
    async fn even_the_smallest_server_has_room_for_everybody() {
        let connections = Connections::new(1);
        let (agent, other) = (connections.admit(address(1)), connections.admit(address(2)));
        agent.showed(Scope::Agent).unwrap();
        other.showed(Scope::Viewer).unwrap();
        drop((agent, other));
        connections.gone().await;
    }
}
