//! The store: bundles by digest, and an index by which to find them.
//!
//! **Order of writes.** [`AsyncStore::stage`] makes a signed bundle durable before it goes to the
//! log; then the log acknowledges; then [`AsyncStore::commit`] stores the bundle with its log
//! entry, indexes it and forgets the staged one, in one transaction. Each of them returns only
//! when its work survives a power loss. A crash between the two leaves a staged bundle, which
//! [`crate::recover`] finishes. A [`Session`] tells such a draft from that of a living writer.
//!
//! **What a read is worth.** [`AsyncStore::bundle`] gives bytes that hash to their digest, and
//! nothing more: rows and bytes are claims until `trust` has verified the bytes.
//!
//! SQLite in WAL mode, `synchronous=FULL`, foreign keys on. Bundles of at most
//! [`MAX_INLINE_BYTES`] lie in the database, larger ones in files of their own.
//!
//! [`AsyncStore`] is for servers; [`Store`] is the same for programs without an async runtime.
//!
//! ```
//! # use custos_core::clock::Timestamp;
//! use custos_evidence::{Store, StoreOptions};
//! # let home = tempfile::tempdir().unwrap();
//! let (path, now) = (home.path().join("custos.db"), Timestamp::from_seconds(1_800_000_000));
//! let store = Store::open(&path, StoreOptions::read_write(), now).unwrap();
//! // Nothing is here of what a log of three entries says was recorded.
//! assert_eq!(store.gaps("example.com/log", 3).unwrap().ranges, [0..3]);
//! ```

mod blocking;
mod document;
mod error;
mod folder;
mod gaps;
mod places;
mod schema;
mod session;
mod survey;
mod write;

use std::path::{Path, PathBuf};
use std::time::Duration;

use custos_core::clock::Timestamp;
use custos_core::digest::{Digest, DigestSet};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteRow,
    SqliteSynchronous,
};
use sqlx::{ConnectOptions as _, Row as _, SqliteExecutor};

pub use blocking::Store;
pub use error::StoreError;
pub use gaps::{Gaps, Leaf, MAX_GAPS, MAX_LEAF_SIGNERS, Unstated};
pub use places::MAX_PLACES;
pub use schema::SCHEMA_VERSION;
pub use session::{Alone, Session};
pub use survey::{Claim, Survey};
pub use write::{Draft, Entry, Staged};

use folder::Folder;

/// Largest bundle that lies in the database itself.
pub const MAX_INLINE_BYTES: usize = 1 << 20;
/// Most statements that one search returns.
pub const MAX_ROWS: usize = 10_000;

// Statements found through the rows of a table. Everything that comes from outside is bound: these
// texts are constants, and `sqlx` takes no others.
macro_rules! hits {
    (via $table:literal, $condition:literal) => {
        concat!(
            "SELECT DISTINCT s.bundle_digest, s.predicate_type, s.log_index, k.key_id FROM ",
            $table,
            " x
            JOIN statement s ON s.org = x.org AND s.project = x.project
              AND s.bundle_digest = x.bundle_digest
            LEFT JOIN signer k ON k.org = s.org AND k.project = s.project
              AND k.bundle_digest = s.bundle_digest
            WHERE x.org = $1 AND x.project = $2 AND ",
            $condition
        )
    };
}

// Opening a new database in WAL mode needs it alone for a moment, and SQLite does not wait then.
const OPEN_PAUSE: Duration = Duration::from_millis(20);

/// Whether a store may be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(
    clippy::exhaustive_enums,
    reason = "there is no third way to open a store"
)]
pub enum Mode {
    /// It must be there, and is not changed.
    ReadOnly,
    /// It is made if it is not there, and brought to the newest schema.
    ReadWrite,
}

/// How a store is opened.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StoreOptions {
    /// Whether it may be written.
    pub mode: Mode,
    /// Organisation whose rows are read and written.
    pub org: String,
    /// Project whose rows are read and written.
    pub project: String,
    /// How long to wait for another process.
    pub patience: Duration,
    /// Largest database, in bytes; full beyond it.
    pub quota: Option<u64>,
    /// Connections at the same time.
    pub connections: u32,
}

impl StoreOptions {
    /// Returns the options of a store that is only read: one connection, 10 s of patience.
    pub fn read_only() -> Self {
        Self {
            mode: Mode::ReadOnly,
            org: "default".to_owned(),
            project: "default".to_owned(),
            patience: Duration::from_secs(10),
            quota: None,
            connections: 1,
        }
    }

    /// Returns the same for a store that is written.
    pub fn read_write() -> Self {
        Self {
            mode: Mode::ReadWrite,
            ..Self::read_only()
        }
    }

    /// Returns it for the rows of another organisation and project.
    pub fn in_scope(self, org: impl Into<String>, project: impl Into<String>) -> Self {
        Self {
            org: org.into(),
            project: project.into(),
            ..self
        }
    }

    /// Returns it with another patience.
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Returns it with a largest size of the database.
    pub fn with_quota(self, bytes: u64) -> Self {
        Self {
            quota: Some(bytes),
            ..self
        }
    }

    /// Returns it with this many connections.
    pub fn with_connections(self, connections: u32) -> Self {
        Self {
            connections,
            ..self
        }
    }
}

/// The store, for programs with an async runtime.
#[derive(Debug, Clone)]
pub struct AsyncStore {
    pool: SqlitePool,
    folder: Folder,
    path: PathBuf,
    options: StoreOptions,
}

/// What the index says about a stored statement: where to look, never evidence.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Hit {
    /// Index in the log that it claims.
    pub log_index: Option<u64>,
    /// SHA-256 of the bundle.
    pub bundle_digest: Digest,
    /// Predicate type that it claims.
    pub predicate_type: String,
    /// Key that it claims to be signed with.
    pub key_id: Option<String>,
}

impl AsyncStore {
    /// Opens the database at `path`; large bundles lie in the folder `blobs` beside it.
    ///
    /// A database of a later schema is refused, an older one is brought up to date unless it is
    /// only read. `now` is written beside each migration.
    pub async fn open(
        path: &Path,
        options: StoreOptions,
        now: Timestamp,
    ) -> Result<Self, StoreError> {
        let parent = path.parent().unwrap_or_else(|| Path::new("."));
        if options.mode == Mode::ReadOnly && !path.exists() {
            return Err(StoreError::NoStore {
                path: path.to_owned(),
            });
        }
        if options.mode == Mode::ReadWrite {
            std::fs::create_dir_all(parent)
                .map_err(|error| StoreError::io("create", parent, &error))?;
        }
        let connect = prepare(path, &options, now).await?;
        let pool = SqlitePoolOptions::new()
            .max_connections(options.connections.max(1))
            .acquire_timeout(options.patience.max(Duration::from_secs(1)))
            .connect_lazy_with(connect);
        let folder = Folder::new(parent.join("blobs"));
        Ok(Self {
            pool,
            folder,
            path: path.to_owned(),
            options,
        })
    }

    /// Returns the path of the database.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the stored bytes of a digest, which they are checked against.
    pub async fn bundle(&self, digest: &Digest) -> Result<Vec<u8>, StoreError> {
        self.read(&self.pool, digest).await
    }

    /// Finds statements with a subject that shares a digest with this set, in the order of the
    /// log.
    pub async fn about(&self, artifact: &DigestSet) -> Result<Vec<Hit>, StoreError> {
        let sql = hits!(via "subject", "x.digest = $3 LIMIT $4");
        self.by_digests(sql, artifact).await
    }

    /// Finds statements of steps that read or used something that shares a digest with this set.
    pub async fn using(&self, artifact: &DigestSet) -> Result<Vec<Hit>, StoreError> {
        let sql = hits!(via "material", "x.digest = $3 LIMIT $4");
        self.by_digests(sql, artifact).await
    }

    /// Finds the latest statements of this predicate type with a subject of this name: only to
    /// explain a break, since a name proves nothing.
    pub async fn named(
        &self,
        name: &str,
        predicate_type: &str,
        limit: u32,
    ) -> Result<Vec<Hit>, StoreError> {
        let sql = hits!(via "subject",
            "x.name = $3 AND s.predicate_type = $4 ORDER BY s.log_index DESC LIMIT $5");
        let query = self
            .scoped(sql)
            .bind(name)
            .bind(predicate_type)
            .bind(i64::from(limit));
        let rows = query
            .fetch_all(&self.pool)
            .await
            .map_err(|error| self.fail(&error))?;
        self.hits(&rows)
    }

    /// Finds evaluation plans by the digest of their predicate.
    pub async fn plans(&self, predicate: &Digest) -> Result<Vec<Hit>, StoreError> {
        let sql = hits!(via "statement", "x.predicate_digest = $3 LIMIT $4");
        self.search(sql, &predicate.to_string()).await
    }

    /// Finds statements that claim to be signed with a key, for the day that key is lost.
    pub async fn signed_with(&self, key_id: &str) -> Result<Vec<Hit>, StoreError> {
        let sql = hits!(via "signer", "x.key_id = $3 LIMIT $4");
        self.search(sql, key_id).await
    }

    /// Returns the digests of all stored bundles, staged ones included, in order.
    pub async fn bundles(&self) -> Result<Vec<Digest>, StoreError> {
        self.bundles_in(&self.pool).await
    }

    async fn bundles_in(&self, from: impl SqliteExecutor<'_>) -> Result<Vec<Digest>, StoreError> {
        let sql = "SELECT digest FROM blob WHERE org = $1 AND project = $2 ORDER BY digest";
        let rows = self.scoped(sql).fetch_all(from).await;
        let rows = rows.map_err(|error| self.fail(&error))?;
        rows.iter().map(|row| digest_of(row, 0, "blob")).collect()
    }

    // From the pool, or inside of a transaction: the pool may have one connection only.
    async fn read(
        &self,
        from: impl SqliteExecutor<'_>,
        digest: &Digest,
    ) -> Result<Vec<u8>, StoreError> {
        let sql = "SELECT data FROM blob WHERE org = $1 AND project = $2 AND digest = $3";
        let row = self
            .scoped(sql)
            .bind(digest.to_string())
            .fetch_optional(from)
            .await
            .map_err(|error| self.fail(&error))?;
        let Some(row) = row else {
            return Err(StoreError::NotFound { digest: *digest });
        };
        let data: Option<Vec<u8>> = row.try_get(0).map_err(|error| self.fail(&error))?;
        if let Some(bytes) = data {
            return folder::checked(bytes, digest);
        }
        let (folder, digest) = (self.folder.clone(), *digest);
        self.in_background(move || folder.get(&digest)).await
    }

    /// Asks SQLite to look its file over, and returns what it finds; empty if it is sound.
    pub async fn inspect(&self) -> Result<Vec<String>, StoreError> {
        let rows = sqlx::query("PRAGMA quick_check(100)")
            .fetch_all(&self.pool)
            .await;
        let rows = rows.map_err(|error| self.fail(&error))?;
        let mut found = Vec::new();
        for row in &rows {
            found.push(
                row.try_get::<String, _>(0)
                    .map_err(|error| self.fail(&error))?,
            );
        }
        found.retain(|line| line != "ok");
        Ok(found)
    }

    /// Closes all connections.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    fn scoped<'q>(
        &'q self,
        sql: &'static str,
    ) -> sqlx::query::Query<'q, sqlx::Sqlite, sqlx::sqlite::SqliteArguments> {
        sqlx::query(sql)
            .bind(self.options.org.as_str())
            .bind(self.options.project.as_str())
    }

    async fn by_digests(
        &self,
        sql: &'static str,
        artifact: &DigestSet,
    ) -> Result<Vec<Hit>, StoreError> {
        let mut found = Vec::new();
        for (name, hex) in artifact.iter() {
            found.extend(self.search(sql, &format!("{name}:{hex}")).await?);
        }
        found.sort_by_key(|hit| (hit.log_index.unwrap_or(u64::MAX), hit.bundle_digest));
        found.dedup();
        if found.len() > MAX_ROWS {
            return Err(StoreError::TooMany { limit: MAX_ROWS });
        }
        Ok(found)
    }

    async fn search(&self, sql: &'static str, key: &str) -> Result<Vec<Hit>, StoreError> {
        let limit = i64::try_from(MAX_ROWS)
            .unwrap_or(i64::MAX)
            .saturating_add(1);
        let rows = self
            .scoped(sql)
            .bind(key)
            .bind(limit)
            .fetch_all(&self.pool)
            .await;
        let rows = rows.map_err(|error| self.fail(&error))?;
        if rows.len() > MAX_ROWS {
            return Err(StoreError::TooMany { limit: MAX_ROWS });
        }
        let mut hits = self.hits(&rows)?;
        hits.sort_by_key(|hit| (hit.log_index.unwrap_or(u64::MAX), hit.bundle_digest));
        Ok(hits)
    }

    fn hits(&self, rows: &[SqliteRow]) -> Result<Vec<Hit>, StoreError> {
        let text = |row: &SqliteRow, column: usize| {
            row.try_get::<String, _>(column)
                .map_err(|error| self.fail(&error))
        };
        rows.iter()
            .map(|row| {
                Ok(Hit {
                    log_index: index_of(row, 2)?,
                    bundle_digest: digest_of(row, 0, "statement")?,
                    predicate_type: text(row, 1)?,
                    key_id: row.try_get(3).map_err(|error| self.fail(&error))?,
                })
            })
            .collect()
    }

    fn fail(&self, error: &sqlx::Error) -> StoreError {
        StoreError::database(&self.path, error)
    }

    // Files are read and written on threads that may wait.
    async fn in_background<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        tokio::task::spawn_blocking(work)
            .await
            .map_err(|error| StoreError::Io {
                operation: "use",
                path: self.path.clone(),
                kind: std::io::ErrorKind::Other,
                message: error.to_string(),
            })?
    }
}

// Opens one connection first: it finds out what is wrong with the file, and brings it up to date.
async fn prepare(
    path: &Path,
    options: &StoreOptions,
    now: Timestamp,
) -> Result<SqliteConnectOptions, StoreError> {
    let mut connect = SqliteConnectOptions::new()
        .filename(path)
        .foreign_keys(true)
        .busy_timeout(options.patience)
        .synchronous(SqliteSynchronous::Full);
    connect = match options.mode {
        Mode::ReadOnly => connect.read_only(true),
        Mode::ReadWrite => connect
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal),
    };
    if let Some(quota) = options.quota {
        connect = connect.pragma("max_page_count", (quota / 4096).max(1).to_string());
    }
    // While opening, the pauses here are the patience: SQLite does not always wait by itself.
    let mut left = options.patience;
    loop {
        let hasty = connect.clone().busy_timeout(OPEN_PAUSE);
        match attempt(&hasty, path, options.mode, now).await {
            Err(StoreError::Busy { .. }) if !left.is_zero() => {
                tokio::time::sleep(OPEN_PAUSE).await;
                left = left.saturating_sub(OPEN_PAUSE);
            }
            // A store on a medium that cannot be written has no room for SQLite's own files, and
            // nobody changes it.
            Err(StoreError::Database { code: Some(14), .. })
                if options.mode == Mode::ReadOnly && !beside(path, "-wal").exists() =>
            {
                let connect = connect.immutable(true);
                attempt(&connect, path, options.mode, now).await?;
                return Ok(connect);
            }
            // SQLite only says that it cannot open the file; the system says why.
            Err(StoreError::Database {
                code: Some(14),
                message,
                ..
            }) if options.mode == Mode::ReadWrite => {
                return Err(why_not_opened(path, message));
            }
            Err(error) => return Err(error),
            Ok(()) => return Ok(connect),
        }
    }
}

fn why_not_opened(path: &Path, message: String) -> StoreError {
    // The write-ahead log lies beside the database, so the folder has to be writable too.
    let probe = beside(path, "-probe");
    let outcome = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&probe);
    if let Err(error) = outcome {
        return StoreError::io("open", path, &error);
    }
    // Best effort: an empty file that nothing reads.
    let _ = std::fs::remove_file(&probe);
    StoreError::Database {
        path: path.to_owned(),
        code: Some(14),
        message,
    }
}

async fn attempt(
    connect: &SqliteConnectOptions,
    path: &Path,
    mode: Mode,
    now: Timestamp,
) -> Result<(), StoreError> {
    let connection = connect.clone().disable_statement_logging().connect().await;
    let mut connection = connection.map_err(|error| StoreError::database(path, &error))?;
    let outcome = match mode {
        Mode::ReadWrite => schema::migrate(&mut connection, path, now).await,
        Mode::ReadOnly => match schema::check(&mut connection, path).await {
            Ok(Some(found)) if found < SCHEMA_VERSION => Err(StoreError::OlderSchema {
                path: path.to_owned(),
                found,
            }),
            Ok(Some(_)) => Ok(()),
            Ok(None) => Err(StoreError::NoStore {
                path: path.to_owned(),
            }),
            Err(error) => Err(error),
        },
    };
    // The outcome of closing is not ours: nothing is open.
    let _ = sqlx::Connection::close(connection).await;
    outcome
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn digest_of(row: &SqliteRow, column: usize, table: &'static str) -> Result<Digest, StoreError> {
    let damaged = |message: String| StoreError::Row { table, message };
    let text: String = row
        .try_get(column)
        .map_err(|error| damaged(error.to_string()))?;
    text.parse()
        .map_err(|error: custos_core::digest::DigestError| damaged(error.to_string()))
}

fn index_of(row: &SqliteRow, column: usize) -> Result<Option<u64>, StoreError> {
    let damaged = |message: String| StoreError::Row {
        table: "statement",
        message,
    };
    let index: Option<i64> = row
        .try_get(column)
        .map_err(|error| damaged(error.to_string()))?;
    index
        .map(|index| u64::try_from(index).map_err(|_| damaged(format!("log index {index}"))))
        .transpose()
}
