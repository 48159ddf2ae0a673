//! `devmesh doctor`: a row per check, with evidence and the command that mends it.

mod backend;
mod configuration;
mod content;
mod data_folder;
mod machine;
mod models;

use crate::{
    context::Context,
    output::{BAD, CAREFUL, Exit, FAINT, GOOD, Result, one_line, styled},
};
use serde::Serialize;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Also read all stored content, and let the embedded model answer with one token
    #[arg(long)]
    deep: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Good,
    /// It works, with less than there could be.
    Careful,
    /// Something people need does not work.
    Bad,
}

#[derive(Clone, Debug, Serialize)]
struct Finding {
    check: &'static str,
    verdict: Verdict,
    /// What was seen.
    evidence: String,
    /// The command that mends it.
    #[serde(skip_serializing_if = "Option::is_none")]
    mend: Option<String>,
}

impl Finding {
    fn good(check: &'static str, evidence: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Good, evidence: evidence.into(), mend: None }
    }

    fn careful(check: &'static str, evidence: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Careful, evidence: evidence.into(), mend: Some(mend.into()) }
    }

    fn bad(check: &'static str, evidence: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Bad, evidence: evidence.into(), mend: Some(mend.into()) }
    }
}

pub async fn run(arguments: Arguments, context: &Context) -> Result<Exit> {
    let mut findings = Vec::new();
    findings.push(machine::processor());
    findings.push(machine::program("git", &["--version"], "install git: agents and apply need it").await);
    findings.push(
        machine::program(
            "python3",
            &["-m", "pip", "--version"],
            "install Python 3 with pip: models are fetched with it",
        )
        .await,
    );
    findings.extend(machine::sandbox(context).await);
    findings.extend(data_folder::check(context));
    let (found, answers) = backend::check(context, arguments.deep).await;
    findings.extend(found);
    if answers {
        findings.extend(configuration::check(context));
    } else {
        findings.extend(content::of_folder(context, arguments.deep));
        findings.push(backend::port(context).await);
    }
    findings.extend(models::check(context, arguments.deep).await);
    findings.push(models::ollama(context).await);
    findings.extend(models::cloud(context));
    report(context, &findings)
}

fn report(context: &Context, findings: &[Finding]) -> Result<Exit> {
    let output = &context.output;
    for finding in findings {
        if output.json {
            output.json(finding)?;
            continue;
        }
        let Finding { check, verdict, evidence, mend } = finding;
        let (word, style) = match verdict {
            Verdict::Good => ("good", GOOD),
            Verdict::Careful => ("note", CAREFUL),
            Verdict::Bad => ("bad", BAD),
        };
        let evidence = one_line(evidence, 400);
        if output.stdout_is_terminal {
            output.line(format_args!("{} {check:<18} {evidence}", styled(style, format_args!("{word:<4}"))))?;
            if let Some(mend) = mend {
                output.line(format_args!("{FAINT}{:<23} mend: {mend}{FAINT:#}", ""))?;
            }
        } else {
            output.line(format_args!("{word}\t{check}\t{evidence}\t{}", mend.as_deref().unwrap_or_default()))?;
        }
    }
    let bad = findings.iter().filter(|finding| finding.verdict == Verdict::Bad).count();
    if bad > 0 {
        output.say(format_args!("{bad} of {} checks found something that does not work", findings.len()));
        return Ok(Exit::Failed);
    }
    output.next("devmesh try");
    Ok(Exit::Done)
}
