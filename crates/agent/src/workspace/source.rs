//! What a job starts from: looks at the user's repository or folder without changing it or running any of it.

use super::{
    Error,
    git::{Git, zero_separated},
};
use protocol::Repository;
use std::{
    collections::BTreeSet,
    ffi::OsString,
    fs,
    os::unix::ffi::OsStringExt,
    path::{Path, PathBuf},
    time::Duration,
};

/// Longest ref name in bytes; git's own limit is what fits in a file name.
const REFERENCE_BYTES: usize = 255;
/// How many names a message shows.
const SHOWN: usize = 5;
/// Longest look for uncommitted changes. It is for a note only; a tree that takes longer goes without.
const LOOK: Duration = Duration::from_secs(10);

#[derive(Clone, Debug)]
pub(super) enum Source {
    Empty,
    Folder(PathBuf),
    Repository(RepositoryAt),
}

/// One commit of a repository.
#[derive(Clone, Debug)]
pub(super) struct RepositoryAt {
    pub path: PathBuf,
    pub commit: String,
    /// `sha1` or `sha256`.
    pub object_format: String,
    /// The checked-out files and their index, where there are any.
    pub checkout: Option<Checkout>,
}

#[derive(Clone, Debug)]
pub(super) struct Checkout {
    pub folder: PathBuf,
    pub index: PathBuf,
    /// What `HEAD` is.
    pub commit: Option<String>,
}

/// Finds out what `repository` names. The second value is what people should know about it.
pub(super) async fn find(git: &Git, repository: Option<&Repository>) -> Result<(Source, Option<String>), Error> {
    let Some(Repository { path, reference }) = repository else { return Ok((Source::Empty, None)) };
    let given = Path::new(path);
    if !given.is_absolute() {
        return Err(Error::Source(format!("the repository `{path}` is not an absolute path")));
    }
    let unusable =
        |what: &dyn std::fmt::Display| Error::Source(format!("the repository `{path}` cannot be used: {what}"));
    // Also settles which folder is meant when the path leads through links.
    let folder = given.canonicalize().map_err(|error| unusable(&error))?;
    if !folder.is_dir() {
        return Err(unusable(&"it is not a folder"));
    }
    let reference = reference.as_deref();
    if let Some(reference) = reference {
        check_reference(reference)?;
    }

    let looked = git.anywhere(&folder, ["rev-parse", "--show-object-format", "--absolute-git-dir"]).ran().await?;
    if !looked.status.success() {
        if fs::symlink_metadata(folder.join(".git")).is_ok() {
            return Err(unusable(&format_args!("git says: {}", looked.stderr)));
        }
        return match reference {
            Some(reference) => Err(unusable(&format_args!(
                "the ref `{reference}` was given, but it is a plain folder without git; leave the ref out"
            ))),
            None => Ok((Source::Folder(folder), None)),
        };
    }
    let lines = String::from_utf8_lossy(&looked.stdout).into_owned();
    let (object_format, git_folder) = lines.trim_end().split_once('\n').ok_or_else(|| unusable(&"git told nothing"))?;

    let Some(commit) = resolve(git, &folder, reference.unwrap_or("HEAD")).await? else {
        let Some(reference) = reference else {
            let note = format!("`{path}` has no commit yet, so its files were copied as they are");
            return Ok((Source::Folder(folder), Some(note)));
        };
        let branches = branches(git, &folder).await?;
        return Err(Error::Source(format!("the ref `{reference}` names no commit in `{path}`; {branches}")));
    };
    let top = git.anywhere(&folder, ["rev-parse", "--show-toplevel"]).ran().await?;
    let checkout = match top.status.success() {
        true => Some(Checkout {
            folder: PathBuf::from(OsString::from_vec(top.stdout.trim_ascii_end().to_vec())),
            index: Path::new(git_folder).join("index"),
            commit: resolve(git, &folder, "HEAD").await?,
        }),
        false => None,
    };
    let object_format = object_format.to_owned();
    Ok((Source::Repository(RepositoryAt { path: folder, commit, object_format, checkout }), None))
}

/// What cannot be a ref is refused before git sees it, so that nothing can be taken for an option or a path.
fn check_reference(reference: &str) -> Result<(), Error> {
    let shown = reference.chars().take(64).collect::<String>();
    let wrong = |why: &str| Err(Error::Source(format!("the ref `{}` {why}", shown.escape_debug())));
    if reference.is_empty() || reference.len() > REFERENCE_BYTES {
        return wrong("has to have 1 to 255 bytes");
    }
    if reference.starts_with('-') || reference.contains("..") {
        return wrong("is not the name of a branch, tag or commit");
    }
    const NEVER: &[char] = &[' ', ':', '?', '*', '[', '\\'];
    match reference.contains(|character: char| character.is_control() || NEVER.contains(&character)) {
        true => wrong("has a character that no branch, tag or commit has"),
        false => Ok(()),
    }
}

/// The commit a ref names here, or on the remote this was cloned from.
async fn resolve(git: &Git, folder: &Path, reference: &str) -> Result<Option<String>, Error> {
    for candidate in [reference.to_owned(), format!("refs/remotes/origin/{reference}")] {
        let revision = format!("{candidate}^{{commit}}");
        let arguments = ["rev-parse", "--verify", "--quiet", "--end-of-options", &revision];
        let ran = git.anywhere(folder, arguments).ran().await?;
        let commit = String::from_utf8_lossy(&ran.stdout).trim_end().to_owned();
        if ran.status.success() && super::git::is_object_id(&commit) {
            return Ok(Some(commit));
        }
    }
    Ok(None)
}

async fn branches(git: &Git, folder: &Path) -> Result<String, Error> {
    let arguments = ["for-each-ref", "--format=%(refname:short)", "--sort=-committerdate", "refs/heads"];
    let listed = git.anywhere(folder, arguments).line().await?;
    let names: Vec<_> = listed.lines().collect();
    Ok(match names.len() {
        0 => "it has no branches".to_owned(),
        many if many > SHOWN => format!("its latest branches are {}", names[..SHOWN].join(", ")),
        _ => format!("its branches are {}", names.join(", ")),
    })
}

/// What the user changed and did not commit, in words. Looks with our repository and a copy of the user's index, so that
/// no program the user's configuration names is run and nothing is refreshed in place. `None` where there is nothing to
/// say, or it cannot be told this way.
pub(super) async fn uncommitted(git: &Git, at: &RepositoryAt) -> Option<String> {
    tokio::time::timeout(LOOK, changes(git, at)).await.ok()?
}

async fn changes(git: &Git, at: &RepositoryAt) -> Option<String> {
    let checkout = at.checkout.as_ref()?;
    let copy = git.folder().join("users-index");
    fs::copy(&checkout.index, &copy).ok()?;
    let mut changed = BTreeSet::new();
    let listing = ["ls-files", "-z", "--modified", "--deleted", "--others", "--directory", "--exclude-standard"];
    let listed = git.with_tree(&checkout.folder, listing).environment("GIT_INDEX_FILE", &copy).bytes().await.ok()?;
    changed.extend(zero_separated(&listed).map(<[u8]>::to_vec));
    if checkout.commit.as_ref() == Some(&at.commit) {
        let staged = ["diff-index", "-z", "--cached", "--name-only", "--ignore-submodules=all", &at.commit];
        let listed = git.bare(staged).environment("GIT_INDEX_FILE", &copy).bytes().await.ok()?;
        changed.extend(zero_separated(&listed).map(<[u8]>::to_vec));
    }
    let _ = fs::remove_file(&copy);
    if changed.is_empty() {
        return None;
    }
    let names: Vec<_> =
        changed.iter().take(SHOWN).map(|name| String::from_utf8_lossy(name).escape_debug().to_string()).collect();
    let more = if changed.len() > SHOWN { ", …" } else { "" };
    let (count, path) = (changed.len(), at.path.display());
    let changes = if count == 1 { "change" } else { "changes" };
    let names = names.join(", ");
    Some(format!(
        "{count} uncommitted {changes} in `{path}` ({names}{more}) are not part of this job; commit them to include them"
    ))
}

/// Bytes of a repository's history on the disk; 0 when git does not say.
pub(super) async fn history_bytes(git: &Git, at: &Path) -> u64 {
    let counted = git.anywhere(at, ["count-objects", "-v"]).line().await.unwrap_or_default();
    let kibibytes = |line: &str| {
        let value = line.strip_prefix("size: ").or_else(|| line.strip_prefix("size-pack: "))?;
        value.parse::<u64>().ok()
    };
    counted.lines().filter_map(kibibytes).sum::<u64>() << 10
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refs_that_are_not_names_are_refused() {
        for good in ["main", "v1.2.3", "feature/a-b", "HEAD~2", "HEAD^", "a1b2c3d", "origin/main", "@", "grüße"] {
            check_reference(good).unwrap();
        }
        for bad in ["", "--upload-pack=touch /tmp/x", "-x", "a b", "main:secret", "a..b", "a\nb", "x\0", "*", "\\"] {
            let error = check_reference(bad).unwrap_err();
            assert!(error.is_callers() && !error.to_string().contains('\n'), "{error}");
        }
        assert!(check_reference(&"x".repeat(256)).is_err());
    }
}
