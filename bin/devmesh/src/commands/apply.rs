//! `devmesh apply`: a job's patch into the user's tree, the first time anything touches that.
//!
//! `patch` reads which files it is about, `plan` decides where they are, `part` tries it on a copy and then does it, `branch`
//! makes a commit of it instead.

mod again;
mod branch;
mod files;
mod part;
mod patch;
mod plan;
mod repository;
#[cfg(test)]
mod tests;

use super::diff::patch_of;
use crate::{
    context::Context,
    git::{Git, zero_separated},
    output::{Exit, Failure, Result, shell_quoted, visible},
};
use again::Again;
use part::{Part, Rehearsal, Verdict};
use patch::{Name, Patch};
use std::{
    io::Write,
    path::{Path, PathBuf},
};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "The patch is tried on a copy first; when it does not fit, nothing is changed. A patch of a job on a repository goes \
to the repository that PATH lies in, one of a job on a plain folder to PATH itself."
)]
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
    /// Where both changed the same lines, leave both in the file, marked, for you to decide
    #[arg(long = "3way", conflicts_with = "branch")]
    three_way: bool,
}

/// What came of it. The words are data: scripts read them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Fits,
    Applied,
    Already,
    Conflicts,
}

impl Outcome {
    fn as_str(self) -> &'static str {
        match self {
            Self::Fits => "fits",
            Self::Applied => "applied",
            Self::Already => "already applied",
            Self::Conflicts => "conflicts",
        }
    }
}

pub async fn run(arguments: Arguments, context: &Context) -> Result<Exit> {
    let client = context.client()?;
    let job = context.job(&client, &arguments.job).await?;
    let patch = Patch::read(patch_of(&client, &job).await?)?;
    is_as_git_reads_it(&patch).await?;
    let again = Again { job: &job, repo: arguments.repo.as_deref() };
    let path = arguments
        .repo
        .clone()
        .or_else(|| job.spec.repository.as_ref().map(|repository| PathBuf::from(&repository.path)));
    let path = path.ok_or_else(|| {
        Failure::usage("this job worked on no repository; say where its patch goes").next(again.command("--repo=."))
    })?;
    let path = path.canonicalize().map_err(|error| {
        Failure::usage(format!("the patch cannot go to `{}`: {error}", path.display()))
            .next(Again { repo: None, ..again }.command("--repo=."))
    })?;
    let files = patch.sections.len();
    let output = &context.output;

    if let Some(name) = &arguments.branch {
        let name = branch_name(name, &again)?;
        let base = job.result.as_ref().and_then(|result| result.base_commit.clone()).unwrap_or_default();
        let commit = branch::commit(&path, &base, &patch, &name, &again).await?;
        let document = serde_json::json!({"branch": name, "commit": commit, "files": files});
        output.show(&document, || format!("{name}\t{commit}"))?;
        output.next(format_args!("git -C {} switch {}", shell_quoted(&path), shell_quoted(&name)));
        return Ok(Exit::Done);
    }
    let how = How { check: arguments.check, three_way: arguments.three_way };
    let done = into_tree(&path, &patch, how, &again).await?;
    let outcome = done.outcome;
    let conflicts: Vec<_> = done.conflicts.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect();
    let document = serde_json::json!({
        "repository": done.top.to_string_lossy(),
        "files": files,
        "applied": !arguments.check && outcome != Outcome::Already,
        "outcome": outcome.as_str(),
        "conflicts": conflicts,
    });
    let top = visible(&done.top.to_string_lossy());
    output.show(&document, || format!("{}\t{files} files\t{top}", outcome.as_str()))?;
    for name in &conflicts {
        output.say(format_args!("both changed {}", visible(name)));
    }
    for command in &done.next {
        output.next(command);
    }
    Ok(if outcome == Outcome::Conflicts { Exit::Failed } else { Exit::Done })
}

/// What was asked for.
#[derive(Clone, Copy, Debug, Default)]
struct How {
    check: bool,
    three_way: bool,
}

/// What was done.
#[derive(Debug)]
struct Done {
    top: PathBuf,
    outcome: Outcome,
    conflicts: Vec<Name>,
    next: Vec<String>,
}

async fn into_tree(path: &Path, patch: &Patch, how: How, again: &Again<'_>) -> Result<Done> {
    let parts = plan::parts(path, patch, again).await?;
    let mut rehearsals = Vec::new();
    for part in &parts {
        rehearsals.push(part.rehearse(again).await?);
    }
    let (outcome, conflicts) = judged(&parts, &mut rehearsals, how.three_way, again)?;
    let outcome = match (outcome, how.check) {
        (Outcome::Fits, false) => Outcome::Applied,
        (outcome, _) => outcome,
    };
    if !how.check {
        perform(&parts, &rehearsals).await?;
    }
    let changed = parts.iter().zip(&rehearsals).filter(|(_, rehearsal)| !matches!(rehearsal.verdict, Verdict::Already));
    // Only a repository has something staged now.
    let repositories = changed.filter(|(part, _)| part.repository.is_some()).map(|(part, _)| shell_quoted(&part.top));
    let next = match (outcome, how.check) {
        (Outcome::Fits, _) => vec![again.command("")],
        (Outcome::Conflicts, true) => vec![again.command("--3way")],
        (Outcome::Conflicts, false) => repositories.map(|top| format!("git -C {top} status")).collect(),
        (Outcome::Applied, _) => {
            repositories.map(|top| format!("git -C {top} diff --cached && git -C {top} commit")).collect()
        }
        (Outcome::Already, _) => Vec::new(),
    };
    // The tree the job was about is the first one, whatever part of the patch is for it.
    let top = parts.first().map_or(path, |part| part.top.as_path()).to_owned();
    Ok(Done { top, outcome, conflicts, next })
}

/// Of all parts together: one that does not fit stops them all.
fn judged(
    parts: &[Part],
    rehearsals: &mut [Rehearsal],
    three_way: bool,
    again: &Again<'_>,
) -> Result<(Outcome, Vec<Name>)> {
    let mut conflicts = Vec::new();
    let mut outcome = Outcome::Already;
    for (part, rehearsal) in parts.iter().zip(rehearsals) {
        match &mut rehearsal.verdict {
            Verdict::Already => {}
            Verdict::Fits if outcome == Outcome::Already => outcome = Outcome::Fits,
            Verdict::Fits => {}
            Verdict::Conflicts(names) if three_way => {
                outcome = Outcome::Conflicts;
                conflicts.extend(names.iter().cloned());
            }
            Verdict::Conflicts(names) => return Err(part.conflicts(names, again)),
            Verdict::Refused(failure) => return Err(std::mem::replace(failure, Failure::failed(""))),
        }
    }
    Ok((outcome, conflicts))
}

/// All parts or none.
async fn perform(parts: &[Part], rehearsals: &[Rehearsal]) -> Result<()> {
    let mut performed = Vec::new();
    for (part, rehearsal) in parts.iter().zip(rehearsals) {
        if matches!(rehearsal.verdict, Verdict::Already) {
            continue;
        }
        match part.perform(rehearsal).await {
            Ok(done) => performed.push(done),
            Err(failure) => {
                let left: Vec<_> = performed.into_iter().rev().flat_map(part::Performed::undo).collect();
                return Err(match left.is_empty() {
                    true => failure,
                    false => failure.context(format_args!("these files stay changed:\n  {}\n", part::list(&left))),
                });
            }
        }
    }
    Ok(())
}

/// Two readers of one patch have to agree on what it touches before either acts on it.
async fn is_as_git_reads_it(patch: &Patch) -> Result<()> {
    let nowhere = tempfile::tempdir()?;
    let file = nowhere.path().join("patch");
    std::fs::File::create(&file)?.write_all(&patch.of(&patch.sections))?;
    let ceiling = nowhere.path().parent().unwrap_or(Path::new("/"));
    let git = Git::at(nowhere.path()).with("GIT_CEILING_DIRECTORIES", ceiling);
    let listed = git.ran(&["apply", "--numstat", "-z", "--", "patch"]).await?;
    if !listed.status.success() {
        return Err(listed.refused("git cannot read the patch, and nothing was changed", nowhere.path()));
    }
    // `added TAB removed TAB name`.
    let name = |line: &'_ [u8]| line.splitn(3, |byte| *byte == b'\t').nth(2).map(<[u8]>::to_vec);
    let names: Vec<_> = zero_separated(&listed.stdout).filter_map(name).collect();
    match names.iter().map(Vec::as_slice).eq(patch.sections.iter().map(patch::Section::listed_name)) {
        true => Ok(()),
        false => Err(Failure::failed("the patch is not written as git writes one, and nothing was changed")
            .next("devmesh doctor")),
    }
}

fn branch_name(asked: &str, again: &Again<'_>) -> Result<String> {
    let proposed = again.job.result.as_ref().and_then(|result| result.branch.clone());
    let name = if asked.is_empty() { proposed } else { Some(asked.to_owned()) };
    name.ok_or_else(|| {
        Failure::usage("the job proposed no branch name; give one").next(again.command("--branch=devmesh-patch"))
    })
}
