//! A database as SQL, and back.

use rusqlite::Connection;
use std::{fmt::Write, path::Path};

/// Emptied by the program soon after it is filled.
const MAY_BE_EMPTY: &[&str] = &["purges"];

/// Makes a database of what [`dump`] gave.
pub fn load(sql: &str, file: &Path) -> Connection {
    let connection = Connection::open(file).unwrap();
    connection.execute_batch(sql).unwrap();
    connection
}

/// Everything in it, with the numbers in its header that say what it is.
pub fn dump(connection: &Connection) -> String {
    let header = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).unwrap();
    let mut sql = String::new();
    for name in ["application_id", "user_version"] {
        writeln!(sql, "PRAGMA {name} = {};", header(name)).unwrap();
    }
    sql.push_str("BEGIN;\n");
    let made = |kinds: &str| {
        texts(
            connection,
            &format!(
                "SELECT sql FROM sqlite_schema WHERE type IN ({kinds}) AND sql NOT NULL AND name NOT LIKE 'sqlite_%' ORDER BY rowid"
            ),
        )
    };
    for statement in made("'table'") {
        writeln!(sql, "{statement};").unwrap();
    }
    for table in tables(connection) {
        // Generated columns are not in this list.
        let columns = texts(connection, &format!("SELECT name FROM pragma_table_info('{table}')"));
        let quoted: Vec<_> = columns.iter().map(|column| format!("quote({column})")).collect();
        let row = format!("SELECT {} FROM {table}", quoted.join(" || ', ' || "));
        for values in texts(connection, &row) {
            writeln!(sql, "INSERT INTO {table} ({}) VALUES ({values});", columns.join(", ")).unwrap();
        }
    }
    for row in texts(connection, "SELECT quote(name) || ', ' || seq FROM sqlite_sequence") {
        let name = row.split(',').next().unwrap();
        writeln!(sql, "DELETE FROM sqlite_sequence WHERE name = {name};").unwrap();
        writeln!(sql, "INSERT INTO sqlite_sequence (name, seq) VALUES ({row});").unwrap();
    }
    // Last: triggers would refuse some of the rows, and an index is quicker to fill at once.
    for statement in made("'index', 'trigger'") {
        writeln!(sql, "{statement};").unwrap();
    }
    sql.push_str("COMMIT;\n");
    sql
}

/// Tables that prove nothing about rows.
pub fn empty_tables(connection: &Connection) -> Vec<String> {
    let count = |table: &String| {
        connection.query_row(&format!("SELECT count(*) FROM {table}"), (), |row| row.get::<_, i64>(0)).unwrap()
    };
    tables(connection)
        .into_iter()
        .filter(|table| !MAY_BE_EMPTY.contains(&table.as_str()) && count(table) == 0)
        .collect()
}

fn tables(connection: &Connection) -> Vec<String> {
    texts(connection, "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY rowid")
}

fn texts(connection: &Connection, sql: &str) -> Vec<String> {
    let mut statement = connection.prepare(sql).unwrap();
    statement.query_map((), |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}
