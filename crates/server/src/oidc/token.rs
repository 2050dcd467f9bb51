//! A JSON Web Signature in compact form, with the claims of an ID token.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use custos_core::json;
use custos_core::limits::Limits;
use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};
use serde_json::{Map, Value};

use super::{ClaimError, KeysError};

/// Longest token, in bytes.
pub const MAX_TOKEN: usize = 16 * 1024;

const LIMITS: Limits = Limits::SMALL.with_max_bytes(MAX_TOKEN);

/// A signature algorithm of RFC 7518 or RFC 8037. There is no `none` here, and no shared secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Algorithm {
    /// RSA PKCS#1 v1.5 with SHA-256.
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// Ed25519.
    EdDsa,
}

impl Algorithm {
    /// Returns the algorithm of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "RS256" => Some(Self::Rs256),
            "ES256" => Some(Self::Es256),
            "ES384" => Some(Self::Es384),
            "EdDSA" | "Ed25519" => Some(Self::EdDsa),
            _ => None,
        }
    }
}

/// A token that was taken apart, and is not believed yet.
pub(super) struct Token<'a> {
    signed: &'a str,
    signature: Vec<u8>,
    algorithm: Algorithm,
    kid: Option<String>,
    claims: Claims,
}

impl<'a> Token<'a> {
    pub(super) fn parse(text: &'a str) -> Result<Self, TokenError> {
        if text.len() > MAX_TOKEN {
            return Err(TokenError::TooLarge);
        }
        let (signed, signature) = text.rsplit_once('.').ok_or(TokenError::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(TokenError::Malformed)?;
        let header: Header = part(header)?;
        if header.crit.is_some() {
            return Err(TokenError::CriticalHeader);
        }
        let algorithm = Algorithm::from_name(&header.alg).ok_or_else(|| {
            let name = shortened(&header.alg);
            TokenError::Algorithm { name }
        })?;
        Ok(Self {
            signed,
            signature: decode(signature)?,
            algorithm,
            kid: header.kid,
            claims: part(payload)?,
        })
    }

    pub(super) fn signed(&self) -> &[u8] {
        self.signed.as_bytes()
    }

    pub(super) fn signature(&self) -> &[u8] {
        &self.signature
    }

    pub(super) const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    pub(super) fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    pub(super) const fn claims(&self) -> &Claims {
        &self.claims
    }
}

fn decode(text: &str) -> Result<Vec<u8>, TokenError> {
    URL_SAFE_NO_PAD
        .decode(text)
        .map_err(|_| TokenError::Malformed)
}

fn part<T: de::DeserializeOwned>(text: &str) -> Result<T, TokenError> {
    json::from_slice(&decode(text)?, &LIMITS).map_err(|_| TokenError::Malformed)
}

// Members that name a key (`jwk`, `jku`, `x5c`, `x5u`) are not even read.
#[derive(Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    kid: Option<String>,
    #[serde(default)]
    crit: Option<Value>,
}

/// The claims; what is not named here stands in `other`.
#[derive(Deserialize)]
pub(super) struct Claims {
    pub(super) iss: String,
    pub(super) sub: String,
    aud: Audience,
    pub(super) exp: NumericDate,
    #[serde(default)]
    pub(super) nbf: Option<NumericDate>,
    #[serde(default)]
    pub(super) iat: Option<NumericDate>,
    #[serde(flatten)]
    pub(super) other: Map<String, Value>,
}

impl Claims {
    pub(super) fn has_audience(&self, audience: &str) -> bool {
        match &self.aud {
            Audience::One(one) => one == audience,
            Audience::Many(many) => many.iter().any(|one| one == audience),
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

/// Seconds since the epoch; some issuers write a fraction, which is cut off.
#[derive(Debug, Clone, Copy)]
pub(super) struct NumericDate(i64);

impl NumericDate {
    pub(super) const fn seconds(self) -> i64 {
        self.0
    }
}

impl<'de> Deserialize<'de> for NumericDate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DateVisitor)
    }
}

struct DateVisitor;

impl Visitor<'_> for DateVisitor {
    type Value = NumericDate;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("seconds since the epoch")
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<NumericDate, E> {
        i64::try_from(value)
            .map(NumericDate)
            .map_err(|_| E::custom("a time out of range"))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<NumericDate, E> {
        Ok(NumericDate(value))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<NumericDate, E> {
        // 2^53: whole seconds are exact below, and year 10,000 is far below.
        if !(0.0..9_007_199_254_740_992.0).contains(&value) {
            return Err(E::custom("a time out of range"));
        }
        #[allow(
            clippy::as_conversions,
            clippy::cast_possible_truncation,
            reason = "checked above"
        )]
        let seconds = value as i64;
        Ok(NumericDate(seconds))
    }
}

/// Cuts what an error repeats of a token.
pub(super) fn shortened(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(128).collect()
}

/// Why a token was not accepted. Never holds the token or its signature.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// `none`, a shared-secret algorithm, or one that is not supported.
    #[error("the token's algorithm `{name}` is not accepted")]
    Algorithm {
        /// The name, shortened.
        name: String,
    },
    /// The claims name nobody.
    #[error("{0}")]
    Claim(ClaimError),
    /// The header says that something must be understood which is not.
    #[error("the token has a critical header member that is not known")]
    CriticalHeader,
    /// The token has ended.
    #[error("the token is expired")]
    Expired,
    /// The issuer's keys could not be had: nothing is known about the token.
    #[error("the keys of the token's issuer: {0}")]
    Keys(KeysError),
    /// Not a signed token.
    #[error("the token is malformed")]
    Malformed,
    /// Valid only later.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// Not signed by a key of its issuer.
    #[error("the token's signature does not verify")]
    Signature,
    /// More than [`MAX_TOKEN`] bytes.
    #[error("the token is longer than {MAX_TOKEN} bytes")]
    TooLarge,
    /// The issuer is none of the settings.
    #[error("the token's issuer `{issuer}` is none of those in the settings")]
    UnknownIssuer {
        /// The issuer, shortened.
        issuer: String,
    },
    /// The issuer has no key of this id.
    #[error("the token's issuer has no key that fits the token")]
    UnknownKey,
    /// The token was made for somebody else.
    #[error("the token's audience is not `{expected}`")]
    WrongAudience {
        /// The audience needed.
        expected: String,
    },
}
