//! The patch as one commit on a branch of its own. Neither the user's files nor their index are touched.

use super::{again::Again, part::list, patch::Patch, plan, repository::Repository};
use crate::{
    git::Git,
    output::{Failure, Result, shell_quoted},
};
use std::{io::Write, path::Path};

/// Who makes the commit where git knows nobody.
const NOBODY: (&str, &str) = ("devmesh", "devmesh@localhost");

/// Makes the branch `name` at one commit on top of `base`, and gives the commit.
pub async fn commit(path: &Path, base: &str, patch: &Patch, name: &str, again: &Again<'_>) -> Result<String> {
    let Some(repository) = Repository::open(path).await? else {
        return Err(Failure::failed(format!("{} is no git repository, so it cannot have a branch", path.display()))
            .next(again.command("")));
    };
    let git = &repository.git;
    if !repository.knows(base).await? {
        return Err(Failure::failed(format!(
            "the commit the job started from, `{base}`, is not in the repository at {}: the job worked on a plain folder \
             or on another clone",
            path.display()
        ))
        .next(again.command("")));
    }
    is_free(git, name, again).await?;
    let submodules: Vec<_> = plan::submodules(&repository, base, patch).await?.into_iter().collect();
    if !submodules.is_empty() {
        return Err(Failure::failed(format!(
            "the patch changes files of submodules, and one commit cannot hold files of more than one repository:\n  {}",
            list(&submodules)
        ))
        .next(again.command("")));
    }
    let mut file = tempfile::NamedTempFile::new()?;
    file.write_all(&patch.of(&patch.sections))?;
    file.flush()?;
    let scratch = tempfile::tempdir()?;
    let beside = git.clone().with("GIT_INDEX_FILE", scratch.path().join("index"));
    beside.bytes(&["read-tree", base]).await?;
    let arguments = ["apply", "--cached", "--whitespace=nowarn", "--"].map(std::ffi::OsStr::new);
    let ran = beside.ran(&[&arguments[..], &[file.path().as_os_str()]].concat()).await?;
    if !ran.status.success() {
        return Err(ran.refused(&format!("the patch does not fit the commit `{base}`, and no branch was made"), path));
    }
    let tree = beside.line(&["write-tree"]).await?;
    let git = with_identity(git.clone()).await?;
    let commit = git.line(&["commit-tree", &tree, "-p", base, "-m", &message(again)]).await?;
    git.bytes(&["branch", "--no-track", "--", name, &commit]).await?;
    Ok(commit)
}

async fn is_free(git: &Git, name: &str, again: &Again<'_>) -> Result<()> {
    // It also takes `@{-1}` and the like, and tells what that stands for.
    let checked = git.ran(&["check-ref-format", "--branch", name]).await?;
    if !checked.status.success() || checked.stdout.trim_ascii_end() != name.as_bytes() {
        return Err(
            Failure::usage(format!("`{name}` cannot be the name of a branch")).next("git help check-ref-format")
        );
    }
    let existing = git.ran(&["rev-parse", "--verify", "--quiet", &format!("refs/heads/{name}")]).await?;
    if existing.status.success() {
        let other = shell_quoted(format!("{name}-2"));
        return Err(Failure::failed(format!("the branch {name} exists already"))
            .next(again.command(&format!("--branch={other}"))));
    }
    Ok(())
}

/// Git knows who commits from the environment, its configuration or the machine's account. Only what it does not know is
/// filled in.
async fn with_identity(git: Git) -> Result<Git> {
    let mut git = git;
    for (asked, name, email) in [
        ("GIT_AUTHOR_IDENT", "GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL"),
        ("GIT_COMMITTER_IDENT", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL"),
    ] {
        for (variable, value) in [(email, NOBODY.1), (name, NOBODY.0)] {
            if git.ran(&["var", asked]).await?.status.success() {
                break;
            }
            git = git.with(variable, value);
        }
    }
    Ok(git)
}

/// First line and origin of the commit.
fn message(again: &Again<'_>) -> String {
    const LONGEST_LINE: usize = 72;
    let job = again.job;
    format!("{}\n\nDone by devmesh job {}.\n", crate::output::one_line(&job.spec.task, LONGEST_LINE), job.id)
}
