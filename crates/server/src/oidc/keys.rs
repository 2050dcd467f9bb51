//! An issuer's key set (RFC 7517), of which only signature keys of the accepted algorithms are
//! kept. Secrets (`oct`), encryption keys and unknown kinds are passed over, as section 5 asks.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256,
    RsaPublicKeyComponents, UnparsedPublicKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use custos_core::json::{self, JsonError};
use custos_core::limits::Limits;
use serde::Deserialize;
use serde_json::Value;

use super::token::{Algorithm, Token};

/// Largest key set, in bytes.
pub(super) const MAX_JWKS: usize = 256 * 1024;
/// Most keys that are looked at.
const MAX_KEYS: usize = 256;
// Keys that are tried for a token without a key id.
const MAX_TRIES: usize = 8;

/// Keys of one issuer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KeySet {
    keys: Vec<Key>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Key {
    kid: Option<String>,
    material: Material,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Material {
    Rsa { n: Vec<u8>, e: Vec<u8> },
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
}

/// What a key set says about a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// One of the keys signed it.
    Signed,
    /// The key that it names did not sign it.
    NotSigned,
    /// There is no key that fits.
    NoKey,
}

impl KeySet {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, JwksError> {
        let limits = Limits::SMALL.with_max_bytes(MAX_JWKS);
        let set: WireSet = json::from_slice(bytes, &limits).map_err(JwksError::Json)?;
        if set.keys.len() > MAX_KEYS {
            return Err(JwksError::TooMany);
        }
        let keys: Vec<Key> = set.keys.into_iter().filter_map(Key::of).collect();
        if keys.is_empty() {
            return Err(JwksError::NoKey);
        }
        Ok(Self { keys })
    }

    pub(super) fn check(&self, token: &Token<'_>) -> Outcome {
        let fitting = self.keys.iter().filter(|key| {
            key.material.algorithm() == token.algorithm()
                && token
                    .kid()
                    .is_none_or(|kid| key.kid.as_deref() == Some(kid))
        });
        let mut outcome = Outcome::NoKey;
        for key in fitting.take(MAX_TRIES) {
            if key.material.verify(token.signed(), token.signature()) {
                return Outcome::Signed;
            }
            outcome = Outcome::NotSigned;
        }
        outcome
    }
}

impl Key {
    // A key that is not understood is no key; it must not take the others down.
    fn of(value: Value) -> Option<Self> {
        let wire: WireKey = serde_json::from_value(value).ok()?;
        if wire.key_use.as_deref().is_some_and(|use_| use_ != "sig")
            || wire
                .key_ops
                .is_some_and(|ops| !ops.iter().any(|op| op == "verify"))
        {
            return None;
        }
        let bytes = |text: Option<String>| URL_SAFE_NO_PAD.decode(text?).ok();
        let material = match (wire.kty.as_str(), wire.crv.as_deref()) {
            ("RSA", _) => Material::Rsa {
                n: bytes(wire.n)?,
                e: bytes(wire.e)?,
            },
            ("EC", Some("P-256")) => Material::P256(point(&bytes(wire.x)?, &bytes(wire.y)?, 32)?),
            ("EC", Some("P-384")) => Material::P384(point(&bytes(wire.x)?, &bytes(wire.y)?, 48)?),
            ("OKP", Some("Ed25519")) => Material::Ed25519(bytes(wire.x)?),
            _ => return None,
        };
        let named = wire.alg.as_deref().map(Algorithm::from_name);
        if named.is_some_and(|named| named != Some(material.algorithm())) {
            return None;
        }
        Some(Self {
            kid: wire.kid,
            material,
        })
    }
}

impl Material {
    const fn algorithm(&self) -> Algorithm {
        match self {
            Self::Rsa { .. } => Algorithm::Rs256,
            Self::P256(_) => Algorithm::Es256,
            Self::P384(_) => Algorithm::Es384,
            Self::Ed25519(_) => Algorithm::EdDsa,
        }
    }

    fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Rsa { n, e } => RsaPublicKeyComponents { n, e }.verify(
                &RSA_PKCS1_2048_8192_SHA256,
                message,
                signature,
            ),
            Self::P256(key) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key).verify(message, signature)
            }
            Self::P384(key) => {
                UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, key).verify(message, signature)
            }
            Self::Ed25519(key) => UnparsedPublicKey::new(&ED25519, key).verify(message, signature),
        }
        .is_ok()
    }
}

// The uncompressed point (SEC 1 section 2.3.3).
fn point(x: &[u8], y: &[u8], size: usize) -> Option<Vec<u8>> {
    (x.len() == size && y.len() == size).then(|| [&[4], x, y].concat())
}

#[derive(Deserialize)]
struct WireSet {
    keys: Vec<Value>,
}

#[derive(Deserialize)]
struct WireKey {
    kty: String,
    #[serde(rename = "use", default)]
    key_use: Option<String>,
    #[serde(default)]
    key_ops: Option<Vec<String>>,
    #[serde(default)]
    alg: Option<String>,
    #[serde(default)]
    kid: Option<String>,
    #[serde(default)]
    crv: Option<String>,
    #[serde(default)]
    n: Option<String>,
    #[serde(default)]
    e: Option<String>,
    #[serde(default)]
    x: Option<String>,
    #[serde(default)]
    y: Option<String>,
}

/// Why a document is not a key set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JwksError {
    /// Not JSON of this shape, or beyond a limit.
    #[error("the key set is not accepted: {0}")]
    Json(JsonError),
    /// No key of an accepted algorithm.
    #[error("the key set holds no key of an accepted algorithm")]
    NoKey,
    /// More than 256 keys.
    #[error("the key set holds more than {MAX_KEYS} keys")]
    TooMany,
}
