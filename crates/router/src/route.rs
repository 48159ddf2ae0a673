//! Logical model names, where they lead, and the policy on the way.

use protocol::Egress;
use std::{fmt, str::FromStr, time::Duration};

/// The route that always exists.
pub const DEFAULT_ROUTE: &str = "default";

/// A configured route.
#[derive(Clone, Debug, PartialEq)]
pub struct RouteConfig {
    /// Holds no `/`, which is for models called by their own name.
    pub name: String,
    /// Best first, unless `balance` says otherwise.
    pub targets: Vec<Target>,
    /// `local_only`: cloud targets of this route are never used, whatever the caller allows.
    pub egress: Egress,
    pub policy: Policy,
}

impl RouteConfig {
    /// With the default policy.
    pub fn new(name: impl Into<String>, targets: Vec<Target>, egress: Egress) -> Self {
        Self { name: name.into(), targets, egress, policy: Policy::default() }
    }
}

/// How a route treats its calls.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    pub balance: Balance,
    /// Further tries of the same target after a failure that may pass by itself. Default 1: the second try finds most
    /// passing faults over, and a third one keeps the caller waiting while another target could answer.
    pub retries: u32,
    /// A target whose queue would break it is left out while another one is left. Default: none.
    pub latency_budget: Option<Duration>,
    /// Until the first token. Default: that of the router, for the target's state.
    pub first_token_timeout: Option<Duration>,
    /// Upper bound on the answer; a caller may ask for less.
    pub max_output_tokens: Option<u32>,
    /// What a caller's temperature is moved into.
    pub temperature: Option<(f32, f32)>,
    /// In millionths of a US dollar for one call, judged by its prompt and its bound on the answer.
    pub cost_cap_microusd: Option<u64>,
    /// The whole answer is verified before its first byte is passed on, also when it is streamed.
    pub buffered: bool,
    /// Answers that break their declared form are retried and escalated.
    pub enforce_quality: bool,
    /// How long an equal request may be answered from memory, for callers that ask for that. Default: never.
    pub cache: Option<Duration>,
    /// What happens when a model is no longer what its target names by digest.
    pub drift: Drift,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            balance: Balance::Priority,
            retries: 1,
            latency_budget: None,
            first_token_timeout: None,
            max_output_tokens: None,
            temperature: None,
            cost_cap_microusd: None,
            buffered: false,
            enforce_quality: true,
            cache: None,
            drift: Drift::Refuse,
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Balance {
    /// The first target that can answer.
    #[default]
    Priority,
    /// All targets are equal: loaded ones first, then the least busy by weight.
    Spread,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Drift {
    /// The target is left out.
    #[default]
    Refuse,
    /// The target is used, and the answer says so.
    Flag,
}

/// One model of one provider.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    pub provider: String,
    pub model: String,
    /// The content the model must have, as its provider tells it, without `sha256:`.
    pub digest: Option<String>,
    /// Its share among equal targets.
    pub weight: u32,
}

impl Target {
    /// Without what only matters inside a route: how metrics and messages call it.
    pub fn id(&self) -> String {
        format!("{}/{}", self.provider, self.model)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.provider, self.model)?;
        if let Some(digest) = &self.digest {
            write!(f, "@sha256:{digest}")?;
        }
        if self.weight != 1 {
            write!(f, " *{}", self.weight)?;
        }
        Ok(())
    }
}

/// `provider/model`, with `@sha256:<digest>` when the model must be exactly that, and ` *<weight>` among equal targets.
/// Names of models may hold further `/`.
impl FromStr for Target {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{text}` is not `provider/model`, `provider/model@sha256:<64 hex digits>` or `provider/model *<weight>`"
            )
        };
        let (rest, weight) = match text.rsplit_once(" *") {
            Some((rest, weight)) => {
                (rest, weight.parse().ok().filter(|weight| (1..=1000).contains(weight)).ok_or_else(wrong)?)
            }
            None => (text, 1),
        };
        let (rest, digest) = match rest.rsplit_once("@sha256:") {
            Some((rest, digest)) => {
                let plain = digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit());
                (rest, Some(plain.then(|| digest.to_ascii_lowercase()).ok_or_else(wrong)?))
            }
            None => (rest, None),
        };
        match rest.split_once('/') {
            Some((provider, model)) if !provider.is_empty() && !model.is_empty() => {
                Ok(Self { provider: provider.to_owned(), model: model.to_owned(), digest, weight })
            }
            _ => Err(wrong()),
        }
    }
}

/// Every mistake in the table, each as a sentence.
pub(crate) fn mistakes(routes: &[RouteConfig], providers: &[&str]) -> Vec<String> {
    let mut mistakes = Vec::new();
    for (at, provider) in providers.iter().enumerate() {
        if provider.is_empty() || provider.contains('/') {
            mistakes.push(format!("a provider's name is not empty and holds no `/`; got `{provider}`"));
        }
        if providers[..at].contains(provider) {
            mistakes.push(format!("two providers are called `{provider}`"));
        }
    }
    for (at, route) in routes.iter().enumerate() {
        let name = &route.name;
        if name.is_empty() || name.contains('/') {
            mistakes.push(format!("a route's name is not empty and holds no `/`; got `{name}`"));
        }
        if routes[..at].iter().any(|other| other.name == *name) {
            mistakes.push(format!("two routes are called `{name}`"));
        }
        if route.targets.is_empty() {
            mistakes.push(format!("route `{name}` has no target"));
        }
        for target in &route.targets {
            if !providers.contains(&target.provider.as_str()) {
                let known = providers.join(", ");
                mistakes
                    .push(format!("route `{name}` leads to `{target}`, and there is no such provider among: {known}"));
            }
        }
        if let Some((least, most)) = route.policy.temperature
            && !(least.is_finite() && most.is_finite() && 0.0 <= least && least <= most)
        {
            mistakes.push(format!(
                "route `{name}` bounds the temperature by {least} and {most}, which is no range from 0 up"
            ));
        }
    }
    mistakes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_splits_at_the_first_slash() {
        let target: Target = "ollama/hf.co/someone/model:Q4".parse().unwrap();
        assert_eq!((target.provider.as_str(), target.model.as_str()), ("ollama", "hf.co/someone/model:Q4"));
        assert_eq!(target.to_string().parse(), Ok(target));
        for wrong in ["ollama", "/model", "ollama/", "", "ollama/a *0", "ollama/a *x", "ollama/a@sha256:12"] {
            assert!(wrong.parse::<Target>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_target_may_name_its_content_and_its_share() {
        let digest = "AB".repeat(32);
        let target: Target = format!("ollama/a:7b@sha256:{digest} *3").parse().unwrap();
        assert_eq!((target.model.as_str(), target.weight), ("a:7b", 3));
        assert_eq!(target.digest, Some("ab".repeat(32)));
        assert_eq!(target.to_string().parse(), Ok(target));
    }

    #[test]
    fn all_mistakes_are_told_at_once() {
        let route = |name: &str, targets: &[&str]| {
            let targets = targets.iter().map(|target| target.parse().unwrap()).collect();
            RouteConfig::new(name, targets, Egress::LocalOnly)
        };
        let table = [route("code", &["ollama/a"]), route("code", &[]), route("a/b", &["nowhere/a"])];
        assert_eq!(mistakes(&table[..1], &["ollama"]), [""; 0]);
        let found = mistakes(&table, &["ollama", "ollama"]);
        assert_eq!(found.len(), 5, "{found:#?}");
        let mut hot = route("hot", &["ollama/a"]);
        hot.policy.temperature = Some((1.0, 0.5));
        assert_eq!(mistakes(&[hot], &["ollama"]).len(), 1);
    }
}
