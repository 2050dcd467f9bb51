//! Opening what lies below a folder, through no link.

use std::ffi::CString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// Reading, and never waiting for the other end of a pipe that was swapped in.
pub(super) const READ: OFlags = OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::NOCTTY);
/// A folder, to be listed.
pub(super) const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY);

/// Set once `openat2` turned out to be missing (Linux before 5.6, some sandboxes).
static NO_OPENAT2: AtomicBool = AtomicBool::new(false);

/// Opens the folder that the caller names.
pub(super) fn root(folder: &Path) -> io::Result<OwnedFd> {
    let flags = FOLDER | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(CWD, folder, flags, Mode::empty())?)
}

/// Opens what lies below `folder` at `path`.
pub(super) fn open(folder: &OwnedFd, path: &[u8], flags: OFlags) -> io::Result<OwnedFd> {
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    if NO_OPENAT2.load(Ordering::Relaxed) {
        return Ok(by_steps(folder, path, flags)?);
    }
    let name = CString::new(path).map_err(|_| Errno::INVAL)?;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let mut tries = 0_u8;
    loop {
        match rustix::fs::openat2(folder, &name, flags, Mode::empty(), resolve) {
            Err(Errno::NOSYS | Errno::PERM) => {
                let fd = by_steps(folder, path, flags)?;
                // Only now: a permission that is missing fails either way.
                NO_OPENAT2.store(true, Ordering::Relaxed);
                return Ok(fd);
            }
            // The kernel could not rule out that a rename elsewhere led us out.
            Err(Errno::AGAIN) if tries < 16 => tries = tries.saturating_add(1),
            other => return Ok(other?),
        }
    }
}

// One part at a time, so that no link in the middle is followed either.
pub(super) fn by_steps(folder: &OwnedFd, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
    let step = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut parts = path
        .split(|byte| *byte == b'/')
        .filter(|part| !part.is_empty());
    let mut last = parts.next().ok_or(Errno::NOENT)?;
    let mut at: Option<OwnedFd> = None;
    for part in parts {
        let base = at.as_ref().unwrap_or(folder);
        at = Some(rustix::fs::openat(base, last, step, Mode::empty())?);
        last = part;
    }
    rustix::fs::openat(at.as_ref().unwrap_or(folder), last, flags, Mode::empty())
}
