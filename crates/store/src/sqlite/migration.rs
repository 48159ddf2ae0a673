//! Forward-only migrations, embedded in the program and counted by `user_version`.
//!
//! Each runs in a transaction of its own that also moves the count, so a process killed half-way leaves a database of
//! one version or the next. Nothing migrates back: an older build refuses a newer database.

use crate::{
    AuditRow, Error,
    audit::chained,
    sqlite::{column::Columns, connection::APPLICATION_ID, transaction::access::insert_audit},
};
use domain::{Epoch, EventHash};
use rusqlite::{Connection, OptionalExtension, TransactionBehavior};
use std::path::Path;

struct Migration {
    name: &'static str,
    sql: &'static str,
}

macro_rules! migrations {
    ($($name:literal),+ $(,)?) => {
        &[$(Migration {
            name: $name,
            sql: include_str!(concat!("../../migrations/sqlite/", $name, ".sql")),
        }),+]
    };
}

/// In order; the first makes version 1. What has landed is never edited, moved or taken out.
const MIGRATIONS: &[Migration] = migrations![
    "0001_jobs",
    "0002_events",
    "0003_approvals_and_artifacts",
    "0004_access",
    "0005_models",
    "0006_unknown_tokens",
    "0007_job_folders",
    "0008_used_approvals",
    "0009_lease_epoch",
    "0010_blobs",
    "0011_audit_chain",
    "0012_own_file",
    "0013_model_profiles",
];

/// The version this build brings a database to.
const NEWEST: u32 = MIGRATIONS.len() as u32;

/// Refuses a file that is not ours or is too new, without changing it.
pub(crate) fn check(connection: &Connection, file: &Path) -> Result<u32, Error> {
    let application_id: i32 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let version: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", (), |row| row.get(0))?;
    if application_id != APPLICATION_ID && (application_id, version, tables) != (0, 0, 0) {
        return Err(Error::ForeignDatabase { file: file.to_owned(), application_id });
    }
    if version > NEWEST {
        let name = connection
            .query_row("SELECT name FROM migrations WHERE version = ?1", [version], |row| row.get(0))
            .optional()
            // A future schema may keep its names elsewhere; the number is enough to refuse it.
            .unwrap_or_default()
            .unwrap_or_else(|| "unnamed".to_owned());
        return Err(Error::NewerSchema { file: file.to_owned(), found: version, name, known: NEWEST });
    }
    Ok(version)
}

/// Brings the database up to this build. A new one gets `new_epoch`; the epoch it has afterwards is returned.
pub(crate) fn migrate(connection: &mut Connection, file: &Path, new_epoch: Epoch) -> Result<Epoch, Error> {
    migrate_to(connection, file, new_epoch, MIGRATIONS)
}

fn migrate_to(
    connection: &mut Connection,
    file: &Path,
    new_epoch: Epoch,
    migrations: &[Migration],
) -> Result<Epoch, Error> {
    let found = check(connection, file)? as usize;
    for (migration, version) in migrations.iter().zip(1_u32..).skip(found) {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(migration.sql)?;
        if migration.name == "0011_audit_chain" {
            chain_audit(&transaction)?;
        }
        if version == 1 {
            transaction.execute(
                "INSERT INTO store (only_row, epoch, revision_floor, probes) VALUES (1, ?1, 0, 0)",
                [new_epoch.0],
            )?;
            transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        }
        transaction.execute("INSERT INTO migrations (version, name) VALUES (?1, ?2)", (version, migration.name))?;
        transaction.pragma_update(None, "user_version", version)?;
        transaction.commit()?;
        tracing::info!(migration = migration.name, "database migrated");
    }
    Ok(Epoch(connection.query_row("SELECT epoch FROM store", (), |row| row.get(0))?))
}

/// Chains the audit rows from before there was a chain, which SQL alone cannot do.
fn chain_audit(connection: &Connection) -> Result<(), Error> {
    let mut unchained = connection
        .prepare("SELECT at, principal, action, object, request_id FROM audit_unchained ORDER BY audit_key")?;
    let mut rows = unchained.query(())?;
    let mut head = (0, EventHash::START);
    while let Some(row) = rows.next()? {
        let mut columns = Columns::of(row);
        let row = AuditRow {
            at: columns.time()?,
            principal: columns.id()?,
            action: columns.take()?,
            object: columns.take()?,
            request_id: columns.id()?,
        };
        let entry = chained(row, head).map_err(|error| Error::Corrupt(error.to_string()))?;
        insert_audit(connection, &entry)?;
        head = (entry.seq, entry.hash);
    }
    drop(rows);
    drop(unchained);
    Ok(connection.execute_batch("DROP TABLE audit_unchained")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn empty() -> Connection {
        Connection::open_in_memory().unwrap()
    }

    fn schema(connection: &Connection) -> Vec<String> {
        let mut statement = connection.prepare("SELECT coalesce(sql, name) FROM sqlite_schema ORDER BY name").unwrap();
        statement.query_map((), |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    }

    #[test]
    fn every_earlier_version_ends_at_the_same_schema_and_keeps_its_epoch() {
        let file = Path::new("test.db");
        let mut fresh = empty();
        assert_eq!(migrate(&mut fresh, file, Epoch(7)).unwrap(), Epoch(7));
        for version in 1..MIGRATIONS.len() {
            let mut connection = empty();
            migrate_to(&mut connection, file, Epoch(8), &MIGRATIONS[..version]).unwrap();
            assert_eq!(migrate(&mut connection, file, Epoch(9)).unwrap(), Epoch(8), "from version {version}");
            assert_eq!(schema(&connection), schema(&fresh), "from version {version}");
        }
        assert_eq!(migrate(&mut fresh, file, Epoch(10)).unwrap(), Epoch(7), "a second run changes nothing");
    }

    #[test]
    fn what_was_done_before_there_was_a_chain_is_chained() {
        let file = Path::new("test.db");
        let mut connection = empty();
        let before = MIGRATIONS.iter().position(|migration| migration.name == "0011_audit_chain").unwrap();
        migrate_to(&mut connection, file, Epoch(1), &MIGRATIONS[..before]).unwrap();
        for (key, action) in [(3, "job.create"), (7, "job.delete")] {
            let insert = "INSERT INTO audit (audit_key, at, principal, action, object, request_id) \
                 VALUES (?1, 1767225600000, zeroblob(16), ?2, 'token:1 (user, \"é\")', zeroblob(16))";
            connection.execute(insert, (key, action)).unwrap();
        }
        migrate(&mut connection, file, Epoch(1)).unwrap();
        let reader = crate::sqlite::Reader::new(&connection, Epoch(1));
        let entries = reader.audit_after(0, 10).unwrap();
        let told: Vec<_> = entries.iter().map(|entry| (entry.seq, entry.row.action.as_str())).collect();
        assert_eq!(told, [(1, "job.create"), (2, "job.delete")]);
        let mut head = (0, EventHash::START);
        for entry in &entries {
            assert_eq!(&chained(entry.row.clone(), head).unwrap(), entry);
            head = (entry.seq, entry.hash);
        }
        let about: String =
            connection.query_row("SELECT about FROM audit WHERE seq = 1", (), |row| row.get(0)).unwrap();
        assert_eq!(about, "token:1");
    }

    #[test]
    fn a_migration_that_fails_leaves_the_version_before() {
        let broken = [
            Migration { name: MIGRATIONS[0].name, sql: MIGRATIONS[0].sql },
            Migration { name: "0002_broken", sql: "CREATE TABLE half (x INTEGER) STRICT; CREATE NONSENSE;" },
        ];
        let mut connection = empty();
        let file = Path::new("test.db");
        migrate_to(&mut connection, file, Epoch(1), &broken).unwrap_err();
        assert_eq!(check(&connection, file).unwrap(), 1);
        assert!(!schema(&connection).iter().any(|sql| sql.contains("half")));
        migrate(&mut connection, file, Epoch(1)).unwrap();
    }

    #[test]
    fn content_of_before_is_known_afterwards() {
        let file = Path::new("test.db");
        let mut connection = empty();
        let before = MIGRATIONS.iter().position(|migration| migration.name == "0010_blobs").unwrap();
        migrate_to(&mut connection, file, Epoch(1), &MIGRATIONS[..before]).unwrap();
        connection.pragma_update(None, "foreign_keys", 0).unwrap();
        let artifact = "INSERT INTO artifacts (job_id, name, media_type, bytes, sha256, attempt, created_at) \
             VALUES (randomblob(16), ?1, 'text/plain', ?2, ?3, 1, 1)";
        let (shared, own) = ("a".repeat(64), "b".repeat(64));
        for (name, bytes, sha256) in [("x", 5, &shared), ("y", 5, &shared), ("z", 7, &own)] {
            connection.execute(artifact, (name, bytes, sha256)).unwrap();
        }
        migrate(&mut connection, file, Epoch(1)).unwrap();
        let known = |connection: &Connection| {
            let mut rows = connection.prepare("SELECT sha256, bytes, artifacts FROM blobs ORDER BY sha256").unwrap();
            let rows = rows.query_map((), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
            rows.map(Result::unwrap).collect::<Vec<(String, i64, i64)>>()
        };
        assert_eq!(known(&connection), [(shared.clone(), 5, 2), (own.clone(), 7, 1)]);
        // From then on the count follows whatever is done to artifacts.
        connection.execute("DELETE FROM artifacts WHERE name = 'x'", ()).unwrap();
        connection.execute("UPDATE artifacts SET sha256 = ?1 WHERE name = 'z'", [&shared]).unwrap();
        assert_eq!(known(&connection), [(shared, 5, 2), (own, 7, 0)]);
    }

    #[test]
    fn names_are_numbered_in_order_and_every_file_is_embedded() {
        for (migration, version) in MIGRATIONS.iter().zip(1..) {
            assert!(migration.name.starts_with(&format!("{version:04}_")), "{}", migration.name);
        }
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations/sqlite");
        assert_eq!(std::fs::read_dir(folder).unwrap().count(), MIGRATIONS.len());
    }

    #[test]
    fn every_table_is_strict() {
        let mut connection = empty();
        migrate(&mut connection, Path::new("test.db"), Epoch(1)).unwrap();
        let mut statement =
            connection.prepare("SELECT name, strict FROM pragma_table_list WHERE schema = 'main'").unwrap();
        let tables = statement.query_map((), |row| Ok((row.get::<_, String>(0)?, row.get::<_, bool>(1)?))).unwrap();
        let loose: Vec<_> =
            tables.map(Result::unwrap).filter(|(name, strict)| !strict && !name.starts_with("sqlite_")).collect();
        assert!(loose.is_empty(), "{loose:?}");
    }
}
