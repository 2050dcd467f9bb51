//! The schema and its versions.
//!
//! A database of a later version is refused: an older program cannot know what it would break.

use std::path::Path;

use custos_core::clock::Timestamp;
use sqlx::{Connection as _, Row as _, SqliteConnection};

use super::StoreError;

/// A step from one version to the next.
struct Migration {
    version: i64,
    name: &'static str,
    sql: &'static str,
}

const MIGRATIONS: &[Migration] = &[
    Migration {
        version: 1,
        name: "evidence",
        sql: include_str!("../../migrations/sqlite/0001_evidence.sql"),
    },
    Migration {
        version: 2,
        name: "leaves",
        sql: include_str!("../../migrations/sqlite/0002_leaves.sql"),
    },
];

/// The newest version that this program knows.
pub const SCHEMA_VERSION: i64 = 2;

const VERSIONS: &str = "CREATE TABLE IF NOT EXISTS schema_version (
  version    BIGINT NOT NULL PRIMARY KEY,
  name       TEXT   NOT NULL,
  applied_at BIGINT NOT NULL
)";

/// Brings the database to the newest version, in one transaction.
pub(crate) async fn migrate(
    connection: &mut SqliteConnection,
    path: &Path,
    now: Timestamp,
) -> Result<(), StoreError> {
    let fail = |error: sqlx::Error| StoreError::database(path, &error);
    // Without a write lock first: opening a store that is up to date waits for nobody.
    if check(connection, path).await? == Some(SCHEMA_VERSION) {
        return Ok(());
    }
    let mut transaction = connection
        .begin_with("BEGIN IMMEDIATE")
        .await
        .map_err(fail)?;
    sqlx::query(VERSIONS)
        .execute(&mut *transaction)
        .await
        .map_err(fail)?;
    // Another process may have been faster.
    let found = check(&mut transaction, path).await?.unwrap_or(0);
    for migration in MIGRATIONS
        .iter()
        .filter(|migration| migration.version > found)
    {
        sqlx::raw_sql(migration.sql)
            .execute(&mut *transaction)
            .await
            .map_err(fail)?;
        sqlx::query("INSERT INTO schema_version (version, name, applied_at) VALUES ($1, $2, $3)")
            .bind(migration.version)
            .bind(migration.name)
            .bind(now.as_micros())
            .execute(&mut *transaction)
            .await
            .map_err(fail)?;
    }
    transaction.commit().await.map_err(fail)
}

/// Returns the database's version, `None` if it has none yet; refuses a later one.
pub(crate) async fn check(
    connection: &mut SqliteConnection,
    path: &Path,
) -> Result<Option<i64>, StoreError> {
    let fail = |error: sqlx::Error| StoreError::database(path, &error);
    let exists =
        "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = 'schema_version'";
    let count: i64 = sqlx::query(exists)
        .fetch_one(&mut *connection)
        .await
        .and_then(|row| row.try_get(0))
        .map_err(fail)?;
    if count == 0 {
        return Ok(None);
    }
    let version: Option<i64> = sqlx::query("SELECT MAX(version) FROM schema_version")
        .fetch_one(&mut *connection)
        .await
        .and_then(|row| row.try_get(0))
        .map_err(fail)?;
    match version {
        Some(found) if found > SCHEMA_VERSION => {
            let path = path.to_owned();
            Err(StoreError::NewerSchema {
                path,
                found,
                known: SCHEMA_VERSION,
            })
        }
        version => Ok(version),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_count_up_to_the_newest() {
        let versions: Vec<_> = MIGRATIONS
            .iter()
            .map(|migration| migration.version)
            .collect();
        assert_eq!(versions, (1..=SCHEMA_VERSION).collect::<Vec<_>>());
    }
}
