//! Which reply answers which request.

use super::{
    Received,
    reply::{Refusal, Reply},
};
use std::{collections::VecDeque, fmt, sync::Arc};

pub(super) type ByRequest = Arc<dyn Fn(&Received) -> Reply + Send + Sync>;

pub(super) struct Queue {
    /// What the next request gets when nothing waits.
    current: Reply,
    waiting: VecDeque<Reply>,
    /// Answers every request while nothing waits, instead of the last reply.
    by_request: Option<ByRequest>,
}

impl Default for Queue {
    fn default() -> Self {
        Self { current: Reply::text("Fine."), waiting: VecDeque::new(), by_request: None }
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").field("current", &self.current).field("waiting", &self.waiting).finish_non_exhaustive()
    }
}

impl Queue {
    pub(super) fn push(&mut self, reply: Reply) {
        self.waiting.push_back(reply);
    }

    pub(super) fn answer_with(&mut self, answer: ByRequest) {
        self.by_request = Some(answer);
    }

    pub(super) fn take(&mut self, received: &Received) -> Reply {
        if let Some(next) = self.waiting.pop_front() {
            self.current = next;
        } else if let Some(answer) = &self.by_request {
            return answer(received);
        }
        match self.current.once.take() {
            Some(status) => {
                self.waiting.push_front(self.current.clone());
                Reply::refusal(Refusal::Status(status))
            }
            None => self.current.clone(),
        }
    }
}
