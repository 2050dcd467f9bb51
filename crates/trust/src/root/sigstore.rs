//! A Sigstore instance as its `trusted_root.json` describes it: certificate authorities,
//! certificate transparency logs, logs of signatures, timestamp authorities, each with the time
//! that it is trusted for.
//!
//! Spec: sigstore/protobuf-specs `sigstore_trustroot.proto`, versions 0.1 and 0.2, in JSON. Times
//! are closed ranges, both ends included. Keys of a kind that is not supported here are left out:
//! what they signed is not believed, everything else is.

use custos_core::clock::Timestamp;
use custos_core::crypto::{KeyKind, PublicKey, Scheme};
use custos_core::digest::{Algorithm, Digest};
use custos_core::dsse::Base64;
use custos_core::json;
use custos_core::limits::{Limits, MAX_CERTIFICATES};
use serde::Deserialize;

use super::{Anchor, MAX_MEMBERS, TrustRootError};
use crate::verify::Certificate;

const MEDIA_TYPES: [&str; 4] = [
    "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
    "application/vnd.dev.sigstore.trustedroot.v0.1+json",
    "application/vnd.dev.sigstore.trustedroot+json;version=0.2",
    "application/vnd.dev.sigstore.trustedroot.v0.2+json",
];

/// Everything that one Sigstore instance vouches by.
#[derive(Clone)]
pub(crate) struct SigstoreRoot {
    digest: Digest,
    logs: Vec<Log>,
    promisers: Vec<Log>,
    promises_certificates: bool,
    issuers: Vec<Issuer>,
    clocks: Vec<Clock>,
}

impl SigstoreRoot {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, TrustRootError> {
        let file: File = json::from_slice(bytes, &Limits::SMALL).map_err(TrustRootError::Json)?;
        if !MEDIA_TYPES.contains(&file.media_type.as_str()) {
            return Err(wrong("its media type is not a trusted root's"));
        }
        let ct_logs = file.ctlogs.unwrap_or_default();
        Ok(Self {
            digest: Algorithm::Sha256.digest(bytes),
            promises_certificates: !ct_logs.is_empty(),
            promisers: logs(ct_logs)?,
            logs: logs(file.tlogs.unwrap_or_default())?,
            issuers: issuers(file.certificate_authorities.unwrap_or_default())?,
            clocks: limited(file.timestamp_authorities.unwrap_or_default())?
                .into_iter()
                .map(Clock::parse)
                .collect::<Result<_, _>>()?,
        })
    }

    /// Returns the digest of the file.
    pub(crate) const fn digest(&self) -> Digest {
        self.digest
    }

    /// Returns the log of signatures with this id.
    pub(crate) fn log(&self, id: &[u8]) -> Option<&Log> {
        self.logs.iter().find(|log| log.id == id)
    }

    /// Returns the certificate transparency log with this id.
    pub(crate) fn certificate_log(&self, id: &[u8]) -> Option<&Log> {
        self.promisers.iter().find(|log| log.id == id)
    }

    /// Returns true if the instance has its certificates logged.
    pub(crate) const fn logs_certificates(&self) -> bool {
        self.promises_certificates
    }

    /// Returns the authorities that issue certificates to signers.
    pub(crate) fn issuers(&self) -> &[Issuer] {
        &self.issuers
    }

    /// Returns the timestamp authorities.
    pub(crate) fn clocks(&self) -> &[Clock] {
        &self.clocks
    }
}

/// When something is trusted, both ends included; no end means until further notice.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    start: Timestamp,
    end: Option<Timestamp>,
}

impl Window {
    fn parse(range: Option<Range>) -> Result<Option<Self>, TrustRootError> {
        let Some(range) = range else {
            return Ok(None);
        };
        let time = |text: &str| {
            text.parse::<Timestamp>()
                .map_err(|_| wrong("a time in it is not RFC 3339"))
        };
        let start = time(&range.start)?;
        let end = range.end.as_deref().map(time).transpose()?;
        if end.is_some_and(|end| end < start) {
            return Err(wrong("a time of validity ends before it starts"));
        }
        Ok(Some(Self { start, end }))
    }

    fn contains(self, at: Timestamp) -> bool {
        self.start <= at && self.end.is_none_or(|end| at <= end)
    }
}

fn holds(window: Option<Window>, at: Timestamp) -> bool {
    window.is_none_or(|window| window.contains(at))
}

/// A log that signs: of signatures (Rekor) or of certificates.
#[derive(Debug, Clone)]
pub(crate) struct Log {
    id: Vec<u8>,
    name: String,
    key: PublicKey,
    window: Option<Window>,
}

impl Log {
    /// Returns the id that entries name the log by.
    pub(crate) fn id(&self) -> &[u8] {
        &self.id
    }

    /// Returns the host of the log.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Returns the key.
    pub(crate) const fn key(&self) -> &PublicKey {
        &self.key
    }

    /// Returns the scheme by which logs sign with such a key: Ed25519 is never prehashed.
    pub(crate) const fn scheme(&self) -> Scheme {
        match self.key.kind() {
            KeyKind::Ed25519 => Scheme::Ed25519,
            kind => kind.statement_scheme(),
        }
    }

    /// Returns true if the log is trusted for what it signed at this time.
    pub(crate) fn is_trusted_at(&self, at: Timestamp) -> bool {
        holds(self.window, at)
    }

    /// Returns true if the log was trusted at some time up to `now`: it may have been retired.
    pub(crate) fn was_trusted_by(&self, now: Timestamp) -> bool {
        self.window.is_none_or(|window| window.start <= now)
    }
}

fn logs(entries: Vec<LogEntry>) -> Result<Vec<Log>, TrustRootError> {
    let mut logs: Vec<Log> = Vec::new();
    for entry in limited(entries)? {
        let window = Window::parse(entry.public_key.valid_for)?;
        let id = entry.checkpoint_key_id.unwrap_or(entry.log_id).key_id.0;
        if id.len() != 32 {
            return Err(wrong("the id of a log is not 32 bytes long"));
        }
        if logs.iter().any(|log| log.id == id) {
            return Err(wrong("two of its logs have the same id"));
        }
        let Ok(key) = PublicKey::from_spki_der(entry.public_key.raw_bytes.as_slice()) else {
            continue;
        };
        logs.push(Log {
            name: log_name(entry.base_url.as_deref(), &id),
            id,
            key,
            window,
        });
    }
    Ok(logs)
}

// The host and path of a log; the id of one that has no address. Two logs never share a name that
// nobody gave them.
fn log_name(url: Option<&str>, id: &[u8]) -> String {
    let url = url.unwrap_or_default();
    let host = url.split_once("://").map_or(url, |(_, rest)| rest);
    match host.trim_end_matches('/') {
        "" => hex::encode(id),
        host => host.to_owned(),
    }
}

/// A certificate that may end the path from a signer's certificate.
#[derive(Clone)]
pub(crate) struct Issuer {
    anchor: Anchor,
    window: Option<Window>,
}

impl Issuer {
    /// Returns the certificate, whether it is trusted at some time or not.
    pub(crate) const fn anchor(&self) -> &Anchor {
        &self.anchor
    }

    /// Returns the certificate, if it is trusted at this time.
    pub(crate) fn at(&self, at: Timestamp) -> Option<&Anchor> {
        (holds(self.window, at) && self.anchor.is_valid_at(at)).then_some(&self.anchor)
    }
}

// Every certificate of an authority is one to end at: its intermediates are as trusted as its
// root, and most leaves are issued by them.
fn issuers(authorities: Vec<AuthorityEntry>) -> Result<Vec<Issuer>, TrustRootError> {
    let mut issuers = Vec::new();
    for authority in limited(authorities)? {
        let window = Window::parse(authority.valid_for)?;
        for der in certificates(authority.cert_chain)? {
            let anchor = Anchor::parse(&der).map_err(|_| bad_certificate())?;
            issuers.push(Issuer { anchor, window });
        }
    }
    Ok(issuers)
}

/// A timestamp authority: its certificate, and the path from there to its root.
#[derive(Clone)]
pub(crate) struct Clock {
    leaf: Certificate,
    links: Vec<Certificate>,
    anchor: Anchor,
    window: Option<Window>,
}

impl Clock {
    fn parse(entry: AuthorityEntry) -> Result<Self, TrustRootError> {
        let window = Window::parse(entry.valid_for)?;
        let mut chain = certificates(entry.cert_chain)?;
        let root = chain.pop().ok_or_else(bad_certificate)?;
        let anchor = Anchor::parse(&root).map_err(|_| bad_certificate())?;
        let mut links = chain
            .iter()
            .map(|der| Certificate::parse(der).map_err(|_| bad_certificate()))
            .collect::<Result<Vec<_>, _>>()?;
        let leaf = if links.is_empty() {
            anchor.certificate().clone()
        } else {
            links.remove(0)
        };
        Ok(Self {
            leaf,
            links,
            anchor,
            window,
        })
    }

    /// Returns the certificate that signs timestamps.
    pub(crate) const fn leaf(&self) -> &Certificate {
        &self.leaf
    }

    /// Returns the certificates between that one and the root.
    pub(crate) fn links(&self) -> &[Certificate] {
        &self.links
    }

    /// Returns the root.
    pub(crate) const fn anchor(&self) -> &Anchor {
        &self.anchor
    }

    /// Returns true if the authority is trusted for this time.
    pub(crate) fn is_trusted_at(&self, at: Timestamp) -> bool {
        holds(self.window, at)
    }
}

fn certificates(chain: Chain) -> Result<Vec<Vec<u8>>, TrustRootError> {
    match chain.certificates.len() {
        0 => Err(wrong("one of its authorities has no certificate")),
        found if found > MAX_CERTIFICATES => Err(TrustRootError::TooMany),
        _ => Ok(chain
            .certificates
            .into_iter()
            .map(|certificate| certificate.raw_bytes.0)
            .collect()),
    }
}

fn limited<T>(entries: Vec<T>) -> Result<Vec<T>, TrustRootError> {
    if entries.len() > MAX_MEMBERS {
        return Err(TrustRootError::TooMany);
    }
    Ok(entries)
}

fn wrong(why: &str) -> TrustRootError {
    TrustRootError::Sigstore(why.to_owned())
}

fn bad_certificate() -> TrustRootError {
    wrong("one of its certificates is none")
}

// Unknown fields are left to newer versions of the format; known ones are read strictly.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    media_type: String,
    tlogs: Option<Vec<LogEntry>>,
    certificate_authorities: Option<Vec<AuthorityEntry>>,
    ctlogs: Option<Vec<LogEntry>>,
    timestamp_authorities: Option<Vec<AuthorityEntry>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LogEntry {
    base_url: Option<String>,
    public_key: KeyEntry,
    log_id: IdEntry,
    checkpoint_key_id: Option<IdEntry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct KeyEntry {
    raw_bytes: Base64,
    valid_for: Option<Range>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct IdEntry {
    key_id: Base64,
}

#[derive(Deserialize)]
struct Range {
    start: String,
    end: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AuthorityEntry {
    cert_chain: Chain,
    valid_for: Option<Range>,
}

#[derive(Deserialize)]
struct Chain {
    certificates: Vec<CertificateEntry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CertificateEntry {
    raw_bytes: Base64,
}
