//! A short exam of a model: how it calls tools, which edit forms it keeps, whether it can be left to itself.
//!
//! ```text
//!   for each question: files on a desk ─▶ prompt, as an agent builds it ─▶ the model, through its route
//!                                               ▲                              │
//!                                               └── result of the real edit ◀──┴─▶ passed, failed, skipped, and why
//!   all answers ─▶ findings: a profile
//! ```
//! Prompts, readers and edits are those of a job, so what passes here is what will work there. The questions are small: a
//! model of 1.5B parameters on two cores is through in some five minutes. Nothing is left to chance that can be helped:
//! models at home answer at temperature 0 with one seed.
//!
//! - `paper` has the files and the tasks, `questions` puts them and judges, `desk` holds the files, `asker` calls the model
//!   and counts time, `context` asks about long prompts, `findings` is the rule from answers to a profile.

mod asker;
mod context;
mod desk;
mod findings;
mod paper;
mod questions;

pub use findings::profile;

use asker::{Asker, Trouble};
use client::Client;
use protocol::{Egress, Exam, ExamAnswer, ExamOutcome, ExamQuestion, Model};
use std::time::Duration;
use tokio::time::Instant;

/// Of the questions and of how they are judged. Whoever changes what an answer counts as raises it.
pub const VERSION: u32 = 1;
/// Longest exam: three times what a small model on two idle cores takes. What is not asked by then is skipped.
const EXAM_TAKES: Duration = Duration::from_secs(900);

/// Why there is no exam. What a model gets wrong is an answer, and none of these.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Try again later, or mend its provider.
    #[error("{model} cannot be asked now: {message}")]
    NotAsked { model: String, message: String },
    /// Look at its provider.
    #[error("{model} gave no whole answer to any question; the last one: {why}")]
    NeverAnswered { model: String, why: String },
    #[error(transparent)]
    Client(#[from] client::Error),
    /// Make room, or set TMPDIR.
    #[error("the files of a question cannot be written: {0}")]
    Desk(#[from] std::io::Error),
}

/// How far it is.
#[derive(Clone, Copy, Debug)]
pub enum Progress<'a> {
    Asking(ExamQuestion),
    Answered(&'a ExamAnswer),
}

/// What became of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Verdict {
    outcome: ExamOutcome,
    why: String,
}

impl Verdict {
    fn passed(why: impl Into<String>) -> Self {
        Self { outcome: ExamOutcome::Passed, why: why.into() }
    }

    fn failed(why: impl Into<String>) -> Self {
        Self { outcome: ExamOutcome::Failed, why: why.into() }
    }

    fn skipped(why: impl Into<String>) -> Self {
        Self { outcome: ExamOutcome::Skipped, why: why.into() }
    }
}

/// Asks every question once and tells of each as it goes. Dropping the future stops it, and the call under way with it.
pub async fn take(
    client: &Client,
    model: &Model,
    egress: Egress,
    mut tell: impl FnMut(Progress<'_>),
) -> Result<Exam, Error> {
    let started = Instant::now();
    let mut asker = Asker::new(client, model, egress, started + EXAM_TAKES);
    let mut answers = Vec::new();
    for question in ExamQuestion::ALL {
        tell(Progress::Asking(question));
        let asked_at = Instant::now();
        let verdict = match questions::ask(question, &mut asker).await {
            Ok(verdict) | Err(Trouble::Question(verdict)) => verdict,
            Err(Trouble::Exam(error)) => return Err(error),
        };
        let answer = ExamAnswer { question, outcome: verdict.outcome, why: verdict.why, ms: millis(asked_at) };
        tell(Progress::Answered(&answer));
        answers.push(answer);
    }
    if asker.answered() == 0 {
        let why = answers.pop().map(|answer| answer.why).unwrap_or_default();
        return Err(Error::NeverAnswered { model: model.id.clone(), why });
    }
    Ok(Exam {
        version: VERSION,
        answers,
        cut_answers: asker.cut_answers(),
        kept_tokens: asker.kept_tokens,
        input_tokens_per_second: asker.reads_per_second().map(rounded),
        output_tokens_per_second: asker.writes_per_second().map(rounded),
        total_ms: millis(started),
    })
}

fn millis(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// To a tenth: more is noise.
fn rounded(rate: f64) -> f64 {
    (rate * 10.).round() / 10.
}
