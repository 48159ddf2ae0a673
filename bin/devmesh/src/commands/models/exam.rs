//! `devmesh models test`: the agent's exam, and what it found kept by the backend.

use super::profile;
use crate::{
    context::Context,
    output::{BAD, CAREFUL, Exit, Failure, GOOD, Output, Result, Stages, Table, duration_ms, one_line, styled},
    wiring::Signals,
};
use agent::exam::{self, Progress};
use client::Client;
use protocol::{Egress, ExamAnswer, ExamOutcome, FoundModelProfile, KnownBy, Model, PutModelProfile};

/// Characters of why a question came out as it did.
const WHY: usize = 160;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "The exam asks eight small questions through the model's route, as an agent would: some five minutes for a small model on a small machine, seconds on a large one. What it finds is kept by the weights' digest and says from then on how agents work with the model. Ctrl-C stops it and keeps nothing."
)]
pub struct Arguments {
    /// Which one: provider/model, or a route, whose first model is meant
    model: String,
    /// Show what is found and keep nothing
    #[arg(long)]
    dry_run: bool,
    /// A model in the cloud too: it costs a few thousand tokens
    #[arg(long)]
    allow_cloud: bool,
}

pub async fn run(arguments: Arguments, context: &Context) -> Result<Exit> {
    let output = context.output;
    let client = context.client()?;
    let egress = if arguments.allow_cloud { Egress::Allowed } else { Egress::LocalOnly };
    let model = first(&client, &arguments.model, egress).await?;
    output.say(format_args!("examining {}: Ctrl-C stops, and keeps nothing", one_line(&model.id, 128)));
    let mut signals = Signals::catch()?;
    let mut stages = Stages::new(output);
    let mut told = Ok(());
    let tell = |progress: Progress<'_>| match progress {
        Progress::Asking(question) => stages.at(question.describe(), None, None),
        Progress::Answered(answer) => {
            stages.finish();
            if !output.json && told.is_ok() {
                told = line(output, answer);
            }
        }
    };
    let taken = tokio::select! {
        taken = exam::take(&client, &model, egress, tell) => Some(taken),
        () = signals.next() => None,
    };
    stages.finish();
    let Some(exam) = taken else { return Ok(Exit::Interrupted) };
    told?;
    let exam = exam.map_err(failure)?;
    let assumed = client.route(&model.id, egress).await.ok().and_then(|route| route.targets.into_iter().next());
    let assumed = assumed.and_then(|model| model.profile);
    let found = exam::profile(&exam, assumed.as_ref());
    let put = PutModelProfile { digest: model.digest.clone(), profile: found, exam };
    let shown = match arguments.dry_run {
        true => FoundModelProfile {
            model: model.id.clone(),
            known_by: if model.digest.is_some() { KnownBy::Digest } else { KnownBy::Name },
            digest: put.digest,
            profile: put.profile,
            exam: Some(put.exam),
        },
        false => client.put_model_profile(&model.id, egress, &put).await?,
    };
    if output.json {
        output.json(&shown)?;
        return Ok(Exit::Done);
    }
    output.line("")?;
    let mut table = Table::new(["FOUND", ""]);
    profile::rows(&shown).into_iter().for_each(|(name, value)| table.row([name.to_owned(), value]));
    output.table(table)?;
    match arguments.dry_run {
        true => output.say("nothing was kept"),
        false => output.next(format_args!("devmesh run --model {} \"TASK\"", model.id)),
    }
    Ok(Exit::Done)
}

/// Where a name leads first.
async fn first(client: &Client, name: &str, egress: Egress) -> Result<Model> {
    let targets = client.route(name, egress).await?.targets;
    targets.into_iter().next().ok_or_else(|| {
        Failure::new(Exit::NotFound, format!("`{name}` leads to no model now")).next("devmesh models list")
    })
}

fn line(output: Output, answer: &ExamAnswer) -> Result<()> {
    let style = match answer.outcome {
        ExamOutcome::Passed => GOOD,
        ExamOutcome::Failed => BAD,
        ExamOutcome::Skipped => CAREFUL,
    };
    let (why, took) = (one_line(&answer.why, WHY), duration_ms(answer.ms));
    let what = answer.question.describe();
    let outcome = answer.outcome.as_str();
    match output.stdout_is_terminal {
        true => output.line(format_args!("{} {what} ({took}): {why}", styled(style, format_args!("{outcome:<7}")))),
        false => output.line(format_args!("{outcome}\t{what}\t{took}\t{why}")),
    }
}

fn failure(error: exam::Error) -> Failure {
    match error {
        exam::Error::Client(error) => error.into(),
        exam::Error::Desk(_) => Failure::failed(error.to_string()).next("set TMPDIR to a folder with room"),
        exam::Error::NotAsked { .. } | exam::Error::NeverAnswered { .. } => {
            Failure::failed(error.to_string()).next("devmesh doctor")
        }
    }
}
