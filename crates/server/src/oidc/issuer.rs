//! Where an issuer's keys come from, and how long they are believed.
//!
//! GHSA-f5mr-q85p-6hh6 is the attack to stop: a discovery that follows a redirect to another
//! host, or a cache that several issuers share, lets one party's keys sign for another.

use std::sync::{Arc, Mutex, PoisonError};

use custos_core::clock::Timestamp;
use custos_core::json::{self, JsonError};
use custos_core::limits::Limits;
use serde::Deserialize;
use tokio::sync::Semaphore;

use super::identity::IdentityKind;
use super::keys::{JwksError, KeySet, MAX_JWKS, Outcome};
use super::token::{Token, TokenError};

const MAX_DISCOVERY: usize = 256 * 1024;
const MAX_REDIRECTS: usize = 3;
const MAX_URL: usize = 2_048;
const SECOND: i64 = 1_000_000;
/// How long keys are used before they are fetched again.
const FRESH: i64 = 3_600 * SECOND;
/// How long they are used at most while the issuer does not answer.
const STALE: i64 = 86_400 * SECOND;
/// Tokens of one issuer that may wait for its answer; it may be slow, and others have work too.
const WAITING: usize = 4;
/// Shortest time between two fetches, so that tokens with made-up key ids cause no traffic.
const BETWEEN_FETCHES: i64 = 30 * SECOND;

/// An issuer of the settings.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Issuer {
    /// The URL, exactly as tokens name it in `iss`.
    pub url: String,
    /// What its tokens say about people and jobs.
    pub kind: IdentityKind,
    /// Whom the tokens have to be made for.
    pub audience: String,
    /// Where its keys are.
    pub keys: KeysFrom,
    /// Further hosts that its key set may lie on; its own is always one.
    pub key_hosts: Vec<String>,
}

impl Issuer {
    /// Returns an issuer with the audience `sigstore`, whose keys are discovered.
    pub fn new(url: impl Into<String>, kind: IdentityKind) -> Self {
        Self {
            url: url.into(),
            kind,
            audience: super::AUDIENCE.to_owned(),
            keys: KeysFrom::Discovery,
            key_hosts: Vec::new(),
        }
    }

    /// Returns it with another audience.
    pub fn with_audience(self, audience: impl Into<String>) -> Self {
        Self {
            audience: audience.into(),
            ..self
        }
    }

    /// Returns it with another source of keys.
    pub fn with_keys(self, keys: KeysFrom) -> Self {
        Self { keys, ..self }
    }

    /// Returns it with further hosts for its key set.
    pub fn with_key_hosts(self, key_hosts: Vec<String>) -> Self {
        Self { key_hosts, ..self }
    }
}

/// Where an issuer's keys come from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeysFrom {
    /// The document at `/.well-known/openid-configuration` says where.
    Discovery,
    /// This URL.
    Url(String),
    /// This key set, for machines without a way out.
    Static(Vec<u8>),
}

/// Gets a document. Blocking; time limits are the implementation's.
pub trait Fetch: Send + Sync {
    /// Gets `url` and reads at most `limit` bytes. It reports redirects instead of following
    /// them.
    fn get(&self, url: &str, limit: usize) -> Result<Fetched, FetchError>;
}

/// The answer to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fetched {
    /// The document.
    Body(Vec<u8>),
    /// It is elsewhere: the value of `Location`.
    Redirect(String),
}

/// Why a document was not had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
#[non_exhaustive]
pub struct FetchError {
    /// What went wrong, without secrets.
    pub message: String,
}

impl FetchError {
    /// Returns an error with this message.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
        }
    }
}

/// An issuer with what is known of its keys.
pub(super) struct Source {
    issuer: Issuer,
    fetch: Arc<dyn Fetch>,
    known: Mutex<Known>,
    // Held while fetching, so that many tokens cause one fetch.
    fetching: Mutex<Option<Timestamp>>,
    // Who fetches, and who waits for that.
    places: Semaphore,
}

#[derive(Clone, Default)]
struct Known {
    keys: Option<(Arc<KeySet>, Timestamp)>,
}

impl Source {
    pub(super) fn new(issuer: Issuer, fetch: Arc<dyn Fetch>) -> Result<Self, SettingError> {
        let invalid = || SettingError::Url {
            url: issuer.url.clone(),
        };
        if !is_allowed(&issuer.url) {
            return Err(invalid());
        }
        let known = match &issuer.keys {
            KeysFrom::Static(bytes) => {
                let keys = KeySet::parse(bytes).map_err(SettingError::Keys)?;
                Known {
                    keys: Some((Arc::new(keys), Timestamp::default())),
                }
            }
            KeysFrom::Url(url) if !is_allowed(url) => {
                return Err(SettingError::Url { url: url.clone() });
            }
            KeysFrom::Url(_) | KeysFrom::Discovery => Known::default(),
        };
        issuer.kind.check().map_err(SettingError::Kind)?;
        Ok(Self {
            issuer,
            fetch,
            known: Mutex::new(known),
            fetching: Mutex::new(None),
            places: Semaphore::new(WAITING),
        })
    }

    pub(super) const fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    pub(super) fn check_signature(
        &self,
        token: &Token<'_>,
        now: Timestamp,
    ) -> Result<(), TokenError> {
        let keys = self.keys(now)?;
        let outcome = match keys.check(token) {
            // Perhaps the issuer has a new key since.
            Outcome::NoKey => match self.refreshed(&keys, now)? {
                Some(newer) => newer.check(token),
                None => Outcome::NoKey,
            },
            outcome => outcome,
        };
        match outcome {
            Outcome::Signed => Ok(()),
            Outcome::NotSigned => Err(TokenError::Signature),
            Outcome::NoKey => Err(TokenError::UnknownKey),
        }
    }

    fn is_static(&self) -> bool {
        matches!(self.issuer.keys, KeysFrom::Static(_))
    }

    fn known(&self) -> Option<(Arc<KeySet>, Timestamp)> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.keys.clone()
    }

    // Keys that are fresh enough, fetched if need be.
    fn keys(&self, now: Timestamp) -> Result<Arc<KeySet>, TokenError> {
        let known = self.known();
        if let Some((keys, at)) = &known
            && (self.is_static() || is_within(FRESH, *at, now))
        {
            return Ok(Arc::clone(keys));
        }
        match self.fetch_once(now) {
            Ok(keys) => Ok(keys),
            Err(error) => known
                .filter(|(_, at)| is_within(STALE, *at, now))
                .map(|(keys, _)| keys)
                .ok_or(TokenError::Keys(error)),
        }
    }

    // A key set newer than `old`, if one may and can be had.
    fn refreshed(
        &self,
        old: &Arc<KeySet>,
        now: Timestamp,
    ) -> Result<Option<Arc<KeySet>>, TokenError> {
        if self.is_static() {
            return Ok(None);
        }
        let newer = self.fetch_once(now).map_err(TokenError::Keys)?;
        Ok((!Arc::ptr_eq(old, &newer)).then_some(newer))
    }

    // Fetches, unless somebody did within the last half minute; then that outcome stands. Keys
    // stay as they are if the fetch fails.
    fn fetch_once(&self, now: Timestamp) -> Result<Arc<KeySet>, KeysError> {
        let _place = self.places.try_acquire().map_err(|_| KeysError::Busy)?;
        let mut last = self.fetching.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_some_and(|last| is_within(BETWEEN_FETCHES, last, now)) {
            return match self.known() {
                Some((keys, at)) if is_within(FRESH, at, now) => Ok(keys),
                _ => Err(KeysError::TriedAlready),
            };
        }
        *last = Some(now);
        let keys = Arc::new(self.fetch_keys()?);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.keys = Some((Arc::clone(&keys), now));
        Ok(keys)
    }

    fn fetch_keys(&self) -> Result<KeySet, KeysError> {
        let url = match &self.issuer.keys {
            KeysFrom::Url(url) => url.clone(),
            _ => self.discover()?,
        };
        let body = self.get(&url, MAX_JWKS)?;
        KeySet::parse(&body).map_err(KeysError::KeySet)
    }

    fn discover(&self) -> Result<String, KeysError> {
        let base = self.issuer.url.trim_end_matches('/');
        let url = format!("{base}/.well-known/openid-configuration");
        let body = self.get(&url, MAX_DISCOVERY)?;
        let limits = Limits::SMALL.with_max_bytes(MAX_DISCOVERY);
        let document: Discovery = json::from_slice(&body, &limits).map_err(KeysError::Discovery)?;
        if document.issuer != self.issuer.url {
            return Err(KeysError::OtherIssuer);
        }
        let (own, found) = (Origin::of(base), Origin::of(&document.jwks_uri));
        let known_host = match (&own, &found) {
            (Some(own), Some(found)) => {
                own == found
                    || (found.scheme == "https"
                        && self.issuer.key_hosts.iter().any(|host| host == found.host))
            }
            _ => false,
        };
        if known_host {
            Ok(document.jwks_uri)
        } else {
            Err(KeysError::OtherHost)
        }
    }

    // Follows redirects, but only on the host that was asked.
    fn get(&self, url: &str, limit: usize) -> Result<Vec<u8>, KeysError> {
        let origin = Origin::of(url).ok_or(KeysError::OtherHost)?;
        let mut at = url.to_owned();
        for _ in 0..=MAX_REDIRECTS {
            match self.fetch.get(&at, limit).map_err(KeysError::Fetch)? {
                Fetched::Body(body) if body.len() > limit => return Err(KeysError::TooLarge),
                Fetched::Body(body) => return Ok(body),
                Fetched::Redirect(location) => {
                    // A path alone stays on the host; `//host` does not.
                    at = if location.starts_with('/') && !location.starts_with("//") {
                        format!("{}://{}{location}", origin.scheme, origin.host)
                    } else {
                        location
                    };
                    if Origin::of(&at).as_ref() != Some(&origin) {
                        return Err(KeysError::OtherHost);
                    }
                }
            }
        }
        Err(KeysError::TooManyRedirects)
    }
}

// A clock that was set back neither stops fetching for good nor keeps old keys for good.
fn is_within(micros: i64, since: Timestamp, now: Timestamp) -> bool {
    (0..micros).contains(&now.micros_since(since))
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

/// Scheme and host with port of a URL.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Origin<'a> {
    scheme: &'a str,
    host: &'a str,
}

impl<'a> Origin<'a> {
    /// Takes only URLs that every parser reads alike: no user, no backslash, no blank.
    fn of(url: &'a str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        if url.len() > MAX_URL || !matches!(scheme, "https" | "http") {
            return None;
        }
        if url
            .bytes()
            .any(|byte| !byte.is_ascii_graphic() || byte == b'\\')
        {
            return None;
        }
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let host = rest.get(..end)?;
        (!host.is_empty() && !host.contains('@')).then_some(Self { scheme, host })
    }

    fn is_loopback(&self) -> bool {
        let (name, port) = match self.host.rsplit_once(':') {
            Some((name, port)) if !port.ends_with(']') => (name, port),
            _ => (self.host, "0"),
        };
        matches!(name, "localhost" | "127.0.0.1" | "[::1]") && port.parse::<u16>().is_ok()
    }
}

// HTTPS, or plain HTTP to this machine.
fn is_allowed(url: &str) -> bool {
    Origin::of(url).is_some_and(|origin| origin.scheme == "https" || origin.is_loopback())
}

/// Why an issuer of the settings is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SettingError {
    /// The given key set.
    #[error("{0}")]
    Keys(JwksError),
    /// The kind of identity lacks something.
    #[error("{0}")]
    Kind(super::ClaimError),
    /// More than 64.
    #[error("more than {} issuers", super::MAX_ISSUERS)]
    TooMany,
    /// The same URL twice.
    #[error("the issuer {url} stands twice in the settings")]
    Twice {
        /// The URL.
        url: String,
    },
    /// Not an HTTPS URL.
    #[error("{url} is not an https:// URL (plain http:// is for this machine only)")]
    Url {
        /// The URL.
        url: String,
    },
}

/// Why an issuer's keys were not had: nothing is known about its tokens.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeysError {
    /// Others wait for its answer already.
    #[error("too many wait for its answer; try again")]
    Busy,
    /// The discovery document.
    #[error("its discovery document is not accepted: {0}")]
    Discovery(JsonError),
    /// The issuer did not answer.
    #[error("{0}")]
    Fetch(FetchError),
    /// The key set.
    #[error("{0}")]
    KeySet(JwksError),
    /// The document or a redirect leads to a host that is not the issuer's.
    #[error("it refers to another host")]
    OtherHost,
    /// The document is about another issuer.
    #[error("its discovery document names another issuer")]
    OtherIssuer,
    /// More bytes than asked for.
    #[error("its answer is too large")]
    TooLarge,
    /// More than three.
    #[error("it redirects too often")]
    TooManyRedirects,
    /// A fetch failed less than half a minute ago.
    #[error("they could not be fetched a moment ago")]
    TriedAlready,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_that_parsers_read_differently_have_no_origin() {
        for bad in [
            "https://",
            "https:///x",
            "ftp://a/",
            "https://a@b/",
            "https://a\\b/",
            "https://a b/",
            "https://ä/",
            "//a/",
            "a",
        ] {
            assert_eq!(Origin::of(bad), None, "{bad}");
        }
        let origin = Origin::of("https://a:443?x=/b").unwrap();
        assert_eq!((origin.scheme, origin.host), ("https", "a:443"));
        for (url, allowed) in [
            ("http://127.0.0.1:80/x", true),
            ("http://[::1]:80", true),
            ("http://[::1]", true),
            ("http://localhost", true),
            ("http://localhost.evil.example", false),
            ("http://127.0.0.1.evil.example:80", false),
            ("http://localhost:80:evil", false),
            ("https://issuer.example", true),
        ] {
            assert_eq!(is_allowed(url), allowed, "{url}");
        }
    }
}
