//! One log, followed for one client until there is a reason to stop.

use crate::{
    app::App,
    auth::Identity,
    problem::{Failure, Result},
};
use domain::{Cursor, JobId};
use jobs::{Error, EventReader, Read, Stretch};
use protocol::Reset;
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// One read holds at most so many events and payload bytes, or one event: together with what surrounds each event about
/// 256 KiB of text, which is all a slow client ever costs.
const EVENTS_PER_READ: u32 = 400;
const BYTES_PER_READ: usize = 112 * 1024;

pub struct Follow {
    app: Arc<App>,
    asker: Identity,
    job: JobId,
    reader: EventReader,
    heartbeat: Duration,
    quiet_until: Instant,
}

#[derive(Debug)]
pub enum Item {
    Events(Stretch),
    /// Nothing for a while; the log ends here.
    Heartbeat(Cursor),
    /// The position cannot be honoured. Nothing comes after this.
    Reset(Reset),
    /// The log was read to its end.
    Closed,
    /// The server stops, the token is not good any more, or the job is gone: the client may come back to learn which.
    Ended,
}

impl Follow {
    /// Refuses a job that is not there and a cursor ahead of its log; one that needs a reset is told by the first item.
    pub async fn begin(app: Arc<App>, asker: Identity, job: JobId, after: Option<Cursor>) -> Result<Self> {
        let reader = app.jobs.events(&asker.caller, job, after).await?;
        let (after, head) = (reader.cursor(), reader.head());
        if after.epoch == head.epoch && after.seq > head.seq {
            return Err(Failure::from(Error::CursorAhead { after, head }));
        }
        let heartbeat = app.options.limits.heartbeat;
        Ok(Self { app, asker, job, reader, heartbeat, quiet_until: Instant::now() + heartbeat })
    }

    pub fn head(&self) -> Cursor {
        self.reader.head()
    }

    /// The next thing to tell. Safe to drop half-way and call again.
    pub async fn next(&mut self) -> Item {
        let read = tokio::select! {
            biased;
            () = self.asker.token.revoked.cancelled() => return Item::Ended,
            () = self.app.stopping.cancelled() => return Item::Ended,
            read = self.reader.next_rows(EVENTS_PER_READ, BYTES_PER_READ) => read,
            () = tokio::time::sleep_until(self.quiet_until) => return self.beat().await,
        };
        self.quiet_until = Instant::now() + self.heartbeat;
        match read {
            Ok(Read::Events(stretch)) => Item::Events(stretch),
            Ok(Read::Reset(reset)) => Item::Reset(reset),
            Ok(Read::Closed) => Item::Closed,
            Ok(Read::Stopping) | Err(Error::NotFound { .. }) => Item::Ended,
            Err(error) => {
                tracing::warn!(job = %self.job, %error, "a log could not be followed further");
                Item::Ended
            }
        }
    }

    /// A quiet moment is when it is asked again whether this client may still see the job.
    async fn beat(&mut self) -> Item {
        self.quiet_until = Instant::now() + self.heartbeat;
        match self.app.jobs.get(&self.asker.caller, self.job).await {
            Ok(job) => Item::Heartbeat(job.head),
            Err(Error::NotFound { .. } | Error::Forbidden { .. }) => Item::Ended,
            // Said of a store that is busy or broken; the next beat tries again.
            Err(_) => Item::Heartbeat(self.reader.head()),
        }
    }
}
