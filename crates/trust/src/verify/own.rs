//! Signatures by expected keys and by certificates of private authorities, logged in a log of our
//! own format or not at all.
//!
//! Keys come from the expected signers alone. What a bundle says about its key (hint, bytes,
//! details) can only narrow the choice, and whatever it says must be true of the key chosen.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use custos_core::bundle::{PublicKeyIdentifier, VerificationMaterial};
use custos_core::crypto::{KeyKind, PublicKey, Scheme, SignatureError, sha256};
use custos_core::digest::Digest;
use custos_core::entry::{Verifier, entry_algorithm};
use custos_core::identity::{ExpectedSigner, Identity};

use super::certificate::Certificate;
use super::log::{self, Signed};
use super::report::Checks;
use super::verified::{Signatory, SignedTime};
use super::{
    CertificateFault, CheckName, Content, Proven, Terms, VerifyError, chain, legacy, subject,
};

/// Proves a bundle with a bare key or a private certificate.
pub(super) fn prove_bundle(
    content: Content<'_>,
    material: &VerificationMaterial,
    terms: &Terms<'_>,
    checks: &mut Checks,
) -> Result<Proven, VerifyError> {
    let found = match &material.public_key {
        Some(identifier) => by_key(content, identifier, terms, checks)?,
        None => by_certificate(content, material, terms, checks)?,
    };
    let entries = &material.tlog_entries;
    let log = match (&found.over, entries.first()) {
        (_, None) => Vec::new(),
        (Over::Standard { scheme, digest }, _) => {
            let signed = Signed {
                digest: *digest,
                signature: signature_of(content)?,
                verifier: found.verifier,
                scheme: *scheme,
            };
            log::check_entries(entries, &signed, terms.trust_root)?
        }
        (Over::Legacy, Some(entry)) => {
            return Err(VerifyError::LogEntryKind {
                entry: 0,
                kind: entry.kind_version.kind.clone(),
                version: entry.kind_version.version.clone(),
            });
        }
    };
    if !material.timestamp_verification_data.is_empty() {
        // Nobody here can judge it, and what cannot be judged is not passed over.
        return Err(VerifyError::TimestampUnchecked);
    }
    Ok(Proven {
        first: found.signatory,
        others: Vec::new(),
        log,
        time: SignedTime::Untrusted,
        legacy: matches!(found.over, Over::Legacy),
    })
}

/// Proves a bare envelope: signatures by keys, at least one of them expected.
pub(super) fn prove_envelope(
    content: Content<'_>,
    terms: &Terms<'_>,
    checks: &mut Checks,
) -> Result<Proven, VerifyError> {
    let envelope = content.envelope()?;
    let keys = expected_keys(terms);
    if keys.is_empty() {
        return Err(terms.not_expected("a bare key"));
    }
    let pae = envelope.pae();
    let mut signatories: Vec<Signatory> = Vec::new();
    for signature in &envelope.signatures {
        let signer = keys
            .iter()
            .find(|(_, key)| standard_scheme(key, &pae, signature.sig.as_slice()).is_ok());
        if let Some((name, key)) = signer {
            let signatory = key_signatory(name, key);
            // One key that signs twice is one signer.
            if !signatories
                .iter()
                .any(|other| other.identity == signatory.identity)
            {
                signatories.push(signatory);
            }
        }
    }
    let total = envelope.signatures.len();
    let count = signatories.len();
    let mut signatories = signatories.into_iter();
    let Some(first) = signatories.next() else {
        return Err(VerifyError::SignatureInvalid {
            tried: terms.expected(),
            source: SignatureError::Invalid,
        });
    };
    checks.ok(
        CheckName::Signer,
        format!("{count} of the expected signers"),
    );
    checks.ok(CheckName::Signature, format!("{total} in the envelope"));
    Ok(Proven {
        first,
        others: signatories.collect(),
        log: Vec::new(),
        time: SignedTime::Untrusted,
        legacy: false,
    })
}

struct Found {
    signatory: Signatory,
    verifier: Verifier,
    over: Over,
}

// What the signature was made over, and how.
enum Over {
    Standard { scheme: Scheme, digest: Digest },
    Legacy,
}

fn by_key(
    content: Content<'_>,
    identifier: &PublicKeyIdentifier,
    terms: &Terms<'_>,
    checks: &mut Checks,
) -> Result<Found, VerifyError> {
    let candidates = candidates(identifier, content, terms)?;
    let mut last = SignatureError::Invalid;
    for (name, key) in &candidates {
        match check_signature(key, content, terms) {
            Ok(over) => {
                check_key_details(identifier, key)?;
                checks.ok(
                    CheckName::Signer,
                    format!("{name} (key:{})", key.id().short()),
                );
                checks.ok(CheckName::Signature, key.kind().name());
                return Ok(Found {
                    signatory: key_signatory(name, key),
                    verifier: Verifier::PublicKey(key.as_spki_der().to_vec()),
                    over,
                });
            }
            Err(SignatureFault::Signature(error)) => last = error,
            Err(SignatureFault::Content(error)) => return Err(*error),
        }
    }
    let tried = candidates
        .iter()
        .map(|(name, _)| (*name).to_owned())
        .collect();
    Err(VerifyError::SignatureInvalid {
        tried,
        source: last,
    })
}

/// Returns the keys of expected signers that fit what the bundle says about its key.
pub(super) fn candidates<'a>(
    identifier: &PublicKeyIdentifier,
    content: Content<'_>,
    terms: &Terms<'a>,
) -> Result<Vec<(&'a str, &'a PublicKey)>, VerifyError> {
    let hint = identifier.hint.as_str();
    let named = match (&identifier.raw_bytes, hint) {
        (Some(raw), _) => format!("a key with SHA-256 {}", hex::encode(sha256(raw.as_slice()))),
        (None, "") => "a key without a hint".to_owned(),
        (None, hint) => format!(
            "a key with hint {}",
            hint.chars().take(80).collect::<String>()
        ),
    };
    let decides = !hint.is_empty() && (is_digest(hint) || is_oms(content));
    let fitting: Vec<_> = expected_keys(terms)
        .into_iter()
        .filter(|(_, key)| !decides || hint_fits(hint, key))
        .filter(|(_, key)| {
            identifier.raw_bytes.as_ref().is_none_or(|raw| {
                // `model_signing` before 1.1 put the PEM text here.
                let raw = raw.as_slice();
                raw == key.as_spki_der() || raw == key.to_pem().as_bytes()
            })
        })
        .collect();
    if fitting.is_empty() {
        Err(terms.not_expected(named))
    } else {
        Ok(fitting)
    }
}

fn expected_keys<'a>(terms: &Terms<'a>) -> Vec<(&'a str, &'a PublicKey)> {
    terms
        .signers
        .iter()
        .filter_map(|signer| match signer {
            ExpectedSigner::Key { name, key } => Some((name.as_str(), key)),
            _ => None,
        })
        .collect()
}

// OMS v1.0 makes the hint the fingerprint of the key; elsewhere it is free text.
fn is_oms(content: Content<'_>) -> bool {
    match content {
        Content::Statement(envelope) => subject::parse_statement(envelope)
            .is_ok_and(|statement| statement.predicate_type().starts_with(OMS_PREFIX)),
        Content::Message(_) => false,
    }
}

const OMS_PREFIX: &str = "https://model_signing/";

// Hints in use: hex of the PEM's SHA-256 (OMS), hex or base64 of the DER's (Custos, cosign), the
// latter with `SHA256:` in front (npm).
fn hint_fits(hint: &str, key: &PublicKey) -> bool {
    let der = *key.id().as_bytes();
    let hint = hint.strip_prefix("SHA256:").unwrap_or(hint);
    hint == hex::encode(sha256(key.to_pem().as_bytes()))
        || hint == hex::encode(der)
        || hint == STANDARD.encode(der)
        || hint == STANDARD_NO_PAD.encode(der)
}

fn is_digest(hint: &str) -> bool {
    let hint = hint.strip_prefix("SHA256:").unwrap_or(hint);
    let is_32 = |bytes: Vec<u8>| bytes.len() == 32;
    hex::decode(hint).is_ok_and(is_32)
        || STANDARD.decode(hint).is_ok_and(is_32)
        || STANDARD_NO_PAD.decode(hint).is_ok_and(is_32)
}

/// Checks that what the bundle says about the kind of its key is true of `key`.
pub(super) fn check_key_details(
    identifier: &PublicKeyIdentifier,
    key: &PublicKey,
) -> Result<(), VerifyError> {
    match identifier.key_details.as_deref() {
        Some(details)
            if Scheme::from_key_details(details).map(Scheme::key_kind) != Some(key.kind()) =>
        {
            Err(VerifyError::KeyMaterialMismatch {
                field: "keyDetails",
                found: details.chars().take(80).collect(),
            })
        }
        _ => Ok(()),
    }
}

fn by_certificate(
    content: Content<'_>,
    material: &VerificationMaterial,
    terms: &Terms<'_>,
    checks: &mut Checks,
) -> Result<Found, VerifyError> {
    let certificates = certificates(material)?;
    let fault = |fault| VerifyError::Certificate { position: 0, fault };
    let (leaf, links) = certificates
        .split_first()
        .ok_or_else(|| fault(CertificateFault::Malformed))?;
    let (name, identity) = expected_subject(leaf, terms)?;
    let key = leaf
        .key()
        .ok_or_else(|| fault(CertificateFault::UnsupportedKey))?;
    let (not_before, not_after) = leaf.validity();
    if terms.now < not_before || not_after < terms.now {
        let subject = leaf.subject();
        return Err(VerifyError::CertificateValidity {
            subject,
            not_before,
            not_after,
            now: terms.now,
        });
    }
    leaf.check_usage().map_err(fault)?;
    chain::check(leaf, links, terms.trust_root.anchors(), terms.now).map_err(fault)?;
    let over = check_signature(key, content, terms).map_err(|error| match error {
        SignatureFault::Content(error) => *error,
        SignatureFault::Signature(source) => VerifyError::SignatureInvalid {
            tried: vec![identity.clone()],
            source,
        },
    })?;
    checks.ok(CheckName::Signer, format!("{name} ({identity})"));
    checks.ok(
        CheckName::Certificate,
        format!("issued by {}, judged now", leaf.issuer()),
    );
    checks.ok(CheckName::Signature, key.kind().name());
    Ok(Found {
        signatory: Signatory {
            identity: Identity::Certificate {
                subject: identity,
                issuer: leaf.issuer(),
                key: key.id(),
            },
            name: name.to_owned(),
        },
        verifier: Verifier::Certificate(leaf.as_der().to_vec()),
        over,
    })
}

fn certificates(material: &VerificationMaterial) -> Result<Vec<Certificate>, VerifyError> {
    let chain = material
        .x509_certificate_chain
        .iter()
        .flat_map(|chain| &chain.certificates);
    material
        .certificate
        .iter()
        .chain(chain)
        .enumerate()
        .map(|(position, certificate)| {
            Certificate::parse(certificate.raw_bytes.as_slice())
                .map_err(|fault| VerifyError::Certificate { position, fault })
        })
        .collect()
}

// The expected signer that the leaf names, with the name that fits.
fn expected_subject<'a>(
    leaf: &Certificate,
    terms: &Terms<'a>,
) -> Result<(&'a str, String), VerifyError> {
    let fault = |fault| VerifyError::Certificate { position: 0, fault };
    let names = leaf.identities().map_err(fault)?;
    let mut of_sigstore = false;
    for signer in terms.signers {
        if let ExpectedSigner::Certificate {
            name,
            identity,
            issuer,
        } = signer
        {
            match (names.iter().find(|found| identity.accepts(found)), issuer) {
                (Some(found), None) => return Ok((name, found.clone())),
                (Some(_), Some(_)) => of_sigstore = true,
                (None, _) => {}
            }
        }
    }
    if of_sigstore && !terms.trust_root.trusts_sigstore() {
        // Expected as an OIDC identity, but no Sigstore instance is trusted to vouch for it.
        return Err(fault(CertificateFault::NoAnchor));
    }
    let found = if names.is_empty() {
        format!("a certificate that names nobody ({})", leaf.subject())
    } else {
        format!("{} (certificate by {})", names.join(", "), leaf.issuer())
    };
    Err(terms.not_expected(found))
}

enum SignatureFault {
    Signature(SignatureError),
    Content(Box<VerifyError>),
}

fn check_signature(
    key: &PublicKey,
    content: Content<'_>,
    terms: &Terms<'_>,
) -> Result<Over, SignatureFault> {
    match content {
        Content::Statement(envelope) => {
            let pae = envelope.pae();
            let signature =
                signature_of(content).map_err(|error| SignatureFault::Content(Box::new(error)))?;
            match standard_scheme(key, &pae, signature) {
                Ok(scheme) => {
                    let digest = entry_algorithm(scheme).digest(&pae);
                    Ok(Over::Standard { scheme, digest })
                }
                Err(error) => legacy::verify(key, envelope, signature)
                    .map(|()| Over::Legacy)
                    .map_err(|_| SignatureFault::Signature(error)),
            }
        }
        Content::Message(message) => {
            let digest = subject::message_digest(message, terms.artifact)
                .map_err(|error| SignatureFault::Content(Box::new(error)))?;
            let scheme = verify_digest(key, &digest, message.signature.as_slice())
                .map_err(SignatureFault::Signature)?;
            Ok(Over::Standard { scheme, digest })
        }
    }
}

fn standard_scheme(
    key: &PublicKey,
    pae: &[u8],
    signature: &[u8],
) -> Result<Scheme, SignatureError> {
    let scheme = key.kind().statement_scheme();
    match key.verify(scheme, pae, signature) {
        Ok(()) => Ok(scheme),
        // Other tools sign with pure Ed25519; RFC 8032 keeps the two apart.
        Err(_) if key.kind() == KeyKind::Ed25519 => key
            .verify(Scheme::Ed25519, pae, signature)
            .map(|()| Scheme::Ed25519),
        Err(error) => Err(error),
    }
}

// A message signature is over the artifact's bytes, of which only the digest is at hand.
fn verify_digest(
    key: &PublicKey,
    digest: &Digest,
    signature: &[u8],
) -> Result<Scheme, SignatureError> {
    let scheme = key.kind().statement_scheme();
    key.verify_digest(scheme, digest, signature)?;
    Ok(scheme)
}

fn signature_of(content: Content<'_>) -> Result<&[u8], VerifyError> {
    match content {
        Content::Message(message) => Ok(message.signature.as_slice()),
        Content::Statement(envelope) => match envelope.signatures.as_slice() {
            [one] => Ok(one.sig.as_slice()),
            several => Err(VerifyError::Bundle(
                custos_core::bundle::BundleError::SignatureCount {
                    found: several.len(),
                },
            )),
        },
    }
}

fn key_signatory(name: &str, key: &PublicKey) -> Signatory {
    Signatory {
        identity: Identity::Key { id: key.id() },
        name: name.to_owned(),
    }
}
