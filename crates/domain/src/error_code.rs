//! The stable codes of every error the API answers with. Each has a page in `docs/errors/`.

use crate::job::names;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

names! {
    /// What went wrong, in one word a program can match on.
    ErrorCode {
        InvalidRequest = "invalid_request",
        InvalidJson = "invalid_json",
        InvalidCursor = "invalid_cursor",
        Unauthorized = "unauthorized",
        Forbidden = "forbidden",
        HostNotAllowed = "host_not_allowed",
        OriginNotAllowed = "origin_not_allowed",
        NotFound = "not_found",
        Gone = "gone",
        MethodNotAllowed = "method_not_allowed",
        NotAcceptable = "not_acceptable",
        ContentLost = "content_lost",
        WrongState = "wrong_state",
        StaleAttempt = "stale_attempt",
        ProducerGap = "producer_gap",
        ProducerConflict = "producer_conflict",
        CursorAhead = "cursor_ahead",
        IdempotencyConflict = "idempotency_conflict",
        BodyTooLarge = "body_too_large",
        HeadersTooLarge = "headers_too_large",
        UnsupportedMediaType = "unsupported_media_type",
        RangeNotSatisfiable = "range_not_satisfiable",
        ContextLengthExceeded = "context_length_exceeded",
        EgressRefused = "egress_refused",
        RateLimited = "rate_limited",
        TooManyConnections = "too_many_connections",
        RequestTimeout = "request_timeout",
        ModelUnavailable = "model_unavailable",
        ModelFailed = "model_failed",
        StorageFull = "storage_full",
        Unavailable = "unavailable",
        Internal = "internal",
    }
}

impl ErrorCode {
    /// The HTTP status this code is answered with.
    pub fn status(self) -> u16 {
        match self {
            Self::InvalidRequest | Self::InvalidJson | Self::InvalidCursor => 400,
            Self::Unauthorized => 401,
            Self::Forbidden | Self::OriginNotAllowed | Self::EgressRefused => 403,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::NotAcceptable => 406,
            Self::RequestTimeout => 408,
            Self::WrongState | Self::StaleAttempt | Self::ProducerGap | Self::ProducerConflict | Self::CursorAhead => {
                409
            }
            Self::Gone | Self::ContentLost => 410,
            Self::BodyTooLarge => 413,
            Self::UnsupportedMediaType => 415,
            Self::RangeNotSatisfiable => 416,
            Self::HostNotAllowed => 421,
            Self::IdempotencyConflict | Self::ContextLengthExceeded => 422,
            Self::RateLimited => 429,
            Self::HeadersTooLarge => 431,
            Self::Internal => 500,
            Self::ModelFailed => 502,
            Self::TooManyConnections | Self::ModelUnavailable | Self::Unavailable => 503,
            Self::StorageFull => 507,
        }
    }

    /// The short human name: the `title` of a problem.
    pub fn title(self) -> &'static str {
        match self {
            Self::InvalidRequest => "The request is not valid",
            Self::InvalidJson => "The body is not the JSON expected here",
            Self::InvalidCursor => "The cursor is not valid",
            Self::Unauthorized => "A valid token is required",
            Self::Forbidden => "This token may not do that",
            Self::HostNotAllowed => "The Host header is not on the allow-list",
            Self::OriginNotAllowed => "The Origin header is not on the allow-list",
            Self::NotFound => "There is no such thing",
            Self::Gone => "What this request made was deleted",
            Self::MethodNotAllowed => "This method is not available here",
            Self::NotAcceptable => "None of the accepted media types is available here",
            Self::ContentLost => "The stored content is missing or damaged",
            Self::WrongState => "The present state does not allow this",
            Self::StaleAttempt => "Another attempt owns this job now",
            Self::ProducerGap => "Events are missing before this batch",
            Self::ProducerConflict => "This batch was not stored with these events",
            Self::CursorAhead => "The cursor is ahead of the log",
            Self::IdempotencyConflict => "This idempotency key was used for another request",
            Self::BodyTooLarge => "The body is too large",
            Self::HeadersTooLarge => "The headers are too large",
            Self::UnsupportedMediaType => "The media type of the body is not supported here",
            Self::RangeNotSatisfiable => "There is nothing in this range",
            Self::ContextLengthExceeded => "The prompt does not fit the model's context",
            Self::EgressRefused => "Policy does not let this request leave the machine",
            Self::RateLimited => "Too many requests",
            Self::TooManyConnections => "Too many connections",
            Self::RequestTimeout => "The request took too long to arrive",
            Self::ModelUnavailable => "No model can answer this now",
            Self::ModelFailed => "The model failed while answering",
            Self::StorageFull => "The disk is full or cannot be written",
            Self::Unavailable => "The service is not available now",
            Self::Internal => "Something went wrong inside devmesh",
        }
    }
}
