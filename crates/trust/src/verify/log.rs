//! Log entries: which log vouches, and those of our own kind, a `hashedrekord` 0.0.2 leaf under a
//! signed checkpoint. Entries of a Sigstore instance are for [`rekor`].
//!
//! The leaf is not parsed and compared field by field: it is built again from this envelope and
//! this signer, and must come out byte for byte. A genuine entry of another signature can never
//! pass (CVE-2022-36056, CVE-2026-22703). Log keys come from the trust root alone.

use custos_core::bundle::{InclusionProof, MediaType, TransparencyLogEntry};
use custos_core::clock::Timestamp;
use custos_core::crypto::Scheme;
use custos_core::digest::Digest;
use custos_core::dsse::Envelope;
use custos_core::entry::{self, HashedRekord, Verifier};
use custos_core::merkle::{self, Hash, ProofError};
use custos_log::checkpoint::{Checkpoint, SignedCheckpoint, VerifiedCheckpoint};

use super::verified::LogProof;
use super::{LogRequirement, VerifyError, rekor};
use crate::root::TrustRoot;

/// What was signed, by whom, and how: everything that an entry commits to.
pub(crate) struct Signed<'a> {
    /// The envelope; `None` for a file's signature.
    pub(crate) envelope: Option<&'a Envelope>,
    /// Digest of the file or of the envelope's encoding, by the hash of the signature.
    pub(crate) digest: Digest,
    pub(crate) signature: &'a [u8],
    pub(crate) verifier: Verifier,
    /// `None` for the mixtures of curve and hash that only Rekor v1 knows.
    pub(crate) scheme: Option<Scheme>,
}

/// The entries of a bundle, and what to judge them by.
pub(super) struct Entries<'a> {
    pub(super) all: &'a [TransparencyLogEntry],
    pub(super) version: MediaType,
    pub(super) root: &'a TrustRoot,
    pub(super) now: Timestamp,
}

/// An entry that holds.
pub(crate) struct Logged {
    pub(crate) proof: LogProof,
    /// When the log took it in, if the log vouches for that.
    pub(crate) time: Option<Timestamp>,
}

impl Entries<'_> {
    /// Verifies every entry; one that does not hold is an error, also beside others that do. One
    /// of a log that the trust root does not name says as much as none, so that another must hold.
    pub(super) fn check(&self, signed: &Signed<'_>) -> Result<Vec<Logged>, VerifyError> {
        let mut held: Vec<Logged> = Vec::with_capacity(self.all.len());
        let mut unknown = None;
        for (at, entry) in self.all.iter().enumerate() {
            let Some(logged) = self.check_one(at, entry, signed)? else {
                unknown.get_or_insert((at, entry.log_id.key_id.as_slice()));
                continue;
            };
            let origin = &logged.proof.origin;
            if held.iter().any(|other| other.proof.origin == *origin) {
                return Err(VerifyError::LogEntryTwice {
                    entry: at,
                    origin: origin.clone(),
                });
            }
            held.push(logged);
        }
        match unknown {
            Some((entry, id)) if held.is_empty() => Err(VerifyError::LogNotTrusted {
                entry,
                found: hex::encode(id.get(..64).unwrap_or(id)),
            }),
            _ => Ok(held),
        }
    }

    // The id that an entry names selects the log; what it signed must be by that log's key. `None`
    // if no log of the trust root has that id.
    fn check_one(
        &self,
        at: usize,
        entry: &TransparencyLogEntry,
        signed: &Signed<'_>,
    ) -> Result<Option<Logged>, VerifyError> {
        let id = entry.log_id.key_id.as_slice();
        let own = self.root.log_keys();
        if own.iter().any(|key| key.full_id().as_slice() == id) {
            let proof = check_entry(at, entry, signed, self.root)?;
            return Ok(Some(Logged { proof, time: None }));
        }
        let Some(log) = self.root.sigstore().and_then(|sigstore| sigstore.log(id)) else {
            return Ok(None);
        };
        let claim = rekor::Claim {
            at,
            entry,
            log,
            version: self.version,
            now: self.now,
        };
        rekor::check(&claim, signed).map(Some)
    }
}

/// Checks what was proven against what the caller requires.
pub(super) fn check_requirement(
    proofs: &[LogProof],
    stamped: bool,
    requirement: LogRequirement<'_>,
) -> Result<(), VerifyError> {
    let (met, required) = match requirement {
        LogRequirement::AbsenceAllowed => (true, ""),
        LogRequirement::OrTimestamp => (
            stamped || !proofs.is_empty(),
            "a trusted log, and no trusted timestamp",
        ),
        LogRequirement::Required => (!proofs.is_empty(), "a trusted log"),
        LogRequirement::RequiredIn { origin } => {
            (proofs.iter().any(|proof| proof.origin == origin), origin)
        }
    };
    if met {
        Ok(())
    } else {
        Err(VerifyError::LogEntryMissing {
            required: required.to_owned(),
        })
    }
}

fn check_entry(
    at: usize,
    found: &TransparencyLogEntry,
    signed: &Signed<'_>,
    root: &TrustRoot,
) -> Result<LogProof, VerifyError> {
    if found.kind_version != entry::kind_version() {
        return Err(VerifyError::LogEntryKind {
            entry: at,
            kind: found.kind_version.kind.clone(),
            version: found.kind_version.version.clone(),
        });
    }
    check_binding(at, found, signed)?;
    let missing = |missing| VerifyError::LogProofMissing { entry: at, missing };
    let proof = found
        .inclusion_proof
        .as_ref()
        .ok_or_else(|| missing("inclusion proof"))?;
    let note = proof
        .checkpoint
        .as_ref()
        .ok_or_else(|| missing("checkpoint"))?;
    let checkpoint = SignedCheckpoint::open(note.envelope.as_bytes(), root.log_keys())
        .map_err(|source| VerifyError::Checkpoint { entry: at, source })?;
    let id = found.log_id.key_id.as_slice();
    if checkpoint.log_key().full_id().as_slice() != id {
        return Err(VerifyError::LogFieldMismatch {
            entry: at,
            field: "logId.keyId",
            expected: hex::encode(checkpoint.log_key().full_id()),
            found: hex::encode(id),
        });
    }
    refuse_v1_fields(at, found)?;
    let index = check_copies(at, found, proof, (checkpoint.body(), true))?;
    let leaf = merkle::leaf_hash(found.canonicalized_body.as_slice());
    let hashes = sibling_hashes(proof).ok_or(VerifyError::InclusionProof {
        entry: at,
        source: ProofError::WrongLength,
    })?;
    merkle::verify_inclusion(&leaf, index, checkpoint.size(), &hashes, checkpoint.root())
        .map_err(|source| VerifyError::InclusionProof { entry: at, source })?;
    Ok(LogProof {
        origin: checkpoint.origin().to_owned(),
        index,
        tree_size: checkpoint.size(),
        checkpoint: signed_text(checkpoint.text()),
        witnesses: witnesses(&checkpoint),
        promise_only: false,
    })
}

// A witness that cosigned twice, at two times or with two keys, is one.
fn witnesses(checkpoint: &VerifiedCheckpoint) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for cosignature in checkpoint.cosignatures() {
        let name = cosignature.key.name();
        if !names.iter().any(|other| other == name) {
            names.push(name.to_owned());
        }
    }
    names
}

// The part of a note that its signatures cover. Lines below it may be by anybody.
fn signed_text(note: &str) -> String {
    let end = note
        .rfind("\n\n")
        .map_or(note.len(), |at| at.saturating_add(1));
    note.get(..end).unwrap_or(note).to_owned()
}

/// Checks that an entry of Rekor v2's kind is of exactly this signature.
pub(super) fn check_binding(
    at: usize,
    found: &TransparencyLogEntry,
    signed: &Signed<'_>,
) -> Result<(), VerifyError> {
    let expected = signed.scheme.map(|scheme| {
        HashedRekord::new(
            signed.digest,
            signed.signature.to_vec(),
            signed.verifier.clone(),
            scheme.key_details(),
        )
    });
    let body = found.canonicalized_body.as_slice();
    let leaf = expected.and_then(|entry| entry.to_leaf().ok());
    if leaf.is_some_and(|leaf| leaf == body) {
        return Ok(());
    }
    let what = match HashedRekord::parse(body) {
        Err(_) => "something that is no entry".to_owned(),
        Ok(other) if other.digest != signed.digest => other.digest.to_string(),
        Ok(other) if other.signature != signed.signature => {
            "another signature over the same".to_owned()
        }
        Ok(_) => "another key or certificate".to_owned(),
    };
    Err(VerifyError::LogEntryNotBound {
        entry: at,
        expected: signed.digest.to_string(),
        found: what,
    })
}

// Fields that our own log never writes must be absent: nobody would check them.
fn refuse_v1_fields(at: usize, found: &TransparencyLogEntry) -> Result<(), VerifyError> {
    let mismatch = |field, found: String| {
        Err(VerifyError::LogFieldMismatch {
            entry: at,
            field,
            expected: "absent".to_owned(),
            found,
        })
    };
    if found.integrated_time.0 != 0 {
        return mismatch("integratedTime", found.integrated_time.0.to_string());
    }
    if found.inclusion_promise.is_some() {
        return mismatch("inclusionPromise", "there".to_owned());
    }
    Ok(())
}

/// Returns the entry's place in the tree of a signed checkpoint. Fields of the proof that repeat
/// what the checkpoint says must agree with it, and where a log has one tree (`one_tree`), so
/// must the entry's own number; Rekor v1 counts over all its trees.
pub(super) fn check_copies(
    at: usize,
    found: &TransparencyLogEntry,
    proof: &InclusionProof,
    (checkpoint, one_tree): (&Checkpoint, bool),
) -> Result<u64, VerifyError> {
    let mismatch = |field, expected: String, found: String| VerifyError::LogFieldMismatch {
        entry: at,
        field,
        expected,
        found,
    };
    if one_tree && found.log_index != proof.log_index {
        let expected = proof.log_index.0.to_string();
        return Err(mismatch(
            "logIndex",
            expected,
            found.log_index.0.to_string(),
        ));
    }
    if proof.tree_size.to_u64() != Some(checkpoint.size) {
        let size = checkpoint.size.to_string();
        return Err(mismatch(
            "inclusionProof.treeSize",
            size,
            proof.tree_size.0.to_string(),
        ));
    }
    if proof.root_hash.as_slice() != checkpoint.root {
        let expected = hex::encode(checkpoint.root);
        return Err(mismatch(
            "inclusionProof.rootHash",
            expected,
            hex::encode(proof.root_hash.as_slice()),
        ));
    }
    proof.log_index.to_u64().ok_or(VerifyError::InclusionProof {
        entry: at,
        source: ProofError::IndexOutside,
    })
}

/// Returns the hashes of a proof, if each has the length of one.
pub(super) fn sibling_hashes(proof: &InclusionProof) -> Option<Vec<Hash>> {
    proof
        .hashes
        .iter()
        .map(|hash| hash.as_slice().try_into().ok())
        .collect()
}
