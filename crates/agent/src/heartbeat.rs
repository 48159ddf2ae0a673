//! Keeps the lease and hears what the backend wants, on a task of its own: a tool that runs for an hour or a model that
//! thinks for one changes nothing about either.

use crate::stop::{Cause, Stop};
use client::Client;
use domain::{Epoch, JobId};
use protocol::{Control, Heartbeat, HeartbeatAnswer};
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// Pause after a heartbeat that could not be delivered.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

pub(crate) struct Pulse {
    pub(crate) client: Client,
    pub(crate) job: JobId,
    pub(crate) epoch: Epoch,
    pub(crate) attempt: u32,
    pub(crate) lease: Duration,
    /// When the agent heard of it. The first heartbeat is sent at once, so that a slow answer does no harm.
    pub(crate) leased_at: Instant,
    /// When the job's total time is up.
    pub(crate) time_up_at: Instant,
    pub(crate) stop: Stop,
}

impl Pulse {
    /// Beats until the lease is lost; dropped when the attempt is over.
    pub(crate) async fn keep(self) {
        let mut expires_at = self.leased_at + self.lease;
        let mut told_time_up = false;
        loop {
            let asked_at = Instant::now();
            tokio::select! {
                biased;
                () = sleep_until(expires_at) => {
                    tracing::warn!(job = %self.job, "no heartbeat within the lease; the attempt is abandoned");
                    return self.stop.request(Cause::Lost);
                }
                () = sleep_until(self.time_up_at), if !told_time_up => {
                    told_time_up = true;
                    self.stop.request(Cause::TimedOut);
                }
                answer = self.beat() => match answer {
                    Ok(answer) => {
                        // The backend counts from the arrival, which is no earlier than this.
                        expires_at = asked_at + self.lease;
                        self.obey(answer.control);
                        self.pace(asked_at, answer.control).await;
                    }
                    Err(Some(error)) if !error.is_retryable() => {
                        // Also the answer to the heartbeat that was under way when the job was finished.
                        tracing::info!(job = %self.job, %error, "the backend takes no more for this attempt");
                        return self.stop.request(Cause::Lost);
                    }
                    Err(_) => sleep(RETRY_PAUSE).await,
                },
            }
        }
    }

    /// One heartbeat; an error without a cause took too long.
    async fn beat(&self) -> Result<HeartbeatAnswer, Option<client::Error>> {
        let wait = self.lease / 3;
        let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        let heartbeat = Heartbeat { epoch: self.epoch, attempt: self.attempt, wait_ms };
        // A connection that hangs must not use up the whole lease before another one is tried.
        match timeout(wait * 2, self.client.heartbeat(self.job, &heartbeat)).await {
            Ok(answer) => answer.map_err(Some),
            Err(_) => Err(None),
        }
    }

    fn obey(&self, control: Control) {
        match control {
            Control::Continue => {}
            Control::Cancel => self.stop.request(Cause::Cancelled),
            Control::TimeOut => self.stop.request(Cause::TimedOut),
        }
    }

    /// A backend that answers at once, because it has said its word or is stopping, is not asked again at once.
    async fn pace(&self, asked_at: Instant, control: Control) {
        let apart = match control {
            Control::Continue => self.lease / 15,
            Control::Cancel | Control::TimeOut => self.lease / 5,
        };
        sleep_until(asked_at + apart).await;
    }
}
