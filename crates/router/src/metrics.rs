//! Numbers for Prometheus, in the names of OpenTelemetry's GenAI conventions where they have one.

use crate::{
    answer::Usage,
    breaker::Phase,
    router::{Inner, Router},
    telemetry::Telemetry,
};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric, text::encode},
    metrics::{
        MetricType,
        counter::{ConstCounter, Counter},
        family::{Family, MetricConstructor},
        gauge::ConstGauge,
        histogram::Histogram,
    },
    registry::{Registry, Unit},
};
use protocol::{ModelCallRecord, ModelCallState};
use quick_cache::{Equivalent, sync::Cache};
use std::{
    collections::HashSet,
    fmt,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

/// From a cached answer's millisecond to a slow model's ten minutes.
const SECONDS: [f64; 16] =
    [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 180.0, 600.0];

/// Who answered. Callers choose routes, not labels: what names no route of this router counts as `other`, so a stranger
/// cannot make series without end.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct By {
    route: String,
    provider: String,
    model: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Request {
    route: String,
    provider: String,
    model: String,
    dialect: String,
    state: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Token {
    provider: String,
    model: String,
    kind: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Target {
    target: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Provider {
    provider: String,
}

#[derive(Clone)]
struct InSeconds;

impl MetricConstructor<Histogram> for InSeconds {
    fn new_metric(&self) -> Histogram {
        Histogram::new(SECONDS)
    }
}

/// What callers name and nobody configured.
const OTHER: &str = "other";
/// Series of one kind at once; further ones count as [`OTHER`].
const SERIES: usize = 2_000;

pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<Request, Counter>,
    duration: Family<By, Histogram, InSeconds>,
    first_token: Family<By, Histogram, InSeconds>,
    per_token: Family<By, Histogram, InSeconds>,
    queued: Family<By, Histogram, InSeconds>,
    tokens: Family<Token, Counter>,
    cost: Family<By, Counter>,
    fallbacks: Family<By, Counter>,
    flaws: Family<By, Counter>,
    cache_hits: Counter,
    redactions: Counter,
    seen: Mutex<HashSet<By>>,
    /// Series that were looked up before: to find each by its labels takes longer than to count in it.
    known: Cache<Request, Arc<Series>>,
}

/// Where calls of one kind are counted. Series come to be with the first call that has something to count there.
struct Series {
    by: By,
    requests: Counter,
    fallbacks: Counter,
    flaws: OnceLock<Counter>,
    /// Of [`KINDS`].
    tokens: [OnceLock<Counter>; KINDS.len()],
    cost: OnceLock<Counter>,
    duration: OnceLock<Histogram>,
    queued: OnceLock<Histogram>,
    first_token: OnceLock<Histogram>,
    per_token: OnceLock<Histogram>,
}

/// Of tokens.
const KINDS: [&str; 4] = ["input", "cached_input", "output", "reasoning"];

/// Borrowed from a record. Hashes as [`Request`] does.
#[derive(Clone, Copy, Hash)]
struct Asked<'a> {
    route: &'a str,
    provider: &'a str,
    model: &'a str,
    dialect: &'a str,
    state: &'static str,
}

impl Equivalent<Request> for Asked<'_> {
    fn equivalent(&self, known: &Request) -> bool {
        (self.route, self.provider, self.model, self.dialect, self.state)
            == (
                known.route.as_str(),
                known.provider.as_str(),
                known.model.as_str(),
                known.dialect.as_str(),
                known.state,
            )
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::default();
        macro_rules! register {
            ($name:literal, $help:literal, $metric:expr) => {{
                let metric = $metric;
                registry.register($name, $help, metric.clone());
                metric
            }};
            ($name:literal, $help:literal, $unit:ident, $metric:expr) => {{
                let metric = $metric;
                registry.register_with_unit($name, $help, Unit::$unit, metric.clone());
                metric
            }};
        }
        let seconds = || Family::new_with_constructor(InSeconds);
        Self {
            requests: register!("devmesh_model_requests", "Model calls that are over", Family::default()),
            duration: register!("gen_ai_server_request_duration", "From request to end", Seconds, seconds()),
            first_token: register!(
                "gen_ai_server_time_to_first_token",
                "From request to first content",
                Seconds,
                seconds()
            ),
            per_token: register!(
                "gen_ai_server_time_per_output_token",
                "Between tokens, on average of a call",
                Seconds,
                seconds()
            ),
            queued: register!("devmesh_model_queue_duration", "Waited for a place at the provider", Seconds, seconds()),
            tokens: register!("devmesh_model_tokens", "Tokens as providers count them", Family::default()),
            cost: register!("devmesh_model_cost_microusd", "Cost in millionths of a US dollar", Family::default()),
            fallbacks: register!("devmesh_model_fallbacks", "Targets left for the next one", Family::default()),
            flaws: register!("devmesh_model_flaws", "Answers that were not what was asked for", Family::default()),
            cache_hits: register!("devmesh_model_cache_hits", "Calls answered from memory", Counter::default()),
            redactions: register!("devmesh_model_redactions", "Secrets kept from a cloud", Counter::default()),
            seen: Mutex::default(),
            known: Cache::new(SERIES),
            registry,
        }
    }
}

impl Metrics {
    pub(crate) fn with(telemetry: Option<&Telemetry>) -> Self {
        let mut metrics = Self::default();
        if let Some(telemetry) = telemetry {
            telemetry.register(&mut metrics.registry);
        }
        metrics
    }

    pub(crate) fn ended(
        &self,
        record: &ModelCallRecord,
        is_route: bool,
        usage: Usage,
        first_token: Option<Duration>,
        elapsed: Duration,
        queued: Duration,
    ) {
        let series = self.series(Asked {
            route: if is_route { &record.route } else { OTHER },
            provider: record.provider.as_deref().unwrap_or_default(),
            model: record.model.as_deref().unwrap_or_default(),
            dialect: &record.dialect,
            state: record.state.as_str(),
        });
        let by = &series.by;
        series.requests.inc();
        series.fallbacks.inc_by(u64::from(record.fallbacks));
        if record.quality.is_some() {
            series.flaws.get_or_init(|| self.flaws.get_or_create_owned(by)).inc();
        }
        if record.cache_hit {
            self.cache_hits.inc();
        }
        self.redactions.inc_by(u64::from(record.redactions));
        let counts = [usage.input_tokens, usage.cached_input_tokens, usage.output_tokens, usage.reasoning_tokens];
        for ((kind, tokens), count) in KINDS.into_iter().zip(&series.tokens).zip(counts).filter(|(_, count)| *count > 0)
        {
            let labels = || Token { provider: by.provider.clone(), model: by.model.clone(), kind };
            tokens.get_or_init(|| self.tokens.get_or_create_owned(&labels())).inc_by(count);
        }
        if let Some(cost) = record.cost_microusd.filter(|cost| *cost > 0) {
            series.cost.get_or_init(|| self.cost.get_or_create_owned(by)).inc_by(cost);
        }
        if record.state == ModelCallState::Succeeded {
            series.duration.get_or_init(|| self.duration.get_or_create_owned(by)).observe(elapsed.as_secs_f64());
            series.queued.get_or_init(|| self.queued.get_or_create_owned(by)).observe(queued.as_secs_f64());
            if let Some(first) = first_token {
                let seconds = first.as_secs_f64();
                series.first_token.get_or_init(|| self.first_token.get_or_create_owned(by)).observe(seconds);
                if usage.output_tokens > 1 {
                    let rest = elapsed.saturating_sub(first).as_secs_f64() / (usage.output_tokens - 1) as f64;
                    series.per_token.get_or_init(|| self.per_token.get_or_create_owned(by)).observe(rest);
                }
            }
        }
    }

    fn series(&self, asked: Asked<'_>) -> Arc<Series> {
        if let Some(series) = self.known.get(&asked) {
            return series;
        }
        let Asked { route, provider, model, dialect, state } = asked;
        let labels = |by: &By| Request {
            route: by.route.clone(),
            provider: by.provider.clone(),
            model: by.model.clone(),
            dialect: dialect.to_owned(),
            state,
        };
        let asked = By { route: route.to_owned(), provider: provider.to_owned(), model: model.to_owned() };
        let key = labels(&asked);
        let by = self.bounded(asked);
        let series = Arc::new(Series {
            requests: self.requests.get_or_create_owned(&labels(&by)),
            fallbacks: self.fallbacks.get_or_create_owned(&by),
            flaws: OnceLock::new(),
            tokens: Default::default(),
            cost: OnceLock::new(),
            duration: OnceLock::new(),
            queued: OnceLock::new(),
            first_token: OnceLock::new(),
            per_token: OnceLock::new(),
            by,
        });
        self.known.insert(key, series.clone());
        series
    }

    fn bounded(&self, by: By) -> By {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.contains(&by) {
            return by;
        }
        // A call nobody answered may name anything.
        if by.provider.is_empty() || seen.len() >= SERIES {
            return By { route: OTHER.to_owned(), provider: by.provider, model: OTHER.to_owned() };
        }
        seen.insert(by.clone());
        by
    }
}

impl Router {
    /// Everything in the text format of OpenMetrics.
    pub fn metrics(&self) -> String {
        let mut now = Registry::default();
        now.register_collector(Box::new(Now(self.inner.clone())));
        one_text(&self.inner.metrics.registry, &now)
    }
}

/// Both registries as one exposition, which ends once.
fn one_text(first: &Registry, second: &Registry) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = encode(&mut text, first);
    let end = "# EOF\n";
    if text.ends_with(end) {
        text.truncate(text.len() - end.len());
    }
    let _ = encode(&mut text, second);
    text
}

/// What is so at this moment: breakers, and calls that run and wait.
struct Now(Arc<Inner>);

impl fmt::Debug for Now {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Now")
    }
}

impl Collector for Now {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let targets = self.0.targets.states();
        let help = "Circuit breaker of a target: 0 closed, 1 half open, 2 open";
        let mut breakers = encoder.encode_descriptor("devmesh_model_breaker", help, None, MetricType::Gauge)?;
        for (target, state, _) in &targets {
            let value: i64 = match state.phase {
                Phase::Closed => 0,
                Phase::HalfOpen => 1,
                Phase::Open => 2,
            };
            let labels = Target { target: target.clone() };
            ConstGauge::new(value).encode(breakers.encode_family(&labels)?)?;
        }
        let help = "How often a target's breaker opened";
        let mut opened = encoder.encode_descriptor("devmesh_model_breaker_opened", help, None, MetricType::Counter)?;
        for (target, state, _) in &targets {
            let labels = Target { target: target.clone() };
            ConstCounter::new(state.times_opened).encode(opened.encode_family(&labels)?)?;
        }
        let help = "Calls a provider works on";
        let mut active = encoder.encode_descriptor("devmesh_model_calls_active", help, None, MetricType::Gauge)?;
        for (provider, admission) in self.0.admissions() {
            let labels = Provider { provider: provider.to_owned() };
            ConstGauge::new(admission.outlook().active as i64).encode(active.encode_family(&labels)?)?;
        }
        let help = "Calls that wait for a provider";
        let mut waiting = encoder.encode_descriptor("devmesh_model_calls_waiting", help, None, MetricType::Gauge)?;
        for (provider, admission) in self.0.admissions() {
            let labels = Provider { provider: provider.to_owned() };
            ConstGauge::new(admission.outlook().waiting as i64).encode(waiting.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by(provider: &str, model: &str) -> By {
        By { route: "default".to_owned(), provider: provider.to_owned(), model: model.to_owned() }
    }

    #[test]
    fn two_registries_are_one_exposition_that_ends_once() {
        let metrics = Metrics::default();
        metrics.fallbacks.get_or_create(&by("p", "a\"b\\c\nd")).inc();
        metrics.queued.get_or_create(&by("p", "m")).observe(0.5);
        let mut now = Registry::default();
        now.register("devmesh_later", "Comes last", Counter::<u64>::default());
        let text = one_text(&metrics.registry, &now);
        assert_eq!(text.matches("# EOF").count(), 1, "{text}");
        assert!(text.ends_with("devmesh_later_total 0\n# EOF\n"), "{text}");
        assert!(text.contains("# UNIT devmesh_model_queue_duration_seconds seconds\n"), "{text}");
        assert!(text.contains(r#"model="a\"b\\c\nd""#), "{text}");
    }

    #[test]
    fn strangers_cannot_make_series_without_end() {
        let metrics = Metrics::default();
        let nobody = metrics.bounded(By { route: "made up".to_owned(), ..by("", "made up too") });
        assert_eq!((nobody.route.as_str(), nobody.model.as_str()), ("other", "other"));
        for number in 0..SERIES {
            metrics.bounded(by("p", &number.to_string()));
        }
        assert_eq!(metrics.bounded(by("p", "one more")).model, "other");
        assert_eq!(metrics.bounded(by("p", "7")).model, "7", "one that was known stays");
    }

    #[test]
    fn series_are_found_again_by_what_a_record_says() {
        let metrics = Metrics::default();
        let asked = Asked { route: "r", provider: "p", model: "m", dialect: "d", state: "succeeded" };
        let first = metrics.series(asked);
        assert!(Arc::ptr_eq(&first, &metrics.series(asked)));
        let failed = metrics.series(Asked { state: "failed", ..asked });
        first.requests.inc();
        failed.fallbacks.inc();
        assert_eq!(
            (first.requests.get(), failed.requests.get(), first.fallbacks.get()),
            (1, 0, 1),
            "only requests tell the state"
        );
        let nobody = metrics.series(Asked { provider: "", model: "", ..asked });
        assert_eq!((nobody.by.route.as_str(), nobody.by.model.as_str()), ("other", "other"));
    }
}
