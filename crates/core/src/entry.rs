//! The log leaf: Rekor v2 `hashedrekord` 0.0.2 over the PAE of an envelope.
//!
//! Spec: sigstore/rekor-tiles, `hashedrekord.proto` and `CLIENTS.md`; the leaf's bytes are the
//! JCS form (RFC 8785) of the JSON below. It binds digest, signature and signer together, and
//! holds nothing of the payload, so no personal data ever enters the log.

use serde::{Deserialize, Serialize};

use crate::bundle::KindVersion;
use crate::crypto::Scheme;
use crate::digest::{Algorithm, Digest};
use crate::dsse::Base64;
use crate::json::{self, JsonError};
use crate::limits::{Limits, MAX_ENTRY_BYTES};

/// Kind of the entry.
pub const KIND: &str = "hashedrekord";
/// Version of the entry.
pub const VERSION: &str = "0.0.2";

/// Returns kind and version as a bundle carries them.
pub fn kind_version() -> KindVersion {
    KindVersion::new(KIND, VERSION)
}

/// Returns the digest algorithm that goes with a signature scheme in an entry.
pub const fn entry_algorithm(scheme: Scheme) -> Algorithm {
    match scheme {
        Scheme::EcdsaP256 | Scheme::RsaPkcs1Sha256(_) | Scheme::RsaPssSha256(_) => {
            Algorithm::Sha256
        }
        Scheme::EcdsaP384 => Algorithm::Sha384,
        Scheme::EcdsaP521 | Scheme::Ed25519 | Scheme::Ed25519ph => Algorithm::Sha512,
    }
}

/// A `hashedrekord` 0.0.2 entry.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HashedRekord {
    /// Digest of what was signed: of the PAE for an envelope.
    pub digest: Digest,
    /// The signature.
    pub signature: Vec<u8>,
    /// Who signed.
    pub verifier: Verifier,
    /// `PublicKeyDetails` name of the signature scheme.
    pub key_details: String,
}

/// Who signed an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "the entry's format has these two")]
pub enum Verifier {
    /// DER of an X.509 certificate.
    Certificate(Vec<u8>),
    /// DER of a `SubjectPublicKeyInfo`.
    PublicKey(Vec<u8>),
}

impl HashedRekord {
    /// Returns the entry for a digest that was signed.
    pub fn new(
        digest: Digest,
        signature: Vec<u8>,
        verifier: Verifier,
        key_details: impl Into<String>,
    ) -> Self {
        Self {
            digest,
            signature,
            verifier,
            key_details: key_details.into(),
        }
    }

    /// Returns the entry for a signature made with `scheme` over `message`.
    pub fn over(message: &[u8], signature: Vec<u8>, verifier: Verifier, scheme: Scheme) -> Self {
        Self {
            digest: entry_algorithm(scheme).digest(message),
            signature,
            verifier,
            key_details: scheme.key_details().to_owned(),
        }
    }

    /// Returns the leaf's bytes.
    pub fn to_leaf(&self) -> Result<Vec<u8>, EntryError> {
        let raw = |bytes: &Vec<u8>| RawBytes {
            raw_bytes: Base64(bytes.clone()),
        };
        let (public_key, certificate) = match &self.verifier {
            Verifier::PublicKey(der) => (Some(raw(der)), None),
            Verifier::Certificate(der) => (None, Some(raw(der))),
        };
        let wire = Wire {
            api_version: VERSION.to_owned(),
            kind: KIND.to_owned(),
            spec: Spec {
                entry: Entry {
                    data: Data {
                        algorithm: algorithm_name(self.digest.algorithm())?.to_owned(),
                        digest: Base64(self.digest.as_bytes().to_vec()),
                    },
                    signature: EntrySignature {
                        content: Base64(self.signature.clone()),
                        verifier: WireVerifier {
                            key_details: self.key_details.clone(),
                            public_key,
                            certificate,
                        },
                    },
                },
            },
        };
        let leaf = json::to_canonical(&wire).map_err(EntryError::Json)?;
        if leaf.len() > MAX_ENTRY_BYTES {
            return Err(EntryError::TooLarge { found: leaf.len() });
        }
        Ok(leaf)
    }

    /// Parses a leaf; its bytes must be exactly those that [`HashedRekord::to_leaf`] writes, so
    /// that an entry has one form.
    pub fn parse(leaf: &[u8]) -> Result<Self, EntryError> {
        let limits = Limits::SMALL.with_max_bytes(MAX_ENTRY_BYTES);
        let wire: Wire = json::from_slice(leaf, &limits).map_err(EntryError::Json)?;
        if wire.kind != KIND || wire.api_version != VERSION {
            return Err(EntryError::UnknownKind {
                kind: wire.kind,
                version: wire.api_version,
            });
        }
        let Entry { data, signature } = wire.spec.entry;
        let verifier = match (
            signature.verifier.public_key,
            signature.verifier.certificate,
        ) {
            (Some(key), None) => Verifier::PublicKey(key.raw_bytes.0),
            (None, Some(certificate)) => Verifier::Certificate(certificate.raw_bytes.0),
            _ => return Err(EntryError::VerifierCount),
        };
        let algorithm = [Algorithm::Sha256, Algorithm::Sha384, Algorithm::Sha512]
            .into_iter()
            .find(|algorithm| algorithm_name(*algorithm) == Ok(data.algorithm.as_str()))
            .ok_or(EntryError::UnknownAlgorithm)?;
        let entry = Self {
            digest: Digest::new(algorithm, data.digest.as_slice())
                .map_err(|_| EntryError::UnknownAlgorithm)?,
            signature: signature.content.0,
            verifier,
            key_details: signature.verifier.key_details,
        };
        if entry.to_leaf()? == leaf {
            Ok(entry)
        } else {
            Err(EntryError::NotCanonical)
        }
    }
}

/// Returns the name that Sigstore has for a hash.
pub(crate) fn algorithm_name(algorithm: Algorithm) -> Result<&'static str, EntryError> {
    match algorithm {
        Algorithm::Sha256 => Ok("SHA2_256"),
        Algorithm::Sha384 => Ok("SHA2_384"),
        Algorithm::Sha512 => Ok("SHA2_512"),
        Algorithm::Blake2b | Algorithm::Blake3 => Err(EntryError::UnknownAlgorithm),
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Wire {
    api_version: String,
    kind: String,
    spec: Spec,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Spec {
    #[serde(rename = "hashedRekordV002")]
    entry: Entry,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    data: Data,
    signature: EntrySignature,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Data {
    algorithm: String,
    digest: Base64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EntrySignature {
    content: Base64,
    verifier: WireVerifier,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WireVerifier {
    key_details: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    public_key: Option<RawBytes>,
    #[serde(
        rename = "x509Certificate",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    certificate: Option<RawBytes>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RawBytes {
    raw_bytes: Base64,
}

/// Why bytes are not an entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EntryError {
    /// Not JSON of this shape, or beyond a limit.
    #[error("the log entry is not accepted: {0}")]
    Json(JsonError),
    /// The same content in other bytes.
    #[error("the log entry is not in canonical form")]
    NotCanonical,
    /// More than [`MAX_ENTRY_BYTES`].
    #[error("the log entry has {found} bytes, the limit is {MAX_ENTRY_BYTES}")]
    TooLarge {
        /// Bytes found.
        found: usize,
    },
    /// The digest is none of SHA-256, SHA-384, SHA-512, or has another length.
    #[error("the log entry's digest is not SHA2_256, SHA2_384 or SHA2_512")]
    UnknownAlgorithm,
    /// Not a `hashedrekord` 0.0.2.
    #[error("a log entry of kind `{kind}` {version} is not supported")]
    UnknownKind {
        /// Kind found.
        kind: String,
        /// Version found.
        version: String,
    },
    /// Neither or both of `publicKey` and `x509Certificate`.
    #[error("a log entry names exactly one of a public key and a certificate")]
    VerifierCount,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> HashedRekord {
        HashedRekord::over(
            b"pae",
            vec![9; 70],
            Verifier::PublicKey(vec![1, 2]),
            Scheme::EcdsaP256,
        )
    }

    #[test]
    fn leaf_is_the_documented_form() {
        let leaf = String::from_utf8(entry().to_leaf().unwrap()).unwrap();
        assert!(leaf.starts_with(
            r#"{"apiVersion":"0.0.2","kind":"hashedrekord","spec":{"hashedRekordV002":{"data":{"algorithm":"SHA2_256","digest":""#
        ), "{leaf}");
        assert!(leaf.ends_with(
            r#""verifier":{"keyDetails":"PKIX_ECDSA_P256_SHA_256","publicKey":{"rawBytes":"AQI="}}}}}}"#
        ), "{leaf}");
        assert_eq!(HashedRekord::parse(leaf.as_bytes()).unwrap(), entry());
    }

    #[test]
    fn other_bytes_of_the_same_content_are_rejected() {
        let leaf = String::from_utf8(entry().to_leaf().unwrap()).unwrap();
        let spaced = leaf.replacen(':', ": ", 1);
        assert_eq!(
            HashedRekord::parse(spaced.as_bytes()),
            Err(EntryError::NotCanonical)
        );
        let alpha = leaf.replace("hashedRekordV002", "hashedRekordV0_0_2");
        assert!(matches!(
            HashedRekord::parse(alpha.as_bytes()),
            Err(EntryError::Json(_))
        ));
        let old = leaf.replace("\"0.0.2\"", "\"0.0.1\"");
        assert!(matches!(
            HashedRekord::parse(old.as_bytes()),
            Err(EntryError::UnknownKind { .. })
        ));
    }
}
