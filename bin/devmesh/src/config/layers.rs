//! Laying the places over each other.

use super::{
    Environment, KEYS, Key, Origin, Paths, Problems, Value,
    environment::PREFIX,
    file, find,
    ignored::{Ignored, Why, has_own_token},
    key::{Kind, Settable},
    origin::Trust,
    readable_secret,
};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

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
    ignored: Vec<Ignored>,
    users_file: PathBuf,
}

impl Sources {
    pub fn read(paths: &Paths, environment: &Environment, flags: Flags, problems: &mut Problems) -> Self {
        let mut sources = Self { users_file: paths.users_file().to_owned(), ..Self::default() };
        let mut own = Vec::new();
        for path in &paths.own_files {
            if let Some((text, identity)) = file::read(path, file::LARGEST, problems) {
                own.push(identity);
                let place = |line| Origin::File { path: path.clone(), line };
                sources.add_file(path, &text, place, problems);
            }
        }
        // Whatever stands there, it stops nothing.
        let mut mistakes = Problems::default();
        let path = &paths.folder_file;
        if let Some((text, identity)) = file::read(path, file::LARGEST_IN_WORKING_FOLDER, &mut mistakes)
            // A link to the user's own file, or the working folder is where that lies: it has been read.
            && !own.contains(&identity)
        {
            let place = |line| Origin::WorkingFolder { path: path.clone(), line };
            sources.add_file(path, &text, place, &mut mistakes);
        }
        problems.warn_of(mistakes);
        sources.add_environment(environment, problems);
        for (name, text, flag) in flags {
            sources.add_named(&name, &text, Origin::Flag(flag), unknown, problems);
        }
        sources
    }

    #[cfg(test)]
    pub fn of<'a>(said: impl Iterator<Item = (&'a str, Candidate)>) -> Self {
        Self { said: said.map(|(name, candidate)| (name.to_owned(), candidate)).collect(), ..Self::default() }
    }

    fn add_file(&mut self, path: &Path, text: &str, place: impl Fn(usize) -> Origin, problems: &mut Problems) {
        let folder = path.parent().unwrap_or(Path::new("."));
        let mut entries = file::entries(path, text, problems);
        if place(1).trust() < Trust::User && entries.len() > MOST_IN_WORKING_FOLDER {
            let count = entries.len();
            problems
                .add(path.display(), format!("sets {count} keys; the first {MOST_IN_WORKING_FOLDER} are looked at"));
            entries.truncate(MOST_IN_WORKING_FOLDER);
        }
        for entry in entries {
            let origin = place(entry.line);
            let Some((key, from_file)) = find_with_file(&entry.name) else {
                problems.add(&origin, unknown(&entry.name));
                continue;
            };
            if origin.trust() < Trust::User && key.settable == Settable::ByUser {
                // Before anything is looked at: no file is opened that a stranger named.
                let name = if from_file { entry.name.trim_end_matches("_file") } else { &entry.name };
                let value = Value::from_toml(key, &entry.value);
                let shown = value.map_or_else(|_| "something else".to_owned(), |value| value.to_string());
                self.ignore(key, name, shown, origin, Why::WorkingFolder, problems);
                continue;
            }
            if from_file {
                let Some(secret_path) = entry.value.as_str() else {
                    problems.add(&origin, "expected the path of a file");
                    continue;
                };
                self.add_secret_file(entry.name.trim_end_matches("_file"), &folder.join(secret_path), origin, problems);
                continue;
            }
            match Value::from_toml(key, &entry.value) {
                // Seen from the file: which folder this program was started in must not change what it means.
                Ok(Value::Text(path)) if key.kind == Kind::Path => {
                    let value = Value::Text(folder.join(path).display().to_string());
                    self.say(key, entry.name, value, origin, problems);
                }
                Ok(value) => self.say(key, entry.name, value, origin, problems),
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
                self.add_secret_file(key.name, Path::new(path), Origin::Environment(seed_file.clone()), problems);
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
            Some((_, true)) => {
                self.add_secret_file(name.trim_end_matches("_file"), Path::new(text), origin, problems);
            }
            Some((key, false)) => self.add_text(key, name, text, origin, problems),
            None => problems.add(origin, unknown(name)),
        }
    }

    fn add_text(&mut self, key: &Key, name: &str, text: &str, origin: Origin, problems: &mut Problems) {
        match Value::parse(key, text) {
            Ok(value) => self.say(key, name.to_owned(), value, origin, problems),
            Err(detail) => problems.add(origin, detail),
        }
    }

    fn add_secret_file(&mut self, name: &str, path: &Path, origin: Origin, problems: &mut Problems) {
        if let Some(secret) = readable_secret(&origin.to_string(), path, problems)
            && let Some(key) = find(name)
        {
            self.say(key, name.to_owned(), Value::Text(secret), origin, problems);
        }
    }

    fn say(&mut self, key: &Key, name: String, value: Value, origin: Origin, problems: &mut Problems) {
        // Programs that use a mesh are given its token under the names of vendors' keys. The vendors are not.
        if key.is_secret() && key.name != OWN_TOKEN && has_own_token(&value.to_string()) {
            self.ignore(key, &name, String::new(), origin, Why::OwnToken, problems);
            return;
        }
        self.said.push((name, Candidate { value, origin }));
    }

    fn ignore(&mut self, key: &Key, name: &str, shown: String, origin: Origin, why: Why, problems: &mut Problems) {
        let shown = if key.is_secret() { "***".to_owned() } else { shown };
        let ignored = Ignored { name: name.to_owned(), shown, origin, why };
        problems.warn(&ignored.origin, ignored.warning(key, &self.users_file));
        self.ignored.push(ignored);
    }
}

/// Keys looked at in a working folder's file: more than there are that it may set, and few enough to be told at once.
const MOST_IN_WORKING_FOLDER: usize = 200;

/// The one key where a token of a mesh belongs.
const OWN_TOKEN: &str = "token";

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
    ignored: Vec<Ignored>,
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
    let mut resolved = Resolved { values, ignored: sources.ignored.clone() };
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

    /// What was said of a key and is not listened to.
    pub fn ignored(&self, name: &str) -> impl Iterator<Item = &Ignored> {
        self.ignored.iter().filter(move |ignored| ignored.name == name)
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

    /// No secret: those are to be had with [`Resolved::pair`].
    pub fn text(&self, name: &str) -> Option<&str> {
        self.any_text(name).filter(|_| find(name).is_some_and(|key| !key.is_secret()))
    }

    pub(super) fn any_text(&self, name: &str) -> Option<&str> {
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

/// Longer names are not a key that was mistyped, and comparing takes its time.
const LONGEST_NAME: usize = 64;

/// The key most like `name`, also when only its section is missing or a dot was written as an underscore.
fn nearest(name: &str) -> Option<String> {
    if name.len() > LONGEST_NAME {
        return None;
    }
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
