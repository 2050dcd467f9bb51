//! Kinds of keys and schemes of signatures, under the names of Sigstore's `PublicKeyDetails`.

use std::fmt;
use std::str::FromStr;

use super::KeyError;

/// Size of an RSA modulus. Others are refused: smaller ones are weak, larger ones take a verifier's
/// time, and no client of Sigstore makes any.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum RsaSize {
    /// 2048 bits.
    Bits2048,
    /// 3072 bits.
    Bits3072,
    /// 4096 bits.
    Bits4096,
}

/// A signature scheme with its curve and hash, named as in Sigstore's `PublicKeyDetails`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Scheme {
    /// ECDSA over P-256 with SHA-256.
    EcdsaP256,
    /// ECDSA over P-384 with SHA-384.
    EcdsaP384,
    /// ECDSA over P-521 with SHA-512.
    EcdsaP521,
    /// Pure Ed25519 (RFC 8032).
    Ed25519,
    /// Ed25519 over the SHA-512 of the message, empty context (RFC 8032, Ed25519ph). A log that
    /// stores only digests can check this one.
    Ed25519ph,
    /// RSA with PKCS#1 v1.5 padding and SHA-256 (RFC 8017 section 8.2).
    RsaPkcs1Sha256(RsaSize),
    /// RSA with PSS padding, SHA-256 and a salt of its length (RFC 8017 section 8.1).
    RsaPssSha256(RsaSize),
}

impl Scheme {
    /// All schemes.
    pub const ALL: [Self; 11] = [
        Self::EcdsaP256,
        Self::EcdsaP384,
        Self::EcdsaP521,
        Self::Ed25519,
        Self::Ed25519ph,
        Self::RsaPkcs1Sha256(RsaSize::Bits2048),
        Self::RsaPkcs1Sha256(RsaSize::Bits3072),
        Self::RsaPkcs1Sha256(RsaSize::Bits4096),
        Self::RsaPssSha256(RsaSize::Bits2048),
        Self::RsaPssSha256(RsaSize::Bits3072),
        Self::RsaPssSha256(RsaSize::Bits4096),
    ];

    /// Returns the name in Sigstore's `PublicKeyDetails`.
    pub const fn key_details(self) -> &'static str {
        match self {
            Self::EcdsaP256 => "PKIX_ECDSA_P256_SHA_256",
            Self::EcdsaP384 => "PKIX_ECDSA_P384_SHA_384",
            Self::EcdsaP521 => "PKIX_ECDSA_P521_SHA_512",
            Self::Ed25519 => "PKIX_ED25519",
            Self::Ed25519ph => "PKIX_ED25519_PH",
            Self::RsaPkcs1Sha256(RsaSize::Bits2048) => "PKIX_RSA_PKCS1V15_2048_SHA256",
            Self::RsaPkcs1Sha256(RsaSize::Bits3072) => "PKIX_RSA_PKCS1V15_3072_SHA256",
            Self::RsaPkcs1Sha256(RsaSize::Bits4096) => "PKIX_RSA_PKCS1V15_4096_SHA256",
            Self::RsaPssSha256(RsaSize::Bits2048) => "PKIX_RSA_PSS_2048_SHA256",
            Self::RsaPssSha256(RsaSize::Bits3072) => "PKIX_RSA_PSS_3072_SHA256",
            Self::RsaPssSha256(RsaSize::Bits4096) => "PKIX_RSA_PSS_4096_SHA256",
        }
    }

    /// Returns the scheme that Sigstore's `PublicKeyDetails` name `name` stands for.
    pub fn from_key_details(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|scheme| scheme.key_details() == name)
    }

    /// Returns the kind of key that the scheme needs.
    pub const fn key_kind(self) -> KeyKind {
        match self {
            Self::EcdsaP256 => KeyKind::P256,
            Self::EcdsaP384 => KeyKind::P384,
            Self::EcdsaP521 => KeyKind::P521,
            Self::Ed25519 | Self::Ed25519ph => KeyKind::Ed25519,
            Self::RsaPkcs1Sha256(size) | Self::RsaPssSha256(size) => KeyKind::Rsa(size),
        }
    }
}

/// A kind of key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
#[non_exhaustive]
pub enum KeyKind {
    /// NIST P-256, the default.
    #[default]
    P256,
    /// NIST P-384.
    P384,
    /// NIST P-521.
    P521,
    /// Ed25519.
    Ed25519,
    /// RSA with the exponent 65537.
    Rsa(RsaSize),
}

impl KeyKind {
    /// All kinds.
    pub const ALL: [Self; 7] = [
        Self::P256,
        Self::P384,
        Self::P521,
        Self::Ed25519,
        Self::Rsa(RsaSize::Bits2048),
        Self::Rsa(RsaSize::Bits3072),
        Self::Rsa(RsaSize::Bits4096),
    ];

    /// The kinds on elliptic curves: those that sign logs and that are made in no time.
    pub const CURVES: [Self; 4] = [Self::P256, Self::P384, Self::P521, Self::Ed25519];

    /// Returns the name on the command line, such as `p256`, `ed25519` or `rsa3072`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::P256 => "p256",
            Self::P384 => "p384",
            Self::P521 => "p521",
            Self::Ed25519 => "ed25519",
            Self::Rsa(RsaSize::Bits2048) => "rsa2048",
            Self::Rsa(RsaSize::Bits3072) => "rsa3072",
            Self::Rsa(RsaSize::Bits4096) => "rsa4096",
        }
    }

    /// Returns true for RSA of any size.
    pub const fn is_rsa(self) -> bool {
        matches!(self, Self::Rsa(_))
    }

    /// Returns the scheme that signs statements: one that a log of digests can check. That is
    /// Ed25519ph for Ed25519 keys, and PKCS#1 v1.5 for RSA, the only padding that Rekor v2 takes.
    pub const fn statement_scheme(self) -> Scheme {
        match self {
            Self::P256 => Scheme::EcdsaP256,
            Self::P384 => Scheme::EcdsaP384,
            Self::P521 => Scheme::EcdsaP521,
            Self::Ed25519 => Scheme::Ed25519ph,
            Self::Rsa(size) => Scheme::RsaPkcs1Sha256(size),
        }
    }

    /// Returns the scheme that signs whole messages: certificates and requests for them,
    /// checkpoints, proofs of possession. There Ed25519 is pure, never prehashed.
    pub const fn message_scheme(self) -> Scheme {
        match self {
            Self::Ed25519 => Scheme::Ed25519,
            kind => kind.statement_scheme(),
        }
    }

    // DER of SubjectPublicKeyInfo up to the key bits, and how many bytes follow. Matching the
    // whole prefix leaves one encoding for each key. Of RSA the modulus' bits follow, and the
    // exponent of `RSA_TAIL`.
    pub(super) const fn spki_prefix(self) -> (&'static [u8], usize) {
        match self {
            Self::P256 => (
                b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\
                  \x3d\x03\x01\x07\x03\x42\x00\x04",
                64,
            ),
            Self::P384 => (
                b"\x30\x76\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\
                  \x22\x03\x62\x00\x04",
                96,
            ),
            Self::P521 => (
                b"\x30\x81\x9b\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\
                  \x00\x23\x03\x81\x86\x00\x04",
                132,
            ),
            Self::Ed25519 => (b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00", 32),
            Self::Rsa(RsaSize::Bits2048) => (
                b"\x30\x82\x01\x22\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00\
                  \x03\x82\x01\x0f\x00\x30\x82\x01\x0a\x02\x82\x01\x01\x00",
                256_usize.saturating_add(RSA_TAIL.len()),
            ),
            Self::Rsa(RsaSize::Bits3072) => (
                b"\x30\x82\x01\xa2\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00\
                  \x03\x82\x01\x8f\x00\x30\x82\x01\x8a\x02\x82\x01\x81\x00",
                384_usize.saturating_add(RSA_TAIL.len()),
            ),
            Self::Rsa(RsaSize::Bits4096) => (
                b"\x30\x82\x02\x22\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00\
                  \x03\x82\x02\x0f\x00\x30\x82\x02\x0a\x02\x82\x02\x01\x00",
                512_usize.saturating_add(RSA_TAIL.len()),
            ),
        }
    }

    /// Returns the kind of a DER `SubjectPublicKeyInfo` in its one encoding.
    pub(super) fn of_spki(der: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| {
            let (prefix, len) = kind.spki_prefix();
            der.strip_prefix(prefix)
                .is_some_and(|rest| rest.len() == len && (!kind.is_rsa() || is_rsa_tail(rest)))
        })
    }

    /// Returns the key's own bytes in its `SubjectPublicKeyInfo`: the point with its 0x04, the 32
    /// bytes of Ed25519, the `RSAPublicKey` of RSA.
    pub(super) fn raw(self, spki: &[u8]) -> &[u8] {
        let (prefix, _) = self.spki_prefix();
        let from = match self {
            Self::Ed25519 => prefix.len(),
            Self::Rsa(_) => RSA_KEY_AT,
            _ => prefix.len().saturating_sub(1),
        };
        spki.get(from..).unwrap_or_default()
    }
}

/// INTEGER 65537: the exponent that everybody uses. Small ones have been trouble.
pub(super) const RSA_TAIL: &[u8] = b"\x02\x03\x01\x00\x01";
/// Where `RSAPublicKey` begins in a `SubjectPublicKeyInfo` of RSA.
const RSA_KEY_AT: usize = 24;
/// The `rsaEncryption` identifier.
pub(super) const RSA_OID: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01";

// A modulus of the full size, odd, and the usual exponent.
fn is_rsa_tail(rest: &[u8]) -> bool {
    rest.strip_suffix(RSA_TAIL).is_some_and(|modulus| {
        modulus.first().is_some_and(|byte| byte & 0x80 != 0)
            && modulus.last().is_some_and(|byte| byte & 1 == 1)
    })
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for KeyKind {
    type Err = KeyError;

    fn from_str(name: &str) -> Result<Self, KeyError> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.name() == name)
            .ok_or(KeyError::UnknownKind)
    }
}
