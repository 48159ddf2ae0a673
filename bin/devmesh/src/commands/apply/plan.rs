//! Where the parts of a patch go.
//!
//! The patch of a job on a repository is relative to the repository's top, also when the job worked in a folder of it. The
//! patch of a job on a plain folder is relative to that folder, also when it lies inside somebody's repository. Which of
//! the two it was is told by the repository itself: it knows the commit the job started from (`base_commit`), or it does
//! not, because that commit was made of a plain folder.
//!
//! ```text
//!   where the patch goes           knows base_commit             does not
//!   top of a repository            its index and files           the same; files alone where it does not track them
//!   folder of a repository         the top's index and files     this folder's files, and no index
//!   plain folder                   -                             its files; as a copy of the job's subfolder, less that
//! ```
//! A repository also counts as knowing when the job tells (it had a subfolder or a ref), or its own repository knows.
//! Files of a submodule go to the submodule's own checkout.

use super::{
    again::Again,
    part::{Part, list},
    patch::{Name, Patch, Section, below},
    repository::{Index, Repository},
};
use crate::output::{Exit, Failure, Result, shell_quoted};
use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

/// The parts of `patch` for the tree at `path`, which is canonical; the job's own tree first.
pub async fn parts(path: &Path, patch: &Patch, again: &Again<'_>) -> Result<Vec<Part>> {
    let sections: Vec<_> = patch.sections.iter().collect();
    let Some(repository) = Repository::open(path).await? else {
        return Ok(vec![folder(path, patch, subfolder_of_a_copy(path, again))?]);
    };
    let Some(top) = repository.top.clone() else {
        let failure = Failure::failed(format!(
            "{} is a bare repository, or inside one: it has no files to change",
            path.display()
        ));
        return Err(match again.branch() {
            Some(command) => failure.next(command),
            None => failure,
        });
    };
    let index = repository.index().await?;
    if !is_relative_to_top(&repository, path, again).await? {
        let is_loose = |name: &Name| {
            !index.entries.contains_key(name) && top.join(OsStr::from_bytes(name)).symlink_metadata().is_ok()
        };
        if path != top || sections.iter().flat_map(|section| section.names()).any(is_loose) {
            return Ok(vec![folder(path, patch, None)?]);
        }
    }
    with_submodules(repository, top, index, patch).await
}

/// Names of the submodules of `repository` that `patch` changes files in, as the commit `base` has them.
pub async fn submodules(repository: &Repository, base: &str, patch: &Patch) -> Result<BTreeSet<Name>> {
    let listed = repository.git.bytes(&["ls-tree", "-r", "-z", "--full-tree", base]).await?;
    let links: BTreeSet<&[u8]> = crate::git::zero_separated(&listed)
        .filter(|line| line.starts_with(b"160000 "))
        .filter_map(|line| line.splitn(2, |byte| *byte == b'\t').nth(1))
        .collect();
    let names = patch.sections.iter().flat_map(Section::names);
    Ok(names
        .filter_map(|name| links.iter().find(|link| below(name, link).is_some()))
        .map(|link| link.to_vec())
        .collect())
}

async fn is_relative_to_top(repository: &Repository, path: &Path, again: &Again<'_>) -> Result<bool> {
    let (spec, result) = (again.job.spec.repository.as_ref(), again.job.result.as_ref());
    if result.is_some_and(|result| result.subfolder.is_some()) || spec.is_some_and(|spec| spec.reference.is_some()) {
        return Ok(true);
    }
    let Some(base) = result.and_then(|result| result.base_commit.as_deref()) else { return Ok(false) };
    if repository.knows(base).await? {
        return Ok(true);
    }
    // Another clone, which need not have that commit.
    let Some(Ok(own)) = spec.map(|spec| Path::new(&spec.path).canonicalize()) else { return Ok(false) };
    if own == path {
        return Ok(false);
    }
    match Repository::open(&own).await {
        Ok(Some(own)) => own.knows(base).await,
        _ => Ok(false),
    }
}

/// A plain folder that is a copy of the folder the job worked in, not of the whole repository.
fn subfolder_of_a_copy<'a>(path: &Path, again: &Again<'a>) -> Option<&'a str> {
    let subfolder = again.job.result.as_ref()?.subfolder.as_deref()?;
    (!path.join(subfolder).is_dir()).then_some(subfolder)
}

fn folder(path: &Path, patch: &Patch, subfolder: Option<&str>) -> Result<Part> {
    let prefix = subfolder.unwrap_or_default().trim_matches('/').as_bytes();
    let mut outside = BTreeSet::new();
    let mut sections = Vec::new();
    for section in &patch.sections {
        match section.less(prefix) {
            Some(section) => sections.push(section),
            None => outside.extend(section.names().into_iter().filter(|name| below(name, prefix).is_none()).cloned()),
        }
    }
    if !outside.is_empty() {
        let (names, prefix) = (outside.into_iter().collect::<Vec<_>>(), String::from_utf8_lossy(prefix));
        return Err(Failure::new(
            Exit::Failed,
            format!(
                "nothing was changed: {} is taken for a copy of `{prefix}`, where the job worked, but the patch also \
                 changes what lies outside of it:\n  {}\nname a copy of the whole repository with --repo",
                path.display(),
                list(&names)
            ),
        ));
    }
    Part::new(path.to_owned(), None, depth(prefix), sections, &patch.of(&patch.sections))
}

/// One part for the repository, and one for each submodule the patch reaches into.
async fn with_submodules(repository: Repository, top: PathBuf, index: Index, patch: &Patch) -> Result<Vec<Part>> {
    let mut parts = Vec::new();
    let mut trees = vec![(repository, top, index, Vec::new(), patch.sections.clone())];
    while let Some((repository, top, index, prefix, sections)) = trees.pop() {
        let mut own = Vec::new();
        let mut inner: BTreeMap<Name, Vec<Section>> = BTreeMap::new();
        for whole in sections {
            let section = whole.less(&prefix).unwrap_or_else(|| whole.clone());
            let links: BTreeSet<_> = section.names().into_iter().map(|name| index.link_above(name)).collect();
            let mut links = links.into_iter();
            match (links.next().flatten(), links.next()) {
                (None, None) => own.push((whole, section)),
                (Some(link), None) => inner.entry(link).or_default().push(whole),
                (_, Some(_)) => {
                    return Err(Failure::failed(format!(
                        "nothing was changed: the patch moves `{}` into or out of a submodule, which are two \
                         repositories; devmesh diff shows it",
                        String::from_utf8_lossy(section.listed_name())
                    )));
                }
            }
        }
        for (link, sections) in inner {
            let below = top.join(OsStr::from_bytes(&link));
            let whole = [prefix.as_slice(), if prefix.is_empty() { b"" } else { b"/" }, &link].concat();
            let (submodule, at) = checked_out(&top, &link, &below).await?;
            let index = submodule.index().await?;
            trees.push((submodule, at, index, whole, sections));
        }
        if !own.is_empty() {
            let bytes = patch.of(own.iter().map(|(whole, _)| whole));
            let sections = own.into_iter().map(|(_, section)| section).collect();
            parts.push(Part::new(top, Some(repository), depth(&prefix), sections, &bytes)?);
        }
    }
    Ok(parts)
}

async fn checked_out(top: &Path, link: &[u8], at: &Path) -> Result<(Repository, PathBuf)> {
    let missing = || {
        Failure::failed(format!(
            "nothing was changed: the patch changes files of the submodule `{}`, which is not checked out in {}",
            String::from_utf8_lossy(link),
            top.display()
        ))
        .next(format!(
            "git -C {} submodule update --init -- {}",
            shell_quoted(top),
            shell_quoted(OsStr::from_bytes(link))
        ))
    };
    // A link here would lead the patch to any repository.
    let is_folder = at.symlink_metadata().is_ok_and(|metadata| metadata.is_dir());
    if !is_folder || at.join(".git").symlink_metadata().is_err() {
        return Err(missing());
    }
    let at = at.canonicalize()?;
    match Repository::open(&at).await? {
        Some(repository) if repository.top.as_ref() == Some(&at) && at.starts_with(top) => Ok((repository, at)),
        _ => Err(missing()),
    }
}

/// How many folders there are in front of a name below `folder`.
fn depth(folder: &[u8]) -> usize {
    match folder {
        b"" => 0,
        _ => 1 + folder.iter().filter(|byte| **byte == b'/').count(),
    }
}
