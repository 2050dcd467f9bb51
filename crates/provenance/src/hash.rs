//! Hashing files and trees on all cores: manifests, artifact digests, and the check of a tree
//! against its signed manifest.
//!
//! Work is cut into units: whole files, ranges under shards, and for BLAKE3 subtrees of 16 MiB,
//! so that one large file keeps all cores busy as well. The largest units go first. Each thread
//! has one buffer; memory does not grow with the size of a file.
//!
//! A digest counts only if the file's [`Stamp`](crate::tree::Stamp) after reading is the one from
//! before: otherwise the answer is [`HashError::ChangedWhileHashing`]. What it is not: a judgement
//! on who signed; that is for `trust`.

mod blake;
mod check;
mod engine;
mod plan;
mod sparse;

use std::num::{NonZeroU64, NonZeroUsize};
use std::path::Path;

use custos_core::digest::{Algorithm, Digest, DigestSet};
use custos_core::oms::{Manifest, Method, OmsError, Serialization};

use crate::cache::{Cache, Trust};
use crate::tree::{self, FileList, Links, TreeError};

pub use check::{Report, VerifyOptions, verify};

/// Hears how far the hashing is, and may end it. Called from several threads, often.
pub trait Progress: Sync {
    /// The work that lies ahead is known: bytes and files, without what the cache knows.
    fn begins(&self, bytes: u64, files: u64) {
        let _ = (bytes, files);
    }

    /// So many more bytes are hashed, and so many files finished.
    fn advances(&self, bytes: u64, files: u64);

    /// Returns true to end the hashing early, with [`HashError::Cancelled`].
    fn is_cancelled(&self) -> bool {
        false
    }
}

/// Nobody listens.
impl Progress for () {
    fn advances(&self, _: u64, _: u64) {}
}

/// How to hash.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct HashOptions<'a> {
    /// How to walk.
    pub tree: tree::Options,
    /// The hash: SHA-256, BLAKE2b or BLAKE3.
    pub algorithm: Algorithm,
    /// Whole files or shards.
    pub method: Method,
    /// Threads; `None` is one for each core.
    pub threads: Option<NonZeroUsize>,
    /// Digests of earlier runs.
    pub cache: Option<&'a Cache>,
}

impl<'a> HashOptions<'a> {
    /// Returns options with another walk.
    pub fn with_tree(self, tree: tree::Options) -> Self {
        Self { tree, ..self }
    }

    /// Returns options with another hash.
    pub fn with_algorithm(self, algorithm: Algorithm) -> Self {
        Self { algorithm, ..self }
    }

    /// Returns options that cut files into ranges of `size` bytes.
    pub fn with_shards(self, size: NonZeroU64) -> Self {
        Self {
            method: Method::Shards { size },
            ..self
        }
    }

    /// Returns options that use digests of earlier runs.
    pub fn with_cache(self, cache: &'a Cache) -> Self {
        Self {
            cache: Some(cache),
            ..self
        }
    }
}

/// A hashed artifact.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Hashed {
    /// Its files with their digests.
    pub manifest: Manifest,
    /// The digests by which statements name it.
    pub digest: DigestSet,
    /// Number of files, with those that have no byte.
    pub files: u64,
    /// Sum of their sizes.
    pub bytes: u64,
    /// Files whose digests came from the cache: they were not opened.
    pub from_cache: u64,
    /// Links that lead out of the tree, where that is allowed.
    pub outside: Vec<String>,
}

/// Hashes the artifact at `path` into a manifest, ready to be signed.
///
/// ```
/// use custos_provenance::hash::{HashOptions, manifest};
/// let folder = tempfile::tempdir().unwrap();
/// std::fs::write(folder.path().join("weights.bin"), b"1").unwrap();
/// let hashed = manifest(folder.path(), &HashOptions::default(), &()).unwrap();
/// assert_eq!(hashed.manifest.len(), 1);
/// assert!(hashed.digest.get_raw("dirHash").is_some());
/// ```
pub fn manifest(
    path: &Path,
    options: &HashOptions<'_>,
    progress: &dyn Progress,
) -> Result<Hashed, HashError> {
    let began = options.cache.map(Cache::now);
    let list = tree::scan(path, &options.tree)?;
    manifest_of(
        &list,
        options,
        &Run {
            progress,
            began,
            trust: Trust::Signing,
        },
    )
}

/// Hashes files that were listed before.
pub(crate) fn manifest_of(
    list: &FileList,
    options: &HashOptions<'_>,
    run: &Run<'_>,
) -> Result<Hashed, HashError> {
    let form = Serialization::new(options.method, options.algorithm)?
        .with_symlinks(options.tree.links != Links::Reject)
        .with_exclusions(list.exclusions());
    let (manifest, from_cache) = engine::run(list, form, options, run)?;
    let digest = manifest.digest_set();
    let files = u64::try_from(list.files().len()).unwrap_or(u64::MAX);
    let outside = list.outside().to_vec();
    Ok(Hashed {
        manifest,
        digest,
        files,
        bytes: list.bytes(),
        from_cache,
        outside,
    })
}

/// What all threads of one run share.
#[derive(Clone, Copy)]
pub(crate) struct Run<'a> {
    pub(crate) progress: &'a dyn Progress,
    // Before the files were listed; `None` without a cache.
    pub(crate) began: Option<custos_core::clock::Timestamp>,
    pub(crate) trust: Trust,
}

/// What an artifact is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ArtifactKind {
    /// A single file, named by the digest of its bytes.
    File,
    /// A folder, named by the digests of its manifest.
    Tree,
}

/// An artifact on disk and the digests by which statements name it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ArtifactDigest {
    /// File or folder.
    pub kind: ArtifactKind,
    /// File: `sha256` of its bytes. Folder: [`Manifest::digest_set`].
    pub digest: DigestSet,
    /// A folder's files.
    pub manifest: Option<Manifest>,
    /// Sum of the sizes.
    pub bytes: u64,
}

/// Hashes whatever lies at `path`: a file by its bytes, a folder by its manifest. The hash is
/// SHA-256 over whole files whatever the options say: one artifact has one name.
///
/// ```
/// use custos_provenance::hash::{HashOptions, artifact_digest};
/// let folder = tempfile::tempdir().unwrap();
/// let path = folder.path().join("data.csv");
/// std::fs::write(&path, b"abc").unwrap();
/// let artifact = artifact_digest(&path, &HashOptions::default(), &()).unwrap();
/// assert!(artifact.digest.get_raw("sha256").unwrap().starts_with("ba7816bf"));
/// ```
pub fn artifact_digest(
    path: &Path,
    options: &HashOptions<'_>,
    progress: &dyn Progress,
) -> Result<ArtifactDigest, HashError> {
    let options = HashOptions {
        algorithm: Algorithm::Sha256,
        method: Method::Files,
        ..options.clone()
    };
    let began = options.cache.map(Cache::now);
    let list = tree::scan(path, &options.tree)?;
    let run = Run {
        progress,
        began,
        trust: Trust::Signing,
    };
    let hashed = manifest_of(&list, &options, &run)?;
    let bytes = hashed.bytes;
    if list.is_single() {
        let digest: Digest = hashed
            .manifest
            .get(0)
            .map(|resource| *resource.digest())
            .ok_or(OmsError::Empty)?;
        let digest = DigestSet::from(digest);
        return Ok(ArtifactDigest {
            kind: ArtifactKind::File,
            digest,
            manifest: None,
            bytes,
        });
    }
    if let Some(cache) = options.cache {
        cache.keep_files(&hashed.manifest);
    }
    let (digest, manifest) = (hashed.digest, Some(hashed.manifest));
    Ok(ArtifactDigest {
        kind: ArtifactKind::Tree,
        digest,
        manifest,
        bytes,
    })
}

/// Why something cannot be hashed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HashError {
    /// [`Progress::is_cancelled`] said so.
    #[error("cancelled")]
    Cancelled,
    /// Size, times or identity of a file are not those from before it was read.
    #[error("{path}: changed while it was hashed")]
    ChangedWhileHashing {
        /// The file.
        path: String,
    },
    /// The listing does not make a manifest; with [`OmsError::Empty`] there is no file.
    #[error(transparent)]
    Manifest(#[from] OmsError),
    /// The tree cannot be listed or read.
    #[error(transparent)]
    Tree(#[from] TreeError),
}

#[cfg(test)]
mod tests;
