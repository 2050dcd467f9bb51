//! Documents that statements refer to by digest and that are no bundles: the complete input of a
//! decision, without which it could not be evaluated again.
//!
//! They lie in the folder `documents` beside the database, named by their digest, and no index
//! leads to them: whoever looks for one has the digest from a verified statement.

use custos_core::digest::Digest;

use super::folder::Folder;
use super::{AsyncStore, Mode, Store, StoreError};

impl AsyncStore {
    /// Keeps a document; durable when this returns.
    pub async fn keep_document(&self, bytes: Vec<u8>) -> Result<Digest, StoreError> {
        if self.options.mode == Mode::ReadOnly {
            return Err(StoreError::ReadOnly {
                path: self.path.clone(),
            });
        }
        let folder = self.documents();
        self.in_background(move || folder.put(&bytes)).await
    }

    /// Returns a document, whose bytes are checked against the digest.
    pub async fn document(&self, digest: &Digest) -> Result<Vec<u8>, StoreError> {
        let (folder, digest) = (self.documents(), *digest);
        self.in_background(move || folder.get(&digest)).await
    }

    fn documents(&self) -> Folder {
        let parent = self
            .path
            .parent()
            .unwrap_or_else(|| std::path::Path::new("."));
        Folder::new(parent.join("documents"))
    }
}

impl Store {
    /// Keeps a document; see [`AsyncStore::keep_document`].
    pub fn keep_document(&self, bytes: &[u8]) -> Result<Digest, StoreError> {
        self.wait(self.inner().keep_document(bytes.to_vec()))
    }

    /// Returns a document; see [`AsyncStore::document`].
    pub fn document(&self, digest: &Digest) -> Result<Vec<u8>, StoreError> {
        self.wait(self.inner().document(digest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::StoreOptions;
    use custos_core::clock::Timestamp;
    use custos_core::digest::Algorithm;

    #[test]
    fn a_document_comes_back_or_is_an_error() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("custos.db");
        let now = Timestamp::from_seconds(1);
        let store = Store::open(&path, StoreOptions::read_write(), now).unwrap();
        let digest = store.keep_document(b"{}").unwrap();
        assert_eq!(digest, Algorithm::Sha256.digest(b"{}"));
        assert_eq!(store.document(&digest).unwrap(), b"{}");
        let other = Algorithm::Sha256.digest(b"other");
        assert_eq!(
            store.document(&other),
            Err(StoreError::NotFound { digest: other })
        );
        drop(store);
        let reader = Store::open(&path, StoreOptions::read_only(), now).unwrap();
        assert!(matches!(
            reader.keep_document(b"x"),
            Err(StoreError::ReadOnly { .. })
        ));
        assert_eq!(reader.document(&digest).unwrap(), b"{}");
    }
}
