//! Log entries of a Sigstore instance: Rekor v1 with its promise (SET) and its proof, Rekor v2
//! with its proof.
//!
//! What an entry commits to is compared with what was signed, part by part: digest, signature, and
//! key or certificate (CVE-2022-36056, CVE-2026-22703). The log's key comes from the trust root, by
//! the id that the entry names, and no other key counts (CVE-2023-47122). Spec: sigstore/rekor
//! `types/`, sigstore/rekor-tiles `CLIENTS.md`, C2SP tlog-checkpoint.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use custos_core::bundle::{InclusionProof, MediaType, TransparencyLogEntry};
use custos_core::clock::Timestamp;
use custos_core::crypto::Pem;
use custos_core::dsse::Base64;
use custos_core::entry::{self, Verifier};
use custos_core::json;
use custos_core::limits::Limits;
use custos_core::merkle::{self, ProofError};
use custos_log::checkpoint::{Checkpoint, CheckpointError};
use custos_log::note::{Note, NoteError};
use serde::{Deserialize, Serialize};

use super::VerifyError;
use super::log::{self, Logged, Signed};
use super::verified::LogProof;
use crate::root::Log;

/// One entry, where it stands, and what it is about.
pub(crate) struct Claim<'a> {
    pub(crate) at: usize,
    pub(crate) entry: &'a TransparencyLogEntry,
    pub(crate) log: &'a Log,
    pub(crate) version: MediaType,
    pub(crate) now: Timestamp,
}

/// Verifies an entry of a log of the trust root.
pub(crate) fn check(claim: &Claim<'_>, signed: &Signed<'_>) -> Result<Logged, VerifyError> {
    let is_v2 = claim.entry.kind_version == entry::kind_version();
    if is_v2 {
        log::check_binding(claim.at, claim.entry, signed)?;
        claim.refuse_promise()?;
    } else {
        claim.check_binding_v1(signed)?;
    }
    if !claim.log.was_trusted_by(claim.now) {
        return Err(claim.not_trusted());
    }
    let time = claim.promised_time()?;
    let proof = match &claim.entry.inclusion_proof {
        Some(proof) => claim.check_proof(proof, is_v2)?,
        // Only the first format knows entries with a promise alone.
        None if time.is_some() && claim.version == MediaType::V01 => claim.promised()?,
        None => return Err(claim.missing("inclusion proof")),
    };
    Ok(Logged { proof, time })
}

impl Claim<'_> {
    fn missing(&self, missing: &'static str) -> VerifyError {
        VerifyError::LogProofMissing {
            entry: self.at,
            missing,
        }
    }

    fn not_trusted(&self) -> VerifyError {
        VerifyError::LogNotTrusted {
            entry: self.at,
            found: hex::encode(self.log.id()),
        }
    }

    fn not_bound(&self, expected: String, found: &str) -> VerifyError {
        VerifyError::LogEntryNotBound {
            entry: self.at,
            expected,
            found: found.to_owned(),
        }
    }

    // Rekor v2 promises nothing and vouches for no time.
    fn refuse_promise(&self) -> Result<(), VerifyError> {
        let mismatch = |field, found: String| {
            Err(VerifyError::LogFieldMismatch {
                entry: self.at,
                field,
                expected: "absent".to_owned(),
                found,
            })
        };
        if self.entry.inclusion_promise.is_some() {
            return mismatch("inclusionPromise", "there".to_owned());
        }
        match self.entry.integrated_time.0 {
            0 => Ok(()),
            time => mismatch("integratedTime", time.to_string()),
        }
    }

    // The time at which the log took the entry in, if the log signed that time: the SET.
    fn promised_time(&self) -> Result<Option<Timestamp>, VerifyError> {
        let Some(promise) = &self.entry.inclusion_promise else {
            return Ok(None);
        };
        let broken = || VerifyError::LogPromise { entry: self.at };
        let payload = Promised {
            body: STANDARD.encode(self.entry.canonicalized_body.as_slice()),
            integrated_time: self.entry.integrated_time.0,
            log_id: hex::encode(self.log.id()),
            log_index: self.entry.log_index.0,
        };
        let payload = json::to_canonical(&payload).map_err(|_| broken())?;
        let signature = promise.signed_entry_timestamp.as_slice();
        self.log
            .key()
            .verify(self.log.scheme(), &payload, signature)
            .map_err(|_| broken())?;
        let time = Timestamp::from_seconds(self.entry.integrated_time.0);
        if time <= Timestamp::from_seconds(0) {
            return Err(broken());
        }
        if !self.log.is_trusted_at(time) {
            return Err(self.not_trusted());
        }
        Ok(Some(time))
    }

    // What the promise alone says: the entry's number over all trees of the log, and no tree.
    fn promised(&self) -> Result<LogProof, VerifyError> {
        let index = self.entry.log_index.to_u64();
        Ok(LogProof {
            origin: self.log.name().to_owned(),
            index: index.ok_or_else(|| self.missing("index"))?,
            tree_size: 0,
            checkpoint: String::new(),
            witnesses: Vec::new(),
            promise_only: true,
        })
    }

    fn check_proof(&self, proof: &InclusionProof, is_v2: bool) -> Result<LogProof, VerifyError> {
        let note = proof
            .checkpoint
            .as_ref()
            .ok_or_else(|| self.missing("checkpoint"))?;
        let checkpoint = self.open(note.envelope.as_bytes())?;
        let index = log::check_copies(self.at, self.entry, proof, (&checkpoint, is_v2))?;
        let leaf = merkle::leaf_hash(self.entry.canonicalized_body.as_slice());
        let broken = |source| VerifyError::InclusionProof {
            entry: self.at,
            source,
        };
        let hashes = log::sibling_hashes(proof).ok_or_else(|| broken(ProofError::WrongLength))?;
        merkle::verify_inclusion(&leaf, index, checkpoint.size, &hashes, &checkpoint.root)
            .map_err(broken)?;
        Ok(LogProof {
            index,
            tree_size: checkpoint.size,
            checkpoint: checkpoint.to_string(),
            origin: self.own_origin(checkpoint.origin),
            witnesses: Vec::new(),
            promise_only: false,
        })
    }

    // A log speaks for itself alone. By origin and index it is judged what came first and what a
    // revocation reaches, so that a log must not pass for another one by what it signs.
    fn own_origin(&self, said: String) -> String {
        let name = self.log.name();
        let own = said.strip_prefix(name);
        if own.is_some_and(|rest| rest.is_empty() || rest.starts_with(" - ")) {
            said
        } else {
            format!("{name} - {said}")
        }
    }

    // The four bytes in front of a signature are the first of the log's id, whatever name stands
    // there: Rekor v1 signs under its host and adds a number to its origin.
    fn open(&self, bytes: &[u8]) -> Result<Checkpoint, VerifyError> {
        let broken = |source| VerifyError::Checkpoint {
            entry: self.at,
            source,
        };
        let note = Note::parse(bytes).map_err(|error| broken(CheckpointError::Note(error)))?;
        let checkpoint = Checkpoint::parse(note.text()).map_err(broken)?;
        let hint = self.log.id().get(..4).unwrap_or_default();
        let mut by_log = note
            .signatures()
            .iter()
            .filter(|signature| signature.key_id.as_slice() == hint)
            .peekable();
        if by_log.peek().is_none() {
            return Err(broken(CheckpointError::NotSignedByLog));
        }
        // Four bytes can collide: one signature that holds is what counts.
        let holds = |signature: &[u8]| {
            let (key, scheme) = (self.log.key(), self.log.scheme());
            key.verify(scheme, note.text().as_bytes(), signature)
                .is_ok()
        };
        let name = by_log.peek().map(|first| first.name.clone());
        if by_log.any(|signature| holds(&signature.signature)) {
            Ok(checkpoint)
        } else {
            let name = name.unwrap_or_default();
            Err(broken(CheckpointError::Note(NoteError::BadSignature {
                name,
            })))
        }
    }

    fn check_binding_v1(&self, signed: &Signed<'_>) -> Result<(), VerifyError> {
        let found = &self.entry.kind_version;
        let expected = signed.digest.to_string();
        let body = self.entry.canonicalized_body.as_slice();
        let limits = Limits::SMALL.with_max_bytes(MAX_BODY);
        let header: Header = json::from_slice(body, &limits)
            .map_err(|_| self.not_bound(expected.clone(), "something that is no entry"))?;
        if header.kind != found.kind || header.api_version != found.version {
            return Err(self.not_bound(expected, "an entry of another kind"));
        }
        let outcome = match (header.kind.as_str(), header.api_version.as_str()) {
            ("hashedrekord", "0.0.1") => parse::<HashedRekord>(body)
                .ok_or(MALFORMED)
                .and_then(|entry| entry.check(signed)),
            ("dsse", "0.0.1") => parse::<Dsse>(body)
                .ok_or(MALFORMED)
                .and_then(|entry| entry.check(signed)),
            ("intoto", "0.0.2") => parse::<Intoto>(body)
                .ok_or(MALFORMED)
                .and_then(|entry| entry.check(signed)),
            _ => {
                return Err(VerifyError::LogEntryKind {
                    entry: self.at,
                    kind: found.kind.clone(),
                    version: found.version.clone(),
                });
            }
        };
        outcome.map_err(|found| self.not_bound(expected, found))
    }
}

/// Reads bytes as an entry of each kind, for the fuzzer.
pub(super) fn read(data: &[u8]) {
    let _ = (
        parse::<HashedRekord>(data),
        parse::<Dsse>(data),
        parse::<Intoto>(data),
    );
}

/// Largest entry of Rekor v1, in bytes.
const MAX_BODY: usize = 1 << 20;

const MALFORMED: &str = "something that is no entry";
const OTHER_DIGEST: &str = "another digest";
const OTHER_SIGNATURE: &str = "another signature";
const OTHER_SIGNER: &str = "another key or certificate";
const NO_STATEMENT: &str = "an attestation, not a file's signature";
const NO_MESSAGE: &str = "a file's signature, not an attestation";

#[derive(Serialize)]
struct Promised {
    body: String,
    #[serde(rename = "integratedTime")]
    integrated_time: i64,
    #[serde(rename = "logID")]
    log_id: String,
    #[serde(rename = "logIndex")]
    log_index: i64,
}

fn parse<T: serde::de::DeserializeOwned>(body: &[u8]) -> Option<T> {
    let limits = Limits::SMALL.with_max_bytes(MAX_BODY);
    json::from_slice::<Body<T>>(body, &limits)
        .ok()
        .map(|body| body.spec)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Header {
    kind: String,
    api_version: String,
}

#[derive(Deserialize)]
struct Body<T> {
    spec: T,
}

#[derive(Deserialize)]
struct Hash {
    algorithm: String,
    value: String,
}

impl Hash {
    fn is(&self, digest: &custos_core::digest::Digest) -> bool {
        self.algorithm == digest.algorithm().name() && self.value == hex::encode(digest.as_bytes())
    }
}

/// `hashedrekord` 0.0.1: a file's signature.
#[derive(Deserialize)]
struct HashedRekord {
    data: HashedData,
    signature: HashedSignature,
}

#[derive(Deserialize)]
struct HashedData {
    hash: Hash,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct HashedSignature {
    content: Base64,
    public_key: PemText,
}

#[derive(Deserialize)]
struct PemText {
    content: Base64,
}

impl HashedRekord {
    fn check(&self, signed: &Signed<'_>) -> Result<(), &'static str> {
        if signed.envelope.is_some() {
            return Err(NO_MESSAGE);
        }
        if !self.data.hash.is(&signed.digest) {
            return Err(OTHER_DIGEST);
        }
        if self.signature.content.as_slice() != signed.signature {
            return Err(OTHER_SIGNATURE);
        }
        same_signer(self.signature.public_key.content.as_slice(), signed)
    }
}

/// `dsse` 0.0.1. Its hash of the envelope is over whatever JSON was uploaded, which nobody can
/// write again; payload, signature and signer say it all.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Dsse {
    payload_hash: Hash,
    signatures: Vec<DsseSignature>,
}

#[derive(Deserialize)]
struct DsseSignature {
    signature: Base64,
    verifier: Base64,
}

impl Dsse {
    fn check(&self, signed: &Signed<'_>) -> Result<(), &'static str> {
        let envelope = signed.envelope.ok_or(NO_STATEMENT)?;
        if !self.payload_hash.is(&payload_digest(envelope)) {
            return Err(OTHER_DIGEST);
        }
        let [found] = self.signatures.as_slice() else {
            return Err(OTHER_SIGNATURE);
        };
        if found.signature.as_slice() != signed.signature {
            return Err(OTHER_SIGNATURE);
        }
        same_signer(found.verifier.as_slice(), signed)
    }
}

/// `intoto` 0.0.2.
#[derive(Deserialize)]
struct Intoto {
    content: IntotoContent,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct IntotoContent {
    envelope: IntotoEnvelope,
    payload_hash: Hash,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct IntotoEnvelope {
    payload_type: String,
    signatures: Vec<IntotoSignature>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct IntotoSignature {
    // Base64 of the base64 that stands in the envelope.
    sig: Base64,
    public_key: Base64,
}

impl Intoto {
    fn check(&self, signed: &Signed<'_>) -> Result<(), &'static str> {
        let envelope = signed.envelope.ok_or(NO_STATEMENT)?;
        let content = &self.content;
        if !content.payload_hash.is(&payload_digest(envelope))
            || content.envelope.payload_type != envelope.payload_type
        {
            return Err(OTHER_DIGEST);
        }
        let [found] = content.envelope.signatures.as_slice() else {
            return Err(OTHER_SIGNATURE);
        };
        let signature = STANDARD.decode(found.sig.as_slice());
        if signature.map_err(|_| MALFORMED)? != signed.signature {
            return Err(OTHER_SIGNATURE);
        }
        same_signer(found.public_key.as_slice(), signed)
    }
}

fn payload_digest(envelope: &custos_core::dsse::Envelope) -> custos_core::digest::Digest {
    custos_core::digest::Algorithm::Sha256.digest(envelope.payload.as_slice())
}

// Rekor v1 writes the signer as PEM.
fn same_signer(pem: &[u8], signed: &Signed<'_>) -> Result<(), &'static str> {
    let pem = std::str::from_utf8(pem)
        .ok()
        .and_then(|text| Pem::parse(text).ok());
    let pem = pem.ok_or(MALFORMED)?;
    let same = match &signed.verifier {
        Verifier::Certificate(der) => pem.label() == "CERTIFICATE" && pem.bytes() == der,
        Verifier::PublicKey(der) => pem.label() == "PUBLIC KEY" && pem.bytes() == der,
    };
    if same { Ok(()) } else { Err(OTHER_SIGNER) }
}
