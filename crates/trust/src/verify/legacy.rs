//! What `model_signing` 0.2 wrote: read, never written, and always reported as legacy.
//!
//! Its predicate type is `https://model_signing/Digests/v0.1`: the statement's subjects are the
//! files. Its pre-authentication encoding is broken in two ways: it starts with `DSSEV1`, and the
//! payload stands in it as the text of a Python bytes literal. ECDSA is always with SHA-256. None
//! of this is ever tried for another predicate type.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA256_ASN1, ECDSA_P521_SHA256_ASN1, UnparsedPublicKey,
    VerificationAlgorithm,
};
use custos_core::crypto::{KeyKind, PublicKey, SignatureError};
use custos_core::digest::{Algorithm, Digest};
use custos_core::dsse::Envelope;
use custos_core::statement::Statement;

/// The one predicate type of the old form.
pub const PREDICATE_TYPE: &str = "https://model_signing/Digests/v0.1";

/// Verifies a signature over the broken encoding.
pub(super) fn verify(
    key: &PublicKey,
    envelope: &Envelope,
    signature: &[u8],
) -> Result<(), SignatureError> {
    let algorithm: &'static dyn VerificationAlgorithm = match key.kind() {
        KeyKind::P256 => &ECDSA_P256_SHA256_ASN1,
        KeyKind::P384 => &ECDSA_P384_SHA256_ASN1,
        KeyKind::P521 => &ECDSA_P521_SHA256_ASN1,
        _ => return Err(SignatureError::SchemeDoesNotFitKey),
    };
    let message = broken_pae(&envelope.payload_type, envelope.payload.as_slice());
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

fn broken_pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let literal = python_literal(payload);
    format!(
        "DSSEV1 {} {payload_type} {} {literal}",
        payload_type.len(),
        payload.len()
    )
    .into_bytes()
}

// `repr()` of a Python `bytes`: double quotes only if there is a single quote and no double one.
fn python_literal(bytes: &[u8]) -> String {
    let quote = if bytes.contains(&b'\'') && !bytes.contains(&b'"') {
        '"'
    } else {
        '\''
    };
    let mut text = String::with_capacity(bytes.len().saturating_add(3));
    text.push('b');
    text.push(quote);
    for byte in bytes {
        match (*byte, char::from(*byte)) {
            (b'\\', _) => text.push_str("\\\\"),
            (b'\t', _) => text.push_str("\\t"),
            (b'\n', _) => text.push_str("\\n"),
            (b'\r', _) => text.push_str("\\r"),
            (_, same) if same == quote => {
                text.push('\\');
                text.push(same);
            }
            (0x20..=0x7e, same) => text.push(same),
            (other, _) => {
                text.push_str("\\x");
                text.push_str(&hex::encode([other]));
            }
        }
    }
    text.push(quote);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_are_those_of_python() {
        // From Python 3: repr(b"...").
        for (bytes, literal) in [
            (&b"plain"[..], "b'plain'"),
            (b"it's", "b\"it's\""),
            (b"it's \"x\"", "b'it\\'s \"x\"'"),
            (
                b"a\\b\t\n\r\x00\x7f\xff",
                "b'a\\\\b\\t\\n\\r\\x00\\x7f\\xff'",
            ),
            ("\u{e9}".as_bytes(), "b'\\xc3\\xa9'"),
            (b"", "b''"),
        ] {
            assert_eq!(python_literal(bytes), literal);
        }
    }
}
