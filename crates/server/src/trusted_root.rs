//! What clients need to know: whom to trust (`trusted_root.json`) and where to go
//! (`signing_config.json`).
//!
//! Spec: sigstore/protobuf-specs, `sigstore_trustroot.proto`: `TrustedRoot` 0.1 and
//! `SigningConfig` 0.2, in proto JSON. Validity ranges include both ends.

use custos_core::crypto::{PublicKey, sha256};
use custos_core::dsse::Base64;
use custos_core::json::{self, JsonError};
use custos_core::limits::Limits;
use custos_log::note::VerifierKey;
use custos_trust::keyless::config::Endpoint;
use serde::{Deserialize, Serialize};

use crate::authority::Authority;

pub use custos_trust::keyless::config::{SigningConfig, Validity};

/// Media type of a trusted root.
pub const TRUSTED_ROOT: &str = "application/vnd.dev.sigstore.trustedroot+json;version=0.1";

const LIMITS: Limits = Limits::SMALL;

/// Authorities and logs that are trusted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct TrustedRoot {
    /// Always [`TRUSTED_ROOT`].
    pub media_type: String,
    /// Transparency logs.
    #[serde(default)]
    pub tlogs: Vec<LogInstance>,
    /// Authorities that issue certificates.
    #[serde(default)]
    pub certificate_authorities: Vec<AuthorityInstance>,
    /// Certificate logs.
    #[serde(default)]
    pub ctlogs: Vec<LogInstance>,
    /// Timestamp authorities.
    #[serde(default)]
    pub timestamp_authorities: Vec<AuthorityInstance>,
}

/// A log with its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct LogInstance {
    /// Where it is. Without its scheme, this is the origin of the log's checkpoints.
    pub base_url: String,
    /// Always `SHA2_256`.
    pub hash_algorithm: String,
    /// Its key.
    pub public_key: KeyInstance,
    /// Its id.
    pub log_id: LogIdentity,
    /// Who runs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator: Option<String>,
}

/// A key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct KeyInstance {
    /// DER of its `SubjectPublicKeyInfo`.
    pub raw_bytes: Base64,
    /// Name of its algorithm.
    pub key_details: String,
    /// When it counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_for: Option<Validity>,
}

/// The id of a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct LogIdentity {
    /// The untruncated id of a checkpoint key; for a certificate log the digest of its key.
    pub key_id: Base64,
}

/// An authority with its chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct AuthorityInstance {
    /// Who it is.
    pub subject: Subject,
    /// Where it is.
    pub uri: String,
    /// Its certificates.
    pub cert_chain: Chain,
    /// When it counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_for: Option<Validity>,
    /// Who runs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator: Option<String>,
}

/// The name of an authority.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct Subject {
    /// The organisation.
    #[serde(default)]
    pub organization: String,
    /// The authority within.
    #[serde(default)]
    pub common_name: String,
}

/// Certificates, the root last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Chain {
    /// The certificates.
    pub certificates: Vec<ChainCertificate>,
}

/// A certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct ChainCertificate {
    /// Its DER.
    pub raw_bytes: Base64,
}

/// Where a service is, and who runs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Place<'a> {
    /// The organisation.
    pub organization: &'a str,
    /// Base URL, without a slash at its end.
    pub url: &'a str,
    /// When it counts.
    pub validity: Validity,
}

impl<'a> Place<'a> {
    /// Returns a place.
    pub const fn new(organization: &'a str, url: &'a str, validity: Validity) -> Self {
        Self {
            organization,
            url,
            validity,
        }
    }

    /// Returns the configuration of a server that has all services at one URL; people get tokens
    /// from the issuer `oidc`, if one is given.
    pub fn signing_config(&self, oidc: Option<&str>) -> SigningConfig {
        let service =
            |url: String, version| Endpoint::new(url, version, self.validity).of(self.organization);
        let base = self.url.trim_end_matches('/');
        let mut config = SigningConfig::naming_nothing();
        config.ca_urls = vec![service(base.to_owned(), 1)];
        config.oidc_urls = oidc
            .map(|url| service(url.to_owned(), 1))
            .into_iter()
            .collect();
        config.rekor_tlog_urls = vec![service(base.to_owned(), 2)];
        // This one is the full address.
        config.tsa_urls = vec![service(format!("{base}/api/v1/timestamp"), 1)];
        config
    }
}

impl TrustedRoot {
    /// Returns a root that trusts nothing.
    pub fn trusting_nothing() -> Self {
        Self {
            media_type: TRUSTED_ROOT.to_owned(),
            tlogs: Vec::new(),
            certificate_authorities: Vec::new(),
            ctlogs: Vec::new(),
            timestamp_authorities: Vec::new(),
        }
    }

    /// Adds an authority: its issuing certificate, its certificate log and its timestamps.
    pub fn with_authority(mut self, authority: &Authority, place: &Place<'_>) -> Self {
        let instance = |common_name: &str, leaf: &[u8]| AuthorityInstance {
            subject: Subject {
                organization: place.organization.to_owned(),
                common_name: format!("{} {common_name}", place.organization),
            },
            uri: place.url.to_owned(),
            cert_chain: Chain {
                certificates: [leaf, authority.root_der()]
                    .into_iter()
                    .map(|der| ChainCertificate {
                        raw_bytes: Base64(der.to_vec()),
                    })
                    .collect(),
            },
            valid_for: Some(place.validity),
            operator: None,
        };
        self.certificate_authorities
            .push(instance("issuing authority", authority.issuing_der()));
        self.timestamp_authorities
            .push(instance("timestamp authority", authority.timestamp_der()));
        let key = authority.log_key();
        let id = sha256(key.as_spki_der()).to_vec();
        self.ctlogs.push(log(place.url, place.validity, key, id));
        self
    }

    /// Adds a log by the key of its checkpoints.
    ///
    /// Sigstore's Go clients take the log's origin from the host of its URL, without port and
    /// path, so the URL written here is made from the name of the key. It need not lead anywhere;
    /// where the log is stands in the signing configuration. See [`is_host_name`].
    pub fn with_log(mut self, key: &VerifierKey, validity: Validity) -> Self {
        let url = format!("https://{}", key.name());
        let id = key.full_id().to_vec();
        self.tlogs.push(log(&url, validity, key.public_key(), id));
        self
    }

    /// Parses a root of at most 1 MiB; unknown fields are rejected.
    pub fn parse(bytes: &[u8]) -> Result<Self, TrustedRootError> {
        let root: Self = json::from_slice(bytes, &LIMITS).map_err(TrustedRootError::Json)?;
        if root.media_type == TRUSTED_ROOT {
            Ok(root)
        } else {
            Err(TrustedRootError::MediaType)
        }
    }

    /// Writes it for a file.
    pub fn to_bytes(&self) -> Result<Vec<u8>, TrustedRootError> {
        json::to_pretty(self).map_err(TrustedRootError::Json)
    }
}

/// Returns true if a log with this origin can be named in a trusted root so that all of Sigstore's
/// clients find its key: it is a host name alone.
pub fn is_host_name(origin: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    origin.len() <= 253 && origin.split('.').all(label)
}

fn log(url: &str, validity: Validity, key: &PublicKey, id: Vec<u8>) -> LogInstance {
    let scheme = key.kind().message_scheme();
    LogInstance {
        base_url: url.to_owned(),
        hash_algorithm: "SHA2_256".to_owned(),
        public_key: KeyInstance {
            raw_bytes: Base64(key.as_spki_der().to_vec()),
            key_details: scheme.key_details().to_owned(),
            valid_for: Some(validity),
        },
        log_id: LogIdentity { key_id: Base64(id) },
        operator: None,
    }
}

/// Why a document was not read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TrustedRootError {
    /// Not JSON of this shape, or beyond a limit.
    #[error("{0}")]
    Json(JsonError),
    /// Another version, or something else.
    #[error("the media type is not the one that is needed")]
    MediaType,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_that_all_clients_understand() {
        for (origin, ok) in [
            ("log.example.com", true),
            ("127.0.0.1", true),
            ("localhost", true),
            ("log.example.com/models", false),
            ("localhost:8080", false),
            ("Log", false),
            ("a..b", false),
            ("-a", false),
            ("", false),
        ] {
            assert_eq!(is_host_name(origin), ok, "{origin}");
        }
    }

    #[test]
    fn other_documents_are_refused() {
        assert_eq!(
            TrustedRoot::parse(br#"{"mediaType":"x"}"#),
            Err(TrustedRootError::MediaType)
        );
        for bad in ["{}", "[]", r#"{"mediaType":"x","mediaType":"x"}"#] {
            let refused = TrustedRoot::parse(bad.as_bytes());
            assert!(matches!(refused, Err(TrustedRootError::Json(_))));
        }
    }
}
