//! Requests to the log in the form of Rekor v2, and the leaf that each becomes.
//!
//! Spec: sigstore/rekor-tiles, `rekor_service.proto` and `hashedrekord.proto` (0.0.2). The
//! request is proto JSON, so fields come in camel or in snake case. A signature that does not
//! verify never becomes a leaf.
//!
//! What it is not: it does not ask whether the certificate was valid or whom it names. A log
//! records what was signed; who is believed is decided when it is verified.

use custos_core::digest::{Algorithm, Digest};
use custos_core::dsse::Base64;
use custos_core::entry::{EntryError, HashedRekord, Verifier};
use custos_core::json::{self, JsonError};
use custos_core::limits::Limits;
use der::Encode as _;
use serde::Deserialize;

use crate::authority::CertificateError;
use crate::authority::parse_certificate;
use crate::subject_key::{self, SubjectKey, SubjectKeyError};

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
                SubjectKey::from_spki_der(&der).map_err(RequestError::Key)?,
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
    let digest = digest(&details, request.digest.as_slice())?;
    key.verify_digest(&details, digest.as_bytes(), content.as_slice())
        .map_err(RequestError::Key)?;
    HashedRekord::new(digest, content.0, verifier_part, details)
        .to_leaf()
        .map_err(RequestError::Entry)
}

fn certificate_key(der: &[u8]) -> Result<SubjectKey, RequestError> {
    let certificate = parse_certificate(der).map_err(RequestError::Certificate)?;
    let spki = certificate
        .tbs_certificate
        .subject_public_key_info
        .to_der()
        .map_err(|_| RequestError::Certificate(CertificateError::Malformed))?;
    SubjectKey::from_spki_der(&spki).map_err(RequestError::Key)
}

fn digest(details: &str, bytes: &[u8]) -> Result<Digest, RequestError> {
    let unfit = RequestError::Key(SubjectKeyError::DetailsDoNotFit);
    let algorithm = match subject_key::digest_length(details) {
        Some(32) => Algorithm::Sha256,
        Some(48) => Algorithm::Sha384,
        Some(64) => Algorithm::Sha512,
        _ => return Err(unfit),
    };
    Digest::new(algorithm, bytes).map_err(|_| unfit)
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
    /// The key, the digest or the signature.
    #[error("{0}")]
    Key(SubjectKeyError),
    /// Another type of entry.
    #[error("invalid type, must be hashedrekord")]
    NotHashedRekord,
    /// Neither or both of a key and a certificate.
    #[error("exactly one of publicKey and x509Certificate is needed")]
    VerifierCount,
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use custos_core::crypto::{KeyKind, KeyPair, Scheme};

    fn request() -> String {
        let pair = KeyPair::generate(KeyKind::P256).unwrap();
        let signature = pair.sign(Scheme::EcdsaP256, b"message").unwrap();
        format!(
            r#"{{"hashedRekordRequestV002":{{"digest":"{}","signature":{{"content":"{}","verifier":{{"publicKey":{{"rawBytes":"{}"}},"keyDetails":"PKIX_ECDSA_P256_SHA_256"}}}}}}}}"#,
            STANDARD.encode(Algorithm::Sha256.digest(b"message").as_bytes()),
            STANDARD.encode(signature),
            STANDARD.encode(pair.public_key().as_spki_der()),
        )
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
            Err(RequestError::Key(SubjectKeyError::BadSignature))
        );
        for details in ["PKIX_ECDSA_P384_SHA_384", "PKIX_ED25519", "", "x"] {
            let other = good.replace("PKIX_ECDSA_P256_SHA_256", details);
            assert_eq!(
                leaf_of_request(other.as_bytes()),
                Err(RequestError::Key(SubjectKeyError::DetailsDoNotFit)),
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
