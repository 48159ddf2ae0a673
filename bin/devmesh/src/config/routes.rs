//! `routes.*`: logical model names and the policy on the way.

use super::{Problems, Resolved, RouteSettings};
use protocol::Egress;
use router::{Balance, Drift, Policy, Target};
use std::time::Duration;

pub(super) fn read(resolved: &Resolved, problems: &mut Problems) -> Vec<RouteSettings> {
    resolved.members("routes").into_iter().map(|name| route(resolved, name, problems)).collect()
}

fn route(resolved: &Resolved, name: String, problems: &mut Problems) -> RouteSettings {
    let at = |key: &str| format!("routes.{name}.{key}");
    let listed = resolved.list(&at("targets"));
    if listed.is_empty() {
        problems.add(at("targets"), "a route needs at least one provider/model");
    }
    let mut targets = Vec::with_capacity(listed.len());
    for text in listed {
        match text.parse::<Target>() {
            Ok(target) => targets.push(target),
            Err(_) => problems.add(at("targets"), format!("`{text}` is not provider/model, like ollama/qwen3:8b")),
        }
    }
    let millis = |key: &str| resolved.integer(&at(key)).map(Duration::from_millis);
    let policy = Policy {
        balance: if resolved.text(&at("balance")) == Some("spread") { Balance::Spread } else { Balance::Priority },
        retries: resolved.integer(&at("retries")).and_then(|count| u32::try_from(count).ok()).unwrap_or(1),
        latency_budget: millis("latency_budget_ms"),
        first_token_timeout: millis("first_token_timeout_ms"),
        max_output_tokens: resolved.integer(&at("max_output_tokens")).and_then(|count| u32::try_from(count).ok()),
        temperature: temperature(resolved, &at, problems),
        cost_cap_microusd: resolved.integer(&at("cost_cap_microusd")),
        buffered: resolved.boolean(&at("buffered")),
        enforce_quality: resolved.text(&at("quality")) != Some("record"),
        cache: resolved.integer(&at("cache_s")).map(Duration::from_secs),
        drift: if resolved.text(&at("drift")) == Some("flag") { Drift::Flag } else { Drift::Refuse },
    };
    RouteSettings {
        egress: match resolved.text(&at("egress")) {
            Some("allowed") => Egress::Allowed,
            Some("redacted") => Egress::Redacted,
            _ if resolved.boolean(&at("allow_cloud")) => Egress::Allowed,
            _ => Egress::LocalOnly,
        },
        warm: resolved.boolean(&at("warm")),
        targets,
        policy,
        name,
    }
}

fn temperature(resolved: &Resolved, at: &impl Fn(&str) -> String, problems: &mut Problems) -> Option<(f32, f32)> {
    let mut bound = |key: &str| {
        let text = resolved.text(&at(key))?;
        let number = text.parse::<f32>().ok().filter(|number| (0.0..=10.0).contains(number));
        if number.is_none() {
            problems.add(at(key), format!("`{text}` is not a number from 0 to 10, like 0.2"));
        }
        number
    };
    match (bound("min_temperature"), bound("max_temperature")) {
        (None, None) => None,
        (least, most) => Some((least.unwrap_or(0.0), most.unwrap_or(10.0))),
    }
}
