//! Programs that a repository's own configuration names.
//!
//! A filter (`filter.NAME.clean`) or merge driver (`merge.NAME.driver`) is run for the files whose attributes name it, and
//! attributes come with the files. Where the definition comes from is what counts: the user's or the machine's
//! configuration is theirs, a repository's `.git/config` may be anybody's.

use super::{Git, zero_separated};
use crate::output::{Failure, Result, shell_quoted};
use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
};

/// Filters and merge drivers that only a repository names. None of them is run.
#[derive(Clone, Debug, Default)]
pub struct Programs {
    names: BTreeSet<Vec<u8>>,
}

impl Programs {
    /// Looks `git`'s repository over, and gives a git that runs none of what it names itself.
    pub async fn switched_off(git: Git) -> Result<(Git, Self)> {
        let listing = ["config", "--show-scope", "-z", "--get-regexp", r"^(filter|merge)\."];
        let listed = git.ran(&listing).await?;
        let mut own = BTreeSet::new();
        let mut users: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
        for (scope, key, value) in entries(&listed.stdout) {
            match scope {
                b"local" | b"worktree" => drop(own.insert(key.to_vec())),
                _ => drop(users.insert(key.to_vec(), value.to_vec())),
            }
        }
        let mut programs = Self::default();
        let mut git = git;
        for key in own {
            let value = users.get(&key).map_or_else(|| neutral(&key), Vec::as_slice).to_vec();
            if !users.contains_key(&key)
                && let Some(name) = program(&key)
            {
                programs.names.insert(name.to_vec());
            }
            git = git.set(OsStr::from_bytes(&key), OsStr::from_bytes(&value));
        }
        Ok((git, programs))
    }

    /// Refuses what cannot be done right without them: `names` are files a patch touches.
    pub async fn refuse(&self, git: &Git, names: impl Iterator<Item = &[u8]>) -> Result<()> {
        if self.names.is_empty() {
            return Ok(());
        }
        let input: Vec<u8> = names.flat_map(|name| [name, b"\0"].concat()).collect();
        let checked = git.fed(&["check-attr", "-z", "--stdin", "filter", "merge"], &input).await?;
        if !checked.status.success() {
            return Err(checked.refused("the attributes of the patch's files cannot be read", git.folder()));
        }
        let mut parts = checked.stdout.split(|byte| *byte == 0);
        while let (Some(file), Some(_attribute), Some(name)) = (parts.next(), parts.next(), parts.next()) {
            if self.names.contains(name) {
                let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
                return Err(Failure::failed(format!(
                    "`{}` goes through the program `{}`, which only this repository's own configuration names; devmesh \
                     does not run it, so nothing was changed. If you trust it, define it in your own configuration",
                    text(file),
                    text(name)
                ))
                .next(format!("git -C {} config --list --show-origin", shell_quoted(git.folder()))));
            }
        }
        Ok(())
    }
}

/// `scope NUL key LF value NUL`, or `scope NUL key NUL` for a key without a value.
fn entries(listing: &[u8]) -> impl Iterator<Item = (&[u8], &[u8], &[u8])> {
    let mut parts = zero_separated(listing);
    std::iter::from_fn(move || {
        let (scope, entry) = (parts.next()?, parts.next()?);
        let end = entry.iter().position(|byte| *byte == b'\n').unwrap_or(entry.len());
        Some((scope, &entry[..end], entry.get(end + 1..).unwrap_or_default()))
    })
}

/// The `NAME` of a key that names a program.
fn program(key: &[u8]) -> Option<&[u8]> {
    let filter = key.strip_prefix(b"filter.").and_then(|rest| {
        [b".clean".as_slice(), b".smudge", b".process"].iter().find_map(|end| rest.strip_suffix(*end))
    });
    filter.or_else(|| key.strip_prefix(b"merge.")?.strip_suffix(b".driver"))
}

/// What a key of a repository says instead. Without a command a filter passes on what it gets; a merge driver without
/// one is an error, and one that does nothing would keep one side silently, so it is one that fails.
fn neutral(key: &[u8]) -> &[u8] {
    let is_failing = key.starts_with(b"merge.") && key.ends_with(b".driver");
    let is_demand = key.starts_with(b"filter.") && key.ends_with(b".required");
    match key {
        b"merge.default" => b"text",
        _ if is_failing || is_demand => b"false",
        _ => b"",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_with_and_without_values_are_read() {
        let listing =
            b"global\0filter.lfs.clean\ngit-lfs clean -- %f\0local\0merge.a.b.driver\nx\ny\0local\0filter.z.required\0";
        let read: Vec<_> = entries(listing).collect();
        let expected: [(&[u8], &[u8], &[u8]); 3] = [
            (b"global", b"filter.lfs.clean", b"git-lfs clean -- %f"),
            (b"local", b"merge.a.b.driver", b"x\ny"),
            (b"local", b"filter.z.required", b""),
        ];
        assert_eq!(read, expected);
        assert_eq!(program(b"merge.a.b.driver"), Some(b"a.b".as_slice()));
        assert_eq!(program(b"filter.lfs.required"), None);
    }
}
