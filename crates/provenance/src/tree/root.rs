//! The root of an artifact as a file descriptor, and what identifies a file's content in time.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use custos_core::oms::TreePath;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use super::{File, TreeError};

/// Identity, size and times of a file: if none of it changes, neither did the content, as far as
/// the system tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stamp {
    /// Number of the file system.
    pub device: u64,
    /// Number of the file in it.
    pub inode: u64,
    /// Bytes.
    pub size: u64,
    /// When the content changed: seconds and nanoseconds.
    pub modified: (i64, u32),
    /// When content, name or rights changed; no program can set it.
    pub changed: (i64, u32),
    pub(crate) kind: FileType,
}

impl Stamp {
    /// Returns true for a regular file.
    pub fn is_regular(&self) -> bool {
        self.kind == FileType::RegularFile
    }

    #[allow(
        clippy::cast_lossless,
        clippy::cast_possible_truncation,
        clippy::cast_possible_wrap,
        clippy::cast_sign_loss,
        clippy::unnecessary_cast,
        reason = "the fields have other types on each architecture; nanoseconds are below 10^9"
    )]
    pub(super) fn new(stat: &Stat) -> Self {
        Self {
            device: stat.st_dev as u64,
            inode: stat.st_ino as u64,
            size: u64::try_from(stat.st_size).unwrap_or(0),
            modified: (stat.st_mtime as i64, stat.st_mtime_nsec as u32),
            changed: (stat.st_ctime as i64, stat.st_ctime_nsec as u32),
            kind: FileType::from_raw_mode(stat.st_mode),
        }
    }

    #[cfg(test)]
    pub(crate) fn for_test(inode: u64, size: u64, modified: i64, changed: i64) -> Self {
        Self {
            device: 1,
            inode,
            size,
            modified: (modified, 0),
            changed: (changed, 0),
            kind: FileType::RegularFile,
        }
    }
}

/// An open file.
pub(crate) struct Opened {
    pub(crate) fd: OwnedFd,
}

impl Opened {
    pub(crate) fn stamp(&self) -> Result<Stamp, Errno> {
        Ok(Stamp::new(&rustix::fs::fstat(&self.fd)?))
    }
}

/// A folder or single file that stays open, whatever happens to its name.
#[derive(Debug)]
pub(crate) struct Root {
    fd: OwnedFd,
    given: PathBuf,
    // The basename, if the root is a file.
    file: Option<String>,
}

// Never waits for the other end of a pipe that was swapped in.
const READ: OFlags = OFlags::RDONLY
    .union(OFlags::CLOEXEC)
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY);
const FOLDER: OFlags = OFlags::RDONLY
    .union(OFlags::CLOEXEC)
    .union(OFlags::DIRECTORY);

/// Set once `openat2` turned out to be missing (Linux before 5.6, some sandboxes).
static NO_OPENAT2: AtomicBool = AtomicBool::new(false);

impl Root {
    /// Opens the folder or file that the caller names, through links.
    pub(crate) fn at(given: &Path) -> Result<Self, TreeError> {
        let shown = given.display().to_string();
        let fail = |errno| match errno {
            Errno::NOENT | Errno::NOTDIR => TreeError::NotFound {
                path: shown.clone(),
            },
            errno => TreeError::from_errno(&shown, errno),
        };
        let fd = rustix::fs::openat(CWD, given, READ, Mode::empty()).map_err(fail)?;
        let stamp = Stamp::new(&rustix::fs::fstat(&fd).map_err(fail)?);
        let file = match stamp.kind {
            FileType::Directory => None,
            FileType::RegularFile => Some(basename(given, &shown)?),
            _ => return Err(TreeError::Special { path: shown }),
        };
        Ok(Self {
            fd,
            given: given.to_owned(),
            file,
        })
    }

    pub(crate) const fn is_file(&self) -> bool {
        self.file.is_some()
    }

    pub(crate) fn given(&self) -> &Path {
        &self.given
    }

    /// Returns the one file of a single-file root.
    pub(super) fn single(&self) -> Result<File, TreeError> {
        let path = self.file.as_deref().unwrap_or_default();
        let stat =
            rustix::fs::fstat(&self.fd).map_err(|errno| TreeError::from_errno(path, errno))?;
        Ok(File {
            path: path.into(),
            stamp: Stamp::new(&stat),
            target: None,
        })
    }

    /// Opens a file beneath the root for reading, through no link.
    pub(crate) fn open(&self, path: &str) -> Result<Opened, Errno> {
        if self.is_file() {
            // By name again: each reader needs a descriptor of its own, and its stamp is
            // compared with the one of the descriptor that is held.
            let fd = rustix::fs::openat(CWD, &self.given, READ, Mode::empty())?;
            return Ok(Opened { fd });
        }
        Ok(Opened {
            fd: self.beneath(path, READ)?,
        })
    }

    /// Opens a folder beneath the root, through no link; the empty path is the root.
    pub(super) fn open_folder(&self, path: &str) -> Result<OwnedFd, Errno> {
        self.beneath(if path.is_empty() { "." } else { path }, FOLDER)
    }

    /// Opens what a followed link leads to outside of the tree; the path is already resolved.
    pub(crate) fn open_outside(path: &Path) -> Result<Opened, Errno> {
        let fd = rustix::fs::openat(CWD, path, READ | OFlags::NOFOLLOW, Mode::empty())?;
        Ok(Opened { fd })
    }

    pub(super) fn open_folder_outside(path: &Path) -> Result<OwnedFd, Errno> {
        rustix::fs::openat(CWD, path, FOLDER | OFlags::NOFOLLOW, Mode::empty())
    }

    fn beneath(&self, path: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
        let flags = flags | OFlags::NOFOLLOW;
        if NO_OPENAT2.load(Ordering::Relaxed) {
            return self.beneath_by_steps(path, flags);
        }
        let resolve =
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let mut tries = 0;
        loop {
            match rustix::fs::openat2(&self.fd, path, flags, Mode::empty(), resolve) {
                Err(Errno::NOSYS | Errno::PERM) => {
                    let fd = self.beneath_by_steps(path, flags)?;
                    // Only now: a permission that is missing fails either way.
                    NO_OPENAT2.store(true, Ordering::Relaxed);
                    return Ok(fd);
                }
                // The kernel could not rule out that a rename elsewhere led us out.
                Err(Errno::AGAIN) if tries < 16 => tries += 1,
                other => return other,
            }
        }
    }

    // One component at a time, so that no link in the middle is followed either.
    pub(super) fn beneath_by_steps(&self, path: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
        let step = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let (folders, name) = path.rsplit_once('/').unwrap_or(("", path));
        let mut at: Option<OwnedFd> = None;
        for folder in folders.split('/').filter(|folder| !folder.is_empty()) {
            let base = at.as_ref().unwrap_or(&self.fd);
            at = Some(rustix::fs::openat(base, folder, step, Mode::empty())?);
        }
        rustix::fs::openat(at.as_ref().unwrap_or(&self.fd), name, flags, Mode::empty())
    }

    /// Returns the path of `other` relative to the root, if it lies beneath it. `other` itself
    /// need not exist yet; the folder it lies in must.
    pub(super) fn relative(&self, other: &Path) -> Option<TreePath> {
        let root = fs::canonicalize(&self.given).ok()?;
        let real = |path: &Path| {
            let folder = match path.parent() {
                Some(folder) if folder.as_os_str().is_empty() => Path::new("."),
                Some(folder) => folder,
                None => return None,
            };
            Some(fs::canonicalize(folder).ok()?.join(path.file_name()?))
        };
        // By its own name rather than by what it leads to, if it is a link.
        let beneath = real(other)?.strip_prefix(&root).ok()?.to_str()?.to_owned();
        TreePath::new(beneath).ok()
    }

    /// Returns what a link beneath the root leads to.
    pub(super) fn resolve(link: &Path) -> Result<PathBuf, Errno> {
        fs::canonicalize(link).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
    }

    pub(super) fn canonical(&self) -> Result<PathBuf, Errno> {
        Self::resolve(&self.given)
    }
}

pub(super) fn stat_in(folder: &OwnedFd, name: &std::ffi::CStr) -> Result<Stamp, Errno> {
    rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW).map(|stat| Stamp::new(&stat))
}

fn basename(given: &Path, shown: &str) -> Result<String, TreeError> {
    let name = match given.file_name() {
        Some(name) => name.to_owned(),
        // `.` or `..` is a folder; only an odd path such as `/proc/self/fd/3/.` comes here.
        None => {
            return Err(TreeError::Special {
                path: shown.to_owned(),
            });
        }
    };
    name.into_string().map_err(|_| TreeError::Name {
        path: shown.to_owned(),
        fault: super::NameFault::NotUtf8,
    })
}
