//! Lists that go on, and who did what.

use super::{Home, Mesh, Up};
use serde_json::{Value, json};
use testkit::{Script, ScriptedModel, Turn};

/// The cursor that talk names.
fn cursor(stderr: &str) -> &str {
    let rest = stderr.split("--cursor ").nth(1).unwrap_or_else(|| panic!("no cursor: {stderr}"));
    rest.split_whitespace().next().unwrap()
}

fn names(listed: &Value) -> Vec<&str> {
    listed.as_array().unwrap().iter().map(|token| token["name"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_says_where_it_goes_on_and_goes_on_there() {
    let mesh = Mesh::start(Script::each(|_| Turn::text("Yes."))).await;
    for name in ["one", "two", "three"] {
        mesh.run(&["token", "create", name]).await.good();
    }
    let whole = mesh.run(&["token", "list", "--json"]).await.good().json();
    let first = mesh.run(&["token", "list", "--json", "--limit", "2"]).await.good();
    let rest = mesh.run(&["token", "list", "--json", "--cursor", cursor(&first.stderr)]).await.good();
    assert!(!rest.stderr.contains("--cursor"), "{}", rest.stderr);
    let (first_rows, rest) = (first.json(), rest.json());
    assert_eq!([names(&first_rows), names(&rest)].concat(), names(&whole));
    let row = mesh.run(&["token", "list", "--limit", "1"]).await.good();
    assert_eq!(row.stdout.lines().count(), 1, "{}", row.stdout);

    let refused = mesh.run(&["jobs", "list", "--cursor", cursor(&first.stderr)]).await.with_code(2);
    assert!(refused.stderr.contains("not a cursor of this list"), "{}", refused.stderr);
    let refused = mesh.run(&["jobs", "list", "--cursor", "-abc"]).await.with_code(2);
    assert!(refused.stderr.contains("not a cursor of this list"), "{}", refused.stderr);
    mesh.run(&["jobs", "list", "--limit", "0"]).await.with_code(2);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_did_what_is_listed_and_verified() {
    let mesh = Mesh::start(Script::each(|_| Turn::text("Yes."))).await;
    mesh.run(&["token", "create", "reader", "--scope", "viewer"]).await.good();
    let token = mesh.run(&["token", "list", "--json"]).await.good().json();
    let token = token.as_array().unwrap().iter().find(|token| token["name"] == "reader").unwrap()["id"].clone();
    let token = token.as_str().unwrap();
    mesh.run(&["token", "rm", token]).await.good();
    let object = format!("token:{token}");
    let told = mesh.run(&["audit", "--json", "--object", &object]).await.good().json();
    let actions: Vec<_> = told.as_array().unwrap().iter().map(|entry| &entry["action"]).collect();
    assert_eq!(actions, [&json!("token.delete"), &json!("token.create")]);
    let table = mesh.run(&["audit", "--action", "token.delete"]).await.good().stdout;
    assert!(table.contains(&object) && table.contains("viewer, reader"), "{table}");
    let none = mesh.run(&["audit", "--action", "nothing"]).await.good();
    assert!(none.stderr.contains("no such entries"), "{}", none.stderr);

    let verified = mesh.run(&["audit", "--verify"]).await.good().stdout;
    assert!(verified.starts_with("intact: "), "{verified}");
    let report = mesh.run(&["audit", "--verify", "--json"]).await.good().json();
    assert_eq!((&report["intact"], &report["head_seq"]), (&json!(true), &told[0]["seq"]));
    mesh.run(&["audit", "--verify", "--limit", "3"]).await.with_code(2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_found_by_the_beginning_of_its_id() {
    let mesh = Mesh::start(Script::each(|_| Turn::text("Yes."))).await;
    for _ in 0..2 {
        mesh.run(&["run", "Is it?"]).await.good();
    }
    let calls = mesh.run(&["calls", "list", "--json"]).await.good().json();
    let ids: Vec<_> = calls.as_array().unwrap().iter().map(|call| call["id"].as_str().unwrap()).collect();
    let [last, first] = ids[..] else { panic!("{ids:?}") };
    for (by, name) in [("key", "first admin ("), ("route", "default"), ("model", "ollama/scripted"), ("day", "20")] {
        let sums = mesh.run(&["spend", "--by", by, "--json"]).await.good().json();
        let [row] = &sums.as_array().unwrap()[..] else { panic!("{by}: {sums}") };
        assert!(row["name"].as_str().unwrap().starts_with(name), "{by}: {row}");
        let calls = calls.as_array().unwrap().iter();
        let tokens: u64 = calls.map(|call| call["tokens"]["output"].as_u64().unwrap_or_default()).sum();
        assert_eq!((&row["calls"], &row["output_tokens"], &row["failed"]), (&json!(2), &json!(tokens), &json!(0)));
    }
    let table = mesh.run(&["spend", "--by", "route"]).await.good().stdout;
    assert!(table.starts_with("default\t2\t0\t"), "{table}");
    let same = last.chars().zip(first.chars()).take_while(|(one, other)| one == other).count();
    for id in [last, first] {
        for beginning in [id, &id[..=same], &id.to_uppercase()[..=same]] {
            let shown = mesh.run(&["calls", "show", beginning, "--json"]).await.good().json();
            assert_eq!(shown["id"], id);
        }
    }
    let both = mesh.run(&["calls", "show", &last[..same]]).await.with_code(2);
    assert!(both.stderr.contains(last) && both.stderr.contains(first), "{both:#?}");
    for (wrong, code) in [("00000000", 5), ("00000000-0000-7000-8000-000000000000", 5), ("zz", 2)] {
        let refused = mesh.run(&["calls", "show", wrong]).await.with_code(code);
        assert!(refused.stderr.contains("next: devmesh calls list"), "{refused:#?}");
    }
    mesh.stop().await.1.good();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_told_of_what_it_may_ask_for_and_routes_stand_as_configured() {
    let model = ScriptedModel::start(Script::each(|_| Turn::text("Yes."))).await;
    let mut home = Home::new();
    home.set("OLLAMA_BASE_URL", &model.base_url());
    home.configure(
        "[routes.first]\ntargets = [\"far/big\", \"ollama/scripted\"]\negress = \"allowed\"\n\
         [routes.second]\ntargets = [\"ollama/scripted\"]\n[providers.far]\nbase_url = \"http://127.0.0.1:9/v1\"\n",
    );
    let up = Up::start(&home, &["--agents", "0"]).await;
    let routes = home.run(&["routes", "list", "--json"]).await.good().json();
    let first = routes.as_array().unwrap().iter().find(|route| route["name"] == "first").unwrap();
    let targets: Vec<_> = first["targets"].as_array().unwrap().iter().map(|target| &target["id"]).collect();
    assert_eq!(targets, ["far/big", "ollama/scripted:latest"]);

    // A slip in a route's name, and a window of no budget.
    let slip = home.run(&["token", "create", "--scope", "model", "--route", "secnod", "slip"]).await.good();
    assert!(slip.stderr.contains("no route `secnod`") && slip.stderr.contains("second"), "{slip:#?}");
    let window = ["token", "create", "--scope", "model", "--budget-window", "day", "windowed"];
    let window = home.run(&window).await.with_code(2);
    assert!(window.stderr.contains("--budget-usd"), "{window:#?}");
    let made = home.run(&["token", "create", "--scope", "model", "--route", "second", "narrow"]).await.good();
    assert!(!made.stderr.contains("warning"), "{made:#?}");

    let _ = rustls::crypto::ring::default_provider().install_default();
    let url = up.ready["url"].as_str().unwrap();
    let listed = async |path: &str| {
        let request = reqwest::Client::new().get(format!("{url}{path}")).bearer_auth(made.stdout.trim());
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.json::<Value>().await.unwrap())
    };
    let (_, models) = listed("/v1/models").await;
    let ids: Vec<_> = models["data"].as_array().unwrap().iter().map(|model| &model["id"]).collect();
    assert_eq!(ids, ["second"]);
    assert_eq!(listed("/v1/models/second").await.0, 200);
    assert_eq!(listed("/v1/models/first").await.0, 404);
    let (_, tags) = listed("/ollama/api/tags").await;
    assert!(!tags.to_string().contains("first"), "{tags}");
    up.stop().await.good();
}
