//! What makes an answer whole, and what is only noise on its way.

use crate::stage::{Answer, CALLERS, Ends, Stage, own_wire, question, says_done, streamed, unstreamed};
use protocol::ModelCallState;
use router::dialect::Dialect;
use testkit::{FaultyModel, Reply, Wire};

const WHOLE: &str = "one two three four";
/// They say why the model stopped before their last word.
const TELL_WHY: [Wire; 2] = [Wire::OpenAiChat, Wire::Anthropic];
const BEGUN: &str = "one two ";

/// One target with one answer, asked in a dialect.
async fn alone(wire: Wire, reply: &Reply, dialect: Dialect, stream: bool) -> (Answer, ModelCallState, usize) {
    let model = FaultyModel::start(wire).await.then(reply.clone());
    let stage = Stage::over(&[&model]).await;
    let answer = stage.ask(dialect, &question(dialect, stream), &[]).await;
    let state = stage.record(&answer).await.state;
    (answer, state, model.received().len())
}

/// Every line that looks like a frame can be read as one.
fn is_sound(answer: &Answer) -> bool {
    let lines = answer.body.lines().map(|line| line.strip_prefix("data: ").unwrap_or(line));
    lines.filter(|line| line.starts_with('{')).count() == answer.frames().len()
}

#[tokio::test(start_paused = true)]
async fn one_unreadable_frame_passes_on_where_bytes_pass_and_fails_the_answer_elsewhere() {
    for wire in Wire::ALL {
        for dialect in CALLERS {
            for tokens in [0, 2, 4] {
                let (answer, state, asked) =
                    alone(wire, &Reply::text(WHOLE).garbage_after(tokens), dialect, true).await;
                let what = format!("{dialect:?} over {wire:?} after {tokens}: {}", answer.body);
                if own_wire(dialect) == wire {
                    assert_eq!((answer.said().as_str(), answer.ends()), (WHOLE, Ends::of_a_whole(dialect)), "{what}");
                    assert!(!is_sound(&answer), "nothing is left out: {what}");
                    assert_eq!((state, asked), (ModelCallState::Succeeded, 1), "{what}");
                } else {
                    let begins = answer.status >= 500 || WHOLE.starts_with(answer.said().as_str());
                    assert!(begins && is_sound(&answer), "{what}");
                    assert_ne!(answer.ends(), Ends::of_a_whole(dialect), "{what}");
                    assert_eq!(state, ModelCallState::Failed, "{what}");
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_unreadable_to_its_end_is_no_answer() {
    for wire in Wire::ALL {
        for dialect in CALLERS {
            let reply = Reply::text(WHOLE).garbage_after(2).cut_after(2);
            let (answer, state, _) = alone(wire, &reply, dialect, true).await;
            let what = format!("{dialect:?} over {wire:?}: {}", answer.body);
            assert_eq!((answer.said().as_str(), answer.ends()), (BEGUN, Ends::of_a_failed(dialect)), "{what}");
            assert_eq!(state, ModelCallState::Failed, "{what}");
            let (answer, ..) = alone(wire, &Reply::text(WHOLE).garbage_after(2), dialect, false).await;
            // Where the body passes unread by anybody else it is half of one; a stream behind it is sound.
            assert!(answer.status >= 500 || answer.said() == WHOLE, "{what} {answer:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn all_words_without_the_word_that_ends_them_are_a_cut_answer() {
    for wire in Wire::ALL {
        let mut endless = vec![Reply::text(WHOLE).cut_after(99)];
        if !TELL_WHY.contains(&wire) {
            endless.push(Reply::text(WHOLE).without_done());
        }
        for reply in endless {
            for dialect in CALLERS {
                let (answer, state, _) = alone(wire, &reply, dialect, true).await;
                let what = format!("{dialect:?} over {wire:?}, {reply:?}: {}", answer.body);
                assert_eq!((answer.said().as_str(), answer.ends()), (WHOLE, Ends::of_a_failed(dialect)), "{what}");
                assert_eq!(state, ModelCallState::Failed, "{what}");
                let (answer, ..) = alone(wire, &reply, dialect, false).await;
                assert!(answer.status >= 500 && !answer.body.contains("three"), "{what} {answer:?}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_reason_to_end_is_an_end_and_the_caller_gets_its_last_word() {
    for wire in TELL_WHY {
        for dialect in CALLERS {
            let reply = Reply::text(WHOLE).without_done();
            let (answer, _, asked) = alone(wire, &reply, dialect, true).await;
            let what = format!("{dialect:?} over {wire:?}: {}", answer.body);
            assert_eq!((answer.said().as_str(), asked), (WHOLE, 1), "{what}");
            assert_eq!(answer.ends(), Ends::of_a_whole(dialect), "{what}");
            assert!(!says_done(dialect) || answer.body.ends_with("data: [DONE]\n\n"), "{what}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_in_the_middle_is_told_as_one() {
    for wire in Wire::ALL {
        for dialect in CALLERS {
            let reply = Reply::text(WHOLE).error_after(2, "out of memory");
            let (answer, state, _) = alone(wire, &reply, dialect, true).await;
            let what = format!("{dialect:?} over {wire:?}: {}", answer.body);
            assert_eq!((answer.said().as_str(), answer.ends()), (BEGUN, Ends::of_a_failed(dialect)), "{what}");
            assert!(answer.body.contains("out of memory"), "{what}");
            assert_eq!(state, ModelCallState::Failed, "{what}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_page_for_people_is_no_answer_whatever_stands_in_it() {
    for wire in Wire::ALL {
        for dialect in CALLERS {
            for body in [streamed(dialect), unstreamed(dialect)] {
                let page = FaultyModel::start(wire).await.then(Reply::text("Log in.").wrong_content_type());
                let stage = Stage::over(&[&page]).await;
                let answer = stage.ask(dialect, &body, &[]).await;
                assert!(answer.status >= 500, "{dialect:?} over {wire:?}: {answer:?}");
                assert!(answer.error().contains("text/html"), "{dialect:?} over {wire:?}: {answer:?}");
            }
        }
    }
}
