//! `devmesh launch`: makes a coding tool's own settings point at the mesh, and starts the tool.
//!
//! ```text
//!   tool, model ──▶ its file, edited ──▶ diff ──▶ asked ──▶ first copy kept ──▶ written ──▶ started
//!   --print ends after the diff. --revert goes the same way with the kept copy in place of the edited file
//! ```
//! `tool` knows the tools and `wanted` what each is to be told, `edit` changes three kinds of files and leaves the rest of
//! them as it is, `change` is one file before and after, `kept` are the copies.

mod change;
mod edit;
mod kept;
mod tool;
mod wanted;

use crate::{
    context::{Access, Context},
    output::{Exit, Failure, Output, Result, shell_quoted},
};
use change::{Change, PRIVATE};
use client::Client;
use domain::{Clock, SystemClock};
use kept::Kept;
use router::DEFAULT_ROUTE;
use serde_json::json;
use std::io::{IsTerminal, Write};
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
    after_help = "Tools that can read a token from a variable get it in DEVMESH_TOKEN, and no file holds it; the others have it in \
their own file, which then only you can read. With --json the tool is not started."
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
    /// Give the tool its settings back as they were before the first launch
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
        return revert(&arguments, &kept, output);
    }
    let Access { url, token } = context.access()?;
    let (model, context_tokens) = model(arguments.model.as_deref(), &context.client()?, output).await?;
    let now = SystemClock.now().to_string();
    let target = Target { url: url.trim_end_matches('/'), context_tokens, model: &model, token: &token, now: &now };
    let before = Change::read(&file)?;
    let after = wanted::edited(tool, before.as_deref().unwrap_or_default(), &target).map_err(|why| {
        let shown = file.display();
        Failure::failed(format!("{shown} was left as it is: {why}")).next(format!("mend it, or move it away: {shown}"))
    })?;
    let change = Change { file, before, after: Some(after), mode: tool.holds_the_token().then_some(PRIVATE) };
    let written = carry_out(&arguments, &change, &token, &kept, output)?;
    if output.json {
        let report = json!({
            "tool": tool.name(), "program": tool.program(), "model": model, "url": target.url, "file": change.file,
            "holds_the_token": tool.holds_the_token(), "diff": change.diff(&token), "written": written,
        });
        output.json(&report)?;
        return Ok(Exit::Done);
    }
    if arguments.print {
        return Ok(Exit::Done);
    }
    if token.starts_with(OPENS_EVERYTHING) {
        let name = tool.name();
        output.say(format_args!(
            "{name} gets a token that opens everything here; one for models alone is made by devmesh token create --scope model {name}, and given with --token-file"
        ));
    }
    tool.start(&arguments.arguments, &token, context)
}

fn revert(arguments: &Arguments, kept: &Kept, output: &Output) -> Result<Exit> {
    let Some(copy) = kept.read()? else {
        return Err(Failure::new(
            Exit::NotFound,
            format!("there is no copy of the settings of {0}: devmesh did not write them", arguments.tool.name()),
        )
        .next(format!("devmesh launch {}", arguments.tool.name())));
    };
    let before = Change::read(&copy.file)?;
    let change = Change { before, after: copy.text, file: copy.file, mode: copy.mode };
    let written = carry_out(arguments, &change, "", kept, output)?;
    if written || change.is_nothing() && !arguments.print {
        kept.remove()?;
    }
    if output.json {
        let report =
            json!({"tool": arguments.tool.name(), "file": change.file, "diff": change.diff(""), "written": written});
        output.json(&report)?;
    }
    Ok(Exit::Done)
}

/// Shows, asks, keeps a copy, and writes. Says whether it wrote.
fn carry_out(arguments: &Arguments, change: &Change, token: &str, kept: &Kept, output: &Output) -> Result<bool> {
    let shown = shell_quoted(&change.file);
    if change.is_nothing() {
        output.say(format_args!("{shown} says that already"));
        return Ok(false);
    }
    if !output.json {
        output.text(&change.diff(token))?;
    }
    if arguments.print {
        return Ok(false);
    }
    if !arguments.yes {
        ask(arguments, &shown)?;
    }
    if !arguments.revert {
        kept.keep(change)?;
    }
    change.write()?;
    if arguments.revert {
        output.say(format_args!("{shown} is as it was"));
    } else {
        let token = if arguments.tool.holds_the_token() { ", which holds the token: only you can read it" } else { "" };
        output.say(format_args!("wrote {shown}{token}"));
        output.say(format_args!("devmesh launch {} --revert takes it back", arguments.tool.name()));
    }
    Ok(true)
}

fn ask(arguments: &Arguments, file: &str) -> Result<()> {
    let tool = arguments.tool.name();
    if !std::io::stdin().is_terminal() {
        return Err(Failure::usage(format!("{file} would be changed, and nobody can be asked: stdin is no terminal"))
            .next(format!("devmesh launch {tool} --yes, or --print to only look")));
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
async fn model(asked: Option<&str>, client: &Client, output: &Output) -> Result<(String, Option<u64>)> {
    let names = asked.map_or_else(|| vec![USUAL_ROUTE, DEFAULT_ROUTE], |name| vec![name]);
    for &name in &names {
        match client.context_tokens(name).await {
            Ok(tokens) => return Ok((name.to_owned(), tokens)),
            // There is none, or none that could answer now.
            Err(client::Error::Refused { status: 400 | 404 | 503, .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let name = names.last().copied().unwrap_or(DEFAULT_ROUTE);
    output.warn(&format!("the mesh has no model for `{name}` now (devmesh models list shows those it has)"));
    Ok((name.to_owned(), None))
}
