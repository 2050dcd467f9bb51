//! What a Sigstore trusted root says about the services that sign: whose certificates, promises,
//! timestamps and log entries are believed.
//!
//! Everything here is asked before a signature leaves the machine, and decided by the code that
//! verifies bundles ([`crate::verify`]); a verifier asks the same again, with its own root.

use std::fmt;

use custos_core::bundle::{MediaType, TransparencyLogEntry};
use custos_core::clock::Timestamp;
use custos_core::crypto::{PublicKey, Scheme};
use custos_core::entry::HashedRekord;

use super::services::Fresh;
use crate::root::{Anchor, SigstoreRoot, TrustRoot, TrustRootError};
use crate::verify::answers::{Claim, Path, Signed};
use crate::verify::{Certificate, CertificateFault, MAX_CLOCK_SKEW_MICROS, answers};

/// Services that are believed.
pub struct TrustedServices {
    root: TrustRoot,
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
        let root = TrustRoot::trusting_nothing().with_sigstore(bytes)?;
        Ok(Self { root })
    }

    /// Checks that `leaf` is a certificate for `key` which a trusted authority issued, valid at
    /// `now`, promised to a trusted certificate log if the root names such logs.
    pub fn vouch(&self, leaf: &[u8], key: &PublicKey, now: Timestamp) -> Result<Vouched, Distrust> {
        let root = self.sigstore()?;
        let leaf = Certificate::parse(leaf).map_err(Distrust::Certificate)?;
        if leaf.key() != Some(key) {
            return Err(Distrust::OtherKey);
        }
        let (begins, ends) = leaf.validity();
        // The authority's clock need not be ours, and its certificate begins by its own.
        let at = if now < begins && begins <= now.plus_micros(MAX_CLOCK_SKEW_MICROS) {
            begins
        } else {
            now
        };
        let issuers = root.issuers().iter();
        let anchors: Vec<&Anchor> = issuers.filter_map(|issuer| issuer.at(at)).collect();
        let path = Path {
            leaf: &leaf,
            links: &[],
            anchors: &anchors,
            at,
        };
        let issuer_key = answers::check_issued(&path).map_err(Distrust::Certificate)?;
        if root.logs_certificates() {
            answers::check_promise(&leaf, &issuer_key, root)
                .map_err(|error| Distrust::NotPromised(error.to_string()))?;
        }
        let identities = leaf.identities().map_err(Distrust::Certificate)?;
        let [identity] = identities.as_slice() else {
            return Err(Distrust::IdentityCount {
                found: identities.len(),
            });
        };
        let issuer = leaf.oidc_issuer().map_err(Distrust::Certificate)?;
        Ok(Vouched {
            identity: identity.clone(),
            issuer: issuer.ok_or(Distrust::NoIssuer)?,
            ends,
        })
    }

    /// Checks that a trusted authority stamped `signature`, and returns when.
    pub fn stamped(&self, response: &[u8], signature: &[u8]) -> Result<Timestamp, Distrust> {
        answers::check_stamp(response, signature, self.sigstore()?.clocks())
            .map_err(|fault| Distrust::Timestamp(fault.to_string()))
    }

    /// Checks that a trusted log has this very signature, and returns when it took it in, if the
    /// log vouches for that.
    pub(super) fn logged(
        &self,
        entry: &TransparencyLogEntry,
        fresh: &Fresh<'_>,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, Distrust> {
        let id = entry.log_id.key_id.as_slice();
        let log = self.sigstore()?.log(id);
        let log = log.filter(|log| log.is_trusted_at(now));
        let log = log.ok_or_else(|| Distrust::UnknownLog {
            id: hex::encode(id.get(..32).unwrap_or(id)),
        })?;
        let leaf = HashedRekord::parse(fresh.leaf).map_err(|_| Distrust::OtherLeaf)?;
        let signed = Signed {
            envelope: fresh.envelope,
            digest: leaf.digest,
            signature: fresh.signature,
            verifier: leaf.verifier,
            scheme: Scheme::from_key_details(&leaf.key_details),
        };
        let claim = Claim {
            at: 0,
            entry,
            log,
            version: MediaType::V03,
            now,
        };
        let logged = answers::check_entry(&claim, &signed);
        let logged = logged.map_err(|error| Distrust::Log(error.to_string()))?;
        Ok(logged.time)
    }

    fn sigstore(&self) -> Result<&SigstoreRoot, Distrust> {
        // Read from one, it has one.
        self.root.sigstore().ok_or(Distrust::NoIssuer)
    }
}

impl fmt::Debug for TrustedServices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TrustedServices({})", self.root.digest().short())
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
    #[error("the certificate: {0}")]
    NotPromised(String),
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
    /// The trusted root does not trust a log with this id now.
    #[error("the trusted root does not trust the log with the id {id} now")]
    UnknownLog {
        /// Its id, in hex.
        id: String,
    },
}
