//! No part of an answer is ever told as the whole, wherever its bytes end and however.

use crate::stage::{Answer, CALLERS, Ends, Stage, mounted, question};
use proptest::{prelude::*, sample::select, test_runner::TestCaseError};
use protocol::Location;
use router::{
    Mounted,
    dialect::Dialect,
    providers::ollama::{Ollama, Options},
};
use std::sync::Arc;
use testkit::{Break, FaultyModel, Reply, Wire};

const FIRST: &str = "Grüße an 🌍: one, \"two\" and three.";
const OTHER: &str = "Quite another answer.";

/// An answer whose bytes end too early, and whoever asks for it.
#[derive(Clone, Debug)]
struct Broken {
    wire: Wire,
    dialect: Dialect,
    stream: bool,
    reply: Reply,
}

fn broken() -> impl Strategy<Value = Broken> {
    let reply = || Reply::text(FIRST);
    let how = select(vec![Break::End, Break::Close, Break::Reset]);
    // The ends of an answer hold what says that it is whole.
    let share = prop_oneof![0.0..1.0, 0.8..1.0];
    let reply = prop_oneof![
        2 => (share, how).prop_map(move |(share, how)| reply().broken_at(share, how)),
        // Between two frames nothing but what is missing tells that it is.
        1 => (0..9_usize).prop_map(move |tokens| reply().cut_after(tokens)),
        1 => (0..9_usize).prop_map(move |tokens| reply().reset_after(tokens)),
    ];
    (select(Wire::ALL.to_vec()), select(CALLERS.to_vec()), any::<bool>(), reply)
        .prop_map(|(wire, dialect, stream, reply)| Broken { wire, dialect, stream, reply })
}

/// The target that could go on.
#[derive(Clone, Copy, Debug)]
enum Second {
    /// It says the same.
    Alike(Wire),
    /// It says something else.
    Another(Wire),
    /// It goes on with what was begun, by saying [`OTHER`].
    GoesOn,
}

fn second() -> impl Strategy<Value = Second> {
    let wire = || select(Wire::ALL.to_vec());
    prop_oneof![wire().prop_map(Second::Alike), wire().prop_map(Second::Another), Just(Second::GoesOn)]
}

#[derive(Debug)]
enum Told {
    Whole(String),
    /// With what was said before.
    Failed(String),
}

impl Broken {
    async fn ask(&self, second: Option<Second>) -> Answer {
        let a = FaultyModel::start(self.wire).await.then(self.reply.clone());
        let (wire, said) = match second {
            Some(Second::Alike(wire)) => (wire, FIRST),
            Some(Second::Another(wire)) => (wire, OTHER),
            _ => (Wire::Ollama, OTHER),
        };
        let b = FaultyModel::start(wire).await.then(Reply::text(said));
        let mut providers = vec![mounted("a", self.wire, &a.base_url(), Location::Local)];
        match second {
            None => {}
            Some(Second::GoesOn) => {
                let (name, base_url) = ("b".to_owned(), b.base_url());
                let options = Options { name, base_url, prefill: Some(true), ..Options::default() };
                providers.push(Mounted::new(Arc::new(Ollama::new(options).unwrap()), 4));
            }
            Some(_) => providers.push(mounted("b", wire, &b.base_url(), Location::Local)),
        }
        let stage = Stage::of(providers, |_| ()).await;
        stage.ask(self.dialect, &question(self.dialect, self.stream), &[]).await
    }

    /// What the caller is told: one of the two, once.
    fn told(&self, answer: &Answer) -> Result<Told, TestCaseError> {
        if answer.status != 200 {
            prop_assert!(!answer.error().is_empty());
            return Ok(Told::Failed(String::new()));
        }
        if !self.stream {
            return Ok(Told::Whole(answer.said()));
        }
        let ends = answer.ends();
        if ends == Ends::of_a_whole(self.dialect) {
            return Ok(Told::Whole(answer.said()));
        }
        prop_assert_eq!(ends, Ends::of_a_failed(self.dialect), "{}", &answer.body);
        Ok(Told::Failed(answer.said()))
    }
}

/// Time passes at once when nothing else happens.
fn in_no_time<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap().block_on(test)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 160, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_part_is_never_told_as_the_whole(broken in broken()) {
        let answer = in_no_time(broken.ask(None));
        match broken.told(&answer)? {
            Told::Whole(said) => prop_assert_eq!(said, FIRST),
            Told::Failed(said) => prop_assert!(FIRST.starts_with(&said), "{}", said),
        }
    }

    #[test]
    fn with_another_target_an_answer_is_one_of_those_that_may_be(broken in broken(), second in second()) {
        let answer = in_no_time(broken.ask(Some(second)));
        match (second, broken.told(&answer)?) {
            (_, Told::Whole(said)) if said == FIRST => {}
            (Second::Alike(_), told) => prop_assert!(false, "the same words can always be gone on with: {told:?}"),
            // Nothing of the first answer was passed on.
            (_, Told::Whole(said)) if said == OTHER => {}
            (Second::GoesOn, Told::Whole(said)) => {
                let begun = said.strip_suffix(OTHER).filter(|begun| FIRST.starts_with(begun));
                prop_assert!(begun.is_some() && broken.stream, "{}", said);
            }
            (Second::Another(_), Told::Failed(said)) => {
                prop_assert!(broken.stream && !said.is_empty() && FIRST.starts_with(&said), "{}", said);
            }
            (_, told) => prop_assert!(false, "{told:?}"),
        }
    }
}
