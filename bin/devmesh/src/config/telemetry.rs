//! `telemetry.*`: the collector that is told of model calls.

use super::{Problems, Resolved};
use percent_encoding::percent_decode_str;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use router::telemetry::Options;

pub(super) fn read(resolved: &Resolved, problems: &mut Problems) -> Option<Options> {
    let collector = resolved.pair("telemetry.otlp_endpoint", HEADERS);
    let headers = headers(collector.secret.unwrap_or_default(), problems);
    let preset = Options::new(collector.address?);
    let ratio = resolved.text("telemetry.sample_ratio").and_then(|text| text.parse().ok());
    Some(Options {
        headers,
        service_name: resolved.text("telemetry.service_name").map_or(preset.service_name, str::to_owned),
        sample_ratio: ratio.unwrap_or(preset.sample_ratio),
        content: resolved.boolean("telemetry.content"),
        ..preset
    })
}

const HEADERS: &str = "telemetry.otlp_headers";

/// In the form of other programs' `OTEL_EXPORTER_OTLP_HEADERS`. What is wrong is told by its place: values are secrets, and
/// what looks like a name may be one.
fn headers(text: &str, problems: &mut Problems) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let pairs = text.split(',').map(str::trim).enumerate().filter(|(_, pair)| !pair.is_empty());
    for (index, pair) in pairs {
        match header(pair) {
            Some((name, value)) => _ = headers.append(name, value),
            None => problems.add(HEADERS, format!("entry {} is not name=value with a header's name", index + 1)),
        }
    }
    headers
}

fn header(pair: &str) -> Option<(HeaderName, HeaderValue)> {
    let (name, value) = pair.split_once('=')?;
    let value = percent_decode_str(value.trim()).decode_utf8().ok()?;
    let mut value = HeaderValue::from_str(&value).ok()?;
    value.set_sensitive(true);
    Some((name.trim().parse().ok()?, value))
}
