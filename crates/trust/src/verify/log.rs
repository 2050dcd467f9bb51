//! Log entries of our own kind: a `hashedrekord` 0.0.2 leaf under a signed checkpoint.
//!
//! The leaf is not parsed and compared field by field: it is built again from this envelope and
//! this signer, and must come out byte for byte. A genuine entry of another signature can never
//! pass (CVE-2022-36056, CVE-2026-22703). Log keys come from the trust root alone.

use custos_core::bundle::{InclusionProof, TransparencyLogEntry};
use custos_core::crypto::Scheme;
use custos_core::digest::Digest;
use custos_core::entry::{self, HashedRekord, Verifier};
use custos_core::merkle::{self, Hash, ProofError};
use custos_log::checkpoint::{SignedCheckpoint, VerifiedCheckpoint};

use super::verified::LogProof;
use super::{LogRequirement, VerifyError};
use crate::root::TrustRoot;

/// What was signed, by whom, and how: everything that a leaf commits to.
pub(super) struct Signed<'a> {
    pub(super) digest: Digest,
    pub(super) signature: &'a [u8],
    pub(super) verifier: Verifier,
    pub(super) scheme: Scheme,
}

/// Verifies every entry of a bundle.
pub(super) fn check_entries(
    entries: &[TransparencyLogEntry],
    signed: &Signed<'_>,
    root: &TrustRoot,
) -> Result<Vec<LogProof>, VerifyError> {
    let mut proofs: Vec<LogProof> = Vec::with_capacity(entries.len());
    for (at, entry) in entries.iter().enumerate() {
        let proof = check_entry(at, entry, signed, root)?;
        if proofs.iter().any(|other| other.origin == proof.origin) {
            return Err(VerifyError::LogEntryTwice {
                entry: at,
                origin: proof.origin,
            });
        }
        proofs.push(proof);
    }
    Ok(proofs)
}

/// Checks the proofs against what the caller requires.
pub(super) fn check_requirement(
    proofs: &[LogProof],
    requirement: LogRequirement<'_>,
) -> Result<(), VerifyError> {
    let (met, required) = match requirement {
        LogRequirement::AbsenceAllowed => (true, ""),
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
    let key_id = found.log_id.key_id.as_slice();
    if !root
        .log_keys()
        .iter()
        .any(|key| key.full_id().as_slice() == key_id)
    {
        return Err(VerifyError::LogNotTrusted {
            entry: at,
            found: hex::encode(key_id),
        });
    }
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
    let index = check_duplicates(at, found, proof, &checkpoint)?;
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
        witnesses: checkpoint
            .cosignatures()
            .iter()
            .map(|cosignature| cosignature.key.name().to_owned())
            .collect(),
    })
}

// The part of a note that its signatures cover. Lines below it may be by anybody.
fn signed_text(note: &str) -> String {
    let end = note
        .rfind("\n\n")
        .map_or(note.len(), |at| at.saturating_add(1));
    note.get(..end).unwrap_or(note).to_owned()
}

fn check_binding(
    at: usize,
    found: &TransparencyLogEntry,
    signed: &Signed<'_>,
) -> Result<(), VerifyError> {
    let mut expected = HashedRekord::over(
        b"",
        signed.signature.to_vec(),
        signed.verifier.clone(),
        signed.scheme,
    );
    expected.digest = signed.digest;
    let body = found.canonicalized_body.as_slice();
    if expected.to_leaf().is_ok_and(|leaf| leaf == body) {
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

// Fields that repeat what checkpoint and proof say must agree with them, and fields that this
// kind of log never writes must be absent: nobody would check them.
fn check_duplicates(
    at: usize,
    found: &TransparencyLogEntry,
    proof: &InclusionProof,
    checkpoint: &VerifiedCheckpoint,
) -> Result<u64, VerifyError> {
    let mismatch = |field, expected: String, found: String| VerifyError::LogFieldMismatch {
        entry: at,
        field,
        expected,
        found,
    };
    let id = found.log_id.key_id.as_slice();
    if checkpoint.log_key().full_id().as_slice() != id {
        let expected = hex::encode(checkpoint.log_key().full_id());
        return Err(mismatch("logId.keyId", expected, hex::encode(id)));
    }
    if found.log_index != proof.log_index {
        let expected = proof.log_index.0.to_string();
        return Err(mismatch(
            "logIndex",
            expected,
            found.log_index.0.to_string(),
        ));
    }
    if proof.tree_size.to_u64() != Some(checkpoint.size()) {
        let size = checkpoint.size().to_string();
        return Err(mismatch(
            "inclusionProof.treeSize",
            size,
            proof.tree_size.0.to_string(),
        ));
    }
    if proof.root_hash.as_slice() != checkpoint.root() {
        let expected = hex::encode(checkpoint.root());
        return Err(mismatch(
            "inclusionProof.rootHash",
            expected,
            hex::encode(proof.root_hash.as_slice()),
        ));
    }
    if found.integrated_time.0 != 0 {
        let time = found.integrated_time.0.to_string();
        return Err(mismatch("integratedTime", "absent".to_owned(), time));
    }
    if found.inclusion_promise.is_some() {
        return Err(mismatch(
            "inclusionPromise",
            "absent".to_owned(),
            "there".to_owned(),
        ));
    }
    proof.log_index.to_u64().ok_or(VerifyError::InclusionProof {
        entry: at,
        source: ProofError::IndexOutside,
    })
}

fn sibling_hashes(proof: &InclusionProof) -> Option<Vec<Hash>> {
    proof
        .hashes
        .iter()
        .map(|hash| hash.as_slice().try_into().ok())
        .collect()
}
