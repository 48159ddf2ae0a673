//! Tests of what is known of the model that will answer.

use super::*;
use protocol::{ModelProfile, ProfileSource};

fn model(location: Location, native_tools: bool, grammar: bool, available: bool) -> Model {
    Model { context_tokens: Some(4_096), native_tools, grammar, available, ..Model::new("p", "m", location) }
}

fn profile(targets: Vec<Model>, egress: Egress) -> Option<Profile> {
    Profile::of(&Route { name: "default".into(), targets, why: None }, egress, None)
}

#[test]
fn the_profile_is_of_the_model_that_will_answer() {
    let cloud = model(Location::Cloud, true, false, true);
    let held = model(Location::Local, false, true, true);
    let absent = model(Location::Local, true, false, false);
    let dialect = |targets, egress| profile(targets, egress).map(|profile| (profile.dialect, profile.grammar));
    assert_eq!(dialect(vec![cloud.clone(), held.clone()], Egress::LocalOnly), Some((Dialect::Text, true)));
    assert_eq!(dialect(vec![cloud.clone(), held.clone()], Egress::Allowed), Some((Dialect::Native, false)));
    assert_eq!(dialect(vec![absent.clone(), held.clone()], Egress::LocalOnly), Some((Dialect::Text, true)));
    assert_eq!(dialect(vec![absent], Egress::LocalOnly), Some((Dialect::Native, false)));
    assert_eq!(dialect(vec![cloud.clone()], Egress::LocalOnly), None);
    let temperature = |target| profile(vec![target], Egress::Allowed).and_then(|profile| profile.temperature);
    assert_eq!((temperature(held), temperature(cloud)), (Some(0.2), None));
}

#[test]
fn what_was_found_out_goes_before_what_is_assumed() {
    let found = |calls| ModelProfile {
        source: ProfileSource::Exam,
        family: None,
        calls,
        edits: EditForm::Blocks,
        mode: WorkMode::Guided,
        answer_tokens: Some(512),
        temperature: Some(0.7),
        examined_at: None,
    };
    let with = |location, native_tools, calls| {
        let model = Model { profile: Some(found(calls)), ..model(location, native_tools, true, true) };
        profile(vec![model], Egress::Allowed).unwrap()
    };
    let text = with(Location::Local, true, Calls::Text);
    assert_eq!((text.dialect, text.grammar), (Dialect::Text, true), "it does not call tools, whatever is said of it");
    assert_eq!((text.mode, text.edits), (Some(WorkMode::Guided), Some(EditForm::Blocks)));
    assert_eq!((text.temperature, text.answer_tokens()), (Some(0.7), 512));
    assert_eq!(with(Location::Local, true, Calls::Native).dialect, Dialect::Native);
    assert_eq!(with(Location::Local, false, Calls::Native).dialect, Dialect::Text, "its provider carries no tools");
    assert_eq!(with(Location::Cloud, true, Calls::Native).temperature, None);
}

#[test]
fn answers_get_shorter_before_a_conversation_is_cut() {
    let profile = profile(vec![model(Location::Local, false, true, true)], Egress::LocalOnly).unwrap();
    assert_eq!(profile.prompt_tokens(), Some(3_072));
    let after = [0, 2_000, 2_500, 3_072, 4_000].map(|prompt| profile.answer_tokens_after(prompt));
    assert_eq!(after, [2_048, 2_048, 1_596, 1_024, 1_024]);
}

#[test]
fn a_text_that_can_never_fit_is_refused_with_the_figures() {
    let target = Model { context_tokens: Some(2_048), ..model(Location::Local, false, false, true) };
    let small = profile(vec![target], Egress::LocalOnly).unwrap();
    assert_eq!(small.check_fits("the task", &"word ".repeat(1_000)), Ok(()));
    let Err(Halt::Failed { message, .. }) = small.check_fits("the task", &"x".repeat(2 << 20)) else {
        panic!("2 MiB do not fit 2,048 tokens")
    };
    assert!(message.contains("2097152 bytes, at least 262144 tokens"), "{message}");
    assert!(message.contains("context holds 2048 tokens"), "{message}");
}
