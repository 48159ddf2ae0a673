//! Bodies that come packed (RFC 9110 §8.4): `gzip` and `identity` are read, everything else is refused.

use crate::{
    extract::too_large,
    problem::{Failure, Result},
};
use bytes::Bytes;
use domain::ErrorCode;
use flate2::read::MultiGzDecoder;
use http::{HeaderMap, header};
use std::io::Read;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    Plain,
    Gzip,
}

impl Packing {
    /// # Errors
    /// [`ErrorCode::UnsupportedMediaType`] for an encoding that is not read here, and for several of them.
    pub fn of(headers: &HeaderMap) -> Result<Self> {
        let mut packing = Self::Plain;
        for value in headers.get_all(header::CONTENT_ENCODING) {
            let names = String::from_utf8_lossy(value.as_bytes()).to_ascii_lowercase();
            for name in names.split(',').map(str::trim) {
                packing = match (name, packing) {
                    ("" | "identity", packing) => packing,
                    ("gzip" | "x-gzip", Self::Plain) => Self::Gzip,
                    _ => {
                        let given: String = names.chars().take(128).collect();
                        let detail = format!(
                            "The body is packed as `{given}`. Send it as it is, or with one `content-encoding: gzip`."
                        );
                        return Err(Failure::new(ErrorCode::UnsupportedMediaType, detail));
                    }
                };
            }
        }
        Ok(packing)
    }

    /// # Errors
    /// [`ErrorCode::BodyTooLarge`] as soon as more than `limit` bytes come out, [`ErrorCode::InvalidRequest`] for what cannot be
    /// unpacked.
    pub async fn unpacked(self, body: Bytes, limit: usize) -> Result<Bytes> {
        if self == Self::Plain || body.is_empty() {
            return Ok(body);
        }
        let unpacked = tokio::task::spawn_blocking(move || unzip(&body, limit)).await;
        unpacked.unwrap_or_else(|_| Err(Failure::internal("unpacking a body panicked")))
    }
}

fn unzip(packed: &[u8], limit: usize) -> Result<Bytes> {
    let mut body = Vec::new();
    // One byte more tells that there is more.
    let read = MultiGzDecoder::new(packed).take(limit as u64 + 1).read_to_end(&mut body);
    if body.len() > limit {
        return Err(too_large(limit as u64));
    }
    read.map_err(|error| {
        let detail = format!(
            "The body says that it is gzip and cannot be unpacked: {error}. Pack it again, or send it as it is."
        );
        Failure::new(ErrorCode::InvalidRequest, detail)
    })?;
    Ok(body.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};
    use std::io::Write;

    fn zipped(body: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn only_one_gzip_is_read() {
        for (values, expected) in [
            (&[][..], Some(Packing::Plain)),
            (&["identity"], Some(Packing::Plain)),
            (&["gzip"], Some(Packing::Gzip)),
            (&["GZIP, identity"], Some(Packing::Gzip)),
            (&["gzip", "gzip"], None),
            (&["gzip, br"], None),
            (&["zstd"], None),
            (&["deflate"], None),
        ] {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::CONTENT_ENCODING, value.parse().unwrap());
            }
            assert_eq!(Packing::of(&headers).ok(), expected, "{values:?}");
        }
    }

    #[test]
    fn what_comes_out_is_bounded_whatever_went_in() {
        let code = |packed: &[u8], limit| unzip(packed, limit).map_err(|failure| failure.code);
        let body = b"{\"a\":1}".repeat(3);
        let (packed, bomb) = (zipped(&body), zipped(&vec![0; 8 << 20]));
        assert!(bomb.len() < 16 << 10);
        assert_eq!(code(&packed, body.len()).as_deref(), Ok(&body[..]));
        assert_eq!(code(&packed, body.len() - 1), Err(ErrorCode::BodyTooLarge));
        assert_eq!(code(&bomb, 1 << 20), Err(ErrorCode::BodyTooLarge));
        assert_eq!(
            code(&[zipped(b"{"), zipped(b"}")].concat(), 9).as_deref(),
            Ok(&b"{}"[..]),
            "members follow each other"
        );
        for broken in [&packed[..packed.len() - 5], b"{}", &[packed.clone(), b"x".to_vec()].concat()] {
            assert_eq!(code(broken, 1 << 20), Err(ErrorCode::InvalidRequest), "{broken:?}");
        }
    }
}
