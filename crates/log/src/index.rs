//! The index of leaf hashes, for answering a duplicate with its old position.
//!
//! It is derived from the level-0 tiles and can be deleted at any time. The newest leaves are in
//! memory; older ones lie in immutable, sorted runs of 4,096, 65,536 or 1,048,576 leaves, sixteen
//! of which merge into one of the next size. Of each run a filter of two bytes a leaf and the first
//! key of each page are in memory, so that a new leaf seldom costs a read. Runs are not synced:
//! each page carries a checksum, and a run that is not whole is built again.
//!
//! A run names a leaf by the first 12 bytes of its hash; whoever looks up compares the whole hash
//! with the tile.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use custos_core::crypto::sha256;
use custos_core::merkle::Hash;

use crate::disk::{Disk, DiskError, DiskFile};

/// Leaves of the smallest run.
pub(crate) const RUN: u64 = 4_096;
const FAN_IN: u64 = 16;
const TIERS: u32 = 3;
const PAGE: usize = 4_096;
const KEY: usize = 12;
const SLOT: usize = KEY + 4;
// 255 slots and 16 bytes of checksum fill a page.
const SLOTS: usize = 255;
const TRAILER: usize = 56;
// Bytes of filter for each leaf: with eight bits set in a line, one new leaf in some hundreds is
// looked for in vain.
const FILTER_BYTES: usize = 2;
const MAGIC: &[u8; 8] = b"custosI1";
// Leaves kept in memory when runs cannot be written, before that becomes an error.
const MAX_RECENT: usize = 262_144;

type Slot = [u8; SLOT];

/// Gives the leaf hashes of the log, to build runs from.
pub(crate) trait Leaves {
    type Error: From<DiskError>;

    /// Returns the leaf hashes `first..first + count`; both are multiples of 256.
    fn leaves(&self, first: u64, count: u64) -> Result<Vec<Hash>, Self::Error>;
}

/// The index.
#[derive(Debug)]
pub(crate) struct Index {
    disk: Arc<dyn Disk>,
    runs: Vec<Run>,
    // Leaves from `recent_first` on, in sequence.
    recent_first: u64,
    recent: Vec<Hash>,
    positions: HashMap<Hash, u64>,
}

impl Index {
    /// Returns the index with nothing in it.
    pub(crate) fn new(disk: Arc<dyn Disk>) -> Self {
        Self {
            disk,
            runs: Vec::new(),
            recent_first: 0,
            recent: Vec::new(),
            positions: HashMap::new(),
        }
    }

    /// Loads the index of a log of `size` leaves; what is missing or damaged is built from
    /// `source`, whose leaves beyond the last full tile are `tail`.
    pub(crate) fn load<L: Leaves>(
        disk: Arc<dyn Disk>,
        size: u64,
        tail: &[Hash],
        source: &L,
    ) -> Result<Self, L::Error> {
        let mut index = Self::new(disk);
        let mut at = 0;
        for tier in (0..TIERS).rev() {
            let span = span(tier);
            while size.saturating_sub(at) >= span {
                let run = match Run::open(&index.disk, tier, at) {
                    Some(run) => run,
                    None => Run::build(&index.disk, tier, at, &source.leaves(at, span)?)?,
                };
                index.runs.push(run);
                at += span;
            }
        }
        index.recent_first = at;
        let in_tiles = (size - at) / 256 * 256;
        if in_tiles > 0 {
            for (leaf, position) in source.leaves(at, in_tiles)?.into_iter().zip(at..) {
                index.insert(leaf, position);
            }
        }
        for (leaf, position) in tail.iter().zip(at + in_tiles..) {
            index.insert(*leaf, position);
        }
        Ok(index)
    }

    /// Notes that `leaf` stands at `position`, the next one.
    pub(crate) fn insert(&mut self, leaf: Hash, position: u64) {
        self.positions.entry(leaf).or_insert(position);
        self.recent.push(leaf);
    }

    /// Returns the position of a recent leaf.
    pub(crate) fn recent(&self, leaf: &Hash) -> Option<u64> {
        self.positions.get(leaf).copied()
    }

    /// Returns where `leaf` may stand among the older leaves; a damaged run is built again.
    pub(crate) fn older<L: Leaves>(
        &mut self,
        leaf: &Hash,
        source: &L,
    ) -> Result<Vec<u64>, L::Error> {
        let mut found = Vec::new();
        for run in &mut self.runs {
            if !run.may_have(leaf) {
                continue;
            }
            if run.find(leaf, &mut found).is_none() {
                let leaves = source.leaves(run.first, span(run.tier))?;
                *run = Run::build(&self.disk, run.tier, run.first, &leaves)?;
                // Read back what was just written; if even that fails the disk is at fault.
                if run.find(leaf, &mut found).is_none() {
                    let error = std::io::ErrorKind::InvalidData.into();
                    return Err(DiskError::new("read", &run.path(), &error).into());
                }
            }
        }
        Ok(found)
    }

    /// Moves recent leaves into runs and merges runs, as far as the tiles of the first `published`
    /// leaves are there to check a hit against. Fails only when memory would grow beyond its
    /// bound; else a failed write is tried again the next time.
    pub(crate) fn settle(&mut self, published: u64) -> Result<(), DiskError> {
        while self.recent.len() as u64 >= RUN && self.recent_first + RUN <= published {
            let Some(leaves) = self.recent.get(..RUN as usize) else {
                return Ok(());
            };
            match Run::build(&self.disk, 0, self.recent_first, leaves) {
                Ok(run) => self.runs.push(run),
                Err(error) if self.recent.len() > MAX_RECENT => return Err(error),
                Err(_) => return Ok(()),
            }
            for leaf in self.recent.drain(..RUN as usize) {
                // A leaf that stands twice keeps its first position only.
                if self
                    .positions
                    .get(&leaf)
                    .is_some_and(|at| *at < self.recent_first + RUN)
                {
                    self.positions.remove(&leaf);
                }
            }
            self.recent_first += RUN;
            for tier in 0..TIERS - 1 {
                // A merge that fails is one file more until the next start.
                if self.merge(tier).is_err() {
                    break;
                }
            }
        }
        Ok(())
    }

    fn merge(&mut self, tier: u32) -> Result<(), DiskError> {
        let aligned = self.recent_first.is_multiple_of(span(tier + 1));
        let keep = self.runs.len().saturating_sub(FAN_IN as usize);
        let Some(parts) = self.runs.get(keep..).filter(|_| aligned) else {
            return Ok(());
        };
        if parts.len() < FAN_IN as usize || parts.iter().any(|run| run.tier != tier) {
            return Ok(());
        }
        let first = parts.first().map_or(0, |run| run.first);
        let mut slots = Vec::with_capacity(span(tier + 1) as usize);
        for run in parts {
            if !run.read_all(first, &mut slots) {
                return Ok(());
            }
        }
        let merged = Run::write(&self.disk, tier + 1, first, slots)?;
        for run in self.runs.drain(keep..) {
            let _ = self.disk.remove(&run.path());
        }
        self.runs.push(merged);
        Ok(())
    }

    /// Returns the paths of the runs in use.
    #[cfg(test)]
    pub(crate) fn paths(&self) -> Vec<String> {
        self.runs.iter().map(Run::path).collect()
    }
}

fn span(tier: u32) -> u64 {
    RUN * FAN_IN.pow(tier)
}

struct Run {
    tier: u32,
    first: u64,
    file: Box<dyn DiskFile>,
    // The first eight bytes of the first key of each page.
    fences: Vec<u64>,
    filter: Vec<u8>,
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path())
    }
}

impl Run {
    fn path(&self) -> String {
        path(self.tier, self.first)
    }

    fn build(
        disk: &Arc<dyn Disk>,
        tier: u32,
        first: u64,
        leaves: &[Hash],
    ) -> Result<Self, DiskError> {
        let slots = leaves
            .iter()
            .zip(0_u32..)
            .map(|(leaf, at)| slot(leaf, at))
            .collect();
        Self::write(disk, tier, first, slots)
    }

    fn write(
        disk: &Arc<dyn Disk>,
        tier: u32,
        first: u64,
        mut slots: Vec<Slot>,
    ) -> Result<Self, DiskError> {
        slots.sort_unstable();
        let mut filter = vec![0; filter_len(slots.len())];
        let mut fences = Vec::with_capacity(slots.len().div_ceil(SLOTS));
        let mut bytes = Vec::with_capacity(slots.len() / SLOTS * PAGE + 2 * PAGE + filter.len());
        for page in slots.chunks(SLOTS) {
            fences.push(page.first().map_or(0, |slot| head(slot)));
            let start = bytes.len();
            for slot in page {
                set(&mut filter, slot);
                bytes.extend_from_slice(slot);
            }
            bytes.resize(start + SLOTS * SLOT, 0xff);
            let sum = sha256(bytes.get(start..).unwrap_or_default());
            bytes.extend_from_slice(sum.get(..16).unwrap_or_default());
        }
        let meta = bytes.len();
        bytes.extend_from_slice(&filter);
        for fence in &fences {
            bytes.extend_from_slice(&fence.to_be_bytes());
        }
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&first.to_be_bytes());
        bytes.extend_from_slice(&(slots.len() as u64).to_be_bytes());
        let sum = sha256(bytes.get(meta..).unwrap_or_default());
        bytes.extend_from_slice(&sum);
        let path = path(tier, first);
        disk.write(&path, &bytes)?;
        let file = disk.open(&path, false)?;
        Ok(Self {
            tier,
            first,
            file,
            fences,
            filter,
        })
    }

    // Opens a run if its trailer is whole; pages are checked as they are read.
    fn open(disk: &Arc<dyn Disk>, tier: u32, first: u64) -> Option<Self> {
        let count = span(tier) as usize;
        let pages = count.div_ceil(SLOTS);
        let meta_len = filter_len(count) + pages * 8 + TRAILER;
        let file = disk.open(&path(tier, first), false).ok()?;
        if file.size().ok()? != (pages * PAGE + meta_len) as u64 {
            return None;
        }
        let meta = file.read_at((pages * PAGE) as u64, meta_len).ok()?;
        let (body, sum) = meta.split_last_chunk::<32>()?;
        let (filter, rest) = body.split_at_checked(filter_len(count))?;
        let (fences, fields) = rest.split_at_checked(pages * 8)?;
        let expected = [
            MAGIC.as_slice(),
            &first.to_be_bytes(),
            &(count as u64).to_be_bytes(),
        ]
        .concat();
        if sha256(body) != *sum || fields != expected {
            return None;
        }
        let fences = fences
            .as_chunks::<8>()
            .0
            .iter()
            .map(|b| u64::from_be_bytes(*b))
            .collect();
        Some(Self {
            tier,
            first,
            file,
            fences,
            filter: filter.to_vec(),
        })
    }

    fn may_have(&self, leaf: &Hash) -> bool {
        let mut bits = filter_bits(leaf, self.filter.len() / 64);
        bits.all(|(at, bit)| self.filter.get(at).is_some_and(|byte| byte & bit != 0))
    }

    // Adds the positions whose key is that of `leaf`; `None` if a page is not whole.
    fn find(&self, leaf: &Hash, found: &mut Vec<u64>) -> Option<()> {
        let wanted = head(leaf);
        // Equal heads may begin on the page before.
        let from = self
            .fences
            .partition_point(|fence| *fence < wanted)
            .saturating_sub(1);
        let to = self.fences.partition_point(|fence| *fence <= wanted);
        for page in from..to.max(from + 1) {
            let bytes = read_page(self.file.as_ref(), page)?;
            for slot in bytes.as_chunks::<SLOT>().0 {
                if slot.get(..KEY) == leaf.get(..KEY) {
                    found.push(self.first + u64::from(offset(slot)));
                }
            }
        }
        Some(())
    }

    fn read_all(&self, base: u64, out: &mut Vec<Slot>) -> bool {
        let mut left = span(self.tier) as usize;
        let shift = (self.first - base) as u32;
        for page in 0..self.fences.len() {
            let Some(bytes) = read_page(self.file.as_ref(), page) else {
                return false;
            };
            for slot in bytes.as_chunks::<SLOT>().0.iter().take(left.min(SLOTS)) {
                let mut moved = *slot;
                if let Some((_, at)) = moved.split_last_chunk_mut::<4>() {
                    *at = (offset(slot) + shift).to_be_bytes();
                }
                out.push(moved);
            }
            left = left.saturating_sub(SLOTS);
        }
        true
    }
}

fn read_page(file: &dyn DiskFile, page: usize) -> Option<Vec<u8>> {
    let mut bytes = file.read_at((page * PAGE) as u64, PAGE).ok()?;
    let (body, sum) = bytes.split_last_chunk::<16>()?;
    if body.len() != SLOTS * SLOT || sha256(body).get(..16)? != sum {
        return None;
    }
    bytes.truncate(SLOTS * SLOT);
    Some(bytes)
}

fn path(tier: u32, first: u64) -> String {
    format!("index/{tier}-{first}")
}

fn slot(leaf: &Hash, at: u32) -> Slot {
    let mut slot = [0; SLOT];
    for (place, byte) in slot
        .iter_mut()
        .zip(leaf.iter().take(KEY).chain(&at.to_be_bytes()))
    {
        *place = *byte;
    }
    slot
}

fn head(bytes: &[u8]) -> u64 {
    bytes
        .first_chunk::<8>()
        .map_or(0, |head| u64::from_be_bytes(*head))
}

fn offset(slot: &Slot) -> u32 {
    slot.last_chunk::<4>()
        .map_or(0, |at| u32::from_be_bytes(*at))
}

// One cache line of 512 bits a key, eight bits in it. Leaf hashes are uniform: their own bits do,
// 72 for the places in the line and the other 24 for the line.
fn filter_bits(key: &[u8], lines: usize) -> impl Iterator<Item = (usize, u8)> {
    let mut wide = [0; 16];
    for (place, byte) in wide.iter_mut().zip(key.iter().take(KEY)) {
        *place = *byte;
    }
    let bits = u128::from_be_bytes(wide) >> 32;
    let line = (((bits >> 72) as usize) * lines) >> 24;
    (0..8).map(move |n| {
        let bit = (bits >> (9 * n)) & 511;
        (line * 64 + (bit / 8) as usize, 1 << (bit % 8))
    })
}

fn filter_len(leaves: usize) -> usize {
    (leaves * FILTER_BYTES).next_multiple_of(64)
}

fn set(filter: &mut [u8], key: &[u8]) {
    for (at, bit) in filter_bits(key, filter.len() / 64) {
        if let Some(byte) = filter.get_mut(at) {
            *byte |= bit;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::sim::SimDisk;
    use custos_core::merkle;

    struct All(Vec<Hash>);

    impl Leaves for All {
        type Error = DiskError;

        fn leaves(&self, first: u64, count: u64) -> Result<Vec<Hash>, DiskError> {
            Ok(self.0[first as usize..(first + count) as usize].to_vec())
        }
    }

    fn all(n: u64) -> All {
        All((0..n)
            .map(|i| merkle::leaf_hash(&i.to_be_bytes()))
            .collect())
    }

    fn position(index: &mut Index, leaf: &Hash, source: &All) -> Vec<u64> {
        match index.recent(leaf) {
            Some(at) => vec![at],
            None => index.older(leaf, source).unwrap(),
        }
    }

    #[test]
    fn every_leaf_is_found_through_runs_merges_and_loads() {
        let source = all(70_001);
        let disk = SimDisk::new(1);
        let mut index = Index::new(Arc::new(disk.clone()));
        for (leaf, at) in source.0.iter().zip(0..) {
            index.insert(*leaf, at);
            index.settle(u64::MAX).unwrap();
        }
        assert_eq!(index.paths(), ["index/1-0", "index/0-65536"]);
        assert_eq!(disk.paths().len(), 2, "merged runs are gone");
        for (leaf, at) in source.0.iter().zip(0..).step_by(37) {
            assert_eq!(position(&mut index, leaf, &source), [at]);
        }
        let absent = (0..2_000_u64).filter(|i| {
            !index
                .older(
                    &merkle::leaf_hash(&[&i.to_be_bytes()[..], b"x"].concat()),
                    &source,
                )
                .unwrap()
                .is_empty()
        });
        assert_eq!(absent.count(), 0);

        // Once more from the files, one of them damaged, one missing.
        disk.corrupt("index/1-0", 5 * PAGE + 9, b"rot");
        disk.corrupt("index/0-65536", 0, b"rot");
        let tail = &source.0[69_888..];
        let mut index = Index::load(Arc::new(disk), 70_001, tail, &source).unwrap();
        for (leaf, at) in source.0.iter().zip(0..).step_by(13) {
            assert_eq!(position(&mut index, leaf, &source), [at]);
        }
    }

    #[test]
    fn the_filter_spares_reads() {
        let source = all(RUN);
        let disk: Arc<dyn Disk> = Arc::new(SimDisk::new(1));
        let run = Run::build(&disk, 0, 0, &source.0).unwrap();
        assert!(source.0.iter().all(|leaf| run.may_have(leaf)));
        let wrong = (0..10_000_u64)
            .filter(|i| run.may_have(&merkle::leaf_hash(&[&i.to_be_bytes()[..], b"x"].concat())))
            .count();
        assert!(wrong < 60, "{wrong} of 10,000");
    }

    #[test]
    fn a_full_disk_keeps_leaves_in_memory() {
        let source = all(9_000);
        let disk = SimDisk::new(1);
        disk.fill_at(0);
        let mut index = Index::new(Arc::new(disk.clone()));
        for (leaf, at) in source.0.iter().zip(0..) {
            index.insert(*leaf, at);
        }
        index.settle(u64::MAX).unwrap();
        assert_eq!(index.recent(&source.0[0]), Some(0));
        disk.make_room();
        index.settle(u64::MAX).unwrap();
        assert_eq!(index.paths().len(), 2);
        assert_eq!(position(&mut index, &source.0[0], &source), [0]);
    }
}
