//! How many connections there are, and who has to go when there are too many.
//!
//! ```text
//!                    a request with a valid token            room for it
//!  accept ─▶ stranger ─────────────────────────────▶ known? ────────────▶ known, until it closes
//!               │                                      └─ none ─▶ 503, and it is closed
//!               └─ all places taken: the oldest stranger of the address that has most of them is closed
//! ```
//! A newcomer is always let in, because nobody can tell yet whether it brings a token. So sockets that say nothing, however
//! many, keep nobody out: a client with a token needs its place among the strangers for the moment until its first request.
//! Strangers may have whatever is free, because a program that opens hundreds of streams at once is one for a moment too.

mod known;
mod line;

pub use line::Leave;

use crate::{auth::Entry, problem::Result, rate::network};
use known::Known;
use line::Line;
use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio_util::task::{TaskTracker, task_tracker::TaskTrackerToken};

/// One part in so many of all connections stays free for those that have shown no token yet, however many have: 256 of 1,024.
/// A first request follows within milliseconds, so that is thousands of newcomers a second.
const STRANGERS: usize = 4;

#[derive(Debug)]
pub struct Connections {
    limit: usize,
    places: Mutex<Places>,
    /// Ends with the last place.
    open: TaskTracker,
}

#[derive(Debug)]
struct Places {
    next: u64,
    /// Oldest first.
    strangers: BTreeMap<u64, Stranger>,
    known: Known,
}

#[derive(Debug)]
struct Stranger {
    address: IpAddr,
    line: Arc<Line>,
}

impl Connections {
    pub fn new(limit: usize) -> Arc<Self> {
        let known = Known::new(limit, limit.saturating_sub((limit / STRANGERS).max(1)));
        Arc::new(Self {
            limit,
            places: Mutex::new(Places { next: 0, strangers: BTreeMap::new(), known }),
            open: TaskTracker::new(),
        })
    }

    /// A place for a connection that was accepted; another one may have to leave for it.
    pub fn admit(self: &Arc<Self>, address: IpAddr) -> Place {
        let address = network(address);
        let mut places = self.lock();
        if places.strangers.len() + places.known.len() >= self.limit
            && let Some(stranger) = places.one_gives_way()
        {
            stranger.line.end(Leave::Now);
        }
        let (number, line) = (places.next, Arc::new(Line::new()));
        places.next += 1;
        places.strangers.insert(number, Stranger { address, line: line.clone() });
        drop(places);
        Place { number, line, connections: Arc::clone(self), _open: self.open.token() }
    }

    /// Closes those whose token was revoked or has expired, once their answers had a moment to end.
    pub fn end_revoked(&self) {
        self.lock().known.end_revoked();
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

impl Places {
    /// The oldest stranger of the address that has most of them: who floods us from one address closes its own.
    fn one_gives_way(&mut self) -> Option<Stranger> {
        let mut of_an_address: HashMap<IpAddr, usize> = HashMap::new();
        for stranger in self.strangers.values() {
            *of_an_address.entry(stranger.address).or_default() += 1;
        }
        let most = of_an_address.values().max().copied()?;
        let mut in_order = self.strangers.iter();
        let (&number, _) = in_order.find(|(_, stranger)| of_an_address.get(&stranger.address) == Some(&most))?;
        self.strangers.remove(&number)
    }
}

/// Of one connection, as long as anything of it lives, upgraded sockets included.
#[derive(Debug)]
pub struct Place {
    number: u64,
    line: Arc<Line>,
    connections: Arc<Connections>,
    _open: TaskTrackerToken,
}

impl Place {
    /// A request came.
    pub fn begins(&self) {
        self.line.begins();
    }

    /// Its answer was written to the end.
    pub fn answered(&self) {
        self.line.answered();
    }

    /// A request on this connection brought a valid token.
    ///
    /// # Errors
    /// When this token has as many connections as it may, or all have.
    pub fn showed(&self, token: &Arc<Entry>) -> Result<()> {
        if self.line.is_of(token.id) {
            return Ok(());
        }
        let mut places = self.connections.lock();
        places.known.admit(self.number, token, &self.line)?;
        places.strangers.remove(&self.number);
        Ok(())
    }

    /// Until another needs the place, or the token that it was given to is revoked.
    pub async fn has_to_leave(&self) -> Leave {
        self.line.has_to_leave().await
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut places = self.connections.lock();
        places.strangers.remove(&self.number);
        places.known.remove(self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{ErrorCode, Scope};
    use std::time::Duration;
    use tokio::time::{advance, timeout};

    fn address(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    fn token(scope: Scope) -> Arc<Entry> {
        Arc::new(Entry::for_tests(scope))
    }

    async fn leave(place: &Place) -> Option<Leave> {
        timeout(Duration::from_millis(1), place.has_to_leave()).await.ok()
    }

    async fn left(places: &[Place]) -> Vec<usize> {
        let mut left = Vec::new();
        for (index, place) in places.iter().enumerate() {
            left.extend(leave(place).await.map(|_| index));
        }
        left
    }

    /// A connection that answers a request with this token.
    fn show(connections: &Arc<Connections>, token: &Arc<Entry>) -> Result<Place> {
        let place = connections.admit(address(1));
        place.begins();
        place.showed(token).map(|()| place)
    }

    #[tokio::test]
    async fn the_oldest_of_the_address_with_most_strangers_gives_way() {
        let connections = Connections::new(8);
        let other = connections.admit(address(2));
        let mut places: Vec<_> = (0..4).map(|_| connections.admit(address(1))).collect();
        places[1].showed(&token(Scope::User)).unwrap();
        places.extend((0..3).map(|_| connections.admit(address(1))));
        assert_eq!(left(&places).await, [0; 0], "there was room for all");
        places.extend((0..2).map(|_| connections.admit(address(1))));
        assert_eq!(left(&places).await, [0, 2], "one showed a token and is no stranger any more");
        assert_eq!(leave(&other).await, None);
    }

    #[tokio::test]
    async fn many_addresses_together_take_no_more_than_there_is() {
        let connections = Connections::new(64);
        let places: Vec<_> = (0..100).map(|last| connections.admit(address(last))).collect();
        assert_eq!(left(&places).await, (0..36).collect::<Vec<_>>());
        drop(places);
        assert!(connections.lock().strangers.is_empty());
    }

    #[tokio::test]
    async fn a_program_that_opens_hundreds_at_once_is_let_in_with_all() {
        let connections = Connections::new(1_024);
        let places: Vec<_> = (0..512).map(|_| connections.admit(address(1))).collect();
        let token = token(Scope::Model);
        for place in &places {
            place.begins();
            place.showed(&token).unwrap();
        }
        assert_eq!(left(&places).await, [0; 0]);
    }

    #[tokio::test]
    async fn a_token_that_has_arrived_by_now_counts() {
        let connections = Connections::new(32);
        let places: Vec<_> = (0..5).map(|_| connections.admit(address(1))).collect();
        places[0].showed(&token(Scope::Viewer)).unwrap();
        assert_eq!(left(&places).await, [0; 0]);
    }

    #[tokio::test]
    async fn no_token_has_more_than_its_share() {
        // 48 known, 32 of one token.
        let connections = Connections::new(64);
        for scope in [Scope::Viewer, Scope::Agent, Scope::Admin] {
            let token = token(scope);
            let places: Vec<_> = (0..32).map(|_| show(&connections, &token).unwrap()).collect();
            let refused = show(&connections, &token).unwrap_err();
            assert_eq!(refused.code, ErrorCode::TooManyConnections);
            assert!(
                refused.detail.contains("has 32 connections") && refused.retry_after.is_some(),
                "{}",
                refused.detail
            );
            places[3].showed(&token).unwrap();
            drop(places);
            show(&connections, &token).unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_waits_gives_way_to_one_that_asks() {
        let connections = Connections::new(64);
        let (crowd, other) = (token(Scope::Viewer), token(Scope::User));
        let waits = show(&connections, &other).unwrap();
        waits.answered();
        let mut places: Vec<_> = (0..32).map(|_| show(&connections, &crowd).unwrap()).collect();
        places[5].answered();
        assert!(show(&connections, &crowd).is_err(), "its client may not have taken the answer yet");
        advance(Duration::from_secs(2)).await;
        places[7].answered();
        places.push(show(&connections, &crowd).unwrap());
        assert_eq!(left(&places).await, [5]);
        assert_eq!(leave(&waits).await, None, "it is another token's");
        // A request that was on its way is answered after all, if there is room for it.
        places[5].begins();
        assert!(places[5].showed(&crowd).is_err());
        drop(places.pop());
        places[5].showed(&crowd).unwrap();
        assert_eq!(left(&places).await, [0; 0]);
    }

    #[tokio::test]
    async fn agents_and_admins_find_room_when_everybody_else_has_taken_theirs() {
        // 48 known, 4 of them kept for agents and 2 for admins.
        let connections = Connections::new(64);
        let users = [(); 4].map(|()| token(Scope::User));
        let mut others: Vec<_> = (0..42).map(|number| show(&connections, &users[number % 4]).unwrap()).collect();
        let refused = show(&connections, &token(Scope::Viewer)).unwrap_err();
        assert_eq!(refused.code, ErrorCode::TooManyConnections);
        let (agent, admin) = (token(Scope::Agent), token(Scope::Admin));
        let agents: Vec<_> = (0..4).map(|_| show(&connections, &agent).unwrap()).collect();
        assert!(show(&connections, &agent).is_err(), "what is left is for admins");
        let _admins: Vec<_> = (0..2).map(|_| show(&connections, &admin).unwrap()).collect();
        assert!(show(&connections, &admin).is_err());
        drop(agents);
        assert!(show(&connections, &users[0]).is_err(), "what agents gave back is kept for them");
        drop(others.pop());
        show(&connections, &users[0]).unwrap();
    }

    #[tokio::test]
    async fn a_connection_is_of_whose_token_it_showed_last() {
        let connections = Connections::new(64);
        let (first, second) = (token(Scope::User), token(Scope::User));
        let place = show(&connections, &first).unwrap();
        place.showed(&second).unwrap();
        first.revoked.cancel();
        connections.end_revoked();
        assert_eq!(leave(&place).await, None);
        second.revoked.cancel();
        connections.end_revoked();
        assert_eq!(leave(&place).await, Some(Leave::AfterAnswer));
    }

    #[tokio::test]
    async fn even_the_smallest_server_has_room_for_everybody() {
        let connections = Connections::new(1);
        let places =
            [Scope::Viewer, Scope::Agent, Scope::Admin].map(|scope| show(&connections, &token(scope)).unwrap());
        drop(places);
        connections.gone().await;
    }
}
