//! Thin signatures over aws-lc-rs: public keys, key pairs, PEM.
//!
//! Keys are accepted in one encoding only, the DER `SubjectPublicKeyInfo` that OpenSSL writes
//! (RFC 5480, RFC 8410, RFC 3279 for RSA), so that a key has one identity: its [`KeyId`], the SHA-256 of that DER.
//! Where keys lie, how they are encrypted, and who is trusted is the `trust` room's business.

mod kind;
mod pem;
mod prehashed;

pub use kind::{KeyKind, RsaSize, Scheme};
pub use pem::{Pem, PemError};

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    self, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RsaEncoding, UnparsedPublicKey,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256, Sha512};
use zeroize::Zeroizing;

use kind::RSA_OID;

/// Largest private key in DER, in bytes: RSA of 4096 bits has about 2,400.
const MAX_PRIVATE_KEY: usize = 4096;

/// Hashes `bytes` with SHA-256.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
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
        let kind = KeyKind::of_spki(der).ok_or_else(|| unsupported(der))?;
        let key = Self {
            kind,
            spki: der.to_vec(),
        };
        // A point that is not on the curve must fail here, not at the first signature.
        UnparsedPublicKey::new(algorithm(kind.statement_scheme()), key.raw())
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

    /// Returns the key on a NIST curve with this uncompressed point, 0x04 and both coordinates
    /// (SEC 1 section 2.3.3), as tokens hold it.
    pub fn from_ec_point(kind: KeyKind, point: &[u8]) -> Result<Self, KeyError> {
        let (prefix, _) = kind.spki_prefix();
        let (KeyKind::P256 | KeyKind::P384 | KeyKind::P521, [4, coordinates @ ..]) = (kind, point)
        else {
            return Err(KeyError::UnsupportedPublicKey);
        };
        Self::from_spki_der(&[prefix, coordinates].concat())
    }

    /// Returns the RSA key with this modulus, big-endian, and the exponent 65537.
    pub fn from_rsa_modulus(modulus: &[u8]) -> Result<Self, KeyError> {
        let start = modulus.iter().position(|byte| *byte != 0);
        let digits = start.and_then(|start| modulus.get(start..));
        let digits = digits.ok_or(KeyError::UnsupportedRsaKey)?;
        let size = match digits.len() {
            256 => RsaSize::Bits2048,
            384 => RsaSize::Bits3072,
            512 => RsaSize::Bits4096,
            _ => return Err(KeyError::UnsupportedRsaKey),
        };
        let (prefix, _) = KeyKind::Rsa(size).spki_prefix();
        Self::from_spki_der(&[prefix, digits, kind::RSA_TAIL].concat())
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
            return self.verify_prehashed(Sha512::new_with_prefix(message), signature);
        }
        UnparsedPublicKey::new(algorithm(scheme), self.raw())
            .verify(message, signature)
            .map_err(|_| SignatureError::Invalid)
    }

    fn raw(&self) -> &[u8] {
        self.kind.raw(&self.spki)
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

type RsaPair = signature::RsaKeyPair;

enum Inner {
    Ecdsa(Box<EcdsaKeyPair>),
    Ed25519(Box<Ed25519KeyPair>),
    Rsa(Box<RsaPair>),
}

impl KeyPair {
    /// Generates a key from the system's random source.
    pub fn generate(kind: KeyKind) -> Result<Self, KeyError> {
        let inner = match kind {
            KeyKind::Ed25519 => Inner::Ed25519(Box::new(
                Ed25519KeyPair::generate().map_err(|_| KeyError::NoRandomness)?,
            )),
            KeyKind::Rsa(size) => Inner::Rsa(Box::new(
                RsaPair::generate(rsa_size(size)).map_err(|_| KeyError::NoRandomness)?,
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
        if der.len() > MAX_PRIVATE_KEY {
            return Err(KeyError::UnsupportedPrivateKey);
        }
        for kind in [KeyKind::P256, KeyKind::P384, KeyKind::P521] {
            if let Ok(pair) = EcdsaKeyPair::from_pkcs8(ecdsa_algorithm(kind), der) {
                return Self::from_inner(kind, Inner::Ecdsa(Box::new(pair)));
            }
        }
        if let Ok(pair) = RsaPair::from_pkcs8(der) {
            return Self::from_rsa(pair);
        }
        let pair =
            Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).map_err(|_| {
                match unsupported(der) {
                    KeyError::UnsupportedRsaKey => KeyError::UnsupportedRsaKey,
                    _ => KeyError::UnsupportedPrivateKey,
                }
            })?;
        Self::from_inner(KeyKind::Ed25519, Inner::Ed25519(Box::new(pair)))
    }

    /// Parses a PEM block `PRIVATE KEY` (PKCS#8), `EC PRIVATE KEY` (SEC 1, RFC 5915) or
    /// `RSA PRIVATE KEY` (PKCS#1, RFC 8017).
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        let pem = Pem::parse(text).map_err(KeyError::Pem)?;
        match pem.label() {
            "PRIVATE KEY" => Self::from_pkcs8_der(pem.bytes()),
            "EC PRIVATE KEY" => Self::from_sec1_der(pem.bytes()),
            "RSA PRIVATE KEY" if pem.bytes().len() <= MAX_PRIVATE_KEY => {
                let pair =
                    RsaPair::from_der(pem.bytes()).map_err(|_| KeyError::UnsupportedRsaKey)?;
                Self::from_rsa(pair)
            }
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
            Inner::Rsa(pair) => {
                let der: aws_lc_rs::encoding::Pkcs8V1Der<'_> =
                    pair.as_der().map_err(|_| KeyError::UnsupportedPrivateKey)?;
                return Ok(Zeroizing::new(der.as_ref().to_vec()));
            }
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
            Inner::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                let random = SystemRandom::new();
                pair.sign(rsa_encoding(scheme), &random, message, &mut signature)
                    .map_err(|_| SignatureError::SigningFailed)?;
                Ok(signature)
            }
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

    // The size is looked at where the public key is read.
    fn from_rsa(pair: RsaPair) -> Result<Self, KeyError> {
        Self::from_inner(KeyKind::Rsa(RsaSize::Bits2048), Inner::Rsa(Box::new(pair)))
    }

    fn from_inner(kind: KeyKind, inner: Inner) -> Result<Self, KeyError> {
        let spki = match &inner {
            Inner::Ecdsa(pair) => pair
                .public_key()
                .as_der()
                .map_err(|_| KeyError::UnsupportedPrivateKey)?
                .as_ref()
                .to_vec(),
            Inner::Rsa(pair) => {
                let der: aws_lc_rs::encoding::PublicKeyX509Der<'_> = pair
                    .public_key()
                    .as_der()
                    .map_err(|_| KeyError::UnsupportedPrivateKey)?;
                der.as_ref().to_vec()
            }
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

// How a scheme verifies; Ed25519ph goes another way, and its keys are parsed as Ed25519's.
fn algorithm(scheme: Scheme) -> &'static dyn signature::VerificationAlgorithm {
    match scheme {
        Scheme::EcdsaP256 => &signature::ECDSA_P256_SHA256_ASN1,
        Scheme::EcdsaP384 => &signature::ECDSA_P384_SHA384_ASN1,
        Scheme::EcdsaP521 => &signature::ECDSA_P521_SHA512_ASN1,
        Scheme::Ed25519 | Scheme::Ed25519ph => &signature::ED25519,
        Scheme::RsaPkcs1Sha256(_) => &signature::RSA_PKCS1_2048_8192_SHA256,
        Scheme::RsaPssSha256(_) => &signature::RSA_PSS_2048_8192_SHA256,
    }
}

fn rsa_encoding(scheme: Scheme) -> &'static dyn RsaEncoding {
    match scheme {
        Scheme::RsaPssSha256(_) => &signature::RSA_PSS_SHA256,
        _ => &signature::RSA_PKCS1_SHA256,
    }
}

const fn rsa_size(size: RsaSize) -> aws_lc_rs::rsa::KeySize {
    match size {
        RsaSize::Bits2048 => aws_lc_rs::rsa::KeySize::Rsa2048,
        RsaSize::Bits3072 => aws_lc_rs::rsa::KeySize::Rsa3072,
        RsaSize::Bits4096 => aws_lc_rs::rsa::KeySize::Rsa4096,
    }
}

// Which of the two refusals fits: an RSA key says so near its beginning.
fn unsupported(der: &[u8]) -> KeyError {
    let head = der.get(..48).unwrap_or(der);
    if head.windows(RSA_OID.len()).any(|window| window == RSA_OID) {
        KeyError::UnsupportedRsaKey
    } else {
        KeyError::UnsupportedPublicKey
    }
}

fn ecdsa_algorithm(kind: KeyKind) -> &'static signature::EcdsaSigningAlgorithm {
    match kind {
        KeyKind::P384 => &signature::ECDSA_P384_SHA384_ASN1_SIGNING,
        KeyKind::P521 => &signature::ECDSA_P521_SHA512_ASN1_SIGNING,
        // Others never come here; a wrong curve would only fail to parse.
        KeyKind::P256 | KeyKind::Ed25519 | KeyKind::Rsa(_) => {
            &signature::ECDSA_P256_SHA256_ASN1_SIGNING
        }
    }
}

fn sign_ed25519ph(pair: &Ed25519KeyPair, message: &[u8]) -> Result<Vec<u8>, SignatureError> {
    let seed = ed25519_seed(pair)?;
    ed25519_dalek::SigningKey::from_bytes(&seed)
        .sign_prehashed(Sha512::new_with_prefix(message), None)
        .map(|signature| signature.to_bytes().to_vec())
        .map_err(|_| SignatureError::SigningFailed)
}

fn ed25519_seed(pair: &Ed25519KeyPair) -> Result<Zeroizing<[u8; 32]>, SignatureError> {
    let seed = pair.seed().map_err(|_| SignatureError::SigningFailed)?;
    let seed: aws_lc_rs::encoding::Curve25519SeedBin<'_> =
        aws_lc_rs::encoding::AsBigEndian::as_be_bytes(&seed)
            .map_err(|_| SignatureError::SigningFailed)?;
    seed.as_ref()
        .try_into()
        .map(Zeroizing::new)
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
    /// The name is none of [`KeyKind::ALL`].
    #[error("a kind of key is one of p256, p384, p521, ed25519, rsa2048, rsa3072, rsa4096")]
    UnknownKind,
    /// Not an unencrypted PKCS#8 key on P-256, P-384, P-521 or Ed25519, or of RSA.
    #[error("not a private key on P-256, P-384, P-521 or Ed25519, or of RSA, in PKCS#8")]
    UnsupportedPrivateKey,
    /// Not a canonical SPKI of one of the kinds, or a point off the curve.
    #[error(
        "not a public key on P-256, P-384, P-521 or Ed25519, or of RSA, in the DER form of OpenSSL"
    )]
    UnsupportedPublicKey,
    /// An RSA key of another size or exponent.
    #[error("an RSA key has 2048, 3072 or 4096 bits here, and the exponent 65537")]
    UnsupportedRsaKey,
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
    /// Pure Ed25519 signs whole messages, never a digest.
    #[error("pure Ed25519 signs whole messages, not digests")]
    MessageNeeded,
    /// For instance P-384 asked of a P-256 key.
    #[error("the signature scheme does not fit the key")]
    SchemeDoesNotFitKey,
    /// The crypto library refused to sign.
    #[error("signing failed")]
    SigningFailed,
}

#[cfg(test)]
mod tests;
