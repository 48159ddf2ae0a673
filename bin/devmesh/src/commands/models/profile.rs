//! How to work with a model, for people.

use crate::{context::Context, output::one_line};
use protocol::{Egress, ExamOutcome, ExamQuestion, FoundModelProfile, KnownBy, ModelProfile, ProfileSource};

/// Enough of a digest to tell files apart.
const DIGEST_CHARACTERS: usize = 12;

/// What the backend knows of how to work with a model; `None` where it knows nothing, or none answers. No cloud is asked.
pub async fn found(context: &Context, model: &str) -> Option<FoundModelProfile> {
    context.client().ok()?.model_profile(model, Egress::LocalOnly).await.ok()
}

/// In a word or two, for a column: how it calls, and who decides. With a star what an exam found.
pub fn short(profile: Option<&ModelProfile>) -> String {
    let Some(profile) = profile else { return "-".to_owned() };
    let star = if profile.source == ProfileSource::Exam { "*" } else { "" };
    format!("{} {}{star}", profile.calls.as_str(), profile.mode.as_str())
}

/// Everything, name and value of each row.
pub fn rows(found: &FoundModelProfile) -> Vec<(&'static str, String)> {
    let FoundModelProfile { profile, exam, .. } = found;
    let most = |tokens| format!("at most {tokens} tokens");
    let mut rows = vec![
        ("profile", known_from(found)),
        ("calls", profile.calls.as_str().to_owned()),
        ("edits", profile.edits.as_str().to_owned()),
        ("mode", profile.mode.as_str().to_owned()),
        ("answer", profile.answer_tokens.map_or_else(|| "as long as its context allows".to_owned(), most)),
        ("temperature", profile.temperature.map_or_else(|| "the agent's own".to_owned(), |own| own.to_string())),
    ];
    rows.extend(profile.family.clone().map(|family| ("family", family)));
    let Some(exam) = exam else { return rows };
    let rate = |rate: Option<f64>| rate.map_or_else(|| "unknown".to_owned(), |rate| format!("{rate:.1}"));
    let (reads, writes) = (rate(exam.input_tokens_per_second), rate(exam.output_tokens_per_second));
    rows.push(("speed", format!("reads {reads} tokens/s, writes {writes}")));
    rows.extend(exam.kept_tokens.map(|kept| ("kept a fact", format!("in {kept} tokens"))));
    for outcome in [ExamOutcome::Passed, ExamOutcome::Failed, ExamOutcome::Skipped] {
        let of = |question: &ExamQuestion| exam.outcome(*question) == outcome;
        let names: Vec<_> = ExamQuestion::ALL.into_iter().filter(of).map(ExamQuestion::describe).collect();
        if !names.is_empty() {
            rows.push((outcome.as_str(), names.join("; ")));
        }
    }
    rows
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
