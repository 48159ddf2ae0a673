//! How to work with a model, for people.

use crate::output::{Table, one_line};
use client::Client;
use protocol::{Egress, ExamOutcome, ExamQuestion, FoundModelProfile, KnownBy, ModelProfile, ProfileSource};

/// Enough of a digest to tell files apart.
const DIGEST_CHARACTERS: usize = 12;

/// What is known of a model; `None` where nothing is, or the backend does not say.
pub async fn found(client: &Client, model: &str, egress: Egress) -> Option<FoundModelProfile> {
    client.model_profile(model, egress).await.ok()
}

/// In a word or two, for a column: how it calls, and who decides. With a star what an exam found.
pub fn short(profile: Option<&ModelProfile>) -> String {
    let Some(profile) = profile else { return "-".to_owned() };
    let star = if profile.source == ProfileSource::Exam { "*" } else { "" };
    format!("{} {}{star}", profile.calls.as_str(), profile.mode.as_str())
}

/// Everything, a line each.
pub fn table(found: &FoundModelProfile) -> Table {
    let FoundModelProfile { profile, exam, .. } = found;
    let mut table = Table::new(["PROFILE", ""]);
    let mut row = |name: &str, value: String| table.row([name.to_owned(), value]);
    row("known from", known_from(found));
    if let Some(family) = &profile.family {
        row("family", family.clone());
    }
    row("calls", profile.calls.as_str().to_owned());
    row("edits", profile.edits.as_str().to_owned());
    row("mode", profile.mode.as_str().to_owned());
    row(
        "answer",
        profile
            .answer_tokens
            .map_or_else(|| "as long as its context allows".into(), |most| format!("at most {most} tokens")),
    );
    row(
        "temperature",
        profile.temperature.map_or_else(|| "the agent's own".into(), |temperature| temperature.to_string()),
    );
    let Some(exam) = exam else { return table };
    let rate = |rate: Option<f64>| rate.map_or_else(|| "unknown".to_owned(), |rate| format!("{rate:.1}"));
    let (reads, writes) = (rate(exam.input_tokens_per_second), rate(exam.output_tokens_per_second));
    row("speed", format!("reads {reads} tokens/s, writes {writes}"));
    if let Some(kept) = exam.kept_tokens {
        row("keeps a fact", format!("in {kept} tokens"));
    }
    for outcome in [ExamOutcome::Passed, ExamOutcome::Failed, ExamOutcome::Skipped] {
        let of = |question: &ExamQuestion| exam.outcome(*question) == outcome;
        let names: Vec<_> = ExamQuestion::ALL.into_iter().filter(of).map(ExamQuestion::describe).collect();
        if !names.is_empty() {
            row(outcome.as_str(), names.join("; "));
        }
    }
    table
}

fn known_from(found: &FoundModelProfile) -> String {
    let version = found.exam.as_ref().map_or(0, |exam| exam.version);
    let exam = match found.profile.examined_at {
        Some(at) => format!("an exam of {at}, version {version}"),
        None => format!("an exam that is not kept, version {version}"),
    };
    match (found.known_by, &found.digest) {
        (KnownBy::Family, _) => "its family; `devmesh models test` examines the model itself".to_owned(),
        (KnownBy::Digest, Some(digest)) => {
            let hex = digest.trim_start_matches("sha256:");
            format!(
                "{exam}, of the weights {}",
                one_line(hex.get(..DIGEST_CHARACTERS).unwrap_or(hex), DIGEST_CHARACTERS)
            )
        }
        (KnownBy::Digest | KnownBy::Name, _) => {
            format!("{exam}, of whatever had this name then: its provider tells no digest")
        }
    }
}
