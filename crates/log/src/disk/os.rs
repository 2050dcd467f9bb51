// The real disk: std's files, and `syncfs` through rustix.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, IoSlice, Read as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::{Disk, DiskError, DiskFile, LockGuard, SYNC};

const LOCK_POLL_MS: u64 = 10;
// Parts that one system call takes: Linux's IOV_MAX.
const MAX_SLICES: usize = 1_024;

/// The folder of a log on a local file system.
#[derive(Debug, Clone)]
pub struct OsDisk {
    root: PathBuf,
    // A folder of each file system below, open since before anything was written: `syncfs` reports
    // the failures since then, also those of pages that the kernel wrote by itself.
    watched: Arc<Mutex<Vec<(u64, File)>>>,
}

impl OsDisk {
    /// Returns the disk of the folder `root`, which need not exist before something is written.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            watched: Arc::default(),
        }
    }

    /// Returns the folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn watch(&self) -> io::Result<()> {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        // Somebody may have moved the tiles to another disk and left a link.
        for path in ["", "tile"] {
            let folder = match File::open(self.at(path)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound && !path.is_empty() => {
                    continue;
                }
                outcome => outcome?,
            };
            let device = folder.metadata()?.dev();
            if watched.iter().all(|(known, _)| *known != device) {
                watched.push((device, folder));
            }
        }
        Ok(())
    }

    fn at(&self, path: &str) -> PathBuf {
        if path.is_empty() {
            self.root.clone()
        } else {
            self.root.join(path)
        }
    }

    // Runs `make`, and once more after creating the folders above if they were missing.
    fn with_parents<T>(&self, path: &str, make: impl Fn(&Path) -> io::Result<T>) -> io::Result<T> {
        let at = self.at(path);
        match make(&at) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if let Some(parent) = at.parent() {
                    fs::create_dir_all(parent)?;
                }
                make(&at)
            }
            outcome => outcome,
        }
    }
}

impl Disk for OsDisk {
    fn open(&self, path: &str, create: bool) -> Result<Box<dyn DiskFile>, DiskError> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(create);
        let opened = if create {
            self.with_parents(path, |at| options.open(at))
        } else {
            options.open(self.at(path))
        };
        let file = opened.map_err(|error| DiskError::new("open", path, &error))?;
        Ok(Box::new(OsFile {
            file,
            path: path.to_owned(),
        }))
    }

    fn read(&self, path: &str, limit: usize) -> Result<Vec<u8>, DiskError> {
        let read = || {
            let file = File::open(self.at(path))?;
            let bound = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
            let len = file.metadata()?.len().min(bound);
            let mut bytes = Vec::with_capacity(usize::try_from(len).unwrap_or(0));
            file.take(bound).read_to_end(&mut bytes)?;
            if bytes.len() > limit {
                Err(io::ErrorKind::FileTooLarge.into())
            } else {
                Ok(bytes)
            }
        };
        read().map_err(|error| DiskError::new("read", path, &error))
    }

    fn write(&self, path: &str, bytes: &[u8]) -> Result<(), DiskError> {
        self.with_parents(path, |at| fs::write(at, bytes))
            .map_err(|error| DiskError::new("write", path, &error))
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), DiskError> {
        fs::rename(self.at(from), self.at(to)).map_err(|error| DiskError::new("rename", to, &error))
    }

    fn remove(&self, path: &str) -> Result<(), DiskError> {
        let at = self.at(path);
        fs::remove_file(&at)
            .or_else(|error| {
                // Linux says EISDIR, POSIX EPERM.
                match error.kind() {
                    io::ErrorKind::IsADirectory | io::ErrorKind::PermissionDenied => {
                        fs::remove_dir(&at)
                    }
                    _ => Err(error),
                }
            })
            .map_err(|error| DiskError::new("remove", path, &error))
    }

    fn list(&self, dir: &str) -> Result<Vec<String>, DiskError> {
        let list = || {
            let mut names = Vec::new();
            for entry in fs::read_dir(self.at(dir))? {
                // A name that is not UTF-8 is none of ours.
                names.extend(entry?.file_name().into_string().ok());
            }
            Ok(names)
        };
        match list() {
            Err(error) if io::Error::kind(&error) == io::ErrorKind::NotFound => Ok(Vec::new()),
            outcome => outcome.map_err(|error| DiskError::new("list", dir, &error)),
        }
    }

    fn sync_dir(&self, dir: &str) -> Result<(), DiskError> {
        let at = self.at(dir);
        File::open(&at)
            .and_then(|folder| folder.sync_all())
            .and_then(|()| match at.parent().filter(|_| dir.is_empty()) {
                // The name of the log's folder itself must last as well.
                Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
                _ => Ok(()),
            })
            .map_err(|error| DiskError::new(SYNC, dir, &error))
    }

    fn sync_all(&self) -> Result<(), DiskError> {
        self.watch()
            .map_err(|error| DiskError::new(SYNC, "", &error))?;
        let watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        for (_, folder) in watched.iter() {
            rustix::fs::syncfs(folder).map_err(|e| DiskError::new(SYNC, "", &e.into()))?;
        }
        Ok(())
    }

    fn lock(&self, wait_ms: u64) -> Result<Option<LockGuard>, DiskError> {
        let failed = |error: &io::Error| DiskError::new("lock", "", error);
        let file = File::open(&self.root)
            .or_else(|error| match error.kind() {
                io::ErrorKind::NotFound => {
                    fs::create_dir_all(&self.root)?;
                    File::open(&self.root)
                }
                _ => Err(error),
            })
            .map_err(|error| failed(&error))?;
        self.watch().map_err(|error| failed(&error))?;
        // Waits are counted in sleeps, not measured: no clock is needed here.
        for _ in 0..=wait_ms.div_ceil(LOCK_POLL_MS) {
            match file.try_lock() {
                Ok(()) => return Ok(Some(LockGuard::new(Box::new(file)))),
                Err(TryLockError::WouldBlock) => {
                    thread::sleep(Duration::from_millis(LOCK_POLL_MS.min(wait_ms)));
                }
                Err(TryLockError::Error(error)) => return Err(failed(&error)),
            }
        }
        Ok(None)
    }
}

struct OsFile {
    file: File,
    path: String,
}

impl DiskFile for OsFile {
    fn size(&self) -> Result<u64, DiskError> {
        let metadata = self.file.metadata();
        metadata
            .map(|m| m.len())
            .map_err(|error| DiskError::new("read", &self.path, &error))
    }

    fn read_at(&self, offset: u64, len: usize) -> Result<Vec<u8>, DiskError> {
        let mut bytes = vec![0; len];
        let mut filled = 0_usize;
        while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            let at = offset.saturating_add(u64::try_from(filled).unwrap_or(u64::MAX));
            match self.file.read_at(rest, at) {
                Ok(0) => break,
                Ok(n) => filled = filled.saturating_add(n),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(DiskError::new("read", &self.path, &error)),
            }
        }
        bytes.truncate(filled);
        Ok(bytes)
    }

    fn write_at(&self, offset: u64, parts: &[&[u8]]) -> Result<(), DiskError> {
        let mut slices: Vec<IoSlice<'_>> = parts.iter().map(|part| IoSlice::new(part)).collect();
        let (mut rest, mut at) = (slices.as_mut_slice(), offset);
        // Empty parts in front would make a call that writes nothing look like a full disk.
        IoSlice::advance_slices(&mut rest, 0);
        while !rest.is_empty() {
            let now = rest.get(..rest.len().min(MAX_SLICES)).unwrap_or_default();
            match rustix::io::pwritev(&self.file, now, at) {
                Ok(0) => {
                    let error = io::ErrorKind::WriteZero.into();
                    return Err(DiskError::new("write", &self.path, &error));
                }
                Ok(n) => {
                    at = at.saturating_add(u64::try_from(n).unwrap_or(u64::MAX));
                    IoSlice::advance_slices(&mut rest, n);
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(DiskError::new("write", &self.path, &error.into())),
            }
        }
        Ok(())
    }

    fn sync_data(&self) -> Result<(), DiskError> {
        self.file
            .sync_data()
            .map_err(|error| DiskError::new(SYNC, &self.path, &error))
    }
}
