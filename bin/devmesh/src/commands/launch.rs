//! `devmesh launch`: makes a coding tool's own settings point at the mesh, and starts the tool.
//!
//! ```text
//!   tool, model ──▶ its file, edited ──▶ diff ──▶ asked ──▶ first copy kept ──▶ written ──▶ started
//!   --print ends after the diff. --revert goes the same way, with what devmesh wrote taken out of the file again
//! ```
//! `tool` knows the tools and `wanted` what each is to be told, `edit` changes three kinds of files and leaves the rest of
//! them as it is, `change` is one file before and after, `kept` are the copies, `taken_back` tells what is devmesh's.

mod change;
mod edit;
mod kept;
mod revert;
mod taken_back;
mod tool;
mod wanted;

use crate::{
    context::{Access, Context},
    output::{Exit, Failure, Output, Result, shell_quoted},
};
use change::{Change, PRIVATE, mode_of};
use client::Client;
use domain::{Clock, SystemClock};
use kept::{Copy, Kept};
use router::DEFAULT_ROUTE;
use serde_json::json;
use std::{
    io::{IsTerminal, Write},
    path::Path,
};
use taken_back::taken_back;
use tool::Tool;
use wanted::Target;

/// The route that coding tools are pointed at where there is one.
const USUAL_ROUTE: &str = "code";
/// How tokens of administrators begin.
const OPENS_EVERYTHING: &str = "dm_admin_";
/// Where tools find the token: the variable that `devmesh` itself reads.
const TOKEN_VARIABLE: &str = "DEVMESH_TOKEN";

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Tools that can read a token from a variable get it in DEVMESH_TOKEN (Claude Code: ANTHROPIC_AUTH_TOKEN), and no file \
holds it; the others have it in their own file, which then only you can read. With --json the tool is not started."
)]
pub struct Arguments {
    /// Which one
    tool: Tool,
    /// Route or model. Default: the route `code` where there is one, else `default`
    #[arg(long, value_name = "NAME", conflicts_with = "revert")]
    model: Option<String>,
    /// Write without asking
    #[arg(long, conflicts_with = "print")]
    yes: bool,
    /// Only show what would change
    #[arg(long)]
    print: bool,
    /// Take out of the tool's settings what launch wrote there; what was changed since stays
    #[arg(long)]
    revert: bool,
    /// What the tool itself is told
    #[arg(last = true, value_name = "ARGS")]
    arguments: Vec<String>,
}

pub async fn run(arguments: Arguments, context: &Context) -> Result<Exit> {
    let (tool, output) = (arguments.tool, &context.output);
    let file = tool.file(&context.config)?;
    let kept = Kept::of(&context.config.settings.data, tool.name());
    if arguments.revert {
        return revert::revert(&arguments, &kept, output);
    }
    let Access { url, token } = context.access()?;
    let (model, context_tokens) = model(&arguments, &context.client()?, output).await?;
    let now = SystemClock.now().to_string();
    let target = Target { url: url.trim_end_matches('/'), context_tokens, model: &model, token: &token, now: &now };
    let before = Change::read(&file)?;
    let original = original(tool, &file, before.as_deref(), &kept)?;
    let texts = [&original.text, &before].map(|text| text.as_deref().unwrap_or_default());
    let after = wanted::edited(tool, texts, &target).map_err(|why| {
        let shown = file.display();
        Failure::failed(format!("{shown} was left as it is: {why}")).next(format!("mend it, or move it away: {shown}"))
    })?;
    // Whoever cannot start it gets no settings for it either.
    let is_started = !arguments.print && !output.json;
    let program = if is_started { Some(tool.installed(&context.config)?) } else { None };
    let copy = Copy { written: Some(after.clone()), ..original };
    let change = Change { file, before, after: Some(after), mode: tool.holds_the_token().then_some(PRIVATE) };
    let written = carry_out(&arguments, &change, &token, output, || kept.keep(&copy))?;
    if written {
        let shown = shell_quoted(&change.file);
        let holds = if tool.holds_the_token() { ", which holds the token: only you can read it" } else { "" };
        output.say(format_args!("wrote {shown}{holds}"));
        output.say(format_args!("devmesh launch {} --revert takes it back", tool.name()));
    }
    if output.json {
        let report = json!({
            "tool": tool.name(), "program": tool.program(), "model": model, "url": target.url, "file": change.file,
            "holds_the_token": tool.holds_the_token(), "diff": change.diff(&token), "written": written,
        });
        output.json(&report)?;
        return Ok(Exit::Done);
    }
    let Some(program) = program else { return Ok(Exit::Done) };
    if token.starts_with(OPENS_EVERYTHING) {
        let name = tool.name();
        output.say(format_args!(
            "{name} gets a token that opens everything here; one for models alone is made by devmesh token create --scope model {name}, and given with --token-file"
        ));
    }
    tool.start(&program, &arguments.arguments, &token, &context.config)
}

/// What the file would be without devmesh: as it is, or as the copy says, with what others changed since.
fn original(tool: Tool, file: &Path, now: Option<&str>, kept: &Kept) -> Result<Copy> {
    let Some(copy) = kept.read()? else {
        let text = now.map(str::to_owned);
        return Ok(Copy { file: file.to_owned(), text, mode: mode_of(file), written: None });
    };
    if copy.file != file {
        let (tool, held, file) = (tool.name(), copy.file.display(), file.display());
        return Err(Failure::failed(format!("the settings of {tool} are in {file} now, and devmesh wrote {held}"))
            .next(format!("devmesh launch {tool} --revert, and launch it again")));
    }
    Ok(Copy { text: taken_back(tool, &copy, now).unwrap_or_else(|_| copy.text.clone()), ..copy })
}

/// Shows, asks, keeps a copy, and writes. Says whether it wrote.
fn carry_out(
    arguments: &Arguments,
    change: &Change,
    token: &str,
    output: &Output,
    keep: impl FnOnce() -> Result<()>,
) -> Result<bool> {
    let shown = shell_quoted(&change.file);
    if change.is_nothing() {
        output.say(format_args!("{shown} says that already"));
        return Ok(false);
    }
    let is_wanted = arguments.print || !arguments.yes || !output.quiet;
    if is_wanted && !output.json {
        output.text(&change.diff(token))?;
    }
    if arguments.print {
        return Ok(false);
    }
    if !arguments.yes {
        ask(arguments, &shown)?;
    }
    keep()?;
    change.write()?;
    Ok(true)
}

fn ask(arguments: &Arguments, file: &str) -> Result<()> {
    let (tool, revert) = (arguments.tool.name(), if arguments.revert { " --revert" } else { "" });
    if !std::io::stdin().is_terminal() {
        return Err(Failure::usage(format!("{file} would be changed, and nobody can be asked: stdin is no terminal"))
            .next(format!("devmesh launch {tool}{revert} --yes, or --print to only look")));
    }
    let _ = write!(anstream::stderr().lock(), "write {file}? [y/N] ");
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    if ["y", "yes"].contains(&answer.trim().to_ascii_lowercase().as_str()) {
        return Ok(());
    }
    Err(Failure::new(Exit::Stopped, format!("{file} was left as it is")))
}

/// The name that the tool asks for, and what that holds.
async fn model(arguments: &Arguments, client: &Client, output: &Output) -> Result<(String, Option<u64>)> {
    let asked = arguments.model.as_deref();
    let names = asked.map_or_else(|| vec![USUAL_ROUTE, DEFAULT_ROUTE], |name| vec![name]);
    let mut unknown = None;
    for &name in &names {
        match client.context_tokens(name).await {
            Ok(tokens) => return Ok((name.to_owned(), tokens)),
            Err(error @ client::Error::Refused { status: 400 | 404, .. }) => unknown = Some(error),
            // It is known, and nothing that it leads to could answer now.
            Err(client::Error::Refused { status: 503, message }) => {
                output.warn(&format!("`{name}` has no model that could answer now: {message}"));
                return Ok((name.to_owned(), None));
            }
            Err(error) => return Err(error.into()),
        }
    }
    let (name, tool) = (names.join("` nor `"), arguments.tool.name());
    let why = unknown.map(|error| format!(": {error}")).unwrap_or_default();
    Err(Failure::new(Exit::NotFound, format!("nothing was written, the mesh does not know `{name}`{why}"))
        .next(format!("devmesh routes list, devmesh models list, then devmesh launch {tool} --model NAME")))
}
