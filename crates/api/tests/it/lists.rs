//! Every list is read the same way.

use crate::support::{TestApp, parsed, problem};
use domain::{ErrorCode, Scope};
use protocol::{List, TokenPage};
use reqwest::StatusCode;
use serde_json::Value;

/// Every list there is, with where it is read.
const LISTS: &[(List, &str)] = &[
    (List::Jobs, "/api/v1/jobs"),
    (List::Approvals, "/api/v1/approvals"),
    (List::Artifacts, "/api/v1/jobs/{id}/artifacts"),
    (List::Tokens, "/api/v1/tokens"),
    (List::ModelCalls, "/api/v1/model-calls"),
    (List::Egress, "/api/v1/egress"),
    (List::Audit, "/api/v1/audit"),
];

#[test]
fn whatever_answers_with_a_page_takes_a_limit_and_a_cursor() {
    let document: Value = serde_json::from_str(&api::openapi_json()).unwrap();
    let mut paged = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        let answer = &item["get"]["responses"]["200"]["content"]["application/json"]["schema"]["$ref"];
        let schema = answer.as_str().and_then(|name| document.pointer(name.trim_start_matches('#')));
        // The log of a job has cursors of its own, which hold while it grows; a look through content is no list.
        let is_no_list = path.ends_with("/events") || path.ends_with("/content/check");
        if is_no_list || schema.is_none_or(|schema| schema["properties"]["next_cursor"].is_null()) {
            continue;
        }
        let parameters: Vec<_> =
            item["get"]["parameters"].as_array().unwrap().iter().filter_map(|one| one["name"].as_str()).collect();
        assert!(parameters.contains(&"limit") && parameters.contains(&"cursor"), "{path} takes {parameters:?}");
        paged.push(path.as_str());
    }
    paged.sort_unstable();
    let mut known: Vec<_> = LISTS.iter().map(|(_, path)| *path).collect();
    known.sort_unstable();
    assert_eq!(paged, known, "a new list has a row in LISTS");
}

#[tokio::test]
async fn limits_and_cursors_are_refused_alike_everywhere() {
    let app = TestApp::start().await;
    let job = app.create_job("x").await.id.to_string();
    for (list, path) in LISTS {
        let path = path.replace("{id}", &job);
        for limit in ["%2B5", "05", "-1", "x"] {
            let refused = problem(app.get(&format!("{path}?limit={limit}"), Scope::Admin)).await;
            assert_eq!(
                (refused.code, refused.errors[0].pointer.as_str()),
                (ErrorCode::InvalidRequest, "limit"),
                "{path}"
            );
        }
        for limit in ["0", "201", "4294967295"] {
            let refused = problem(app.get(&format!("{path}?limit={limit}"), Scope::Admin)).await;
            assert_eq!(
                (refused.code, refused.errors[0].pointer.as_str()),
                (ErrorCode::InvalidRequest, "limit"),
                "{path}"
            );
            assert!(refused.errors[0].detail.contains("1 to 200"), "{path}: {:?}", refused.errors);
        }
        let foreign = List::ALL.iter().filter(|other| *other != list).map(|other| other.cursor_after(1));
        for cursor in foreign.chain(["x".to_owned(), "%00".to_owned(), list.cursor_after("")]) {
            let answer = app.get(&format!("{path}?cursor={cursor}"), Scope::Admin);
            if *list == List::Artifacts && cursor == list.cursor_after("") {
                continue; // before every name
            }
            assert_eq!(problem(answer).await.code, ErrorCode::InvalidCursor, "{path}?cursor={cursor}");
        }
        let page: Value = parsed(app.get(&format!("{path}?limit=200"), Scope::Admin), StatusCode::OK).await;
        assert!(page.get("next_cursor").is_none(), "{path}: {page}");
    }
}

#[tokio::test]
async fn a_list_read_one_by_one_is_the_list() {
    let app = TestApp::start().await;
    for _ in 0..3 {
        app.new_token(Scope::Viewer).await;
        app.create_job("x").await;
    }
    for (path, rows, key) in
        [("/api/v1/tokens", "tokens", "id"), ("/api/v1/jobs", "jobs", "id"), ("/api/v1/audit", "entries", "seq")]
    {
        let whole: Value = parsed(app.get(path, Scope::Admin), StatusCode::OK).await;
        let whole: Vec<_> = whole[rows].as_array().unwrap().iter().map(|row| row[key].clone()).collect();
        let (mut found, mut query) = (Vec::new(), "?limit=1".to_owned());
        while found.len() <= whole.len() {
            let page: Value = parsed(app.get(&format!("{path}{query}"), Scope::Admin), StatusCode::OK).await;
            assert_eq!(page[rows].as_array().unwrap().len(), 1, "{path}");
            found.push(page[rows][0][key].clone());
            let Some(cursor) = page["next_cursor"].as_str() else { break };
            query = format!("?limit=1&cursor={cursor}");
        }
        assert_eq!(found, whole, "{path}");
        assert!(whole.len() >= 3, "{path}");
    }
    let tokens: TokenPage = parsed(app.get("/api/v1/tokens?limit=2", Scope::Admin), StatusCode::OK).await;
    assert!(tokens.tokens[0].id < tokens.tokens[1].id, "the oldest first");
}
