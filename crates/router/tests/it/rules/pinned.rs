//! A target that names its content is that content, or nobody takes it for that.

use crate::stage::{CHAIN, MODEL, Stage, mounted, unstreamed};
use protocol::Location;
use router::{Drift, dialect::Dialect};
use testkit::{FaultyModel, Reply, ServedModel, Wire};

const CHAT: Dialect = Dialect::OpenAiChat;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Outcome {
    Answers,
    AnswersWithANotice,
    GoesOn,
}

#[tokio::test]
async fn what_became_another_model_is_left_out_or_told_as_the_route_says() {
    let (same, other) = ("ab".repeat(32), "cd".repeat(32));
    let cases = [
        (Wire::Ollama, &same, Drift::Refuse, Outcome::Answers),
        (Wire::Ollama, &same, Drift::Flag, Outcome::Answers),
        (Wire::Ollama, &other, Drift::Refuse, Outcome::GoesOn),
        (Wire::Ollama, &other, Drift::Flag, Outcome::AnswersWithANotice),
        // It does not tell what its models are.
        (Wire::OpenAiChat, &same, Drift::Refuse, Outcome::GoesOn),
        (Wire::OpenAiChat, &same, Drift::Flag, Outcome::AnswersWithANotice),
    ];
    for (wire, pinned, drift, outcome) in cases {
        let mut model = ServedModel::new(MODEL);
        model.digest.clone_from(&same);
        let a = FaultyModel::serve(wire, [model]).await.then(Reply::text("From a."));
        let b = FaultyModel::start(Wire::OpenAiChat).await.then(Reply::text("From b."));
        let providers = vec![
            mounted("a", wire, &a.base_url(), Location::Local),
            mounted("b", Wire::OpenAiChat, &b.base_url(), Location::Local),
        ];
        let pin = |options: &mut router::Options| {
            options.routes[0].targets[0].digest = Some(pinned.clone());
            options.routes[0].policy.drift = drift;
        };
        let stage = Stage::of(providers, pin).await;
        let answer = stage.ask(CHAT, &unstreamed(CHAT), &[]).await;
        let case = format!("{wire:?} {drift:?}: {answer:?}");
        let expected = if outcome == Outcome::GoesOn { "From b." } else { "From a." };
        assert_eq!(answer.said(), expected, "{case}");
        let notice = answer.header("x-devmesh-notice").is_some_and(|notice| notice.contains("pins"));
        assert_eq!(notice, outcome == Outcome::AnswersWithANotice, "{case}");
        if wire == Wire::Ollama && outcome == Outcome::Answers {
            assert_eq!(answer.header("x-devmesh-digest"), Some(same.as_str()), "{case}");
            assert_eq!(stage.record(&answer).await.digest, Some(same.clone()), "{case}");
        }
        let record = stage.record(&answer).await;
        let left_out = record.candidates.iter().any(|left| !left.kept && left.why.contains("the route pins"));
        assert_eq!(left_out, outcome == Outcome::GoesOn, "{case}: {record:?}");
    }
}

#[tokio::test]
async fn a_route_whose_only_target_drifted_says_what_is_there_and_what_was_pinned() {
    let mut model = ServedModel::new(MODEL);
    model.digest = "ab".repeat(32);
    let a = FaultyModel::serve(Wire::Ollama, [model]).await;
    let pin = |options: &mut router::Options| options.routes[0].targets[0].digest = Some("cd".repeat(32));
    let stage = Stage::with(&[&a], pin).await;
    let refused = stage.ask(CHAT, &unstreamed(CHAT), &[]).await;
    assert_eq!((refused.status, a.received().len()), (503, 0), "{refused:?}");
    let told = refused.error();
    assert!(told.contains(CHAIN) && told.contains("abababababab") && told.contains("cdcdcdcdcdcd"), "{told}");
}
