//! What somebody decided to trust: logs by their keys, private certificate authorities, and
//! optionally the public Sigstore instance by its `trusted_root.json`.
//!
//! A trust root has no default, and what it does not name it does not trust: no log key in it
//! means that no log entry is believed, no authority means that no certificate is. Expected
//! signers are not part of it; they are named for each verification.

mod sigstore;

use std::fmt;
use std::sync::Arc;

use custos_core::clock::Timestamp;
use custos_core::crypto::{Pem, PemError};
use custos_core::digest::{Algorithm, Digest};
use custos_core::json::JsonError;
use custos_log::note::{VerifierKey, VerifierKeyError};
use rustls_pki_types::{CertificateDer, TrustAnchor};

pub(crate) use sigstore::{Clock, Issuer, Log, SigstoreRoot};

use crate::revocation::Revocations;
use crate::verify::{Certificate, CertificateFault};

/// Most log keys and most authorities.
pub const MAX_MEMBERS: usize = 256;

/// Logs and authorities that are trusted.
///
/// ```
/// use custos_trust::TrustRoot;
/// let root = TrustRoot::trusting_nothing()
///     .with_log_key("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")
///     .unwrap();
/// assert_ne!(root.digest(), TrustRoot::trusting_nothing().digest());
/// ```
#[derive(Clone)]
pub struct TrustRoot {
    log_keys: Vec<VerifierKey>,
    anchors: Vec<Anchor>,
    sigstore: Option<Arc<SigstoreRoot>>,
    revocations: Option<Arc<Revocations>>,
}

impl TrustRoot {
    /// Returns the root that trusts no log and no authority. Bundles of bare keys, unlogged,
    /// can be verified with it: their keys come with the expected signers.
    pub const fn trusting_nothing() -> Self {
        Self {
            log_keys: Vec::new(),
            anchors: Vec::new(),
            sigstore: None,
            revocations: None,
        }
    }

    /// Adds a log, or one of its witnesses, by verifier key (C2SP signed-note).
    pub fn with_log_key(mut self, key: &str) -> Result<Self, TrustRootError> {
        let key: VerifierKey = key.trim_end().parse().map_err(TrustRootError::LogKey)?;
        if self.log_keys.len() >= MAX_MEMBERS {
            return Err(TrustRootError::TooMany);
        }
        if !self.log_keys.contains(&key) {
            self.log_keys.push(key);
        }
        Ok(self)
    }

    /// Adds the authorities of a PEM text, each of which may end a chain.
    pub fn with_authorities(mut self, pem: &str) -> Result<Self, TrustRootError> {
        let blocks = Pem::parse_many(pem).map_err(TrustRootError::Pem)?;
        if blocks.is_empty() {
            return Err(TrustRootError::NoAuthority);
        }
        for (position, block) in blocks.iter().enumerate() {
            if block.label() != "CERTIFICATE" {
                return Err(TrustRootError::NotACertificate {
                    label: block.label().to_owned(),
                });
            }
            if self.anchors.len() >= MAX_MEMBERS {
                return Err(TrustRootError::TooMany);
            }
            let anchor = Anchor::parse(block.bytes())
                .map_err(|fault| TrustRootError::Authority { position, fault })?;
            if !self.anchors.contains(&anchor) {
                self.anchors.push(anchor);
            }
        }
        Ok(self)
    }

    /// Trusts a Sigstore instance by its `trusted_root.json`.
    pub fn with_sigstore(self, trusted_root: &[u8]) -> Result<Self, TrustRootError> {
        let sigstore = Some(Arc::new(SigstoreRoot::parse(trusted_root)?));
        Ok(Self { sigstore, ..self })
    }

    /// Takes into account which keys were revoked or replaced.
    pub fn with_revocations(self, list: Revocations) -> Self {
        let revocations = Some(Arc::new(list));
        Self {
            revocations,
            ..self
        }
    }

    /// Returns the root for one who asks who signed, and not whether that still counts.
    pub fn without_revocations(self) -> Self {
        Self {
            revocations: None,
            ..self
        }
    }

    /// Returns which keys were revoked or replaced, if that is known.
    pub fn revocations(&self) -> Option<&Revocations> {
        self.revocations.as_deref()
    }

    /// Returns the keys of logs and witnesses.
    pub fn log_keys(&self) -> &[VerifierKey] {
        &self.log_keys
    }

    /// Returns the private authorities.
    pub fn anchors(&self) -> &[Anchor] {
        &self.anchors
    }

    /// Returns true if a Sigstore instance is trusted.
    pub const fn trusts_sigstore(&self) -> bool {
        self.sigstore.is_some()
    }

    /// Returns a digest of everything that is trusted, whatever the order it was added in:
    /// a verification is the same only under the same trust root.
    pub fn digest(&self) -> Digest {
        let mut members: Vec<Vec<u8>> = self
            .log_keys
            .iter()
            .map(|key| [b"log ".as_slice(), key.to_string().as_bytes()].concat())
            .collect();
        members.extend(
            self.anchors
                .iter()
                .map(|anchor| [b"authority ".as_slice(), anchor.certificate.as_der()].concat()),
        );
        members.extend(
            self.sigstore
                .iter()
                .map(|sigstore| [b"sigstore ".as_slice(), sigstore.digest().as_bytes()].concat()),
        );
        members.extend(
            self.revocations
                .iter()
                .map(|list| [b"revocations ".as_slice(), list.digest().as_bytes()].concat()),
        );
        members.sort_unstable();
        let mut hasher = Algorithm::Sha256.hasher();
        hasher.update(b"custos trust root v1\n");
        for member in members {
            // Fixed-size parts: no member can run into the next.
            hasher.update(Algorithm::Sha256.digest(&member).as_bytes());
        }
        hasher.finish()
    }

    pub(crate) fn sigstore(&self) -> Option<&SigstoreRoot> {
        self.sigstore.as_deref()
    }
}

impl fmt::Debug for TrustRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "TrustRoot({} log keys, {} authorities, sigstore: {})",
            self.log_keys.len(),
            self.anchors.len(),
            self.sigstore.is_some()
        )
    }
}

/// A private certificate authority.
#[derive(Clone)]
pub struct Anchor {
    certificate: Certificate,
    trust: TrustAnchor<'static>,
}

impl Anchor {
    fn parse(der: &[u8]) -> Result<Self, CertificateFault> {
        let certificate = Certificate::parse(der)?;
        let trust = webpki::anchor_from_trusted_cert(&CertificateDer::from(der))
            .map_err(|_| CertificateFault::Malformed)?
            .to_owned();
        Ok(Self { certificate, trust })
    }

    /// Returns the authority's certificate.
    pub const fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// Returns true if the authority's certificate is valid at `now`.
    pub fn is_valid_at(&self, now: Timestamp) -> bool {
        let (from, to) = self.certificate.validity();
        from <= now && now <= to
    }

    pub(crate) const fn trust(&self) -> &TrustAnchor<'static> {
        &self.trust
    }
}

impl PartialEq for Anchor {
    fn eq(&self, other: &Self) -> bool {
        self.certificate.as_der() == other.certificate.as_der()
    }
}

impl fmt::Debug for Anchor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Anchor({})", self.certificate.subject())
    }
}

/// Why something was not taken into a trust root.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TrustRootError {
    /// A certificate of the PEM text does not parse.
    #[error("authority {position}: {fault}")]
    Authority {
        /// Position in the text, from 0.
        position: usize,
        /// What is wrong.
        fault: CertificateFault,
    },
    /// Not JSON, or beyond a limit.
    #[error("the trusted root is not accepted: {0}")]
    Json(JsonError),
    /// Not a verifier key.
    #[error("{0}")]
    LogKey(VerifierKeyError),
    /// The PEM text is empty.
    #[error("the text holds no certificate")]
    NoAuthority,
    /// A PEM block of another type.
    #[error("a PEM block `CERTIFICATE` is needed, this one is `{label}`")]
    NotACertificate {
        /// The type found.
        label: String,
    },
    /// Not PEM.
    #[error("not PEM: {0}")]
    Pem(PemError),
    /// Not a usable Sigstore trusted root.
    #[error("the Sigstore trusted root is not accepted: {0}")]
    Sigstore(String),
    /// More than [`MAX_MEMBERS`].
    #[error("more than {MAX_MEMBERS} log keys or authorities")]
    TooMany,
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    const SIGSTORE: &[u8] = include_bytes!("../../../testdata/sigstore/public-good.json");

    #[test]
    fn the_digest_covers_every_part_and_not_their_order() {
        let a = TrustRoot::trusting_nothing().with_log_key(KEY).unwrap();
        let b = TrustRoot::trusting_nothing()
            .with_sigstore(SIGSTORE)
            .unwrap();
        let ab = a.clone().with_sigstore(SIGSTORE).unwrap();
        let ba = b.clone().with_log_key(KEY).unwrap();
        assert_eq!(ab.digest(), ba.digest());
        assert_eq!(a.digest(), a.clone().with_log_key(KEY).unwrap().digest());
        for (one, two) in [(&a, &b), (&a, &ab), (&b, &ab)] {
            assert_ne!(one.digest(), two.digest());
        }
    }

    #[test]
    fn a_trusted_root_that_contradicts_itself_is_refused() {
        let changed = |change: &dyn Fn(&mut serde_json::Value)| {
            let mut document: serde_json::Value = serde_json::from_slice(SIGSTORE).unwrap();
            change(&mut document);
            TrustRoot::trusting_nothing().with_sigstore(&serde_json::to_vec(&document).unwrap())
        };
        changed(&|_| {}).unwrap();
        // A key of a kind that nobody here knows is left out, the rest is trusted.
        changed(&|root| root["tlogs"][0]["publicKey"]["rawBytes"] = "AAAA".into()).unwrap();
        let wrong: [&dyn Fn(&mut serde_json::Value); 5] = [
            &|root| root["tlogs"][1]["logId"] = root["tlogs"][0]["logId"].clone(),
            &|root| root["tlogs"][0]["logId"]["keyId"] = "AAAA".into(),
            &|root| {
                root["tlogs"][0]["publicKey"]["validFor"]["end"] = "2001-01-01T00:00:00Z".into();
            },
            &|root| {
                root["timestampAuthorities"][0]["certChain"]["certificates"] =
                    serde_json::json!([]);
            },
            &|root| {
                root["certificateAuthorities"][0]["certChain"]["certificates"][0]["rawBytes"] =
                    "AAAA".into();
            },
        ];
        for change in wrong {
            assert!(matches!(changed(change), Err(TrustRootError::Sigstore(_))));
        }
        // A time of validity has a beginning.
        let endless = changed(&|root| {
            root["tlogs"][0]["publicKey"]["validFor"] = serde_json::json!({});
        });
        assert!(matches!(endless, Err(TrustRootError::Json(_))));
    }

    #[test]
    fn what_is_not_trust_material_is_refused() {
        let root = TrustRoot::trusting_nothing;
        assert!(matches!(
            root().with_log_key("x"),
            Err(TrustRootError::LogKey(_))
        ));
        assert!(matches!(
            root().with_authorities(""),
            Err(TrustRootError::NoAuthority)
        ));
        let key = include_str!("../../../testdata/keys/p256.pub");
        assert!(matches!(
            root().with_authorities(key),
            Err(TrustRootError::NotACertificate { .. })
        ));
        let disguised = key.replace("PUBLIC KEY", "CERTIFICATE");
        assert!(matches!(
            root().with_authorities(&disguised),
            Err(TrustRootError::Authority {
                position: 0,
                fault: CertificateFault::Malformed
            })
        ));
        assert!(matches!(
            root().with_sigstore(b"{}"),
            Err(TrustRootError::Json(_))
        ));
        assert!(matches!(
            root().with_sigstore(br#"{"mediaType":"application/json"}"#),
            Err(TrustRootError::Sigstore(_))
        ));
        assert!(matches!(
            root().with_sigstore(br#"{"tlogs":[],"tlogs":[]}"#),
            Err(TrustRootError::Json(JsonError::DuplicateKey { .. }))
        ));
    }
}
