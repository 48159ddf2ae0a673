//! What a connection does at the moment, as its own task says it and others see it.
//!
//! ```text
//!            a request                      another needs the place
//!  waiting ──────────────▶ answering    waiting ───────────▶ left ──▶ closed, unless a request was on its way
//!     ▲  the answer's last byte │       waiting, answering ─────────▶ ended ──▶ closed after the answer
//!     └─────────────────────────┘                its token is revoked
//! ```

use domain::TokenId;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::{sync::Notify, time::Instant};

/// How a connection has to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    Now,
    /// Its answer has a moment to come to an end.
    AfterAnswer,
}

#[derive(Debug)]
pub struct Line {
    now: Mutex<Now>,
    told: Notify,
}

#[derive(Debug)]
struct Now {
    /// The one shown last, which holds a place.
    token: Option<TokenId>,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Waiting { since: Instant },
    Answering,
    Left,
    Ended,
}

impl Line {
    pub fn new() -> Self {
        let phase = Phase::Waiting { since: Instant::now() };
        Self { now: Mutex::new(Now { token: None, phase }), told: Notify::new() }
    }

    pub fn begins(&self) {
        let mut now = self.lock();
        if let Phase::Waiting { .. } = now.phase {
            now.phase = Phase::Answering;
        }
    }

    pub fn answered(&self) {
        let mut now = self.lock();
        if now.phase == Phase::Answering {
            now.phase = Phase::Waiting { since: Instant::now() };
        }
    }

    pub fn waits_since(&self) -> Option<Instant> {
        match self.lock().phase {
            Phase::Waiting { since } => Some(since),
            Phase::Answering | Phase::Left | Phase::Ended => None,
        }
    }

    pub fn is_of(&self, token: TokenId) -> bool {
        let now = self.lock();
        now.token == Some(token) && now.phase != Phase::Left
    }

    /// From now on it holds a place, while it answers.
    pub fn belongs_to(&self, token: TokenId) {
        *self.lock() = Now { token: Some(token), phase: Phase::Answering };
    }

    /// Makes it leave unless it has begun to answer. Says whether it does.
    pub fn leaves(&self) -> bool {
        let mut now = self.lock();
        let waits = matches!(now.phase, Phase::Waiting { .. });
        if waits {
            now.phase = Phase::Left;
            self.told.notify_one();
        }
        waits
    }

    /// Makes it leave whatever it does.
    pub fn end(&self, how: Leave) {
        self.lock().phase = match how {
            Leave::Now => Phase::Left,
            Leave::AfterAnswer => Phase::Ended,
        };
        self.told.notify_one();
    }

    pub async fn has_to_leave(&self) -> Leave {
        loop {
            self.told.notified().await;
            // What has arrived by now is looked at first: nothing of a socket is known before the first look at all of them.
            tokio::task::yield_now().await;
            match self.lock().phase {
                Phase::Left => return Leave::Now,
                Phase::Ended => return Leave::AfterAnswer,
                Phase::Waiting { .. } | Phase::Answering => {}
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
