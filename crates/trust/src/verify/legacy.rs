//! What `model_signing` 0.2 wrote: read, never written, and always reported as legacy.
//!
//! Its predicate type is `https://model_signing/Digests/v0.1`: the statement's subjects are the
//! files. Its pre-authentication encoding is broken, see [`legacy_pae`], and ECDSA is always with
//! SHA-256. None of this is ever tried for another predicate type.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA256_ASN1, ECDSA_P521_SHA256_ASN1, UnparsedPublicKey,
    VerificationAlgorithm,
};
use custos_core::crypto::{KeyKind, PublicKey, SignatureError};
use custos_core::digest::{Algorithm, Digest};
use custos_core::dsse::Envelope;
use custos_core::oms::{LEGACY_PREDICATE_TYPE, legacy_pae};
use custos_core::statement::Statement;

use super::subject::parse_statement;

/// Verifies a signature over the broken encoding of a statement of the old type.
pub(super) fn verify(
    key: &PublicKey,
    envelope: &Envelope,
    signature: &[u8],
) -> Result<(), SignatureError> {
    // The encoding is that of an in-toto payload, which `parse_statement` makes sure of.
    if !parse_statement(envelope).is_ok_and(|s| s.predicate_type() == LEGACY_PREDICATE_TYPE) {
        return Err(SignatureError::Invalid);
    }
    let algorithm: &'static dyn VerificationAlgorithm = match key.kind() {
        KeyKind::P256 => &ECDSA_P256_SHA256_ASN1,
        KeyKind::P384 => &ECDSA_P384_SHA256_ASN1,
        KeyKind::P521 => &ECDSA_P521_SHA256_ASN1,
        _ => return Err(SignatureError::SchemeDoesNotFitKey),
    };
    let message = legacy_pae(envelope.payload.as_slice());
    UnparsedPublicKey::new(algorithm, key.as_spki_der())
        .verify(&message, signature)
        .map_err(|_| SignatureError::Invalid)
}

/// Returns the OMS root over the files that the statement lists as subjects, in their order.
pub(super) fn root_digest(statement: &Statement) -> Option<Digest> {
    let mut hasher = Algorithm::Sha256.hasher();
    for subject in statement.subject() {
        hasher.update(subject.digest.get(Algorithm::Sha256)?.as_bytes());
    }
    Some(hasher.finish())
}
