//! What can go wrong, split by what can be done about it.

mod said;

use domain::ErrorCode;
use http::StatusCode;
pub use said::Said;
use serde_json::Value;
use std::{fmt, time::Duration};

/// Of [`Error::RateLimited`]: nothing was asked.
pub(crate) const QUEUE_FULL: &str = "its queue here is full";
/// Of [`Error::RateLimited`]: nothing was asked.
pub(crate) const RESTS: &str = "it is rate limited: it asked for a pause a moment ago";

/// Why a model did not answer. Messages of providers are cut to a readable length and hold no keys.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Nothing listens there: nothing was sent.
    #[error("{provider} cannot be reached: {message}")]
    Unreachable { provider: String, message: String },
    /// It says that it cannot, or has no such model or endpoint (`missing`). Later or elsewhere it may work.
    #[error("{provider} cannot answer now: {message}")]
    Unavailable { provider: String, message: Said, missing: bool },
    /// The account behind the key, or the queue here, is asked too often.
    #[error("{provider} asks to slow down: {message}")]
    RateLimited { provider: String, message: Said, retry_after: Option<Duration> },
    /// It has too much to do, whoever asks.
    #[error("{provider} is overloaded: {message}")]
    Overloaded { provider: String, message: Said, retry_after: Option<Duration> },
    /// The caller's request is not of its dialect. Nothing was asked of anybody.
    #[error("{}{message}", if pointer.is_empty() { String::new() } else { format!("`{pointer}`: ") })]
    Invalid { pointer: String, message: String },
    /// The provider has no such thing.
    #[error("{provider} has no {what}")]
    Unsupported { provider: String, what: &'static str },
    /// Key, account or payment: nothing works there until a person mends it.
    #[error("{provider} does not accept the configured key: {message}. Check the key and the account behind it.")]
    Denied { provider: String, message: Said },
    /// The account works and may not use this model, or not for a request like this one.
    #[error(
        "{provider} does not let the configured account do this (use another model, or check what the account may use): {message}"
    )]
    Forbidden { provider: String, message: Said },
    /// The request is wrong for this model; the same request fails there again.
    #[error("{provider} refused the request: {message}")]
    Refused { provider: String, message: Said },
    /// The provider's content policy said no. Never routed around.
    #[error("{provider} refused the content of the request: {message}")]
    Filtered { provider: String, message: Said },
    /// Shorten the prompt or take a model with a larger window.
    #[error("the prompt does not fit the context of {provider}/{model}: {message}")]
    ContextLengthExceeded { provider: String, model: String, message: Said },
    /// The provider reported an error while answering.
    #[error("{provider} failed while answering: {message}")]
    Failed { provider: String, message: Said },
    /// The stream ended without its dialect's sign that the answer is whole.
    #[error("the answer of {provider} was cut: {message}")]
    Cut { provider: String, message: String },
    #[error("{provider} sent no {awaited} within {} s", after.as_secs_f32())]
    TimedOut { provider: String, awaited: Awaited, after: Duration },
    /// A limit of ours.
    #[error("{provider} sent {what} of more than {limit_bytes} bytes")]
    TooLarge { provider: String, what: &'static str, limit_bytes: usize },
    /// Not the dialect it was configured as.
    #[error("{provider} answered with something else than its dialect: {message}")]
    Malformed { provider: String, message: String },
    /// Only cloud targets are left and the request may not leave the machine.
    #[error(
        "every target of `{route}` is in the cloud and this request may not leave the machine. Use a route with a local model, or allow egress: a key's with devmesh token policy ID --egress, a job's with its egress."
    )]
    EgressRefused { route: String },
    /// Its secrets must stay here, and it holds what cannot be looked through for them.
    #[error(
        "this request may leave the machine only without its secrets, and {what} at `{pointer}` cannot be checked for them. Leave it out, send it as text, or use a local model."
    )]
    Uncheckable { pointer: String, what: &'static str },
    /// What leaves the machine is put on record first, and that cannot be done now.
    #[error("this request may leave the machine only on record: {0}")]
    Unrecorded(String),
    #[error("there is no route or model `{name}`. Known here: {known}")]
    UnknownRoute { name: String, known: String },
    /// The route leads nowhere at the moment.
    #[error("{0}")]
    NoModel(String),
    /// It is left alone for a while (circuit open, or every key refused), and nothing was asked. `after` is the last failure in
    /// our own words; what a person has to mend first does not pass by itself.
    #[error("{provider}/{model} is left alone for a moment, after {after}")]
    LeftAlone { provider: String, model: String, after: String, retry_after: Duration, may_pass: bool },
    /// The answer is whole and not what was asked for.
    #[error("the answer of {provider} is not usable: {message}")]
    Flawed { provider: String, message: String },
    /// The caller's own time limit.
    #[error("no answer within the {} s that the caller allows", after.as_secs_f32())]
    Overdue { after: Duration },
    /// A limit or budget of the key, job or route. Nothing was asked of anybody.
    #[error("{message}")]
    OverLimit { message: String, retry_after: Option<Duration>, kind: LimitKind },
    /// The policy of the key says no.
    #[error("{message}")]
    NotAllowed { message: String },
    #[error("the call was cancelled")]
    Cancelled,
    /// All mistakes of a configuration at once.
    #[error("the model configuration is not valid: {}", .0.join("; "))]
    Configuration(Vec<String>),
}

/// What a caller has used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitKind {
    /// Passes by itself within a minute.
    Rate,
    /// Does not, until its window ends or somebody raises it.
    Budget,
}

/// What did not come in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaited {
    Listing,
    /// Its turn among this router's own calls to that provider.
    Queue,
    Headers,
    FirstToken,
    NextToken,
    /// All of it.
    End,
}

impl fmt::Display for Awaited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Listing => "description of its models",
            Self::Queue => "free place",
            Self::Headers => "answer to the request",
            Self::FirstToken => "first token",
            Self::NextToken => "further token",
            Self::End => "whole answer",
        })
    }
}

/// What a server said in an error, borrowed as the error is.
macro_rules! said_in {
    ($error:expr) => {
        match $error {
            Error::Unavailable { message, .. }
            | Error::RateLimited { message, .. }
            | Error::Overloaded { message, .. }
            | Error::Denied { message, .. }
            | Error::Forbidden { message, .. }
            | Error::Refused { message, .. }
            | Error::Filtered { message, .. }
            | Error::ContextLengthExceeded { message, .. }
            | Error::Failed { message, .. } => Some(message),
            _ => None,
        }
    };
}

impl Error {
    /// `pointer` leads to the place in the caller's body; empty for the whole of it.
    pub(crate) fn invalid(pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Invalid { pointer: pointer.into(), message: message.into() }
    }

    /// The same where nobody else of the route answered either: what the `others` came to.
    pub(crate) fn beside(mut self, route: &str, others: &[String]) -> Self {
        /// The record of the call has them all.
        const TOLD: usize = 3;
        let told = others.iter().take(TOLD).map(String::as_str).collect::<Vec<_>>().join("; ");
        let more = others.len().saturating_sub(TOLD);
        let more = if more == 0 { String::new() } else { format!("; and {more} more") };
        let note = format!(" (no other target of `{route}` answered either: {told}{more})");
        if let Some(said) = self.said_mut() {
            said.append(&note);
        } else if let Some(message) = self.message_mut() {
            message.push_str(&note);
        }
        self
    }

    /// What is told beside the kind of error, where it is more than that.
    pub(crate) fn message_mut(&mut self) -> Option<&mut String> {
        match self {
            Self::Unreachable { message, .. }
            | Self::Flawed { message, .. }
            | Self::Cut { message, .. }
            | Self::Malformed { message, .. } => Some(message),
            other => other.said_mut().map(|said| &mut said.text),
        }
    }

    /// What a server said, where it is part of this.
    pub(crate) fn said_mut(&mut self) -> Option<&mut Said> {
        said_in!(self)
    }

    fn said(&self) -> Option<&Said> {
        said_in!(self)
    }

    /// The server's own error, for a caller of the same API. What it says of our account is not the caller's.
    fn answer(&self) -> Option<&Said> {
        let is_of_our_account = matches!(self, Self::Denied { .. } | Self::Forbidden { .. });
        self.said().filter(|_| !is_of_our_account)
    }

    /// Its status and body as they came; no status where it said so in the middle of a success.
    pub(crate) fn verbatim(&self) -> Option<(Option<StatusCode>, &str)> {
        let said = self.answer()?;
        Some((said.status.and_then(|status| StatusCode::from_u16(status).ok()), said.body()?))
    }

    /// The same inside a stream, where clients know an error by its `error` alone.
    pub(crate) fn verbatim_in_band(&self) -> Option<Value> {
        let body: Value = serde_json::from_str(self.answer()?.body()?).ok()?;
        body.get("error").is_some_and(|error| !error.is_null()).then_some(body)
    }

    /// Of a server that speaks another API than the caller, or was asked something else: its words alone are told.
    pub(crate) fn retold(mut self) -> Self {
        if let Some(said) = self.said_mut() {
            said.forget_body();
        }
        self
    }

    /// The status a server refused with, where every API means the same by it and it says more than that the request is wrong.
    pub(crate) fn refused_with(&self) -> Option<StatusCode> {
        const TELLING: [u16; 5] = [405, 409, 413, 415, 422];
        match self {
            Self::Unavailable { missing: true, .. } => Some(StatusCode::NOT_FOUND),
            Self::Refused { message, .. } => {
                let status = message.status.filter(|status| TELLING.contains(status))?;
                StatusCode::from_u16(status).ok()
            }
            _ => None,
        }
    }

    /// Of a call whose token is gone.
    pub(crate) fn revoked() -> Self {
        let message =
            "the token of this call was revoked or expired before the answer was whole. Ask again with another one.";
        Self::NotAllowed { message: message.to_owned() }
    }

    /// What the API answers with.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Unreachable { .. }
            | Self::Unavailable { .. }
            | Self::RateLimited { .. }
            | Self::Overloaded { .. }
            | Self::LeftAlone { .. }
            | Self::Denied { .. }
            | Self::Forbidden { .. }
            | Self::NoModel(_) => ErrorCode::ModelUnavailable,
            Self::Invalid { .. } => ErrorCode::InvalidRequest,
            Self::ContextLengthExceeded { .. } => ErrorCode::ContextLengthExceeded,
            Self::EgressRefused { .. } | Self::Uncheckable { .. } => ErrorCode::EgressRefused,
            Self::NotAllowed { .. } => ErrorCode::Forbidden,
            Self::UnknownRoute { .. } => ErrorCode::NotFound,
            Self::Configuration(_) => ErrorCode::Internal,
            Self::Cancelled | Self::Unrecorded(_) => ErrorCode::Unavailable,
            Self::OverLimit { .. } => ErrorCode::RateLimited,
            Self::Refused { .. }
            | Self::Flawed { .. }
            | Self::Overdue { .. }
            | Self::Unsupported { .. }
            | Self::Filtered { .. }
            | Self::Failed { .. }
            | Self::Cut { .. }
            | Self::TimedOut { .. }
            | Self::TooLarge { .. }
            | Self::Malformed { .. } => ErrorCode::ModelFailed,
        }
    }

    /// The same where a target that was asked in vain may answer later. `wait`: how long until the first one does.
    pub(crate) fn may_pass_elsewhere(mut self, wait: Duration) -> Self {
        if let Some(said) = self.said_mut() {
            said.may_pass_elsewhere = true;
        }
        // Another one's rest is nothing to wait for.
        let sooner = |asked: &mut Option<Duration>| {
            *asked = asked.map(|asked| asked.min(wait)).filter(|wait| !wait.is_zero());
        };
        match &mut self {
            Self::RateLimited { retry_after, .. } | Self::Overloaded { retry_after, .. } => sooner(retry_after),
            Self::LeftAlone { retry_after, .. } => *retry_after = wait.min(*retry_after),
            _ => {}
        }
        if let Some(said) = self.said_mut() {
            sooner(&mut said.retry_after);
        }
        self
    }

    /// Whether the same call may succeed when it is made again without anybody mending anything.
    pub(crate) fn may_pass(&self) -> bool {
        if self.said().is_some_and(|said| said.may_pass_elsewhere) {
            return true;
        }
        match self {
            Self::Unavailable { missing, .. } => !missing,
            Self::LeftAlone { may_pass, .. } => *may_pass,
            Self::Unreachable { .. }
            | Self::RateLimited { .. }
            | Self::Overloaded { .. }
            | Self::Flawed { .. }
            | Self::Failed { .. }
            | Self::Cut { .. }
            | Self::TimedOut { .. }
            | Self::Malformed { .. }
            | Self::Overdue { .. }
            | Self::Unrecorded(_)
            | Self::Cancelled
            | Self::NoModel(_)
            | Self::OverLimit { kind: LimitKind::Rate, .. } => true,
            Self::Denied { .. }
            | Self::Forbidden { .. }
            | Self::OverLimit { kind: LimitKind::Budget, .. }
            | Self::NotAllowed { .. }
            | Self::Invalid { .. }
            | Self::Unsupported { .. }
            | Self::Refused { .. }
            | Self::Filtered { .. }
            | Self::ContextLengthExceeded { .. }
            | Self::TooLarge { .. }
            | Self::EgressRefused { .. }
            | Self::Uncheckable { .. }
            | Self::UnknownRoute { .. }
            | Self::Configuration(_) => false,
        }
    }

    /// How long whoever failed asks to be left alone.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after, .. }
            | Self::Overloaded { retry_after, .. }
            | Self::OverLimit { retry_after, .. } => *retry_after,
            Self::LeftAlone { retry_after, .. } => Some(*retry_after),
            other => other.said()?.retry_after,
        }
    }

    /// The same in our own words, for logs and records: what a server says may quote the prompt, and is for the caller alone.
    pub(crate) fn recorded(&self) -> String {
        let mut own = self.clone();
        match &mut own {
            // Our own words, in which nothing of a request stands.
            Self::Unreachable { .. } | Self::Cut { .. } => {}
            Self::Invalid { message, .. } => *message = "the request is not of its dialect".to_owned(),
            Self::Unavailable { message, missing: true, .. } => {
                *message = format!("{}: it has no such model or endpoint", message.recorded()).into();
            }
            Self::Flawed { message, .. } | Self::Malformed { message, .. } => *message = said::UNTOLD.to_owned(),
            other => {
                if let Some(said) = other.said_mut() {
                    *said = said.recorded().into();
                }
            }
        }
        own.to_string()
    }

    /// Of a question beside calls, such as one for a listing: the server answers and has no such endpoint, which is not to be
    /// dead.
    pub(crate) fn is_of_a_living_server(&self) -> bool {
        matches!(self, Self::Unavailable { missing: true, .. } | Self::Refused { .. } | Self::Malformed { .. })
    }

    /// Whether another target may be asked instead, as long as nothing of the answer was passed on.
    pub(crate) fn leads_on(&self) -> bool {
        !matches!(self, Self::Filtered { .. } | Self::Cancelled | Self::Invalid { .. })
    }
}
