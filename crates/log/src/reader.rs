//! [`LogReader`]: entries and proofs from the published files of a log, without a lock.
//!
//! A reader starts from the published checkpoint, whose files are all there before it is. Files
//! never change, so a writer at work beside it does no harm. Every proof and entry is checked
//! against the signed root before it is handed out: a damaged or tampered file is an error, not a
//! wrong answer.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use custos_core::merkle::{self, Hash};

use crate::checkpoint::{CheckpointError, SignedCheckpoint, VerifiedCheckpoint};
use crate::disk::{Disk, DiskError};
use crate::index::Leaves;
use crate::note::{MAX_NOTE_BYTES, NoteError, VerifierKey};
use crate::proof::{self, HashReader};
use crate::recorder::{IntegrityFault, RecordError, Recorded};
use crate::tile::{EntryBundle, FULL_TILE_BYTES, MAX_BUNDLE_BYTES, Tile, TileError, TilePath};

/// Name of the published checkpoint.
pub(crate) const CHECKPOINT: &str = "checkpoint";
// Tiles kept in memory, each with its inner nodes: 16 KiB.
const CACHED_TILES: usize = 1_024;

/// Reads a log.
#[derive(Debug, Clone)]
pub struct LogReader {
    files: Arc<TileFiles>,
    keys: Vec<VerifierKey>,
}

impl LogReader {
    /// Returns a reader of the log on `disk` whose checkpoints `key` signs.
    pub fn new(disk: Arc<dyn Disk>, key: VerifierKey) -> Self {
        Self::over(Arc::new(TileFiles::new(disk)), key)
    }

    pub(crate) fn over(files: Arc<TileFiles>, key: VerifierKey) -> Self {
        Self {
            files,
            keys: vec![key],
        }
    }

    /// Reads and verifies the published checkpoint.
    pub fn latest(&self) -> Result<VerifiedCheckpoint, RecordError> {
        let note = match self.files.disk.read(CHECKPOINT, MAX_NOTE_BYTES) {
            Err(error) if error.is_not_found() => return Err(RecordError::NoLog),
            Err(error) if error.is_too_large() => {
                let found = MAX_NOTE_BYTES.saturating_add(1);
                let error = CheckpointError::Note(NoteError::TooLarge { found });
                return Err(IntegrityFault::CheckpointInvalid(error).into());
            }
            outcome => outcome?,
        };
        // The only key is the log's, so the origin is its name.
        Ok(SignedCheckpoint::open(&note, &self.keys).map_err(IntegrityFault::CheckpointInvalid)?)
    }

    /// Returns the entry at `index` in the tree of `checkpoint`, with its proof.
    pub fn get(
        &self,
        index: u64,
        checkpoint: &VerifiedCheckpoint,
    ) -> Result<(Vec<u8>, Recorded), RecordError> {
        let recorded = self.prove(index, checkpoint)?;
        let within = index % 256;
        let entries = self.bundle(index / 256, checkpoint.size())?;
        let entry = usize::try_from(within)
            .ok()
            .and_then(|at| entries.into_iter().nth(at))
            .ok_or(IntegrityFault::EntryMismatch { index })?;
        let leaf = merkle::leaf_hash(&entry);
        let verified = proof::verify_inclusion(
            &leaf,
            index,
            checkpoint.size(),
            &recorded.hashes,
            checkpoint.root(),
        );
        match verified {
            Ok(()) => Ok((entry, recorded)),
            Err(_) => Err(IntegrityFault::EntryMismatch { index }.into()),
        }
    }

    /// Proves that the leaf at `index` lies in the tree of `checkpoint`.
    pub fn prove(
        &self,
        index: u64,
        checkpoint: &VerifiedCheckpoint,
    ) -> Result<Recorded, RecordError> {
        let head = Head {
            size: checkpoint.size(),
            root: *checkpoint.root(),
            checkpoint: checkpoint.text().to_owned(),
        };
        self.files
            .prove(index, &head, *checkpoint.log_key().full_id())
    }

    /// Returns the consistency proof from the tree of `old` entries to that of `checkpoint`, and
    /// the root of the former as the log has it; the proof was checked against both.
    pub fn consistency(
        &self,
        old: u64,
        checkpoint: &VerifiedCheckpoint,
    ) -> Result<(Hash, Vec<Hash>), RecordError> {
        let size = checkpoint.size();
        let nodes = Nodes {
            files: &self.files,
            size,
        };
        let hashes = proof::consistency(&nodes, old, size)?.ok_or(RecordError::NoSuchEntry {
            index: old.saturating_sub(1),
            size,
        })?;
        let old_root = proof::root(&nodes, old)?;
        proof::verify_consistency(&proof::Consistency {
            old_size: old,
            old_root: &old_root,
            new_size: size,
            new_root: checkpoint.root(),
            proof: &hashes,
        })
        .map_err(|_| IntegrityFault::BaseDamaged { size: old })?;
        Ok((old_root, hashes))
    }

    /// Checks that the log of `checkpoint` extends that of `known`, a checkpoint of this log that
    /// was seen earlier.
    pub fn extends(
        &self,
        known: &VerifiedCheckpoint,
        checkpoint: &VerifiedCheckpoint,
    ) -> Result<(), RecordError> {
        if known.origin() != checkpoint.origin() {
            let error = CheckpointError::NotSignedByLog;
            return Err(IntegrityFault::CheckpointInvalid(error).into());
        }
        if known.size() > checkpoint.size() {
            let (signed, found) = (known.size(), checkpoint.size());
            return Err(IntegrityFault::Rollback { signed, found }.into());
        }
        let (root, _) = self.consistency(known.size(), checkpoint)?;
        if root == *known.root() {
            Ok(())
        } else {
            Err(IntegrityFault::Fork { size: known.size() }.into())
        }
    }

    /// Calls `each` with index and bytes of the entries `range`, in sequence, each checked against
    /// the tree of `checkpoint`.
    pub fn for_each<E: From<RecordError>>(
        &self,
        range: Range<u64>,
        checkpoint: &VerifiedCheckpoint,
        mut each: impl FnMut(u64, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let size = checkpoint.size();
        let end = range.end.min(size);
        let mut at = range.start;
        while at < end {
            let bundle = at / 256;
            let rows = self.files.leaves_of(bundle, checkpoint)?;
            let entries = self.bundle(bundle, size)?;
            let skip = usize::try_from(at % 256).unwrap_or(0);
            for (entry, leaf) in entries.iter().zip(rows.row(0)).skip(skip) {
                if at == end {
                    break;
                }
                if merkle::leaf_hash(entry) != *leaf {
                    return Err(
                        RecordError::from(IntegrityFault::EntryMismatch { index: at }).into(),
                    );
                }
                each(at, entry)?;
                at += 1;
            }
        }
        Ok(())
    }

    fn bundle(&self, index: u64, size: u64) -> Result<Vec<Vec<u8>>, RecordError> {
        let bundle = EntryBundle::in_tree(index, size).ok_or(RecordError::NoSuchEntry {
            index: index.saturating_mul(256),
            size,
        })?;
        let entries = self.files.bundle(bundle)?;
        Ok(entries)
    }
}

/// The head of a log as its writer knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Head {
    /// Number of entries.
    pub size: u64,
    /// Root of the tree.
    pub root: Hash,
    /// The signed checkpoint.
    pub checkpoint: String,
}

/// The tile files of a log, with a cache.
#[derive(Debug)]
pub(crate) struct TileFiles {
    pub(crate) disk: Arc<dyn Disk>,
    cache: Mutex<HashMap<Tile, Arc<Rows>>>,
}

/// A tile with its inner nodes: row 0 the hashes, each further row the pairs of the one before.
#[derive(Debug)]
pub(crate) struct Rows(Vec<Vec<Hash>>);

impl Rows {
    fn new(hashes: Vec<Hash>) -> Self {
        let mut rows = vec![hashes];
        while let Some(last) = rows.last().filter(|row| row.len() > 1) {
            let pairs = last.as_chunks::<2>().0;
            let next = pairs
                .iter()
                .map(|[left, right]| merkle::node_hash(left, right))
                .collect();
            rows.push(next);
        }
        Self(rows)
    }

    pub(crate) fn row(&self, n: usize) -> &[Hash] {
        self.0.get(n).map(Vec::as_slice).unwrap_or_default()
    }
}

impl TileFiles {
    pub(crate) fn new(disk: Arc<dyn Disk>) -> Self {
        Self {
            disk,
            cache: Mutex::new(HashMap::new()),
        }
    }

    /// Forgets what was read, after files were repaired.
    pub(crate) fn forget(&self) {
        self.cache
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    /// Returns the tile, from its own file or from the full one.
    pub(crate) fn tile(&self, tile: Tile) -> Result<Arc<Rows>, RecordError> {
        if let Some(rows) = self
            .cache
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&tile)
        {
            return Ok(Arc::clone(rows));
        }
        let (partial, full) = (TilePath::Tile(tile), TilePath::Tile(tile.to_full()));
        let (path, mut bytes) = self.read_either(&partial, &full, FULL_TILE_BYTES)?;
        if path == full && bytes.len() == FULL_TILE_BYTES {
            bytes.truncate(tile.byte_len());
        }
        let hashes = tile.decode(&bytes).map_err(|error| IntegrityFault::Tile {
            path: path.to_string(),
            error,
        })?;
        let rows = Arc::new(Rows::new(hashes));
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if cache.len() >= CACHED_TILES {
            cache.clear();
        }
        cache.insert(tile, Arc::clone(&rows));
        Ok(rows)
    }

    /// Returns the entries of a bundle, from its own file or from the full one.
    pub(crate) fn bundle(&self, bundle: EntryBundle) -> Result<Vec<Vec<u8>>, RecordError> {
        let (own, full) = (
            TilePath::Entries(bundle),
            TilePath::Entries(bundle.to_full()),
        );
        let (path, bytes) = self.read_either(&own, &full, MAX_BUNDLE_BYTES)?;
        let read = if path == own {
            bundle
        } else {
            bundle.to_full()
        };
        let entries = read.decode(&bytes).map_err(|error| IntegrityFault::Tile {
            path: path.to_string(),
            error,
        })?;
        let wanted = entries.into_iter().take(usize::from(bundle.width()));
        Ok(wanted.map(<[u8]>::to_vec).collect())
    }

    fn read_either(
        &self,
        own: &TilePath,
        full: &TilePath,
        limit: usize,
    ) -> Result<(TilePath, Vec<u8>), RecordError> {
        let failed = |error: DiskError| {
            if error.is_not_found() {
                RecordError::Missing { path: error.path }
            } else if error.is_too_large() {
                // Somebody made it so.
                RecordError::Integrity(IntegrityFault::Tile {
                    path: error.path,
                    error: TileError::TooLarge { limit },
                })
            } else {
                error.into()
            }
        };
        match self.disk.read(&own.to_string(), limit) {
            Err(error) if error.is_not_found() && own != full => Ok((
                *full,
                self.disk.read(&full.to_string(), limit).map_err(failed)?,
            )),
            outcome => Ok((*own, outcome.map_err(failed)?)),
        }
    }

    // The level-0 tile `index`, proved against the checkpoint.
    fn leaves_of(
        &self,
        index: u64,
        checkpoint: &VerifiedCheckpoint,
    ) -> Result<Arc<Rows>, RecordError> {
        let size = checkpoint.size();
        let first = index.saturating_mul(256);
        let tile =
            Tile::in_tree(0, index, size).ok_or(RecordError::NoSuchEntry { index: first, size })?;
        let rows = self.tile(tile)?;
        // A proof for the last leaf of the tile takes in all of them: as right edge or as siblings.
        let last = first + u64::from(tile.width()) - 1;
        let head = Head {
            size,
            root: *checkpoint.root(),
            checkpoint: String::new(),
        };
        self.prove(last, &head, [0; 32])?;
        Ok(rows)
    }

    /// Proves the leaf at `index` against `head`, and checks the proof.
    pub(crate) fn prove(
        &self,
        index: u64,
        head: &Head,
        log_key_id: [u8; 32],
    ) -> Result<Recorded, RecordError> {
        let nodes = Nodes {
            files: self,
            size: head.size,
        };
        let hashes =
            proof::inclusion(&nodes, index, head.size)?.ok_or(RecordError::NoSuchEntry {
                index,
                size: head.size,
            })?;
        let leaf = nodes.node(0, index)?;
        proof::verify_inclusion(&leaf, index, head.size, &hashes, &head.root)
            .map_err(|_| IntegrityFault::ProofDoesNotVerify { index })?;
        Ok(Recorded {
            index,
            tree_size: head.size,
            root: head.root,
            hashes,
            checkpoint: head.checkpoint.clone(),
            log_key_id,
        })
    }
}

impl Leaves for TileFiles {
    type Error = RecordError;

    fn leaves(&self, first: u64, count: u64) -> Result<Vec<Hash>, RecordError> {
        let mut leaves = Vec::new();
        for index in first / 256..(first + count) / 256 {
            let tile = Tile::new(0, index, 256).ok_or(TileError::Path)?;
            let path = TilePath::Tile(tile).to_string();
            // Past the cache: a million leaves would flush it.
            let bytes = self.disk.read(&path, FULL_TILE_BYTES)?;
            let hashes = tile
                .decode(&bytes)
                .map_err(|error| IntegrityFault::Tile { path, error })?;
            leaves.extend(hashes);
        }
        Ok(leaves)
    }
}

/// The nodes of the tree of `size` entries.
pub(crate) struct Nodes<'a> {
    pub(crate) files: &'a TileFiles,
    pub(crate) size: u64,
}

impl HashReader for Nodes<'_> {
    type Error = RecordError;

    fn node(&self, level: u32, index: u64) -> Result<Hash, RecordError> {
        let place = proof::place(level, index, self.size)?;
        let rows = self.files.tile(place.tile)?;
        let node = rows.row(place.row).get(place.column).copied();
        node.ok_or_else(|| TileError::Path.into())
    }
}
