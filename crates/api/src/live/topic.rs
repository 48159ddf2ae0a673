//! What a WebSocket can subscribe to, and the messages each topic is made of.

use super::{
    cursor,
    follow::{Follow, Item},
    frame,
};
use crate::{
    app::App,
    auth::Identity,
    problem::{Failure, Result},
};
use domain::{Cursor, JobId};
use jobs::JobChanges;
use protocol::ServerMessage;
use std::{sync::Arc, time::Duration};

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
            return Ok((
                Self::Jobs(Box::new(Jobs { app: app.clone(), asker: asker.clone(), changes, heartbeat })),
                now,
            ));
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
            Self::Log(follow) => of_log(follow.next().await, name),
            Self::Jobs(jobs) => jobs.next(name).await,
        }
    }
}

fn of_log(item: Item, name: &str) -> Messages {
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
        Item::Ended => Messages { texts: Vec::new(), last: true },
    }
}

impl Jobs {
    async fn next(&mut self, name: &str) -> Messages {
        let topic = || name.to_owned();
        let changed = tokio::select! {
            biased;
            () = self.asker.token.revoked.cancelled() => return Messages { texts: Vec::new(), last: true },
            () = self.app.stopping.cancelled() => return Messages { texts: Vec::new(), last: true },
            changed = self.changes.next() => changed,
            () = tokio::time::sleep(self.heartbeat) => {
                let head = Cursor { epoch: self.app.store.epoch(), seq: 0 };
                return Messages::one(&ServerMessage::Heartbeat { topic: topic(), head }, false);
            }
        };
        match changed {
            Ok(Some(jobs)) => {
                let messages = jobs.into_iter().map(|job| ServerMessage::Job { topic: topic(), job: Box::new(job) });
                Messages { texts: messages.map(|message| text(&message)).collect(), last: false }
            }
            Ok(None) => Messages { texts: Vec::new(), last: true },
            Err(error) => {
                let problem = Failure::from(error).into_problem(self.asker.caller.request);
                Messages::one(&ServerMessage::Error { topic: Some(topic()), problem: Box::new(problem) }, true)
            }
        }
    }
}

impl Messages {
    fn one(message: &ServerMessage, last: bool) -> Self {
        Self { texts: vec![text(message)], last }
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
