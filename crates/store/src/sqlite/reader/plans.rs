//! No statement of the hot path may read a whole table or sort what it found, however many jobs there are.

use super::{access, approvals, artifacts, events, jobs, models};
use crate::sqlite::{migration, transaction as write};
use domain::Epoch;
use rusqlite::{Connection, StatementStatus};
use std::path::Path;

fn plan(connection: &Connection, sql: &str) -> Vec<String> {
    let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    // Unbound parameters are NULL: the plan is made for every value.
    let mut rows = statement.raw_query();
    let mut lines = Vec::new();
    while let Some(row) = rows.next().unwrap() {
        lines.push(row.get::<_, String>(3).unwrap());
    }
    lines
}

/// Every statement that names a row or a range, but for plain inserts, which have no plan.
const SEARCHES: &[&str] = &[
    jobs::BY_ID,
    jobs::HEAD_BY_ID,
    jobs::EXISTS,
    jobs::BY_KEY,
    jobs::CHANGED_AFTER,
    jobs::RUNNING,
    jobs::FINISHED_BEFORE,
    jobs::PAGE_OF_ALL,
    jobs::PAGE_BY_STATE,
    jobs::PAGE_BY_PRINCIPAL,
    jobs::NEXT_READY,
    jobs::RUNNING_COUNT,
    jobs::NEXT_DELAYED,
    events::LOG,
    events::PAGE,
    approvals::BY_ID,
    approvals::BY_CALL,
    approvals::UNSPENT,
    approvals::CARRIED_OVER,
    approvals::OF_JOB,
    approvals::ALL,
    approvals::PENDING,
    approvals::DECIDED,
    approvals::OF_PRINCIPAL,
    approvals::PENDING_OF_PRINCIPAL,
    approvals::DECIDED_OF_PRINCIPAL,
    artifacts::BY_NAME,
    artifacts::OF_JOB,
    artifacts::PAGE_OF_JOB,
    artifacts::IN_USE,
    artifacts::BY_DIGEST,
    access::IDEMPOTENCY,
    access::AUDIT,
    access::AUDIT_AFTER,
    access::AUDIT_OF_OBJECT,
    access::AUDIT_OF_PRINCIPAL,
    access::AUDIT_OF_ACTION,
    access::AUDIT_ANCHOR,
    models::POLICY,
    models::SPEND_SINCE,
    models::SPEND_OF,
    models::CALL,
    models::CALLS,
    models::CALLS_OF_PRINCIPAL,
    models::CALLS_OF_JOB,
    models::LEDGER,
    models::LAST_BATCH,
    write::jobs::UPDATE,
    write::jobs::UPDATE_RESULT,
    write::jobs::REMEMBER_BATCH,
    write::jobs::RECENT_BATCHES,
    write::jobs::PROMOTE,
    write::jobs::DELETE,
    write::events::HEAD,
    write::events::MOVE_HEAD,
    write::events::PURGE_STEP,
    write::events::PURGE,
    write::events::PURGE_DONE,
    write::approvals::UPDATE,
    write::approvals::USE,
    write::approvals::SPEND,
    write::artifacts::FORGET,
    write::access::DELETE_TOKEN,
    write::access::DELETE_IDEMPOTENCY,
    write::access::MOVE_AUDIT_ANCHOR,
    write::access::DELETE_AUDIT,
    write::models::DELETE_POLICY,
    write::models::DELETE_CALLS,
    write::profiles::DELETE,
];

fn database() -> Connection {
    let mut connection = Connection::open_in_memory().unwrap();
    migration::migrate(&mut connection, Path::new("plans.db"), Epoch(1)).unwrap();
    connection
}

#[test]
fn every_search_goes_by_an_index_and_is_sorted_already() {
    let connection = database();
    let mut wrong = Vec::new();
    for sql in SEARCHES {
        let plan = plan(&connection, sql);
        assert!(!plan.is_empty(), "{sql}");
        let scans = plan.iter().any(|line| line.starts_with("SCAN") && !line.starts_with("SCAN CONSTANT"));
        if scans || plan.iter().any(|line| line.contains("TEMP B-TREE")) {
            wrong.push(format!("{sql}\n    {}", plan.join("\n    ")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_search_is_planned_again_for_other_values() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("plans.db");
    std::fs::write(&file, "").unwrap();
    let mut connection = crate::sqlite::connection::open_writer(&file).unwrap();
    migration::migrate(&mut connection, &file, Epoch(1)).unwrap();
    for sql in SEARCHES {
        let mut statement = connection.prepare(sql).unwrap();
        for value in 1..=3 {
            for parameter in 1..=statement.parameter_count() {
                statement.raw_bind_parameter(parameter, value).unwrap();
            }
            let mut rows = statement.raw_query();
            while rows.next().unwrap().is_some() {}
        }
        assert_eq!(statement.get_status(StatementStatus::RePrepare), 0, "{sql}");
    }
}

#[test]
fn the_queue_is_read_from_its_own_index() {
    let connection = database();
    assert!(plan(&connection, jobs::NEXT_READY)[0].contains("jobs_ready"));
    assert!(plan(&connection, jobs::NEXT_DELAYED)[0].contains("jobs_delayed"));
    assert!(plan(&connection, jobs::FINISHED_BEFORE)[0].contains("jobs_finished"));
}

/// In the order of the index, from its beginning: the only reading of a whole index, and of one that is empty but for a moment.
#[test]
fn content_nobody_names_has_an_index_of_its_own() {
    let connection = database();
    let plan = plan(&connection, write::artifacts::UNNAMED);
    assert!(plan.len() == 1 && plan[0].contains("COVERING INDEX blobs_unnamed"), "{plan:?}");
}

#[test]
fn the_newest_revision_is_one_step_down_an_index() {
    let connection = database();
    for sql in [jobs::REVISION, jobs::NEWEST_CHANGE] {
        let plan = plan(&connection, sql);
        assert!(plan.iter().any(|line| line.contains("jobs_by_revision")), "{plan:?}");
    }
}

#[test]
fn a_search_without_an_index_is_noticed() {
    let connection = database();
    let plan = plan(&connection, "SELECT id FROM jobs WHERE message = ?1");
    assert!(plan[0].starts_with("SCAN"), "{plan:?}");
}

#[test]
fn a_connection_keeps_every_statement_prepared() {
    let writer_statements = 12; // savepoints, begin, commit, probe, checkpoints
    let inserts = 13;
    assert!(SEARCHES.len() + writer_statements + inserts < crate::limits::CACHED_STATEMENTS);
}
