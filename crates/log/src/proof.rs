//! Proofs: computed from tiles, verified, and as text (C2SP tlog-proof).
//!
//! Verification is [`custos_core::merkle`]'s. What is here is the other side, a log's: which nodes
//! a proof needs, and how they come out of tiles. Hashes that are read are not trusted for being
//! read: whoever hands a proof on verifies it against a signed root.
//!
//! Spec: RFC 6962 sections 2.1.1 and 2.1.2, <https://c2sp.org/tlog-tiles>,
//! <https://c2sp.org/tlog-proof>.

use std::fmt;

use custos_core::merkle::{self, Hash, MAX_PROOF_LEN};
pub use custos_core::merkle::{Consistency, ProofError, verify_consistency, verify_inclusion};

use crate::checkpoint::{CheckpointError, SignedCheckpoint};
use crate::note::MAX_NOTE_BYTES;
use crate::text;
use crate::tile::{Tile, TileError};

/// Where the nodes of a tree come from.
pub trait HashReader {
    /// Why a node cannot be had.
    type Error;

    /// Returns the root of the perfect subtree of 2^`level` leaves that starts at leaf
    /// `index` * 2^`level`.
    fn node(&self, level: u32, index: u64) -> Result<Hash, Self::Error>;
}

/// Where tiles come from.
pub trait TileSource {
    /// Why a tile cannot be had.
    type Error: From<TileError>;

    /// Returns the hashes of a tile; a wider version of the tile will do.
    fn tile(&self, tile: Tile) -> Result<Vec<Hash>, Self::Error>;
}

/// Reads nodes of a tree of `size` entries out of tiles.
#[derive(Debug, Clone, Copy)]
pub struct TileReader<'a, S: ?Sized> {
    source: &'a S,
    size: u64,
}

impl<'a, S: TileSource + ?Sized> TileReader<'a, S> {
    /// Returns a reader of the tree of `size` entries.
    pub const fn new(source: &'a S, size: u64) -> Self {
        Self { source, size }
    }
}

impl<S: TileSource + ?Sized> HashReader for TileReader<'_, S> {
    type Error = S::Error;

    fn node(&self, level: u32, index: u64) -> Result<Hash, S::Error> {
        let place = place(level, index, self.size)?;
        let hashes = self.source.tile(place.tile)?;
        let count = 1_usize
            .checked_shl(level.rem_euclid(8))
            .unwrap_or(usize::MAX);
        let from = place.column.saturating_mul(count);
        let part = hashes
            .get(from..from.saturating_add(count))
            .ok_or(TileError::Length {
                expected: place.tile.byte_len(),
                found: hashes.len().saturating_mul(32),
            })?;
        Ok(merkle::root(part))
    }
}

/// Where a node lies: in which tile, how many levels above its hashes, and which one there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) tile: Tile,
    pub(crate) row: usize,
    pub(crate) column: usize,
}

// Finds the node `index` of `level` in the tiles of a tree of `size` leaves.
pub(crate) fn place(level: u32, index: u64, size: u64) -> Result<Place, TileError> {
    let inside = level.rem_euclid(8);
    // First hash of the tile level that the node covers.
    let first = index
        .checked_shl(inside)
        .filter(|first| first.checked_shr(inside) == Some(index))
        .ok_or(TileError::Path)?;
    let tile = u8::try_from(level.div_euclid(8))
        .ok()
        .and_then(|tile_level| Tile::in_tree(tile_level, first >> 8, size))
        .ok_or(TileError::Path)?;
    let column = (first & 255).checked_shr(inside).unwrap_or(0);
    Ok(Place {
        tile,
        row: usize::try_from(inside).map_err(|_| TileError::Path)?,
        column: usize::try_from(column).map_err(|_| TileError::Path)?,
    })
}

/// Returns the root of the first `size` leaves.
pub fn root<R: HashReader + ?Sized>(reader: &R, size: u64) -> Result<Hash, R::Error> {
    if size == 0 {
        Ok(merkle::empty_root())
    } else {
        subtree(reader, 0, size)
    }
}

/// Returns the inclusion proof of leaf `index` in the tree of `size` leaves, leaf's sibling first;
/// `None` if there is no such leaf.
pub fn inclusion<R: HashReader + ?Sized>(
    reader: &R,
    index: u64,
    size: u64,
) -> Result<Option<Vec<Hash>>, R::Error> {
    if index >= size {
        return Ok(None);
    }
    let mut proof = Vec::new();
    let (mut start, mut end) = (0_u64, size);
    while end.saturating_sub(start) > 1 {
        let middle = start.saturating_add(split(end.saturating_sub(start)));
        if index < middle {
            proof.push(subtree(reader, middle, end)?);
            end = middle;
        } else {
            proof.push(subtree(reader, start, middle)?);
            start = middle;
        }
    }
    proof.reverse();
    Ok(Some(proof))
}

/// Returns the consistency proof from the tree of `old` leaves to that of `new`; `None` if `old`
/// is larger. It is empty if `old` is 0 or equal to `new`.
pub fn consistency<R: HashReader + ?Sized>(
    reader: &R,
    old: u64,
    new: u64,
) -> Result<Option<Vec<Hash>>, R::Error> {
    if old > new {
        return Ok(None);
    }
    let mut proof = Vec::new();
    if old == 0 || old == new {
        return Ok(Some(proof));
    }
    let (mut start, mut end) = (0_u64, new);
    // The old root itself is known to the verifier while the whole old tree is one subtree.
    let mut known = true;
    while old != end {
        let middle = start.saturating_add(split(end.saturating_sub(start)));
        if old <= middle {
            proof.push(subtree(reader, middle, end)?);
            end = middle;
        } else {
            proof.push(subtree(reader, start, middle)?);
            start = middle;
            known = false;
        }
    }
    if !known {
        proof.push(subtree(reader, start, end)?);
    }
    proof.reverse();
    Ok(Some(proof))
}

// The root over leaves start..end, where `start` is aligned to the largest power of two in the
// range, as every range of RFC 6962 is.
fn subtree<R: HashReader + ?Sized>(reader: &R, start: u64, end: u64) -> Result<Hash, R::Error> {
    // Perfect subtrees from the right: their sizes grow to the left.
    let mut at = end;
    let mut right: Option<Hash> = None;
    while at > start {
        let level = at.saturating_sub(start).trailing_zeros();
        at = at.saturating_sub(1_u64.checked_shl(level).unwrap_or(u64::MAX));
        let left = reader.node(level, at.checked_shr(level).unwrap_or(0))?;
        right = Some(right.map_or(left, |right| merkle::node_hash(&left, &right)));
    }
    Ok(right.unwrap_or_else(merkle::empty_root))
}

// The largest power of two below `len`, for `len` > 1.
fn split(len: u64) -> u64 {
    let below = len.saturating_sub(1).max(1);
    1_u64.checked_shl(below.ilog2()).unwrap_or(1)
}

const HEADER: &str = "c2sp.org/tlog-proof@v1";
// Header, extra (at most 64 KiB in base64), index and 64 hashes around a note.
const MAX_EXTRA_BYTES: usize = 64 << 10;
const MAX_TEXT_BYTES: usize = MAX_NOTE_BYTES + 2 * MAX_EXTRA_BYTES + 8_192;

/// An inclusion proof in a file of its own (`.tlog-proof`): index, hashes and the signed
/// checkpoint. Parsed, not verified.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlogProof {
    /// Data beside the proof, which nothing authenticates.
    pub extra: Option<Vec<u8>>,
    /// Position of the leaf.
    pub index: u64,
    /// Sibling hashes, leaf's sibling first.
    pub hashes: Vec<Hash>,
    /// The signed checkpoint, verbatim.
    pub checkpoint: String,
}

impl TlogProof {
    /// Returns a proof without extra data.
    pub fn new(index: u64, hashes: Vec<Hash>, checkpoint: impl Into<String>) -> Self {
        Self {
            extra: None,
            index,
            hashes,
            checkpoint: checkpoint.into(),
        }
    }

    /// Parses the text form.
    pub fn parse(proof: &[u8]) -> Result<Self, TlogProofError> {
        if proof.len() > MAX_TEXT_BYTES {
            return Err(TlogProofError::TooLarge { found: proof.len() });
        }
        let proof = std::str::from_utf8(proof).map_err(|_| TlogProofError::Malformed)?;
        let (head, checkpoint) = proof.split_once("\n\n").ok_or(TlogProofError::Malformed)?;
        SignedCheckpoint::parse(checkpoint.as_bytes()).map_err(TlogProofError::Checkpoint)?;
        let mut lines = head.split('\n');
        if lines.next() != Some(HEADER) {
            return Err(TlogProofError::Malformed);
        }
        let mut line = lines.next().ok_or(TlogProofError::Malformed)?;
        let mut extra = None;
        if let Some(encoded) = line.strip_prefix("extra ") {
            let bytes = text::base64_bytes(encoded).ok_or(TlogProofError::Malformed)?;
            if bytes.len() > MAX_EXTRA_BYTES {
                return Err(TlogProofError::TooLarge { found: bytes.len() });
            }
            extra = Some(bytes);
            line = lines.next().ok_or(TlogProofError::Malformed)?;
        }
        let index = line
            .strip_prefix("index ")
            .and_then(text::decimal)
            .ok_or(TlogProofError::Malformed)?;
        let mut hashes = Vec::new();
        for line in lines {
            if hashes.len() == MAX_PROOF_LEN {
                return Err(TlogProofError::TooManyHashes);
            }
            hashes.push(text::base64_hash(line).ok_or(TlogProofError::Malformed)?);
        }
        Ok(Self {
            extra,
            index,
            hashes,
            checkpoint: checkpoint.to_owned(),
        })
    }
}

impl fmt::Display for TlogProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEADER}")?;
        if let Some(extra) = &self.extra {
            writeln!(f, "extra {}", text::to_base64(extra))?;
        }
        writeln!(f, "index {}", self.index)?;
        for hash in &self.hashes {
            writeln!(f, "{}", text::to_base64(hash))?;
        }
        write!(f, "\n{}", self.checkpoint)
    }
}

/// Why bytes are not a `.tlog-proof`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TlogProofError {
    /// What follows the empty line is no checkpoint.
    #[error("the proof's checkpoint is not accepted: {0}")]
    Checkpoint(CheckpointError),
    /// Not of the form of the specification.
    #[error("not a tlog-proof")]
    Malformed,
    /// Beyond the limits.
    #[error("the tlog-proof is too large: {found} bytes")]
    TooLarge {
        /// Bytes found.
        found: usize,
    },
    /// More hashes than any tree needs.
    #[error("the tlog-proof has more than {MAX_PROOF_LEN} hashes")]
    TooManyHashes,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tile::TilePath;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    // The tiles of a small tree, cut as the specification says, straight from the definition.
    struct Tiles {
        files: BTreeMap<String, Vec<Hash>>,
        leaves: Vec<Hash>,
    }

    impl Tiles {
        fn new(size: usize) -> Self {
            let leaves: Vec<Hash> = (0..size)
                .map(|i| merkle::leaf_hash(&i.to_be_bytes()))
                .collect();
            let mut files = BTreeMap::new();
            let mut row = leaves.clone();
            for level in 0..4 {
                for (n, part) in row.chunks(256).enumerate() {
                    let tile = Tile::new(level, n as u64, part.len() as u16).unwrap();
                    files.insert(TilePath::Tile(tile).to_string(), part.to_vec());
                }
                row = row.chunks_exact(256).map(merkle::root).collect();
            }
            Self { files, leaves }
        }
    }

    impl TileSource for Tiles {
        type Error = TileError;

        fn tile(&self, tile: Tile) -> Result<Vec<Hash>, TileError> {
            self.files
                .get(&TilePath::Tile(tile).to_string())
                .cloned()
                .ok_or(TileError::Path)
        }
    }

    fn check(size: usize, index: usize, old: usize) {
        let tiles = Tiles::new(size);
        let reader = TileReader::new(&tiles, size as u64);
        let top = merkle::root(&tiles.leaves);
        assert_eq!(root(&reader, size as u64).unwrap(), top);
        let proof = inclusion(&reader, index as u64, size as u64)
            .unwrap()
            .unwrap();
        assert_eq!(
            proof,
            merkle::inclusion_proof(&tiles.leaves, index).unwrap()
        );
        verify_inclusion(
            &tiles.leaves[index],
            index as u64,
            size as u64,
            &proof,
            &top,
        )
        .unwrap();
        let old_root = merkle::root(&tiles.leaves[..old]);
        let proof = consistency(&reader, old as u64, size as u64)
            .unwrap()
            .unwrap();
        verify_consistency(&Consistency {
            old_size: old as u64,
            old_root: &old_root,
            new_size: size as u64,
            new_root: &top,
            proof: &proof,
        })
        .unwrap();
    }

    #[test]
    fn every_proof_of_small_trees() {
        for size in 1..=40 {
            for index in 0..size {
                check(size, index, index + 1);
            }
        }
    }

    #[test]
    fn outside_of_the_tree() {
        let tiles = Tiles::new(5);
        let reader = TileReader::new(&tiles, 5);
        assert_eq!(inclusion(&reader, 5, 5), Ok(None));
        assert_eq!(consistency(&reader, 6, 5), Ok(None));
        assert_eq!(consistency(&reader, 0, 5), Ok(Some(vec![])));
        assert_eq!(
            reader.node(0, 5),
            Err(TileError::Length {
                expected: 160,
                found: 160
            })
        );
        assert_eq!(reader.node(9, u64::MAX), Err(TileError::Path));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn proofs_across_tiles(size in 1_usize..70_000, a: usize, b: usize) {
            check(size, a % size, b % size + 1);
        }
    }

    fn note() -> String {
        format!(
            "o\n1\n{}\n\n\u{2014} o AAAAAAA=\n",
            text::to_base64(&[7; 32])
        )
    }

    #[test]
    fn text_form() {
        let mut proof = TlogProof::new(3, vec![[1; 32], [2; 32]], note());
        assert_eq!(
            TlogProof::parse(proof.to_string().as_bytes()).unwrap(),
            proof
        );
        proof.extra = Some(b"x".to_vec());
        let text = proof.to_string();
        assert_eq!(TlogProof::parse(text.as_bytes()).unwrap(), proof);
        for (from, to) in [
            ("@v1", "@v2"),
            ("index 3", "index 03"),
            ("index 3\n", ""),
            ("extra eA==", "extra eA="),
            ("\n\no\n", "\no\n"),
        ] {
            let bad = text.replacen(from, to, 1);
            assert_ne!(bad, text);
            assert!(TlogProof::parse(bad.as_bytes()).is_err(), "{bad}");
        }
        let long = TlogProof::new(3, vec![[1; 32]; MAX_PROOF_LEN + 1], note()).to_string();
        assert_eq!(
            TlogProof::parse(long.as_bytes()),
            Err(TlogProofError::TooManyHashes)
        );
    }

    proptest! {
        #[test]
        fn text_round_trips(index in 0_u64..1 << 63, hashes in prop::collection::vec(any::<[u8; 32]>(), 0..64),
                            extra in prop::option::of(prop::collection::vec(any::<u8>(), 0..50))) {
            let proof = TlogProof { extra, index, hashes, checkpoint: note() };
            prop_assert_eq!(TlogProof::parse(proof.to_string().as_bytes()).unwrap(), proof);
        }
    }
}
