//! What a WebSocket can subscribe to, and the messages each topic is made of.

use super::{
    cursor,
    follow::{Follow, Item, revoked, stopping},
    frame,
    patience::Patience,
};
use crate::{
    app::App,
    auth::Identity,
    problem::{Failure, Result},
};
use domain::{Cursor, JobId, RequestId};
use jobs::JobChanges;
use protocol::{Job, ServerMessage};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// The topic of every job there is.
const JOBS: &str = "jobs";

pub enum Topic {
    Log(Box<Follow>),
    Jobs(Box<Jobs>),
}

pub struct Jobs {
    app: Arc<App>,
    asker: Identity,
    changes: JobChanges,
    heartbeat: Duration,
    quiet_until: Instant,
    patience: Patience,
}

/// Some messages of one topic, as text, and whether more will come.
#[derive(Debug)]
pub struct Messages {
    pub texts: Vec<String>,
    pub last: bool,
}

impl Topic {
    /// Opens a topic by its name and says where it stands.
    pub async fn open(app: &Arc<App>, asker: &Identity, name: &str, after: Option<&str>) -> Result<(Self, Cursor)> {
        if name == JOBS {
            let changes = app.jobs.changed_jobs(&asker.caller).await?;
            let heartbeat = app.options.limits.heartbeat;
            // A list has no log: its place is the start of this epoch, and changes are told from now on.
            let now = Cursor { epoch: app.store.epoch(), seq: 0 };
            let jobs = Jobs {
                app: app.clone(),
                asker: asker.clone(),
                changes,
                heartbeat,
                quiet_until: Instant::now() + heartbeat,
                patience: Patience::default(),
            };
            return Ok((Self::Jobs(Box::new(jobs)), now));
        }
        let job: Option<JobId> = name.strip_prefix("job:").and_then(|id| id.parse().ok());
        let job = job.ok_or_else(|| Failure::field("/topic", "A topic is `jobs` or `job:<id>`."))?;
        let after = after.map(cursor).transpose()?;
        let follow = Follow::begin(app.clone(), asker.clone(), job, after).await?;
        let head = follow.head();
        Ok((Self::Log(Box::new(follow)), head))
    }

    /// What to send next on the topic of this name.
    pub async fn next(&mut self, name: &str) -> Messages {
        match self {
            Self::Log(follow) => {
                let item = follow.next().await;
                of_log(item, name, follow.request())
            }
            Self::Jobs(jobs) => jobs.next(name).await,
        }
    }
}

fn of_log(item: Item, name: &str, request: RequestId) -> Messages {
    let topic = || name.to_owned();
    match item {
        Item::Events(stretch) => {
            let mut texts: Vec<_> = stretch.rows.iter().map(|row| event(name, row, stretch.epoch)).collect();
            if stretch.closed {
                texts.push(text(&ServerMessage::Closed { topic: topic() }));
            }
            Messages { texts, last: stretch.closed }
        }
        Item::Heartbeat(head) => Messages::one(&ServerMessage::Heartbeat { topic: topic(), head }, false),
        Item::Reset(reset) => Messages::one(&ServerMessage::Reset { topic: topic(), reset }, true),
        Item::Closed => Messages::one(&ServerMessage::Closed { topic: topic() }, true),
        Item::Failed(failure) => Messages::failed(failure, name, request),
    }
}

impl Jobs {
    async fn next(&mut self, name: &str) -> Messages {
        match self.changed().await {
            Ok(Some(jobs)) => {
                let topic = || name.to_owned();
                let messages = jobs.into_iter().map(|job| ServerMessage::Job { topic: topic(), job: Box::new(job) });
                Messages { texts: messages.map(|message| text(&message)).collect(), last: false }
            }
            Ok(None) => {
                let head = Cursor { epoch: self.app.store.epoch(), seq: 0 };
                Messages::one(&ServerMessage::Heartbeat { topic: name.to_owned(), head }, false)
            }
            Err(failure) => Messages::failed(failure, name, self.asker.caller.request),
        }
    }

    /// `None`: nothing for a while.
    async fn changed(&mut self) -> Result<Option<Vec<Job>>> {
        loop {
            let changed = async {
                self.patience.pause().await;
                self.changes.next().await
            };
            let changed = tokio::select! {
                biased;
                () = self.asker.token.revoked.cancelled() => return Err(revoked()),
                () = self.app.stopping.cancelled() => return Err(stopping()),
                changed = changed => changed,
                () = tokio::time::sleep_until(self.quiet_until) => {
                    self.quiet_until = Instant::now() + self.heartbeat;
                    return Ok(None);
                }
            };
            let changed = match changed {
                Ok(changed) => changed,
                Err(error) if self.patience.bears(&error) => continue,
                Err(error) => return Err(error.into()),
            };
            self.patience.works();
            self.quiet_until = Instant::now() + self.heartbeat;
            return changed.map(Some).ok_or_else(stopping);
        }
    }
}

impl Messages {
    fn one(message: &ServerMessage, last: bool) -> Self {
        Self { texts: vec![text(message)], last }
    }

    /// A topic's last word, when it is not that its log ended.
    pub fn failed(failure: Failure, name: &str, request: RequestId) -> Self {
        let problem = Box::new(failure.into_problem(request));
        Self::one(&ServerMessage::Error { topic: Some(name.to_owned()), problem }, true)
    }
}

/// `ServerMessage::Event` around an event that is JSON already. A topic's name has no character that JSON escapes.
fn event(name: &str, row: &store::EventRow, epoch: domain::Epoch) -> String {
    let mut text = String::with_capacity(row.payload.as_str().len() + 512);
    text.push_str(r#"{"type":"event","topic":""#);
    text.push_str(name);
    text.push_str(r#"","event":"#);
    frame::write_event(&mut text, row, epoch);
    text.push('}');
    text
}

pub fn text(message: &ServerMessage) -> String {
    // Wire types hold text, numbers and lists, which always have a JSON form.
    serde_json::to_string(message).unwrap_or_default()
}
