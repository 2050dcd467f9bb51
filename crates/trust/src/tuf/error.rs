//! Why metadata is not believed, as data.

use custos_core::clock::Timestamp;
use custos_core::crypto::KeyKind;
use custos_core::json::JsonError;

use super::metadata::Role;
use super::source::SourceError;

/// Why metadata, or a file that it names, is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TufError {
    /// What was seen last cannot be read back, so that nobody can tell what would be older.
    #[error("{path}, which says what was seen last, is damaged: {error}")]
    Damaged {
        /// Which file.
        path: String,
        /// What is wrong with it.
        error: Box<TufError>,
    },
    /// A file may be delivered by a delegated role, and these are not followed.
    #[error("`{name}` may be delivered by the delegated role `{role}`, and those are not followed")]
    Delegated {
        /// The file.
        name: String,
        /// The role, shortened.
        role: String,
    },
    /// One key id signs twice: whoever counts signatures would be deceived.
    #[error("{role}: the key id {key_id} has two signatures")]
    DuplicateSignature {
        /// Which metadata.
        role: Role,
        /// The id.
        key_id: String,
    },
    /// Past its time: nobody has vouched for it since.
    #[error("{role} version {version} expired at {expires}, now is {now}")]
    Expired {
        /// Which metadata.
        role: Role,
        /// Its version.
        version: u64,
        /// When it expired.
        expires: Timestamp,
        /// The time of judgement.
        now: Timestamp,
    },
    /// Not JSON of this shape, or beyond a limit.
    #[error("{role}: {error}")]
    Json {
        /// Which metadata.
        role: Role,
        /// What is wrong.
        error: JsonError,
    },
    /// A root is not written with keys of this kind.
    #[error("a root is written with keys on P-256 or P-384, and this one is {kind}")]
    KeyKind {
        /// Kind of the key.
        kind: KeyKind,
    },
    /// It is not what the metadata above it names.
    #[error("{name} is not what was signed: its {what} differs")]
    Mismatch {
        /// Which file.
        name: String,
        /// What differs.
        what: Mismatch,
    },
    /// The name could lead out of a folder.
    #[error("`{name}` cannot be the name of a target")]
    Name {
        /// The name, shortened.
        name: String,
    },
    /// The metadata names no such file.
    #[error("nothing is delivered under the name `{name}`")]
    NoSuchTarget {
        /// The name asked for.
        name: String,
    },
    /// A file that must be there is not.
    #[error("{path} is not there")]
    NotThere {
        /// Which file.
        path: String,
    },
    /// A role has no keys, no threshold, or one beyond its keys.
    #[error("the root gives the role {role} no keys, or a threshold that they cannot reach")]
    RoleUnsound {
        /// Which role.
        role: Role,
    },
    /// Older than what was believed before.
    #[error("{name} has version {found}, and version {trusted} was there already")]
    Rollback {
        /// Which metadata.
        name: String,
        /// The version that was believed.
        trusted: u64,
        /// The version found.
        found: u64,
    },
    /// The next root does not follow the one before.
    #[error("root version {found} does not follow version {trusted}")]
    RootVersion {
        /// The version that is believed.
        trusted: u64,
        /// The version found.
        found: u64,
    },
    /// The root that was pinned has another digest.
    #[error("the root has the digest sha256:{found}, not the one that was pinned")]
    RootNotPinned {
        /// Hex of the digest found.
        found: String,
    },
    /// It could not be fetched.
    #[error("{0}")]
    Source(SourceError),
    /// Another major version of the specification.
    #[error("{role}: the specification version `{found}` is not 1.x")]
    SpecVersion {
        /// Which metadata.
        role: Role,
        /// The version found.
        found: String,
    },
    /// A file of the store or repository cannot be read or written.
    #[error("{path}: {message}")]
    Storage {
        /// Which file.
        path: String,
        /// Kind of the error.
        kind: std::io::ErrorKind,
        /// What the system says.
        message: String,
    },
    /// Too few different keys of the role signed.
    #[error("{role}: {found} of {needed} signatures by different keys of the role {by}")]
    Threshold {
        /// Which metadata.
        role: Role,
        /// Whose role must have signed.
        by: Role,
        /// Signatures that count.
        found: usize,
        /// Signatures needed.
        needed: usize,
    },
    /// Over the limit, or over what was signed.
    #[error("{path} has more than {limit} bytes")]
    TooLarge {
        /// Which file.
        path: String,
        /// The limit.
        limit: u64,
    },
    /// More roots than one update follows.
    #[error("more than {limit} new roots", limit = super::MAX_ROOTS)]
    TooManyRoots,
    /// Metadata of another role.
    #[error("this is metadata of the role `{found}`, not of {role}")]
    WrongType {
        /// Which was expected.
        role: Role,
        /// What was found.
        found: String,
    },
}

impl TufError {
    /// Returns true if nothing was learned: a server out of reach, a disk that does not answer, a
    /// file that may lie where nobody looks.
    pub const fn is_undecided(&self) -> bool {
        match self {
            Self::Source(error) => error.is_undecided,
            Self::Damaged { .. }
            | Self::Delegated { .. }
            | Self::NotThere { .. }
            | Self::Storage { .. } => true,
            _ => false,
        }
    }

    /// Returns true if somebody offers something that must not be: a rollback, a swapped file, a
    /// signature that does not hold. Metadata that is only old is not of this kind.
    pub const fn is_attack(&self) -> bool {
        matches!(
            self,
            Self::DuplicateSignature { .. }
                | Self::Mismatch { .. }
                | Self::Rollback { .. }
                | Self::RootNotPinned { .. }
                | Self::RootVersion { .. }
                | Self::Threshold { .. }
                | Self::TooLarge { .. }
                | Self::WrongType { .. }
        )
    }
}

/// In what a file differs from what was signed about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Mismatch {
    /// Its digest, or none that is known was named.
    Digest,
    /// Its length.
    Length,
    /// Its version.
    Version,
}

impl std::fmt::Display for Mismatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Digest => "digest",
            Self::Length => "length",
            Self::Version => "version",
        })
    }
}
