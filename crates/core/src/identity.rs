//! Who signed, and who is expected to have signed.
//!
//! An [`Identity`] is what verification found. An [`ExpectedSigner`] is what a person wrote into
//! settings or onto a command line. There is no expected signer that stands for anybody.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::crypto::{KeyId, PublicKey};

/// Who signed, as established by verification.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
#[non_exhaustive]
pub enum Identity {
    /// The holder of a key.
    Key {
        /// The key's identity.
        id: KeyId,
    },
    /// The subject of a certificate.
    Certificate {
        /// Subject alternative name, or the common name where there is none.
        subject: String,
        /// OIDC issuer of a Fulcio certificate, or the distinguished name of the private CA.
        issuer: String,
        /// The certificate's key.
        key: KeyId,
    },
}

impl Identity {
    /// Returns the key that made the signature.
    pub const fn key(&self) -> &KeyId {
        match self {
            Self::Key { id } => id,
            Self::Certificate { key, .. } => key,
        }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key { id } => write!(f, "key:{}", id.short()),
            Self::Certificate { subject, .. } => f.write_str(subject),
        }
    }
}

/// A signer that somebody named beforehand.
///
/// It has no default and no form that matches everybody: whoever verifies has to say whom they
/// expect.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ExpectedSigner {
    /// The holder of exactly this key.
    Key {
        /// A name for people, such as `trainer`.
        name: String,
        /// The key.
        key: PublicKey,
    },
    /// The subject of a certificate that chains to a trusted root.
    Certificate {
        /// A name for people.
        name: String,
        /// Exact subject: SAN, or common name where the certificate has no SAN.
        identity: String,
        /// Exact OIDC issuer; required for Fulcio certificates, absent for a private CA, which
        /// its trusted root names.
        issuer: Option<String>,
    },
}

impl ExpectedSigner {
    /// Expects the holder of `key`.
    pub fn key(name: impl Into<String>, key: PublicKey) -> Self {
        Self::Key {
            name: name.into(),
            key,
        }
    }

    /// Expects the subject of a certificate.
    pub fn certificate(
        name: impl Into<String>,
        identity: impl Into<String>,
        issuer: Option<String>,
    ) -> Self {
        Self::Certificate {
            name: name.into(),
            identity: identity.into(),
            issuer,
        }
    }

    /// Returns the name for people.
    pub fn name(&self) -> &str {
        match self {
            Self::Key { name, .. } | Self::Certificate { name, .. } => name,
        }
    }
}

impl fmt::Display for ExpectedSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key { name, key } => write!(f, "{name} (key:{})", key.id().short()),
            Self::Certificate { name, identity, .. } => write!(f, "{name} ({identity})"),
        }
    }
}
