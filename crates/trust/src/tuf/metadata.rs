//! The four roles as signed JSON, and their keys.
//!
//! Signatures are over the canonical JSON of `signed` (OLPC: sorted keys, no space, strings raw
//! but for `"` and `\`), which is not RFC 8785. Fields that this version does not know are kept
//! in what is verified and otherwise ignored, as the specification asks. Key ids are names that
//! the metadata chooses; they are never taken for digests of the keys.

use std::collections::BTreeMap;
use std::fmt;

use custos_core::clock::Timestamp;
use custos_core::crypto::{KeyId, KeyKind, PublicKey, Scheme, sha256};
use custos_core::digest::{Algorithm, Digest};
use custos_core::json::{self, JsonError};
use custos_core::limits::Limits;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::{Mismatch, TufError};
use super::{MAX_KEYS, MAX_TARGETS};

/// A role of the framework.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Role {
    /// Says whose keys count for what.
    Root,
    /// Says which snapshot is the newest.
    Timestamp,
    /// Says which targets metadata belongs together.
    Snapshot,
    /// Says which files are delivered.
    Targets,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 4] = [Self::Root, Self::Timestamp, Self::Snapshot, Self::Targets];

    /// Returns the name, as in `_type` and in file names.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Timestamp => "timestamp",
            Self::Snapshot => "snapshot",
            Self::Targets => "targets",
        }
    }

    /// Returns the name of its file, such as `root.json`.
    pub fn file(self) -> String {
        format!("{}.json", self.name())
    }

    /// Returns the name of its file with a version in front.
    pub fn versioned_file(self, version: u64) -> String {
        format!("{version}.{}.json", self.name())
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a role says.
pub trait Metadata: Serialize + DeserializeOwned + Clone + fmt::Debug + PartialEq {
    /// Which role.
    const ROLE: Role;

    /// Returns what all roles have.
    fn head(&self) -> &Head;
}

/// What all roles have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Head {
    /// Name of the role.
    #[serde(rename = "_type")]
    pub kind: String,
    /// Version of the specification.
    pub spec_version: String,
    /// Number of this metadata, which only grows.
    pub version: u64,
    /// When it no longer counts.
    pub expires: Timestamp,
}

impl Head {
    /// Returns the head of a role's metadata.
    pub fn new(role: Role, version: u64, expires: Timestamp) -> Self {
        Self {
            kind: role.name().to_owned(),
            spec_version: SPEC_VERSION.to_owned(),
            version,
            // Whole seconds: other clients read no fractions.
            expires: Timestamp::from_seconds(expires.as_seconds()),
        }
    }
}

/// The version of the specification that is written.
pub const SPEC_VERSION: &str = "1.0.33";

macro_rules! metadata {
    ($name:ident, $role:expr) => {
        impl Metadata for $name {
            const ROLE: Role = $role;

            fn head(&self) -> &Head {
                &self.head
            }
        }
    };
}

/// Says whose keys count for what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Root {
    /// Type, version, expiry.
    #[serde(flatten)]
    pub head: Head,
    /// Whether file names carry versions and digests.
    #[serde(default)]
    pub consistent_snapshot: bool,
    /// All keys, by the id that this root gives them.
    pub keys: BTreeMap<String, Key>,
    /// Keys and threshold of each role.
    pub roles: BTreeMap<String, RoleKeys>,
}

/// Says which snapshot is the newest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TimestampRole {
    /// Type, version, expiry.
    #[serde(flatten)]
    pub head: Head,
    /// The snapshot, under `snapshot.json`.
    pub meta: BTreeMap<String, MetaFile>,
}

/// Says which targets metadata belongs together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Snapshot {
    /// Type, version, expiry.
    #[serde(flatten)]
    pub head: Head,
    /// Each targets metadata.
    pub meta: BTreeMap<String, MetaFile>,
}

/// Says which files are delivered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Targets {
    /// Type, version, expiry.
    #[serde(flatten)]
    pub head: Head,
    /// Each file, by name.
    pub targets: BTreeMap<String, TargetFile>,
    /// Other roles that deliver files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delegations: Option<Delegations>,
}

impl Targets {
    /// Returns the first delegated role that may deliver a file of this name which these targets
    /// do not name themselves.
    pub fn delegated(&self, name: &str) -> Option<&str> {
        let delegations = self.delegations.as_ref()?;
        if self.targets.contains_key(name) {
            return None;
        }
        let mut roles = delegations.roles.iter();
        let role = roles.find(|role| role.may_deliver(name));
        let bins = delegations.succinct_roles.as_ref();
        role.map(|role| role.name.as_str())
            // Bins share all names out among themselves.
            .or_else(|| bins.map(|_| "succinct_roles"))
    }
}

/// Roles that deliver files besides the top level (specification, section 4.5). They are not
/// followed; what is known of them serves to tell that a file may lie there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Delegations {
    /// The roles, in the order in which they are to be asked.
    #[serde(default)]
    pub roles: Vec<Delegated>,
    /// Roles that share out all names by their digests (TAP 15).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub succinct_roles: Option<Value>,
}

/// A role that delivers some files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Delegated {
    /// Its name.
    pub name: String,
    /// Patterns of the names that it may deliver.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paths: Option<Vec<String>>,
    /// Or how the digests of these names begin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_hash_prefixes: Option<Vec<String>>,
}

impl Delegated {
    // A role whose names are not told could deliver any.
    fn may_deliver(&self, name: &str) -> bool {
        let digest = || hex::encode(sha256(name.as_bytes()));
        match (&self.paths, &self.path_hash_prefixes) {
            (None, None) => true,
            (paths, prefixes) => {
                let by_name = paths.iter().flatten().any(|path| may_match(path, name));
                let mut prefixes = prefixes.iter().flatten();
                by_name || prefixes.any(|prefix| digest().starts_with(prefix.as_str()))
            }
        }
    }
}

// Whether a pattern of the shell may describe a name that is one part of a path. `*` stands for
// any text within such a part, `?` for one character; sets of characters are taken for a match.
fn may_match(pattern: &str, name: &str) -> bool {
    if pattern.contains('/') {
        return false;
    }
    if pattern.contains('[') {
        return true;
    }
    // Of the name, the starts of all rests that the pattern so far leaves over.
    let name: Vec<char> = name.chars().collect();
    let mut rests = vec![true; 1];
    rests.resize(name.len().saturating_add(1), false);
    for wanted in pattern.chars() {
        let mut next = vec![false; rests.len()];
        let mut reached = false;
        for (at, here) in rests.iter().enumerate() {
            reached |= *here;
            let fits = name.get(at).is_some_and(|c| wanted == '?' || *c == wanted);
            let to = if wanted == '*' {
                at
            } else {
                at.saturating_add(1)
            };
            let holds = if wanted == '*' {
                reached
            } else {
                *here && fits
            };
            if let Some(slot) = next.get_mut(to) {
                *slot |= holds;
            }
        }
        rests = next;
    }
    rests.last().copied().unwrap_or(false)
}

metadata!(Root, Role::Root);
metadata!(TimestampRole, Role::Timestamp);
metadata!(Snapshot, Role::Snapshot);
metadata!(Targets, Role::Targets);

/// What one metadata says about another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MetaFile {
    /// Its version.
    pub version: u64,
    /// Its length.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length: Option<u64>,
    /// Its digests, by algorithm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hashes: Option<BTreeMap<String, String>>,
}

impl MetaFile {
    /// Returns what is to be said about these bytes.
    pub fn of(version: u64, bytes: &[u8]) -> Self {
        Self {
            version,
            length: Some(u64::try_from(bytes.len()).unwrap_or(u64::MAX)),
            hashes: Some(hashes(bytes)),
        }
    }

    pub(super) fn check(&self, name: &str, bytes: &[u8]) -> Result<(), TufError> {
        check_bytes(name, bytes, (self.length, self.hashes.as_ref()))
    }
}

/// What the targets metadata says about a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TargetFile {
    /// Its length.
    pub length: u64,
    /// Its digests, by algorithm.
    pub hashes: BTreeMap<String, String>,
}

impl TargetFile {
    /// Returns what is to be said about these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self {
            length: u64::try_from(bytes.len()).unwrap_or(u64::MAX),
            hashes: hashes(bytes),
        }
    }

    /// Returns the digest by which the file is named where names carry digests.
    pub fn digest(&self) -> Option<Digest> {
        [Algorithm::Sha256, Algorithm::Sha512]
            .into_iter()
            .find_map(|algorithm| {
                let hex = self.hashes.get(algorithm.name())?;
                Digest::from_hex(algorithm, hex).ok()
            })
    }

    pub(super) fn check(&self, name: &str, bytes: &[u8]) -> Result<(), TufError> {
        let differs = |what| TufError::Mismatch {
            name: name.to_owned(),
            what,
        };
        check_bytes(name, bytes, (Some(self.length), Some(&self.hashes)))?;
        // A file with a length alone could be anything of that length.
        self.digest()
            .map(drop)
            .ok_or_else(|| differs(Mismatch::Digest))
    }
}

fn hashes(bytes: &[u8]) -> BTreeMap<String, String> {
    BTreeMap::from([("sha256".to_owned(), hex::encode(sha256(bytes)))])
}

type Signed2<'a> = (Option<u64>, Option<&'a BTreeMap<String, String>>);

fn check_bytes(name: &str, bytes: &[u8], (length, hashes): Signed2<'_>) -> Result<(), TufError> {
    let differs = |what| TufError::Mismatch {
        name: name.to_owned(),
        what,
    };
    let found = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    if length.is_some_and(|length| length != found) {
        return Err(differs(Mismatch::Length));
    }
    let Some(hashes) = hashes else {
        return Ok(());
    };
    let mut known = 0_usize;
    for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
        let Some(hex) = hashes.get(algorithm.name()) else {
            continue;
        };
        known = known.saturating_add(1);
        if *hex != algorithm.digest(bytes).to_hex() {
            return Err(differs(Mismatch::Digest));
        }
    }
    // Digests that nobody here can compute prove nothing.
    if known == 0 {
        return Err(differs(Mismatch::Digest));
    }
    Ok(())
}

/// Keys and threshold of a role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RoleKeys {
    /// Ids of its keys.
    pub keyids: Vec<String>,
    /// How many different ones must sign.
    pub threshold: usize,
}

impl RoleKeys {
    /// Returns a role.
    pub const fn new(keyids: Vec<String>, threshold: usize) -> Self {
        Self { keyids, threshold }
    }
}

/// A key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Key {
    /// Type: `ecdsa`, `ed25519`, `rsa`.
    pub keytype: String,
    /// Scheme, such as `ecdsa-sha2-nistp256`.
    pub scheme: String,
    /// The key itself.
    pub keyval: KeyValue,
}

/// The key itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct KeyValue {
    /// PEM, or the 32 bytes of an Ed25519 key in hex.
    pub public: String,
}

impl Key {
    /// Returns a key as metadata carries it; `None` for a kind that other clients do not read.
    pub fn of(key: &PublicKey) -> Option<Self> {
        let scheme = match key.kind() {
            KeyKind::P256 => "ecdsa-sha2-nistp256",
            KeyKind::P384 => "ecdsa-sha2-nistp384",
            _ => return None,
        };
        Some(Self {
            keytype: "ecdsa".to_owned(),
            scheme: scheme.to_owned(),
            keyval: KeyValue {
                public: key.to_pem(),
            },
        })
    }

    /// Returns the id by which other tools would name the key: hex SHA-256 of its canonical JSON.
    pub fn id(&self) -> String {
        let value = serde_json::json!({
            "keytype": self.keytype,
            "keyval": { "public": self.keyval.public },
            "scheme": self.scheme,
        });
        let mut bytes = Vec::new();
        // Three texts: there is no number that could fail.
        let _ = encode(&value, &mut bytes);
        hex::encode(sha256(&bytes))
    }

    /// Returns the key and how it signs; `None` if it is of a kind that is not supported, which
    /// then counts for nothing.
    pub fn public(&self) -> Option<(PublicKey, Scheme)> {
        let (kind, scheme) = match self.scheme.as_str() {
            "ecdsa-sha2-nistp256" => (KeyKind::P256, Scheme::EcdsaP256),
            "ecdsa-sha2-nistp384" => (KeyKind::P384, Scheme::EcdsaP384),
            "ed25519" => (KeyKind::Ed25519, Scheme::Ed25519),
            "rsassa-pss-sha256" => {
                let key = self.pem()?;
                let KeyKind::Rsa(size) = key.kind() else {
                    return None;
                };
                return Some((key, Scheme::RsaPssSha256(size)));
            }
            _ => return None,
        };
        let text = self.keyval.public.trim();
        let key = if kind == KeyKind::Ed25519 && !text.starts_with('-') {
            let raw: [u8; 32] = hex::decode(text).ok()?.try_into().ok()?;
            PublicKey::from_ed25519_bytes(&raw).ok()?
        } else {
            self.pem()?
        };
        (key.kind() == kind).then_some((key, scheme))
    }

    fn pem(&self) -> Option<PublicKey> {
        PublicKey::from_pem(&format!("{}\n", self.keyval.public.trim())).ok()
    }
}

impl Root {
    /// Returns keys and threshold of a role, if they are sound.
    pub fn role(&self, role: Role) -> Result<&RoleKeys, TufError> {
        let unsound = TufError::RoleUnsound { role };
        let keys = self.roles.get(role.name()).ok_or_else(|| unsound.clone())?;
        let count = keys.keyids.len();
        // A threshold of nothing is met by nobody at all.
        if keys.threshold == 0 || keys.threshold > count || count > MAX_KEYS {
            return Err(unsound);
        }
        Ok(keys)
    }

    /// Returns the usable keys of a role, each once.
    pub fn keys_of(&self, role: Role) -> Result<Vec<PublicKey>, TufError> {
        let mut keys: Vec<PublicKey> = Vec::new();
        for id in &self.role(role)?.keyids {
            if let Some((key, _)) = self.keys.get(id).and_then(Key::public)
                && !keys.contains(&key)
            {
                keys.push(key);
            }
        }
        Ok(keys)
    }

    /// Returns the id that this root gives a key in a role.
    pub fn id_of(&self, key: &PublicKey, role: Role) -> Option<&str> {
        let ids = &self.role(role).ok()?.keyids;
        let is = |id: &&String| {
            let found = self.keys.get(*id).and_then(Key::public);
            found.is_some_and(|(found, _)| found == *key)
        };
        ids.iter().find(is).map(String::as_str)
    }
}

/// A signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Signature {
    /// Id of the key.
    pub keyid: String,
    /// The signature in hex; empty where one is still to come.
    pub sig: String,
}

impl Signature {
    /// Returns a signature.
    pub fn new(keyid: impl Into<String>, sig: &[u8]) -> Self {
        Self {
            keyid: keyid.into(),
            sig: hex::encode(sig),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Envelope<T> {
    signatures: Vec<Signature>,
    signed: T,
}

#[derive(Deserialize)]
struct SignedValue {
    signed: Value,
}

/// Metadata with its signatures; nobody has checked them yet.
#[derive(Debug, Clone, PartialEq)]
pub struct Signed<T> {
    content: T,
    signatures: Vec<Signature>,
    canonical: Vec<u8>,
    bytes: Vec<u8>,
}

const LIMITS: Limits = Limits::SMALL.with_max_bytes(MAX_TARGETS_USIZE);
#[allow(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    reason = "a constant of 5 MB"
)]
const MAX_TARGETS_USIZE: usize = MAX_TARGETS as usize;

impl<T: Metadata> Signed<T> {
    /// Parses metadata: strict JSON, the right role, a version of the specification that is known.
    pub fn parse(bytes: &[u8]) -> Result<Self, TufError> {
        let role = T::ROLE;
        let failed = |error| TufError::Json { role, error };
        let value: SignedValue = json::from_slice(bytes, &LIMITS).map_err(failed)?;
        let found = value.signed.get("_type").and_then(Value::as_str);
        if found != Some(role.name()) {
            let found = found.unwrap_or_default().chars().take(40).collect();
            return Err(TufError::WrongType { role, found });
        }
        let mut canonical = Vec::new();
        encode(&value.signed, &mut canonical).map_err(|()| {
            failed(JsonError::Malformed {
                message: "a number that is not an integer".to_owned(),
                line: 0,
                column: 0,
            })
        })?;
        let envelope: Envelope<T> = json::from_slice(bytes, &LIMITS).map_err(failed)?;
        let spec = &envelope.signed.head().spec_version;
        if spec.split('.').next() != Some("1") {
            let found = spec.chars().take(40).collect();
            return Err(TufError::SpecVersion { role, found });
        }
        Ok(Self {
            content: envelope.signed,
            signatures: envelope.signatures,
            canonical,
            bytes: bytes.to_vec(),
        })
    }

    /// Returns metadata with these signatures, as it is written.
    pub fn write(content: &T, signatures: Vec<Signature>) -> Result<Self, TufError> {
        let failed = |error| TufError::Json {
            role: T::ROLE,
            error,
        };
        let envelope = Envelope {
            signatures,
            signed: content,
        };
        let bytes = json::to_pretty(&envelope).map_err(failed)?;
        // What others will read decides, not what was meant.
        Self::parse(&bytes)
    }

    /// Returns it with one more signature; the key's earlier one is replaced.
    pub fn with_signature(&self, signature: Signature) -> Result<Self, TufError> {
        let all = self.signatures.iter();
        let mut signatures: Vec<Signature> = all
            .filter(|one| one.keyid != signature.keyid)
            .cloned()
            .collect();
        signatures.push(signature);
        Self::write(&self.content, signatures)
    }

    /// Returns it without the signatures of these key ids.
    pub fn without_signatures(&self, ids: &[String]) -> Result<Self, TufError> {
        let kept = self.signatures.iter();
        let kept = kept.filter(|one| !ids.contains(&one.keyid)).cloned();
        Self::write(&self.content, kept.collect())
    }

    /// Returns what it says; believe it only once [`Signed::verify`] does.
    pub const fn content(&self) -> &T {
        &self.content
    }

    /// Returns the bytes that signatures cover.
    pub fn canonical(&self) -> &[u8] {
        &self.canonical
    }

    /// Returns the bytes of the file.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Checks that enough different keys signed, of the role `by` that `root` names.
    pub fn verify(&self, root: &Root, by: Role) -> Result<(), TufError> {
        let needed = root.role(by)?.threshold;
        let found = self.signers(root, by)?.len();
        if found >= needed {
            return Ok(());
        }
        Err(TufError::Threshold {
            role: T::ROLE,
            by,
            found,
            needed,
        })
    }

    /// Returns the different keys of a role that signed.
    pub fn signers(&self, root: &Root, by: Role) -> Result<Vec<KeyId>, TufError> {
        let ids = &root.role(by)?.keyids;
        let mut seen: Vec<&str> = Vec::new();
        let mut signers = Vec::new();
        for signature in &self.signatures {
            let id = signature.keyid.as_str();
            if !ids.contains(&signature.keyid) || signature.sig.is_empty() {
                continue;
            }
            if seen.contains(&id) {
                return Err(TufError::DuplicateSignature {
                    role: T::ROLE,
                    key_id: id.to_owned(),
                });
            }
            seen.push(id);
            let Some((key, scheme)) = root.keys.get(id).and_then(Key::public) else {
                continue;
            };
            let Ok(bytes) = hex::decode(&signature.sig) else {
                continue;
            };
            let good = key.verify(scheme, &self.canonical, &bytes).is_ok();
            // One key under two ids is one key.
            if good && !signers.contains(&key.id()) {
                signers.push(key.id());
            }
        }
        Ok(signers)
    }

    /// Checks that it has not expired.
    pub fn check_fresh(&self, now: Timestamp) -> Result<(), TufError> {
        let head = self.content.head();
        if now < head.expires {
            return Ok(());
        }
        Err(TufError::Expired {
            role: T::ROLE,
            version: head.version,
            expires: head.expires,
            now,
        })
    }
}

/// Writes the canonical JSON that signatures cover; fails for numbers that are not integers.
pub(super) fn encode(value: &Value, out: &mut Vec<u8>) -> Result<(), ()> {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Number(number) if number.is_i64() || number.is_u64() => {
            out.extend_from_slice(number.to_string().as_bytes());
        }
        Value::Number(_) => return Err(()),
        Value::String(text) => encode_text(text, out),
        Value::Array(items) => {
            out.push(b'[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                encode(item, out)?;
            }
            out.push(b']');
        }
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_unstable_by_key(|(key, _)| *key);
            out.push(b'{');
            for (at, (key, item)) in members.into_iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                encode_text(key, out);
                out.push(b':');
                encode(item, out)?;
            }
            out.push(b'}');
        }
    }
    Ok(())
}

fn encode_text(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text.bytes() {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}
