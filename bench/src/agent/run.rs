//! One run: a fresh copy of an exercise, one tool, its time, and what became of it.

use super::{
    exercise::Exercise,
    files,
    mesh::Mesh,
    options::Options,
    process::{self, End},
    record::{Key, Record, Tokens},
    score,
    tool::{self, Tool},
};
use anyhow::{Context, Result};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

/// Where a run works, and what it is about.
pub struct Stage<'a> {
    pub mesh: &'a Mesh,
    pub exercise: &'a Exercise,
    /// The copy of the repository, with one commit.
    pub repository: PathBuf,
    /// The home of this run alone.
    pub home: PathBuf,
    /// What the tool says goes here, and is kept.
    pub said: PathBuf,
    pub limit: Duration,
    /// Names the run among the mesh's tokens.
    pub name: String,
}

/// How a tool's work ended.
pub struct Outcome {
    pub end: End,
    pub taken: Duration,
    pub tokens: Tokens,
    pub state: Option<String>,
    pub reason: Option<String>,
    pub message: Option<String>,
}

pub async fn run(mesh: &Mesh, options: &Options, exercise: &Exercise, tool: Tool, key: Key) -> Result<Record> {
    let folder = tempfile::tempdir_in(&mesh.runs)?;
    let name = format!("{} {} {}", key.exercise, key.tool, key.run);
    let transcripts = options.out.join("transcripts").join(key.model.replace('/', "-"));
    fs::create_dir_all(&transcripts)?;
    let stage = Stage {
        mesh,
        exercise,
        repository: folder.path().join(&exercise.name),
        home: folder.path().join("home"),
        said: transcripts.join(format!("{}.txt", name.replace(' ', "-"))),
        limit: Duration::from_secs(options.seconds),
        name,
    };
    fs::create_dir_all(&stage.home)?;
    files::copy(&exercise.repository(), &stage.repository)?;
    commit(&stage.repository, &stage.home)?;
    let outcome = match tool {
        Tool::Devmesh => tool::devmesh::work(&stage).await?,
        Tool::Aider | Tool::Mini | Tool::Pi => work(&stage, options, tool).await?,
    };
    let score = tokio::task::block_in_place(|| score::score(exercise, &stage.repository))?;
    let exit_code = match outcome.end {
        End::ByItself(code) => code,
        End::Stopped => None,
    };
    Ok(Record {
        key,
        tool_version: tool.version().to_owned(),
        solved: score.is_solved(),
        visible_test: score.visible,
        hidden_test: score.hidden,
        ended_by_itself: outcome.end != End::Stopped,
        exit_code,
        seconds: (outcome.taken.as_secs_f64() * 10.0).round() / 10.0,
        tokens: outcome.tokens,
        state: outcome.state,
        reason: outcome.reason,
        message: outcome.message,
    })
}

/// A program of others, over the gateway.
async fn work(stage: &Stage<'_>, options: &Options, tool: Tool) -> Result<Outcome> {
    let key = stage.mesh.key(&stage.name, domain::Scope::Model).await?;
    let program = tool.program(options)?;
    let mut command = match tool {
        Tool::Aider => tool::aider::command(&program, stage, &key.secret)?,
        Tool::Mini => tool::mini::command(&program, stage, &key.secret)?,
        Tool::Pi | Tool::Devmesh => tool::pi::command(&program, stage, &key.secret)?,
    };
    command.current_dir(&stage.repository);
    let (end, taken) =
        tokio::task::block_in_place(|| process::run(&mut command, &stage.home, &stage.said, stage.limit))?;
    let tokens = stage.mesh.spent(&key, None).await?;
    stage.mesh.end(key).await?;
    Ok(Outcome { end, taken, tokens, state: None, reason: None, message: None })
}

/// Tools expect a repository with a clean tree.
fn commit(repository: &Path, home: &Path) -> Result<()> {
    for arguments in
        [&["init", "--quiet", "--initial-branch=main"][..], &["add", "."], &["commit", "--quiet", "-m", "Begin"]]
    {
        git(repository, home, arguments)?;
    }
    Ok(())
}

pub fn git(repository: &Path, home: &Path, arguments: &[&str]) -> Result<()> {
    let said = home.join("git.log");
    let mut command = Command::new("git");
    let limit = Duration::from_secs(60);
    let (end, _) = process::run(command.args(arguments).current_dir(repository), home, &said, limit)?;
    let text = fs::read_to_string(&said).unwrap_or_default();
    anyhow::ensure!(end == End::ByItself(Some(0)), "git {}: {}", arguments.join(" "), text.trim());
    fs::remove_file(&said).context("git's words were there")
}
