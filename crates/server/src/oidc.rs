//! ID tokens: who asks for a certificate.
//!
//! Spec: `OpenID` Connect Core 1.0 section 3.1.3.7 and Discovery 1.0; RFC 7515, RFC 7517, RFC 7519.
//! Issuers come from the settings alone. Keys come from the issuer's own documents, are kept per
//! issuer, and are fetched again at most every half minute; nothing that a token names is ever
//! fetched or believed (`jku`, `jwk`, `x5u`, `x5c`).
//!
//! What it is not: a client. It starts no flow and asks no user-info endpoint.

mod identity;
mod issuer;
mod keys;
mod net;
mod token;

use std::fmt;

use custos_core::clock::Timestamp;

pub use identity::{ClaimError, Identity, IdentityKind, San};
pub use issuer::{Fetch, FetchError, Fetched, Issuer, KeysError, KeysFrom, SettingError};
pub use keys::JwksError;
pub use net::NetFetch;
pub use token::{Algorithm, MAX_TOKEN, TokenError};

use issuer::Source;
use token::Token;

/// The audience of Sigstore's tokens.
pub const AUDIENCE: &str = "sigstore";

/// Most issuers.
pub const MAX_ISSUERS: usize = 64;

// How far clocks may differ for `iat` and `nbf`, in seconds.
const SKEW: i64 = 60;

/// Verifies tokens of a few issuers.
pub struct TokenVerifier {
    sources: Vec<Source>,
}

impl TokenVerifier {
    /// Returns a verifier of tokens by these issuers; `fetch` gets their documents.
    pub fn new(
        issuers: Vec<Issuer>,
        fetch: &std::sync::Arc<dyn Fetch>,
    ) -> Result<Self, SettingError> {
        if issuers.len() > MAX_ISSUERS {
            return Err(SettingError::TooMany);
        }
        let mut sources: Vec<Source> = Vec::with_capacity(issuers.len());
        for issuer in issuers {
            if sources
                .iter()
                .any(|source| source.issuer().url == issuer.url)
            {
                return Err(SettingError::Twice { url: issuer.url });
            }
            sources.push(Source::new(issuer, std::sync::Arc::clone(fetch))?);
        }
        Ok(Self { sources })
    }

    /// Verifies a token and returns whom it names. May fetch, so it may take some seconds.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Identity, TokenError> {
        let token = Token::parse(token)?;
        let source = self
            .sources
            .iter()
            .find(|source| source.issuer().url == token.claims().iss)
            .ok_or_else(|| TokenError::UnknownIssuer {
                issuer: token::shortened(&token.claims().iss),
            })?;
        source.check_signature(&token, now)?;
        check_times(&token, now)?;
        let audience = &source.issuer().audience;
        if !token.claims().has_audience(audience) {
            return Err(TokenError::WrongAudience {
                expected: audience.clone(),
            });
        }
        Identity::of(source.issuer(), token.claims()).map_err(TokenError::Claim)
    }

    /// Returns the issuers.
    pub fn issuers(&self) -> impl Iterator<Item = &Issuer> {
        self.sources.iter().map(Source::issuer)
    }
}

impl fmt::Debug for TokenVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let urls = self.issuers().map(|issuer| &issuer.url);
        f.debug_list().entries(urls).finish()
    }
}

fn check_times(token: &Token<'_>, now: Timestamp) -> Result<(), TokenError> {
    let claims = token.claims();
    let now = now.as_seconds();
    let soon = now.saturating_add(SKEW);
    if claims.exp.seconds() <= now {
        return Err(TokenError::Expired);
    }
    let early = |time: Option<token::NumericDate>| time.is_some_and(|time| time.seconds() > soon);
    if early(claims.nbf) || early(claims.iat) {
        return Err(TokenError::NotYetValid);
    }
    Ok(())
}

pub(crate) fn token_parses(text: &str) -> bool {
    Token::parse(text).is_ok()
}

pub(crate) fn key_set_parses(bytes: &[u8]) -> bool {
    keys::KeySet::parse(bytes).is_ok()
}

#[cfg(test)]
pub(crate) mod tests;
