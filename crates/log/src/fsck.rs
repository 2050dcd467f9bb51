//! A full check of a log: everything is derived again from the entries.
//!
//! It changes nothing and takes no lock. Each fault has a stable code. A fault is an integrity
//! alarm if stored data contradict a signed root; the others are things that opening the log
//! repairs, or that only cost time.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use custos_core::crypto::sha256;
use custos_core::merkle::{self, Hash};

use crate::checkpoint::{SignedCheckpoint, VerifiedCheckpoint};
use crate::disk::Disk;
use crate::note::VerifierKey;
use crate::reader::{LogReader, TileFiles};
use crate::recorder::{IntegrityFault, RecordError};
use crate::recover;
use crate::tile::{self, EntryBundle, FULL_TILE_BYTES, MAX_BUNDLE_BYTES, TilePath};
use crate::tree::{Tree, TreeFile};
use crate::wal;

/// Most faults that are listed; the rest is counted.
pub const MAX_FAULTS: usize = 1_000;

/// What a check found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Size of the log by its published checkpoint; `None` if that is not one.
    pub size: Option<u64>,
    /// Entries that were read and hashed.
    pub entries: u64,
    /// Records of the write-ahead log that were checked.
    pub records: u64,
    /// The faults, at most [`MAX_FAULTS`].
    pub faults: Vec<Fault>,
    /// Faults beyond that.
    pub more: u64,
}

impl Report {
    /// Returns true if a fault is an integrity alarm.
    pub fn is_alarm(&self) -> bool {
        self.faults.iter().any(|fault| fault.code.is_integrity())
    }

    fn add(&mut self, code: FaultCode, place: impl Into<String>) {
        if self.faults.len() < MAX_FAULTS {
            self.faults.push(Fault {
                code,
                place: place.into(),
            });
        } else {
            self.more += 1;
        }
    }
}

/// One fault.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fault {
    /// What is wrong.
    pub code: FaultCode,
    /// Which file, entry or record.
    pub place: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {}: {}",
            self.code.as_str(),
            self.place,
            self.code.meaning()
        )
    }
}

/// A kind of fault, with a stable code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum FaultCode {
    /// L001: there is no published checkpoint.
    CheckpointMissing,
    /// L002: the published checkpoint is malformed or not signed by the log's key.
    CheckpointInvalid,
    /// L003: the entries do not lead to the signed root.
    RootMismatch,
    /// L004: a tile is not there.
    TileMissing,
    /// L005: a tile is not what the entries lead to.
    TileMismatch,
    /// L006: an entry bundle is not there.
    BundleMissing,
    /// L007: an entry bundle is malformed.
    BundleMalformed,
    /// L008: a signed checkpoint in the write-ahead log names another root than the entries.
    Fork,
    /// L009: the write-ahead log is missing.
    WalMissing,
    /// L010: acknowledged records of the write-ahead log are damaged, or records are not signed.
    WalDamaged,
    /// L011: the write-ahead log is ahead of the published checkpoint; opening the log repairs it.
    Unpublished,
    /// L012: a file could not be read.
    Unreadable,
}

impl FaultCode {
    /// Returns the code, such as `L003`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CheckpointMissing => "L001",
            Self::CheckpointInvalid => "L002",
            Self::RootMismatch => "L003",
            Self::TileMissing => "L004",
            Self::TileMismatch => "L005",
            Self::BundleMissing => "L006",
            Self::BundleMalformed => "L007",
            Self::Fork => "L008",
            Self::WalMissing => "L009",
            Self::WalDamaged => "L010",
            Self::Unpublished => "L011",
            Self::Unreadable => "L012",
        }
    }

    /// Returns what is wrong, in words.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::CheckpointMissing => "there is no published checkpoint",
            Self::CheckpointInvalid => "the checkpoint is malformed or not signed by the log's key",
            Self::RootMismatch => "the entries do not lead to the signed root",
            Self::TileMissing => "the tile is missing",
            Self::TileMismatch => "the tile is not what the entries lead to",
            Self::BundleMissing => "the entry bundle is missing",
            Self::BundleMalformed => "the entry bundle is malformed",
            Self::Fork => "a signed checkpoint names another root than the entries lead to",
            Self::WalMissing => "the write-ahead log is missing",
            Self::WalDamaged => "acknowledged records are damaged or gone",
            Self::Unpublished => "the write-ahead log is ahead; open the log to repair it",
            Self::Unreadable => "the file cannot be read",
        }
    }

    /// Returns true if the fault proves that stored data were changed or lost after they were
    /// signed.
    pub const fn is_integrity(self) -> bool {
        !matches!(
            self,
            Self::CheckpointMissing | Self::Unpublished | Self::Unreadable
        )
    }
}

/// Checks the log on `disk` whose checkpoints `key` signs.
///
/// The write-ahead log is read before the checkpoint, so that a writer at work beside the check
/// makes no fault.
pub fn check(disk: &Arc<dyn Disk>, key: &VerifierKey) -> Result<Report, RecordError> {
    let mut report = Report::default();
    let heads = check_wal(disk, key, &mut report)?;
    let reader = LogReader::new(Arc::clone(disk), key.clone());
    let checkpoint = match reader.latest() {
        Ok(checkpoint) => checkpoint,
        Err(RecordError::NoLog) if heads.is_empty() => return Err(RecordError::NoLog),
        Err(RecordError::NoLog) => {
            report.add(FaultCode::CheckpointMissing, "checkpoint");
            return Ok(report);
        }
        Err(RecordError::Integrity(IntegrityFault::CheckpointInvalid(_))) => {
            report.add(FaultCode::CheckpointInvalid, "checkpoint");
            return Ok(report);
        }
        Err(RecordError::Disk(_)) => {
            report.add(FaultCode::Unreadable, "checkpoint");
            return Ok(report);
        }
        Err(error) => return Err(error),
    };
    report.size = Some(checkpoint.size());
    compare_ends(&heads, &checkpoint, &mut report);
    check_tree(disk, &checkpoint, &heads, &mut report);
    Ok(report)
}

// The sizes and roots that the checkpoints in the write-ahead log name.
fn check_wal(
    disk: &Arc<dyn Disk>,
    key: &VerifierKey,
    report: &mut Report,
) -> Result<BTreeMap<u64, Hash>, RecordError> {
    let log_id = sha256(key.name().as_bytes());
    let keys = std::slice::from_ref(key);
    let mut heads = BTreeMap::new();
    let mut end = 0;
    let segments = recover::read_segments(disk)?;
    for (segment, bytes) in segments.iter().enumerate() {
        for record in wal::scan(bytes, &log_id) {
            report.records += 1;
            let place = || format!("wal/{segment} record {}", record.header.sequence);
            match SignedCheckpoint::open(record.checkpoint.as_bytes(), keys) {
                Ok(signed) if signed.size() == record.header.size_after() => {
                    let before = heads.insert(signed.size(), *signed.root());
                    if before.is_some_and(|root| root != *signed.root()) {
                        report.add(FaultCode::Fork, place());
                    }
                    end = end.max(signed.size());
                }
                _ => report.add(FaultCode::WalDamaged, place()),
            }
        }
    }
    for (segment, bytes) in segments.iter().enumerate() {
        for (offset, record) in wal::later_records(bytes, &log_id, end) {
            if SignedCheckpoint::open(record.checkpoint.as_bytes(), keys).is_ok() {
                report.add(
                    FaultCode::WalDamaged,
                    format!("wal/{segment} before byte {offset}"),
                );
            }
        }
    }
    Ok(heads)
}

fn compare_ends(heads: &BTreeMap<u64, Hash>, checkpoint: &VerifiedCheckpoint, report: &mut Report) {
    match heads.last_key_value() {
        None => report.add(FaultCode::WalMissing, "wal"),
        Some((size, _)) if *size > checkpoint.size() => {
            report.add(FaultCode::Unpublished, "checkpoint");
        }
        // The write-ahead log was read first: a writer may have gone on since. What is behind
        // by more than both segments hold is found when the log is opened.
        Some(_) => {}
    }
}

// Reads all entries, builds the tree, and compares every file and root on the way.
fn check_tree(
    disk: &Arc<dyn Disk>,
    checkpoint: &VerifiedCheckpoint,
    heads: &BTreeMap<u64, Hash>,
    report: &mut Report,
) {
    let size = checkpoint.size();
    let files = TileFiles::new(Arc::clone(disk));
    let (mut tree, mut out, mut forked) = (Tree::new(), Vec::new(), None);
    for index in 0..size.div_ceil(256) {
        let Some(bundle) = EntryBundle::in_tree(index, size) else {
            break;
        };
        let entries = match files.bundle(bundle) {
            Ok(entries) => entries,
            Err(error) => {
                let path = TilePath::Entries(bundle).to_string();
                report.add(bundle_fault(&error), path);
                // Without these entries nothing further can be derived.
                return;
            }
        };
        for entry in &entries {
            let mut encoded = Vec::with_capacity(entry.len() + 2);
            if tile::encode_entry(entry, &mut encoded).is_ok() {
                tree.push(&encoded, merkle::leaf_hash(entry), &mut out);
            }
            report.entries += 1;
            if heads
                .get(&tree.size())
                .is_some_and(|root| *root != tree.root())
            {
                forked.get_or_insert(tree.size());
            }
        }
        compare_files(disk, &mut out, report);
    }
    tree.mark_boundary();
    tree.take_partials(&mut out);
    compare_files(disk, &mut out, report);
    if tree.root() != *checkpoint.root() {
        report.add(FaultCode::RootMismatch, format!("size {size}"));
    } else if let Some(forked) = forked {
        // The entries are those of the published checkpoint, so another one was signed as well.
        report.add(FaultCode::Fork, format!("size {forked}"));
    }
}

const fn bundle_fault(error: &RecordError) -> FaultCode {
    match error {
        RecordError::Missing { .. } => FaultCode::BundleMissing,
        RecordError::Integrity(_) => FaultCode::BundleMalformed,
        _ => FaultCode::Unreadable,
    }
}

fn compare_files(disk: &Arc<dyn Disk>, files: &mut Vec<TreeFile>, report: &mut Report) {
    for file in files.drain(..) {
        let TilePath::Tile(tile) = file.path else {
            continue;
        };
        let own = file.path.to_string();
        let full = TilePath::Tile(tile.to_full()).to_string();
        let read = disk.read(&own, MAX_BUNDLE_BYTES).or_else(|error| {
            // A writer may have filled the tile and dropped the partial one since.
            let mut bytes = disk.read(&full, FULL_TILE_BYTES).map_err(|_| error)?;
            bytes.truncate(tile.byte_len());
            Ok::<_, crate::disk::DiskError>(bytes)
        });
        match read {
            Ok(bytes) if bytes == file.bytes => {}
            Ok(_) => report.add(FaultCode::TileMismatch, own),
            Err(error) if error.is_not_found() => report.add(FaultCode::TileMissing, own),
            Err(error) if error.is_too_large() => report.add(FaultCode::TileMismatch, own),
            Err(_) => report.add(FaultCode::Unreadable, own),
        }
    }
}
