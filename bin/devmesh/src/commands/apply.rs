//! `devmesh apply`: a job's patch into the user's tree, the first time anything touches that.

mod git;

use super::diff::patch_of;
use crate::{
    context::Context,
    output::{Exit, Failure, Result},
};
use git::{Git, Tree};
use protocol::Job;
use std::{io::Write, path::PathBuf};

#[derive(Debug, clap::Args)]
#[command(after_help = "The patch is tried out beside your tree first; when it does not fit, nothing is changed.")]
pub struct Arguments {
    /// Job id, or the beginning of one
    job: String,
    /// Where to apply it. Default: the repository the job worked on
    #[arg(long, value_name = "PATH")]
    repo: Option<PathBuf>,
    /// Make a branch with one commit instead, and leave the tree as it is. Default name: the job's proposal
    #[arg(long, value_name = "NAME", num_args = 0..=1, default_missing_value = "")]
    branch: Option<String>,
    /// Only say whether it fits
    #[arg(long, conflicts_with = "branch")]
    check: bool,
}

pub async fn run(arguments: Arguments, context: &Context) -> Result<Exit> {
    let client = context.client()?;
    let job = context.job(&client, &arguments.job).await?;
    let patch = patch_of(&client, &job).await?;
    let path = arguments
        .repo
        .clone()
        .or_else(|| job.spec.repository.as_ref().map(|repository| PathBuf::from(&repository.path)));
    let path = path.ok_or_else(|| {
        Failure::usage("this job worked on no repository; say where its patch goes")
            .next("devmesh apply ID --repo PATH")
    })?;
    let mut file = tempfile::NamedTempFile::new()?;
    file.write_all(&patch)?;
    file.flush()?;
    let tree = Tree::find(&path).await?;
    let summary = tree.git().run(&["apply", "--numstat", "-z", "--"], Some(file.path())).await?;
    let files = summary.split(|byte| *byte == 0).filter(|entry| !entry.is_empty()).count();
    let output = &context.output;

    if let Some(name) = &arguments.branch {
        let branch = branch_name(name, &job)?;
        let base = job.result.as_ref().and_then(|result| result.base_commit.clone()).ok_or_else(|| {
            Failure::failed("the job's base is not in this repository, because it worked on a plain folder")
                .next("devmesh apply ID without --branch")
        })?;
        let commit = tree.commit_on(&base, file.path(), &branch, &message(&job)).await?;
        output.show(&serde_json::json!({"branch": branch, "commit": commit, "files": files}), || {
            format!("{branch}\t{commit}")
        })?;
        output.next(format_args!("git -C {} switch {branch}", tree.root().display()));
        return Ok(Exit::Done);
    }
    tree.check(file.path()).await?;
    if !arguments.check {
        tree.apply(file.path()).await?;
    }
    let document = serde_json::json!({"repository": tree.root(), "files": files, "applied": !arguments.check});
    let done = if arguments.check { "fits" } else { "applied" };
    output.show(&document, || format!("{done}\t{files} files\t{}", tree.root().display()))?;
    match (arguments.check, &tree) {
        (true, _) => output.next(format_args!("devmesh apply {}", super::short(job.id))),
        (false, Tree::Repository { root, .. }) => {
            output.next(format_args!("git -C {} diff --cached, then git commit", root.display()))
        }
        (false, Tree::Folder { .. }) => {}
    }
    Ok(Exit::Done)
}

fn branch_name(asked: &str, job: &Job) -> Result<String> {
    let proposed = job.result.as_ref().and_then(|result| result.branch.clone());
    let name = if asked.is_empty() { proposed } else { Some(asked.to_owned()) };
    name.ok_or_else(|| Failure::usage("the job proposed no branch name").next("devmesh apply ID --branch NAME"))
}

/// First line and origin of the commit.
fn message(job: &Job) -> String {
    const LONGEST_LINE: usize = 72;
    format!("{}\n\nDone by devmesh job {}.\n", crate::output::one_line(&job.spec.task, LONGEST_LINE), job.id)
}

/// A failure of git, with what it said.
fn refused(git: &Git, what: &str, said: &[u8]) -> Failure {
    let said = String::from_utf8_lossy(said);
    let lines: Vec<_> = said.lines().map(str::trim).filter(|line| !line.is_empty()).take(12).collect();
    Failure::failed(format!("{what} in {}:\n  {}", git.folder().display(), lines.join("\n  ")))
}
