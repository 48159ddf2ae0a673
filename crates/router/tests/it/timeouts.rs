//! Time is paused: it moves on when everybody waits, so two minutes pass at once and exactly.

use crate::fixtures::{Made, answer, ask, done, failure, route, text};
use protocol::{ChatMessage, Role};
use router::{Call, Chunk, Options, Provider, Router};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn two(first: Made) -> Router {
    let second = Made::new("second", vec![(Duration::ZERO, text("Yes.")), (Duration::ZERO, done())]);
    let providers: Vec<Arc<dyn Provider>> = vec![Arc::new(first), Arc::new(second)];
    let routes = vec![route("code", &["first/m", "second/m"])];
    Router::new(Options { routes, ..Options::new(providers) }).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_first_token_that_does_not_come_in_time_leads_on() {
    for silent in [
        Made { starting_takes: seconds(1000), ..Made::new("first", vec![]) },
        Made::new("first", vec![(seconds(1000), text("Too late."))]),
    ] {
        let start = Instant::now();
        let (answer, _) = answer(&two(silent), ask("code")).await;
        assert_eq!((answer.provider.as_str(), answer.content.as_str()), ("second", "Yes."));
        assert_eq!(answer.fallbacks[0].error, "first sent no first token within 120.02344 s");
        assert_eq!(start.elapsed().as_secs(), 120);
    }
}

#[tokio::test(start_paused = true)]
async fn a_long_prompt_gets_more_time() {
    let slow = || Made::new("first", vec![(seconds(200), text("At last.")), (Duration::ZERO, done())]);
    assert_eq!(answer(&two(slow()), ask("code")).await.0.provider, "second");
    let long = Call::new("code", vec![ChatMessage::new(Role::User, "word ".repeat(8 * 1024))]);
    let (answer, _) = answer(&two(slow()), long).await;
    assert_eq!(answer.provider, "first");
    assert_eq!((answer.first_token_ms, answer.total_ms), (200_000, 200_000));
}

#[tokio::test(start_paused = true)]
async fn signs_of_life_keep_a_thinking_model_going() {
    let mut chunks = vec![(seconds(50), Chunk::Progress); 10];
    chunks.extend([(seconds(50), text("Thought.")), (Duration::ZERO, done())]);
    let (answer, _) = answer(&two(Made::new("first", chunks)), ask("code")).await;
    assert_eq!((answer.provider.as_str(), answer.first_token_ms), ("first", 550_000));
}

#[tokio::test(start_paused = true)]
async fn a_stall_in_the_middle_is_a_failure() {
    let stalled = Made::new("first", vec![(Duration::ZERO, text("It begins and ")), (seconds(61), done())]);
    let (code, message, fallbacks) = failure(&two(stalled), ask("code")).await;
    assert_eq!((code.as_str(), fallbacks.len()), ("model_failed", 1));
    assert_eq!(message, "first sent no further token within 60 s");
}

#[tokio::test(start_paused = true)]
async fn a_stall_while_thinking_leads_on() {
    let stalled = Made::new("first", vec![(Duration::ZERO, Chunk::Progress), (seconds(61), done())]);
    assert_eq!(answer(&two(stalled), ask("code")).await.0.provider, "second");
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_hangs_holds_up_the_list_for_two_seconds_at_most() {
    let hanging = Made { listing_takes: seconds(1000), ..Made::new("first", vec![]) };
    let router = two(hanging);
    let start = Instant::now();
    let models = router.models().await;
    assert_eq!(start.elapsed(), seconds(2));
    assert_eq!(models.models.len(), 1);
    assert_eq!(models.unavailable[0].provider, "first");
    assert!(models.unavailable[0].error.contains("within 2 s"), "{:?}", models.unavailable);
    let again = Instant::now();
    router.models().await;
    assert_eq!(again.elapsed(), Duration::ZERO, "it is not asked again at once");
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_just_ends_is_cut_and_an_endless_one_is_stopped() {
    let ends = Made::new("first", vec![(Duration::ZERO, text("Half an ans"))]);
    assert!(failure(&two(ends), ask("code")).await.1.contains("ended without a result"));
    let endless = Made::new("first", vec![(Duration::ZERO, text(&"x".repeat(1024 * 1024))); 20]);
    let (_, message, _) = failure(&two(endless), ask("code")).await;
    assert_eq!(message, "first sent an answer of more than 16777216 bytes");
}
