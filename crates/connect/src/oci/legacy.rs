//! Signatures in the older form of cosign
//! ([signature specification](https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md)):
//! a layer holds the signed bytes, its annotations hold the signature and what vouches for it.
//!
//! Such a layer is turned into a bundle v0.1 of the same content, so that it is verified by the
//! same function as any other bundle. A `.sig` layer is signed as plain bytes, and names the image
//! inside of them: [`SimpleSigning::bind`] ties the two together.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use custos_core::bundle::{self, Bundle};
use custos_core::crypto::Pem;
use custos_core::digest::{Algorithm, Digest, DigestSet};
use custos_core::json;
use custos_core::limits::Limits;
use custos_trust::Verified;
use custos_trust::verify::{Certificate, MessageSigned};
use serde::Deserialize;
use serde_json::{Value, json};

use super::manifest::Annotations;

/// Media type of a layer that holds a payload of the kind "simple signing".
pub(super) const SIMPLE_SIGNING: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
/// Media type of a layer that holds a DSSE envelope.
pub(super) const ENVELOPE: &str = "application/vnd.dsse.envelope.v1+json";

const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
const CERTIFICATE: &str = "dev.sigstore.cosign/certificate";
const CHAIN: &str = "dev.sigstore.cosign/chain";
const REKOR: &str = "dev.sigstore.cosign/bundle";
const TIMESTAMP: &str = "dev.sigstore.cosign/rfc3161timestamp";

/// What the payload of cosign calls itself.
const PAYLOAD_TYPE: &str = "cosign container image signature";

/// What a verified payload of the kind "simple signing" says
/// ([format](https://github.com/containers/image/blob/main/docs/containers-signature.5.md)).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SimpleSigning {
    /// The name under which the image was signed; the signer's word, and no more.
    pub docker_reference: String,
}

impl SimpleSigning {
    /// Returns the payload that says that `image` was signed under the name `docker_reference`.
    pub fn payload(docker_reference: &str, image: &Digest) -> Vec<u8> {
        json!({
            "critical": {
                "identity": {"docker-reference": docker_reference},
                "image": {"docker-manifest-digest": image.to_string()},
                "type": PAYLOAD_TYPE,
            },
            "optional": null,
        })
        .to_string()
        .into_bytes()
    }

    /// Returns the digests that a signature over `payload` is about.
    pub fn digests(payload: &[u8]) -> DigestSet {
        let mut set = DigestSet::new();
        for algorithm in [Algorithm::Sha256, Algorithm::Sha384, Algorithm::Sha512] {
            set.insert(&algorithm.digest(payload));
        }
        set
    }

    /// Returns what `payload` says, if it is what was signed, and says that it is about `image`.
    pub fn bind(
        verified: &Verified<MessageSigned>,
        payload: &[u8],
        image: &Digest,
    ) -> Result<Self, SimpleSigningError> {
        let signed = verified.content().digest;
        if signed.algorithm().digest(payload) != signed {
            return Err(SimpleSigningError::OtherPayload);
        }
        let payload = parse(payload)?;
        let critical = payload.critical;
        if critical.kind != PAYLOAD_TYPE {
            return Err(SimpleSigningError::Kind {
                found: critical.kind.chars().take(80).collect(),
            });
        }
        let found = critical.image.docker_manifest_digest;
        if found != image.to_string() {
            return Err(SimpleSigningError::OtherImage {
                found: found.chars().take(140).collect(),
            });
        }
        Ok(Self {
            docker_reference: critical.identity.docker_reference,
        })
    }
}

fn parse(payload: &[u8]) -> Result<Payload, SimpleSigningError> {
    json::from_slice(payload, &Limits::SMALL).map_err(|_| SimpleSigningError::Malformed)
}

// Members that are not known are not passed over: `critical` means what the word says.
#[derive(Deserialize)]
struct Payload {
    critical: Critical,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Critical {
    identity: Identity,
    image: Image,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Identity {
    #[serde(default)]
    docker_reference: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Image {
    docker_manifest_digest: String,
}

/// Why a verified payload says nothing about the image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SimpleSigningError {
    /// Another kind of payload.
    #[error("the signed payload is a `{found}`, not a `{PAYLOAD_TYPE}`")]
    Kind {
        /// What it calls itself.
        found: String,
    },
    /// Not a payload.
    #[error("the signed payload is not of the kind `simple signing`")]
    Malformed,
    /// Signed, but about another image.
    #[error("the signed payload is about {found}")]
    OtherImage {
        /// The digest in the payload.
        found: String,
    },
    /// Not the payload that was signed.
    #[error("this is not the payload that was signed")]
    OtherPayload,
}

/// Returns the bundle that says the same as a `.sig` layer.
pub(super) fn signature_bundle(annotations: &Annotations) -> Result<Vec<u8>, LegacyFault> {
    let signature = annotations
        .get(SIGNATURE)
        .filter(|signature| {
            STANDARD
                .decode(signature)
                .is_ok_and(|bytes| !bytes.is_empty())
        })
        .ok_or(LegacyFault::Annotation(SIGNATURE))?;
    let mut bundle = material(annotations)?;
    // No layer says its hash. For P-384 and P-521 it is SHA-256 by cosign 1 and 2, and the one of
    // the curve by cosign 3: a bundle that names none is verified with either.
    set(
        &mut bundle,
        "messageSignature",
        json!({"signature": signature}),
    );
    Ok(bundle.to_string().into_bytes())
}

/// Returns the bundle that says the same as an `.att` layer; `None` if the envelope stands alone.
pub(super) fn attestation_bundle(
    envelope: &[u8],
    annotations: &Annotations,
) -> Result<Option<Vec<u8>>, LegacyFault> {
    let alone = [CERTIFICATE, CHAIN, REKOR, TIMESTAMP]
        .iter()
        .all(|name| !annotations.contains_key(*name));
    if alone {
        return Ok(None);
    }
    let limits = Limits::BUNDLE;
    let envelope: Value = json::from_slice(envelope, &limits).map_err(|_| LegacyFault::Envelope)?;
    let mut bundle = material(annotations)?;
    set(&mut bundle, "dsseEnvelope", envelope);
    Ok(Some(bundle.to_string().into_bytes()))
}

/// Returns the annotations of a `.sig` layer that say the same as a bundle over its payload, but for
/// the entry of a log: there is a form for those of Rekor v1 alone. `None` if it is no such bundle.
pub(super) fn signature_annotations(bundle: &[u8]) -> Option<Annotations> {
    let bundle = Bundle::parse(bundle).ok()?;
    let signature = &bundle.message_signature.as_ref()?.signature;
    let material = &bundle.verification_material;
    let mut annotations = Annotations::new();
    let mut add = |name: &str, value: String| annotations.insert(name.to_owned(), value);
    add(SIGNATURE, STANDARD.encode(signature.as_slice()));
    let pem = |one: &bundle::Certificate| {
        Pem::new("CERTIFICATE", one.raw_bytes.as_slice().to_vec()).to_text()
    };
    let chain = material.x509_certificate_chain.as_ref();
    let certificates = chain.map_or(&[][..], |chain| &chain.certificates);
    if let Some((leaf, issuers)) = certificates.split_first() {
        add(CERTIFICATE, pem(leaf));
        if !issuers.is_empty() {
            add(CHAIN, issuers.iter().map(pem).collect());
        }
    }
    let stamps = &material.timestamp_verification_data.rfc3161_timestamps;
    if let Some(stamp) = stamps.first() {
        let text = STANDARD.encode(stamp.signed_timestamp.as_slice());
        let stamp = json!({"SignedRFC3161Timestamp": text});
        add(TIMESTAMP, stamp.to_string());
    }
    Some(annotations)
}

fn set(object: &mut Value, name: &str, member: Value) {
    if let Some(object) = object.as_object_mut() {
        object.insert(name.to_owned(), member);
    }
}

fn material(annotations: &Annotations) -> Result<Value, LegacyFault> {
    let mut material = match annotations.get(CERTIFICATE).filter(|pem| !pem.is_empty()) {
        None => json!({"publicKey": {}}),
        Some(leaf) => json!({"x509CertificateChain": {"certificates": chain(leaf, annotations)?}}),
    };
    set(
        &mut material,
        "tlogEntries",
        match annotations.get(REKOR) {
            None => json!([]),
            Some(text) => json!([entry(text)?]),
        },
    );
    if let Some(text) = annotations.get(TIMESTAMP) {
        let fault = LegacyFault::Annotation(TIMESTAMP);
        let stamp: Timestamp =
            json::from_slice(text.as_bytes(), &Limits::SMALL).map_err(|_| fault)?;
        set(
            &mut material,
            "timestampVerificationData",
            json!({
                "rfc3161Timestamps": [{"signedTimestamp": stamp.signed_rfc3161_timestamp}],
            }),
        );
    }
    Ok(json!({
        "mediaType": "application/vnd.dev.sigstore.bundle+json;version=0.1",
        "verificationMaterial": material,
    }))
}

// Roots of the chain prove nothing and are not part of a bundle: a certificate that issued itself.
fn chain(leaf: &str, annotations: &Annotations) -> Result<Vec<Value>, LegacyFault> {
    let issuers = annotations
        .get(CHAIN)
        .map(String::as_str)
        .unwrap_or_default();
    let read = |text: &str, name| Pem::parse_many(text).map_err(|_| LegacyFault::Annotation(name));
    let leaf = read(leaf, CERTIFICATE)?;
    let issuers = read(issuers, CHAIN)?;
    let one = |pem: &Pem| json!({"rawBytes": STANDARD.encode(pem.bytes())});
    if leaf.len() != 1
        || leaf
            .iter()
            .chain(&issuers)
            .any(|pem| pem.label() != "CERTIFICATE")
    {
        return Err(LegacyFault::Annotation(CERTIFICATE));
    }
    let is_root =
        |pem: &&Pem| Certificate::parse(pem.bytes()).is_ok_and(|it| it.subject() == it.issuer());
    let issuers = issuers.iter().filter(|pem| !is_root(pem));
    Ok(leaf.iter().chain(issuers).map(one).collect())
}

#[derive(Deserialize)]
struct Timestamp {
    #[serde(rename = "SignedRFC3161Timestamp")]
    signed_rfc3161_timestamp: String,
}

#[derive(Deserialize)]
struct Rekor {
    #[serde(rename = "SignedEntryTimestamp", default)]
    signed_entry_timestamp: Option<String>,
    #[serde(rename = "Payload")]
    payload: RekorPayload,
}

#[derive(Deserialize)]
struct RekorPayload {
    body: String,
    #[serde(rename = "integratedTime")]
    integrated_time: i64,
    #[serde(rename = "logIndex")]
    log_index: i64,
    #[serde(rename = "logID")]
    log_id: String,
}

#[derive(Deserialize)]
struct Body {
    kind: String,
    #[serde(rename = "apiVersion")]
    version: String,
}

fn entry(text: &str) -> Result<Value, LegacyFault> {
    let fault = || LegacyFault::Annotation(REKOR);
    let rekor: Rekor = json::from_slice(text.as_bytes(), &Limits::SMALL).map_err(|_| fault())?;
    let payload = rekor.payload;
    let body = STANDARD.decode(&payload.body).map_err(|_| fault())?;
    let kind: Body = json::from_slice(&body, &Limits::SMALL).map_err(|_| fault())?;
    let log_id = hex::decode(&payload.log_id).map_err(|_| fault())?;
    let mut entry = json!({
        "logIndex": payload.log_index.to_string(),
        "logId": {"keyId": STANDARD.encode(log_id)},
        "kindVersion": {"kind": kind.kind, "version": kind.version},
        "integratedTime": payload.integrated_time.to_string(),
        "canonicalizedBody": payload.body,
    });
    if let Some(promise) = rekor.signed_entry_timestamp {
        set(
            &mut entry,
            "inclusionPromise",
            json!({"signedEntryTimestamp": promise}),
        );
    }
    Ok(entry)
}

/// What of a layer is not in the form of cosign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LegacyFault {
    Annotation(&'static str),
    Envelope,
}

pub(crate) fn fuzz_simple_signing(data: &[u8]) {
    let _ = parse(data);
    let text = String::from_utf8_lossy(data).into_owned();
    let mut annotations = Annotations::new();
    annotations.insert(SIGNATURE.to_owned(), "AAAA".to_owned());
    for name in [CERTIFICATE, CHAIN, REKOR, TIMESTAMP] {
        annotations.insert(name.to_owned(), text.clone());
        if let Ok(bundle) = signature_bundle(&annotations) {
            // It need not be a good bundle, but it is one document of JSON.
            assert!(json::check(&bundle, &Limits::BUNDLE).is_ok());
        }
        annotations.remove(name);
    }
}
