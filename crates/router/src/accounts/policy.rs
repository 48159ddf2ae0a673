//! What a key's policy says about one name.

use protocol::KeyPolicy;

/// Whether the policy lets its key use this `provider/model`.
pub fn allows_model(policy: &KeyPolicy, target: &str) -> bool {
    listed(policy.models.as_deref(), target)
}

/// Whether the policy lets its key ask for this name.
///
/// | `routes` | `models` | a route | a model by its name |
/// |---|---|---|---|
/// | absent | absent | yes | yes |
/// | absent | named | yes | each target is looked at |
/// | named | absent | those named | those named |
/// | named | named | those named | each target is looked at |
///
/// What a name leads to is looked at with [`allows_model`] in any case.
pub fn allows_name(policy: &KeyPolicy, name: &str, is_route: bool) -> bool {
    // A key that is bound to routes would not be if it could name the models behind them, unless somebody listed those.
    listed(policy.routes.as_deref(), name) || !is_route && policy.models.is_some()
}

fn listed(patterns: Option<&[String]>, name: &str) -> bool {
    let matches = |pattern: &String| match pattern.strip_suffix('*') {
        Some(beginning) => name.starts_with(beginning),
        None => name == pattern,
    };
    patterns.is_none_or(|patterns| patterns.iter().any(matches))
}

/// Every mistake of a policy, each as a sentence; none: it may be stored.
pub fn policy_mistakes(policy: &KeyPolicy) -> Vec<String> {
    let mut mistakes = Vec::new();
    for (field, patterns) in [("models", &policy.models), ("routes", &policy.routes)] {
        for pattern in patterns.iter().flatten() {
            if pattern.is_empty() || pattern.strip_suffix('*').unwrap_or(pattern).contains('*') {
                mistakes.push(format!("`{field}` holds `{pattern}`: a name is not empty and has `*` only at its end"));
            }
        }
    }
    let least = [
        ("requests_per_minute", policy.requests_per_minute),
        ("tokens_per_minute", policy.tokens_per_minute),
        ("concurrent_requests", policy.concurrent_requests.map(u64::from)),
        ("max_output_tokens", policy.max_output_tokens.map(u64::from)),
    ];
    for (field, value) in least {
        if value == Some(0) {
            mistakes.push(format!("`{field}` is at least 1; got 0. Delete the token to stop it altogether"));
        }
    }
    mistakes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_allows_what_it_names_and_its_absence_everything() {
        let policy = KeyPolicy {
            models: Some(vec!["ollama/*".into(), "openai/gpt-small".into()]),
            routes: Some(Vec::new()),
            ..KeyPolicy::default()
        };
        for (target, allowed) in
            [("ollama/any", true), ("openai/gpt-small", true), ("openai/gpt-small-2", false), ("anthropic/x", false)]
        {
            assert_eq!(allows_model(&policy, target), allowed, "{target}");
            assert!(allows_model(&KeyPolicy::default(), target));
        }
    }

    #[test]
    fn every_pair_of_lists_bounds_routes_and_models() {
        let list = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        let (absent, none, routes, models) = (None, list(&[]), list(&["fast"]), list(&["a/*"]));
        for (of_routes, of_models, expected) in [
            // The route `fast`, the route `slow`, `a/m`, `b/m`, a bare name that leads to `a/m`.
            (&absent, &absent, [true, true, true, true, true]),
            (&absent, &models, [true, true, true, false, true]),
            (&absent, &none, [true, true, false, false, false]),
            (&routes, &absent, [true, false, false, false, false]),
            (&routes, &models, [true, false, true, false, true]),
            (&routes, &none, [true, false, false, false, false]),
            (&none, &absent, [false, false, false, false, false]),
            (&none, &models, [false, false, true, false, true]),
            (&none, &none, [false, false, false, false, false]),
        ] {
            let policy = KeyPolicy { routes: of_routes.clone(), models: of_models.clone(), ..KeyPolicy::default() };
            let model = |name, target| allows_name(&policy, name, false) && allows_model(&policy, target);
            let route = |name| allows_name(&policy, name, true);
            let seen = [route("fast"), route("slow"), model("a/m", "a/m"), model("b/m", "b/m"), model("m", "a/m")];
            assert_eq!(seen, expected, "routes {of_routes:?}, models {of_models:?}");
        }
    }

    #[test]
    fn every_mistake_is_told() {
        let policy = KeyPolicy {
            models: Some(vec!["*/small".into(), String::new(), "*".into()]),
            requests_per_minute: Some(0),
            max_output_tokens: Some(0),
            ..KeyPolicy::default()
        };
        assert_eq!(policy_mistakes(&policy).len(), 4);
        assert!(policy_mistakes(&KeyPolicy::default()).is_empty());
    }
}
