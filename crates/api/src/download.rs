//! Content as an answer: whole, a part of it, or nothing because the client has it (RFC 9110 §13 and §14).
//!
//! | asked with | answer |
//! |---|---|
//! | `If-None-Match` that names it | 304 |
//! | one `Range` in it, without `If-Range` or with nothing but its `ETag` there | 206 |
//! | one `Range` beyond its end | 416 |
//! | anything else, several ranges among it | 200 and all of it |
//!
//! Nothing ends well before its digest is known, and the digest is of the whole: a part costs reading all of the content, as
//! far as it is not sent too, which at the usual limit of an artifact (`limits.artifact_bytes`) takes a fraction of a second.

use crate::{
    failure::sentence,
    problem::{Failure, Result},
};
use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use bytes::{Buf, Bytes};
use domain::ErrorCode;
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
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
///
/// # Errors
/// When the range is none of it, or the contents turn out to be damaged before the first byte is sent.
pub async fn answer(
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
    let mut parts = within_bytes(contents, part).boxed();
    let lost = |error: io::Error| Failure::new(ErrorCode::ContentLost, sentence(&error.to_string()));
    let first = parts.try_next().await.map_err(lost)?;
    let parts = stream::iter(first.map(Ok)).chain(parts);
    Ok((status, headers, Body::from_stream(parts)).into_response())
}

/// The bytes of a part. All others are read too, because contents are compared with their digest at their end. Until then the
/// last of the part are held back, at most one chunk of the contents.
fn within_bytes(
    contents: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
    part: Range<u64>,
) -> impl Stream<Item = io::Result<Bytes>> + Send {
    let (before, left, last) = (part.start, part.end - part.start, None);
    let state = (contents.boxed(), before, left, last);
    stream::try_unfold(state, |(mut contents, mut before, mut left, mut last)| async move {
        while let Some(mut bytes) = contents.try_next().await? {
            let skipped = (bytes.len() as u64).min(before);
            before -= skipped;
            bytes.advance(skipped as usize);
            bytes.truncate(left.min(bytes.len() as u64) as usize);
            left -= bytes.len() as u64;
            if bytes.is_empty() {
                continue;
            }
            if left > 0 {
                return Ok(Some((bytes, (contents, before, left, last))));
            }
            last = Some(bytes);
        }
        Ok(last.take().map(|bytes| (bytes, (contents, before, left, last))))
    })
}

fn part(method: &Method, asked: &HeaderMap, length: u64, etag: &ETag) -> Part {
    if asked.typed_get::<IfNoneMatch>().is_some_and(|known| !known.precondition_passes(etag)) {
        return Part::Nothing;
    }
    // One that is not understood is not this one.
    let is_same = || asked.typed_get::<IfRange>().is_some_and(|known| !known.is_modified(Some(etag), None));
    let is_another = asked.contains_key(header::IF_RANGE) && !is_same();
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
    use futures_util::FutureExt;
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
        for other in ["\"x\"", "W/\"abc\"", "Sun, 06 Nov 1994 08:49:37 GMT", "garbage", "abc", "\"abc", "*", ""] {
            assert_eq!(of(&[(header::IF_RANGE, other), (header::RANGE, "bytes=5-")]), Part::Whole, "{other}");
        }
    }

    fn sent(contents: Vec<io::Result<Bytes>>, part: Range<u64>) -> (Vec<u8>, bool) {
        let mut sent = Vec::new();
        let parts: Vec<_> = within_bytes(stream::iter(contents), part).collect().now_or_never().unwrap();
        let ends_well = parts.iter().all(Result::is_ok);
        parts.into_iter().flatten().for_each(|bytes| sent.extend_from_slice(&bytes));
        (sent, ends_well)
    }

    #[test]
    fn no_part_ends_well_before_the_digest_is_known() {
        let chunks = ["abc", "def", "ghi"].map(|chunk| Bytes::from_static(chunk.as_bytes()));
        let whole = || chunks.iter().cloned().map(Ok).collect::<Vec<_>>();
        // A part that ends with the contents is the last of them, which come only if they are right.
        let damaged = || chunks[..2].iter().cloned().map(Ok).chain([Err(io::ErrorKind::InvalidData.into())]).collect();
        for start in 0..9_usize {
            for end in start + 1..=9 {
                let part = start as u64..end as u64;
                assert_eq!(sent(whole(), part.clone()), (b"abcdefghi"[start..end].to_vec(), true), "{part:?}");
                let (sent, ends_well) = sent(damaged(), part.clone());
                assert!(!ends_well && sent.len() < end - start, "{part:?}: {sent:?}");
            }
        }
        assert_eq!(sent(whole(), 0..0), (Vec::new(), true));
    }
}
