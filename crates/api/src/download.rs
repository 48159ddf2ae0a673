//! Content as an answer: whole, a part of it, or nothing because the client has it (RFC 9110 §13 and §14).
//!
//! | asked with | answer |
//! |---|---|
//! | `If-None-Match` that names it | 304 |
//! | one `Range` in it, without `If-Range` or with its `ETag` there | 206 |
//! | one `Range` beyond its end | 416 |
//! | anything else, several ranges among it | 200 and all of it |

use crate::problem::{Failure, Result};
use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use bytes::{Buf, Bytes};
use domain::ErrorCode;
use futures_util::{Stream, StreamExt, future::ready};
use headers::{AcceptRanges, ContentLength, ContentRange, ETag, HeaderMapExt, IfNoneMatch, IfRange};
use http::{HeaderMap, Method, StatusCode, header};
use std::{
    io,
    ops::{Range, RangeInclusive},
};

/// What is asked for, of content of `length` bytes.
#[derive(Debug, PartialEq, Eq)]
enum Part {
    Whole,
    Some(RangeInclusive<u64>),
    /// The client has it.
    Nothing,
    Beyond,
}

/// Of `contents`, which are `length` bytes and named by `etag`.
pub fn answer(
    method: &Method,
    asked: &HeaderMap,
    contents: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
    length: u64,
    etag: &ETag,
) -> Result<Response> {
    let mut headers = HeaderMap::new();
    headers.typed_insert(etag.clone());
    headers.typed_insert(AcceptRanges::bytes());
    let (status, part) = match part(method, asked, length, etag) {
        Part::Nothing => return Ok((StatusCode::NOT_MODIFIED, headers).into_response()),
        Part::Beyond => {
            let detail =
                format!("The content has {length} bytes, and none of them lies in the range that was asked for.");
            return Err(Failure { length: Some(length), ..Failure::new(ErrorCode::RangeNotSatisfiable, detail) });
        }
        Part::Whole => (StatusCode::OK, 0..length),
        Part::Some(part) => {
            headers.typed_insert(ContentRange::bytes(part.clone(), length).map_err(Failure::internal)?);
            (StatusCode::PARTIAL_CONTENT, *part.start()..part.end() + 1)
        }
    };
    headers.typed_insert(ContentLength(part.end - part.start));
    Ok((status, headers, Body::from_stream(within_bytes(contents, part))).into_response())
}

/// The bytes of a part. All before them are read too: contents are compared with their digest from the first byte on.
fn within_bytes(
    contents: impl Stream<Item = io::Result<Bytes>> + Send,
    part: Range<u64>,
) -> impl Stream<Item = io::Result<Bytes>> + Send {
    let state = (part.start, part.end - part.start);
    let parts = contents.scan(state, |(before, left), chunk| {
        if *left == 0 {
            return ready(None);
        }
        ready(Some(chunk.map(|mut bytes| {
            let skipped = (bytes.len() as u64).min(*before);
            *before -= skipped;
            bytes.advance(skipped as usize);
            bytes.truncate((*left).min(bytes.len() as u64) as usize);
            *left -= bytes.len() as u64;
            bytes
        })))
    });
    parts.filter(|chunk| ready(chunk.as_ref().map_or(true, |bytes| !bytes.is_empty())))
}

fn part(method: &Method, asked: &HeaderMap, length: u64, etag: &ETag) -> Part {
    if asked.typed_get::<IfNoneMatch>().is_some_and(|known| !known.precondition_passes(etag)) {
        return Part::Nothing;
    }
    let is_another = asked.typed_get::<IfRange>().is_some_and(|known| known.is_modified(Some(etag), None));
    // A range that is not understood is passed over.
    let Some(range) = range(asked).filter(|_| *method == Method::GET && !is_another) else {
        return Part::Whole;
    };
    match range {
        Asked::Part(part) => within(part, length).map_or(Part::Beyond, Part::Some),
        Asked::Last(0) => Part::Beyond,
        Asked::Last(bytes) => within(length.saturating_sub(bytes)..=u64::MAX, length).map_or(Part::Beyond, Part::Some),
    }
}

enum Asked {
    Part(RangeInclusive<u64>),
    Last(u64),
}

/// One range of bytes, or nothing: several, other units and what is no range come whole.
fn range(headers: &HeaderMap) -> Option<Asked> {
    let (unit, range) = headers.get(header::RANGE)?.to_str().ok()?.split_once('=')?;
    let (first, last) = range.split_once('-')?;
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !unit.eq_ignore_ascii_case("bytes") || !digits(first) || !digits(last) {
        return None;
    }
    match (first.parse().ok(), last.parse().ok()) {
        (None, Some(bytes)) if first.is_empty() => Some(Asked::Last(bytes)),
        (Some(first), None) if last.is_empty() => Some(Asked::Part(first..=u64::MAX)),
        (Some(first), Some(last)) if first <= last => Some(Asked::Part(first..=last)),
        _ => None,
    }
}

fn within(part: RangeInclusive<u64>, length: u64) -> Option<RangeInclusive<u64>> {
    let (start, end) = (*part.start(), (*part.end()).min(length.checked_sub(1)?));
    (start <= end).then_some(start..=end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};

    fn asked(method: Method, headers: &[(HeaderName, &'static str)], length: u64) -> Part {
        let etag: ETag = "\"abc\"".parse().unwrap();
        let headers = headers.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect();
        part(&method, &headers, length, &etag)
    }

    #[test]
    fn a_part_is_what_the_range_and_the_length_have_in_common() {
        let of = |range, length| asked(Method::GET, &[(header::RANGE, range)], length);
        assert_eq!(of("bytes=0-3", 10), Part::Some(0..=3));
        assert_eq!(of("bytes=4-", 10), Part::Some(4..=9));
        assert_eq!(of("bytes=9-9", 10), Part::Some(9..=9));
        assert_eq!(of("bytes=4-99", 10), Part::Some(4..=9));
        assert_eq!(of("bytes=-3", 10), Part::Some(7..=9));
        assert_eq!(of("bytes=-30", 10), Part::Some(0..=9));
        assert_eq!(of("bytes=10-", 10), Part::Beyond);
        assert_eq!(of("bytes=0-", 0), Part::Beyond);
        assert_eq!(of("bytes=-0", 10), Part::Beyond);
        assert_eq!(of("bytes=18446744073709551615-", 10), Part::Beyond);
        for passed_over in
            ["bytes=0-1,4-5", "lines=0-3", "bytes=", "bytes=3-1", "bytes=x-", "bytes=99999999999999999999-"]
        {
            assert_eq!(of(passed_over, 10), Part::Whole, "{passed_over}");
        }
        assert_eq!(asked(Method::HEAD, &[(header::RANGE, "bytes=0-3")], 10), Part::Whole);
    }

    #[test]
    fn conditions_come_first() {
        let of = |headers: &[_]| asked(Method::GET, headers, 10);
        for known in ["\"abc\"", "W/\"abc\"", "\"x\", \"abc\"", "*"] {
            assert_eq!(of(&[(header::IF_NONE_MATCH, known), (header::RANGE, "bytes=0-3")]), Part::Nothing, "{known}");
        }
        assert_eq!(of(&[(header::IF_NONE_MATCH, "\"x\""), (header::RANGE, "bytes=0-3")]), Part::Some(0..=3));
        assert_eq!(of(&[(header::IF_RANGE, "\"abc\""), (header::RANGE, "bytes=5-")]), Part::Some(5..=9));
        for other in ["\"x\"", "W/\"abc\"", "Sun, 06 Nov 1994 08:49:37 GMT"] {
            assert_eq!(of(&[(header::IF_RANGE, other), (header::RANGE, "bytes=5-")]), Part::Whole, "{other}");
        }
    }
}
