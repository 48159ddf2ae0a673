//! Lists that go on, and who did what.

use super::Mesh;
use serde_json::{Value, json};
use testkit::{Script, Turn};

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
