//! Large bundles, in files named by their digest: `sha256/ab/<hex>`.
//!
//! A file appears whole or not at all: it is written under another name, synced, renamed, and the
//! folders are synced, in this order. A sync that fails is not tried again, since a second try
//! may succeed without the data being there; the file is given up and the error returned.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use custos_core::digest::{Algorithm, Digest};
use custos_core::limits::Limits;

use super::StoreError;

/// A folder of content-addressed files.
#[derive(Debug, Clone)]
pub(crate) struct Folder {
    root: PathBuf,
}

// Together with the process id it names temporary files that nobody else writes.
static COUNTER: AtomicU64 = AtomicU64::new(0);

impl Folder {
    pub(crate) const fn new(root: PathBuf) -> Self {
        Self { root }
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        let hex = digest.to_hex();
        let shard = hex.get(..2).unwrap_or("00").to_owned();
        self.root
            .join(digest.algorithm().name())
            .join(shard)
            .join(hex)
    }

    /// Writes bytes under their digest; durable when this returns.
    pub(crate) fn put(&self, bytes: &[u8]) -> Result<Digest, StoreError> {
        let digest = Algorithm::Sha256.digest(bytes);
        let path = self.path(&digest);
        // A damaged file of that name is replaced.
        if self.get(&digest).is_ok() {
            return Ok(digest);
        }
        let parent = path.parent().unwrap_or(&self.root).to_owned();
        self.make_folders(&parent)?;
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let temporary = parent.join(format!("tmp-{}-{number}", std::process::id()));
        let outcome = write_synced(&temporary, bytes).and_then(|()| {
            fs::rename(&temporary, &path).map_err(|error| StoreError::io("rename", &path, &error))
        });
        if outcome.is_err() {
            // Best effort: what is left over has a name that nothing reads.
            let _ = fs::remove_file(&temporary);
        }
        outcome?;
        sync_folder(&parent)?;
        Ok(digest)
    }

    pub(crate) fn get(&self, digest: &Digest) -> Result<Vec<u8>, StoreError> {
        let path = self.path(digest);
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(StoreError::NotFound { digest: *digest });
            }
            Err(error) => return Err(StoreError::io("open", &path, &error)),
        };
        let limit = Limits::BUNDLE.max_bytes;
        let mut bytes = Vec::new();
        let cap = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
        (&mut file)
            .take(cap)
            .read_to_end(&mut bytes)
            .map_err(|error| StoreError::io("read", &path, &error))?;
        if bytes.len() > limit {
            let found = file.metadata().map_or(cap, |metadata| metadata.len());
            return Err(StoreError::TooLarge { limit, found });
        }
        checked(bytes, digest)
    }

    /// Removes a file; it is no error if there is none.
    pub(crate) fn remove(&self, digest: &Digest) -> Result<(), StoreError> {
        let path = self.path(digest);
        match fs::remove_file(&path) {
            Ok(()) => sync_folder(path.parent().unwrap_or(&self.root)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(StoreError::io("remove", &path, &error)),
        }
    }

    /// Returns the digests of all files, in order.
    pub(crate) fn list(&self) -> Result<Vec<Digest>, StoreError> {
        let mut found = Vec::new();
        for shard in entries(&self.root.join(Algorithm::Sha256.name()))? {
            for file in entries(&shard)? {
                let name = file
                    .file_name()
                    .and_then(|name| name.to_str())
                    .unwrap_or_default();
                // Temporary files and strangers are none of ours.
                found.extend(Digest::from_hex(Algorithm::Sha256, name).ok());
            }
        }
        found.sort_unstable();
        Ok(found)
    }

    fn make_folders(&self, parent: &Path) -> Result<(), StoreError> {
        fs::create_dir_all(parent).map_err(|error| StoreError::io("create", parent, &error))?;
        // The folders' names are entries of the folders above them. Another process may have made
        // them a moment ago without having synced them yet.
        for folder in parent.ancestors().skip(1) {
            sync_folder(folder)?;
            if folder == self.root {
                break;
            }
        }
        Ok(())
    }
}

/// Returns the bytes if they are those of the digest.
pub(crate) fn checked(bytes: Vec<u8>, digest: &Digest) -> Result<Vec<u8>, StoreError> {
    let found = Algorithm::Sha256.digest(&bytes);
    if found == *digest {
        return Ok(bytes);
    }
    let digest = *digest;
    Err(StoreError::DigestMismatch { digest, found })
}

fn write_synced(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path)
        .map_err(|error| StoreError::io("create", path, &error))?;
    file.write_all(bytes)
        .map_err(|error| StoreError::io("write", path, &error))?;
    file.sync_all()
        .map_err(|error| StoreError::io("sync", path, &error))
}

fn sync_folder(path: &Path) -> Result<(), StoreError> {
    File::open(path)
        .and_then(|folder| folder.sync_all())
        .map_err(|error| StoreError::io("sync", path, &error))
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let read = match fs::read_dir(folder) {
        Ok(read) => read,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Ok(Vec::new()),
        Err(error) => return Err(StoreError::io("list", folder, &error)),
    };
    read.map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()
        .map_err(|error| StoreError::io("list", folder, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_appear_whole_and_are_checked_when_read() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::new(dir.path().join("blobs"));
        let digest = folder.put(b"bundle").unwrap();
        assert_eq!(folder.put(b"bundle").unwrap(), digest);
        assert_eq!(folder.get(&digest).unwrap(), b"bundle");
        assert_eq!(folder.list().unwrap(), [digest]);
        // A damaged file is noticed, and healed by the next put.
        fs::write(folder.path(&digest), b"bundlE").unwrap();
        assert!(matches!(
            folder.get(&digest),
            Err(StoreError::DigestMismatch { .. })
        ));
        folder.put(b"bundle").unwrap();
        assert_eq!(folder.get(&digest).unwrap(), b"bundle");
        folder.remove(&digest).unwrap();
        folder.remove(&digest).unwrap();
        assert_eq!(folder.get(&digest), Err(StoreError::NotFound { digest }));
    }

    #[test]
    fn what_is_no_blob_is_not_listed() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::new(dir.path().to_owned());
        assert_eq!(folder.list().unwrap(), []);
        let digest = folder.put(b"x").unwrap();
        let shard = folder.path(&digest).parent().unwrap().to_owned();
        fs::write(shard.join("tmp-1-0"), b"torn").unwrap();
        fs::write(dir.path().join("sha256").join("README"), b"x").unwrap();
        assert_eq!(folder.list().unwrap(), [digest]);
    }

    #[test]
    fn system_errors_become_precise_ones() {
        let path = Path::new("/x");
        // ENOSPC, EROFS and EACCES of Linux.
        let error = |code| StoreError::io("write", path, &io::Error::from_raw_os_error(code));
        assert_eq!(error(28), StoreError::DiskFull { path: path.into() });
        assert_eq!(error(30), StoreError::ReadOnly { path: path.into() });
        let denied = io::ErrorKind::PermissionDenied;
        assert!(matches!(error(13), StoreError::Io { kind, .. } if kind == denied));
    }
}
