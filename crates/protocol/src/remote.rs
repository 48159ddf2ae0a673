//! Addresses of git repositories elsewhere: which are understood at all, and which a mesh lets its agents fetch.
//!
//! Git reads far more than this: `ext::` runs a command, `file://` reads any folder, `git://` checks nobody, and a name that
//! begins with a dash is an option. So an address is taken apart here, and what is not plainly one of the kinds below is none.

use crate::{Egress, Repository};
use std::{fmt, net::IpAddr, path::Path};

/// Where a repository is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place<'a> {
    /// A folder of the agent's machine.
    Folder(&'a Path),
    Remote(Remote),
}

/// A repository somewhere else, reached over the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    /// As it was given, but for the scheme and the host, which are in lower case.
    address: String,
    loopback: bool,
}

/// Why an address is not taken. Its text goes on after the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemoteRefusal {
    /// Neither an absolute path nor an address.
    Neither,
    Scheme,
    /// `http://` to another machine: whoever is between could hand over another repository.
    NotEncrypted,
    /// A password, token or query in the address: it would end up in logs and in the job's row.
    Credentials,
    Malformed,
    /// The operator allows no address at all.
    NoRemotes,
    NotAllowed,
    /// The job may not make anything leave the machine.
    LocalOnly,
}

impl fmt::Display for RemoteRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Neither => {
                "is neither an absolute path nor an address; say where it is from the root on, or give its https:// or ssh:// \
                 address"
            }
            Self::Scheme => "is of a kind that is not fetched; https:// and ssh:// are, and http:// from this machine itself",
            Self::NotEncrypted => "is not encrypted on its way; use https:// or ssh:// for another machine",
            Self::Credentials => {
                "carries a password, token or query, which jobs keep and show; leave it out and let the agent's own git \
                 configuration have it"
            }
            Self::Malformed => "is not an address such as https://host/path or ssh://git@host/path",
            Self::NoRemotes => {
                "is not on this machine, and `agents.remotes` is empty, so nothing is fetched from anywhere; add the beginning \
                 of the address to it (devmesh config explain agents.remotes), or clone it yourself and name the folder"
            }
            Self::NotAllowed => {
                "begins with none of the addresses in `agents.remotes`; add its beginning to it (devmesh config explain \
                 agents.remotes), or clone it yourself and name the folder"
            }
            Self::LocalOnly => {
                "is on another machine, and this job's `egress` is `local_only`; create it with `redacted` or `allowed`"
            }
        })
    }
}

impl std::error::Error for RemoteRefusal {}

impl Repository {
    /// A folder, or an address that is understood. Says nothing about whether this job may have it.
    pub fn place(&self) -> Result<Place<'_>, RemoteRefusal> {
        // Only what cannot be an address is a path, so that both are never mistaken for each other.
        if self.path.starts_with('/') {
            return Ok(Place::Folder(Path::new(&self.path)));
        }
        Remote::parse(&self.path).map(Place::Remote)
    }
}

impl Remote {
    fn parse(text: &str) -> Result<Self, RemoteRefusal> {
        let Some((scheme, rest)) = text.split_once("://") else {
            // `host:path` and `ext::command`, which git takes too.
            return Err(if text.contains(':') { RemoteRefusal::Scheme } else { RemoteRefusal::Neither });
        };
        let scheme = scheme.to_ascii_lowercase();
        if !matches!(scheme.as_str(), "https" | "ssh" | "http") {
            return Err(RemoteRefusal::Scheme);
        }
        if rest.contains(['?', '#']) {
            return Err(RemoteRefusal::Credentials);
        }
        let (authority, path) = rest.split_once('/').ok_or(RemoteRefusal::Malformed)?;
        let (user, host_and_port) = match authority.rsplit_once('@') {
            Some((user, rest)) => (Some(user), rest),
            None => (None, authority),
        };
        if user.is_some_and(|user| scheme != "ssh" || user.contains([':', '@'])) {
            return Err(RemoteRefusal::Credentials);
        }
        let (host, port) = split_port(host_and_port).ok_or(RemoteRefusal::Malformed)?;
        let host = host.to_ascii_lowercase();
        let sound =
            is_host(&host) && port.is_none_or(is_port) && user.is_none_or(is_name) && !path.is_empty() && is_path(path);
        if !sound {
            return Err(RemoteRefusal::Malformed);
        }
        let loopback = is_loopback(&host);
        if scheme == "http" && !loopback {
            return Err(RemoteRefusal::NotEncrypted);
        }
        let user = user.map(|user| format!("{user}@")).unwrap_or_default();
        let port = port.map(|port| format!(":{port}")).unwrap_or_default();
        Ok(Self { address: format!("{scheme}://{user}{host}{port}/{path}"), loopback })
    }

    /// What to hand to git.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Whether it is on this machine after all.
    pub fn is_loopback(&self) -> bool {
        self.loopback
    }

    /// Whether a job with this `egress` may have it, where `remotes` are the beginnings of addresses an operator allows.
    /// A beginning ends where a part of the address does: `https://host/team` is none of `https://host/teammates`.
    pub fn may_clone(&self, egress: Egress, remotes: &[String]) -> Result<(), RemoteRefusal> {
        if remotes.is_empty() {
            return Err(RemoteRefusal::NoRemotes);
        }
        if !remotes.iter().any(|beginning| self.begins_with(beginning)) {
            return Err(RemoteRefusal::NotAllowed);
        }
        if !self.loopback && egress == Egress::LocalOnly {
            return Err(RemoteRefusal::LocalOnly);
        }
        Ok(())
    }

    fn begins_with(&self, beginning: &str) -> bool {
        let lowered = match beginning.split_once("://") {
            // Scheme and host are compared without regard to case, like everywhere.
            Some((scheme, rest)) => {
                let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
                format!("{}://{}{path}", scheme.to_ascii_lowercase(), authority.to_ascii_lowercase())
            }
            None => return false,
        };
        let Some(rest) = self.address.strip_prefix(&lowered) else { return false };
        lowered.ends_with('/') || rest.is_empty() || rest.starts_with('/') || rest == ".git" || rest == ".git/"
    }
}

/// `host`, `host:port`, `[address]` or `[address]:port`.
fn split_port(text: &str) -> Option<(&str, Option<&str>)> {
    if let Some(rest) = text.strip_prefix('[') {
        let end = rest.find(']')? + 2;
        let (host, after) = text.split_at(end);
        return match after.strip_prefix(':') {
            Some(port) => Some((host, Some(port))),
            None => after.is_empty().then_some((host, None)),
        };
    }
    Some(match text.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    })
}

fn is_host(host: &str) -> bool {
    match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => is_name(host),
    }
}

/// Never an option, and nothing a shell or a URL reads otherwise.
fn is_name(name: &str) -> bool {
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'));
    plain && !name.is_empty() && !name.starts_with(['-', '.'])
}

fn is_port(port: &str) -> bool {
    port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0)
}

/// Visible characters, and no part that leads up again, plain or encoded: the allowed beginning has to stay the beginning.
fn is_path(path: &str) -> bool {
    let visible = path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    let lowered = path.to_ascii_lowercase();
    let encoded = ["%2e", "%2f", "%5c", "%00"].iter().any(|code| lowered.contains(code));
    visible && !encoded && path.split('/').all(|part| part != "." && part != ".." && !part.starts_with('-'))
}

/// Whether a host, as addresses write it, is this machine. IPv6 may have its brackets.
pub fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> RemoteRefusal {
        Remote::parse(text).expect_err(text)
    }

    fn remote(text: &str) -> Remote {
        Remote::parse(text).unwrap_or_else(|refusal| panic!("{text} {refusal}"))
    }

    #[test]
    fn a_path_is_a_folder_and_an_address_is_none() {
        let place = |path: &str| {
            let repository = Repository { path: path.into(), reference: None };
            repository.place().map(|place| matches!(place, Place::Folder(_)))
        };
        assert_eq!(place("/srv/code"), Ok(true));
        assert_eq!(place("/srv/https://host/x"), Ok(true));
        assert_eq!(place("https://host/x"), Ok(false));
        assert_eq!(place("code"), Err(RemoteRefusal::Neither));
    }

    #[test]
    fn plain_addresses_are_understood() {
        for text in [
            "https://github.com/rust-lang/cargo.git",
            "https://git.example.org:8443/a/b",
            "ssh://git@host.example/~me/x.git",
            "ssh://host:2222/srv/x",
            "http://127.0.0.1:3000/x.git",
            "http://localhost/x",
            "http://[::1]:80/x",
        ] {
            assert_eq!(remote(text).address(), text);
        }
        assert_eq!(remote("HTTPS://GitHub.com/Rust/X").address(), "https://github.com/Rust/X");
        assert!(remote("http://127.0.0.2/x").is_loopback() && !remote("https://127.0.0.1.example.org/x").is_loopback());
    }

    #[test]
    fn what_runs_commands_reads_files_or_hides_a_secret_is_refused() {
        for text in
            ["file:///etc", "git://host/x", "ext::sh -c id", "host:path", "git@host:x.git", "fd::17", "ftp://h/x"]
        {
            assert_eq!(refusal(text), RemoteRefusal::Scheme, "{text}");
        }
        for text in [
            "https://user:secret@host/x",
            "https://token@host/x",
            "ssh://git:secret@host/x",
            "https://host/x?private_token=1",
            "https://host/x#y",
            "https://host@evil@host/x",
        ] {
            assert_eq!(refusal(text), RemoteRefusal::Credentials, "{text}");
        }
        for text in [
            "https://",
            "https://host",
            "https://host/",
            "ssh://-oProxyCommand=id/x",
            "ssh://-x@host/x",
            "https://host/a b",
            "https://host/a/../b",
            "https://host/a/%2E%2e/b",
            "https://host/a\\..\\b",
            "https://host:99999/x",
            "https://host:/x",
            "https://[::1/x",
            "https://[x]/x",
            "https://hos\u{301}t/x",
            "https://host/\n",
            "https:///x",
            "ssh://host/-x",
        ] {
            assert_eq!(refusal(text), RemoteRefusal::Malformed, "{text}");
        }
        for text in ["http://host/x", "http://127.0.0.1.example.org/x", "http://10.0.0.1/x", "http://[::2]/x"] {
            assert_eq!(refusal(text), RemoteRefusal::NotEncrypted, "{text}");
        }
    }

    #[test]
    fn only_what_begins_as_allowed_is_fetched_and_nothing_by_default() {
        let cargo = remote("https://github.com/rust-lang/cargo.git");
        let asked = |remotes: &[&str], egress| {
            let remotes: Vec<_> = remotes.iter().map(|&remote| remote.to_owned()).collect();
            cargo.may_clone(egress, &remotes)
        };
        assert_eq!(asked(&[], Egress::Allowed), Err(RemoteRefusal::NoRemotes));
        for beginning in [
            "https://",
            "https://github.com",
            "https://GitHub.com/rust-lang/",
            "https://github.com/rust-lang/cargo",
            "https://github.com/rust-lang/cargo.git",
        ] {
            assert_eq!(asked(&["ssh://x/", beginning], Egress::Redacted), Ok(()), "{beginning}");
            assert_eq!(asked(&[beginning], Egress::LocalOnly), Err(RemoteRefusal::LocalOnly), "{beginning}");
        }
        for beginning in ["", "github.com", "https://github.co", "https://github.com/rust", "http://github.com", "*"] {
            assert_eq!(asked(&[beginning], Egress::Allowed), Err(RemoteRefusal::NotAllowed), "{beginning}");
        }
        let here = remote("http://127.0.0.1:3000/x.git");
        assert_eq!(here.may_clone(Egress::LocalOnly, &["http://127.0.0.1:3000".into()]), Ok(()));
    }
}
