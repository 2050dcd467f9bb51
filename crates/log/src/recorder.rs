//! [`Recorder`]: how leaves get into a log, be it in this process, on this disk or behind HTTP.
//!
//! A recorder answers only when every leaf of the call is durable and covered by the checkpoint
//! that it returns. Nothing of the answer has to be believed: leaf, proof and checkpoint verify.

use custos_core::bundle::{InclusionProof, TransparencyLogEntry};
use custos_core::entry;
use custos_core::limits::MAX_ENTRY_BYTES;
use custos_core::merkle::{self, Hash};

use crate::checkpoint::{CheckpointError, SignedCheckpoint};
use crate::disk::DiskError;
use crate::note::VerifierKey;
use crate::proof::{TlogProof, verify_inclusion};
use crate::tile::TileError;

/// Most leaves of one call.
pub const MAX_LEAVES: usize = 65_536;

/// Appends leaves to a log.
pub trait Recorder: Send + Sync {
    /// Records `leaves`, in sequence, and returns one proof for each.
    ///
    /// All of them are durable and lie under the returned checkpoints when this returns. A leaf
    /// that the log has already is answered with its old index and a fresh proof. On an error some
    /// of the leaves may be in the log, and recording them again is right and safe.
    fn record(&self, leaves: &[Vec<u8>]) -> Result<Vec<Recorded>, RecordError>;

    /// Returns the key that signs the log's checkpoints.
    fn log_key(&self) -> &VerifierKey;
}

/// Where a leaf stands, with the proof.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recorded {
    /// Position in the log.
    pub index: u64,
    /// Size of the tree of the checkpoint.
    pub tree_size: u64,
    /// Root of the tree of the checkpoint.
    pub root: Hash,
    /// Inclusion proof, leaf's sibling first.
    pub hashes: Vec<Hash>,
    /// The signed checkpoint.
    pub checkpoint: String,
    /// Untruncated id of the log's key.
    pub log_key_id: [u8; 32],
}

impl Recorded {
    /// Returns what a proof says about `leaf`, once it verifies: its checkpoint is signed by
    /// `key`, and leaf and hashes lead to the root that it names.
    ///
    /// So a recorder that speaks to a log elsewhere turns its answers into [`Recorded`].
    ///
    /// ```
    /// use custos_core::crypto::{KeyKind, KeyPair};
    /// use custos_log::proof::TlogProof;
    /// use custos_log::{Log, LogOptions, Recorded, Recorder, disk::sim::SimDisk, note::KeyPairSigner};
    ///
    /// let pair = KeyPair::generate(KeyKind::Ed25519).unwrap();
    /// let signer = Box::new(KeyPairSigner::new("example.com/log", pair).unwrap());
    /// let disk = std::sync::Arc::new(SimDisk::new(1));
    /// let log = Log::create(disk, signer, LogOptions::batch()).unwrap();
    /// let there = log.record(&[b"leaf".to_vec()]).unwrap().remove(0);
    /// let sent = there.to_tlog_proof().to_string();
    ///
    /// let proof = TlogProof::parse(sent.as_bytes()).unwrap();
    /// assert_eq!(Recorded::verify(b"leaf", &proof, log.log_key()), Ok(there));
    /// assert!(Recorded::verify(b"other", &proof, log.log_key()).is_err());
    /// ```
    pub fn verify(leaf: &[u8], proof: &TlogProof, key: &VerifierKey) -> Result<Self, RecordError> {
        let keys = std::slice::from_ref(key);
        let checkpoint = SignedCheckpoint::open(proof.checkpoint.as_bytes(), keys)
            .map_err(IntegrityFault::CheckpointInvalid)?;
        let (size, root) = (checkpoint.size(), *checkpoint.root());
        let index = proof.index;
        verify_inclusion(&merkle::leaf_hash(leaf), index, size, &proof.hashes, &root)
            .map_err(|_| IntegrityFault::ProofDoesNotVerify { index })?;
        Ok(Self {
            index,
            tree_size: size,
            root,
            hashes: proof.hashes.clone(),
            checkpoint: proof.checkpoint.clone(),
            log_key_id: *key.full_id(),
        })
    }

    /// Returns the bundle's log entry for `leaf`, in the shape of Rekor v2.
    pub fn to_entry(&self, leaf: &[u8]) -> TransparencyLogEntry {
        let proof = InclusionProof::new(self.index, self.tree_size, self.root, &self.hashes)
            .with_checkpoint(self.checkpoint.as_str());
        TransparencyLogEntry::new(
            self.log_key_id.to_vec(),
            entry::kind_version(),
            leaf.to_vec(),
            proof,
        )
    }

    /// Returns the proof as a `.tlog-proof`.
    pub fn to_tlog_proof(&self) -> TlogProof {
        TlogProof::new(self.index, self.hashes.clone(), self.checkpoint.as_str())
    }
}

/// Why leaves were not recorded, or a log could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// A log is there already.
    #[error("there is a log here already")]
    AlreadyThere,
    /// The other side of a remote recorder did not answer; whether it took the leaves is unknown.
    #[error("the log server {server}: {message}")]
    Away {
        /// Which server.
        server: String,
        /// What went wrong.
        message: String,
    },
    /// Another process holds the log.
    #[error("another process holds the log; it was not free within {waited_ms} ms")]
    Busy {
        /// How long this one waited.
        waited_ms: u64,
    },
    /// The checkpoint could not be signed.
    #[error("the checkpoint could not be made: {0}")]
    Checkpoint(CheckpointError),
    /// Reading or writing failed; nothing was acknowledged, trying again is safe.
    #[error("{0}")]
    Disk(DiskError),
    /// The disk is full; nothing was acknowledged, trying again is safe once there is room.
    #[error("no space left on the disk for {path}")]
    DiskFull {
        /// Which file.
        path: String,
    },
    /// Stored data contradict each other or a signed checkpoint: tampering, a fork or a rollback.
    #[error("the log is damaged: {0}")]
    Integrity(IntegrityFault),
    /// An entry beyond the limit of the format.
    #[error("leaf {position} has {found} bytes, the limit is {MAX_ENTRY_BYTES}")]
    LeafTooLarge {
        /// Which leaf of the call.
        position: usize,
        /// Bytes found.
        found: usize,
    },
    /// A file that the checkpoint calls for is not there.
    #[error("{path} of the log is missing")]
    Missing {
        /// Which file.
        path: String,
    },
    /// A sync failed: what is on the disk is unknown, and the process must end.
    #[error("a sync of the log failed ({path}); this process must end, then open the log again")]
    MustEnd {
        /// Which file, or empty.
        path: String,
    },
    /// There is no log at this place.
    #[error("there is no log here")]
    NoLog,
    /// The log is shorter.
    #[error("the log has no entry {index}, its size is {size}")]
    NoSuchEntry {
        /// Index asked for.
        index: u64,
        /// Size of the log.
        size: u64,
    },
    /// The other side of a remote recorder did not do its part.
    #[error("the log server {server}: {message}")]
    Remote {
        /// Which server.
        server: String,
        /// What went wrong.
        message: String,
    },
    /// More than [`MAX_LEAVES`].
    #[error("{found} leaves in one call, the limit is {MAX_LEAVES}")]
    TooManyLeaves {
        /// Leaves found.
        found: usize,
    },
}

impl RecordError {
    /// The error after a thread panicked half-way: what it wrote is unknown.
    pub(crate) const fn died() -> Self {
        Self::MustEnd {
            path: String::new(),
        }
    }

    /// Returns true if nobody refuses the leaves: the log is out of reach, and trying again later
    /// may help.
    pub const fn is_outage(&self) -> bool {
        matches!(
            self,
            Self::Away { .. }
                | Self::Busy { .. }
                | Self::Disk(_)
                | Self::DiskFull { .. }
                | Self::MustEnd { .. }
        )
    }

    /// Returns true if the process must end: what it wrote last may or may not be on the disk, and
    /// only a fresh start finds out.
    pub const fn must_end(&self) -> bool {
        matches!(self, Self::MustEnd { .. })
    }
}

impl From<DiskError> for RecordError {
    fn from(error: DiskError) -> Self {
        if error.is_sync() {
            Self::MustEnd { path: error.path }
        } else if error.is_full() {
            Self::DiskFull { path: error.path }
        } else {
            Self::Disk(error)
        }
    }
}

impl From<TileError> for RecordError {
    fn from(error: TileError) -> Self {
        Self::Integrity(IntegrityFault::Tile {
            path: String::new(),
            error,
        })
    }
}

impl From<IntegrityFault> for RecordError {
    fn from(fault: IntegrityFault) -> Self {
        Self::Integrity(fault)
    }
}

/// Which contradiction was found in a log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IntegrityFault {
    /// The tiles do not lead to the root that the write-ahead log starts from.
    #[error("the stored tiles do not lead to the root at size {size}")]
    BaseDamaged {
        /// Size of that tree.
        size: u64,
    },
    /// The published checkpoint is not one by the log's key.
    #[error("{0}")]
    CheckpointInvalid(CheckpointError),
    /// An entry is not the one whose hash stands in the tree.
    #[error("entry {index} is not the one that was logged")]
    EntryMismatch {
        /// Position of the entry.
        index: u64,
    },
    /// Two checkpoints by the log's key contradict each other.
    #[error("two signed checkpoints contradict each other at size {size}")]
    Fork {
        /// Size at which they differ.
        size: u64,
    },
    /// A proof does not verify against the checkpoint that comes with it.
    #[error("the proof for entry {index} does not lead to the signed root")]
    ProofDoesNotVerify {
        /// Position of the entry.
        index: u64,
    },
    /// The log is shorter than a checkpoint that it has signed.
    #[error("the log was rolled back: it signed size {signed}, and has {found} entries")]
    Rollback {
        /// Size that was signed.
        signed: u64,
        /// Size found.
        found: u64,
    },
    /// A tile or bundle has the wrong length or shape.
    #[error("{path} is malformed: {error}")]
    Tile {
        /// Which file.
        path: String,
        /// What is wrong with it.
        error: TileError,
    },
    /// A record contradicts its own signed checkpoint.
    #[error("record {sequence} of the write-ahead log contradicts its checkpoint")]
    WalContradicts {
        /// Sequence number of the record.
        sequence: u64,
    },
    /// A record is damaged that a later one builds on: not a torn end, acknowledged data is gone.
    #[error("the write-ahead log is damaged: segment {segment}, before byte {offset}")]
    WalDamaged {
        /// Which of the two segments.
        segment: usize,
        /// Where the later record begins.
        offset: usize,
    },
    /// There is a checkpoint, but no write-ahead log. Entries that were acknowledged after that
    /// checkpoint may be gone with it; [`crate::Log::rebuild`] goes on without them.
    #[error(
        "the write-ahead log (`wal`) is missing: put it back from where the folder came from; \
         entries acknowledged after the published checkpoint may be nowhere else"
    )]
    WalMissing,
}

#[cfg(test)]
mod tests {
    use super::*;
    use custos_core::bundle::Int64;

    #[test]
    fn an_entry_has_the_shape_of_rekor_v2() {
        let recorded = Recorded {
            index: 3,
            tree_size: 5,
            root: [1; 32],
            hashes: vec![[2; 32]],
            checkpoint: "note".to_owned(),
            log_key_id: [9; 32],
        };
        let entry = recorded.to_entry(b"leaf");
        assert_eq!(entry.log_index, Int64(3));
        assert_eq!(entry.log_id.key_id.0, [9; 32]);
        assert_eq!(entry.kind_version.kind, "hashedrekord");
        let proof = entry.inclusion_proof.unwrap();
        assert_eq!(
            (proof.tree_size, proof.checkpoint.unwrap().envelope),
            (Int64(5), "note".to_owned())
        );
    }
}
