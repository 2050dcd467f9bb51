//! Holes of sparse files: zeros that need not be read.
//!
//! The digest never depends on it: a hole is by definition zeros, and where the system gives no
//! answer, everything is read. Only file systems whose answer is kept exact by the kernel itself
//! are asked; others have been known to call freshly written data a hole.

use std::ops::Range;
use std::os::fd::OwnedFd;

use rustix::fs::SeekFrom;

/// Below this much missing storage a file is simply read.
const WORTHWHILE: u64 = 1 << 20;

/// `f_type` of ext2 to ext4, XFS and tmpfs (Linux `magic.h`).
const EXACT: [u64; 3] = [0xef53, 0x5846_5342, 0x0102_1994];

/// A run of bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Extent {
    Data(Range<u64>),
    Hole(Range<u64>),
}

/// Cuts `range` of the file into data and holes.
pub(super) fn extents(fd: &OwnedFd, range: Range<u64>) -> Vec<Extent> {
    if range.end - range.start < WORTHWHILE || !is_sparse(fd) || !is_exact(fd) {
        return vec![Extent::Data(range)];
    }
    seek(fd, range.clone()).unwrap_or_else(|| vec![Extent::Data(range)])
}

fn is_sparse(fd: &OwnedFd) -> bool {
    rustix::fs::fstat(fd).is_ok_and(|stat| {
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        let stored = u64::try_from(stat.st_blocks)
            .unwrap_or(u64::MAX)
            .saturating_mul(512);
        size > stored.saturating_add(WORTHWHILE)
    })
}

fn is_exact(fd: &OwnedFd) -> bool {
    rustix::fs::fstatfs(fd)
        .is_ok_and(|system| u64::try_from(system.f_type).is_ok_and(|kind| EXACT.contains(&kind)))
}

fn seek(fd: &OwnedFd, range: Range<u64>) -> Option<Vec<Extent>> {
    /// A file with more runs than this is read to its end in one go.
    const MAX_EXTENTS: usize = 65_536;
    let mut extents = Vec::new();
    let mut at = range.start;
    while at < range.end {
        if extents.len() >= MAX_EXTENTS {
            extents.push(Extent::Data(at..range.end));
            break;
        }
        let data = match rustix::fs::seek(fd, SeekFrom::Data(at)) {
            Ok(data) => data.clamp(at, range.end),
            // No data up to the end of the file.
            Err(rustix::io::Errno::NXIO) => range.end,
            Err(_) => return None,
        };
        if data > at {
            extents.push(Extent::Hole(at..data));
        }
        if data == range.end {
            break;
        }
        let hole = rustix::fs::seek(fd, SeekFrom::Hole(data))
            .ok()?
            .min(range.end);
        // A system that does not move forward is not believed at all.
        if hole <= data {
            return None;
        }
        extents.push(Extent::Data(data..hole));
        at = hole;
    }
    Some(extents)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt as _;

    #[test]
    fn extents_cover_the_range_in_order() {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(b"start", 0).unwrap();
        file.write_all_at(b"middle", 40 << 20).unwrap();
        file.set_len(100 << 20).unwrap();
        let fd = OwnedFd::from(file);
        for range in [0..100 << 20, 5 << 20..90 << 20, 41 << 20..99 << 20, 0..10] {
            let mut at = range.start;
            for extent in extents(&fd, range.clone()) {
                let (Extent::Data(part) | Extent::Hole(part)) = extent;
                assert_eq!(part.start, at);
                assert!(part.end > part.start);
                at = part.end;
            }
            assert_eq!(at, range.end);
        }
    }
}
