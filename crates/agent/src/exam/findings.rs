//! From answers to a profile. Where the exam tells nothing, what is known of the family holds.

use protocol::{Calls, EditForm, Exam, ExamOutcome, ExamQuestion, ModelProfile, ProfileSource, WorkMode};

/// How long one answer may take at the model's own pace, in seconds: three minutes of waiting are enough to doubt it.
const ANSWER_SECONDS: f64 = 180.;
/// Shortest and longest limit of an answer, in tokens: one step with a file of some 100 lines, and one of some 600.
const LEAST_ANSWER_TOKENS: f64 = 1_024.;
const MOST_ANSWER_TOKENS: f64 = 8_192.;
/// For a model that did not come to an end: where it goes on without need, that is what it costs.
const CUT_ANSWER_TOKENS: u32 = 2_048;

/// How to work with a model that answered like this. `assumed` is what was known of it before: of its family.
pub fn profile(exam: &Exam, assumed: Option<&ModelProfile>) -> ModelProfile {
    ModelProfile {
        source: ProfileSource::Exam,
        family: assumed.and_then(|assumed| assumed.family.clone()),
        calls: calls(exam),
        edits: edits(exam, assumed),
        mode: mode(exam, assumed),
        answer_tokens: answer_tokens(exam, assumed),
        temperature: temperature(exam, assumed),
        examined_at: None,
    }
}

/// Tools are given only to who was seen to call them.
fn calls(exam: &Exam) -> Calls {
    match exam.outcome(ExamQuestion::NativeCall) {
        ExamOutcome::Passed => Calls::Native,
        ExamOutcome::Failed | ExamOutcome::Skipped => Calls::Text,
    }
}

/// The first form it kept. Who kept none has the least to get wrong with a whole file.
fn edits(exam: &Exam, assumed: Option<&ModelProfile>) -> EditForm {
    const FORMS: [(ExamQuestion, EditForm); 3] = [
        (ExamQuestion::EditTool, EditForm::Tool),
        (ExamQuestion::EditBlocks, EditForm::Blocks),
        (ExamQuestion::WholeFile, EditForm::WholeFile),
    ];
    let with = |outcome| FORMS.iter().find(|(question, _)| exam.outcome(*question) == outcome);
    match (with(ExamOutcome::Passed), with(ExamOutcome::Failed), assumed) {
        (Some((_, form)), ..) => *form,
        (None, None, Some(assumed)) => assumed.edits,
        _ => EditForm::WholeFile,
    }
}

/// Left to itself only who followed two files and came to an end.
fn mode(exam: &Exam, assumed: Option<&ModelProfile>) -> WorkMode {
    let outcomes = [ExamQuestion::TwoFiles, ExamQuestion::Stops].map(|question| exam.outcome(question));
    if outcomes.contains(&ExamOutcome::Failed) {
        return WorkMode::Guided;
    }
    match outcomes.contains(&ExamOutcome::Skipped) {
        true => assumed.map_or(WorkMode::Guided, |assumed| assumed.mode),
        false => WorkMode::Free,
    }
}

fn answer_tokens(exam: &Exam, assumed: Option<&ModelProfile>) -> Option<u32> {
    let of_pace = exam.output_tokens_per_second.map(|rate| (rate * ANSWER_SECONDS).max(LEAST_ANSWER_TOKENS));
    let of_pace = of_pace.filter(|tokens| *tokens < MOST_ANSWER_TOKENS).map(|tokens| tokens as u32);
    let of_cut = (exam.cut_answers > 0).then_some(CUT_ANSWER_TOKENS);
    let found = of_pace.into_iter().chain(of_cut).min();
    found.or_else(|| assumed.and_then(|assumed| assumed.answer_tokens))
}

/// What the vendor recommends. Where nobody does, the likeliest words, if the exam showed that they come to an end.
fn temperature(exam: &Exam, assumed: Option<&ModelProfile>) -> Option<f32> {
    let recommended = assumed.and_then(|assumed| assumed.temperature);
    recommended.or_else(|| (exam.cut_answers == 0).then_some(0.))
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::ExamAnswer;

    /// With every question that is not named passed.
    fn exam(other: &[(ExamQuestion, ExamOutcome)]) -> Exam {
        let answer = |question| ExamAnswer {
            question,
            outcome: other.iter().find(|(of, _)| *of == question).map_or(ExamOutcome::Passed, |(_, outcome)| *outcome),
            why: String::new(),
            ms: 1,
        };
        Exam {
            version: 1,
            answers: ExamQuestion::ALL.map(answer).to_vec(),
            cut_answers: 0,
            kept_tokens: None,
            input_tokens_per_second: None,
            output_tokens_per_second: None,
            total_ms: 1,
        }
    }

    fn family() -> ModelProfile {
        ModelProfile {
            source: ProfileSource::Family,
            family: Some("Qwen 3".into()),
            calls: Calls::Native,
            edits: EditForm::Blocks,
            mode: WorkMode::Free,
            answer_tokens: Some(4_000),
            temperature: Some(0.6),
            examined_at: None,
        }
    }

    #[test]
    fn each_finding_follows_from_its_questions() {
        use EditForm::{Blocks, Tool, WholeFile};
        use ExamOutcome::{Failed, Passed, Skipped};
        use ExamQuestion as Q;
        let edits =
            |tool, blocks, whole| [(Q::EditTool, tool), (Q::EditBlocks, blocks), (Q::WholeFile, whole)].to_vec();
        for (other, expected) in [
            (vec![], (Calls::Native, Tool, WorkMode::Free)),
            (vec![(Q::NativeCall, Failed)], (Calls::Text, Tool, WorkMode::Free)),
            (vec![(Q::NativeCall, Skipped)], (Calls::Text, Tool, WorkMode::Free)),
            (edits(Failed, Passed, Passed), (Calls::Native, Blocks, WorkMode::Free)),
            (edits(Failed, Failed, Passed), (Calls::Native, WholeFile, WorkMode::Free)),
            (edits(Failed, Failed, Failed), (Calls::Native, WholeFile, WorkMode::Free)),
            (edits(Skipped, Failed, Skipped), (Calls::Native, WholeFile, WorkMode::Free)),
            (edits(Skipped, Skipped, Skipped), (Calls::Native, WholeFile, WorkMode::Free)),
            (vec![(Q::TwoFiles, Failed)], (Calls::Native, Tool, WorkMode::Guided)),
            (vec![(Q::Stops, Failed)], (Calls::Native, Tool, WorkMode::Guided)),
            (vec![(Q::Stops, Skipped)], (Calls::Native, Tool, WorkMode::Guided)),
            (vec![(Q::Stops, Skipped), (Q::TwoFiles, Failed)], (Calls::Native, Tool, WorkMode::Guided)),
            (vec![(Q::Schema, Failed), (Q::Context, Failed)], (Calls::Native, Tool, WorkMode::Free)),
        ] {
            let found = profile(&exam(&other), None);
            assert_eq!((found.calls, found.edits, found.mode), expected, "{other:?}");
        }
        let nothing = exam(&ExamQuestion::ALL.map(|question| (question, Skipped)));
        let found = profile(&nothing, Some(&family()));
        assert_eq!((found.calls, found.edits, found.mode), (Calls::Text, Blocks, WorkMode::Free), "as the family");
    }

    #[test]
    fn limit_and_temperature_follow_from_pace_and_family() {
        let with = |rate, cut_answers| Exam { output_tokens_per_second: rate, cut_answers, ..exam(&[]) };
        for (exam, assumed, answer_tokens, temperature) in [
            (with(None, 0), None, None, Some(0.)),
            (with(None, 0), Some(family()), Some(4_000), Some(0.6)),
            (with(Some(2.), 0), None, Some(1_024), Some(0.)),
            (with(Some(10.), 0), Some(family()), Some(1_800), Some(0.6)),
            (with(Some(100.), 0), None, None, Some(0.)),
            (with(Some(100.), 1), None, Some(2_048), None),
            (with(Some(10.), 3), None, Some(1_800), None),
        ] {
            let found = profile(&exam, assumed.as_ref());
            assert_eq!((found.answer_tokens, found.temperature), (answer_tokens, temperature), "{exam:?}");
        }
    }
}
