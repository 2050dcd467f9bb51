//! Sigstore bundles: a signature with everything needed to check it offline.
//!
//! Spec: sigstore/protobuf-specs `sigstore_bundle.proto`, in its JSON form. Custos writes v0.3 and
//! reads v0.1 to v0.3. These types say what the bytes hold; whether it is true is for `trust`.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::digest::{Algorithm, Digest};
use crate::dsse::{Base64, Envelope};
use crate::entry;
use crate::json::{self, JsonError};
use crate::limits::{Limits, MAX_CERTIFICATES, MAX_LOG_ENTRIES};
use crate::merkle::MAX_PROOF_LEN;

/// A bundle format version, written as its media type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum MediaType {
    /// v0.1: may hold a promise without an inclusion proof.
    V01,
    /// v0.2.
    V02,
    /// v0.3, in either spelling. Written as `application/vnd.dev.sigstore.bundle.v0.3+json`.
    V03,
}

impl MediaType {
    /// Returns the media type that is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V01 => "application/vnd.dev.sigstore.bundle+json;version=0.1",
            Self::V02 => "application/vnd.dev.sigstore.bundle+json;version=0.2",
            Self::V03 => "application/vnd.dev.sigstore.bundle.v0.3+json",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        match text {
            "application/vnd.dev.sigstore.bundle+json;version=0.1" => Some(Self::V01),
            "application/vnd.dev.sigstore.bundle+json;version=0.2" => Some(Self::V02),
            "application/vnd.dev.sigstore.bundle+json;version=0.3"
            | "application/vnd.dev.sigstore.bundle.v0.3+json" => Some(Self::V03),
            _ => None,
        }
    }
}

impl Serialize for MediaType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for MediaType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text)
            .ok_or_else(|| serde::de::Error::custom("not a Sigstore bundle media type"))
    }
}

/// A Sigstore bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct Bundle {
    /// Format version.
    pub media_type: MediaType,
    /// Key or certificate, log entries, timestamps.
    pub verification_material: VerificationMaterial,
    /// The signed statement; exactly one of this and `message_signature` is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dsse_envelope: Option<Envelope>,
    /// A signature over a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_signature: Option<MessageSignature>,
}

impl Bundle {
    /// Returns a v0.3 bundle around an envelope.
    pub fn new(material: VerificationMaterial, envelope: Envelope) -> Self {
        Self {
            media_type: MediaType::V03,
            verification_material: material,
            dsse_envelope: Some(envelope),
            message_signature: None,
        }
    }

    /// Returns a v0.3 bundle around a signature over a file.
    pub fn of_message(material: VerificationMaterial, message: MessageSignature) -> Self {
        Self {
            media_type: MediaType::V03,
            verification_material: material,
            dsse_envelope: None,
            message_signature: Some(message),
        }
    }

    /// Parses a bundle within [`Limits::BUNDLE`].
    pub fn parse(bytes: &[u8]) -> Result<Self, BundleError> {
        let bundle: Self = json::from_slice(bytes, &Limits::BUNDLE).map_err(BundleError::Json)?;
        bundle.check()?;
        Ok(bundle)
    }

    /// Returns the JSON form, compact.
    pub fn to_bytes(&self) -> Result<Vec<u8>, BundleError> {
        json::to_vec(self).map_err(BundleError::Json)
    }

    fn check(&self) -> Result<(), BundleError> {
        match (&self.dsse_envelope, &self.message_signature) {
            (Some(envelope), None) if envelope.signatures.len() != 1 => {
                return Err(BundleError::SignatureCount {
                    found: envelope.signatures.len(),
                });
            }
            (None, None) | (Some(_), Some(_)) => return Err(BundleError::ContentCount),
            _ => {}
        }
        self.verification_material.check()
    }
}

/// Key or certificate, log entries and timestamps of a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct VerificationMaterial {
    /// The signer is a bare key; exactly one of the three kinds is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_key: Option<PublicKeyIdentifier>,
    /// The signer's certificate, leaf first, then its issuers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub x509_certificate_chain: Option<CertificateChain>,
    /// The signer's certificate alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<Certificate>,
    /// Log entries.
    #[serde(default, deserialize_with = "null_is_default")]
    pub tlog_entries: Vec<TransparencyLogEntry>,
    /// RFC 3161 timestamps.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "TimestampVerificationData::is_empty"
    )]
    pub timestamp_verification_data: TimestampVerificationData,
}

impl VerificationMaterial {
    /// Returns material that names a key by a hint.
    pub fn key(hint: impl Into<String>) -> Self {
        let identifier = PublicKeyIdentifier {
            hint: hint.into(),
            ..PublicKeyIdentifier::default()
        };
        Self {
            public_key: Some(identifier),
            ..Self::default()
        }
    }

    /// Returns material with a certificate chain in DER, leaf first.
    pub fn chain(certificates: Vec<Vec<u8>>) -> Self {
        let certificates = certificates
            .into_iter()
            .map(|der| Certificate {
                raw_bytes: Base64(der),
            })
            .collect();
        Self {
            x509_certificate_chain: Some(CertificateChain { certificates }),
            ..Self::default()
        }
    }

    /// Returns material with one certificate in DER, whose issuers the verifier knows (keyless).
    pub fn certificate(der: Vec<u8>) -> Self {
        Self {
            certificate: Some(Certificate {
                raw_bytes: Base64(der),
            }),
            ..Self::default()
        }
    }

    /// Returns it with a log entry added.
    pub fn with_entry(mut self, entry: TransparencyLogEntry) -> Self {
        self.tlog_entries.push(entry);
        self
    }

    /// Returns it with an RFC 3161 timestamp added, the DER of a `TimeStampResp`.
    pub fn with_timestamp(mut self, der: Vec<u8>) -> Self {
        let timestamp = SignedTimestamp {
            signed_timestamp: Base64(der),
        };
        let data = &mut self.timestamp_verification_data;
        data.rfc3161_timestamps.push(timestamp);
        self
    }

    fn check(&self) -> Result<(), BundleError> {
        let kinds = [
            self.public_key.is_some(),
            self.x509_certificate_chain.is_some(),
            self.certificate.is_some(),
        ];
        if kinds.into_iter().filter(|there| *there).count() != 1 {
            return Err(BundleError::MaterialCount);
        }
        if let Some(chain) = &self.x509_certificate_chain {
            match chain.certificates.len() {
                0 => return Err(BundleError::MaterialCount),
                found if found > MAX_CERTIFICATES => {
                    return Err(BundleError::TooManyCertificates { found });
                }
                _ => {}
            }
        }
        if self.tlog_entries.len() > MAX_LOG_ENTRIES {
            return Err(BundleError::TooManyLogEntries {
                found: self.tlog_entries.len(),
            });
        }
        for proof in self
            .tlog_entries
            .iter()
            .filter_map(|entry| entry.inclusion_proof.as_ref())
        {
            if proof.hashes.len() > MAX_PROOF_LEN {
                return Err(BundleError::ProofTooLong {
                    found: proof.hashes.len(),
                });
            }
        }
        Ok(())
    }
}

/// Names a key by a hint that proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct PublicKeyIdentifier {
    /// Free text; OMS writes hex SHA-256 of the PEM text.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hint: String,
    /// The key itself, DER by the specification; OMS bundles before 1.1 hold its PEM text here.
    /// Never a source of trust.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw_bytes: Option<Base64>,
    /// `PublicKeyDetails` name beside `raw_bytes`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_details: Option<String>,
}

/// A chain, leaf first.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct CertificateChain {
    /// The certificates.
    pub certificates: Vec<Certificate>,
}

/// An X.509 certificate in DER.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct Certificate {
    /// DER.
    pub raw_bytes: Base64,
}

/// A signature over a file's bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct MessageSignature {
    /// Digest of the file; a hint, the file itself is hashed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_digest: Option<MessageDigest>,
    /// The signature.
    pub signature: Base64,
}

impl MessageSignature {
    /// Returns a signature over the file with this digest. A digest that Sigstore has no name for
    /// is left out.
    pub fn new(digest: &Digest, signature: Vec<u8>) -> Self {
        let named = entry::algorithm_name(digest.algorithm()).ok();
        Self {
            message_digest: named.map(|name| MessageDigest {
                algorithm: name.to_owned(),
                digest: Base64(digest.as_bytes().to_vec()),
            }),
            signature: Base64(signature),
        }
    }

    /// Returns the hash that the bundle says was signed: SHA-256 where it says nothing; `None` for
    /// one that nobody knows.
    pub fn algorithm(&self) -> Option<Algorithm> {
        let Some(claimed) = &self.message_digest else {
            return Some(Algorithm::Sha256);
        };
        [Algorithm::Sha256, Algorithm::Sha384, Algorithm::Sha512]
            .into_iter()
            .find(|algorithm| entry::algorithm_name(*algorithm) == Ok(claimed.algorithm.as_str()))
    }
}

/// A digest with Sigstore's algorithm name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct MessageDigest {
    /// `SHA2_256`, `SHA2_384` or `SHA2_512`.
    pub algorithm: String,
    /// The digest.
    pub digest: Base64,
}

/// An entry of a transparency log with its proof (`sigstore_rekor.proto`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct TransparencyLogEntry {
    /// Position in the log; proto JSON leaves out 0.
    #[serde(default)]
    pub log_index: Int64,
    /// Which log.
    pub log_id: LogId,
    /// Kind of the entry's body.
    pub kind_version: KindVersion,
    /// Seconds since the epoch by Rekor v1; Rekor v2 and Custos write none.
    #[serde(default, skip_serializing_if = "Int64::is_zero")]
    pub integrated_time: Int64,
    /// Rekor v1's signed entry timestamp.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inclusion_promise: Option<InclusionPromise>,
    /// Proof against a signed checkpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inclusion_proof: Option<InclusionProof>,
    /// The leaf's bytes.
    pub canonicalized_body: Base64,
}

impl TransparencyLogEntry {
    /// Returns a Custos entry: a leaf of `kind`, at `proof.log_index` of the log with this
    /// untruncated key id.
    pub fn new(
        log_key_id: Vec<u8>,
        kind: KindVersion,
        leaf: Vec<u8>,
        proof: InclusionProof,
    ) -> Self {
        Self {
            log_index: proof.log_index,
            log_id: LogId {
                key_id: Base64(log_key_id),
            },
            kind_version: kind,
            integrated_time: Int64(0),
            inclusion_promise: None,
            inclusion_proof: Some(proof),
            canonicalized_body: Base64(leaf),
        }
    }
}

impl TransparencyLogEntry {
    /// Returns it as Rekor v1 gives it: at this index of all its shards, with the time and the
    /// promise that it signed.
    pub fn promised(self, log_index: u64, integrated_time: u64, promise: Vec<u8>) -> Self {
        Self {
            log_index: Int64::from_u64(log_index),
            integrated_time: Int64::from_u64(integrated_time),
            inclusion_promise: Some(InclusionPromise {
                signed_entry_timestamp: Base64(promise),
            }),
            ..self
        }
    }
}

/// Names a log by its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct LogId {
    /// Rekor v1: SHA-256 of the key's DER. Rekor v2: the untruncated checkpoint key id.
    pub key_id: Base64,
}

/// Kind and version of a log entry's body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct KindVersion {
    /// Such as `hashedrekord`.
    pub kind: String,
    /// Such as `0.0.2`.
    pub version: String,
}

impl KindVersion {
    /// Returns a kind and version.
    pub fn new(kind: impl Into<String>, version: impl Into<String>) -> Self {
        Self {
            kind: kind.into(),
            version: version.into(),
        }
    }
}

/// Rekor v1's promise to include an entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct InclusionPromise {
    /// Signature over the entry.
    pub signed_entry_timestamp: Base64,
}

/// An inclusion proof. `root_hash` and `tree_size` only repeat what the checkpoint says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct InclusionProof {
    /// Leaf position in the tree of the checkpoint.
    #[serde(default)]
    pub log_index: Int64,
    /// Root of the tree; unverified duplicate.
    pub root_hash: Base64,
    /// Size of the tree; unverified duplicate.
    pub tree_size: Int64,
    /// Sibling hashes, leaf's sibling first.
    #[serde(default)]
    pub hashes: Vec<Base64>,
    /// The signed checkpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<Checkpoint>,
}

impl InclusionProof {
    /// Returns a proof of `index` against a checkpoint of this size and root.
    pub fn new(index: u64, size: u64, root: [u8; 32], hashes: &[[u8; 32]]) -> Self {
        Self {
            log_index: Int64::from_u64(index),
            root_hash: Base64(root.to_vec()),
            tree_size: Int64::from_u64(size),
            hashes: hashes.iter().map(|hash| Base64(hash.to_vec())).collect(),
            checkpoint: None,
        }
    }

    /// Returns it with the signed checkpoint's text.
    pub fn with_checkpoint(self, envelope: impl Into<String>) -> Self {
        Self {
            checkpoint: Some(Checkpoint {
                envelope: envelope.into(),
            }),
            ..self
        }
    }
}

/// A signed checkpoint as text (C2SP tlog-checkpoint).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Checkpoint {
    /// The signed note.
    pub envelope: String,
}

/// RFC 3161 timestamps of a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct TimestampVerificationData {
    /// DER `TimeStampResp`, each over the signature.
    #[serde(default)]
    pub rfc3161_timestamps: Vec<SignedTimestamp>,
}

impl TimestampVerificationData {
    /// Returns true if no timestamp is there.
    pub fn is_empty(&self) -> bool {
        self.rfc3161_timestamps.is_empty()
    }
}

/// One RFC 3161 response.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct SignedTimestamp {
    /// DER.
    pub signed_timestamp: Base64,
}

/// A 64-bit integer that proto JSON writes as a string and reads as a string or a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, PartialOrd, Ord)]
#[allow(clippy::exhaustive_structs, reason = "a newtype over i64")]
pub struct Int64(pub i64);

impl Int64 {
    /// Returns the value of `n`, or the largest one; no log has that many entries.
    pub fn from_u64(n: u64) -> Self {
        Self(i64::try_from(n).unwrap_or(i64::MAX))
    }

    /// Returns the value if it is not negative.
    pub fn to_u64(self) -> Option<u64> {
        u64::try_from(self.0).ok()
    }

    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
    fn is_zero(&self) -> bool {
        self.0 == 0
    }
}

impl Serialize for Int64 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Int64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Number;
        impl serde::de::Visitor<'_> for Number {
            type Value = Int64;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an integer or its decimal text")
            }

            fn visit_i64<E: serde::de::Error>(self, n: i64) -> Result<Int64, E> {
                Ok(Int64(n))
            }

            fn visit_u64<E: serde::de::Error>(self, n: u64) -> Result<Int64, E> {
                i64::try_from(n)
                    .map(Int64)
                    .map_err(|_| E::custom("beyond 64 bits"))
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Int64, E> {
                let number: i64 = text
                    .parse()
                    .map_err(|_| E::custom("not a decimal integer"))?;
                // One spelling a number: no plus sign, no leading zero.
                if number.to_string() == text {
                    Ok(Int64(number))
                } else {
                    Err(E::custom("not in its shortest decimal form"))
                }
            }
        }
        deserializer.deserialize_any(Number)
    }
}

fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

/// Why bytes are not a bundle.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// Neither or both of `dsseEnvelope` and `messageSignature`.
    #[error("a bundle holds exactly one of `dsseEnvelope` and `messageSignature`")]
    ContentCount,
    /// Not JSON of this shape, or beyond a limit.
    #[error("the bundle is not accepted: {0}")]
    Json(JsonError),
    /// None or several of `publicKey`, `x509CertificateChain`, `certificate`.
    #[error("a bundle holds exactly one of `publicKey`, `x509CertificateChain`, `certificate`")]
    MaterialCount,
    /// An inclusion proof longer than any tree needs.
    #[error("an inclusion proof has {found} hashes, the limit is {MAX_PROOF_LEN}")]
    ProofTooLong {
        /// Hashes found.
        found: usize,
    },
    /// A DSSE envelope in a bundle has exactly one signature.
    #[error("the envelope in a bundle has exactly one signature, this one has {found}")]
    SignatureCount {
        /// Signatures found.
        found: usize,
    },
    /// More than [`MAX_CERTIFICATES`].
    #[error("{found} certificates, the limit is {MAX_CERTIFICATES}")]
    TooManyCertificates {
        /// Certificates found.
        found: usize,
    },
    /// More than [`MAX_LOG_ENTRIES`].
    #[error("{found} log entries, the limit is {MAX_LOG_ENTRIES}")]
    TooManyLogEntries {
        /// Entries found.
        found: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dsse::Signature;
    use crate::json::positional::assert_objects_only;

    fn bundle() -> Bundle {
        let envelope = Envelope::new("t", b"{}".to_vec(), vec![Signature::new(vec![1, 2])]);
        let proof = InclusionProof::new(0, 1, [7; 32], &[]).with_checkpoint("note");
        let entry = TransparencyLogEntry::new(
            vec![1; 32],
            KindVersion::new("hashedrekord", "0.0.2"),
            b"leaf".to_vec(),
            proof,
        );
        Bundle::new(
            VerificationMaterial::key("hint").with_entry(entry),
            envelope,
        )
    }

    #[test]
    fn round_trip() {
        let bytes = bundle().to_bytes().unwrap();
        assert_eq!(Bundle::parse(&bytes).unwrap(), bundle());
    }

    #[test]
    fn no_object_may_be_written_as_an_array() {
        let accepts = |text: &str| Bundle::parse(text.as_bytes()).is_ok();
        let text = |bundle: &Bundle| String::from_utf8(bundle.to_bytes().unwrap()).unwrap();
        assert_objects_only(&text(&bundle()), accepts);
        let mut full = bundle();
        let material = &mut full.verification_material;
        *material = VerificationMaterial::chain(vec![vec![1], vec![2]]);
        material.timestamp_verification_data.rfc3161_timestamps = vec![SignedTimestamp {
            signed_timestamp: Base64(vec![3]),
        }];
        material.tlog_entries = bundle().verification_material.tlog_entries;
        for entry in &mut material.tlog_entries {
            entry.inclusion_promise = Some(InclusionPromise {
                signed_entry_timestamp: Base64(vec![4]),
            });
        }
        full.dsse_envelope = None;
        full.message_signature = Some(MessageSignature {
            message_digest: Some(MessageDigest {
                algorithm: "SHA2_256".to_owned(),
                digest: Base64(vec![5]),
            }),
            signature: Base64(vec![6]),
        });
        assert_objects_only(&text(&full), accepts);
    }

    #[test]
    fn exactly_one_of_each_kind() {
        let mut both = bundle();
        both.verification_material.certificate = Some(Certificate {
            raw_bytes: Base64(vec![]),
        });
        assert_eq!(
            Bundle::parse(&both.to_bytes().unwrap()),
            Err(BundleError::MaterialCount)
        );
        let mut two = bundle();
        if let Some(envelope) = &mut two.dsse_envelope {
            envelope.signatures.push(Signature::new(vec![3]));
        }
        assert_eq!(
            Bundle::parse(&two.to_bytes().unwrap()),
            Err(BundleError::SignatureCount { found: 2 })
        );
        let none = Bundle {
            dsse_envelope: None,
            ..bundle()
        };
        assert_eq!(
            Bundle::parse(&none.to_bytes().unwrap()),
            Err(BundleError::ContentCount)
        );
    }

    #[test]
    fn integers_have_one_spelling() {
        let parse = |text: &str| serde_json::from_str::<Int64>(text);
        assert_eq!(parse("\"12\"").unwrap(), Int64(12));
        assert_eq!(parse("12").unwrap(), Int64(12));
        for bad in [
            "\"+12\"",
            "\"012\"",
            "\"1e3\"",
            "1.5",
            "\"\"",
            "18446744073709551615",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
