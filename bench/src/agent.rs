//! How coding tools do with one model: small repositories with a failing test, each given to every tool.
//!
//! ```text
//!   exercise ──copy──▶ folder of one run ◀──works in── devmesh | Aider | mini-swe-agent | pi ──▶ one gateway ──▶ model
//!                            │                               one token a run: its tokens are counted there
//!                            ▼
//!   fresh copy + what was changed ──▶ the repository's test, the hidden test ──▶ a line in results.jsonl ──▶ table
//! ```
//! All tools have the same model, the same gateway, the same wall time, the same task and the same command that tests. One
//! run at a time: two would share the cores. Each is written down when it is over, and what is written down is not run
//! again. `bench/exercises/README.md` says what is counted and how each tool is set.

mod environment;
mod exercise;
mod files;
mod mesh;
mod options;
mod process;
mod record;
mod run;
mod score;
mod table;
mod tool;

use crate::server::Server;
use anyhow::{Context, Result};
use clap::Parser;
use exercise::Exercise;
use mesh::Mesh;
use options::Options;
use record::{Key, Results};
use std::fs;
use tool::Tool;

/// The benchmark's name on the command line. It is not among those that run when none is named: it takes hours.
pub const NAME: &str = "agent";

pub async fn run(arguments: impl Iterator<Item = String>) -> Result<()> {
    let options = Options::parse_from([NAME.to_owned()].into_iter().chain(arguments));
    let exercises = Exercise::named(&options.exercises)?;
    fs::create_dir_all(&options.out).with_context(|| format!("cannot make {}", options.out.display()))?;
    let mut results = Results::open(&options.out.join("results.jsonl"))?;
    let mut skipped = Vec::new();
    if !options.table {
        let tools = usable(&options, &mut skipped);
        let exercises: Vec<&Exercise> = exercises
            .iter()
            .filter(|exercise| {
                let missing = exercise.missing_program();
                skipped.extend(missing.map(|program| format!("{}: `{program}` is not in PATH", exercise.name)));
                missing.is_none()
            })
            .collect();
        run_what_is_missing(&options, &tools, &exercises, &mut results, &mut skipped).await?;
    }
    let model = options.model_id();
    table::print(&results.of(&model, options.seconds), &exercises);
    for line in &skipped {
        println!("  skipped: {line}");
    }
    println!("  every run, with what the tools said: {}", options.out.display());
    Ok(())
}

/// Those of the tools asked for that are here.
fn usable(options: &Options, skipped: &mut Vec<String>) -> Vec<Tool> {
    let is_here = |tool: &Tool| match tool.program(options) {
        Ok(_) => true,
        Err(why) => {
            skipped.push(format!("{}: {why:#}", tool.name()));
            false
        }
    };
    options.tools.iter().copied().filter(is_here).collect()
}

/// Round after round, so that what is there after a while says something about every tool.
async fn run_what_is_missing(
    options: &Options,
    tools: &[Tool],
    exercises: &[&Exercise],
    results: &mut Results,
    skipped: &mut Vec<String>,
) -> Result<()> {
    let keys = (1..=options.runs).flat_map(|run| {
        exercises.iter().flat_map(move |exercise| {
            tools.iter().map(move |tool| {
                (
                    *exercise,
                    *tool,
                    Key {
                        model: options.model_id(),
                        wall_seconds: options.seconds,
                        tool: tool.name().to_owned(),
                        exercise: exercise.name.clone(),
                        run,
                    },
                )
            })
        })
    });
    let mut missing: Vec<_> = keys.filter(|(_, _, key)| !results.has(key)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let folder = crate::server::folder()?;
    let mesh = Mesh::start(options, folder.path()).await?;
    if let Some(why) = mesh.refuses_tools().await? {
        missing.retain(|(_, tool, _)| !tool.needs_tool_calls());
        let left_out = tools.iter().filter(|tool| tool.needs_tool_calls());
        skipped.extend(left_out.map(|tool| format!("{}: {why}", tool.name())));
    }
    println!("  {} runs of at most {} s each", missing.len(), options.seconds);
    for (number, (exercise, tool, key)) in missing.iter().enumerate() {
        print!("  {} of {}  {:<28} {:<16} ", number + 1, missing.len(), exercise.name, tool.name());
        let _ = std::io::Write::flush(&mut std::io::stdout());
        let record = run::run(&mesh, options, exercise, *tool, key.clone()).await?;
        println!("{}", record.line());
        results.add(record)?;
    }
    Ok(())
}

/// The program of a mesh to work with, and its name in the results' tables.
fn program(options: &Options) -> Result<std::path::PathBuf> {
    options.devmesh.clone().map_or_else(Server::own_program, Ok)
}
