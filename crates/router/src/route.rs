//! Logical model names and where they lead.

use protocol::Egress;
use std::{fmt, str::FromStr};

/// The route that always exists.
pub const DEFAULT_ROUTE: &str = "default";

/// A configured route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteConfig {
    /// Holds no `/`, which is for models called by their own name.
    pub name: String,
    /// Best first.
    pub targets: Vec<Target>,
    /// `local_only`: cloud targets of this route are never used, whatever the caller allows.
    pub egress: Egress,
}

/// One model of one provider.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    pub provider: String,
    pub model: String,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.provider, self.model)
    }
}

/// `provider/model`. Names of models may hold further `/`.
impl FromStr for Target {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('/') {
            Some((provider, model)) if !provider.is_empty() && !model.is_empty() => {
                Ok(Self { provider: provider.to_owned(), model: model.to_owned() })
            }
            _ => Err(format!("`{text}` is not `provider/model`")),
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
        for wrong in ["ollama", "/model", "ollama/", ""] {
            assert!(wrong.parse::<Target>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn all_mistakes_are_told_at_once() {
        let route = |name: &str, targets: &[&str]| RouteConfig {
            name: name.to_owned(),
            targets: targets.iter().map(|target| target.parse().unwrap()).collect(),
            egress: Egress::LocalOnly,
        };
        let table = [route("code", &["ollama/a"]), route("code", &[]), route("a/b", &["nowhere/a"])];
        assert_eq!(mistakes(&table[..1], &["ollama"]), [""; 0]);
        let found = mistakes(&table, &["ollama", "ollama"]);
        assert_eq!(found.len(), 5, "{found:#?}");
    }
}
