//! Every refusal of `/api` is one RFC 9457 problem.
//!
//! A handler returns a [`Failure`]; it travels as a response extension, and [`crate::envelope`] writes the body, because
//! only there the request id is at hand. Nothing else in this crate writes an error body.

use crate::vendor::Vendor;
use axum::response::{IntoResponse, Response};
use domain::{ErrorCode, RequestId};
use headers::{ContentRange, HeaderMapExt};
use http::{HeaderValue, StatusCode, header};
use protocol::{FieldError, PROBLEM_MEDIA_TYPE, Problem, Reset};
use std::time::Duration;

pub type Result<T, E = Failure> = std::result::Result<T, E>;

/// Why a request was not done.
#[derive(Clone, Debug)]
pub struct Failure {
    pub code: ErrorCode,
    /// What happened, the value seen, and what to do next. Shown to the client.
    pub detail: String,
    pub errors: Vec<FieldError>,
    pub reset: Option<Box<Reset>>,
    pub expected_producer_seq: Option<u64>,
    /// Becomes `Retry-After`, rounded up to whole seconds.
    pub retry_after: Option<Duration>,
    /// Becomes `WWW-Authenticate`.
    pub challenge: Option<Challenge>,
    /// Of the content a range was asked of, in bytes. Becomes `Content-Range`.
    pub length: Option<u64>,
}

/// How to say who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Challenge {
    Bearer,
    /// For a browser, which then asks for a token by itself.
    Basic,
}

impl Challenge {
    fn header(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Bearer => r#"Bearer realm="devmesh""#,
            Self::Basic => r#"Basic realm="devmesh: any user name, a token as the password", charset="UTF-8""#,
        })
    }
}

impl Failure {
    pub fn new(code: ErrorCode, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
            errors: Vec::new(),
            reset: None,
            expected_producer_seq: None,
            retry_after: None,
            challenge: None,
            length: None,
        }
    }

    /// One mistake at one place of the request.
    pub fn field(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::fields(vec![FieldError { pointer: pointer.into(), detail: detail.into() }])
    }

    pub fn fields(errors: Vec<FieldError>) -> Self {
        let named = errors.iter().map(|error| match error.pointer.as_str() {
            "" => error.detail.clone(),
            pointer => format!("`{pointer}`: {}", error.detail),
        });
        let detail = named.collect::<Vec<_>>().join("; ");
        Self { errors, ..Self::new(ErrorCode::InvalidRequest, detail) }
    }

    /// A defect or a broken machine: the cause goes to the log, not to the client.
    pub fn internal(cause: impl std::fmt::Display) -> Self {
        tracing::error!(%cause, "a request failed inside devmesh");
        Self::new(
            ErrorCode::Internal,
            "devmesh could not do this because of a fault of its own. Its log has the cause under this request id.",
        )
    }

    /// Stored data is not what was written. `detail` says which, and nothing of what is in it.
    pub fn damaged(cause: impl std::fmt::Display, detail: String) -> Self {
        tracing::error!(%cause, "a request came upon damaged data");
        Self::new(ErrorCode::Internal, detail)
    }

    pub fn not_found(what: impl std::fmt::Display) -> Self {
        Self::new(ErrorCode::NotFound, format!("There is no {what}, or this token may not see it."))
    }

    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    pub fn into_problem(self, request_id: RequestId) -> Problem {
        Problem {
            r#type: format!("/api/errors/{}", self.code),
            title: self.code.title().into(),
            status: self.code.status(),
            detail: self.detail,
            code: self.code,
            request_id: request_id.to_string(),
            errors: self.errors,
            reset: self.reset.map(|reset| *reset),
            expected_producer_seq: self.expected_producer_seq,
        }
    }

    fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// Turns the failure a response carries into its body and headers. Clients of a vendor get the vendor's shape.
pub fn render(mut response: Response, request_id: RequestId, vendor: Option<Vendor>) -> Response {
    let Some(failure) = response.extensions_mut().remove::<Failure>() else { return response };
    *response.status_mut() = failure.status();
    let headers = response.headers_mut();
    let media_type = if vendor.is_some() { "application/json" } else { PROBLEM_MEDIA_TYPE };
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.remove(header::CONTENT_LENGTH);
    if let Some(wait) = failure.retry_after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs_f64().ceil().max(1.0) as u64));
    }
    if matches!(failure.code, ErrorCode::Unauthorized | ErrorCode::TooManyConnections) {
        // Nobody keeps a connection without the right to a place for it.
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    if let Some(length) = failure.length {
        headers.typed_insert(ContentRange::unsatisfied_bytes(length));
    }
    if let Some(challenge) = failure.challenge {
        headers.insert(header::WWW_AUTHENTICATE, challenge.header());
    }
    // A Problem holds text and numbers only, which always have a JSON form.
    let body = match vendor {
        Some(vendor) => serde_json::to_vec(&vendor.error(&failure, request_id)),
        None => serde_json::to_vec(&failure.into_problem(request_id)),
    };
    *response.body_mut() = body.unwrap_or_default().into();
    response
}
