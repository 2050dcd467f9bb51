//! How trust arrives: The Update Framework (TUF), client and repository.
//!
//! A trust root that is pinned for ever cannot be mended, and one that is fetched anew each time
//! is whatever the server says. TUF stands between: somebody pins one root by its digest, and
//! from there on each root is signed by M of N keys of the one before; what the root delivers
//! (`trusted_root.json`, `signing_config.json`, `revocations.json`, `policies.json`) is named with
//! length and digest in metadata that M of N keys signed, and how fresh it is an online key says.
//!
//! - [`metadata`]: the four roles as signed JSON, and their keys.
//! - [`Trusted`]: what is believed, and the rules by which it changes. No files, no network.
//! - [`update`]: brings a [`Store`] up to date from a [`Source`], a server or a folder.
//! - [`repository`]: the writing side, for a team's own root.
//!
//! Everything read has a limit, names are never joined to paths unless they are plain, and the
//! time is an argument. Keys are told apart by what they are, not by the name that the metadata
//! gives them: one key under two ids counts once.
//!
//! What it is not: delegated targets are not followed. What Sigstore's public root delivers to
//! verifiers stands in the top level, and so does what a team's own root delivers. Where a file that
//! was asked for may lie with a delegated role, the update is refused and says so.
//!
//! Spec: <https://theupdateframework.github.io/specification/v1.0.33/>, section 5 for the client.

mod client;
mod error;
pub mod metadata;
pub mod repository;
mod source;
mod store;
#[cfg(test)]
mod tests;
mod trusted;

pub use client::{Admit, Admitted, Updated, Wanted, update};
pub use error::{Mismatch, TufError};
pub use metadata::{Role, TargetFile};
pub use source::{FolderSource, HttpSource, Source, SourceError};
pub use store::Store;
pub use trusted::Trusted;

/// Largest root, in bytes.
pub const MAX_ROOT: u64 = 512_000;
/// Largest timestamp, in bytes.
pub const MAX_TIMESTAMP: u64 = 16_384;
/// Largest snapshot, in bytes.
pub const MAX_SNAPSHOT: u64 = 2_000_000;
/// Largest targets metadata, in bytes.
pub const MAX_TARGETS: u64 = 5_000_000;
/// Largest file that a root delivers, in bytes.
pub const MAX_TARGET: u64 = 8 << 20;
/// Most roots that one update follows.
pub const MAX_ROOTS: u64 = 256;
/// Most keys of a role.
pub const MAX_KEYS: usize = 64;

/// Returns true if a file that a root delivers may have this name: it is one part of a path, and
/// no hidden file.
pub fn is_target_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 128
        && !name.starts_with('.')
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}
