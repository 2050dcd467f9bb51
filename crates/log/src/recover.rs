//! What happens when a log is opened: the write-ahead log is replayed, and files follow it.
//!
//! The write-ahead log is the truth for everything since its older segment began; the files for
//! what is before. Nothing of a record counts before its checksum, its tree and the signature over
//! the last checkpoint hold; nothing is written before that either.

use std::sync::Arc;

use custos_core::crypto::sha256;
use custos_core::merkle::{self, Hash};

use crate::checkpoint::SignedCheckpoint;
use crate::disk::{Disk, DiskError};
use crate::fsck;
use crate::note::{MAX_NOTE_BYTES, VerifierKey};
use crate::proof;
use crate::reader::{CHECKPOINT, Head, Nodes, TileFiles};
use crate::recorder::{IntegrityFault, RecordError};
use crate::tile::{self, EntryBundle, LEVELS, MAX_BUNDLE_BYTES, Tile, TilePath};
use crate::tree::{Tree, TreeFile};
use crate::wal::{self, Record};

/// Largest segment that is read.
pub(crate) const MAX_SEGMENT_BYTES: usize = 1 << 30;

/// Returns the path of a segment of the write-ahead log.
pub(crate) fn segment_path(segment: usize) -> &'static str {
    if segment == 0 { "wal/0" } else { "wal/1" }
}

/// How files that are there already are treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repair {
    /// A file that is as it should be stays.
    Compare,
    /// Every file is written again: another process may have written it in vain.
    Rewrite,
}

/// Where the next record goes.
#[derive(Debug, Clone)]
pub(crate) struct WalPosition {
    pub(crate) segment: usize,
    pub(crate) offset: usize,
    pub(crate) capacity: usize,
    pub(crate) next_sequence: u64,
    pub(crate) last_checksum: Hash,
    /// Size of the tree at the start of the segment.
    pub(crate) base: u64,
    /// Size at the start of the segment before, as long as it may be needed again.
    pub(crate) older_base: Option<u64>,
    /// All files of the tree of this size are durable.
    pub(crate) flushed: u64,
}

/// A log as its files say it is.
#[derive(Debug)]
pub(crate) struct Recovered {
    pub(crate) tree: Tree,
    pub(crate) head: Head,
    pub(crate) wal: WalPosition,
}

/// The chain of records that counts.
struct Chain {
    records: Vec<Record>,
    // How many of them lie in the older segment.
    older: usize,
    segment: usize,
    capacity: usize,
}

/// Replays the log on `disk`.
pub(crate) fn recover(
    files: &TileFiles,
    key: &VerifierKey,
    repair: Repair,
) -> Result<Recovered, RecordError> {
    let disk = &files.disk;
    let chain = read_chain(disk, key)?;
    let (Some(first), Some(last)) = (chain.records.first(), chain.records.last()) else {
        return Err(RecordError::NoLog);
    };
    let signed = SignedCheckpoint::open(last.checkpoint.as_bytes(), std::slice::from_ref(key))
        .map_err(IntegrityFault::CheckpointInvalid)?;
    let base = load_base(files, first.header.first, &first.header.previous_root)?;
    check(&chain, base.clone(), key)?;
    let published = published(disk, key)?;
    if let Some(head) = published.as_ref().filter(|head| head.size > signed.size()) {
        return Err(IntegrityFault::Rollback {
            signed: head.size,
            found: signed.size(),
        }
        .into());
    }
    settle_tail(disk, &chain, published.as_ref())?;
    let wal = position(&chain);
    let bases = [Some(wal.base), wal.older_base];
    let tree = replay_files(disk, &chain, base, (repair, &bases))?;
    files.forget();
    if let Some(head) = &published {
        let nodes = Nodes {
            files,
            size: tree.size(),
        };
        if proof::root(&nodes, head.size)? != head.root {
            return Err(IntegrityFault::Fork { size: head.size }.into());
        }
    }
    let head = Head {
        size: tree.size(),
        root: tree.root(),
        checkpoint: last.checkpoint.clone(),
    };
    if published.as_ref() != Some(&head) {
        publish(disk, &head.checkpoint)?;
    }
    Ok(Recovered { tree, head, wal })
}

/// Puts a checkpoint in the place of the published one.
pub(crate) fn publish(disk: &Arc<dyn Disk>, checkpoint: &str) -> Result<(), DiskError> {
    replace(disk, CHECKPOINT, checkpoint.as_bytes())
}

fn replace(disk: &Arc<dyn Disk>, path: &str, bytes: &[u8]) -> Result<(), DiskError> {
    let temporary = format!("{path}.tmp");
    disk.write(&temporary, bytes)?;
    disk.rename(&temporary, path)
}

/// Removes the partial versions of a full tile, but for those of the trees in `bases`.
pub(crate) fn drop_partials(disk: &Arc<dyn Disk>, full: &TilePath, bases: &[Option<u64>]) {
    let (level, index) = match full {
        TilePath::Tile(tile) => (tile.level(), tile.index()),
        TilePath::Entries(bundle) => (0, bundle.index()),
    };
    let needed = |name: &str| {
        bases.iter().flatten().any(|base| {
            Tile::in_tree(level, index, *base).is_some_and(|tile| tile.width().to_string() == name)
        })
    };
    let dir = full.partial_dir();
    let names = disk.list(&dir).unwrap_or_default();
    let mut kept = false;
    for name in &names {
        kept |= needed(name);
        if !needed(name) {
            // What cannot be removed only takes room.
            let _ = disk.remove(&format!("{dir}/{name}"));
        }
    }
    if !kept && !names.is_empty() {
        let _ = disk.remove(&dir);
    }
}

pub(crate) fn read_segments(disk: &Arc<dyn Disk>) -> Result<[Vec<u8>; 2], RecordError> {
    let read = |segment| match disk.read(segment_path(segment), MAX_SEGMENT_BYTES) {
        Err(error) if error.is_not_found() => Ok(Vec::new()),
        outcome => outcome,
    };
    Ok([read(0)?, read(1)?])
}

// Finds the records to replay: those of the newer segment, and those of the older one if its files
// were not all durable when the last record was written.
fn read_chain(disk: &Arc<dyn Disk>, key: &VerifierKey) -> Result<Chain, RecordError> {
    let segments = read_segments(disk)?;
    let log_id = sha256(key.name().as_bytes());
    let [zero, one] = segments
        .each_ref()
        .map(|segment| wal::scan(segment, &log_id));
    let sequence = |chain: &[Record]| chain.first().map(|record| record.header.sequence);
    let (segment, older, newer) = if sequence(&one) > sequence(&zero) {
        (1, zero, one)
    } else {
        (0, one, zero)
    };
    let size = newer.last().map(|record| record.header.size_after());
    for (at, bytes) in segments.iter().enumerate() {
        refuse_later(bytes, at, key, size)?;
    }
    let (Some(first), Some(last)) = (newer.first(), newer.last()) else {
        return match disk.read(CHECKPOINT, MAX_NOTE_BYTES) {
            Err(error) if error.is_not_found() => Err(RecordError::NoLog),
            Err(error) => Err(error.into()),
            Ok(_) => Err(IntegrityFault::WalMissing.into()),
        };
    };
    let capacity = segments.get(segment).map_or(0, Vec::len) / wal::BLOCK * wal::BLOCK;
    if last.header.flushed >= first.header.first {
        return Ok(Chain {
            records: newer,
            older: 0,
            segment,
            capacity,
        });
    }
    let joins = older
        .last()
        .is_some_and(|before| wal::follows(&before.header, &first.header));
    if !joins {
        return Err(IntegrityFault::WalDamaged {
            segment: 1 - segment,
            offset: 0,
        }
        .into());
    }
    let before = older.len();
    let records = older.into_iter().chain(newer).collect();
    Ok(Chain {
        records,
        older: before,
        segment,
        capacity,
    })
}

// A whole, signed record beyond the end of the chain proves that the chain was longer.
fn refuse_later(
    segment: &[u8],
    at: usize,
    key: &VerifierKey,
    size: Option<u64>,
) -> Result<(), RecordError> {
    let log_id = sha256(key.name().as_bytes());
    for (offset, record) in wal::later_records(segment, &log_id, size.unwrap_or(0)) {
        let keys = std::slice::from_ref(key);
        let signed = SignedCheckpoint::open(record.checkpoint.as_bytes(), keys);
        if signed.is_ok_and(|signed| signed.size() == record.header.size_after()) {
            return Err(IntegrityFault::WalDamaged {
                segment: at,
                offset,
            }
            .into());
        }
    }
    Ok(())
}

// The tree at the start of the chain, from the files.
fn load_base(files: &TileFiles, size: u64, root: &Hash) -> Result<Tree, RecordError> {
    if size == 0 {
        return Ok(Tree::new());
    }
    let damaged = || RecordError::from(IntegrityFault::BaseDamaged { size });
    let mut levels = Vec::new();
    for level in 0..LEVELS {
        let index = size.checked_shr(8 * (u32::from(level) + 1)).unwrap_or(0);
        levels.push(match Tile::in_tree(level, index, size) {
            Some(tile) => files.tile(tile)?.row(0).to_vec(),
            None => Vec::new(),
        });
    }
    let mut bundle = Vec::new();
    if let Some(wanted) = EntryBundle::in_tree(size / 256, size) {
        let entries = files.bundle(wanted)?;
        let hashes = entries.iter().map(|entry| merkle::leaf_hash(entry));
        if !levels
            .first()
            .is_some_and(|leaves| hashes.eq(leaves.iter().copied()))
        {
            return Err(damaged());
        }
        for entry in &entries {
            tile::encode_entry(entry, &mut bundle)?;
        }
    }
    let tree = Tree::load(&Nodes { files, size }, size, levels, bundle)?;
    if tree.root() == *root {
        Ok(tree)
    } else {
        Err(damaged())
    }
}

// Replays in memory: every record must lead to the tree that its own checkpoint names.
fn check(chain: &Chain, mut tree: Tree, key: &VerifierKey) -> Result<(), RecordError> {
    let mut unused = Vec::new();
    for record in &chain.records {
        let contradicts = || {
            RecordError::from(IntegrityFault::WalContradicts {
                sequence: record.header.sequence,
            })
        };
        if record.header.first != tree.size() || record.header.previous_root != tree.root() {
            return Err(contradicts());
        }
        push_all(&mut tree, record, &mut unused);
        unused.clear();
        let signed = SignedCheckpoint::parse(record.checkpoint.as_bytes());
        let holds = signed.is_ok_and(|signed| {
            let claim = signed.claim();
            claim.origin == key.name() && claim.size == tree.size() && claim.root == tree.root()
        });
        if !holds {
            return Err(contradicts());
        }
    }
    Ok(())
}

fn push_all(tree: &mut Tree, record: &Record, out: &mut Vec<TreeFile>) {
    for (entry, leaf) in split_entries(&record.entries).zip(&record.hashes) {
        tree.push(entry, *leaf, out);
    }
}

/// Splits entries in bundle form, each with its length in front.
pub(crate) fn split_entries(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let len = usize::from(u16::from_be_bytes(*bytes.first_chunk::<2>()?));
        let (entry, rest) = bytes.split_at_checked(len + 2)?;
        bytes = rest;
        Some(entry)
    })
}

fn position(chain: &Chain) -> WalPosition {
    let (older, newer) = chain
        .records
        .split_at_checked(chain.older)
        .unwrap_or_default();
    let last = newer.last().map(|record| record.header);
    WalPosition {
        segment: chain.segment,
        offset: newer
            .iter()
            .map(|record| record.header.padded_bytes())
            .sum(),
        capacity: chain.capacity,
        next_sequence: last.map_or(0, |header| header.sequence + 1),
        last_checksum: last.map_or([0; 32], |header| header.checksum),
        base: newer.first().map_or(0, |record| record.header.first),
        older_base: older.first().map(|record| record.header.first),
        flushed: last.map_or(0, |header| header.flushed),
    }
}

/// Returns the head that the published checkpoint names, once every entry and tile was found to
/// lead to it.
pub(crate) fn published_tree(files: &TileFiles, key: &VerifierKey) -> Result<Head, RecordError> {
    let disk = &files.disk;
    let head = published(disk, key)?.ok_or(RecordError::NoLog)?;
    let report = fsck::check(disk, key)?;
    let sound = |fault: &fsck::Fault| fault.code == fsck::FaultCode::WalMissing;
    if report.size != Some(head.size) || !report.faults.iter().all(sound) {
        return Err(IntegrityFault::BaseDamaged { size: head.size }.into());
    }
    Ok(head)
}

// The published checkpoint, if it is one. A torn file is none: it is written without a sync.
fn published(disk: &Arc<dyn Disk>, key: &VerifierKey) -> Result<Option<Head>, RecordError> {
    let note = match disk.read(CHECKPOINT, MAX_NOTE_BYTES) {
        Err(error) if error.is_not_found() || error.is_too_large() => return Ok(None),
        outcome => outcome?,
    };
    let Ok(signed) = SignedCheckpoint::parse(&note) else {
        return Ok(None);
    };
    let verified = signed
        .verify(std::slice::from_ref(key))
        .map_err(IntegrityFault::CheckpointInvalid)?;
    Ok(Some(Head {
        size: verified.size(),
        root: *verified.root(),
        checkpoint: verified.text().to_owned(),
    }))
}

// Records beyond the published checkpoint may never have been synced, or their sync may have
// failed: they are written again, and count from the sync after that on.
fn settle_tail(
    disk: &Arc<dyn Disk>,
    chain: &Chain,
    published: Option<&Head>,
) -> Result<(), RecordError> {
    let settled = |record: &Record| {
        published.is_some_and(|head| {
            // A record without entries repeats a checkpoint that may have been published before it.
            let published = record.header.count > 0 && record.checkpoint == head.checkpoint;
            record.header.size_after() < head.size || published
        })
    };
    let (older, newer) = chain
        .records
        .split_at_checked(chain.older)
        .unwrap_or_default();
    for (segment, records) in [(1 - chain.segment, older), (chain.segment, newer)] {
        if records.iter().all(settled) {
            continue;
        }
        let file = disk.open(segment_path(segment), false)?;
        let mut offset = 0_u64;
        for record in records {
            if !settled(record)
                && let Some(bytes) = record.clone().encode()
            {
                file.write_at(offset, &[&bytes])?;
            }
            offset += u64::try_from(record.header.padded_bytes()).unwrap_or(u64::MAX);
        }
        file.sync_data()?;
    }
    Ok(())
}

// Replays once more, now into the files.
fn replay_files(
    disk: &Arc<dyn Disk>,
    chain: &Chain,
    mut tree: Tree,
    (repair, bases): (Repair, &[Option<u64>]),
) -> Result<Tree, RecordError> {
    let mut out = Vec::new();
    for record in &chain.records {
        push_all(&mut tree, record, &mut out);
        tree.mark_boundary();
        if bases.contains(&Some(tree.size())) {
            // Recovery may have to start here one day. A torn partial tile would be in its way
            // even if the full one is there.
            tree.take_partials(&mut out);
        }
        write_files(disk, &mut out, repair, bases)?;
    }
    tree.take_partials(&mut out);
    write_files(disk, &mut out, repair, bases)?;
    Ok(tree)
}

fn write_files(
    disk: &Arc<dyn Disk>,
    files: &mut Vec<TreeFile>,
    repair: Repair,
    bases: &[Option<u64>],
) -> Result<(), RecordError> {
    for file in files.drain(..) {
        let path = file.path.to_string();
        let is_there = repair == Repair::Compare
            && disk
                .read(&path, MAX_BUNDLE_BYTES)
                .is_ok_and(|bytes| bytes == file.bytes);
        if !is_there {
            replace(disk, &path, &file.bytes)?;
        }
        if file.path.is_full() {
            drop_partials(disk, &file.path, bases);
        }
    }
    Ok(())
}
