//! Why the store did not do what it was asked.

use std::io;
use std::path::{Path, PathBuf};

use custos_core::digest::Digest;

use crate::parts::PartsError;

/// Why the store did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The bundle does not go into the store.
    #[error(transparent)]
    Bundle(#[from] PartsError),
    /// Another process holds the database, and went on holding it; SQLite says the same of a file
    /// system that has no locks.
    #[error("another process holds {path}, or its file system has no locks")]
    Busy {
        /// The database.
        path: PathBuf,
    },
    /// The database is damaged, or is none.
    #[error("{path} is damaged: {message}")]
    Corrupt {
        /// The database.
        path: PathBuf,
        /// What SQLite says.
        message: String,
    },
    /// The database failed in a way that has no variant of its own here.
    #[error("{path}: {message}")]
    Database {
        /// The database.
        path: PathBuf,
        /// SQLite's extended result code, if there is one.
        code: Option<i64>,
        /// What SQLite says.
        message: String,
    },
    /// Stored bytes are not those that their name promises: damage or tampering.
    #[error("the stored bytes of {digest} hash to {found}")]
    DigestMismatch {
        /// The name.
        digest: Digest,
        /// What the bytes hash to.
        found: Digest,
    },
    /// No room left on the disk, or the store's quota is used up. Nothing was stored.
    #[error("no room left for {path}")]
    DiskFull {
        /// What could not be written.
        path: PathBuf,
    },
    /// The blocking store was used inside of an async runtime, which it would stop.
    #[error("the blocking store cannot be used inside of an async runtime")]
    InsideRuntime,
    /// Reading or writing a file failed. Nothing was acknowledged.
    #[error("{operation} of {path} failed: {message}")]
    Io {
        /// Such as `read`.
        operation: &'static str,
        /// Which file.
        path: PathBuf,
        /// What kind of failure.
        kind: io::ErrorKind,
        /// What the system says.
        message: String,
    },
    /// The database was written by a later version.
    #[error("{path} has schema version {found}; this version knows up to {known}")]
    NewerSchema {
        /// The database.
        path: PathBuf,
        /// Version found.
        found: i64,
        /// Newest version known.
        known: i64,
    },
    /// The file system does not give SQLite locks or shared memory.
    #[error("the file system of {path} has no locks or no shared memory, which a store needs")]
    NoLocks {
        /// The database.
        path: PathBuf,
    },
    /// There is no store at this place, and none may be made.
    #[error("there is no evidence store at {path}")]
    NoStore {
        /// The database.
        path: PathBuf,
    },
    /// The database was written by an earlier version, and may only be read.
    #[error(
        "{path} has the older schema version {found}; opened for writing it is brought up to date"
    )]
    OlderSchema {
        /// The database.
        path: PathBuf,
        /// Version found.
        found: i64,
    },
    /// The bytes of this digest are not in the store: never put, or erased.
    #[error("the store does not have the bytes of {digest}")]
    NotFound {
        /// The digest.
        digest: Digest,
    },
    /// The bundle is not that of the staged statement.
    #[error("the bundle to index is not the one that was staged")]
    NotTheStagedOne,
    /// A row holds what this store never writes.
    #[error("a row of {table} is damaged: {message}")]
    Row {
        /// The table.
        table: &'static str,
        /// What is wrong.
        message: String,
    },
    /// The store may not be written.
    #[error("{path} is read-only")]
    ReadOnly {
        /// The database.
        path: PathBuf,
    },
    /// A search met more than this many statements.
    #[error("more than {limit} statements match")]
    TooMany {
        /// The limit.
        limit: usize,
    },
    /// More bytes than a bundle may have.
    #[error("{found} bytes, the limit is {limit}")]
    TooLarge {
        /// The limit.
        limit: usize,
        /// Bytes found.
        found: u64,
    },
}

impl StoreError {
    /// Returns true if one bundle is lost or damaged, and the store itself is not.
    pub const fn is_of_one_bundle(&self) -> bool {
        matches!(
            self,
            Self::Bundle(_)
                | Self::DigestMismatch { .. }
                | Self::NotFound { .. }
                | Self::TooLarge { .. }
        )
    }

    pub(crate) fn io(operation: &'static str, path: &Path, error: &io::Error) -> Self {
        let path = path.to_owned();
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull { path },
            io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly { path },
            kind => Self::Io {
                operation,
                path,
                kind,
                message: error.to_string(),
            },
        }
    }

    // Primary result codes are the low byte: https://www.sqlite.org/rescode.html
    pub(crate) fn database(path: &Path, error: &sqlx::Error) -> Self {
        let path = path.to_owned();
        if let sqlx::Error::PoolTimedOut = error {
            return Self::Busy { path };
        }
        let Some(database) = error.as_database_error() else {
            return Self::Database {
                path,
                code: None,
                message: error.to_string(),
            };
        };
        let message = database.message().to_owned();
        let code: Option<i64> = database.code().and_then(|code| code.parse().ok());
        match code {
            // Read, unlock, check and take a lock; open, take and map shared memory.
            Some(2058 | 2314 | 3594 | 3850 | 4618 | 5130 | 5386) => return Self::NoLocks { path },
            // A reader too makes room for shared memory.
            Some(4874) => return Self::DiskFull { path },
            _ => {}
        }
        match code.map(|code| code & 0xff) {
            Some(5 | 6) => Self::Busy { path },
            Some(8) => Self::ReadOnly { path },
            Some(11 | 26) => Self::Corrupt { path, message },
            Some(13) => Self::DiskFull { path },
            Some(15) => Self::NoLocks { path },
            _ => Self::Database {
                path,
                code,
                message,
            },
        }
    }
}
