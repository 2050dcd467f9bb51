//! Requests to the log in the form of Rekor v2, and the leaf that each becomes.
//!
//! Spec: sigstore/rekor-tiles, `rekor_service.proto` and `hashedrekord.proto` (0.0.2). The
//! request is proto JSON, so fields come in camel or in snake case. A signature that does not
//! verify never becomes a leaf.
//!
//! What it is not: it does not ask whether the certificate was valid or whom it names. A log
//! records what was signed; who is believed is decided when it is verified.

use custos_core::crypto::{KeyError, PublicKey, Scheme, SignatureError};
use custos_core::digest::Digest;
use custos_core::dsse::Base64;
use custos_core::entry::{EntryError, HashedRekord, Verifier, entry_algorithm};
use custos_core::json::{self, JsonError};
use custos_core::limits::Limits;
use der::Encode as _;
use serde::Deserialize;

use crate::authority::CertificateError;
use crate::authority::parse_certificate;

/// Largest request, in bytes: a leaf of 65,535 bytes fits.
pub const MAX_REQUEST: usize = 128 * 1024;

/// Parses a request, verifies its signature and returns the leaf.
///
/// At most [`MAX_REQUEST`] bytes; duplicate and unknown fields are rejected.
pub fn leaf_of_request(body: &[u8]) -> Result<Vec<u8>, RequestError> {
    let limits = Limits::SMALL.with_max_bytes(MAX_REQUEST);
    let request: CreateEntry = json::from_slice(body, &limits).map_err(RequestError::Json)?;
    let request = request.hashed_rekord.ok_or(RequestError::NotHashedRekord)?;
    let WireSignature { content, verifier } = request.signature;
    let (key, verifier_part) = match (verifier.public_key, verifier.certificate) {
        (Some(key), None) => {
            let der = key.raw_bytes.0;
            (
                PublicKey::from_spki_der(&der).map_err(RequestError::Key)?,
                Verifier::PublicKey(der),
            )
        }
        (None, Some(certificate)) => {
            let der = certificate.raw_bytes.0;
            (certificate_key(&der)?, Verifier::Certificate(der))
        }
        _ => return Err(RequestError::VerifierCount),
    };
    let details = verifier.key_details;
    // The name has to fit the key, and the digest the name.
    let scheme = Scheme::from_key_details(&details)
        .filter(|scheme| scheme.key_kind() == key.kind())
        .ok_or(RequestError::DetailsDoNotFit)?;
    let digest = Digest::new(entry_algorithm(scheme), request.digest.as_slice())
        .map_err(|_| RequestError::DetailsDoNotFit)?;
    key.verify_digest(scheme, &digest, content.as_slice())
        .map_err(RequestError::Signature)?;
    HashedRekord::new(digest, content.0, verifier_part, details)
        .to_leaf()
        .map_err(RequestError::Entry)
}

fn certificate_key(der: &[u8]) -> Result<PublicKey, RequestError> {
    let certificate = parse_certificate(der).map_err(RequestError::Certificate)?;
    let spki = certificate
        .tbs_certificate
        .subject_public_key_info
        .to_der()
        .map_err(|_| RequestError::Certificate(CertificateError::Malformed))?;
    PublicKey::from_spki_der(&spki).map_err(RequestError::Key)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CreateEntry {
    #[serde(
        rename = "hashedRekordRequestV002",
        alias = "hashed_rekord_request_v002",
        default
    )]
    hashed_rekord: Option<HashedRekordRequest>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HashedRekordRequest {
    digest: Base64,
    signature: WireSignature,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WireSignature {
    content: Base64,
    verifier: WireVerifier,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WireVerifier {
    #[serde(rename = "keyDetails", alias = "key_details")]
    key_details: String,
    #[serde(rename = "publicKey", alias = "public_key", default)]
    public_key: Option<RawBytes>,
    #[serde(rename = "x509Certificate", alias = "x509_certificate", default)]
    certificate: Option<RawBytes>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawBytes {
    #[serde(rename = "rawBytes", alias = "raw_bytes")]
    raw_bytes: Base64,
}

/// Why a request did not become a leaf.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The certificate does not parse.
    #[error("the certificate is not accepted: {0}")]
    Certificate(CertificateError),
    /// The leaf cannot be written, for instance because it is too large.
    #[error("{0}")]
    Entry(EntryError),
    /// Not JSON of this shape, or beyond a limit.
    #[error("the request is not accepted: {0}")]
    Json(JsonError),
    /// The named algorithm is not one of this key and this digest.
    #[error("the key details fit neither the key nor the digest")]
    DetailsDoNotFit,
    /// The key.
    #[error("{0}")]
    Key(KeyError),
    /// Another type of entry.
    #[error("invalid type, must be hashedrekord")]
    NotHashedRekord,
    /// The signature.
    #[error("{0}")]
    Signature(SignatureError),
    /// Neither or both of a key and a certificate.
    #[error("exactly one of publicKey and x509Certificate is needed")]
    VerifierCount,
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use custos_core::crypto::{KeyKind, KeyPair, RsaSize};
    use custos_core::digest::Algorithm;

    fn request() -> String {
        let pair = KeyPair::generate(KeyKind::P256).unwrap();
        let digest = Algorithm::Sha256.digest(b"message");
        let signature = pair.sign(Scheme::EcdsaP256, b"message").unwrap();
        let details = Scheme::EcdsaP256.key_details();
        request_of(pair.public_key(), details, digest.as_bytes(), &signature)
    }

    fn request_of(key: &PublicKey, details: &str, digest: &[u8], signature: &[u8]) -> String {
        format!(
            r#"{{"hashedRekordRequestV002":{{"digest":"{}","signature":{{"content":"{}","verifier":{{"publicKey":{{"rawBytes":"{}"}},"keyDetails":"{details}"}}}}}}}}"#,
            STANDARD.encode(digest),
            STANDARD.encode(signature),
            STANDARD.encode(key.as_spki_der()),
        )
    }

    #[test]
    fn every_scheme_that_signs_digests_is_logged_and_only_under_its_own_name() {
        // RSA of one size: making larger keys takes its time, and sizes differ by name alone.
        let rsa = KeyPair::generate(KeyKind::Rsa(RsaSize::Bits2048)).unwrap();
        for scheme in Scheme::ALL {
            let kind = scheme.key_kind();
            let made = match kind {
                KeyKind::Rsa(RsaSize::Bits2048) => None,
                KeyKind::Rsa(_) => continue,
                _ => Some(KeyPair::generate(kind).unwrap()),
            };
            let pair = made.as_ref().unwrap_or(&rsa);
            let key = pair.public_key();
            let signature = pair.sign(scheme, b"message").unwrap();
            let hash = entry_algorithm(scheme);
            let digest = hash.digest(b"message");
            let digest = digest.as_bytes();
            let leaf = |details: &str, digest: &[u8]| {
                let request = request_of(key, details, digest, &signature);
                leaf_of_request(request.as_bytes())
            };
            if scheme == Scheme::Ed25519 {
                assert_eq!(
                    leaf(scheme.key_details(), digest),
                    Err(RequestError::Signature(SignatureError::MessageNeeded))
                );
                continue;
            }
            let entry = HashedRekord::parse(&leaf(scheme.key_details(), digest).unwrap()).unwrap();
            assert_eq!(entry.key_details, scheme.key_details());
            assert_eq!(
                leaf(scheme.key_details(), &digest[1..]),
                Err(RequestError::DetailsDoNotFit)
            );
            assert_eq!(
                leaf(scheme.key_details(), hash.digest(b"messagf").as_bytes()),
                Err(RequestError::Signature(SignatureError::Invalid)),
                "{scheme:?}"
            );
            for other in Scheme::ALL.into_iter().filter(|other| *other != scheme) {
                assert!(leaf(other.key_details(), digest).is_err(), "{other:?}");
            }
        }
    }

    #[test]
    fn both_spellings_become_the_same_leaf() {
        let camel = request();
        let snake = camel
            .replace("hashedRekordRequestV002", "hashed_rekord_request_v002")
            .replace("publicKey", "public_key")
            .replace("rawBytes", "raw_bytes")
            .replace("keyDetails", "key_details");
        let leaf = leaf_of_request(camel.as_bytes()).unwrap();
        assert_eq!(leaf_of_request(snake.as_bytes()).unwrap(), leaf);
        let entry = HashedRekord::parse(&leaf).unwrap();
        assert_eq!(entry.digest, Algorithm::Sha256.digest(b"message"));
        // Both spellings of one field at once are two values for it.
        let both = camel.replacen("\"digest\"", "\"digest\":\"\",\"digest\"", 1);
        assert!(matches!(
            leaf_of_request(both.as_bytes()),
            Err(RequestError::Json(_))
        ));
    }

    #[test]
    fn what_does_not_verify_is_no_entry() {
        let good = request();
        let wrong = Algorithm::Sha256.digest(b"another");
        let right = Algorithm::Sha256.digest(b"message");
        let swap = |digest: &Digest| STANDARD.encode(digest.as_bytes());
        let other = good.replace(&swap(&right), &swap(&wrong));
        assert_eq!(
            leaf_of_request(other.as_bytes()),
            Err(RequestError::Signature(SignatureError::Invalid))
        );
        for details in ["PKIX_ECDSA_P384_SHA_384", "PKIX_ED25519", "", "x"] {
            let other = good.replace("PKIX_ECDSA_P256_SHA_256", details);
            assert_eq!(
                leaf_of_request(other.as_bytes()),
                Err(RequestError::DetailsDoNotFit),
                "{details}"
            );
        }
    }

    #[test]
    fn a_bare_key_is_no_certificate() {
        let disguised = request().replace("publicKey", "x509Certificate");
        assert_eq!(
            leaf_of_request(disguised.as_bytes()),
            Err(RequestError::Certificate(CertificateError::Malformed))
        );
    }

    #[test]
    fn other_shapes_are_refused() {
        for (body, expected) in [
            ("{}", RequestError::NotHashedRekord),
            (
                r#"{"hashedRekordRequestV002":null}"#,
                RequestError::NotHashedRekord,
            ),
        ] {
            assert_eq!(leaf_of_request(body.as_bytes()), Err(expected));
        }
        for body in ["", "[]", r#"{"dsseRequestV002":{}}"#, "{\"a\":1,\"a\":1}"] {
            assert!(matches!(
                leaf_of_request(body.as_bytes()),
                Err(RequestError::Json(_))
            ));
        }
        let large = format!("{{\"x\":\"{}\"}}", "a".repeat(MAX_REQUEST));
        assert!(matches!(
            leaf_of_request(large.as_bytes()),
            Err(RequestError::Json(JsonError::TooLarge { .. }))
        ));
    }
}
