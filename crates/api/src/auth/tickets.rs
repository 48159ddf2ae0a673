//! Single-use tickets that open a WebSocket: browsers cannot send a header there, and a token must not stand in a URL.

use super::{Entry, secret::digest};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// How long a ticket is good for: the time a page needs to open a socket, and little more for a thief.
pub const LIFETIME: Duration = Duration::from_secs(30);

/// Tickets outstanding at once, over all tokens. They live 30 s; more than this is a loop somewhere.
const OUTSTANDING: usize = 4096;

#[derive(Default)]
pub struct Tickets(Mutex<HashMap<[u8; 32], Ticket>>);

struct Ticket {
    token: Arc<Entry>,
    expires: Instant,
}

impl Tickets {
    /// A new ticket bound to `token`; `None` when too many are outstanding.
    pub fn issue(&self, token: Arc<Entry>) -> Option<String> {
        let secret = BASE64_URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>());
        let now = Instant::now();
        let mut tickets = self.lock();
        if tickets.len() >= OUTSTANDING {
            tickets.retain(|_, ticket| ticket.expires > now);
        }
        if tickets.len() >= OUTSTANDING {
            return None;
        }
        tickets.insert(digest(&secret), Ticket { token, expires: now + LIFETIME });
        Some(secret)
    }

    /// The token behind a ticket, once, in time, and only while the token itself is good.
    pub fn redeem(&self, secret: &str) -> Option<Arc<Entry>> {
        let ticket = self.lock().remove(&digest(secret))?;
        (ticket.expires > Instant::now() && !ticket.token.revoked.is_cancelled()).then_some(ticket.token)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<[u8; 32], Ticket>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::Scope;

    #[tokio::test(start_paused = true)]
    async fn a_ticket_opens_once_within_its_time() {
        let tickets = Tickets::default();
        let token = Arc::new(Entry::for_tests(Scope::User));
        let first = tickets.issue(token.clone()).unwrap();
        assert!(tickets.redeem(&format!("{first}x")).is_none());
        assert!(tickets.redeem(&first).is_some());
        assert!(tickets.redeem(&first).is_none(), "used");

        let late = tickets.issue(token.clone()).unwrap();
        tokio::time::advance(LIFETIME).await;
        assert!(tickets.redeem(&late).is_none(), "too late");

        let revoked = tickets.issue(token.clone()).unwrap();
        token.revoked.cancel();
        assert!(tickets.redeem(&revoked).is_none(), "its token is gone");
    }

    #[tokio::test(start_paused = true)]
    async fn outstanding_tickets_are_bounded_and_old_ones_make_room() {
        let tickets = Tickets::default();
        let token = Arc::new(Entry::for_tests(Scope::User));
        for _ in 0..OUTSTANDING {
            tickets.issue(token.clone()).unwrap();
        }
        assert!(tickets.issue(token.clone()).is_none());
        tokio::time::advance(LIFETIME).await;
        assert!(tickets.issue(token).is_some());
    }
}
