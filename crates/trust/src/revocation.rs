//! The life of keys: which were revoked, and which took over from which (`revocations.json`).
//!
//! A key that was stolen on Tuesday signed honestly on Monday. So a revocation names a
//! [`Boundary`]: for each log the first index that may be bad, and a time for signatures that a
//! timestamp authority vouches for. What is *proven* to lie before it stays valid; everything
//! else by that key is rejected, also what carries no proof at all. Indices are compared inside
//! of one log only, and no clock of a signer is ever asked.
//!
//! A rotation is the same without an accident: the old key counts up to the boundary, the new one
//! from there on, and whoever expects the old one expects the new one too, so that no settings
//! file has to be edited on the day.
//!
//! What it is not: a decision. Who may write this file is for [`crate::tuf`] (M of N keys) or for
//! the owner of a home to say. Certificate revocation lists and OCSP play no part.

mod check;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};

use custos_core::clock::Timestamp;
use custos_core::crypto::{KeyError, KeyId, PublicKey};
use custos_core::digest::{Algorithm, Digest};
use custos_core::dsse::Base64;
use custos_core::identity::{ExpectedSigner, Identity};
use custos_core::json::{self, JsonError};
use custos_core::limits::Limits;
use serde::{Deserialize, Serialize};

pub use check::{KeyFault, Side};

/// The `schema` of the file.
pub const SCHEMA: &str = "custos.revocations/1";
/// Most revocations, and most rotations, of one file.
pub const MAX_ENTRIES: usize = 4_096;
/// Most logs that one boundary names.
pub const MAX_LOGS: usize = 64;
/// Longest name, identity or reason, in bytes.
pub const MAX_TEXT: usize = 1_024;
/// Bounds of the file.
pub const LIMITS: Limits = Limits::SMALL.with_max_bytes(4 << 20);

/// Which keys were revoked, and which took over from which.
///
/// ```
/// use custos_core::clock::Timestamp;
/// use custos_core::crypto::{KeyKind, KeyPair};
/// use custos_trust::revocation::{Boundary, Revocation, Revocations, Who};
///
/// let stolen = KeyPair::generate(KeyKind::P256).unwrap().public_key().id();
/// let tuesday = Timestamp::from_seconds(1_800_000_000);
/// let boundary = Boundary::new(tuesday).with_log("example.com/log", 17);
/// let revocation = Revocation::new(Who::Key(stolen), boundary, "laptop stolen", tuesday);
/// let list = Revocations::none().with_revocation(revocation).unwrap();
/// assert_eq!(Revocations::parse(&list.to_bytes().unwrap()).unwrap(), list);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocations {
    version: u64,
    revoked: Vec<Revocation>,
    rotations: Vec<Rotation>,
    digest: Digest,
    // Positions in `revoked`.
    by_key: HashMap<KeyId, Vec<usize>>,
    by_identity: HashMap<String, Vec<usize>>,
}

/// A key or identity whose signatures no longer count.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Revocation {
    /// Whose.
    pub who: Who,
    /// What is proven to lie before this still counts.
    pub boundary: Boundary,
    /// Why, for people.
    pub reason: String,
    /// When it was decided.
    pub decided: Timestamp,
}

impl Revocation {
    /// Returns a revocation.
    pub fn new(
        who: Who,
        boundary: Boundary,
        reason: impl Into<String>,
        decided: Timestamp,
    ) -> Self {
        Self {
            who,
            boundary,
            reason: reason.into(),
            decided,
        }
    }
}

/// Whom a revocation is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Who {
    /// The holder of a key, with or without a certificate.
    Key(KeyId),
    /// The subject of certificates.
    Identity {
        /// Exact subject.
        identity: String,
        /// Exact issuer; without one, the subject whoever issued the certificate.
        issuer: Option<String>,
    },
}

impl Who {
    /// Returns true if it is about this signer.
    pub fn is(&self, signer: &Identity) -> bool {
        match (self, signer) {
            (Self::Key(id), signer) => id == signer.key(),
            (
                Self::Identity { identity, issuer },
                Identity::Certificate {
                    subject,
                    issuer: found,
                    ..
                },
            ) => identity == subject && issuer.as_ref().is_none_or(|issuer| issuer == found),
            _ => false,
        }
    }
}

impl std::fmt::Display for Who {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Key(id) => write!(f, "key:{}", id.short()),
            Self::Identity { identity, .. } => f.write_str(identity),
        }
    }
}

/// Where an old order ends and a new one begins.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Boundary {
    /// For signatures with a trusted time: the first moment behind the boundary.
    pub time: Timestamp,
    /// For logged signatures: of each log, by origin, the first index behind the boundary.
    pub logs: BTreeMap<String, u64>,
}

impl Boundary {
    /// Returns a boundary that no log index tells.
    pub const fn new(time: Timestamp) -> Self {
        Self {
            time,
            logs: BTreeMap::new(),
        }
    }

    /// Returns it with the first index behind it in the log with this origin.
    pub fn with_log(mut self, origin: impl Into<String>, first: u64) -> Self {
        self.logs.insert(origin.into(), first);
        self
    }
}

/// One key takes over from another.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rotation {
    /// The key that counts up to the boundary.
    pub old: KeyId,
    /// The key that counts from there on.
    pub new: PublicKey,
    /// Where one follows the other.
    pub boundary: Boundary,
    /// When it was decided.
    pub decided: Timestamp,
}

impl Rotation {
    /// Returns a rotation.
    pub const fn new(old: KeyId, new: PublicKey, boundary: Boundary, decided: Timestamp) -> Self {
        Self {
            old,
            new,
            boundary,
            decided,
        }
    }
}

impl Revocations {
    /// Returns the list of version 0, which is empty.
    pub fn none() -> Self {
        Self {
            version: 0,
            revoked: Vec::new(),
            rotations: Vec::new(),
            digest: Algorithm::Sha256.digest(EMPTY),
            by_key: HashMap::new(),
            by_identity: HashMap::new(),
        }
    }

    /// Parses a file: strict JSON of this schema within [`LIMITS`].
    pub fn parse(bytes: &[u8]) -> Result<Self, RevocationsError> {
        let wire: Wire = json::from_slice(bytes, &LIMITS).map_err(RevocationsError::Json)?;
        if wire.schema != SCHEMA {
            let found = wire.schema.chars().take(80).collect();
            return Err(RevocationsError::Schema { found });
        }
        let revoked = wire.revoked.into_iter().enumerate();
        let revoked = revoked
            .map(|(at, one)| one.read(at))
            .collect::<Result<_, _>>()?;
        let rotations = wire.rotations.into_iter().enumerate();
        let rotations = rotations
            .map(|(at, one)| one.read(at))
            .collect::<Result<_, _>>()?;
        Self::build(wire.version, revoked, rotations)
    }

    /// Returns the canonical bytes (RFC 8785): one content has one file.
    pub fn to_bytes(&self) -> Result<Vec<u8>, RevocationsError> {
        json::to_canonical(&Wire::of(self)).map_err(RevocationsError::Json)
    }

    /// Returns the number of the list, which grows with each change.
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// Returns the revocations, in the order of the file.
    pub fn revoked(&self) -> &[Revocation] {
        &self.revoked
    }

    /// Returns the rotations, in the order of the file.
    pub fn rotations(&self) -> &[Rotation] {
        &self.rotations
    }

    /// Returns the SHA-256 of the canonical bytes.
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// Returns the next version, with one more revocation. Nothing that was revoked comes back.
    pub fn with_revocation(&self, one: Revocation) -> Result<Self, RevocationsError> {
        let mut revoked = self.revoked.clone();
        revoked.push(one);
        Self::build(self.next()?, revoked, self.rotations.clone())
    }

    /// Returns the next version, with one more rotation.
    pub fn with_rotation(&self, one: Rotation) -> Result<Self, RevocationsError> {
        let mut rotations = self.rotations.clone();
        rotations.push(one);
        Self::build(self.next()?, self.revoked.clone(), rotations)
    }

    /// Returns true if `other` says everything that this list says: a newer list must.
    pub fn is_kept_by(&self, other: &Self) -> bool {
        other.version >= self.version
            && self.revoked.iter().all(|one| other.revoked.contains(one))
            && self
                .rotations
                .iter()
                .all(|one| other.rotations.contains(one))
    }

    /// Returns what both lists say together: nothing that was said is taken back. It is `other`
    /// itself if that keeps all of this list, and this list if it keeps all of the other.
    pub fn joined(&self, other: &Self) -> Result<Self, RevocationsError> {
        if self.is_kept_by(other) {
            return Ok(other.clone());
        }
        if other.is_kept_by(self) {
            return Ok(self.clone());
        }
        let (newer, older) = if self.version > other.version {
            (self, other)
        } else {
            (other, self)
        };
        let mut revoked = newer.revoked.clone();
        for one in &older.revoked {
            if !revoked.contains(one) {
                revoked.push(one.clone());
            }
        }
        let mut rotations = newer.rotations.clone();
        for one in &older.rotations {
            if !rotations.contains(one) {
                rotations.push(one.clone());
            }
        }
        let same = revoked == newer.revoked && rotations == newer.rotations;
        let version = if same { newer.version } else { newer.next()? };
        Self::build(version, revoked, rotations)
    }

    /// Returns the expected signers, and with each key the keys that took over from it, under the
    /// same name.
    pub fn expand(&self, signers: &[ExpectedSigner]) -> Vec<ExpectedSigner> {
        let mut all: Vec<ExpectedSigner> = signers.to_vec();
        let mut at = 0;
        // Each key is added once per name, so a circle of rotations ends.
        while let Some(signer) = all.get(at).cloned() {
            at = at.saturating_add(1);
            let ExpectedSigner::Key { name, key } = &signer else {
                continue;
            };
            let id = key.id();
            for rotation in self.rotations.iter().filter(|one| one.old == id) {
                let next = ExpectedSigner::key(name.as_str(), rotation.new.clone());
                if !all.contains(&next) {
                    all.push(next);
                }
            }
        }
        all
    }

    fn next(&self) -> Result<u64, RevocationsError> {
        self.version.checked_add(1).ok_or(RevocationsError::Version)
    }

    fn build(
        version: u64,
        revoked: Vec<Revocation>,
        rotations: Vec<Rotation>,
    ) -> Result<Self, RevocationsError> {
        let found = revoked.len().max(rotations.len());
        if found > MAX_ENTRIES {
            return Err(RevocationsError::TooMany { found });
        }
        // JSON numbers beyond this are not the same for every reader (RFC 8785 section 3.2.2.3).
        if version > MAX_INTEGER {
            return Err(RevocationsError::Version);
        }
        for (at, one) in revoked.iter().enumerate() {
            one.check()
                .map_err(|fault| RevocationsError::Entry { at, fault })?;
        }
        for (at, one) in rotations.iter().enumerate() {
            one.check()
                .map_err(|fault| RevocationsError::Rotation { at, fault })?;
        }
        let mut list = Self {
            version,
            revoked,
            rotations,
            ..Self::none()
        };
        for (at, one) in list.revoked.iter().enumerate() {
            match &one.who {
                Who::Key(id) => list.by_key.entry(*id).or_default().push(at),
                Who::Identity { identity, .. } => {
                    list.by_identity
                        .entry(identity.clone())
                        .or_default()
                        .push(at);
                }
            }
        }
        let bytes = list.to_bytes()?;
        if bytes.len() > LIMITS.max_bytes {
            return Err(RevocationsError::TooMany { found });
        }
        list.digest = Algorithm::Sha256.digest(&bytes);
        Ok(list)
    }
}

// The canonical bytes of the empty list.
const EMPTY: &[u8] = br#"{"revoked":[],"schema":"custos.revocations/1","version":0}"#;
// 2^53 - 1.
const MAX_INTEGER: u64 = (1 << 53) - 1;

impl Revocation {
    fn check(&self) -> Result<(), EntryFault> {
        if let Who::Identity { identity, issuer } = &self.who {
            text(identity)?;
            issuer.iter().try_for_each(|issuer| text(issuer))?;
        }
        text(&self.reason)?;
        self.boundary.check()
    }
}

impl Rotation {
    fn check(&self) -> Result<(), EntryFault> {
        if self.new.id() == self.old {
            return Err(EntryFault::SameKey);
        }
        self.boundary.check()
    }
}

impl Boundary {
    fn check(&self) -> Result<(), EntryFault> {
        if self.logs.len() > MAX_LOGS {
            return Err(EntryFault::TooManyLogs);
        }
        for (origin, first) in &self.logs {
            text(origin)?;
            if *first > MAX_INTEGER {
                return Err(EntryFault::Index);
            }
        }
        // A time that has no text form would not come back.
        match self.time.to_string().parse::<Timestamp>() {
            Ok(again) if again == self.time => Ok(()),
            _ => Err(EntryFault::Time),
        }
    }
}

fn text(text: &str) -> Result<(), EntryFault> {
    if text.trim().is_empty() {
        Err(EntryFault::Empty)
    } else if text.len() > MAX_TEXT {
        Err(EntryFault::TooLong)
    } else {
        Ok(())
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Wire {
    schema: String,
    version: u64,
    revoked: Vec<WireRevocation>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    rotations: Vec<WireRotation>,
}

impl Wire {
    fn of(list: &Revocations) -> Self {
        Self {
            schema: SCHEMA.to_owned(),
            version: list.version,
            revoked: list.revoked.iter().map(WireRevocation::of).collect(),
            rotations: list.rotations.iter().map(WireRotation::of).collect(),
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WireRevocation {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<KeyId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    identity: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    issuer: Option<String>,
    since: Timestamp,
    #[serde(default)]
    logs: BTreeMap<String, u64>,
    reason: String,
    decided: Timestamp,
}

impl WireRevocation {
    fn of(one: &Revocation) -> Self {
        let (key, identity, issuer) = match &one.who {
            Who::Key(id) => (Some(*id), None, None),
            Who::Identity { identity, issuer } => (None, Some(identity.clone()), issuer.clone()),
        };
        Self {
            key,
            identity,
            issuer,
            since: one.boundary.time,
            logs: one.boundary.logs.clone(),
            reason: one.reason.clone(),
            decided: one.decided,
        }
    }

    fn read(self, at: usize) -> Result<Revocation, RevocationsError> {
        let who = match (self.key, self.identity, self.issuer) {
            (Some(id), None, None) => Who::Key(id),
            (None, Some(identity), issuer) => Who::Identity { identity, issuer },
            _ => {
                let fault = EntryFault::Who;
                return Err(RevocationsError::Entry { at, fault });
            }
        };
        Ok(Revocation {
            who,
            boundary: Boundary {
                time: self.since,
                logs: self.logs,
            },
            reason: self.reason,
            decided: self.decided,
        })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WireRotation {
    old: KeyId,
    new: Base64,
    at: Timestamp,
    #[serde(default)]
    logs: BTreeMap<String, u64>,
    decided: Timestamp,
}

impl WireRotation {
    fn of(one: &Rotation) -> Self {
        Self {
            old: one.old,
            new: Base64(one.new.as_spki_der().to_vec()),
            at: one.boundary.time,
            logs: one.boundary.logs.clone(),
            decided: one.decided,
        }
    }

    fn read(self, at: usize) -> Result<Rotation, RevocationsError> {
        let new = PublicKey::from_spki_der(self.new.as_slice()).map_err(|error| {
            let fault = EntryFault::Key(error);
            RevocationsError::Rotation { at, fault }
        })?;
        Ok(Rotation {
            old: self.old,
            new,
            boundary: Boundary {
                time: self.at,
                logs: self.logs,
            },
            decided: self.decided,
        })
    }
}

/// Why bytes are not a list of revocations.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RevocationsError {
    /// A revocation is not sound.
    #[error("revocation {at}: {fault}")]
    Entry {
        /// Position in the file, from 0.
        at: usize,
        /// What is wrong.
        fault: EntryFault,
    },
    /// Not JSON of this shape, or beyond a limit.
    #[error("the revocations are not accepted: {0}")]
    Json(JsonError),
    /// A rotation is not sound.
    #[error("rotation {at}: {fault}")]
    Rotation {
        /// Position in the file, from 0.
        at: usize,
        /// What is wrong.
        fault: EntryFault,
    },
    /// Another schema.
    #[error("the schema is `{found}`, not `{SCHEMA}`")]
    Schema {
        /// The schema found.
        found: String,
    },
    /// More than [`MAX_ENTRIES`], or too large in all.
    #[error("{found} entries are more than one file holds (at most {MAX_ENTRIES})")]
    TooMany {
        /// Entries found.
        found: usize,
    },
    /// The version is beyond what JSON carries exactly.
    #[error("the version is beyond 2^53 - 1")]
    Version,
}

/// What is wrong with a revocation or a rotation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EntryFault {
    /// A name, identity or reason is empty.
    #[error("a text is empty")]
    Empty,
    /// An index is beyond what JSON carries exactly.
    #[error("an index is beyond 2^53 - 1")]
    Index,
    /// The new key is none.
    #[error("{0}")]
    Key(KeyError),
    /// A key cannot take over from itself.
    #[error("old and new key are the same")]
    SameKey,
    /// The time is outside of the years that RFC 3339 knows.
    #[error("the time is out of range")]
    Time,
    /// A text over [`MAX_TEXT`].
    #[error("a text is longer than {MAX_TEXT} bytes")]
    TooLong,
    /// More than [`MAX_LOGS`].
    #[error("more than {MAX_LOGS} logs")]
    TooManyLogs,
    /// Neither or both of a key and an identity, or an issuer without an identity.
    #[error("it names neither a key nor an identity, or both")]
    Who,
}
