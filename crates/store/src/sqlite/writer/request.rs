//! A write request on its way through the queue: what to do, what it came to, and who waits for it.

use crate::{
    Error,
    error::Failure,
    sqlite::{queue::Queued, transaction::Transaction},
};
use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    task::{Context, Poll},
};
use tokio::sync::oneshot;

/// Whether what a request wrote stays in the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Keep,
    Undo,
}

/// What a request is for, which decides what becomes of it on a full disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Ordinary,
    /// Ends work or frees space: may use the reserve, and is run again on it.
    Relief,
}

pub(crate) trait Request: Send {
    fn class(&self) -> Class;
    fn poll_abandoned(&mut self, context: &mut Context<'_>) -> Poll<()>;
    /// On the writer thread. Again after a failed COMMIT if it is for relief.
    fn run(&mut self, transaction: &mut Transaction<'_>) -> Verdict;
    /// After the COMMIT, or after its failure.
    fn answer(self: Box<Self>, committed: Result<(), Failure>);
    fn refuse(self: Box<Self>, error: Error);
}

impl Queued for Box<dyn Request> {
    fn poll_abandoned(&mut self, context: &mut Context<'_>) -> Poll<()> {
        (**self).poll_abandoned(context)
    }

    fn refuse(self, error: Error) {
        Request::refuse(self, error);
    }
}

pub(crate) struct Pending<T, F> {
    class: Class,
    work: F,
    outcome: Option<Result<T, Error>>,
    reply: oneshot::Sender<Result<T, Error>>,
}

impl<T, F> Pending<T, F> {
    pub(crate) fn new(class: Class, work: F) -> (Self, oneshot::Receiver<Result<T, Error>>) {
        let (reply, answer) = oneshot::channel();
        (Self { class, work, outcome: None, reply }, answer)
    }
}

impl<T, F> Request for Pending<T, F>
where
    F: FnMut(&mut Transaction<'_>) -> Result<T, Error> + Send,
    T: Send,
{
    fn class(&self) -> Class {
        self.class
    }

    fn poll_abandoned(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.reply.poll_closed(context)
    }

    fn run(&mut self, transaction: &mut Transaction<'_>) -> Verdict {
        let work = &mut self.work;
        // What was left half-done is rolled back with its savepoint, so nothing broken is seen afterwards.
        let outcome = catch_unwind(AssertUnwindSafe(|| work(transaction)))
            .unwrap_or_else(|panic| Err(Error::Panicked(panic_message(panic.as_ref()))));
        let verdict = if outcome.is_ok() { Verdict::Keep } else { Verdict::Undo };
        self.outcome = Some(outcome);
        verdict
    }

    fn answer(self: Box<Self>, committed: Result<(), Failure>) {
        let answer = match (committed, self.outcome) {
            (Ok(()), Some(outcome)) => outcome,
            (Ok(()), None) => Err(Error::Closed),
            (Err(failure), _) => Err(failure.into()),
        };
        // Nobody there any more: the request was carried out all the same.
        let _ = self.reply.send(answer);
    }

    fn refuse(self: Box<Self>, error: Error) {
        let _ = self.reply.send(Err(error)); // to nobody, if it left
    }
}

pub(crate) fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("no message").chars().take(200).collect()
}
