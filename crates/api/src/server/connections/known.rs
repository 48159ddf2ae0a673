//! Connections that have shown a token: how many there may be, of one token and of all, and which gives way.
//!
//! One token never has more than its share, so whoever holds it keeps nobody else out. Where it has reached that, or all
//! places are taken, a connection that waits for its next request gives way; one that answers does not.

use super::line::{Leave, Line};
use crate::{
    auth::Entry,
    problem::{Failure, Result},
};
use domain::{ErrorCode, Scope};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::time::Instant;

/// One part in so many of all connections is what one token may have: 512 of 1,024. A browser with a stream for every job it
/// looks at has some dozens, a busy gateway's key hundreds.
const OF_A_TOKEN: usize = 2;
/// And what is kept free of everybody else: for agents, who keep a few open each for as long as they live, 64 of 1,024; for
/// admins, who have to get in to revoke what crowds the others out, 32.
const KEPT: [(Scope, usize); 2] = [(Scope::Agent, 16), (Scope::Admin, 32)];
/// A connection has to wait for its next request so long before it gives way: the client has taken the last answer by then.
const SETTLED: Duration = Duration::from_secs(1);
/// What a client is told to wait when there is no place: by then the answered ones have settled.
const LATER: Duration = SETTLED;

#[derive(Debug)]
pub struct Known {
    all: usize,
    of_a_token: usize,
    kept: [(Scope, usize); 2],
    /// By the number of the connection.
    holders: BTreeMap<u64, Holder>,
}

#[derive(Debug)]
struct Holder {
    /// The one shown last.
    token: Arc<Entry>,
    line: Arc<Line>,
}

impl Known {
    /// Among `limit` connections, `all` of them known.
    pub fn new(limit: usize, all: usize) -> Self {
        let kept = KEPT.map(|(scope, of)| (scope, (limit / of).max(1)));
        // One for everybody else, however small the server.
        let all = all.max(kept.len() + 1);
        Self { all, of_a_token: (limit / OF_A_TOKEN).max(1), kept, holders: BTreeMap::new() }
    }

    /// # Errors
    /// When the token has its share, or nothing is left for its scope, and none of those waits.
    pub fn admit(&mut self, number: u64, token: &Arc<Entry>, line: &Arc<Line>) -> Result<()> {
        // A proxy's connection may have been another token's before.
        self.holders.remove(&number);
        let held = self.count(|holder| holder.token.id == token.id);
        if held >= self.of_a_token && !self.one_gives_way(|holder| holder.token.id == token.id) {
            let detail = format!(
                "This token has {held} connections open, all of them in use, and that is its share of what this server takes. \
                 Close some of its streams, follow jobs over one WebSocket, or try again in a moment."
            );
            return Err(refused(detail));
        }
        let kept = self.kept.map(|(scope, _)| scope);
        let makes_room = |holder: &Holder| holder.token.scope == token.scope || !kept.contains(&holder.token.scope);
        if !self.has_room(token.scope) && !self.one_gives_way(makes_room) {
            let detail = format!(
                "This server has as many connections open as it takes of tokens with scope `{}`. Close some, or try again in a moment.",
                token.scope
            );
            return Err(refused(detail));
        }
        self.holders.insert(number, Holder { token: token.clone(), line: line.clone() });
        line.belongs_to(token.id);
        Ok(())
    }

    pub fn len(&self) -> usize {
        self.holders.len()
    }

    pub fn remove(&mut self, number: u64) {
        self.holders.remove(&number);
    }

    /// Whose token was revoked or has expired goes. Its place is free once it has. Where a request may be on its way, the
    /// answer to it or the next look ends the connection.
    pub fn end_revoked(&self) {
        let now = Instant::now();
        let may_go = |line: &Line| line.waits_since().is_none_or(|since| now - since >= SETTLED);
        let revoked = self.holders.values().filter(|holder| holder.token.revoked.is_cancelled());
        revoked.filter(|holder| may_go(&holder.line)).for_each(|holder| holder.line.end(Leave::AfterAnswer));
    }

    fn count(&self, is_meant: impl Fn(&Holder) -> bool) -> usize {
        self.holders.values().filter(|holder| is_meant(holder)).count()
    }

    /// What is kept for others and not used by them is taken for them.
    fn has_room(&self, scope: Scope) -> bool {
        let others = self.kept.iter().filter(|(other, _)| *other != scope);
        let free = others.map(|&(other, kept)| kept.saturating_sub(self.count(|holder| holder.token.scope == other)));
        self.holders.len() + free.sum::<usize>() < self.all
    }

    /// The one that waits longest. Says whether there was one.
    fn one_gives_way(&mut self, may: impl Fn(&Holder) -> bool) -> bool {
        let now = Instant::now();
        let waits = |holder: &Holder| holder.line.waits_since().filter(|&since| now - since >= SETTLED);
        let waiting = self.holders.iter().filter(|(_, holder)| may(holder));
        let longest = waiting.filter_map(|(&number, holder)| Some((waits(holder)?, number))).min();
        let Some((_, number)) = longest else { return false };
        // Not if it began to answer at this very moment.
        let leaves = self.holders.get(&number).is_some_and(|holder| holder.line.leaves());
        if leaves {
            self.holders.remove(&number);
        }
        leaves
    }
}

fn refused(detail: String) -> Failure {
    Failure::new(ErrorCode::TooManyConnections, detail).retry_after(LATER)
}
