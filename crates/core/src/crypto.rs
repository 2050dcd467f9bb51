//! Thin signatures over aws-lc-rs: public keys, key pairs, PEM.
//!
//! Keys are accepted in one encoding only, the DER `SubjectPublicKeyInfo` that OpenSSL writes
//! (RFC 5480, RFC 8410), so that a key has one identity: its [`KeyId`], the SHA-256 of that DER.
//! Where keys lie, how they are encrypted, and who is trusted is the `trust` room's business.

mod pem;

pub use pem::{Pem, PemError};

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256, Sha512};
use zeroize::Zeroizing;

/// Hashes `bytes` with SHA-256.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
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
}

impl Scheme {
    /// All schemes.
    pub const ALL: [Self; 5] = [
        Self::EcdsaP256,
        Self::EcdsaP384,
        Self::EcdsaP521,
        Self::Ed25519,
        Self::Ed25519ph,
    ];

    /// Returns the name in Sigstore's `PublicKeyDetails`.
    pub const fn key_details(self) -> &'static str {
        match self {
            Self::EcdsaP256 => "PKIX_ECDSA_P256_SHA_256",
            Self::EcdsaP384 => "PKIX_ECDSA_P384_SHA_384",
            Self::EcdsaP521 => "PKIX_ECDSA_P521_SHA_512",
            Self::Ed25519 => "PKIX_ED25519",
            Self::Ed25519ph => "PKIX_ED25519_PH",
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
}

impl KeyKind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::P256, Self::P384, Self::P521, Self::Ed25519];

    /// Returns the name on the command line: `p256`, `p384`, `p521`, `ed25519`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::P256 => "p256",
            Self::P384 => "p384",
            Self::P521 => "p521",
            Self::Ed25519 => "ed25519",
        }
    }

    /// Returns the scheme that signs statements: Ed25519 keys sign as Ed25519ph, which a log of
    /// digests can check.
    pub const fn statement_scheme(self) -> Scheme {
        match self {
            Self::P256 => Scheme::EcdsaP256,
            Self::P384 => Scheme::EcdsaP384,
            Self::P521 => Scheme::EcdsaP521,
            Self::Ed25519 => Scheme::Ed25519ph,
        }
    }

    // DER of SubjectPublicKeyInfo up to the key bits, and how many bytes follow. Matching the
    // whole prefix leaves one encoding for each key.
    const fn spki_prefix(self) -> (&'static [u8], usize) {
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
        }
    }
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

/// The identity of a public key: SHA-256 of its DER `SubjectPublicKeyInfo`, in lower-case hex.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; 32]);

impl KeyId {
    /// Returns the raw bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Returns the first 12 hex digits, for people.
    pub fn short(&self) -> String {
        let mut hex = hex::encode(self.0);
        hex.truncate(12);
        hex
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for KeyId {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        if text.len() != 64 || text.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(KeyError::NotAKeyId);
        }
        let bytes = hex::decode(text).map_err(|_| KeyError::NotAKeyId)?;
        Ok(Self(bytes.try_into().map_err(|_| KeyError::NotAKeyId)?))
    }
}

impl Serialize for KeyId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for KeyId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A public key.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PublicKey {
    kind: KeyKind,
    spki: Vec<u8>,
}

impl PublicKey {
    /// Parses a DER `SubjectPublicKeyInfo` in the one accepted encoding.
    pub fn from_spki_der(der: &[u8]) -> Result<Self, KeyError> {
        let kind = KeyKind::ALL
            .into_iter()
            .find(|kind| {
                let (prefix, len) = kind.spki_prefix();
                der.strip_prefix(prefix)
                    .is_some_and(|rest| rest.len() == len)
            })
            .ok_or(KeyError::UnsupportedPublicKey)?;
        let key = Self {
            kind,
            spki: der.to_vec(),
        };
        // A point that is not on the curve must fail here, not at the first signature.
        UnparsedPublicKey::new(key.algorithm(), key.raw())
            .parse()
            .map_err(|_| KeyError::UnsupportedPublicKey)?;
        Ok(key)
    }

    /// Parses a PEM block of type `PUBLIC KEY`.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        let pem = Pem::parse(text).map_err(KeyError::Pem)?;
        if pem.label() != "PUBLIC KEY" {
            return Err(KeyError::WrongPemLabel {
                expected: "PUBLIC KEY",
                found: pem.label().to_owned(),
            });
        }
        Self::from_spki_der(pem.bytes())
    }

    /// Returns the DER `SubjectPublicKeyInfo`.
    pub fn as_spki_der(&self) -> &[u8] {
        &self.spki
    }

    /// Returns the PEM form as OpenSSL writes it: 64 columns, one final newline.
    pub fn to_pem(&self) -> String {
        Pem::new("PUBLIC KEY", self.spki.clone()).to_text()
    }

    /// Returns the kind.
    pub const fn kind(&self) -> KeyKind {
        self.kind
    }

    /// Returns the key's identity.
    pub fn id(&self) -> KeyId {
        KeyId(sha256(&self.spki))
    }

    /// Returns the 32 raw bytes of an Ed25519 key, as note verifier keys carry them (C2SP
    /// signed-note, type 0x01); `None` for other kinds.
    pub fn ed25519_bytes(&self) -> Option<[u8; 32]> {
        if self.kind == KeyKind::Ed25519 {
            self.raw().try_into().ok()
        } else {
            None
        }
    }

    /// Returns the Ed25519 key with these raw bytes.
    pub fn from_ed25519_bytes(bytes: &[u8; 32]) -> Result<Self, KeyError> {
        let mut der = KeyKind::Ed25519.spki_prefix().0.to_vec();
        der.extend_from_slice(bytes);
        Self::from_spki_der(&der)
    }

    /// Verifies `signature` over `message`. ECDSA signatures are DER `Ecdsa-Sig-Value`.
    pub fn verify(
        &self,
        scheme: Scheme,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), SignatureError> {
        if scheme.key_kind() != self.kind {
            return Err(SignatureError::SchemeDoesNotFitKey);
        }
        if scheme == Scheme::Ed25519ph {
            return self.verify_ed25519ph(message, signature);
        }
        UnparsedPublicKey::new(self.algorithm(), self.raw())
            .verify(message, signature)
            .map_err(|_| SignatureError::Invalid)
    }

    fn verify_ed25519ph(&self, message: &[u8], signature: &[u8]) -> Result<(), SignatureError> {
        let bytes = self
            .ed25519_bytes()
            .ok_or(SignatureError::SchemeDoesNotFitKey)?;
        let key =
            ed25519_dalek::VerifyingKey::from_bytes(&bytes).map_err(|_| SignatureError::Invalid)?;
        let signature =
            ed25519_dalek::Signature::from_slice(signature).map_err(|_| SignatureError::Invalid)?;
        // Strict: no small-order points, so that one signature fits one message and one key.
        key.verify_prehashed_strict(Sha512::new_with_prefix(message), None, &signature)
            .map_err(|_| SignatureError::Invalid)
    }

    fn algorithm(&self) -> &'static dyn signature::VerificationAlgorithm {
        match self.kind {
            KeyKind::P256 => &signature::ECDSA_P256_SHA256_ASN1,
            KeyKind::P384 => &signature::ECDSA_P384_SHA384_ASN1,
            KeyKind::P521 => &signature::ECDSA_P521_SHA512_ASN1,
            KeyKind::Ed25519 => &signature::ED25519,
        }
    }

    // The uncompressed point with its 0x04, or the 32 bytes of Ed25519.
    fn raw(&self) -> &[u8] {
        let (prefix, _) = self.kind.spki_prefix();
        let point_tag = usize::from(self.kind != KeyKind::Ed25519);
        self.spki
            .get(prefix.len().saturating_sub(point_tag)..)
            .unwrap_or_default()
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({} {})", self.kind, self.id())
    }
}

/// A private key with its public key. Never printed, never serialised but by
/// [`KeyPair::to_pkcs8_der`].
pub struct KeyPair {
    inner: Inner,
    public: PublicKey,
}

enum Inner {
    Ecdsa(Box<EcdsaKeyPair>),
    Ed25519(Box<Ed25519KeyPair>),
}

impl KeyPair {
    /// Generates a key from the system's random source.
    pub fn generate(kind: KeyKind) -> Result<Self, KeyError> {
        let inner = match kind {
            KeyKind::Ed25519 => Inner::Ed25519(Box::new(
                Ed25519KeyPair::generate().map_err(|_| KeyError::NoRandomness)?,
            )),
            _ => Inner::Ecdsa(Box::new(
                EcdsaKeyPair::generate(ecdsa_algorithm(kind))
                    .map_err(|_| KeyError::NoRandomness)?,
            )),
        };
        Self::from_inner(kind, inner)
    }

    /// Parses a DER PKCS#8 private key (RFC 5958), version 1 or 2, unencrypted.
    pub fn from_pkcs8_der(der: &[u8]) -> Result<Self, KeyError> {
        if der.len() > 1024 {
            return Err(KeyError::UnsupportedPrivateKey);
        }
        for kind in [KeyKind::P256, KeyKind::P384, KeyKind::P521] {
            if let Ok(pair) = EcdsaKeyPair::from_pkcs8(ecdsa_algorithm(kind), der) {
                return Self::from_inner(kind, Inner::Ecdsa(Box::new(pair)));
            }
        }
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der)
            .map_err(|_| KeyError::UnsupportedPrivateKey)?;
        Self::from_inner(KeyKind::Ed25519, Inner::Ed25519(Box::new(pair)))
    }

    /// Parses a PEM block `PRIVATE KEY` (PKCS#8) or `EC PRIVATE KEY` (SEC 1, RFC 5915).
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        let pem = Pem::parse(text).map_err(KeyError::Pem)?;
        match pem.label() {
            "PRIVATE KEY" => Self::from_pkcs8_der(pem.bytes()),
            "EC PRIVATE KEY" => Self::from_sec1_der(pem.bytes()),
            other => Err(KeyError::WrongPemLabel {
                expected: "PRIVATE KEY",
                found: other.to_owned(),
            }),
        }
    }

    /// Returns the DER PKCS#8 version 1 form, as OpenSSL writes it; erased when dropped.
    pub fn to_pkcs8_der(&self) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let document = match &self.inner {
            Inner::Ecdsa(pair) => pair.to_pkcs8v1(),
            Inner::Ed25519(pair) => {
                // aws-lc writes version 2 with the public key even here for some kinds; the
                // seed form of RFC 8410 section 7 is what every reader takes.
                let seed = pair.seed().map_err(|_| KeyError::UnsupportedPrivateKey)?;
                let seed: aws_lc_rs::encoding::Curve25519SeedBin<'_> =
                    aws_lc_rs::encoding::AsBigEndian::as_be_bytes(&seed)
                        .map_err(|_| KeyError::UnsupportedPrivateKey)?;
                let mut der = Zeroizing::new(
                    b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20".to_vec(),
                );
                der.extend_from_slice(seed.as_ref());
                return Ok(der);
            }
        }
        .map_err(|_| KeyError::UnsupportedPrivateKey)?;
        Ok(Zeroizing::new(document.as_ref().to_vec()))
    }

    /// Returns the public key.
    pub const fn public_key(&self) -> &PublicKey {
        &self.public
    }

    /// Signs `message`. ECDSA signatures come as DER `Ecdsa-Sig-Value`.
    pub fn sign(&self, scheme: Scheme, message: &[u8]) -> Result<Vec<u8>, SignatureError> {
        if scheme.key_kind() != self.public.kind() {
            return Err(SignatureError::SchemeDoesNotFitKey);
        }
        match &self.inner {
            Inner::Ecdsa(pair) => pair
                .sign(&SystemRandom::new(), message)
                .map(|signature| signature.as_ref().to_vec())
                .map_err(|_| SignatureError::SigningFailed),
            Inner::Ed25519(pair) if scheme == Scheme::Ed25519ph => sign_ed25519ph(pair, message),
            Inner::Ed25519(pair) => pair
                .try_sign(message)
                .map(|signature| signature.as_ref().to_vec())
                .map_err(|_| SignatureError::SigningFailed),
        }
    }

    fn from_sec1_der(der: &[u8]) -> Result<Self, KeyError> {
        for kind in [KeyKind::P256, KeyKind::P384, KeyKind::P521] {
            if let Ok(pair) = EcdsaKeyPair::from_private_key_der(ecdsa_algorithm(kind), der) {
                return Self::from_inner(kind, Inner::Ecdsa(Box::new(pair)));
            }
        }
        Err(KeyError::UnsupportedPrivateKey)
    }

    fn from_inner(kind: KeyKind, inner: Inner) -> Result<Self, KeyError> {
        let spki = match &inner {
            Inner::Ecdsa(pair) => pair
                .public_key()
                .as_der()
                .map_err(|_| KeyError::UnsupportedPrivateKey)?
                .as_ref()
                .to_vec(),
            Inner::Ed25519(pair) => {
                let mut der = kind.spki_prefix().0.to_vec();
                der.extend_from_slice(pair.public_key().as_ref());
                der
            }
        };
        let public = PublicKey::from_spki_der(&spki)?;
        Ok(Self { inner, public })
    }
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyPair({:?})", self.public)
    }
}

fn ecdsa_algorithm(kind: KeyKind) -> &'static signature::EcdsaSigningAlgorithm {
    match kind {
        KeyKind::P384 => &signature::ECDSA_P384_SHA384_ASN1_SIGNING,
        KeyKind::P521 => &signature::ECDSA_P521_SHA512_ASN1_SIGNING,
        // Ed25519 never comes here; a wrong curve would only fail to parse.
        KeyKind::P256 | KeyKind::Ed25519 => &signature::ECDSA_P256_SHA256_ASN1_SIGNING,
    }
}

fn sign_ed25519ph(pair: &Ed25519KeyPair, message: &[u8]) -> Result<Vec<u8>, SignatureError> {
    let seed = pair.seed().map_err(|_| SignatureError::SigningFailed)?;
    let seed: aws_lc_rs::encoding::Curve25519SeedBin<'_> =
        aws_lc_rs::encoding::AsBigEndian::as_be_bytes(&seed)
            .map_err(|_| SignatureError::SigningFailed)?;
    let seed: Zeroizing<[u8; 32]> = Zeroizing::new(
        seed.as_ref()
            .try_into()
            .map_err(|_| SignatureError::SigningFailed)?,
    );
    ed25519_dalek::SigningKey::from_bytes(&seed)
        .sign_prehashed(Sha512::new_with_prefix(message), None)
        .map(|signature| signature.to_bytes().to_vec())
        .map_err(|_| SignatureError::SigningFailed)
}

/// Why something is not a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The system gave no random bytes.
    #[error("the system's random source failed")]
    NoRandomness,
    /// Not 64 lower-case hex digits.
    #[error("a key id is 64 lower-case hexadecimal digits")]
    NotAKeyId,
    /// Not a PEM block.
    #[error("not a PEM block: {0}")]
    Pem(PemError),
    /// The name is none of `p256`, `p384`, `p521`, `ed25519`.
    #[error("a kind of key is one of p256, p384, p521, ed25519")]
    UnknownKind,
    /// Not an unencrypted PKCS#8 key on P-256, P-384, P-521 or Ed25519.
    #[error("not a private key on P-256, P-384, P-521 or Ed25519 in PKCS#8")]
    UnsupportedPrivateKey,
    /// Not a canonical SPKI of one of the kinds, or a point off the curve.
    #[error("not a public key on P-256, P-384, P-521 or Ed25519 in the DER form of OpenSSL")]
    UnsupportedPublicKey,
    /// A PEM block of another type.
    #[error("a PEM block `{expected}` is needed, this one is `{found}`")]
    WrongPemLabel {
        /// The type needed.
        expected: &'static str,
        /// The type found.
        found: String,
    },
}

/// Why a signature was not made or not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// The signature is not one by this key over this message.
    #[error("the signature does not verify")]
    Invalid,
    /// For instance P-384 asked of a P-256 key.
    #[error("the signature scheme does not fit the key")]
    SchemeDoesNotFitKey,
    /// The crypto library refused to sign.
    #[error("signing failed")]
    SigningFailed,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scheme_signs_verifies_and_rejects() {
        for scheme in Scheme::ALL {
            let pair = KeyPair::generate(scheme.key_kind()).unwrap();
            let signature = pair.sign(scheme, b"message").unwrap();
            let key = pair.public_key();
            key.verify(scheme, b"message", &signature).unwrap();
            assert_eq!(
                key.verify(scheme, b"messagf", &signature),
                Err(SignatureError::Invalid)
            );
            let mut flipped = signature.clone();
            *flipped.last_mut().unwrap() ^= 1;
            assert_eq!(
                key.verify(scheme, b"message", &flipped),
                Err(SignatureError::Invalid)
            );
            let other = KeyPair::generate(scheme.key_kind()).unwrap();
            assert!(
                other
                    .public_key()
                    .verify(scheme, b"message", &signature)
                    .is_err()
            );
        }
    }

    #[test]
    fn ed25519_and_ed25519ph_do_not_stand_in_for_each_other() {
        let pair = KeyPair::generate(KeyKind::Ed25519).unwrap();
        let pure = pair.sign(Scheme::Ed25519, b"m").unwrap();
        assert!(
            pair.public_key()
                .verify(Scheme::Ed25519ph, b"m", &pure)
                .is_err()
        );
        let ph = pair.sign(Scheme::Ed25519ph, b"m").unwrap();
        assert!(
            pair.public_key()
                .verify(Scheme::Ed25519, b"m", &ph)
                .is_err()
        );
    }

    #[test]
    fn keys_survive_their_encodings() {
        for kind in KeyKind::ALL {
            let pair = KeyPair::generate(kind).unwrap();
            let again = KeyPair::from_pkcs8_der(&pair.to_pkcs8_der().unwrap()).unwrap();
            assert_eq!(again.public_key(), pair.public_key());
            let public = PublicKey::from_pem(&pair.public_key().to_pem()).unwrap();
            assert_eq!(public.id(), pair.public_key().id());
            assert_eq!(public.kind(), kind);
        }
    }

    #[test]
    fn a_point_off_the_curve_is_no_key() {
        let pair = KeyPair::generate(KeyKind::P256).unwrap();
        let mut der = pair.public_key().as_spki_der().to_vec();
        *der.last_mut().unwrap() ^= 1;
        assert_eq!(
            PublicKey::from_spki_der(&der),
            Err(KeyError::UnsupportedPublicKey)
        );
        der.push(0);
        assert_eq!(
            PublicKey::from_spki_der(&der),
            Err(KeyError::UnsupportedPublicKey)
        );
    }

    #[test]
    fn debug_shows_no_secret() {
        let pair = KeyPair::generate(KeyKind::Ed25519).unwrap();
        let secret = hex::encode(pair.to_pkcs8_der().unwrap().as_slice());
        assert!(!format!("{pair:?}").contains(secret.get(32..).unwrap()));
    }
}
