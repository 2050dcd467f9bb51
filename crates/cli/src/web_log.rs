//! A log behind HTTP, read as if it lay on a disk: the tiles of C2SP tlog-tiles.
//!
//! [`custos_log::reader::LogReader`] checks every byte against the signed root, so nothing of what
//! a server answers has to be believed, and one reader serves near and far logs.

use std::io;

use custos_log::disk::{Disk, DiskError, DiskFile, LockGuard};
use custos_net::{Class, Client, NetError, Request, Url};

/// A log's prefix on a server.
#[derive(Clone)]
pub struct WebDisk {
    client: Client,
    base: Url,
}

impl WebDisk {
    /// Returns the log below `base`; `None` if that cannot be a prefix.
    pub fn new(client: Client, base: &Url) -> Option<Self> {
        let path = base.path().trim_end_matches('/');
        let base = base.with_path(&format!("{path}/")).ok()?;
        Some(Self { client, base })
    }

    fn get(&self, path: &str, limit: usize) -> io::Result<Vec<u8>> {
        let url = self
            .base
            .join(path)
            .map_err(|error| io::Error::other(error.to_string()))?;
        let mut answer = self
            .client
            .open(&Request::get(url))
            .map_err(|error| outage(&error))?;
        match answer.status() {
            200 => {}
            404 | 410 => return Err(io::ErrorKind::NotFound.into()),
            status => return Err(io::Error::other(format!("the server answers {status}"))),
        }
        let mut bytes = Vec::new();
        let mut chunk = vec![0_u8; 16 * 1024];
        loop {
            let read = answer
                .read_some(&mut chunk)
                .map_err(|error| outage(&error))?;
            let Some(part) = chunk.get(..read).filter(|part| !part.is_empty()) else {
                return Ok(bytes);
            };
            bytes.extend_from_slice(part);
            if bytes.len() > limit {
                return Err(io::ErrorKind::FileTooLarge.into());
            }
        }
    }
}

// What was never answered is an outage, whatever its reason; what was answered is judged.
fn outage(error: &NetError) -> io::Error {
    let kind = match error.class() {
        Class::Undecided => io::ErrorKind::HostUnreachable,
        _ => io::ErrorKind::ConnectionRefused,
    };
    io::Error::new(kind, error.to_string())
}

impl std::fmt::Debug for WebDisk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "WebDisk({})", self.base)
    }
}

fn read_only(operation: &'static str, path: &str) -> DiskError {
    DiskError::new(operation, path, &io::ErrorKind::ReadOnlyFilesystem.into())
}

impl Disk for WebDisk {
    fn open(&self, path: &str, _: bool) -> Result<Box<dyn DiskFile>, DiskError> {
        Err(read_only("open", path))
    }

    fn read(&self, path: &str, limit: usize) -> Result<Vec<u8>, DiskError> {
        self.get(path, limit)
            .map_err(|error| DiskError::new("read", path, &error))
    }

    fn write(&self, path: &str, _: &[u8]) -> Result<(), DiskError> {
        Err(read_only("write", path))
    }

    fn rename(&self, from: &str, _: &str) -> Result<(), DiskError> {
        Err(read_only("rename", from))
    }

    fn remove(&self, path: &str) -> Result<(), DiskError> {
        Err(read_only("remove", path))
    }

    fn list(&self, dir: &str) -> Result<Vec<String>, DiskError> {
        Err(read_only("list", dir))
    }

    fn sync_dir(&self, dir: &str) -> Result<(), DiskError> {
        Err(read_only("sync", dir))
    }

    fn sync_all(&self) -> Result<(), DiskError> {
        Err(read_only("sync", ""))
    }

    fn lock(&self, _: u64) -> Result<Option<LockGuard>, DiskError> {
        Err(read_only("lock", ""))
    }
}
