//! DSSE: the envelope around a signed payload.
//!
//! Spec: secure-systems-lab/dsse v1.0, `protocol.md` and `envelope.md`. An envelope may carry
//! several signatures; inside a Sigstore bundle it must carry exactly one, which `trust` checks.
//! A `keyid` is a hint that anybody can write: it never decides anything.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::json::{self, JsonError};
use crate::limits::{Limits, MAX_SIGNATURES};

/// The payload type of in-toto statements.
pub const INTOTO_PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

/// Returns the pre-authentication encoding, the bytes that are signed (DSSE `protocol.md`).
///
/// ```
/// assert_eq!(custos_core::dsse::pae("http://example.com/HelloWorld", b"hello world"),
///     b"DSSEv1 29 http://example.com/HelloWorld 11 hello world");
/// ```
pub fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let head = format!(
        "DSSEv1 {} {} {} ",
        payload_type.len(),
        payload_type,
        payload.len()
    );
    let mut bytes = Vec::with_capacity(head.len().saturating_add(payload.len()));
    bytes.extend_from_slice(head.as_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// A DSSE envelope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct Envelope {
    /// Type of the payload; authenticated.
    pub payload_type: String,
    /// The payload, byte for byte as signed.
    pub payload: Base64,
    /// Signatures, one or more.
    pub signatures: Vec<Signature>,
}

/// One signature of an envelope.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Signature {
    /// Unauthenticated hint; absent, `null` and empty mean the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keyid: Option<String>,
    /// The signature bytes.
    pub sig: Base64,
}

impl Signature {
    /// Returns a signature without a key hint.
    pub fn new(sig: Vec<u8>) -> Self {
        Self {
            keyid: None,
            sig: Base64(sig),
        }
    }

    /// Returns it with a key hint.
    pub fn with_keyid(self, keyid: impl Into<String>) -> Self {
        Self {
            keyid: Some(keyid.into()),
            ..self
        }
    }
}

impl Envelope {
    /// Returns an envelope around a payload that `signatures` were made over.
    pub fn new(
        payload_type: impl Into<String>,
        payload: Vec<u8>,
        signatures: Vec<Signature>,
    ) -> Self {
        Self {
            payload_type: payload_type.into(),
            payload: Base64(payload),
            signatures,
        }
    }

    /// Parses a bare envelope within [`Limits::BUNDLE`].
    pub fn parse(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        let envelope: Self =
            json::from_slice(bytes, &Limits::BUNDLE).map_err(EnvelopeError::Json)?;
        envelope.validated()
    }

    /// Returns the bytes that each signature covers.
    pub fn pae(&self) -> Vec<u8> {
        pae(&self.payload_type, &self.payload.0)
    }

    /// Checks the number of signatures.
    pub fn validated(self) -> Result<Self, EnvelopeError> {
        match self.signatures.len() {
            0 => Err(EnvelopeError::NoSignature),
            found if found > MAX_SIGNATURES => Err(EnvelopeError::TooManySignatures { found }),
            _ => Ok(self),
        }
    }
}

/// Bytes that JSON carries as padded standard base64. The URL alphabet is read too, as
/// protobuf's JSON form asks; non-canonical trailing bits are rejected.
#[derive(Debug, Clone, PartialEq, Eq, Default, Hash)]
#[allow(clippy::exhaustive_structs, reason = "a newtype over bytes")]
pub struct Base64(pub Vec<u8>);

impl Base64 {
    /// Returns the bytes.
    pub fn as_slice(&self) -> &[u8] {
        &self.0
    }
}

impl From<Vec<u8>> for Base64 {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl Serialize for Base64 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl serde::de::Visitor<'_> for Text {
            type Value = Base64;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a base64 string")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Base64, E> {
                // Borrowed where serde_json can, so a large payload is not copied first.
                STANDARD
                    .decode(text)
                    .or_else(|_| base64::engine::general_purpose::URL_SAFE.decode(text))
                    .map(Base64)
                    .map_err(|_| E::custom("not base64"))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// Why bytes are not an envelope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnvelopeError {
    /// Not JSON of this shape, or beyond a limit.
    #[error("the envelope is not accepted: {0}")]
    Json(JsonError),
    /// No signature.
    #[error("the envelope has no signature")]
    NoSignature,
    /// More than [`MAX_SIGNATURES`].
    #[error("the envelope has {found} signatures, the limit is {MAX_SIGNATURES}")]
    TooManySignatures {
        /// Signatures found.
        found: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_hint_may_be_absent_null_or_empty() {
        for keyid in ["", r#""keyid":null,"#, r#""keyid":"","#] {
            let text = format!(
                r#"{{"payloadType":"t","payload":"eA==","signatures":[{{{keyid}"sig":"eA=="}}]}}"#
            );
            Envelope::parse(text.as_bytes()).unwrap();
        }
    }

    #[test]
    fn no_object_may_be_written_as_an_array() {
        crate::json::positional::assert_objects_only(
            r#"{"payloadType":"t","payload":"eA==","signatures":[{"keyid":"k","sig":"eA=="}]}"#,
            |text| Envelope::parse(text.as_bytes()).is_ok(),
        );
    }

    #[test]
    fn shape_is_strict() {
        let parse = |text: &str| Envelope::parse(text.as_bytes()).unwrap_err();
        assert_eq!(
            parse(r#"{"payloadType":"t","payload":"","signatures":[]}"#),
            EnvelopeError::NoSignature
        );
        for bad in [
            r#"{"payloadType":"t","payload":"e===","signatures":[{"sig":""}]}"#,
            r#"{"payloadType":"t","payload":"eB==","signatures":[{"sig":""}]}"#,
            r#"{"payloadType":"t","payload":"eA==","signatures":[{"sig":""}],"more":1}"#,
            r#"{"payload":"eA==","signatures":[{"sig":""}]}"#,
        ] {
            assert!(
                matches!(parse(bad), EnvelopeError::Json(JsonError::Malformed { .. })),
                "{bad}"
            );
        }
    }
}
