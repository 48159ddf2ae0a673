//! A write request on its way through the queue: a closure, what it came to, and who waits for it.

use crate::{Error, error::Failure, transaction::Transaction};
use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
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
    /// On the writer thread. Again after a failed COMMIT if it is for relief.
    fn run(&mut self, transaction: &mut Transaction<'_>) -> Verdict;
    /// After the COMMIT, or after its failure.
    fn answer(self: Box<Self>, committed: Result<(), Failure>);
}

pub(crate) struct Pending<T, E, F> {
    class: Class,
    work: F,
    outcome: Option<Result<T, E>>,
    reply: oneshot::Sender<Result<T, E>>,
}

impl<T, E, F> Pending<T, E, F> {
    pub(crate) fn new(class: Class, work: F) -> (Self, oneshot::Receiver<Result<T, E>>) {
        let (reply, answer) = oneshot::channel();
        (Self { class, work, outcome: None, reply }, answer)
    }
}

impl<T, E, F> Request for Pending<T, E, F>
where
    F: FnMut(&mut Transaction<'_>) -> Result<T, E> + Send,
    T: Send,
    E: From<Error> + Send,
{
    fn class(&self) -> Class {
        self.class
    }

    fn run(&mut self, transaction: &mut Transaction<'_>) -> Verdict {
        let work = &mut self.work;
        // What the closure left half-done is rolled back with its savepoint, so nothing broken is seen afterwards.
        let outcome = catch_unwind(AssertUnwindSafe(|| work(transaction)))
            .unwrap_or_else(|panic| Err(Error::Panicked(panic_message(panic.as_ref())).into()));
        let verdict = if outcome.is_ok() { Verdict::Keep } else { Verdict::Undo };
        self.outcome = Some(outcome);
        verdict
    }

    fn answer(self: Box<Self>, committed: Result<(), Failure>) {
        let answer = match (committed, self.outcome) {
            (Ok(()), Some(outcome)) => outcome,
            (Ok(()), None) => Err(Error::Closed.into()),
            (Err(failure), _) => Err(Error::from(failure).into()),
        };
        // Nobody there any more: the request was carried out all the same.
        let _ = self.reply.send(answer);
    }
}

pub(crate) fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("no message").chars().take(200).collect()
}
