//! One file before and after.

use crate::{
    config::read_regular_file,
    output::{Failure, Result, plain},
};
use similar::TextDiff;
use std::{
    fs::{self, Permissions},
    io::{ErrorKind, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

/// Settings that people write are far smaller.
const SETTINGS_BYTES: u64 = 4 << 20;
/// Lines shown around a change.
const CONTEXT_LINES: usize = 3;
/// Only for the user, as everything that may hold a key.
pub const PRIVATE: u32 = 0o600;

pub struct Change {
    pub file: PathBuf,
    /// `None`: there is no file.
    pub before: Option<String>,
    /// `None`: there shall be none.
    pub after: Option<String>,
    /// `None`: as it is, and of a new file the user's alone.
    pub mode: Option<u32>,
}

impl Change {
    /// The file's text, `None` where there is none.
    pub fn read(file: &Path) -> Result<Option<String>> {
        match read_regular_file(file, SETTINGS_BYTES) {
            Ok((text, _)) => Ok(Some(text)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Failure::failed(format!("{} cannot be read: {error}", file.display()))
                .next(format!("mend it, or move it away: {}", file.display()))),
        }
    }

    pub fn is_nothing(&self) -> bool {
        self.before == self.after
    }

    /// What changes, with neither the token nor any other secret that stands there; whether one gives way to another can be
    /// seen.
    pub fn diff(&self, token: &str) -> String {
        let mut secrets = Secrets { token, seen: Vec::new() };
        let mut hidden = |text: &Option<String>| {
            let text = text.as_deref().unwrap_or_default();
            text.split_inclusive('\n').map(|line| secrets.hidden_in(line)).collect::<String>()
        };
        let (before, after) = (hidden(&self.before), hidden(&self.after));
        let (file, none) = (self.file.display().to_string(), "/dev/null".to_owned());
        let from = if self.before.is_some() { &file } else { &none };
        let to = if self.after.is_some() { &file } else { &none };
        let diff = TextDiff::from_lines(&before, &after);
        let text = diff.unified_diff().context_radius(CONTEXT_LINES).header(from, to).to_string();
        plain(&text)
    }

    /// In one step: whoever reads the file sees it before or after.
    pub fn write(&self) -> Result<()> {
        let failed =
            |error: std::io::Error| Failure::failed(format!("{} cannot be written: {error}", self.file.display()));
        // A link to where somebody keeps their settings stays one.
        let file = self.file.canonicalize().unwrap_or_else(|_| self.file.clone());
        let Some(text) = &self.after else {
            return fs::remove_file(&file).map_err(failed);
        };
        let folder = file.parent().unwrap_or(Path::new("/"));
        fs::create_dir_all(folder).map_err(failed)?;
        let mode = self.mode.or_else(|| mode_of(&file)).unwrap_or(PRIVATE);
        let mut new = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
        new.write_all(text.as_bytes()).map_err(failed)?;
        new.as_file().set_permissions(Permissions::from_mode(mode)).map_err(failed)?;
        new.as_file().sync_all().map_err(failed)?;
        new.persist(&file).map_err(|error| failed(error.error))?;
        Ok(())
    }
}

/// Who may read a file, `None` where there is none.
pub fn mode_of(file: &Path) -> Option<u32> {
    fs::metadata(file).ok().map(|metadata| metadata.permissions().mode() & 0o777)
}

/// The secrets of two texts, which are shown by what they are and never as they are.
struct Secrets<'a> {
    /// Empty: not known.
    token: &'a str,
    seen: Vec<String>,
}

impl Secrets<'_> {
    /// A line without the value of a key whose name says that it is a secret. What only names where the secret lies stays.
    fn hidden_in(&mut self, line: &str) -> String {
        const SECRETS: [&str; 5] = ["apikey", "token", "secret", "password", "authorization"];
        const REFERENCES: [&str; 3] = ["{env:", "secrets.", "${"];
        const THE_TOKEN: &str = "… (the token of the mesh)";
        if !self.token.is_empty() && line.contains(self.token) {
            return line.replace(self.token, THE_TOKEN);
        }
        let Some(at) = line.find([':', '=']) else { return line.to_owned() };
        let (name, value) = line.split_at(at + 1);
        let name: String = name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
        let is_secret = SECRETS.iter().any(|secret| name.ends_with(secret));
        let is_reference = REFERENCES.iter().any(|reference| value.contains(reference));
        if !is_secret || is_reference || !value.contains(|character: char| character.is_alphanumeric()) {
            return line.to_owned();
        }
        let value = value.trim_matches(|character: char| !character.is_alphanumeric());
        let seen = self.seen.iter().position(|seen| seen == value).unwrap_or_else(|| {
            self.seen.push(value.to_owned());
            self.seen.len() - 1
        });
        let end = if line.ends_with('\n') { "\n" } else { "" };
        format!("{} … (secret {}){end}", &line[..=at], seen + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diff_shows_no_secret() {
        let change = Change {
            file: "/h/s.json".into(),
            before: Some("{\n  \"apiKey\": \"sk-mine\",\n  \"max_tokens\": 5\n}\n".to_owned()),
            after: Some("{\n  \"apiKey\": \"dm_x\",\n  \"max_tokens\": 5,\n  \"note\": \"dm_x\"\n}\n".to_owned()),
            mode: None,
        };
        let diff = change.diff("dm_x");
        assert!(!diff.contains("dm_x") && !diff.contains("sk-mine"), "{diff}");
        assert!(diff.contains("\"max_tokens\": 5") && diff.contains("+++ /h/s.json"), "{diff}");
        for (line, shown) in [
            ("apiKey: ${{ secrets.X }}\n", "apiKey: ${{ secrets.X }}\n"),
            ("env_key = \"DEVMESH_TOKEN\"\n", "env_key = \"DEVMESH_TOKEN\"\n"),
            ("openai-api-key: sk-1\n", "openai-api-key: … (secret 1)\n"),
        ] {
            assert_eq!(Secrets { token: "", seen: Vec::new() }.hidden_in(line), shown);
        }
    }

    #[test]
    fn a_diff_shows_that_a_secret_gives_way_to_another() {
        let text = |key: &str| Some(format!("openai-api-key: {key}\npassword: sk-mine\n"));
        let change =
            |after| Change { file: "/h/s.yml".into(), before: text("sk-mine"), after: text(after), mode: None };
        let lines = |change: Change, token| {
            let diff = change.diff(token);
            diff.lines().skip(3).map(str::to_owned).collect::<Vec<_>>()
        };
        let mine = "openai-api-key: … (secret 1)";
        let same = " password: … (secret 1)";
        assert_eq!(
            lines(change("dm_x"), "dm_x"),
            [&format!("-{mine}"), "+openai-api-key: … (the token of the mesh)", same]
        );
        assert_eq!(lines(change("dm_x"), ""), [&format!("-{mine}"), "+openai-api-key: … (secret 2)", same]);
        assert!(lines(change("sk-mine"), "dm_x").is_empty());
    }
}
