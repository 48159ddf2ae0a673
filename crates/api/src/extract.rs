//! What handlers take from a request. Each extractor refuses with a problem that says where and why.

use crate::{
    app::App,
    json,
    problem::{Failure, Result},
    query,
    unpack::Packing,
};
use axum::extract::{FromRequest, FromRequestParts, OptionalFromRequest, Request};
use bytes::Bytes;
use domain::ErrorCode;
use http::{HeaderMap, header, request::Parts};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::{Serialize, de::DeserializeOwned};
use std::sync::Arc;

/// A JSON body of at most `limits.json_bytes`.
pub struct Payload<T>(pub T);

/// A JSON body of at most `limits.model_call_bytes`: a whole conversation.
pub struct LargePayload<T>(pub T);

impl<T: DeserializeOwned + Serialize> FromRequest<Arc<App>> for Payload<T> {
    type Rejection = Failure;
    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self> {
        read_json(request, app, app.options.limits.json_bytes).await.map(Self)
    }
}

/// A body of at most `limits.model_call_bytes`, as it is: whoever forwards it must not change a byte.
pub struct Raw {
    pub request_id: domain::RequestId,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl FromRequest<Arc<App>> for Raw {
    type Rejection = Failure;
    async fn from_request(mut request: Request, app: &Arc<App>) -> Result<Self> {
        let request_id = crate::gateway::request_id(&request)?;
        let body = read(&mut request, app, app.options.limits.model_call_bytes).await?;
        let mut headers = std::mem::take(request.headers_mut());
        // Of the body that is passed on, which is unpacked.
        headers.remove(header::CONTENT_ENCODING);
        Ok(Self { request_id, headers, body })
    }
}

/// An empty body is `None`, whatever type it says it has: clients set one although they send nothing.
impl<T: DeserializeOwned + Serialize> OptionalFromRequest<Arc<App>> for Payload<T> {
    type Rejection = Failure;
    async fn from_request(mut request: Request, app: &Arc<App>) -> Result<Option<Self>> {
        let media_type = check_media_type(request.headers());
        let body = read(&mut request, app, app.options.limits.json_bytes).await?;
        if body.is_empty() {
            return Ok(None);
        }
        media_type?;
        json::parse(&body).map(|body| Some(Self(body)))
    }
}

impl<T: DeserializeOwned + Serialize> FromRequest<Arc<App>> for LargePayload<T> {
    type Rejection = Failure;
    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self> {
        read_json(request, app, app.options.limits.model_call_bytes).await.map(Self)
    }
}

async fn read_json<T: DeserializeOwned + Serialize>(mut request: Request, app: &App, limit: usize) -> Result<T> {
    check_media_type(request.headers())?;
    let body = read(&mut request, app, limit).await?;
    json::parse(&body)
}

fn check_media_type(headers: &HeaderMap) -> Result<()> {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = given.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let given: String = given.chars().take(128).collect();
    let detail = format!("Send the body as `content-type: application/json`; got `{given}`.");
    Err(Failure::new(ErrorCode::UnsupportedMediaType, detail))
}

/// The whole body, unpacked, within `limit` bytes and `limits.body_timeout`.
async fn read(request: &mut Request, app: &App, limit: usize) -> Result<Bytes> {
    let packing = Packing::of(request.headers())?;
    check_length(request.headers(), limit as u64)?;
    let wait = app.options.limits.body_timeout;
    let body = std::mem::take(request.body_mut());
    let read = tokio::time::timeout(wait, Limited::new(body, limit).collect()).await;
    match read {
        Ok(Ok(body)) => packing.unpacked(body.to_bytes(), limit).await,
        Ok(Err(error)) if is_too_large(error.as_ref()) => Err(too_large(limit as u64)),
        Ok(Err(error)) => Err(Failure::new(ErrorCode::InvalidRequest, format!("The body could not be read: {error}."))),
        Err(_) => Err(Failure::new(
            ErrorCode::RequestTimeout,
            format!("The body did not arrive within {} s.", wait.as_secs_f32()),
        )),
    }
}

fn is_too_large(error: &(dyn std::error::Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error| error.source()).any(|error| error.is::<LengthLimitError>())
}

/// Refuses what announces itself as too large before a byte of it is read.
pub fn check_length(headers: &HeaderMap, limit: u64) -> Result<()> {
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|bytes| bytes > limit) { Err(too_large(limit)) } else { Ok(()) }
}

pub fn too_large(limit: u64) -> Failure {
    Failure::new(
        ErrorCode::BodyTooLarge,
        format!("At most {limit} bytes are read here. Send less, or raise the limit in the configuration."),
    )
}

/// The query string. Unknown and repeated parameters are refused: a filter that is not applied is worse than none.
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Failure;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        let query = query::deserializer(parts.uri.query().unwrap_or_default());
        serde_path_to_error::deserialize(query).map(Self).map_err(|error| {
            let name = json::pointer(error.path()).trim_start_matches('/').to_owned();
            let detail: String = error.into_inner().to_string().chars().take(300).collect();
            Failure::field(name, detail)
        })
    }
}

/// The variable parts of the path.
pub struct Path<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Failure;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        match axum::extract::Path::<T>::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(value)) => Ok(Self(value)),
            Err(rejection) => {
                let detail: String = rejection.body_text().chars().take(300).collect();
                Err(Failure::new(ErrorCode::InvalidRequest, format!("The path is not valid: {detail}.")))
            }
        }
    }
}
