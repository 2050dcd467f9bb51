//! Digests, and the algorithms that make them.
//!
//! A [`Digest`] always carries its algorithm. Its text form is `sha256:<lower-case hex>`; its
//! in-toto form is a [`DigestSet`], a map from algorithm name to hex (in-toto Attestation
//! Framework v1, `DigestSet`).

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest as sha;
use blake2::{Blake2b512, Digest as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A hash algorithm that Custos can compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[non_exhaustive]
pub enum Algorithm {
    /// SHA-256 (FIPS 180-4), 32 bytes. What every artifact of Custos has.
    #[default]
    Sha256,
    /// SHA-384 (FIPS 180-4), 48 bytes.
    Sha384,
    /// SHA-512 (FIPS 180-4), 64 bytes.
    Sha512,
    /// BLAKE2b with 512 bits (RFC 7693), 64 bytes.
    Blake2b,
    /// BLAKE3 with its default 256 bits.
    Blake3,
}

impl Algorithm {
    /// All algorithms.
    pub const ALL: [Self; 5] = [
        Self::Sha256,
        Self::Sha384,
        Self::Sha512,
        Self::Blake2b,
        Self::Blake3,
    ];

    /// Returns the name used by in-toto digest sets and OMS: `sha256`, `blake2b`, ...
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
            Self::Blake2b => "blake2b",
            Self::Blake3 => "blake3",
        }
    }

    /// Returns the length of a digest, in bytes.
    pub const fn output_len(self) -> usize {
        match self {
            Self::Sha256 | Self::Blake3 => 32,
            Self::Sha384 => 48,
            Self::Sha512 | Self::Blake2b => 64,
        }
    }

    /// Returns a fresh incremental hasher.
    pub fn hasher(self) -> Hasher {
        Hasher::new(self)
    }

    /// Hashes `bytes` in one go.
    pub fn digest(self, bytes: &[u8]) -> Digest {
        if let Some(sha2) = self.sha2() {
            return Digest::from_parts(self, sha::digest(sha2, bytes).as_ref());
        }
        let mut hasher = self.hasher();
        hasher.update(bytes);
        hasher.finish()
    }

    // aws-lc-rs takes 0.7 x the time of the crate `sha2` on large input, both with SHA-NI.
    const fn sha2(self) -> Option<&'static sha::Algorithm> {
        match self {
            Self::Sha256 => Some(&sha::SHA256),
            Self::Sha384 => Some(&sha::SHA384),
            Self::Sha512 => Some(&sha::SHA512),
            Self::Blake2b | Self::Blake3 => None,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Algorithm {
    type Err = DigestError;

    fn from_str(name: &str) -> Result<Self, DigestError> {
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.name() == name)
            .ok_or_else(|| DigestError::UnknownAlgorithm {
                name: name.to_owned(),
            })
    }
}

/// An incremental hasher of any [`Algorithm`].
///
/// ```
/// use custos_core::digest::Algorithm;
/// let mut hasher = Algorithm::Sha256.hasher();
/// hasher.update(b"ab");
/// hasher.update(b"c");
/// assert_eq!(hasher.finish(), Algorithm::Sha256.digest(b"abc"));
/// ```
#[derive(Clone)]
pub struct Hasher {
    algorithm: Algorithm,
    state: State,
}

#[derive(Clone)]
#[allow(
    clippy::large_enum_variant,
    reason = "few live at once, and boxing would cost each one"
)]
enum State {
    Sha2(sha::Context),
    Blake2b(Box<Blake2b512>),
    Blake3(Box<blake3::Hasher>),
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hasher")
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

impl Hasher {
    /// Returns a fresh hasher for `algorithm`.
    pub fn new(algorithm: Algorithm) -> Self {
        let state = match (algorithm.sha2(), algorithm) {
            (Some(sha2), _) => State::Sha2(sha::Context::new(sha2)),
            (None, Algorithm::Blake2b) => State::Blake2b(Box::new(Blake2b512::new())),
            (None, _) => State::Blake3(Box::new(blake3::Hasher::new())),
        };
        Self { algorithm, state }
    }

    /// Absorbs `bytes`.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.state {
            State::Sha2(h) => h.update(bytes),
            State::Blake2b(h) => h.update(bytes),
            State::Blake3(h) => {
                h.update(bytes);
            }
        }
    }

    /// Returns the digest of everything absorbed.
    pub fn finish(self) -> Digest {
        match self.state {
            State::Sha2(h) => Digest::from_parts(self.algorithm, h.finish().as_ref()),
            State::Blake2b(h) => Digest::from_parts(self.algorithm, &h.finalize()),
            State::Blake3(h) => Digest::from_parts(self.algorithm, h.finalize().as_bytes()),
        }
    }
}

/// Longest digest of any [`Algorithm`], in bytes.
const MAX_LEN: usize = 64;

/// A digest with its algorithm.
///
/// ```
/// use custos_core::digest::{Algorithm, Digest};
/// let digest = Algorithm::Sha256.digest(b"");
/// assert_eq!(digest.to_string().parse::<Digest>().unwrap(), digest);
/// assert!("sha256:ABCD".parse::<Digest>().is_err());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest {
    algorithm: Algorithm,
    // Zero beyond the algorithm's length, so that the derived comparisons are right.
    bytes: [u8; MAX_LEN],
}

impl Digest {
    /// Returns the digest with these raw bytes, whose number must fit the algorithm.
    pub fn new(algorithm: Algorithm, bytes: &[u8]) -> Result<Self, DigestError> {
        if bytes.len() != algorithm.output_len() {
            return Err(DigestError::WrongLength {
                algorithm,
                expected: algorithm.output_len(),
                found: bytes.len(),
            });
        }
        Ok(Self::from_parts(algorithm, bytes))
    }

    /// Returns the SHA-256 digest with these bytes.
    pub fn sha256(bytes: [u8; 32]) -> Self {
        Self::from_parts(Algorithm::Sha256, &bytes)
    }

    /// Parses lower-case hex of the algorithm's length.
    pub fn from_hex(algorithm: Algorithm, text: &str) -> Result<Self, DigestError> {
        if text.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(DigestError::NotLowerCaseHex);
        }
        // Bounded before decoding: a hostile text must not make us allocate.
        if text.len() != algorithm.output_len().saturating_mul(2) {
            return Err(DigestError::WrongLength {
                algorithm,
                expected: algorithm.output_len(),
                found: text.len() / 2,
            });
        }
        let bytes = hex::decode(text).map_err(|_| DigestError::NotLowerCaseHex)?;
        Self::new(algorithm, &bytes)
    }

    /// Returns the algorithm.
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Returns the raw bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes
            .get(..self.algorithm.output_len())
            .unwrap_or(&self.bytes)
    }

    /// Returns the bytes of a SHA-256 digest, `None` for another algorithm.
    pub fn to_sha256(&self) -> Option<[u8; 32]> {
        if self.algorithm == Algorithm::Sha256 {
            self.as_bytes().try_into().ok()
        } else {
            None
        }
    }

    /// Returns the lower-case hex form, without the algorithm.
    pub fn to_hex(&self) -> String {
        hex::encode(self.as_bytes())
    }

    /// Returns the first 12 hex digits behind the algorithm, for people: `sha256:9f2c…`.
    pub fn short(&self) -> String {
        let hex = self.to_hex();
        format!("{}:{}…", self.algorithm, hex.get(..12).unwrap_or(&hex))
    }

    fn from_parts(algorithm: Algorithm, bytes: &[u8]) -> Self {
        let mut padded = [0; MAX_LEN];
        for (to, from) in padded.iter_mut().zip(bytes) {
            *to = *from;
        }
        Self {
            algorithm,
            bytes: padded,
        }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm, self.to_hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let (name, hex) = text.split_once(':').ok_or(DigestError::NoAlgorithm)?;
        Self::from_hex(name.parse()?, hex)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// An in-toto `DigestSet`: algorithm name to lower-case hex.
///
/// Names that Custos cannot compute (`gitCommit`, `dirHash`, ...) are kept as they are.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DigestSet(BTreeMap<String, String>);

impl DigestSet {
    /// Returns an empty set.
    pub const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Adds a digest under its algorithm's name, replacing one of the same name.
    pub fn insert(&mut self, digest: &Digest) {
        self.0
            .insert(digest.algorithm().name().to_owned(), digest.to_hex());
    }

    /// Adds a digest of a kind that Custos does not compute, such as `gitCommit`.
    pub fn insert_raw(&mut self, name: impl Into<String>, hex: impl Into<String>) {
        self.0.insert(name.into(), hex.into());
    }

    /// Returns the digest of `algorithm`, if it is there and well-formed.
    pub fn get(&self, algorithm: Algorithm) -> Option<Digest> {
        Digest::from_hex(algorithm, self.0.get(algorithm.name())?).ok()
    }

    /// Returns the text under a name such as `gitCommit`.
    pub fn get_raw(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Returns true if the set holds exactly this digest under its algorithm.
    pub fn contains(&self, digest: &Digest) -> bool {
        self.get(digest.algorithm())
            .is_some_and(|own| own == *digest)
    }

    /// Returns true if both sets name the same thing: they agree on every name that they share,
    /// and share at least one of [`DigestSet::binding`].
    ///
    /// A tree carries its OMS root and a digest that also binds the file names; agreeing on one
    /// and not on the other is a renamed file, not the same tree. MD5, SHA-1 and made-up names
    /// tell things apart, but never make two things one.
    pub fn agrees_with(&self, other: &Self) -> bool {
        let differs = |(name, hex): (&str, &str)| other.get_raw(name).is_some_and(|own| own != hex);
        !self.iter().any(differs)
            && self
                .binding()
                .any(|(name, _)| other.get_raw(name).is_some())
    }

    /// Iterates over name and hex of the digests of which nobody can make a second thing: those
    /// that Custos computes, `dirHash` (SHA-256 over names and contents), and `gitCommit` (SHA-1
    /// with collision detection, or SHA-256), the only digest that a source revision has.
    pub fn binding(&self) -> impl Iterator<Item = (&str, &str)> {
        let is_hex = |hex: &str, len: usize| {
            hex.len() == len && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        };
        self.iter().filter(move |(name, hex)| match *name {
            "dirHash" => is_hex(hex, 64),
            "gitCommit" => is_hex(hex, 40) || is_hex(hex, 64),
            name => name
                .parse::<Algorithm>()
                .is_ok_and(|algorithm| Digest::from_hex(algorithm, hex).is_ok()),
        })
    }

    /// Returns true if no digest is there: such a subject names nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Iterates over name and hex.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, hex)| (name.as_str(), hex.as_str()))
    }

    /// Iterates over the digests whose algorithm Custos knows.
    pub fn digests(&self) -> impl Iterator<Item = Digest> {
        self.iter()
            .filter_map(|(name, hex)| Digest::from_hex(name.parse().ok()?, hex).ok())
    }
}

impl From<Digest> for DigestSet {
    fn from(digest: Digest) -> Self {
        let mut set = Self::new();
        set.insert(&digest);
        set
    }
}

/// Why a text is not a digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DigestError {
    /// The text has no `algorithm:` in front.
    #[error("a digest is written `sha256:<hex>`; there is no algorithm in front")]
    NoAlgorithm,
    /// The hex part has other characters than `0-9a-f`.
    #[error("a digest is written in lower-case hexadecimal")]
    NotLowerCaseHex,
    /// The algorithm is not one of [`Algorithm::ALL`].
    #[error("unknown digest algorithm `{name}`")]
    UnknownAlgorithm {
        /// The name found.
        name: String,
    },
    /// The number of bytes does not fit the algorithm.
    #[error("a {algorithm} digest has {expected} bytes, this one has {found}")]
    WrongLength {
        /// The algorithm.
        algorithm: Algorithm,
        /// Bytes that it needs.
        expected: usize,
        /// Bytes found.
        found: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        assert_eq!(
            Algorithm::Sha256.digest(b"abc").to_hex(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert!(
            Algorithm::Sha384
                .digest(b"abc")
                .to_hex()
                .starts_with("cb00753f45a35e8b")
        );
        assert!(
            Algorithm::Sha512
                .digest(b"abc")
                .to_hex()
                .starts_with("ddaf35a193617aba")
        );
        assert!(
            Algorithm::Blake2b
                .digest(b"abc")
                .to_hex()
                .starts_with("ba80a53f981c4d0d")
        );
        assert!(
            Algorithm::Blake3
                .digest(b"")
                .to_hex()
                .starts_with("af1349b9f5f9a1a6")
        );
    }

    #[test]
    fn parts_give_the_digest_of_the_whole() {
        let data: Vec<u8> = (0..=255).cycle().take(10_000).collect();
        for algorithm in Algorithm::ALL {
            let mut hasher = algorithm.hasher();
            for part in data.chunks(997) {
                hasher.update(part);
            }
            assert_eq!(
                hasher.clone().finish(),
                algorithm.digest(&data),
                "{algorithm}"
            );
            assert_eq!(hasher.finish().as_bytes().len(), algorithm.output_len());
        }
    }

    #[test]
    fn text_form_is_strict() {
        let good = Algorithm::Sha256.digest(b"x").to_string();
        assert_eq!(good.parse::<Digest>().unwrap().to_string(), good);
        assert_eq!(
            good.to_uppercase().parse::<Digest>().unwrap_err(),
            DigestError::UnknownAlgorithm {
                name: "SHA256".into()
            }
        );
        assert!(matches!(
            "sha256:00".parse::<Digest>(),
            Err(DigestError::WrongLength { .. })
        ));
        assert_eq!("00".parse::<Digest>(), Err(DigestError::NoAlgorithm));
        let upper = format!(
            "sha256:{}",
            Algorithm::Sha256.digest(b"x").to_hex().to_uppercase()
        );
        assert_eq!(upper.parse::<Digest>(), Err(DigestError::NotLowerCaseHex));
    }

    #[test]
    fn a_set_keeps_what_it_cannot_compute() {
        let mut set = DigestSet::from(Algorithm::Sha256.digest(b"x"));
        set.insert_raw("gitCommit", "0123");
        assert_eq!(set.get_raw("gitCommit"), Some("0123"));
        assert!(set.contains(&Algorithm::Sha256.digest(b"x")));
        assert!(!set.contains(&Algorithm::Sha256.digest(b"y")));
        assert_eq!(set.digests().count(), 1);
    }

    #[test]
    fn sets_agree_only_if_nothing_shared_differs() {
        let plain = DigestSet::from(Algorithm::Sha256.digest(b"x"));
        let mut named = plain.clone();
        named.insert_raw("dirHash", "aa");
        let mut renamed = plain.clone();
        renamed.insert_raw("dirHash", "bb");
        assert!(plain.agrees_with(&named));
        assert!(!named.agrees_with(&renamed));
        assert!(!plain.agrees_with(&DigestSet::new()));
    }

    #[test]
    fn only_a_digest_that_binds_makes_two_sets_one() {
        let with = |pairs: &[(&str, &str)]| {
            let mut set = DigestSet::new();
            for (name, hex) in pairs {
                set.insert_raw(*name, *hex);
            }
            set
        };
        let sha256 = Algorithm::Sha256.digest(b"x").to_hex();
        let (md5, sha1) = (
            "d41d8cd98f00b204e9800998ecf8427e",
            "da39a3ee5e6b4b0d3255bfef95601890afd80709",
        );
        let strong = with(&[("sha256", &sha256), ("md5", md5), ("sha1", sha1)]);
        for weak in [
            &[("md5", md5)][..],
            &[("sha1", sha1)],
            &[("md5", md5), ("sha1", sha1)],
            &[("made-up", "1")],
            &[("sha256", "")],
            &[("sha256", &sha256[..62])],
            &[("gitCommit", "")],
            &[("gitCommit", "0123")],
            &[("dirHash", "")],
        ] {
            let weak = with(weak);
            assert!(!strong.agrees_with(&weak), "{weak:?}");
            assert!(!weak.agrees_with(&weak), "{weak:?}");
        }
        // A weak digest that differs still tells them apart.
        let changed = with(&[("sha256", &sha256), ("md5", sha1)]);
        assert!(!strong.agrees_with(&changed) && !changed.agrees_with(&strong));
        for binding in [
            ("sha256", &*sha256),
            ("gitCommit", sha1),
            ("dirHash", &*sha256),
        ] {
            let set = with(&[binding]);
            assert!(set.agrees_with(&set), "{set:?}");
        }
    }
}
