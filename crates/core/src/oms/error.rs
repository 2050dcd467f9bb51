//! Why something is not a manifest.

use crate::digest::{Algorithm, Digest, DigestError};
use crate::json::JsonError;
use crate::statement::StatementError;

use super::columns::MAX_RESOURCES;
use super::path::{MAX_IGNORE_PATHS, PathFault};

/// Why something is not a manifest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OmsError {
    /// A resource lies beneath another one, which is a file.
    #[error("`{name}` lies beneath another listed file")]
    BeneathFile {
        /// Its name.
        name: String,
    },
    /// A digest of a resource is not lower-case hex of the right length.
    #[error("the digest of `{name}` is not accepted: {fault}")]
    Digest {
        /// The resource.
        name: String,
        /// What is wrong.
        fault: DigestError,
    },
    /// The subject's `dirHash` is not the one over the listed files.
    #[error("the signed dirHash is {signed}, the listed files give {listed}")]
    DirHashMismatch {
        /// What the subject says.
        signed: String,
        /// What the resources give.
        listed: String,
    },
    /// One name twice.
    #[error("`{name}` is listed twice")]
    Duplicate {
        /// The name.
        name: String,
    },
    /// No resource at all.
    #[error("the model has no file")]
    Empty,
    /// An entry of `ignore_paths` is not an exact relative path.
    #[error("the ignored path `{entry}` is not accepted: {fault}")]
    IgnorePath {
        /// The entry.
        entry: String,
        /// What is wrong.
        fault: PathFault,
    },
    /// The subject's [`LISTING_DIGEST`](super::LISTING_DIGEST) is not the one over the listing.
    #[error("the signed listing digest is {signed}, the listed files give {listed}")]
    ListingDigestMismatch {
        /// What the subject says.
        signed: String,
        /// What the resources give.
        listed: String,
    },
    /// A name is not a canonical relative path.
    #[error("the name `{name}` is not accepted: {fault}")]
    Name {
        /// The name.
        name: String,
        /// What is wrong.
        fault: PathFault,
    },
    /// Under shards, a name without `:start:end`.
    #[error("`{name}` does not end in `:start:end`")]
    NotARange {
        /// The name.
        name: String,
    },
    /// A resource names another algorithm than the manifest.
    #[error("`{name}` is hashed with {found}, the manifest says {expected}")]
    OtherAlgorithm {
        /// The resource.
        name: String,
        /// The manifest's hash.
        expected: Algorithm,
        /// The resource's algorithm.
        found: String,
    },
    /// Two manifests with another method or hash, which cannot be compared.
    #[error("the two listings are made with another method or hash")]
    OtherSerialization,
    /// The predicate does not have the shape of OMS v1.0.
    #[error("the predicate is not accepted: {0}")]
    Predicate(JsonError),
    /// The predicate type is neither OMS v1.0 nor its legacy form.
    #[error("`{found}` is not the predicate type of a signed model")]
    PredicateType {
        /// What was found.
        found: String,
    },
    /// The ranges of a file leave a gap, overlap, or do not have the shard size.
    #[error("the ranges of a file do not follow each other at `{name}`")]
    Ranges {
        /// The resource at which it shows.
        name: String,
    },
    /// The subject's digest is not the one over the listed resources.
    #[error("the signed root digest is {signed}, the listed files give {listed}")]
    RootMismatch {
        /// What the subject says.
        signed: Digest,
        /// What the resources give.
        listed: Digest,
    },
    /// `files` with a `shard_size`.
    #[error("the method `files` has no shard size")]
    ShardSizeForbidden,
    /// `shard_size` is not a positive integer.
    #[error("the shard size `{found}` is not a positive integer")]
    ShardSizeInvalid {
        /// What was found.
        found: String,
    },
    /// `shards` without a `shard_size`.
    #[error("the method `shards` needs a shard size")]
    ShardSizeMissing,
    /// The statement cannot be made.
    #[error(transparent)]
    Statement(StatementError),
    /// Not exactly one subject.
    #[error("a signed model has one subject, this statement has {found}")]
    SubjectCount {
        /// Subjects found.
        found: usize,
    },
    /// A subject without a well-formed SHA-256.
    #[error("subject {index} has no SHA-256 digest")]
    SubjectWithoutDigest {
        /// Position, from 0.
        index: usize,
    },
    /// A subject without a name.
    #[error("subject {index} has no name")]
    SubjectWithoutName {
        /// Position, from 0.
        index: usize,
    },
    /// More ignored paths than [`MAX_IGNORE_PATHS`].
    #[error("more than {MAX_IGNORE_PATHS} ignored paths")]
    TooManyIgnorePaths,
    /// More resources than [`MAX_RESOURCES`].
    #[error("more than {MAX_RESOURCES} resources")]
    TooManyResources,
    /// A hash that OMS does not have.
    #[error("`{found}` is not a hash of OMS v1.0")]
    UnknownHash {
        /// What was found.
        found: String,
    },
    /// A method that OMS does not have.
    #[error("`{found}` is not a method of OMS v1.0")]
    UnknownMethod {
        /// What was found.
        found: String,
    },
}

// A hostile name may be megabytes long; an error quotes its beginning.
pub(super) fn shortened(name: &str) -> String {
    name.chars().take(256).collect()
}
