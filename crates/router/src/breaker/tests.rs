use super::*;
use proptest::prelude::*;
use tokio::time::advance;

fn breaker() -> Breaker {
    Breaker::new(Options::default())
}

fn call(breaker: &Breaker, outcome: Outcome) {
    breaker.permit().expect("the breaker lets calls through").end(outcome);
}

fn fail(breaker: &Breaker, times: u32) {
    for _ in 0..times {
        call(breaker, Outcome::Failure);
    }
}

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn failures_in_a_row_open_it_and_a_success_in_between_does_not_let_it_come_to_that() {
    let breaker = breaker();
    fail(&breaker, 4);
    call(&breaker, Outcome::Success);
    fail(&breaker, 4);
    call(&breaker, Outcome::Neutral);
    assert_eq!((breaker.state().phase, breaker.state().consecutive_failures), (Phase::Closed, 4));
    fail(&breaker, 1);
    let state = breaker.state();
    assert_eq!((state.phase, state.opens_again_in, state.times_opened), (Phase::Open, Some(5 * SECOND), 1));
    assert!(breaker.permit().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_bad_rate_opens_it_once_there_were_enough_calls() {
    let breaker = breaker();
    for _ in 0..9 {
        call(&breaker, Outcome::Success);
        call(&breaker, Outcome::Failure);
    }
    call(&breaker, Outcome::Success);
    assert_eq!((breaker.state().calls, breaker.state().failures), (19, 9));
    call(&breaker, Outcome::Failure);
    assert_eq!(breaker.state().phase, Phase::Open, "the 20th call makes it 10 of 20");
}

#[tokio::test(start_paused = true)]
async fn old_calls_leave_the_window() {
    let breaker = breaker();
    for _ in 0..9 {
        call(&breaker, Outcome::Success);
        call(&breaker, Outcome::Failure);
    }
    advance(59 * SECOND).await;
    assert_eq!(breaker.state().calls, 18);
    advance(SECOND).await;
    assert_eq!(breaker.state().calls, 0);
    call(&breaker, Outcome::Success);
    call(&breaker, Outcome::Failure);
    assert_eq!(breaker.state().phase, Phase::Closed);
}

#[tokio::test(start_paused = true)]
async fn after_the_pause_one_probe_decides() {
    let breaker = breaker();
    fail(&breaker, 5);
    advance(5 * SECOND - Duration::from_millis(1)).await;
    assert!(breaker.permit().is_none());
    advance(Duration::from_millis(1)).await;
    assert_eq!(breaker.state().phase, Phase::HalfOpen);
    let probe = breaker.permit().unwrap();
    assert!(breaker.permit().is_none(), "one at a time");
    assert_eq!(breaker.state().probes, 1);
    probe.end(Outcome::Success);
    assert_eq!((breaker.state().phase, breaker.state().calls), (Phase::Closed, 0));
}

#[tokio::test(start_paused = true)]
async fn pauses_double_up_to_a_bound_and_start_anew_after_a_success() {
    let breaker = breaker();
    fail(&breaker, 5);
    let mut pauses = Vec::new();
    for _ in 0..8 {
        let pause = breaker.state().opens_again_in.unwrap();
        pauses.push(pause.as_secs());
        advance(pause).await;
        call(&breaker, Outcome::Failure);
    }
    assert_eq!(pauses, [5, 10, 15, 15, 15, 15, 15, 15]);
    advance(300 * SECOND).await;
    call(&breaker, Outcome::Success);
    fail(&breaker, 5);
    assert_eq!(breaker.state().opens_again_in, Some(5 * SECOND));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_probe_gives_its_place_back_and_decides_nothing() {
    let breaker = breaker();
    fail(&breaker, 5);
    advance(5 * SECOND).await;
    drop(breaker.permit().unwrap());
    assert_eq!((breaker.state().phase, breaker.state().probes), (Phase::HalfOpen, 0));
    call(&breaker, Outcome::Neutral);
    assert!(breaker.permit().is_some());
}

#[tokio::test(start_paused = true)]
async fn calls_from_before_have_no_say() {
    let breaker = breaker();
    let (early_failure, early_success) = (breaker.permit().unwrap(), breaker.permit().unwrap());
    fail(&breaker, 5);
    advance(5 * SECOND).await;
    let probe = breaker.permit().unwrap();
    early_success.end(Outcome::Success);
    assert_eq!(breaker.state().phase, Phase::HalfOpen, "a success from before the failures does not close it");
    early_failure.end(Outcome::Failure);
    assert_eq!((breaker.state().phase, breaker.state().probes), (Phase::HalfOpen, 1));
    probe.end(Outcome::Success);
    assert_eq!(breaker.state().phase, Phase::Closed);
}

#[tokio::test(start_paused = true)]
async fn several_probes_may_be_asked_for() {
    let breaker = Breaker::new(Options { probes: 2, successes_to_close: 3, ..Options::default() });
    fail(&breaker, 5);
    advance(5 * SECOND).await;
    let (one, two) = (breaker.permit().unwrap(), breaker.permit().unwrap());
    assert!(breaker.permit().is_none());
    one.end(Outcome::Success);
    two.end(Outcome::Success);
    assert_eq!(breaker.state().phase, Phase::HalfOpen);
    call(&breaker, Outcome::Success);
    assert_eq!(breaker.state().phase, Phase::Closed);
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Begin,
    End(usize, u8),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => Just(Step::Begin),
        3 => (0..8_usize, 0..3_u8).prop_map(|(at, outcome)| Step::End(at, outcome)),
        1 => (0..400_u64).prop_map(Step::Wait),
    ]
}

proptest! {
    /// Whatever happens in whatever order, a target is never lost for good and never flooded with probes.
    #[test]
    fn it_always_comes_back(steps in prop::collection::vec(step(), 0..200)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let breaker = breaker();
            let mut under_way = Vec::new();
            for step in steps {
                match step {
                    Step::Begin => under_way.extend(breaker.permit()),
                    Step::End(at, outcome) if at < under_way.len() => {
                        let outcome = [Outcome::Success, Outcome::Failure, Outcome::Neutral][usize::from(outcome)];
                        under_way.remove(at).end(outcome);
                    }
                    Step::End(..) => {}
                    Step::Wait(seconds) => advance(Duration::from_secs(seconds)).await,
                }
                assert!(breaker.state().probes <= 1);
                assert!(breaker.state().opens_again_in.is_none_or(|pause| pause <= Duration::from_secs(300)));
            }
            drop(under_way);
            advance(Duration::from_secs(300)).await;
            breaker.permit().expect("a pause ends").end(Outcome::Success);
            assert_eq!(breaker.state().phase, Phase::Closed);
        });
    }
}
