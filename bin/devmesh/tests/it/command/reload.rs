//! Files that change while the backend runs.

use super::{Home, Up};
use serde_json::Value;
use std::time::Duration;
use testkit::eventually_within;

/// Looking takes a second, and the machine may be busy.
const SOON: Duration = Duration::from_secs(60);

/// One route to a service that nobody runs, with its prices in a file and its own patience.
fn write(home: &Home, model: &str, prices: &str, first_token_ms: u64) {
    let prices = home.path(prices);
    let text = format!(
        "[routes.fast]\ntargets = [\"far/{model}\"]\negress = \"allowed\"\n\n\
         [providers.far]\nbase_url = \"http://127.0.0.1:9/v1\"\n\n\
         [prices]\nfile = {prices:?}\n\n[timeouts.far]\nfirst_token_ms = {first_token_ms}\n",
    );
    home.configure(&text);
}

fn price(home: &Home, file: &str, usd: u32) {
    let text = format!("[\"far/*\"]\ninput_usd_per_million = 0\noutput_usd_per_million = {usd}\n");
    std::fs::write(home.path(file), text).unwrap();
}

/// Where the route leads, what a call may cost there, and how long its first token may take.
async fn explained(home: &Home) -> (String, u64, u64) {
    let told = home.run(&["routes", "explain", "fast", "--json"]).await.good().json();
    let target: &Value = &told["targets"][0];
    let number = |name: &str| target[name].as_u64().unwrap_or_else(|| panic!("no {name} in {told}"));
    (target["target"].as_str().unwrap().to_owned(), number("cost_at_most_microusd"), number("first_token_timeout_ms"))
}

#[tokio::test(flavor = "multi_thread")]
async fn routes_prices_and_timeouts_follow_their_files_and_a_mistake_changes_nothing() {
    let home = Home::new();
    price(&home, "first.toml", 10);
    price(&home, "second.toml", 20);
    write(&home, "one", "first.toml", 5_000);
    let mut up = Up::start(&home, &["--set", "agents.count=0", "--set", "embedded.enabled=false"]).await;
    let (target, cost, patience) = explained(&home).await;
    assert_eq!((target.as_str(), patience), ("far/one", 5_000));
    assert!(cost > 0);

    let become_like = async |expected: (&str, u64, u64)| {
        let expected = (expected.0.to_owned(), expected.1, expected.2);
        eventually_within(SOON, "the new configuration", async || (explained(&home).await == expected).then_some(()))
            .await;
    };
    write(&home, "two", "second.toml", 7_000);
    become_like(("far/two", 2 * cost, 7_000)).await;
    price(&home, "second.toml", 40);
    become_like(("far/two", 4 * cost, 7_000)).await;

    home.configure("[routes.fast]\ntargets = [\"nowhere/three\"]\n");
    up.logs("stays as it was").await;
    up.logs("nowhere").await;
    assert_eq!(explained(&home).await, ("far/two".to_owned(), 4 * cost, 7_000));

    let doctor = async || home.run(&["doctor", "--json"]).await.lines();
    let told = async |wanted: &str| {
        eventually_within(SOON, wanted, async || {
            let found = doctor().await.into_iter().find(|finding| finding["check"] == "configuration");
            found.filter(|finding| finding["evidence"].as_str().unwrap().contains(wanted))
        })
        .await
    };
    assert_eq!(told("nowhere").await["verdict"], "bad");
    // What is new waits, and so does what names it.
    home.configure("[routes.fast]\ntargets = [\"new/three\"]\n[providers.new]\nbase_url = \"http://127.0.0.1:9/v1\"\n");
    up.logs("providers.new").await;
    assert_eq!(told("providers.new, providers.far changed").await["verdict"], "bad");
    std::fs::write(home.path("broken.toml"), "far = \n").unwrap();
    write(&home, "two", "broken.toml", 7_000);
    told("broken.toml").await;

    write(&home, "four", "first.toml", 9_000);
    become_like(("far/four", cost, 9_000)).await;
    assert_eq!(told("what runs is what the files say").await["verdict"], "good");
    up.stop().await.good();
}
