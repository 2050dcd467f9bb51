//! The store for programs without an async runtime.

use std::future::Future;
use std::path::Path;

use custos_core::clock::Timestamp;
use custos_core::digest::{Digest, DigestSet};
use tokio::runtime::{Builder, Handle, Runtime};

use super::{AsyncStore, Draft, Entry, Hit, Staged, StoreError, StoreOptions};

/// The store with blocking calls. It owns a runtime of one thread, which starts when the store is
/// opened and not before.
#[derive(Debug)]
pub struct Store {
    inner: AsyncStore,
    runtime: Runtime,
}

impl Store {
    /// Opens the database at `path`; see [`AsyncStore::open`].
    pub fn open(path: &Path, options: StoreOptions, now: Timestamp) -> Result<Self, StoreError> {
        if Handle::try_current().is_ok() {
            return Err(StoreError::InsideRuntime);
        }
        let runtime = Builder::new_current_thread()
            .enable_time()
            .build()
            .map_err(|error| StoreError::io("start the runtime", path, &error))?;
        let inner = runtime.block_on(AsyncStore::open(path, options, now))?;
        Ok(Self { inner, runtime })
    }

    /// Returns the store beneath.
    pub const fn inner(&self) -> &AsyncStore {
        &self.inner
    }

    /// Runs a future of the store beneath to its end.
    pub fn wait<T>(
        &self,
        future: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        if Handle::try_current().is_ok() {
            return Err(StoreError::InsideRuntime);
        }
        self.runtime.block_on(future)
    }

    /// Makes signed bundles durable before they are logged; see [`AsyncStore::stage`].
    pub fn stage(&self, drafts: Vec<Draft>, now: Timestamp) -> Result<Vec<Staged>, StoreError> {
        self.wait(self.inner.stage(drafts, now))
    }

    /// Stores and indexes bundles after the log; see [`AsyncStore::commit`].
    pub fn commit(&self, entries: Vec<Entry>, now: Timestamp) -> Result<Vec<Digest>, StoreError> {
        self.wait(self.inner.commit(entries, now))
    }

    /// Returns what was staged and not finished.
    pub fn staged(&self) -> Result<Vec<Staged>, StoreError> {
        self.wait(self.inner.staged())
    }

    /// Forgets staged drafts that will not be logged.
    pub fn drop_staged(&self, staged: &[Staged]) -> Result<(), StoreError> {
        self.wait(self.inner.drop_staged(staged))
    }

    /// Returns stored bytes; see [`AsyncStore::bundle`].
    pub fn bundle(&self, digest: &Digest) -> Result<Vec<u8>, StoreError> {
        self.wait(self.inner.bundle(digest))
    }

    /// Returns the digests of all stored bundles.
    pub fn bundles(&self) -> Result<Vec<Digest>, StoreError> {
        self.wait(self.inner.bundles())
    }

    /// Finds statements about an artifact; see [`AsyncStore::about`].
    pub fn about(&self, artifact: &DigestSet) -> Result<Vec<Hit>, StoreError> {
        self.wait(self.inner.about(artifact))
    }

    /// Finds statements of steps that used an artifact; see [`AsyncStore::using`].
    pub fn using(&self, artifact: &DigestSet) -> Result<Vec<Hit>, StoreError> {
        self.wait(self.inner.using(artifact))
    }

    /// Finds statements that claim to be signed with a key.
    pub fn signed_with(&self, key_id: &str) -> Result<Vec<Hit>, StoreError> {
        self.wait(self.inner.signed_with(key_id))
    }

    /// Erases a bundle and its rows.
    pub fn erase(&self, digest: &Digest) -> Result<(), StoreError> {
        self.wait(self.inner.erase(digest))
    }

    /// Asks SQLite to look its file over.
    pub fn inspect(&self) -> Result<Vec<String>, StoreError> {
        self.wait(self.inner.inspect())
    }
}

impl Drop for Store {
    // Without it SQLite's log would stay beside the database until somebody opens it again.
    fn drop(&mut self) {
        if Handle::try_current().is_err() {
            self.runtime.block_on(self.inner.close());
        }
    }
}
