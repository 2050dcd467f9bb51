//! How files become resources, and what is left out.

use std::num::NonZeroU64;

use crate::digest::Algorithm;

use super::error::OmsError;
use super::path::{Exclusions, TreePath};

/// Size of a shard unless somebody asks for another.
pub const DEFAULT_SHARD_SIZE: NonZeroU64 = match NonZeroU64::new(1_000_000_000) {
    Some(size) => size,
    None => NonZeroU64::MIN,
};

/// How files become resources (OMS v1.0 section 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Method {
    /// One resource a file.
    #[default]
    Files,
    /// One resource for each range of `size` bytes; files without bytes have none.
    Shards {
        /// Bytes in a range; the last range of a file may be shorter.
        size: NonZeroU64,
    },
}

impl Method {
    /// Returns the name that is written.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Files => "files",
            Self::Shards { .. } => "shards",
        }
    }
}

/// How a manifest was made, and how a verifier makes it again (OMS v1.0 section 5.2.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Serialization {
    pub(super) method: Method,
    pub(super) hash: Algorithm,
    pub(super) allow_symlinks: bool,
    // None: not recorded, as before 1.1.
    pub(super) ignore_paths: Option<Vec<String>>,
}

impl Serialization {
    /// Returns one without symbolic links and without a record of ignored paths. OMS knows
    /// SHA-256, BLAKE2b and BLAKE3.
    pub fn new(method: Method, hash: Algorithm) -> Result<Self, OmsError> {
        match hash {
            Algorithm::Sha256 | Algorithm::Blake2b | Algorithm::Blake3 => Ok(Self {
                method,
                hash,
                allow_symlinks: false,
                ignore_paths: None,
            }),
            other => Err(OmsError::UnknownHash {
                found: other.name().to_owned(),
            }),
        }
    }

    /// Returns it with links hashed through, or not.
    pub fn with_symlinks(self, allow_symlinks: bool) -> Self {
        Self {
            allow_symlinks,
            ..self
        }
    }

    /// Returns it with the record of what was left out.
    pub fn with_exclusions(self, exclusions: &Exclusions) -> Self {
        Self {
            ignore_paths: Some(exclusions.iter().map(str::to_owned).collect()),
            ..self
        }
    }

    /// Returns the method.
    pub const fn method(&self) -> Method {
        self.method
    }

    /// Returns the hash of the resources. The root digest is always SHA-256.
    pub const fn hash(&self) -> Algorithm {
        self.hash
    }

    /// Returns true if symbolic links are hashed through.
    pub const fn allow_symlinks(&self) -> bool {
        self.allow_symlinks
    }

    /// Returns the recorded ignored paths; `None` if nothing is recorded, as before 1.1. A signer
    /// can leave out anything it likes, so whoever shows a result shows these.
    pub fn ignore_paths(&self) -> Option<&[String]> {
        self.ignore_paths.as_deref()
    }

    /// Returns what a verifier leaves out: the recorded paths and the fixed ones.
    pub fn exclusions(&self) -> Exclusions {
        let mut rules = Exclusions::for_verifying();
        for entry in self.ignore_paths.iter().flatten() {
            // Checked when it was read.
            if let Ok(path) = TreePath::new(entry.as_str()) {
                rules.add_exact(&path);
            }
        }
        rules
    }
}
