//! [`Disk`]: the few file operations that the engine needs, so that a simulated disk can stand in.
//!
//! Paths are relative to the log's folder and use `/`. What a call makes durable is part of its
//! contract; everything else may be lost at a power cut, in any combination. All files of a log
//! lie on one file system, because [`Disk::sync_all`] syncs one.

mod os;
pub mod sim;

pub use os::OsDisk;

use std::any::Any;
use std::fmt;
use std::io;

/// File operations below one folder.
pub trait Disk: Send + Sync + fmt::Debug {
    /// Opens a file to read and write; creates it (and the folders above) if `create`.
    fn open(&self, path: &str, create: bool) -> Result<Box<dyn DiskFile>, DiskError>;

    /// Reads a whole file of at most `limit` bytes.
    fn read(&self, path: &str, limit: usize) -> Result<Vec<u8>, DiskError>;

    /// Writes a whole file, made anew or emptied first; creates the folders above. Not durable.
    fn write(&self, path: &str, bytes: &[u8]) -> Result<(), DiskError>;

    /// Renames a file over another. Atomic for readers, not durable.
    fn rename(&self, from: &str, to: &str) -> Result<(), DiskError>;

    /// Removes a file, or an empty folder. Not durable.
    fn remove(&self, path: &str) -> Result<(), DiskError>;

    /// Returns the names in a folder, in no order; none if there is no such folder.
    fn list(&self, dir: &str) -> Result<Vec<String>, DiskError>;

    /// Makes the names in a folder durable; `""` is the log's folder.
    fn sync_dir(&self, dir: &str) -> Result<(), DiskError>;

    /// Makes everything durable that was written before: contents and names.
    fn sync_all(&self) -> Result<(), DiskError>;

    /// Takes the exclusive lock on the log's folder, which is made if need be, waiting at most
    /// `wait_ms`; the lock ends when the guard is dropped or the process dies. `None` if it was
    /// not free in time.
    ///
    /// It is no lock file's, because people remove those, and two writers make a fork.
    fn lock(&self, wait_ms: u64) -> Result<Option<LockGuard>, DiskError>;
}

/// An open file.
pub trait DiskFile: Send + Sync {
    /// Returns the length.
    fn size(&self) -> Result<u64, DiskError>;

    /// Reads up to `len` bytes at `offset`; fewer at the end of the file.
    fn read_at(&self, offset: u64, len: usize) -> Result<Vec<u8>, DiskError>;

    /// Writes the parts one behind the other from `offset` on, extending the file if need be. Not
    /// durable.
    fn write_at(&self, offset: u64, parts: &[&[u8]]) -> Result<(), DiskError>;

    /// Makes the contents and the length durable, not the name. After an error nothing is known
    /// about the contents, and the process must end.
    fn sync_data(&self) -> Result<(), DiskError>;
}

/// Keeps a lock until it is dropped.
pub struct LockGuard {
    _held: Box<dyn Any + Send>,
}

impl LockGuard {
    /// Returns a guard that releases the lock by dropping `held`.
    pub fn new(held: Box<dyn Any + Send>) -> Self {
        Self { _held: held }
    }
}

impl fmt::Debug for LockGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LockGuard")
    }
}

/// A file operation that failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{operation} of {path} failed: {kind}")]
#[non_exhaustive]
pub struct DiskError {
    /// Such as `write`.
    pub operation: &'static str,
    /// Which file.
    pub path: String,
    /// What the system says.
    pub kind: io::ErrorKind,
    /// The system's error number.
    pub code: Option<i32>,
}

impl DiskError {
    /// Returns the error of an operation on a path.
    pub fn new(operation: &'static str, path: &str, error: &io::Error) -> Self {
        Self {
            operation,
            path: path.to_owned(),
            kind: error.kind(),
            code: error.raw_os_error(),
        }
    }

    /// Returns true if the file is not there.
    pub fn is_not_found(&self) -> bool {
        self.kind == io::ErrorKind::NotFound
    }

    /// Returns true if the file is larger than what was asked for allows.
    pub fn is_too_large(&self) -> bool {
        self.kind == io::ErrorKind::FileTooLarge
    }

    /// Returns true if there is no room, on the disk or in a quota.
    pub fn is_full(&self) -> bool {
        matches!(
            self.kind,
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
        )
    }

    /// Returns true if a sync failed, after which the process must end.
    pub fn is_sync(&self) -> bool {
        self.operation == SYNC
    }
}

/// The operation name of a failed sync.
pub(crate) const SYNC: &str = "sync";
