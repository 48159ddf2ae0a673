//! The environment, read once.

use std::collections::BTreeMap;

/// The variables this program looks at. Others stay unread, so nothing else of the environment can leak.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    variables: BTreeMap<String, String>,
    /// Names of variables whose value is not UTF-8.
    unreadable: Vec<String>,
}

/// Variables of other programs that mean something here too.
const FOREIGN: &[&str] = &[
    "HOME",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "XDG_CACHE_HOME",
    "OLLAMA_MODELS",
    // Of coding tools, and where they are: `launch`.
    "CODEX_HOME",
    "CLAUDE_CONFIG_DIR",
    "PATH",
];

impl Environment {
    pub fn of_the_process() -> Self {
        let mut environment = Self::default();
        for (name, value) in std::env::vars_os() {
            let Ok(name) = name.into_string() else { continue };
            if !is_looked_at(&name) {
                continue;
            }
            match value.into_string() {
                Ok(value) => _ = environment.variables.insert(name, value),
                Err(_) => environment.unreadable.push(name),
            }
        }
        environment
    }

    /// Everything this process inherited, for a sandbox that picks the few harmless names out of it.
    pub fn inherited() -> Vec<(String, String)> {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        std::env::vars_os().filter_map(text).collect()
    }

    /// What this process inherited, by name only.
    pub fn inherited_names() -> impl Iterator<Item = std::ffi::OsString> {
        std::env::vars_os().map(|(name, _)| name)
    }

    #[cfg(test)]
    pub fn with(variables: &[(&str, &str)]) -> Self {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self { variables, unreadable: Vec::new() }
    }

    /// `None` also for an empty value, which is how a variable is switched off in a compose file.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Every `DEVMESH_…` variable that has a value.
    pub fn own(&self) -> impl Iterator<Item = (&str, &str)> {
        let all = self.variables.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        all.filter(|(name, value)| name.starts_with(PREFIX) && !value.is_empty())
    }

    /// Names of the variables that hold a secret or name the file of one: none of a child's business.
    pub fn secret_variables(&self) -> Vec<String> {
        let is_secret = |name: &str| {
            let plain = name.strip_suffix("_FILE").unwrap_or(name);
            let own = plain.strip_prefix(PREFIX).map(|rest| rest.to_ascii_lowercase().replace("__", "."));
            super::KEYS.iter().any(|key| {
                let named = key.seed == Some(plain) || own.as_ref().is_some_and(|own| key.matches(own));
                named && (key.is_secret() || key.name == "database.url")
            })
        };
        self.variables.keys().filter(|name| is_secret(name)).cloned().collect()
    }

    pub fn unreadable(&self) -> &[String] {
        &self.unreadable
    }
}

pub const PREFIX: &str = "DEVMESH_";

fn is_looked_at(name: &str) -> bool {
    name.starts_with(PREFIX)
        || FOREIGN.contains(&name)
        || super::KEYS
            .iter()
            .any(|key| key.seed.is_some_and(|seed| name == seed || name.strip_suffix("_FILE") == Some(seed)))
}
