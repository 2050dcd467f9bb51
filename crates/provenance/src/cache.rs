//! The digest cache: what a file that has not changed was hashed to.
//!
//! A digest is kept under the file's device, file system, inode, size and both times, to the
//! nanosecond, and the range and method it was made for. It is a shortcut, never evidence:
//! anything odd about the file that holds it (shape, checksum, rights, a clock that went back)
//! and it is as if it were empty.
//!
//! What could fool it, and why it does not:
//!
//! - A change in the same tick of the kernel's clock leaves all times as they are. So a digest is
//!   kept only if both times were at least [`WINDOW`] old *when the run began* ("racily clean" in
//!   git's words). Whatever changes the file later gets a later `ctime`.
//! - `utimensat` can set `mtime` back, but nothing can set `ctime` but the clock. A cache written
//!   later than now, after the clock was set back, is ignored.
//! - A process may write through a shared mapping; the kernel stamps the first write to a page,
//!   and again after the page was written back (30 s by default). For verifying, a digest counts
//!   only if the file was untouched for [`SETTLED`] before, on file systems that do write back.
//!   For signing, [`WINDOW`] will do: a wrong digest there fails every later verification.
//! - Network and FUSE file systems answer from caches and foreign clocks: nothing is kept.
//!
//! Beside the digests it keeps the file lists of folders, see [`Cache::files_of`].
//!
//! One file holds the digests of one root and method. It is written anew and renamed into place,
//! without a sync: a torn file fails its checksum.

mod lists;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::fs;
use std::io::{Read as _, Write as _};
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use custos_core::clock::{Clock, Timestamp};
use custos_core::digest::{Algorithm, Digest};
use custos_core::oms::{Method, Serialization};
use rustix::fs::{CWD, Mode, OFlags};

use crate::tree::{FileList, Stamp};

#[doc(hidden)]
pub use lists::fuzz_list;

/// Microseconds for which a file must be untouched before its digest is kept: more than the
/// coarsest clock of a local file system (FAT has 2 s).
pub const WINDOW: i64 = 2_000_000;

/// Microseconds for which a file must have been untouched before its digest counts for
/// verifying: more than the kernel's write-back delay (30 s, checked every 5 s).
pub const SETTLED: i64 = 60_000_000;

/// Most roots whose digests are kept; the one written longest ago goes first.
const MAX_SHELVES: usize = 256;

/// Largest file that is read or written: 1,000,000 ranges under BLAKE2b are 144 MB.
const MAX_BYTES: usize = 192 << 20;

/// Single files, as inputs of steps mostly are, share one shelf of at most so many.
const MAX_SINGLE: usize = 65_536;

/// What a digest from the cache is wanted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Trust {
    /// A manifest is made: the file must have been untouched for [`WINDOW`].
    Signing,
    /// A manifest is checked: for [`SETTLED`].
    Verifying,
}

/// The folder in which digests are kept.
#[derive(Clone)]
pub struct Cache {
    folder: PathBuf,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}

impl Cache {
    /// Returns the cache in `folder`, which need not exist. The clock must be the one by which
    /// the file system stamps files, the system's.
    pub fn new(folder: impl Into<PathBuf>, clock: Arc<dyn Clock>) -> Self {
        Self {
            folder: folder.into(),
            clock,
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Returns the digests kept for this root and method; `None` where nothing may be kept.
    /// `began` is a moment before the files were listed.
    #[allow(clippy::too_many_arguments, reason = "four, and the cache itself")]
    pub(crate) fn shelf(
        &self,
        list: &FileList,
        form: &Serialization,
        began: Timestamp,
        trust: Trust,
    ) -> Option<Shelf> {
        let systems = systems(list);
        if systems.is_empty() {
            return None;
        }
        let path = self.folder.join(shelf_name(list, form)?);
        let algorithm = form.hash();
        let records = load(&path, algorithm, self.clock.now()).unwrap_or_default();
        let mut opened = Shelf {
            path,
            algorithm,
            began,
            now: self.clock.now(),
            trust,
            systems,
            keep_others: list.is_single(),
            index: HashMap::new(),
            old: records,
            new: Vec::new(),
            changed: false,
        };
        opened.fill_index();
        Some(opened)
    }
}

/// A file system, as far as the cache cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct System {
    id: u64,
    writes_back: bool,
}

/// `f_type` of local file systems (Linux `magic.h`), and whether dirty pages are written back,
/// so that a later write through a mapping is stamped.
const LOCAL: [(u64, bool); 8] = [
    (0xef53, true),       // ext2 to ext4
    (0x5846_5342, true),  // XFS
    (0x9123_683e, true),  // Btrfs
    (0xf2f5_2010, true),  // F2FS
    (0xca45_1a4e, true),  // bcachefs
    (0x2fc1_2fc1, false), // ZFS has a page cache of its own
    (0x794c_7630, false), // overlayfs hands mappings to another inode
    (0x0102_1994, false), // tmpfs never writes back
];

fn system(fd: &OwnedFd) -> Option<System> {
    let kind = u64::try_from(rustix::fs::fstatfs(fd).ok()?.f_type).ok()?;
    let (_, writes_back) = LOCAL.iter().find(|(local, _)| *local == kind)?;
    // With the identity of the file system: a device number may be another disk tomorrow.
    let id = rustix::fs::fstatvfs(fd).ok()?.f_fsid;
    Some(System {
        id,
        writes_back: *writes_back,
    })
}

// The file systems of all files, by device; only the trusted ones.
fn systems(list: &FileList) -> HashMap<u64, System> {
    let mut all: HashMap<u64, Option<System>> = HashMap::new();
    let mut previous = None;
    for file in list.files() {
        let device = file.stamp().device;
        // Files of one device follow each other, as a rule.
        if previous.replace(device) == Some(device) {
            continue;
        }
        all.entry(device).or_insert_with(|| {
            let opened = list.open(file).ok()?;
            (opened.stamp().ok()?.device == device)
                .then(|| system(&opened.fd))
                .flatten()
        });
    }
    all.into_iter()
        .filter_map(|(device, system)| Some((device, system?)))
        .collect()
}

fn shelf_name(list: &FileList, form: &Serialization) -> Option<String> {
    let mut hasher = Algorithm::Sha256.hasher();
    let size = match form.method() {
        Method::Shards { size } => size.get(),
        _ => 0,
    };
    hasher.update(format!("{} {size}\n", form.hash()).as_bytes());
    if !list.is_single() {
        hasher.update(
            fs::canonicalize(list.root().given())
                .ok()?
                .as_os_str()
                .as_bytes(),
        );
    }
    let hex = hasher.finish().to_hex();
    Some(format!("{}.{SUFFIX}", hex.get(..32)?))
}

const SUFFIX: &str = "digests";
const MAGIC: &[u8; 16] = b"custos-digests-1";
const HEAD: usize = 16 + 8 + 8;
const CHECKSUM: usize = 32;
/// Bytes of a record before its digest.
const FIELDS: usize = 11 * 8;

/// What is kept of one range of one file. Times are seconds and nanoseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Record {
    device: u64,
    system: u64,
    inode: u64,
    size: u64,
    modified: (i64, u32),
    changed: (i64, u32),
    start: u64,
    end: u64,
    // When the run began that hashed it, in microseconds.
    began: i64,
    digest: Digest,
}

impl Record {
    fn of(stamp: &Stamp, range: &Range<u64>, system: System) -> impl FnOnce(i64, Digest) -> Self {
        let (stamp, start, end) = (*stamp, range.start, range.end);
        move |began, digest| Self {
            device: stamp.device,
            system: system.id,
            inode: stamp.inode,
            size: stamp.size,
            modified: stamp.modified,
            changed: stamp.changed,
            start,
            end,
            began,
            digest,
        }
    }

    /// Returns for how long the file was untouched when the run began.
    fn age(&self) -> i64 {
        self.began
            .saturating_sub(micros(self.modified).max(micros(self.changed)))
    }

    fn is_of(&self, stamp: &Stamp, range: &Range<u64>, system: System) -> bool {
        // Field by field against the stamp of today; nothing is left out.
        *self == Self::of(stamp, range, system)(self.began, self.digest)
    }

    fn write(&self, to: &mut Vec<u8>) {
        let nanos = (u64::from(self.modified.1) << 32) | u64::from(self.changed.1);
        for field in [self.device, self.system, self.inode, self.size] {
            to.extend_from_slice(&field.to_le_bytes());
        }
        for field in [self.modified.0, self.changed.0, self.began] {
            to.extend_from_slice(&field.to_le_bytes());
        }
        // The last is room for what a later version may need.
        for field in [nanos, self.start, self.end, 0] {
            to.extend_from_slice(&field.to_le_bytes());
        }
        to.extend_from_slice(self.digest.as_bytes());
    }

    fn read(algorithm: Algorithm, bytes: &[u8]) -> Option<Self> {
        let mut from = Fields(bytes);
        let (device, system, inode, size) = (from.u64()?, from.u64()?, from.u64()?, from.u64()?);
        let (modified, changed, began) = (from.i64()?, from.i64()?, from.i64()?);
        let (nanos, start, end, room) = (from.u64()?, from.u64()?, from.u64()?, from.u64()?);
        let modified = (modified, u32::try_from(nanos >> 32).ok()?);
        let changed = (changed, u32::try_from(nanos & u64::from(u32::MAX)).ok()?);
        let digest = Digest::new(algorithm, from.0).ok()?;
        let record = Self {
            device,
            system,
            inode,
            size,
            modified,
            changed,
            start,
            end,
            began,
            digest,
        };
        (room == 0).then_some(record)
    }
}

struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn bytes(&mut self) -> Option<[u8; 8]> {
        let (field, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*field)
    }

    fn u64(&mut self) -> Option<u64> {
        self.bytes().map(u64::from_le_bytes)
    }

    fn i64(&mut self) -> Option<i64> {
        self.bytes().map(i64::from_le_bytes)
    }
}

fn micros((seconds, nanos): (i64, u32)) -> i64 {
    seconds
        .saturating_mul(1_000_000)
        .saturating_add(i64::from(nanos / 1000))
}

/// A digest that was kept, and its record's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) number: u32,
    pub(crate) digest: Digest,
}

/// The digests of one root, as they were and as they will be.
#[derive(Debug)]
pub(crate) struct Shelf {
    path: PathBuf,
    algorithm: Algorithm,
    began: Timestamp,
    now: Timestamp,
    trust: Trust,
    systems: HashMap<u64, System>,
    // Records of files that this run did not see stay: the shelf is shared.
    keep_others: bool,
    // Inode and start to the record's number in `old`.
    index: HashMap<(u64, u64), u32>,
    old: Vec<u8>,
    new: Vec<u8>,
    changed: bool,
}

impl Shelf {
    fn width(&self) -> usize {
        FIELDS + self.algorithm.output_len()
    }

    /// Returns the number of records that were loaded.
    pub(crate) fn len(&self) -> usize {
        self.old.len() / self.width()
    }

    fn fill_index(&mut self) {
        let width = self.width();
        self.index.reserve(self.len());
        for (number, bytes) in (0_u32..).zip(self.old.chunks_exact(width)) {
            // Only the two fields that it is found by: the rest is read when it is asked for.
            let field = |at: usize| {
                let bytes = bytes.get(at..)?.first_chunk()?;
                Some(u64::from_le_bytes(*bytes))
            };
            if let (Some(inode), Some(start)) = (field(2 * 8), field(8 * 8)) {
                self.index.insert((inode, start), number);
            }
        }
    }

    fn at(&self, number: u32) -> Option<Record> {
        let at = usize::try_from(number).ok()?.checked_mul(self.width())?;
        Record::read(
            self.algorithm,
            self.old.get(at..at.checked_add(self.width())?)?,
        )
    }

    /// Returns the record of a range of a file that has exactly this stamp.
    pub(crate) fn find(&self, stamp: &Stamp, range: &Range<u64>) -> Option<Kept> {
        let system = *self.systems.get(&stamp.device)?;
        let number = *self.index.get(&(stamp.inode, range.start))?;
        let record = self.at(number)?;
        let trusted = match self.trust {
            Trust::Signing => record.age() >= WINDOW,
            Trust::Verifying => system.writes_back && record.age() >= SETTLED,
        };
        let found = trusted && record.is_of(stamp, range, system);
        found.then_some(Kept {
            number,
            digest: record.digest,
        })
    }

    /// Keeps a record as it is, with the moment of its own run: the file was not read again.
    pub(crate) fn keep(&mut self, kept: u32) {
        let width = self.width();
        let at = usize::try_from(kept)
            .unwrap_or(usize::MAX)
            .saturating_mul(width);
        if let Some(bytes) = self.old.get(at..at.saturating_add(width)) {
            self.new.extend_from_slice(bytes);
        }
    }

    /// Keeps a new digest, if the file was untouched for long enough before the run.
    pub(crate) fn put(&mut self, stamp: &Stamp, range: &Range<u64>, digest: &Digest) {
        let Some(system) = self.systems.get(&stamp.device).copied() else {
            return;
        };
        let record = Record::of(stamp, range, system)(self.began.as_micros(), *digest);
        if record.age() >= WINDOW {
            self.changed = true;
            record.write(&mut self.new);
        }
    }

    /// Writes the shelf. A failure costs time later, and nothing else; it returns false.
    pub(crate) fn save(mut self) -> bool {
        if self.keep_others {
            self.append_others();
        }
        if !self.changed && self.new.len() == self.old.len() {
            return true;
        }
        let bytes = encode(&self.new, self.now);
        bytes.len() <= MAX_BYTES && store(&self.path, &bytes, (SUFFIX, MAX_SHELVES)).is_some()
    }

    // Newest first, so that the limit cuts off what was not seen for longest.
    fn append_others(&mut self) {
        let width = self.width();
        let inode = |bytes: &[u8]| bytes.get(16..24)?.first_chunk::<8>().copied();
        let seen: HashSet<_> = self.new.chunks_exact(width).map(inode).collect();
        for bytes in self.old.chunks_exact(width) {
            if self.new.len() >= MAX_SINGLE * width {
                break;
            }
            if !seen.contains(&inode(bytes)) {
                self.new.extend_from_slice(bytes);
            }
        }
    }
}

fn encode(records: &[u8], now: Timestamp) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEAD + records.len() + CHECKSUM);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&now.as_micros().to_le_bytes());
    bytes.extend_from_slice(
        &u64::try_from(records.len())
            .unwrap_or(u64::MAX)
            .to_le_bytes(),
    );
    bytes.extend_from_slice(records);
    let checksum = Algorithm::Blake3.digest(&bytes);
    bytes.extend_from_slice(checksum.as_bytes());
    bytes
}

/// Returns the records in `bytes`, if every byte is as it was written.
fn decode(mut bytes: Vec<u8>, algorithm: Algorithm, now: Timestamp) -> Option<Vec<u8>> {
    let (body, checksum) = bytes.split_last_chunk::<CHECKSUM>()?;
    if Algorithm::Blake3.digest(body).as_bytes() != checksum {
        return None;
    }
    let mut head = Fields(body.strip_prefix(MAGIC)?);
    let (written, len) = (head.i64()?, head.u64()?);
    let whole = u64::try_from(head.0.len()) == Ok(len)
        && head.0.len() % (FIELDS + algorithm.output_len()) == 0;
    // Written in the future: the clock was set back, and times say nothing about order.
    if !whole || written > now.as_micros() {
        return None;
    }
    bytes.truncate(bytes.len() - CHECKSUM);
    bytes.drain(..HEAD);
    Some(bytes)
}

fn load(path: &Path, algorithm: Algorithm, now: Timestamp) -> Option<Vec<u8>> {
    decode(read_private(path, MAX_BYTES)?, algorithm, now)
}

// Returns the bytes of a file that only its owner can write, if there are at most `limit`.
fn read_private(path: &Path, limit: usize) -> Option<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = fs::File::from(rustix::fs::openat(CWD, path, flags, Mode::empty()).ok()?);
    let found = file.metadata().ok()?;
    // What others can write is nothing to rely on.
    if !found.is_file() || found.mode() & 0o022 != 0 {
        return None;
    }
    let len = usize::try_from(found.len())
        .ok()
        .filter(|len| *len <= limit)?;
    let mut bytes = Vec::with_capacity(len);
    let limit = u64::try_from(limit).ok()?;
    file.take(limit).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

// Writes a file of its kind: of a suffix, of which there are at most so many.
fn store(path: &Path, bytes: &[u8], kind: (&str, usize)) -> Option<()> {
    /// Tells apart the temporary files of threads; the process id those of processes.
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let folder = path.parent()?;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .ok()?;
    if !path.exists() {
        prune(folder, kind);
    }
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    let scratch = folder.join(format!(".{}-{number}.tmp", std::process::id()));
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&scratch)
        .ok()?;
    let written = file
        .write_all(bytes)
        .and_then(|()| fs::rename(&scratch, path));
    if written.is_err() {
        // Nothing more can be done about a scratch file that cannot be removed.
        let _ = fs::remove_file(&scratch);
    }
    written.ok()
}

fn prune(folder: &Path, (suffix, most): (&str, usize)) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    let mut shelves: Vec<_> = entries
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let ours = path
                .extension()
                .is_some_and(|found| found == suffix || found == "tmp");
            let modified = path.symlink_metadata().ok()?.modified().ok()?;
            ours.then_some((modified, path))
        })
        .collect();
    shelves.sort();
    let excess = (shelves.len() + 1).saturating_sub(most);
    for (_, path) in shelves.into_iter().take(excess) {
        // Somebody else may have been faster.
        let _ = fs::remove_file(path);
    }
}

/// Entry for fuzzing: any bytes as a cache file. What is accepted must be what was written.
#[doc(hidden)]
pub fn fuzz_cache(data: &[u8]) {
    let now = Timestamp::from_micros(i64::MAX);
    if let Some(records) = decode(data.to_vec(), Algorithm::Sha256, now) {
        for bytes in records.chunks_exact(FIELDS + 32) {
            if let Some(record) = Record::read(Algorithm::Sha256, bytes) {
                let mut again = Vec::new();
                record.write(&mut again);
                assert_eq!(again, bytes, "a record is not what was written");
            }
        }
    }
}

#[cfg(test)]
mod tests;
