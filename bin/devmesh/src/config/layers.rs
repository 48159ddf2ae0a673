//! Laying the places over each other.

use super::{Environment, KEYS, Key, Paths, Problems, Value, environment::PREFIX, file, find, readable_secret};
use std::{collections::BTreeMap, fmt, path::PathBuf};

/// Where a value was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    Default,
    File { path: PathBuf, line: usize },
    Environment(String),
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

/// One place's word on one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    pub value: Value,
    pub origin: Origin,
}

/// What the command line sets: key, value, and the flag it came from.
pub type Flags = Vec<(String, String, String)>;

/// What each place says, the weakest first, not yet decided.
#[derive(Debug, Default)]
pub struct Sources {
    said: Vec<(String, Candidate)>,
}

impl Sources {
    pub fn read(paths: &Paths, environment: &Environment, flags: Flags, problems: &mut Problems) -> Self {
        let mut sources = Self::default();
        for path in &paths.config_files {
            if let Some(text) = file::read(path, problems) {
                sources.add_file(path, &text, problems);
            }
        }
        sources.add_environment(environment, problems);
        for (name, text, flag) in flags {
            sources.add_named(&name, &text, Origin::Flag(flag), unknown, problems);
        }
        sources
    }

    pub(super) fn add_file(&mut self, path: &std::path::Path, text: &str, problems: &mut Problems) {
        for entry in file::entries(path, text, problems) {
            let origin = Origin::File { path: path.to_owned(), line: entry.line };
            let Some((key, from_file)) = find_with_file(&entry.name) else {
                problems.add(&origin, unknown(&entry.name));
                continue;
            };
            if from_file {
                let Some(secret_path) = entry.value.as_str() else {
                    problems.add(&origin, "expected the path of a file");
                    continue;
                };
                self.add_secret_file(entry.name.trim_end_matches("_file"), secret_path, origin, problems);
                continue;
            }
            match Value::from_toml(key, &entry.value) {
                Ok(value) => self.said.push((entry.name, Candidate { value, origin })),
                Err(detail) => problems.add(&origin, format!("{}: {detail}", entry.name)),
            }
        }
    }

    fn add_environment(&mut self, environment: &Environment, problems: &mut Problems) {
        for name in environment.unreadable() {
            problems.add(format_args!("environment {name}"), "is not UTF-8");
        }
        for key in KEYS.iter().filter(|key| key.seed.is_some()) {
            let seed = key.seed.unwrap_or_default();
            if let Some(text) = environment.get(seed) {
                self.add_text(key, key.name, text, Origin::Environment(seed.into()), problems);
            }
            let seed_file = format!("{seed}_FILE");
            if let Some(path) = environment.get(&seed_file).filter(|_| key.is_secret()) {
                self.add_secret_file(key.name, path, Origin::Environment(seed_file.clone()), problems);
            }
        }
        for (variable, text) in environment.own() {
            let name = variable[PREFIX.len()..].to_ascii_lowercase().replace("__", ".");
            let origin = Origin::Environment(variable.into());
            self.add_named(&name, text, origin, unknown_variable, problems);
        }
    }

    fn add_named(
        &mut self,
        name: &str,
        text: &str,
        origin: Origin,
        unknown: fn(&str) -> String,
        problems: &mut Problems,
    ) {
        match find_with_file(name) {
            Some((_, true)) => self.add_secret_file(name.trim_end_matches("_file"), text, origin, problems),
            Some((key, false)) => self.add_text(key, name, text, origin, problems),
            None => problems.add(origin, unknown(name)),
        }
    }

    fn add_text(&mut self, key: &Key, name: &str, text: &str, origin: Origin, problems: &mut Problems) {
        match Value::parse(key, text) {
            Ok(value) => self.said.push((name.to_owned(), Candidate { value, origin })),
            Err(detail) => problems.add(origin, detail),
        }
    }

    fn add_secret_file(&mut self, name: &str, path: &str, origin: Origin, problems: &mut Problems) {
        if let Some(secret) = readable_secret(&origin.to_string(), path, problems) {
            self.said.push((name.to_owned(), Candidate { value: Value::Text(secret), origin }));
        }
    }
}

/// The key, and whether `name` names the file of its secret.
fn find_with_file(name: &str) -> Option<(&'static Key, bool)> {
    if let Some(key) = find(name) {
        return Some((key, false));
    }
    let key = find(name.strip_suffix("_file")?)?;
    key.is_secret().then_some((key, true))
}

/// The outcome, with every place's word kept, the winner last.
#[derive(Clone, Debug, Default)]
pub struct Resolved {
    values: BTreeMap<String, Vec<Candidate>>,
}

pub fn resolve(sources: &Sources, problems: &mut Problems) -> Resolved {
    let mut values: BTreeMap<String, Vec<Candidate>> = BTreeMap::new();
    for key in KEYS.iter().filter(|key| !key.is_pattern()) {
        let preset = key.preset.value().map(|value| Candidate { value, origin: Origin::Default });
        values.insert(key.name.to_owned(), preset.into_iter().collect());
    }
    for (name, candidate) in &sources.said {
        values.entry(name.clone()).or_default().push(candidate.clone());
    }
    let mut resolved = Resolved { values };
    resolved.check_groups(problems);
    resolved
}

impl Resolved {
    pub fn get(&self, name: &str) -> Option<&Value> {
        Some(&self.values.get(name)?.last()?.value)
    }

    pub fn origin(&self, name: &str) -> Option<&Origin> {
        Some(&self.values.get(name)?.last()?.origin)
    }

    /// Everything that was said of a key, the winner last.
    pub fn candidates(&self, name: &str) -> &[Candidate] {
        self.values.get(name).map_or(&[], Vec::as_slice)
    }

    /// Every key that has a value or could have one, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str)
    }

    /// The names users chose in `section`.
    pub fn members(&self, section: &str) -> Vec<String> {
        let mut members: Vec<String> = self
            .names()
            .filter_map(|name| Some(name.strip_prefix(section)?.strip_prefix('.')?.split('.').next()?.to_owned()))
            .collect();
        members.dedup();
        members
    }

    pub fn text(&self, name: &str) -> Option<&str> {
        match self.get(name)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub fn path(&self, name: &str) -> Option<PathBuf> {
        self.text(name).map(PathBuf::from)
    }

    pub fn integer(&self, name: &str) -> Option<u64> {
        match self.get(name)? {
            Value::Integer(number) => Some(*number),
            _ => None,
        }
    }

    pub fn boolean(&self, name: &str) -> bool {
        self.get(name) == Some(&Value::Boolean(true))
    }

    pub fn list(&self, name: &str) -> Vec<String> {
        match self.get(name) {
            Some(Value::List(items)) => items.clone(),
            _ => Vec::new(),
        }
    }

    /// A provider without an address is a typing mistake that would otherwise be silent.
    fn check_groups(&mut self, problems: &mut Problems) {
        for member in self.members("providers") {
            let (address, others) = (
                format!("providers.{member}.base_url"),
                [format!("providers.{member}.api_key"), format!("providers.{member}.location")],
            );
            if self.get(&address).is_none()
                && let Some(origin) = others.iter().find_map(|name| self.origin(name))
            {
                problems.add(origin, format!("the provider `{member}` has no address; set {address} too"));
            }
        }
    }
}

fn unknown(name: &str) -> String {
    match nearest(name) {
        Some(near) => format!("there is no key `{name}`; did you mean `{near}`?"),
        None => format!("there is no key `{name}`; `devmesh config explain` lists them all"),
    }
}

fn unknown_variable(name: &str) -> String {
    match nearest(name) {
        Some(near) => {
            format!("there is no such setting; did you mean {PREFIX}{}?", near.to_ascii_uppercase().replace('.', "__"))
        }
        None => "there is no such setting; `devmesh config explain` lists them all".into(),
    }
}

/// The key most like `name`, also when only its section is missing or a dot was written as an underscore.
fn nearest(name: &str) -> Option<String> {
    let plain = |text: &str| text.replace(['.', '_', '-'], "").to_ascii_lowercase();
    let wanted = plain(name);
    let last = |text: &str| text.rsplit('.').next().map(plain).unwrap_or_default();
    let score = |key: &&Key| {
        let whole = strsim::normalized_damerau_levenshtein(&wanted, &plain(key.name));
        let tail = if last(key.name) == last(name) { 0.8 } else { 0.0 };
        whole.max(tail)
    };
    // Of equals the first in the table, where the keys that people set most come first.
    let best = KEYS.iter().rev().map(|key| (score(&key), key)).max_by(|(one, _), (other, _)| one.total_cmp(other))?;
    (best.0 >= 0.7).then(|| best.1.name.replace('*', "NAME"))
}
