//! [`Recorder`]: how leaves get into a log, be it in this process, on this disk or behind HTTP.
//!
//! A recorder answers only when every leaf of the call is durable and covered by the checkpoint
//! that it returns. Nothing of the answer has to be believed: leaf, proof and checkpoint verify.

use custos_core::bundle::{InclusionProof, TransparencyLogEntry};
use custos_core::entry;
use custos_core::merkle::Hash;

use crate::checkpoint::CheckpointError;
use crate::note::VerifierKey;
use crate::proof::TlogProof;

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

/// Why leaves were not recorded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
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
    #[error("{operation} of {path} failed: {message}")]
    Disk {
        /// Such as `write`.
        operation: &'static str,
        /// Which file.
        path: String,
        /// What the system says.
        message: String,
    },
    /// The disk is full; trying again is safe once there is room.
    #[error("no space left on the disk for {path}")]
    DiskFull {
        /// Which file.
        path: String,
    },
    /// An entry beyond the limit of the format.
    #[error("leaf {position} has {found} bytes, the limit is {limit}", limit = custos_core::limits::MAX_ENTRY_BYTES)]
    LeafTooLarge {
        /// Which leaf of the call.
        position: usize,
        /// Bytes found.
        found: usize,
    },
    /// Stored data contradict each other or a signed checkpoint: tampering, a fork or a rollback.
    #[error("the log is damaged: {0}")]
    Integrity(crate::recorder::IntegrityFault),
    /// A sync failed: what is on the disk is unknown, and the process must end.
    #[error("a sync of {path} failed; the process must end and the log be opened again")]
    MustEnd {
        /// Which file.
        path: String,
    },
    /// There is no log at this place.
    #[error("there is no log here")]
    NoLog,
    /// More than [`MAX_LEAVES`].
    #[error("{found} leaves in one call, the limit is {MAX_LEAVES}")]
    TooManyLeaves {
        /// Leaves found.
        found: usize,
    },
    /// The other side of a remote recorder did not do its part.
    #[error("the log server {server}: {message}")]
    Remote {
        /// Which server.
        server: String,
        /// What went wrong.
        message: String,
    },
}

/// Which contradiction was found in a log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IntegrityFault {
    /// A proof that the log made does not verify against its own checkpoint.
    #[error("the stored tiles do not lead to the signed root for entry {index}")]
    ProofDoesNotVerify {
        /// Position of the entry.
        index: u64,
    },
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
