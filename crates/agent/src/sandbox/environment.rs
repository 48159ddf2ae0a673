//! The environment of a command, built from nothing: an agent's environment is full of secrets.

use super::{Command, Options, toolchain::Toolchain};
use std::collections::BTreeMap;

/// Passed on as they are. Which user it is and how text is encoded; none of these holds a secret.
const HARMLESS: &[&str] = &["LANG", "LC_ALL", "TERM", "TZ"];
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

pub(super) fn scrubbed(
    options: &Options,
    toolchain: &Toolchain,
    command: &Command,
    folder: &str,
    home: &str,
    temporary: &str,
) -> Vec<(String, String)> {
    let mut scrubbed = BTreeMap::new();
    let known: BTreeMap<&str, &str> =
        options.environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let passed = options.pass_environment.iter().map(String::as_str).filter(|name| !is_secret(name));
    for name in HARMLESS.iter().copied().chain(passed) {
        if let Some(value) = known.get(name) {
            scrubbed.insert(name.to_owned(), (*value).to_owned());
        }
    }
    scrubbed.entry("LANG".to_owned()).or_insert_with(|| "C.UTF-8".to_owned());
    scrubbed.entry("TERM".to_owned()).or_insert_with(|| "dumb".to_owned());
    // A virtual environment of the project comes before the machine's Python, as if it were activated.
    let path = known.get("PATH").copied().unwrap_or(DEFAULT_PATH);
    let path = format!("{}/.venv/bin:{path}", folder.trim_end_matches('/'));
    for (name, value) in [
        ("PATH", path.as_str()),
        ("HOME", home),
        ("TMPDIR", temporary),
        ("USER", "devmesh"),
        ("LOGNAME", "devmesh"),
        // A terminal pager or an editor would wait for a person until the time limit.
        ("PAGER", "cat"),
        ("GIT_PAGER", "cat"),
        ("GIT_TERMINAL_PROMPT", "0"),
        // What it would leave beside every source is nobody's work.
        ("PYTHONDONTWRITEBYTECODE", "1"),
        // The machine's own file may hold credentials and is not shown, which git takes for an error.
        ("GIT_CONFIG_NOSYSTEM", "1"),
    ] {
        scrubbed.insert(name.to_owned(), value.to_owned());
    }
    scrubbed.extend(toolchain.environment.iter().cloned());
    if !command.network {
        scrubbed.extend(toolchain.offline.iter().cloned());
    }
    scrubbed.extend(command.environment.iter().filter(|(name, _)| !is_secret(name)).cloned());
    // A name or value with a zero byte cannot be passed at all.
    scrubbed.retain(|name, value| !name.is_empty() && !name.contains(['=', '\0']) && !value.contains('\0'));
    scrubbed.into_iter().collect()
}

/// Names that hold secrets or belong to devmesh, whoever asked for them.
fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    const ENDINGS: &[&str] = &["_KEY", "_TOKEN", "_SECRET", "_PASSWORD", "_PASSPHRASE", "_CREDENTIALS"];
    name.starts_with("DEVMESH_")
        || ["TOKEN", "PASSWORD", "SECRET", "SSH_AUTH_SOCK", "GPG_AGENT_INFO"].contains(&name.as_str())
        || ENDINGS.iter().any(|ending| name.ends_with(ending))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{path::PathBuf, time::Duration};

    #[test]
    fn secrets_are_not_passed_on_even_when_named() {
        let given = [
            ("PATH", "/opt/tools/bin:/usr/bin"),
            ("HOME", "/home/person"),
            ("LANG", "de_DE.UTF-8"),
            ("OPENAI_API_KEY", "canary"),
            ("github_token", "canary"),
            ("DEVMESH_ADMIN", "canary"),
            ("AWS_PROFILE", "canary"),
            ("RUST_LOG", "debug"),
        ];
        let given = given.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let mut options = Options::new(PathBuf::from("/workspaces"), given.to_vec());
        options.pass_environment =
            ["RUST_LOG", "OPENAI_API_KEY", "github_token", "DEVMESH_ADMIN"].map(String::from).into();
        let mut command = Command::new("env", Duration::from_secs(1));
        command.environment = vec![("X_TOKEN".into(), "canary".into()), ("CI".into(), "1".into())];
        let scrubbed =
            scrubbed(&options, &Toolchain::default(), &command, "/workspaces/tree", "/workspaces/home", "/tmp");
        assert!(!scrubbed.iter().any(|(_, value)| value == "canary"), "{scrubbed:?}");
        let of = |name: &str| scrubbed.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
        assert_eq!(of("PATH"), Some("/workspaces/tree/.venv/bin:/opt/tools/bin:/usr/bin"));
        assert_eq!(of("HOME"), Some("/workspaces/home"), "never the user's own");
        assert_eq!(of("LANG"), Some("de_DE.UTF-8"));
        assert_eq!(of("RUST_LOG"), Some("debug"));
        assert_eq!(of("CI"), Some("1"));
    }
}
