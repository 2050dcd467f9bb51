//! Whether a key made a signature over what a bundle holds.

use aws_lc_rs::digest as lc_digest;
use aws_lc_rs::signature::{
    ECDSA_P384_SHA256_ASN1, ECDSA_P521_SHA256_ASN1, UnparsedPublicKey, VerificationAlgorithm,
};
use custos_core::bundle::MessageSignature;
use custos_core::crypto::{KeyKind, PublicKey, Scheme, SignatureError};
use custos_core::digest::{Algorithm, Digest};
use custos_core::entry::entry_algorithm;

use super::{Content, Terms, VerifyError, legacy, subject};

/// What a signature was made over, and how.
pub(super) enum Over {
    /// The envelope's encoding, or a file.
    Standard {
        /// How; `None` for a mixture of curve and hash that has no name in Rekor v2.
        scheme: Option<Scheme>,
        /// Digest of what was signed, as a log entry has it.
        digest: Digest,
    },
    /// The broken encoding of `model_signing` 0.2.
    Legacy,
}

/// Why a signature is not one by this key.
pub(super) enum Fault {
    /// It does not verify.
    Signature(SignatureError),
    /// There is nothing to verify it over.
    Content(Box<VerifyError>),
}

/// Checks the signature of a bundle's content with one key.
pub(super) fn check(
    key: &PublicKey,
    content: Content<'_>,
    terms: &Terms<'_>,
) -> Result<Over, Fault> {
    match content {
        Content::Statement(envelope) => {
            let pae = envelope.pae();
            let [signature] = envelope.signatures.as_slice() else {
                return Err(Fault::Signature(SignatureError::Invalid));
            };
            let signature = signature.sig.as_slice();
            match over_statement(key, &pae, signature) {
                Ok(scheme) => Ok(Over::Standard {
                    scheme: Some(scheme),
                    digest: entry_algorithm(scheme).digest(&pae),
                }),
                Err(error) => legacy::verify(key, envelope, signature)
                    .map(|()| Over::Legacy)
                    .map_err(|_| Fault::Signature(error)),
            }
        }
        Content::Message(message) => over_message(key, message, terms),
    }
}

/// Returns the scheme by which `key` signed an envelope's encoding.
pub(super) fn over_statement(
    key: &PublicKey,
    pae: &[u8],
    signature: &[u8],
) -> Result<Scheme, SignatureError> {
    let schemes = schemes(key.kind());
    let mut outcome = Err(SignatureError::SchemeDoesNotFitKey);
    for scheme in schemes.into_iter().flatten() {
        outcome = key.verify(scheme, pae, signature).map(|()| scheme);
        if outcome.is_ok() {
            break;
        }
    }
    outcome
}

// Other tools sign with pure Ed25519, and RFC 8032 keeps the two apart; with RSA there are two
// paddings.
const fn schemes(kind: KeyKind) -> [Option<Scheme>; 2] {
    let other = match kind {
        KeyKind::Ed25519 => Some(Scheme::Ed25519),
        KeyKind::Rsa(size) => Some(Scheme::RsaPssSha256(size)),
        _ => None,
    };
    [Some(kind.statement_scheme()), other]
}

// A message signature is over the artifact's bytes, of which usually only digests are at hand.
fn over_message(
    key: &PublicKey,
    message: &MessageSignature,
    terms: &Terms<'_>,
) -> Result<Over, Fault> {
    let claimed = subject::message_digest(message, terms.artifact)
        .map_err(|error| Fault::Content(Box::new(error)))?;
    let signature = message.signature.as_slice();
    let mut last = SignatureError::Invalid;
    for scheme in schemes(key.kind()).into_iter().flatten() {
        // The hash that the bundle names, or for want of a name the one of the scheme.
        let named = message.message_digest.is_some() && key.kind() != KeyKind::Ed25519;
        let fits = claimed.algorithm() == entry_algorithm(scheme);
        let digest = match (fits, named) {
            (true, _) => Some(claimed),
            (false, true) => None,
            (false, false) => terms.artifact.get(entry_algorithm(scheme)),
        };
        let Some(digest) = digest else {
            last = SignatureError::SchemeDoesNotFitKey;
            continue;
        };
        let outcome = match (scheme, terms.message) {
            (Scheme::Ed25519, Some(bytes)) if digest == digest.algorithm().digest(bytes) => {
                key.verify(scheme, bytes, signature)
            }
            _ => key.verify_digest(scheme, &digest, signature),
        };
        match outcome {
            Ok(()) => {
                return Ok(Over::Standard {
                    scheme: Some(scheme),
                    digest,
                });
            }
            // That the bytes were not at hand says more than that another scheme does not fit.
            Err(error) => last = error,
        }
    }
    match over_mixture(key, &claimed, signature) {
        Ok(()) => Ok(Over::Standard {
            scheme: None,
            digest: claimed,
        }),
        Err(_) => Err(Fault::Signature(last)),
    }
}

// Clients up to cosign 2 sign with SHA-256 whatever the curve; a bundle says so in its digest.
fn over_mixture(key: &PublicKey, digest: &Digest, signature: &[u8]) -> Result<(), SignatureError> {
    let algorithm: &'static dyn VerificationAlgorithm = match (key.kind(), digest.algorithm()) {
        (KeyKind::P384, Algorithm::Sha256) => &ECDSA_P384_SHA256_ASN1,
        (KeyKind::P521, Algorithm::Sha256) => &ECDSA_P521_SHA256_ASN1,
        _ => return Err(SignatureError::SchemeDoesNotFitKey),
    };
    let digest = lc_digest::Digest::import_less_safe(digest.as_bytes(), &lc_digest::SHA256)
        .map_err(|_| SignatureError::Invalid)?;
    UnparsedPublicKey::new(algorithm, key.as_spki_der())
        .verify_digest(&digest, signature)
        .map_err(|_| SignatureError::Invalid)
}
