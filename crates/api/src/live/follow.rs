//! One log, followed for one client until there is a reason to stop, which is told.

use super::patience::Patience;
use crate::{
    app::App,
    auth::Identity,
    problem::{Failure, Result},
};
use domain::{Cursor, ErrorCode, JobId, RequestId};
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
    patience: Patience,
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
    /// It cannot go on, and why. Nothing comes after this.
    Failed(Failure),
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
        let (quiet_until, patience) = (Instant::now() + heartbeat, Patience::default());
        Ok(Self { app, asker, job, reader, heartbeat, quiet_until, patience })
    }

    pub fn head(&self) -> Cursor {
        self.reader.head()
    }

    /// The one this is the answer to.
    pub fn request(&self) -> RequestId {
        self.asker.caller.request
    }

    /// The next thing to tell. Safe to drop half-way and call again.
    pub async fn next(&mut self) -> Item {
        loop {
            let read = async {
                self.patience.pause().await;
                self.reader.next_rows(EVENTS_PER_READ, BYTES_PER_READ).await
            };
            let read = tokio::select! {
                biased;
                () = self.asker.token.revoked.cancelled() => return Item::Failed(revoked()),
                () = self.app.stopping.cancelled() => return Item::Failed(stopping()),
                read = read => read,
                () = tokio::time::sleep_until(self.quiet_until) => return self.beat().await,
            };
            let read = match read {
                Ok(read) => read,
                Err(error) if self.patience.bears(&error) => continue,
                Err(error) => return Item::Failed(error.into()),
            };
            self.patience.works();
            self.quiet_until = Instant::now() + self.heartbeat;
            return match read {
                Read::Events(stretch) => Item::Events(stretch),
                Read::Reset(reset) => Item::Reset(reset),
                Read::Closed => Item::Closed,
                Read::Stopping => Item::Failed(stopping()),
            };
        }
    }

    /// A quiet moment is when it is asked again whether this client may still see the job.
    async fn beat(&mut self) -> Item {
        self.quiet_until = Instant::now() + self.heartbeat;
        match self.app.jobs.get(&self.asker.caller, self.job).await {
            Ok(job) => Item::Heartbeat(job.head),
            Err(error @ (Error::NotFound { .. } | Error::Forbidden { .. })) => Item::Failed(error.into()),
            // Said of a store that is busy or broken; the next read finds out whether it stays so.
            Err(_) => Item::Heartbeat(self.reader.head()),
        }
    }
}

/// Why a stream ends whose token does.
pub fn revoked() -> Failure {
    Failure::new(ErrorCode::Unauthorized, "The token of this stream was revoked or expired. Go on with another one.")
}

/// Why a stream ends with the server.
pub fn stopping() -> Failure {
    Failure::new(ErrorCode::Unavailable, "The server stops. Go on after the last cursor once it is back.")
}
