//! What a bundle proves: signature, timestamps, log entries, and who signed.
//!
//! One way for all bundles: by a key, by a certificate of a private authority, by a certificate of
//! a Sigstore instance; logged in a log of ours, in Rekor v1 or v2, or not at all. Keys come from
//! the expected signers alone. What a bundle says about its key (hint, bytes, details) can only
//! narrow the choice, and whatever it says must be true of the key chosen.
//!
//! Every part that is there must hold, also one that nobody asked for. What comes from a log or
//! an authority that the trust root does not name cannot be judged, and says as much as nothing.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use custos_core::bundle::{Bundle, PublicKeyIdentifier};
use custos_core::clock::Timestamp;
use custos_core::crypto::{PublicKey, Scheme, SignatureError, sha256};
use custos_core::entry::Verifier;
use custos_core::identity::{ExpectedSigner, Identity};

use super::certified::{self, Certified};
use super::log::{Entries, Logged, Signed};
use super::report::Checks;
use super::signature::{self, Fault, Over};
use super::timestamp::Stamps;
use super::verified::{Signatory, SignedTime};
use super::{CheckName, Content, Proven, Terms, VerifyError, subject, timestamp};

/// Who signed, so far as the bundle itself tells.
pub(super) struct Signer {
    /// The expected signer that this is, or why it is none.
    pub(super) signatory: Result<Signatory, VerifyError>,
    /// What the signature is over, or why it does not hold.
    pub(super) over: Result<Over, VerifyError>,
    /// What a log entry must name.
    pub(super) verifier: Verifier,
    /// The certificate, which is judged once the time of signing is known.
    pub(super) certificate: Option<Certified>,
}

/// Proves a bundle.
pub(super) fn prove_bundle(
    bundle: &Bundle,
    content: Content<'_>,
    terms: &Terms<'_>,
    checks: &mut Checks,
) -> Result<Proven, VerifyError> {
    let material = &bundle.verification_material;
    if !material.tlog_entries.is_empty() {
        checks.applies(CheckName::LogBinding);
    }
    let signer = match &material.public_key {
        Some(identifier) => by_key(content, identifier, terms, checks)?,
        None => certified::read(content, material, terms, checks)?,
    };
    // All of it is looked at, so that the list of checks says all that is wrong.
    let stamps = timestamp::check_all(
        &material.timestamp_verification_data,
        signature_of(content)?,
        terms.trust_root,
    );
    let logged = entries(bundle, content, &signer, terms);
    note(&signer.signatory, checks);
    note(&signer.over, checks);
    note(&stamps, checks);
    note(&logged, checks);
    let mut times = Vec::new();
    let mut judged = Ok(());
    if let (Ok(stamps), Ok(logged)) = (&stamps, &logged) {
        times = all_times(&stamps.times, logged);
        if let SignedTime::Trusted { at } = earliest(&times) {
            checks.ok(CheckName::Time, describe_time(at, stamps.unknown.len()));
        }
        if let Some(certificate) = &signer.certificate {
            judged = certificate
                .judge(&times, terms, checks)
                .map_err(|error| blame(error, stamps, &times));
        }
    }
    note(&judged, checks);
    let log = logged.as_ref().map_or(&[][..], Vec::as_slice);
    let log: Vec<_> = log.iter().map(|logged| logged.proof.clone()).collect();
    if !log.is_empty() {
        let unknown = material.tlog_entries.len().saturating_sub(log.len());
        checks.ok(CheckName::Log, super::describe_log(&log, unknown));
        checks.ok(CheckName::LogBinding, "");
    }
    let (first, over) = (signer.signatory?, signer.over?);
    logged?;
    let stamps = stamps?;
    judged?;
    Ok(Proven {
        first,
        others: Vec::new(),
        log,
        time: earliest(&times),
        latest: times.into_iter().max(),
        stamped: !stamps.times.is_empty(),
        unknown_stamp: stamps.unknown.into_iter().next(),
        legacy: matches!(over, Over::Legacy),
    })
}

fn note<T>(outcome: &Result<T, VerifyError>, checks: &mut Checks) {
    if let Err(error) = outcome {
        checks.failed(error);
    }
}

// Where the time is what is missing, the timestamp that nobody could judge is the reason.
fn blame(error: VerifyError, stamps: &Stamps, times: &[Timestamp]) -> VerifyError {
    match (&error, stamps.unknown.first()) {
        (VerifyError::TimeMissing | VerifyError::CertificateValidity { .. }, Some(unknown))
            if times.is_empty() =>
        {
            unknown.clone()
        }
        _ => error,
    }
}

fn describe_time(at: Timestamp, unknown: usize) -> String {
    match unknown {
        0 => at.to_string(),
        unknown => format!("{at}; {unknown} by no trusted authority"),
    }
}

fn all_times(stamps: &[Timestamp], logged: &[Logged]) -> Vec<Timestamp> {
    let by_logs = logged.iter().filter_map(|logged| logged.time);
    stamps.iter().copied().chain(by_logs).collect()
}

fn earliest(times: &[Timestamp]) -> SignedTime {
    match times.iter().min() {
        Some(at) => SignedTime::Trusted { at: *at },
        None => SignedTime::Untrusted,
    }
}

fn entries(
    bundle: &Bundle,
    content: Content<'_>,
    signer: &Signer,
    terms: &Terms<'_>,
) -> Result<Vec<Logged>, VerifyError> {
    let entries = &bundle.verification_material.tlog_entries;
    let (scheme, digest) = match (&signer.over, entries.first()) {
        (_, None) => return Ok(Vec::new()),
        // What nobody signed, no entry can be about.
        (Err(error), Some(_)) => return Err(error.clone()),
        (Ok(Over::Standard { scheme, digest }), Some(_)) => (*scheme, *digest),
        (Ok(Over::Legacy), Some(entry)) => {
            return Err(VerifyError::LogEntryKind {
                entry: 0,
                kind: entry.kind_version.kind.clone(),
                version: entry.kind_version.version.clone(),
            });
        }
    };
    let claim = Signed {
        envelope: content.envelope().ok(),
        digest,
        signature: signature_of(content)?,
        verifier: signer.verifier.clone(),
        scheme,
    };
    let entries = Entries {
        all: entries,
        version: bundle.media_type,
        root: terms.trust_root,
        now: terms.now,
    };
    entries.check(&claim)
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
    for found in &envelope.signatures {
        let signer = keys
            .iter()
            .find(|(_, key)| signature::over_statement(key, &pae, found.sig.as_slice()).is_ok());
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
        latest: None,
        legacy: false,
        stamped: false,
        unknown_stamp: None,
    })
}

fn by_key(
    content: Content<'_>,
    identifier: &PublicKeyIdentifier,
    terms: &Terms<'_>,
    checks: &mut Checks,
) -> Result<Signer, VerifyError> {
    let candidates = candidates(identifier, content, terms)?;
    let mut last = SignatureError::Invalid;
    for (name, key) in &candidates {
        match signature::check(key, content, terms) {
            Ok(over) => {
                check_key_details(identifier, key)?;
                checks.ok(
                    CheckName::Signer,
                    format!("{name} (key:{})", key.id().short()),
                );
                checks.ok(CheckName::Signature, key.kind().name());
                return Ok(Signer {
                    signatory: Ok(key_signatory(name, key)),
                    over: Ok(over),
                    verifier: Verifier::PublicKey(key.as_spki_der().to_vec()),
                    certificate: None,
                });
            }
            Err(Fault::Signature(error)) => last = error,
            Err(Fault::Content(error)) => return Err(*error),
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

// Returns the keys of expected signers that fit what the bundle says about its key.
fn candidates<'a>(
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

// Checks that what the bundle says about the kind of its key is true of `key`.
fn check_key_details(identifier: &PublicKeyIdentifier, key: &PublicKey) -> Result<(), VerifyError> {
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

/// Returns the signature of a bundle's content.
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
