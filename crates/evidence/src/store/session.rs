//! Who stands between the log and the index.
//!
//! A writer stages, logs and indexes, one after the other; in between its entry is in the log and
//! its draft in the store. For that time it holds the file `custos.db-lock` shared. Whoever holds
//! that file alone has no living writer beside it: what is staged then is what a crash left, and
//! what the log has and the index does not is missing.
//!
//! The lock is the system's (`flock`), so it ends with its process, however that ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{AsyncStore, Store, StoreError, beside};

// How often a held lock is tried.
const PAUSE: Duration = Duration::from_millis(10);

/// A writer's time between draft and index; it ends when this is dropped.
#[derive(Debug)]
#[must_use = "the lock ends when this is dropped"]
pub struct Session {
    _file: File,
}

/// Time in which no writer stands between draft and index; it ends when this is dropped.
#[derive(Debug)]
#[must_use = "the lock ends when this is dropped"]
pub struct Alone {
    _file: File,
}

impl AsyncStore {
    /// Returns a session to stage and commit in, beside other writers.
    pub async fn writing(&self) -> Result<Session, StoreError> {
        self.must_be_writable()?;
        let file = self.locked(File::try_lock_shared, self.patience()).await?;
        Ok(Session { _file: file })
    }

    /// Waits until no writer stands between log and index, and keeps others from it.
    pub async fn alone(&self, patience: Duration) -> Result<Alone, StoreError> {
        let file = self.locked(File::try_lock, patience).await?;
        Ok(Alone { _file: file })
    }

    /// Returns how long this store waits for another process.
    pub const fn patience(&self) -> Duration {
        self.options.patience
    }

    async fn locked(
        &self,
        lock: impl Fn(&File) -> Result<(), TryLockError>,
        patience: Duration,
    ) -> Result<File, StoreError> {
        let path = beside(&self.path, "-lock");
        let file = open(&path)?;
        let mut left = patience;
        loop {
            match lock(&file) {
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) if left.is_zero() => {
                    return Err(StoreError::Busy { path });
                }
                Err(TryLockError::WouldBlock) => {
                    tokio::time::sleep(PAUSE).await;
                    left = left.saturating_sub(PAUSE);
                }
                Err(TryLockError::Error(error)) => {
                    return Err(StoreError::io("lock", &path, &error));
                }
            }
        }
    }
}

impl Store {
    /// Returns a session to stage and commit in; see [`AsyncStore::writing`].
    pub fn writing(&self) -> Result<Session, StoreError> {
        self.wait(self.inner().writing())
    }

    /// Waits until no writer stands between log and index; see [`AsyncStore::alone`].
    pub fn alone(&self, patience: Duration) -> Result<Alone, StoreError> {
        self.wait(self.inner().alone(patience))
    }

    /// Returns how long this store waits for another process.
    pub const fn patience(&self) -> Duration {
        self.inner().patience()
    }
}

// A store that may only be read has no writers, or a file that they made.
fn open(path: &PathBuf) -> Result<File, StoreError> {
    let made = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path);
    made.or_else(|error| File::open(path).map_err(|_| error))
        .map_err(|error| StoreError::io("open", Path::new(path), &error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::StoreOptions;
    use custos_core::clock::Timestamp;

    #[test]
    fn writers_share_and_whoever_settles_is_alone() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("custos.db");
        let hasty = StoreOptions::read_write().with_patience(Duration::from_millis(30));
        let store = Store::open(&path, hasty, Timestamp::from_seconds(1)).unwrap();
        let (one, two) = (store.writing().unwrap(), store.writing().unwrap());
        let busy = Err(StoreError::Busy {
            path: beside(&path, "-lock"),
        });
        assert_eq!(store.alone(store.patience()).map(|_| ()), busy);
        drop((one, two));
        let alone = store.alone(Duration::ZERO).unwrap();
        assert_eq!(store.writing().map(|_| ()), busy);
        drop(alone);
        drop(store.writing().unwrap());
        let reader = StoreOptions::read_only().with_patience(Duration::ZERO);
        let reader = Store::open(&path, reader, Timestamp::from_seconds(1)).unwrap();
        assert!(matches!(reader.writing(), Err(StoreError::ReadOnly { .. })));
        drop(reader.alone(Duration::ZERO).unwrap());
    }
}
