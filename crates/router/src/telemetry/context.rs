//! Which trace a call is part of, as the W3C writes it in `traceparent` and `tracestate`.

use http::HeaderMap;
use opentelemetry::{
    Context, SpanId, TraceFlags, TraceId,
    propagation::TextMapPropagator,
    trace::{SpanContext, TraceContextExt},
};
use opentelemetry_http::{HeaderExtractor, HeaderInjector};
use opentelemetry_sdk::propagation::TraceContextPropagator;

const PARENT: &str = "traceparent";
const STATE: &str = "tracestate";

/// One span of one trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceContext(SpanContext);

impl TraceContext {
    pub(super) fn new(trace_id: TraceId, span_id: SpanId, is_sampled: bool, parent: Option<&Self>) -> Self {
        let state = parent.map(|parent| parent.0.trace_state().clone()).unwrap_or_default();
        let flags = if is_sampled { TraceFlags::SAMPLED } else { TraceFlags::NOT_SAMPLED };
        Self(SpanContext::new(trace_id, span_id, flags, false, state))
    }

    /// Of a caller's headers. What is not well formed is as good as not there.
    pub(crate) fn of_caller(headers: &HeaderMap) -> Option<Self> {
        let mut parents = headers.get_all(PARENT).iter();
        let parent = parents.next()?.to_str().ok()?;
        if parents.next().is_some() || !is_well_formed(parent) {
            return None;
        }
        let extracted = TraceContextPropagator::new().extract_with_context(&Context::new(), &HeaderExtractor(headers));
        let context = extracted.span().span_context().clone();
        context.is_valid().then_some(Self(context))
    }

    /// For a server that may know which trace its work is part of.
    pub(crate) fn write(&self, headers: &mut HeaderMap) {
        TraceContextPropagator::new().inject_context(&self.as_remote(), &mut HeaderInjector(headers));
        if headers.get(STATE).is_some_and(|state| state.is_empty()) {
            headers.remove(STATE);
        }
    }

    pub(super) fn child(&self, span_id: SpanId) -> Self {
        Self::new(self.trace_id(), span_id, self.is_sampled(), Some(self))
    }

    pub(super) fn as_remote(&self) -> Context {
        Context::new().with_remote_span_context(self.0.clone())
    }

    pub(super) fn trace_id(&self) -> TraceId {
        self.0.trace_id()
    }

    pub(super) fn is_sampled(&self) -> bool {
        self.0.is_sampled()
    }

    pub(super) fn span(&self) -> &SpanContext {
        &self.0
    }
}

/// The library alone takes ids that are too short, and signs before them.
fn is_well_formed(parent: &str) -> bool {
    const DASHES: [usize; 3] = [2, 35, 52];
    const LENGTH: usize = 55;
    let (Some(fields), Some(rest)) = (parent.as_bytes().get(..LENGTH), parent.get(LENGTH..)) else { return false };
    let fits = fields.iter().enumerate().all(|(at, byte)| match byte {
        b'-' => DASHES.contains(&at),
        b'0'..=b'9' | b'a'..=b'f' => !DASHES.contains(&at),
        _ => false,
    });
    // Later versions may say more.
    fits && (rest.is_empty() || (rest.starts_with('-') && !parent.starts_with("00")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderName;

    const WELL_FORMED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    #[test]
    fn what_a_caller_says_is_passed_on_with_another_span() {
        let told = headers(&[(PARENT, WELL_FORMED), (STATE, "one=1,two=2")]);
        let child = TraceContext::of_caller(&told).unwrap().child(SpanId::from(7));
        let mut passed = HeaderMap::new();
        child.write(&mut passed);
        assert_eq!(passed[PARENT], "00-0af7651916cd43dd8448eb211c80319c-0000000000000007-01");
        assert_eq!(passed[STATE], "one=1,two=2");
    }

    #[test]
    fn a_state_that_says_nothing_is_not_sent() {
        let mut passed = HeaderMap::new();
        TraceContext::of_caller(&headers(&[(PARENT, WELL_FORMED)])).unwrap().write(&mut passed);
        assert_eq!(passed.keys().map(HeaderName::as_str).collect::<Vec<_>>(), [PARENT]);
    }

    #[test]
    fn a_later_version_is_read_as_far_as_it_is_known() {
        let later = format!("01{}-more", &WELL_FORMED[2..]);
        let read = TraceContext::of_caller(&headers(&[(PARENT, &later)])).unwrap();
        assert_eq!(Some(read), TraceContext::of_caller(&headers(&[(PARENT, WELL_FORMED)])));
    }

    #[test]
    fn garbage_is_as_good_as_nothing() {
        let garbage = [
            "",
            "00",
            "00-1-1-01",
            "garbage-with-four-parts",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-+af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ];
        for parent in garbage {
            assert_eq!(TraceContext::of_caller(&headers(&[(PARENT, parent)])), None, "{parent}");
        }
        assert_eq!(TraceContext::of_caller(&HeaderMap::new()), None);
        let mut twice = headers(&[(PARENT, WELL_FORMED)]);
        twice.append(PARENT, WELL_FORMED.parse().unwrap());
        assert_eq!(TraceContext::of_caller(&twice), None, "which of two is not ours to guess");
    }
}
