//! What a Sigstore trusted root says about the services that sign: whose certificates, promises,
//! timestamps and log entries are believed.
//!
//! Spec: sigstore/protobuf-specs, `sigstore_trustroot.proto`, `TrustedRoot`. Everything here is
//! asked before a signature leaves the machine; a verifier asks the same again, with its own root.

use std::fmt;
use std::time::Duration;

use custos_core::clock::Timestamp;
use custos_core::crypto::PublicKey;
use custos_core::json;
use custos_core::limits::Limits;
use custos_log::checkpoint::SignedCheckpoint;
use custos_log::note::VerifierKey;
use custos_log::proof::TlogProof;
use custos_log::recorder::{RecordError, Recorded};
use rustls_pki_types::{CertificateDer, UnixTime};
use sigstore_verify::trust_root;
use sigstore_verify::tsa::{TsaAuthority, verify_timestamp_for_authority};
use sigstore_verify::types::{SignatureBytes, TimeRange, TimestampToken};
use webpki::aws_lc_rs as algorithms;
use webpki::{EndEntityCert, KeyUsage};
use x509_cert::der::{Decode as _, Encode as _};

use super::sct::{self, CertificateLog};
use crate::root::TrustRootError;
use crate::verify::{Certificate, CertificateFault};

/// `id-kp-codeSigning`, 1.3.6.1.5.5.7.3.3, as webpki wants it.
const CODE_SIGNING: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 3];

/// Fulcio's extensions: the issuer as text, and as it was first written.
const ISSUER: &str = "1.3.6.1.4.1.57264.1.8";
const LEGACY_ISSUER: &str = "1.3.6.1.4.1.57264.1.1";

/// Services that are believed.
pub struct TrustedServices {
    root: trust_root::TrustedRoot,
    timestamps: Vec<TsaAuthority>,
}

/// A certificate of a trusted authority.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Vouched {
    /// Whom it names.
    pub identity: String,
    /// Who knew that.
    pub issuer: String,
    /// When it ends.
    pub ends: Timestamp,
}

impl TrustedServices {
    /// Reads a `trusted_root.json`, within the limits that verification has.
    pub fn parse(bytes: &[u8]) -> Result<Self, TrustRootError> {
        json::check(bytes, &Limits::SMALL).map_err(TrustRootError::Json)?;
        let text = std::str::from_utf8(bytes)
            .map_err(|_| TrustRootError::Sigstore("not UTF-8".to_owned()))?;
        let root = trust_root::TrustedRoot::from_json(text)
            .map_err(|error| TrustRootError::Sigstore(error.to_string()))?;
        Ok(Self {
            timestamps: root.tsa_authorities(),
            root,
        })
    }

    /// Checks that `leaf` is a certificate for `key` which a trusted authority issued, valid at
    /// `now`, promised to a trusted certificate log.
    pub fn vouch(&self, leaf: &[u8], key: &PublicKey, now: Timestamp) -> Result<Vouched, Distrust> {
        let certificate = Certificate::parse(leaf).map_err(Distrust::Certificate)?;
        if certificate.key() != Some(key) {
            return Err(Distrust::OtherKey);
        }
        let issuer_spki = self.issued(leaf, now)?;
        sct::verified(leaf, &issuer_spki, &self.certificate_logs(now))
            .ok_or(Distrust::NotPromised)?;
        let (_, ends) = certificate.validity();
        let identities = certificate.identities().map_err(Distrust::Certificate)?;
        let [identity] = identities.as_slice() else {
            return Err(Distrust::IdentityCount {
                found: identities.len(),
            });
        };
        Ok(Vouched {
            identity: identity.clone(),
            issuer: oidc_issuer(leaf).ok_or(Distrust::NoIssuer)?,
            ends,
        })
    }

    /// Checks that a trusted authority stamped `signature`, and returns when.
    pub fn stamped(&self, response: &[u8], signature: &[u8]) -> Result<Timestamp, Distrust> {
        let token = TimestampToken::new(response.to_vec());
        let signature = SignatureBytes::new(signature.to_vec());
        let mut last = None;
        for authority in &self.timestamps {
            match verify_timestamp_for_authority(&token, &signature, authority) {
                Ok(time) => return Ok(Timestamp::from_micros(time.as_microsecond())),
                Err(error) => last = Some(error.to_string()),
            }
        }
        let why = last.unwrap_or_else(|| "the trusted root names no authority".to_owned());
        Err(Distrust::Timestamp(why))
    }

    /// Checks that a trusted log has `leaf` under a checkpoint of its own, by the key that the
    /// trusted root names for that very origin.
    pub fn logged(
        &self,
        leaf: &[u8],
        proof: &TlogProof,
        now: Timestamp,
    ) -> Result<Recorded, Distrust> {
        let checkpoint = SignedCheckpoint::parse(proof.checkpoint.as_bytes())
            .map_err(|error| Distrust::Log(error.to_string()))?;
        let key = self.log_key(&checkpoint.claim().origin, now)?;
        Recorded::verify(leaf, proof, &key)
            .map_err(|error: RecordError| Distrust::Log(error.to_string()))
    }

    // Ed25519 ids are bound to the origin; those of ECDSA are of the key alone (C2SP signed-note).
    fn log_key(&self, origin: &str, now: Timestamp) -> Result<VerifierKey, Distrust> {
        let unknown = || Distrust::UnknownLog {
            origin: origin.to_owned(),
        };
        self.root
            .tlogs
            .iter()
            .filter(|log| counts(log.public_key.valid_for.as_ref(), now))
            .find_map(|log| {
                let key = PublicKey::from_spki_der(log.public_key.raw_bytes.as_bytes()).ok()?;
                let key = VerifierKey::new(origin, key).ok()?;
                (key.full_id().as_slice() == log.log_id.key_id.as_bytes()).then_some(key)
            })
            .ok_or_else(unknown)
    }

    // The key of whoever issued it.
    fn issued(&self, leaf: &[u8], now: Timestamp) -> Result<Vec<u8>, Distrust> {
        let mut last = CertificateFault::NoAnchor;
        for authority in &self.root.certificate_authorities {
            if !counts(authority.valid_for.as_ref(), now) {
                continue;
            }
            let chain: Vec<&[u8]> = authority
                .cert_chain
                .certificates
                .iter()
                .map(|certificate| certificate.raw_bytes.as_bytes())
                .collect();
            match leads(leaf, &chain, now) {
                Ok(()) => return issuer_key(&chain).ok_or(Distrust::Certificate(last)),
                Err(fault) => last = fault,
            }
        }
        Err(Distrust::Certificate(last))
    }

    fn certificate_logs(&self, now: Timestamp) -> Vec<CertificateLog> {
        self.root
            .ctlogs
            .iter()
            .filter(|log| counts(log.public_key.valid_for.as_ref(), now))
            .filter_map(|log| {
                Some(CertificateLog {
                    id: log.log_id.key_id.as_bytes().to_vec(),
                    key: PublicKey::from_spki_der(log.public_key.raw_bytes.as_bytes()).ok()?,
                })
            })
            .collect()
    }
}

impl fmt::Debug for TrustedServices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "TrustedServices({} authorities, {} logs)",
            self.root.certificate_authorities.len(),
            self.root.tlogs.len()
        )
    }
}

fn counts(range: Option<&TimeRange>, now: Timestamp) -> bool {
    range.is_none_or(|range| {
        let micros = now.as_micros();
        range.start.as_microsecond() <= micros
            && range.end.is_none_or(|end| micros <= end.as_microsecond())
    })
}

// The first certificate of the chain issued the leaf; the last one is the root.
fn leads(leaf: &[u8], chain: &[&[u8]], now: Timestamp) -> Result<(), CertificateFault> {
    let malformed = |_| CertificateFault::Malformed;
    let (root, links) = chain.split_last().ok_or(CertificateFault::NoAnchor)?;
    let root = CertificateDer::from(*root);
    let anchor = webpki::anchor_from_trusted_cert(&root).map_err(malformed)?;
    let links: Vec<CertificateDer<'_>> = links.iter().map(|der| (*der).into()).collect();
    let leaf = CertificateDer::from(leaf);
    let seconds = u64::try_from(now.as_seconds()).map_err(|_| CertificateFault::Malformed)?;
    EndEntityCert::try_from(&leaf)
        .map_err(malformed)?
        .verify_for_usage(
            algorithms_of_authorities(),
            &[anchor],
            &links,
            UnixTime::since_unix_epoch(Duration::from_secs(seconds)),
            KeyUsage::required(CODE_SIGNING),
            None,
            None,
        )
        .map(|_| ())
        .map_err(|error| CertificateFault::from_webpki(&error))
}

fn algorithms_of_authorities()
-> &'static [&'static dyn rustls_pki_types::SignatureVerificationAlgorithm] {
    static ALL: &[&dyn rustls_pki_types::SignatureVerificationAlgorithm] = &[
        algorithms::ECDSA_P256_SHA256,
        algorithms::ECDSA_P384_SHA256,
        algorithms::ECDSA_P384_SHA384,
        algorithms::ECDSA_P521_SHA512,
        algorithms::ED25519,
        algorithms::RSA_PKCS1_2048_8192_SHA256,
        algorithms::RSA_PKCS1_2048_8192_SHA384,
        algorithms::RSA_PKCS1_2048_8192_SHA512,
    ];
    ALL
}

fn issuer_key(chain: &[&[u8]]) -> Option<Vec<u8>> {
    let issuer = x509_cert::Certificate::from_der(chain.first()?).ok()?;
    issuer.tbs_certificate.subject_public_key_info.to_der().ok()
}

fn oidc_issuer(leaf: &[u8]) -> Option<String> {
    let certificate = x509_cert::Certificate::from_der(leaf).ok()?;
    let extensions = certificate.tbs_certificate.extensions?;
    let find = |oid: &str| {
        let mut found = extensions
            .iter()
            .filter(|one| one.extn_id.to_string() == oid);
        found.next().map(|one| one.extn_value.as_bytes())
    };
    match find(ISSUER) {
        Some(der) => String::from_der(der).ok(),
        None => String::from_utf8(find(LEGACY_ISSUER)?.to_vec()).ok(),
    }
}

/// Why an answer of a service is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Distrust {
    /// The certificate, or its way to a trusted authority.
    #[error("the certificate: {0}")]
    Certificate(CertificateFault),
    /// Not one identity.
    #[error("the certificate names {found} identities instead of one")]
    IdentityCount {
        /// How many.
        found: usize,
    },
    /// The entry or its proof.
    #[error("the log entry: {0}")]
    Log(String),
    /// Nobody says where the identity is from.
    #[error("the certificate does not say who issued the token")]
    NoIssuer,
    /// No trusted certificate log promised to take it.
    #[error("no trusted certificate log promised to log the certificate (SCT)")]
    NotPromised,
    /// The certificate is about somebody else.
    #[error("the certificate is for `{found}` of {issuer}, and the token is not")]
    OtherIdentity {
        /// Whom the certificate names.
        found: String,
        /// Who knew that.
        issuer: String,
    },
    /// The certificate is for another key.
    #[error("the certificate is for another key than the one that was sent")]
    OtherKey,
    /// The log holds another leaf than the one that was sent.
    #[error("the log answers for another entry than the one that was sent")]
    OtherLeaf,
    /// The timestamp.
    #[error("the timestamp: {0}")]
    Timestamp(String),
    /// The time is not one at which the certificate counts.
    #[error("the timestamp says {at}, when the certificate does not count")]
    TimeOutside {
        /// The time.
        at: Timestamp,
    },
    /// The trusted root has no key for this origin.
    #[error("the trusted root has no key for the log `{origin}`")]
    UnknownLog {
        /// What the log calls itself.
        origin: String,
    },
}
