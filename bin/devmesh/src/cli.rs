//! The command line: what there is, and the way from arguments to an exit code.

use crate::{
    commands,
    config::{Config, Environment, Flags},
    context::Context,
    output::{Color, Exit, Failure, Output, Result},
};
use clap::{Args, CommandFactory, Parser, Subcommand};
use std::{path::PathBuf, process::ExitCode};

/// Durable jobs done by agents on this machine, on models that are local first.
#[derive(Debug, Parser)]
#[command(name = "devmesh", version, max_term_width = 100, disable_help_subcommand = true, after_help = EXAMPLES)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

const EXAMPLES: &str = "\
Examples:
  devmesh try                                    one real job, from nothing
  devmesh up                                     the mesh, staying up
  devmesh run --repo . \"make the tests pass\"     a job, followed to its end
  devmesh logs -f ID                             what a job is doing
  devmesh apply ID                               its patch into your tree

Exit codes: 0 done, 1 failed, 2 usage, 3 no backend, 4 token, 5 not found, 6 needs a person
or a budget ended it, 124 timed out, 130 interrupted.";

#[derive(Debug, Args)]
pub struct Global {
    /// Data folder
    #[arg(long, global = true, value_name = "FOLDER", help_heading = "Global options")]
    pub data: Option<PathBuf>,
    /// Backend to speak to
    #[arg(long, global = true, value_name = "URL", help_heading = "Global options")]
    pub url: Option<String>,
    /// File with the token to show
    #[arg(long, global = true, value_name = "FILE", help_heading = "Global options")]
    pub token_file: Option<PathBuf>,
    /// Set any configuration key for this one command
    #[arg(long = "set", global = true, value_name = "KEY=VALUE", help_heading = "Global options")]
    pub set: Vec<String>,
    /// Data as JSON; streams as one JSON document per line
    #[arg(long, global = true, help_heading = "Global options")]
    pub json: bool,
    /// When to use colour
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN", help_heading = "Global options")]
    pub color: Color,
    /// No talk, only data and errors
    #[arg(long, short, global = true, help_heading = "Global options")]
    pub quiet: bool,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start the mesh here: a backend and agents, until you stop it
    Up(commands::up::Arguments),
    /// One real job from nothing: fetch a small model, start the mesh, run, show the patch
    Try(commands::trial::Arguments),
    /// Start a backend only
    Serve(commands::serve::Arguments),
    /// Start one agent that works for a backend
    Agent(commands::agent::Arguments),
    /// Create a job and follow it to its end
    Run(commands::run::Arguments),
    /// List, show, cancel, repeat and delete jobs
    #[command(subcommand)]
    Jobs(commands::jobs::Command),
    /// What a job did and is doing
    Logs(commands::logs::Arguments),
    /// Follow a job to its end, as `run` does
    Attach(commands::attach::Arguments),
    /// Show a job's patch
    Diff(commands::diff::Arguments),
    /// Bring a job's patch into your tree
    Apply(commands::apply::Arguments),
    /// What waits for a decision
    Approvals(commands::approvals::Arguments),
    /// Let a tool call go ahead
    Approve(commands::approve::Arguments),
    /// Refuse a tool call
    Deny(commands::deny::Arguments),
    /// Recompute the hash chain of a job's log and the digests of its artifacts
    Verify(commands::verify::Arguments),
    /// Point a coding tool at the mesh, and start it
    Launch(commands::launch::Arguments),
    /// List, fetch, add and remove models
    #[command(subcommand)]
    Models(commands::models::Command),
    /// Where model names lead, and why
    #[command(subcommand)]
    Routes(commands::routes::Command),
    /// How targets and their queues do
    Targets(commands::targets::Arguments),
    /// Model calls, and why each went where it went
    #[command(subcommand)]
    Calls(commands::calls::Command),
    /// What model calls used and cost, by key, route, model or day
    Spend(commands::spend::Arguments),
    /// What left this machine for a cloud
    #[command(subcommand)]
    Egress(commands::egress::Command),
    /// Who did what
    Audit(commands::audit::Arguments),
    /// Check this machine and the mesh, with the command that mends each finding
    Doctor(commands::doctor::Arguments),
    /// Make, list and delete tokens, or get in again without one
    #[command(subcommand)]
    Token(commands::token::Command),
    /// What is configured, and where
    #[command(subcommand)]
    Config(commands::config::Command),
    /// Copy everything the backend keeps into one file, while it runs
    Backup(commands::backup::Arguments),
    /// Make a data folder from a backup
    Restore(commands::restore::Arguments),
    /// Completions for your shell
    Completions(commands::completions::Arguments),
    /// Version of this program and of the backend
    Version(commands::version::Arguments),
    /// Print the OpenAPI document of the API
    #[command(hide = true)]
    Openapi,
}

impl Global {
    fn flags(&self) -> Result<Flags> {
        let mut flags = Flags::new();
        for set in &self.set {
            let (key, value) = set.split_once('=').ok_or_else(|| {
                Failure::usage(format!("--set takes KEY=VALUE, got `{set}`")).next("devmesh config explain")
            })?;
            flags.push((key.trim().to_owned(), value.to_owned(), "--set".into()));
        }
        let text = |path: &PathBuf| {
            path.to_str().map(str::to_owned).ok_or_else(|| Failure::usage(format!("`{}` is not UTF-8", path.display())))
        };
        if let Some(data) = &self.data {
            flags.push(("data".into(), text(data)?, "--data".into()));
        }
        if let Some(url) = &self.url {
            flags.push(("url".into(), url.clone(), "--url".into()));
        }
        if let Some(file) = &self.token_file {
            flags.push(("token_file".into(), text(file)?, "--token-file".into()));
        }
        Ok(flags)
    }
}

/// Runs the program to its exit code.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version go to stdout and succeed; the rest is usage.
            let exit = if error.use_stderr() { Exit::Usage } else { Exit::Done };
            let _ = error.print();
            return exit.into();
        }
    };
    let output = Output::new(cli.global.json, cli.global.quiet, cli.global.color);
    let exit = execute(cli, output).unwrap_or_else(|failure| {
        if !failure.is_closed_pipe() {
            output.failed(&failure);
        }
        failure.exit
    });
    exit.into()
}

fn execute(cli: Cli, output: Output) -> Result<Exit> {
    // These work whatever state the configuration is in.
    if let Command::Completions(arguments) = &cli.command {
        return commands::completions::run(arguments, &mut Cli::command());
    }
    let environment = Environment::of_the_process();
    let mut flags = cli.global.flags()?;
    flags.extend(cli.command.flags());
    let config = Config::load(environment, flags)?;
    for warning in &config.warnings {
        output.warn(warning);
    }
    let context = Context { config, output };
    // One TLS stack for every connection of this process. It is the first, so it cannot be installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(cli.command.threads()).enable_all().build()?;
    let exit = runtime.block_on(cli.command.run(&context));
    // Reads of a terminal or a dead disk must not hold up the end.
    runtime.shutdown_background();
    exit
}

impl Command {
    /// What this command's own flags set.
    fn flags(&self) -> Flags {
        match self {
            Self::Up(arguments) => arguments.flags(),
            Self::Try(arguments) => arguments.flags(),
            Self::Serve(arguments) => arguments.flags(),
            Self::Agent(arguments) => arguments.flags(),
            _ => Flags::new(),
        }
    }

    /// Worker threads: few, because each costs memory and the backend's heavy work has threads of its own.
    fn threads(&self) -> usize {
        const BACKEND: usize = 4;
        match self {
            Self::Up(_) | Self::Serve(_) | Self::Try(_) => {
                std::thread::available_parallelism().map_or(2, usize::from).clamp(2, BACKEND)
            }
            _ => 2,
        }
    }

    async fn run(self, context: &Context) -> Result<Exit> {
        match self {
            Self::Up(arguments) => commands::up::run(arguments, context).await,
            Self::Try(arguments) => commands::trial::run(arguments, context).await,
            Self::Serve(arguments) => commands::serve::run(arguments, context).await,
            Self::Agent(arguments) => commands::agent::run(arguments, context).await,
            Self::Run(arguments) => commands::run::run(arguments, context).await,
            Self::Jobs(command) => commands::jobs::run(command, context).await,
            Self::Logs(arguments) => commands::logs::run(arguments, context).await,
            Self::Attach(arguments) => commands::attach::run(arguments, context).await,
            Self::Diff(arguments) => commands::diff::run(arguments, context).await,
            Self::Apply(arguments) => commands::apply::run(arguments, context).await,
            Self::Approvals(arguments) => commands::approvals::run(arguments, context).await,
            Self::Approve(arguments) => commands::approve::run(arguments, context).await,
            Self::Deny(arguments) => commands::deny::run(arguments, context).await,
            Self::Verify(arguments) => commands::verify::run(arguments, context).await,
            Self::Launch(arguments) => commands::launch::run(arguments, context).await,
            Self::Models(command) => commands::models::run(command, context).await,
            Self::Routes(command) => commands::routes::run(command, context).await,
            Self::Targets(arguments) => commands::targets::run(arguments, context).await,
            Self::Calls(command) => commands::calls::run(command, context).await,
            Self::Spend(arguments) => commands::spend::run(arguments, context).await,
            Self::Egress(command) => commands::egress::run(command, context).await,
            Self::Audit(arguments) => commands::audit::run(arguments, context).await,
            Self::Doctor(arguments) => commands::doctor::run(arguments, context).await,
            Self::Token(command) => commands::token::run(command, context).await,
            Self::Config(command) => commands::config::run(command, context),
            Self::Backup(arguments) => commands::backup::run(arguments, context).await,
            Self::Restore(arguments) => commands::restore::run(arguments, context).await,
            Self::Completions(arguments) => commands::completions::run(&arguments, &mut Cli::command()),
            Self::Openapi => context.output.text(&api::openapi_json()).map(|()| Exit::Done),
            Self::Version(arguments) => commands::version::run(arguments, context).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_says_what_it_is_for() {
        fn check(command: &clap::Command) {
            assert!(command.get_about().is_some_and(|about| !about.to_string().is_empty()), "{}", command.get_name());
            for argument in command.get_arguments().filter(|argument| !argument.is_hide_set()) {
                // The name and the possible values of a shell say it all.
                let says = argument.get_help().is_some() || argument.get_id() == "shell";
                assert!(says, "{} {}", command.get_name(), argument.get_id());
            }
            command.get_subcommands().for_each(check);
        }
        check(&Cli::command());
    }

    /// What people read first. A change here is a change of what users were promised.
    #[test]
    fn the_help_reads_like_this() {
        fn write(command: &mut clap::Command, path: &str, text: &mut String) {
            use std::fmt::Write;
            let path = format!("{path}{}", command.get_name());
            let _ = writeln!(text, "$ {path} --help\n{}", command.render_long_help());
            for subcommand in command.get_subcommands_mut().filter(|subcommand| !subcommand.is_hide_set()) {
                write(subcommand, &format!("{path} "), text);
            }
        }
        // Global options are shown once, at the top: unbuilt subcommands do not have them yet.
        let mut text = String::new();
        write(&mut Cli::command().term_width(100), "", &mut text);
        insta::assert_snapshot!(text);
    }
}
