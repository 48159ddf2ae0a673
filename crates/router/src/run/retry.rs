//! What follows a failure as long as the caller has nothing.
//!
//! | failure | same target again | next target |
//! |---|---|---|
//! | asks to slow down, overloaded, unavailable, cut, broke off | within the route's retries, after `Retry-After` or a growing pause | then |
//! | silent | never: whoever is silent once is not waited for twice | at once |
//! | key refused, or not for this model | never: a refused key rests | at once |
//! | key refused inside an answer, and there is another one | within the route's retries, at once | then |
//! | prompt too long | never | those with a larger window |
//! | request refused | never | at once |
//! | answer with a flaw | within the route's retries | then |
//! | content refused | never | never: a refusal is an answer |

use super::{Failed, Failure, Phase, Run, Step, Trying};
use crate::{Error, error};
use domain::{Backoff, Jitter};
use std::time::Duration;
use tokio::time::Instant;

/// Before each further try of a target. The sixth doubling is more than any route allows.
const PAUSES: Backoff =
    Backoff { first: Duration::from_millis(150), longest: Duration::from_millis(150 * 64), jitter: Jitter::Half };
/// A server that asks for more rest than this is not waited for while another one could answer.
const LONGEST_PAUSE: Duration = Duration::from_secs(3);
/// Nor is it when there is no other one: the caller is told, and knows better whether to wait.
const LONGEST_LAST_PAUSE: Duration = Duration::from_secs(10);

impl Run {
    pub(super) fn failed_before_content(&mut self, failed: Failed) -> Option<Step> {
        let Failed { candidate, retries, mode, ref error, .. } = failed;
        let trace_id = self.booking.trace.trace_id().map(tracing::field::display);
        tracing::info!(
            target = candidate.id(),
            trace_id,
            code = %error.code(),
            error = error.recorded(),
            "a target did not answer"
        );
        self.booking.trace.tried_in_vain(&candidate, &mode, failed.begun, error, failed.usage);
        let error = error.clone();
        match &error {
            // It is ours that is full, and is left to whoever waits in it.
            Error::RateLimited { message, .. } if message == error::QUEUE_FULL => {}
            Error::RateLimited { retry_after: Some(wait), .. } | Error::Overloaded { retry_after: Some(wait), .. } => {
                self.inner.targets.rest(&candidate, *wait);
            }
            _ => {}
        }
        if self.is_overdue() || matches!(error, Error::Overdue { .. }) {
            return Some(self.fail(self.overdue()));
        }
        if matches!(error, Error::Filtered { .. }) {
            return Some(self.fail(error));
        }
        if self.rescues > 0 {
            // The caller has half an answer: the next target may still go on with it.
            let first = self.first_error.take().map_or(error, |first| first.error);
            self.phase = Phase::Rescuing(first);
            return None;
        }
        if !error.leads_on() {
            return Some(self.fail(error));
        }
        // What it came to so far stays held beside what it may come to now.
        if let Some(pause) = self.pause(&error, retries)
            && self.hold_for(&candidate).is_ok()
        {
            let not_before = Some(Instant::now() + pause);
            self.booking.trace.will_retry();
            let retries = retries - 1;
            self.phase = Phase::Trying(Box::new(Trying { candidate, retries, not_before, mode }));
            return None;
        }
        match &error {
            Error::ContextLengthExceeded { .. } => {
                self.overflowed_tokens = self.overflowed_tokens.max(candidate.model.context_tokens);
                self.callers_fault = Some(Failure::of(&candidate, error));
            }
            // Of a request that others could have answered.
            Error::Refused { .. } if candidate.is_stopgap && self.first_error.is_some() => {}
            Error::Refused { .. } => {
                self.callers_fault.get_or_insert_with(|| Failure::of(&candidate, error));
            }
            _ => self.note(&candidate, error),
        }
        self.go_on()
    }

    /// How long to wait before the same target is asked again; `None`: it is not.
    fn pause(&self, error: &Error, retries: u32) -> Option<Duration> {
        if retries == 0 {
            return None;
        }
        let allowed = self.policy().map_or(retries, |policy| policy.retries);
        let pause = PAUSES.after(allowed.saturating_sub(retries).saturating_add(1));
        let wait = match error {
            Error::RateLimited { retry_after, .. } | Error::Overloaded { retry_after, .. } => {
                let longest = if self.left.is_empty() { LONGEST_LAST_PAUSE } else { LONGEST_PAUSE };
                let wait = retry_after.unwrap_or(pause).max(pause);
                (wait <= longest).then_some(wait)
            }
            // What a provider does not have it will not have in a moment.
            Error::Unavailable { missing: true, .. } => None,
            Error::Unreachable { .. }
            | Error::Unavailable { .. }
            | Error::Cut { .. }
            | Error::Failed { .. }
            | Error::Malformed { .. } => Some(pause),
            Error::Flawed { .. } => Some(Duration::ZERO),
            Error::Denied { message, .. } if message.another_key => Some(Duration::ZERO),
            _ => None,
        };
        // Rather the next target, or the reason, than a wait that the caller does not have.
        wait.filter(|wait| self.deadline.is_none_or(|deadline| Instant::now() + *wait < deadline))
    }
}
