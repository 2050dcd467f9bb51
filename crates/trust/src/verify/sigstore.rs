//! Bundles that a Sigstore instance vouches for: certificates of Fulcio, entries in Rekor v1 and
//! v2, RFC 3161 timestamps. Verified by the crate `sigstore-verify` with the given trusted root.
//!
//! That crate never sees the bundle's bytes, only what our own parser understood of them: there is
//! one reading of a bundle. Its policies are always built with one exact identity and issuer, or
//! one exact key; log verification is only left out where no entry is there and that is allowed.

use custos_core::bundle::{
    Bundle, PublicKeyIdentifier, TransparencyLogEntry, VerificationMaterial,
};
use custos_core::clock::Timestamp;
use custos_core::crypto::{PublicKey, SignatureError};
use custos_core::digest::{Algorithm, Digest};
use custos_core::identity::{ExpectedSigner, Identity};
use custos_log::checkpoint::SignedCheckpoint;
use sigstore_verify::crypto::parse_certificate_info;
use sigstore_verify::types::{
    self, Artifact, ArtifactDigest, DerCertificate, DerPublicKey, HashAlgorithm,
};
use sigstore_verify::{
    CertificateError, Error, PublicKeyVerificationPolicy, TransparencyLogError, VerificationPolicy,
    VerificationResult, Verifier,
};

use super::report::Checks;
use super::verified::{LogProof, Signatory, SignedTime};
use super::{
    CertificateFault, CheckName, Content, LogRequirement, Proven, Terms, VerifyError, own, subject,
};

/// Returns true if it is for the trusted Sigstore instance to vouch for this: an entry of one of
/// its logs, or a certificate that carries an OIDC issuer.
pub(super) fn vouches_for(material: &VerificationMaterial, terms: &Terms<'_>) -> bool {
    let Some(root) = terms.trust_root.sigstore() else {
        return false;
    };
    if material.public_key.is_some() {
        return material
            .tlog_entries
            .iter()
            .any(|entry| root.names_log(entry.log_id.key_id.as_slice()));
    }
    leaf(material)
        .and_then(|der| parse_certificate_info(&DerCertificate::new(der.to_vec())).ok())
        .is_some_and(|certificate| certificate.issuer.is_some())
}

/// Proves it.
pub(super) fn prove(
    bundle: &Bundle,
    content: Content<'_>,
    terms: &Terms<'_>,
    checks: &mut Checks,
) -> Result<Proven, VerifyError> {
    let root = terms
        .trust_root
        .sigstore()
        .ok_or(VerifyError::TimestampUnchecked)?;
    let material = &bundle.verification_material;
    let digest = artifact_digest(content, terms)?;
    let job = Job {
        verifier: root.verifier(),
        bundle: normalise(bundle)?,
        digest,
    };
    let (first, result) = if let Some(identifier) = &material.public_key {
        let candidates = own::candidates(identifier, content, terms)?;
        let found = job.by_key(&candidates, identifier)?;
        checks.ok(CheckName::Signer, found.0.name.clone());
        found
    } else {
        let found = job.by_certificate(material, terms)?;
        checks.ok(
            CheckName::Signer,
            format!("{} ({})", found.0.name, found.0.identity),
        );
        checks.ok(
            CheckName::Certificate,
            "issued by the trusted Sigstore instance",
        );
        found
    };
    checks.ok(CheckName::Signature, "");
    let log = if result.tlog_verified() {
        log_proofs(&material.tlog_entries)?
    } else {
        Vec::new()
    };
    let time = result
        .verified_timestamps()
        .iter()
        .chain(&result.integrated_time())
        .min()
        .map(|time| SignedTime::Trusted {
            at: Timestamp::from_micros(time.as_microsecond()),
        });
    Ok(Proven {
        first,
        others: Vec::new(),
        log,
        time: time.unwrap_or(SignedTime::Untrusted),
        legacy: false,
    })
}

struct Job<'a> {
    verifier: &'a Verifier,
    bundle: types::Bundle,
    digest: ArtifactDigest,
}

impl Job<'_> {
    fn by_key(
        &self,
        candidates: &[(&str, &PublicKey)],
        identifier: &PublicKeyIdentifier,
    ) -> Result<(Signatory, VerificationResult), VerifyError> {
        let mut last = None;
        for (name, key) in candidates {
            let policy =
                PublicKeyVerificationPolicy::new(DerPublicKey::new(key.as_spki_der().to_vec()));
            match self.verifier.verify(self.artifact(), &self.bundle, &policy) {
                Ok(result) => {
                    own::check_key_details(identifier, key)?;
                    let identity = Identity::Key { id: key.id() };
                    return Ok((
                        Signatory {
                            identity,
                            name: (*name).to_owned(),
                        },
                        result,
                    ));
                }
                Err(error) => last = Some(translate(&error, name)),
            }
        }
        Err(last.unwrap_or(VerifyError::NoExpectedSigner))
    }

    fn by_certificate(
        &self,
        material: &VerificationMaterial,
        terms: &Terms<'_>,
    ) -> Result<(Signatory, VerificationResult), VerifyError> {
        let malformed = VerifyError::Certificate {
            position: 0,
            fault: CertificateFault::Malformed,
        };
        let der = leaf(material).ok_or_else(|| malformed.clone())?;
        let claims = parse_certificate_info(&DerCertificate::new(der.to_vec()))
            .map_err(|_| malformed.clone())?;
        let (Some(subject), Some(issuer)) = (&claims.identity, &claims.issuer) else {
            return Err(malformed);
        };
        let name = terms
            .signers
            .iter()
            .find_map(|signer| match signer {
                ExpectedSigner::Certificate {
                    name,
                    identity,
                    issuer: Some(expected),
                } if identity.accepts(subject.as_str()) && expected.accepts(issuer) => Some(name.clone()),
                _ => None,
            })
            .ok_or_else(|| terms.not_expected(format!("{subject} (issuer {issuer})")))?;
        let key = PublicKey::from_spki_der(claims.public_key.as_bytes()).map_err(|_| {
            VerifyError::Certificate {
                position: 0,
                fault: CertificateFault::UnsupportedKey,
            }
        })?;
        let mut policy = VerificationPolicy::new(subject.as_str(), issuer.as_str());
        if material.tlog_entries.is_empty() && terms.log == LogRequirement::AbsenceAllowed {
            policy = policy.skip_tlog_unsafe();
        }
        let result = self
            .verifier
            .verify(self.artifact(), &self.bundle, &policy)
            .map_err(|error| translate(&error, &name))?;
        let identity = Identity::Certificate {
            subject: subject.to_string(),
            issuer: issuer.clone(),
            key: key.id(),
        };
        Ok((Signatory { identity, name }, result))
    }

    fn artifact(&self) -> Artifact<'static> {
        Artifact::from(self.digest.clone())
    }
}

fn leaf(material: &VerificationMaterial) -> Option<&[u8]> {
    let chain = material
        .x509_certificate_chain
        .as_ref()
        .and_then(|c| c.certificates.first());
    material
        .certificate
        .as_ref()
        .or(chain)
        .map(|certificate| certificate.raw_bytes.as_slice())
}

// Writes what we understood, for the other parser to read: `keyid: null` is gone by then.
fn normalise(bundle: &Bundle) -> Result<types::Bundle, VerifyError> {
    let broken = |reason: String| VerifyError::Sigstore {
        check: CheckName::Format,
        reason,
    };
    let bytes = bundle.to_bytes().map_err(VerifyError::Bundle)?;
    let text = String::from_utf8(bytes).map_err(|error| broken(error.to_string()))?;
    types::Bundle::from_json(&text).map_err(|error| broken(error.to_string()))
}

// The digest that the signature or the statement's subject is over.
fn artifact_digest(content: Content<'_>, terms: &Terms<'_>) -> Result<ArtifactDigest, VerifyError> {
    let digest: Option<Digest> = match content {
        Content::Message(message) => Some(subject::message_digest(message, terms.artifact)?),
        Content::Statement(_) => terms
            .artifact
            .get(Algorithm::Sha256)
            .or_else(|| terms.artifact.get(Algorithm::Sha512)),
    };
    let digest = digest.ok_or(VerifyError::ArtifactUnnamed)?;
    let algorithm = match digest.algorithm() {
        Algorithm::Sha256 => HashAlgorithm::Sha2256,
        Algorithm::Sha384 => HashAlgorithm::Sha2384,
        Algorithm::Sha512 => HashAlgorithm::Sha2512,
        _ => return Err(VerifyError::ArtifactUnnamed),
    };
    ArtifactDigest::new(algorithm, digest.as_bytes().to_vec())
        .map_err(|_| VerifyError::ArtifactUnnamed)
}

// Only called once the crate has verified proofs and checkpoints. Of Rekor v2 it proves the index
// of the entry, of Rekor v1 that of the proof; the size is the signed one.
fn log_proofs(entries: &[TransparencyLogEntry]) -> Result<Vec<LogProof>, VerifyError> {
    let mut proofs: Vec<LogProof> = Vec::with_capacity(entries.len());
    for (at, entry) in entries.iter().enumerate() {
        let missing = |missing| VerifyError::LogProofMissing { entry: at, missing };
        let proof = entry
            .inclusion_proof
            .as_ref()
            .ok_or_else(|| missing("inclusion proof"))?;
        let checkpoint = proof
            .checkpoint
            .as_ref()
            .ok_or_else(|| missing("checkpoint"))?;
        // Two readers of one note must see the same text: what ours does not accept is rejected.
        let note = SignedCheckpoint::parse(checkpoint.envelope.as_bytes())
            .map_err(|source| VerifyError::Checkpoint { entry: at, source })?;
        let origin = note.claim().origin.clone();
        // The crate proves inclusion under this field's size, which nobody signed.
        if proof.tree_size.to_u64() != Some(note.claim().size) {
            return Err(VerifyError::LogFieldMismatch {
                entry: at,
                field: "inclusionProof.treeSize",
                expected: note.claim().size.to_string(),
                found: proof.tree_size.0.to_string(),
            });
        }
        // Nobody signed this copy either. A bundle that contradicts itself was tampered with.
        if proof.root_hash.as_slice() != note.claim().root {
            return Err(VerifyError::LogFieldMismatch {
                entry: at,
                field: "inclusionProof.rootHash",
                expected: hex::encode(note.claim().root),
                found: hex::encode(proof.root_hash.as_slice()),
            });
        }
        let index =
            if entry.kind_version.version == "0.0.2" && entry.kind_version.kind == "hashedrekord" {
                entry.log_index
            } else {
                proof.log_index
            };
        if proofs.iter().any(|other| other.origin == origin) {
            return Err(VerifyError::LogEntryTwice { entry: at, origin });
        }
        proofs.push(LogProof {
            origin,
            index: index.to_u64().ok_or_else(|| missing("index"))?,
            tree_size: note.claim().size,
            checkpoint: note.claim().to_string(),
            witnesses: Vec::new(),
        });
    }
    Ok(proofs)
}

fn translate(error: &Error, signer: &str) -> VerifyError {
    let sigstore = |check| VerifyError::Sigstore {
        check,
        reason: error.to_string(),
    };
    let certificate = |fault| VerifyError::Certificate { position: 0, fault };
    match error {
        Error::SignatureInvalid(_) => VerifyError::SignatureInvalid {
            tried: vec![signer.to_owned()],
            source: SignatureError::Invalid,
        },
        Error::Certificate(CertificateError::Malformed(_)) => {
            certificate(CertificateFault::Malformed)
        }
        Error::Certificate(CertificateError::Expired { .. }) => {
            certificate(CertificateFault::Expired)
        }
        Error::Certificate(CertificateError::NotYetValid { .. }) => {
            certificate(CertificateFault::NotYetValid)
        }
        Error::Certificate(_) => sigstore(CheckName::Certificate),
        Error::TransparencyLog(TransparencyLogError::UnknownLog { log_id }) => {
            VerifyError::LogNotTrusted {
                entry: 0,
                found: log_id.clone(),
            }
        }
        Error::TransparencyLog(TransparencyLogError::EntryMismatch(found)) => {
            VerifyError::LogEntryNotBound {
                entry: 0,
                expected: "this bundle".to_owned(),
                found: found.clone(),
            }
        }
        Error::TransparencyLog(_) => sigstore(CheckName::Log),
        Error::Timestamp(_) => sigstore(CheckName::Time),
        Error::ArtifactMismatch(_) | Error::UnsupportedArtifact(_) => sigstore(CheckName::Subject),
        Error::IdentityMismatch { .. } | Error::IssuerMismatch { .. } => {
            sigstore(CheckName::Signer)
        }
        _ => sigstore(CheckName::Format),
    }
}
