//! Git, as far as applying a patch needs it.

use super::refused;
use crate::output::{Failure, Result};
use std::{
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
    process::{Output, Stdio},
};
use tokio::process::Command;

/// Where a patch goes.
#[derive(Debug)]
pub enum Tree {
    Repository {
        root: PathBuf,
        git: Git,
    },
    /// No repository: plain `git apply` without an index.
    Folder {
        root: PathBuf,
        git: Git,
    },
}

/// Git in one folder.
#[derive(Debug)]
pub struct Git {
    folder: PathBuf,
    variables: Vec<(&'static str, OsString)>,
}

impl Git {
    fn at(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), variables: Vec::new() }
    }

    fn with(&self, name: &'static str, value: impl Into<OsString>) -> Self {
        let mut variables = self.variables.clone();
        variables.push((name, value.into()));
        Self { folder: self.folder.clone(), variables }
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    async fn output(&self, arguments: &[impl AsRef<OsStr>], file: Option<&Path>) -> Result<Output> {
        let mut command = Command::new("git");
        command
            .arg("-C")
            .arg(&self.folder)
            .args(arguments)
            .args(file)
            .stdin(Stdio::null())
            .env("LC_ALL", "C")
            .kill_on_drop(true);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.output().await.map_err(|error| {
            Failure::failed(format!("git cannot be started: {error}")).next("install git, then try again")
        })
    }

    /// Runs to success and returns what it printed.
    pub async fn run(&self, arguments: &[&str], file: Option<&Path>) -> Result<Vec<u8>> {
        let output = self.output(arguments, file).await?;
        if !output.status.success() {
            return Err(refused(
                self,
                &format!("git {} did not work", arguments.first().copied().unwrap_or_default()),
                &output.stderr,
            ));
        }
        Ok(output.stdout)
    }

    async fn line(&self, arguments: &[&str]) -> Result<String> {
        Ok(String::from_utf8_lossy(&self.run(arguments, None).await?).trim().to_owned())
    }
}

impl Tree {
    pub async fn find(path: &Path) -> Result<Self> {
        let path = path.canonicalize().map_err(|error| {
            Failure::usage(format!("`{}`: {error}", path.display())).next("devmesh apply ID --repo PATH")
        })?;
        let git = Git::at(&path);
        let inside = git.output(&["rev-parse", "--show-toplevel"], None).await?;
        if inside.status.success() {
            let root = PathBuf::from(String::from_utf8_lossy(&inside.stdout).trim_end_matches('\n'));
            return Ok(Self::Repository { git: Git::at(&root), root });
        }
        if String::from_utf8_lossy(&inside.stderr).contains("not a git repository") {
            return Ok(Self::Folder { git, root: path });
        }
        Err(refused(&git, "this repository cannot be used", &inside.stderr))
    }

    pub fn root(&self) -> &Path {
        match self {
            Self::Repository { root, .. } | Self::Folder { root, .. } => root,
        }
    }

    pub fn git(&self) -> &Git {
        match self {
            Self::Repository { git, .. } | Self::Folder { git, .. } => git,
        }
    }

    /// Whether the patch fits, found out without changing anything: in a repository it is applied to a copy of the index.
    pub async fn check(&self, patch: &Path) -> Result<()> {
        const WHAT: &str = "the patch does not fit, and nothing was changed";
        let (git, arguments): (Git, &[&str]) = match self {
            Self::Repository { git, .. } => {
                let scratch = tempfile::tempdir()?;
                let index = scratch.path().join("index");
                let own = self.root().join(git.line(&["rev-parse", "--git-path", "index"]).await?);
                if own.exists() {
                    tokio::fs::copy(&own, &index).await?;
                }
                let trial = git.with("GIT_INDEX_FILE", &index);
                let output = trial.output(&["apply", "--cached", "--3way", "--whitespace=nowarn"], Some(patch)).await?;
                if !output.status.success() {
                    return Err(refused(git, WHAT, &output.stderr)
                        .next("devmesh apply ID --branch NAME keeps it on a branch of its own"));
                }
                // The index takes it; do the files of the tree match the index where the patch touches them?
                (trial_of_tree(git), &["apply", "--check", "--index", "--whitespace=nowarn"])
            }
            Self::Folder { git, .. } => (trial_of_tree(git), &["apply", "--check", "--whitespace=nowarn"]),
        };
        let output = git.output(arguments, Some(patch)).await?;
        match (self, output.status.success()) {
            (_, true) => Ok(()),
            // A three-way merge can still bring it in when only the context has moved; unsaved edits cannot be merged.
            (Self::Repository { .. }, false) if !says_unsaved(&output.stderr) => Ok(()),
            (_, false) => Err(refused(&git, WHAT, &output.stderr)
                .next("commit or stash what you changed in these files, then try again")),
        }
    }

    /// After [`Tree::check`].
    pub async fn apply(&self, patch: &Path) -> Result<()> {
        let arguments: &[&str] = match self {
            Self::Repository { .. } => &["apply", "--3way", "--whitespace=nowarn"],
            Self::Folder { .. } => &["apply", "--whitespace=nowarn"],
        };
        let output = self.git().output(arguments, Some(patch)).await?;
        if !output.status.success() {
            return Err(refused(
                self.git(),
                "git stopped while applying the patch; look at git status",
                &output.stderr,
            ));
        }
        Ok(())
    }

    /// One commit with the patch on top of `base`, under a new branch. Neither tree nor index of the user is touched.
    pub async fn commit_on(&self, base: &str, patch: &Path, branch: &str, message: &str) -> Result<String> {
        let Self::Repository { git, .. } = self else {
            return Err(Failure::usage(format!(
                "{} is no git repository, so it cannot have a branch",
                self.root().display()
            )));
        };
        git.run(&["check-ref-format", "--branch", branch], None).await?;
        let existing = git.output(&["rev-parse", "--verify", "--quiet", &format!("refs/heads/{branch}")], None).await?;
        if existing.status.success() {
            return Err(Failure::failed(format!("the branch {branch} exists already"))
                .next("devmesh apply ID --branch OTHER_NAME"));
        }
        let scratch = tempfile::tempdir()?;
        let beside = git.with("GIT_INDEX_FILE", scratch.path().join("index"));
        beside.run(&["read-tree", base], None).await?;
        beside.run(&["apply", "--cached", "--whitespace=nowarn"], Some(patch)).await?;
        let tree = beside.line(&["write-tree"]).await?;
        let commit = git.line(&["commit-tree", &tree, "-p", base, "-m", message]).await?;
        git.run(&["branch", "--", branch, &commit], None).await?;
        Ok(commit)
    }
}

/// A look at the tree itself. A folder inside somebody else's repository is still a plain folder.
fn trial_of_tree(git: &Git) -> Git {
    git.with("GIT_OPTIONAL_LOCKS", "0")
}

fn says_unsaved(stderr: &[u8]) -> bool {
    let text = String::from_utf8_lossy(stderr);
    text.contains("does not match index") || text.contains("already exists in working directory")
}
