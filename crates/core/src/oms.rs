//! OpenSSF Model Signing (OMS) v1.0: the listing of a model's files that is signed.
//!
//! Spec: ossf/model-signing-spec, `spec/v1.0.md`. A [`Manifest`] names every file of a model with
//! its digest; [`Manifest::to_statement`] writes it strictly, [`SignedManifest::from_statement`]
//! reads it as leniently as bundles in the field need: listed order, an integral float as
//! `shard_size`, `sha256-sharded-N` as algorithm, and the form of `model_signing` 0.2.0.
//!
//! What it is not: it reads no file, and it does not say who signed.

mod compare;
mod legacy;
mod path;
mod wire;

use std::fmt::{self, Write as _};
use std::num::NonZeroU64;
use std::ops::Range;
use std::sync::OnceLock;

use crate::digest::{Algorithm, Digest, DigestError, DigestSet};
use crate::json::JsonError;
use crate::statement::StatementError;

pub use compare::{Difference, DifferenceKind, Differences, compare};
pub use legacy::{LEGACY_PREDICATE_TYPE, legacy_pae, signed_messages};
pub use path::{
    BARE_FILE, Exclusions, GIT_PATHS, HOME_NAME, MAX_IGNORE_PATHS, PathFault, SIGNATURE_NAME,
    TreePath,
};

/// The predicate type of OMS v1.0.
pub const PREDICATE_TYPE: &str = "https://model_signing/signature/v1.0";

/// Size of a shard unless somebody asks for another.
pub const DEFAULT_SHARD_SIZE: NonZeroU64 = match NonZeroU64::new(1_000_000_000) {
    Some(size) => size,
    None => NonZeroU64::MIN,
};

/// Most resources in a manifest.
pub const MAX_RESOURCES: usize = 1_000_000;

/// Name under which [`Manifest::digest_set`] puts [`Manifest::listing_digest`] where in-toto's
/// `dirHash` is not defined.
pub const LISTING_DIGEST: &str = "custosManifest";

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
    method: Method,
    hash: Algorithm,
    allow_symlinks: bool,
    // None: not recorded, as before 1.1.
    ignore_paths: Option<Vec<String>>,
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

/// One entry of a manifest: a file, or a range of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource<'a> {
    name: &'a str,
    path: &'a str,
    range: Option<Range<u64>>,
    digest: Digest,
}

impl<'a> Resource<'a> {
    /// Returns the name as listed: the path, under shards with `:start:end` behind it.
    pub const fn name(&self) -> &'a str {
        self.name
    }

    /// Returns the path of the file.
    pub const fn path(&self) -> &'a str {
        self.path
    }

    /// Returns the range of the file, under shards.
    pub fn range(&self) -> Option<Range<u64>> {
        self.range.clone()
    }

    /// Returns the digest.
    pub const fn digest(&self) -> &Digest {
        &self.digest
    }
}

/// The order in which a root digest takes the resources.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Order {
    /// As they stand in the manifest: what a verifier of the statement uses.
    Listed,
    /// By Unicode code point of the name: what the specification says, and Custos writes.
    CodePoint,
    /// By path component, ranges by number: what `model_signing` writes.
    Components,
}

/// The files of a model with their digests, in listed order.
///
/// It holds about the bytes of the names plus 36 to 68 bytes a resource, and upholds: at least
/// one resource; canonical, unique names; ranges of a file that cover it without gap or overlap.
///
/// ```
/// use custos_core::digest::Algorithm;
/// use custos_core::oms::{ManifestBuilder, Method, Serialization, SignedManifest};
/// let form = Serialization::new(Method::Files, Algorithm::Sha256).unwrap();
/// let mut builder = ManifestBuilder::new(form);
/// builder.push_file("sub/x", &Algorithm::Sha256.digest(b"x")).unwrap();
/// builder.push_file("sub-x", &Algorithm::Sha256.digest(b"y")).unwrap();
/// let manifest = builder.finish().unwrap();
/// let statement = manifest.to_statement("model").unwrap();
/// assert_eq!(SignedManifest::from_statement(&statement).unwrap().manifest, manifest);
/// ```
#[derive(Clone)]
pub struct Manifest {
    serialization: Serialization,
    columns: Columns,
    // Made at most once: it takes a pass over all names.
    digest_set: OnceLock<DigestSet>,
}

impl PartialEq for Manifest {
    fn eq(&self, other: &Self) -> bool {
        self.serialization == other.serialization && self.columns == other.columns
    }
}

impl Eq for Manifest {}

impl fmt::Debug for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Manifest")
            .field("serialization", &self.serialization)
            .field("resources", &self.iter().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

impl Manifest {
    /// Returns how it was made.
    pub const fn serialization(&self) -> &Serialization {
        &self.serialization
    }

    /// Returns the number of resources, at least 1.
    #[allow(clippy::len_without_is_empty, reason = "a manifest is never empty")]
    pub fn len(&self) -> usize {
        self.columns.ends.len()
    }

    /// Returns a resource by its listed position.
    pub fn get(&self, index: usize) -> Option<Resource<'_>> {
        let (name, bytes) = self.columns.get(index)?;
        let (path, range) = match self.serialization.method {
            Method::Files => (name, None),
            Method::Shards { .. } => split_range(name).map(|(path, range)| (path, Some(range)))?,
        };
        let digest = Digest::new(self.serialization.hash, bytes).ok()?;
        Some(Resource {
            name,
            path,
            range,
            digest,
        })
    }

    /// Iterates over the resources in listed order.
    pub fn iter(&self) -> impl Iterator<Item = Resource<'_>> {
        (0..self.len()).filter_map(|index| self.get(index))
    }

    /// Iterates over the distinct paths, in component order.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        let mut last = None;
        self.component_order().into_iter().filter_map(move |index| {
            let path = self.path_at(index);
            (last.replace(path) != Some(path)).then_some(path)
        })
    }

    /// Returns true if the model is a single file under the name [`BARE_FILE`].
    pub fn is_bare_file(&self) -> bool {
        !self.columns.ends.is_empty() && self.path_at(0) == BARE_FILE
    }

    /// Returns the root digest: SHA-256 over the raw digests in listed order (section 6.5.1).
    pub fn root_digest(&self) -> Digest {
        Algorithm::Sha256.digest(&self.columns.digests)
    }

    /// Returns the root digest in a given order.
    pub fn root_digest_in(&self, order: Order) -> Digest {
        let order = match order {
            Order::Listed => return self.root_digest(),
            Order::CodePoint => self.code_point_order(),
            Order::Components => self.component_order(),
        };
        let mut hasher = Algorithm::Sha256.hasher();
        for (_, digest) in order.into_iter().filter_map(|index| self.columns.at(index)) {
            hasher.update(digest);
        }
        hasher.finish()
    }

    /// Returns true if `root` is the root digest of these files in any order in use. Older
    /// clients sort by component, so one tree has two root digests.
    pub fn has_root(&self, root: &Digest) -> bool {
        [Order::Listed, Order::CodePoint, Order::Components]
            .into_iter()
            .any(|order| self.root_digest_in(order) == *root)
    }

    /// Returns in-toto's `dirHash` (digest set v1.1; Go's `h1:` in hex): SHA-256 over the lines
    /// `<hex>  <path>\n` in byte order. Unlike the root digest it binds the names.
    ///
    /// It is defined for whole files under SHA-256, and for names without a line feed; else
    /// `None`.
    pub fn dir_hash(&self) -> Option<Digest> {
        let form = &self.serialization;
        if form.method != Method::Files || form.hash != Algorithm::Sha256 || self.is_bare_file() {
            return None;
        }
        if self.columns.names.contains('\n') {
            return None;
        }
        Some(self.hash_lines(String::new(), |line, name, hex| {
            line.push_str(hex);
            line.push_str("  ");
            line.push_str(name);
            line.push('\n');
        }))
    }

    /// Returns a digest that binds names, digests and method of any manifest: SHA-256 over the
    /// line `custos-manifest-v1 <method> <hash> <shard size or 0>\n` and, in code point order,
    /// the lines `<hex> <length of the name in bytes> <name>\n`.
    pub fn listing_digest(&self) -> Digest {
        let (method, size) = match self.serialization.method {
            Method::Files => ("files", 0),
            Method::Shards { size } => ("shards", size.get()),
        };
        let hash = self.serialization.hash;
        let head = format!("custos-manifest-v1 {method} {hash} {size}\n");
        self.hash_lines(head, |line, name, hex| {
            // Writing to a string does not fail.
            let _ = writeln!(line, "{hex} {} {name}", name.len());
        })
    }

    /// Returns the digests by which other statements name this tree: `sha256` is the root digest
    /// in code point order; beside it stands `dirHash`, or [`LISTING_DIGEST`] where that is not
    /// defined, because the root digest does not bind the names of the files.
    pub fn digest_set(&self) -> DigestSet {
        let make = || {
            let mut set = DigestSet::from(self.root_digest_in(Order::CodePoint));
            match self.dir_hash() {
                Some(digest) => set.insert_raw("dirHash", digest.to_hex()),
                None => set.insert_raw(LISTING_DIGEST, self.listing_digest().to_hex()),
            }
            set
        };
        self.digest_set.get_or_init(make).clone()
    }

    // Hashes `text` and a line for each resource in code point order, in larger parts.
    fn hash_lines(
        &self,
        mut text: String,
        mut line: impl FnMut(&mut String, &str, &str),
    ) -> Digest {
        let mut hasher = Algorithm::Sha256.hasher();
        let mut hex = vec![0; self.columns.width.saturating_mul(2)];
        for index in self.code_point_order() {
            let Some((name, digest)) = self.columns.at(index) else {
                continue;
            };
            // The buffer is twice as long as the digest, and hex is ASCII.
            let _ = hex::encode_to_slice(digest, &mut hex);
            line(
                &mut text,
                name,
                std::str::from_utf8(&hex).unwrap_or_default(),
            );
            if text.len() > 32 << 10 {
                hasher.update(text.as_bytes());
                text.clear();
            }
        }
        hasher.update(text.as_bytes());
        hasher.finish()
    }

    fn at(&self, index: u32) -> Option<Resource<'_>> {
        self.get(usize::try_from(index).ok()?)
    }

    fn path_at(&self, index: u32) -> &str {
        let name = self.columns.at(index).map_or("", |(name, _)| name);
        match self.serialization.method {
            Method::Files => name,
            Method::Shards { .. } => split_range(name).map_or(name, |(path, _)| path),
        }
    }

    fn code_point_order(&self) -> Vec<u32> {
        let name = |index: &u32| self.columns.at(*index).map_or("", |(name, _)| name);
        let mut order = self.columns.indexes();
        // A stable sort, which takes one pass over what is sorted already.
        order.sort_by(|a, b| name(a).cmp(name(b)));
        order
    }

    fn component_order(&self) -> Vec<u32> {
        let mut order = self.columns.indexes();
        match self.serialization.method {
            Method::Files => {
                order.sort_by(|a, b| path::by_components(self.path_at(*a), self.path_at(*b)));
            }
            Method::Shards { .. } => {
                let start = |index: u32| {
                    self.at(index)
                        .and_then(|resource| resource.range())
                        .map_or(0, |r| r.start)
                };
                order.sort_by(|a, b| {
                    path::by_components(self.path_at(*a), self.path_at(*b))
                        .then_with(|| start(*a).cmp(&start(*b)))
                });
            }
        }
        order
    }

    fn validated(self) -> Result<Self, OmsError> {
        if self.len() == 0 {
            return Err(OmsError::Empty);
        }
        let bare = self.is_bare_file();
        let mut previous: Option<Resource<'_>> = None;
        for index in self.component_order() {
            let Some(resource) = self.at(index) else {
                continue;
            };
            if bare != (resource.path == BARE_FILE) {
                let name = resource.name.to_owned();
                return Err(OmsError::Name {
                    name,
                    fault: PathFault::Dot,
                });
            }
            self.check_neighbours(previous.as_ref(), &resource)?;
            previous = Some(resource);
        }
        Ok(self)
    }

    // In component order equal paths are neighbours, a file is followed by what lies "beneath"
    // it, and ranges of one file follow each other.
    fn check_neighbours(
        &self,
        previous: Option<&Resource<'_>>,
        resource: &Resource<'_>,
    ) -> Result<(), OmsError> {
        let same = previous.filter(|previous| previous.path == resource.path);
        if let (Some(previous), None) = (previous, same)
            && resource
                .path
                .strip_prefix(previous.path)
                .is_some_and(|rest| rest.starts_with('/'))
        {
            return Err(OmsError::BeneathFile {
                name: resource.name.to_owned(),
            });
        }
        let Some(range) = resource.range() else {
            return match same {
                Some(_) => Err(OmsError::Duplicate {
                    name: resource.name.to_owned(),
                }),
                None => Ok(()),
            };
        };
        let Method::Shards { size } = self.serialization.method else {
            return Ok(());
        };
        let broken = || OmsError::Ranges {
            name: resource.name.to_owned(),
        };
        match same.and_then(Resource::range) {
            Some(last) if last.start == range.start => {
                return Err(OmsError::Duplicate {
                    name: resource.name.to_owned(),
                });
            }
            // Only the last range of a file may be short.
            Some(last) if last.end != range.start || length(&last) != size.get() => {
                return Err(broken());
            }
            None if range.start != 0 => return Err(broken()),
            _ => {}
        }
        if range.is_empty() || length(&range) > size.get() {
            Err(broken())
        } else {
            Ok(())
        }
    }
}

fn length(range: &Range<u64>) -> u64 {
    range.end.saturating_sub(range.start)
}

/// Splits `path:start:end` at the last two colons (section 6.3.2): a path may have colons itself.
fn split_range(name: &str) -> Option<(&str, Range<u64>)> {
    let mut parts = name.rsplitn(3, ':');
    let (end, start, path) = (parts.next()?, parts.next()?, parts.next()?);
    Some((path, decimal(start)?..decimal(end)?))
}

fn decimal(text: &str) -> Option<u64> {
    let canonical = !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_digit())
        && (text == "0" || !text.starts_with('0'));
    if canonical { text.parse().ok() } else { None }
}

/// Names and digests side by side: three allocations for a manifest of any size.
#[derive(Clone, PartialEq, Eq)]
struct Columns {
    names: String,
    // Where each name ends in `names`.
    ends: Vec<u32>,
    digests: Vec<u8>,
    width: usize,
}

impl Columns {
    const fn new(hash: Algorithm) -> Self {
        let width = hash.output_len();
        Self {
            names: String::new(),
            ends: Vec::new(),
            digests: Vec::new(),
            width,
        }
    }

    fn get(&self, index: usize) -> Option<(&str, &[u8])> {
        let end = usize::try_from(*self.ends.get(index)?).ok()?;
        let start = match index.checked_sub(1) {
            Some(before) => usize::try_from(*self.ends.get(before)?).ok()?,
            None => 0,
        };
        let at = index.checked_mul(self.width)?;
        let digest = self.digests.get(at..at.checked_add(self.width)?)?;
        Some((self.names.get(start..end)?, digest))
    }

    fn at(&self, index: u32) -> Option<(&str, &[u8])> {
        self.get(usize::try_from(index).ok()?)
    }

    fn indexes(&self) -> Vec<u32> {
        // At most MAX_RESOURCES, see `push`.
        (0..u32::try_from(self.ends.len()).unwrap_or(0)).collect()
    }

    fn push(&mut self, name: fmt::Arguments<'_>, digest: &[u8]) -> Result<(), OmsError> {
        if self.ends.len() >= MAX_RESOURCES {
            return Err(OmsError::TooManyResources);
        }
        // Writing to a string does not fail.
        let _ = self.names.write_fmt(name);
        let end = u32::try_from(self.names.len()).map_err(|_| OmsError::TooManyResources)?;
        self.ends.push(end);
        self.digests.extend_from_slice(digest);
        Ok(())
    }

    fn is_sorted(&self) -> bool {
        (1..self.ends.len()).all(|index| {
            let name = |at: usize| self.get(at).map(|(name, _)| name);
            name(index.saturating_sub(1)) <= name(index)
        })
    }
}

/// Collects resources into a [`Manifest`].
#[derive(Clone)]
pub struct ManifestBuilder {
    serialization: Serialization,
    columns: Columns,
    sort: bool,
}

impl fmt::Debug for ManifestBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ManifestBuilder")
            .field("serialization", &self.serialization)
            .field("resources", &self.columns.ends.len())
            .finish_non_exhaustive()
    }
}

impl ManifestBuilder {
    /// Returns a builder whose manifest comes out in code point order.
    pub fn new(serialization: Serialization) -> Self {
        let columns = Columns::new(serialization.hash);
        Self {
            serialization,
            columns,
            sort: true,
        }
    }

    /// Returns a builder that keeps the order, for what was signed in that order.
    pub fn listed(serialization: Serialization) -> Self {
        Self {
            sort: false,
            ..Self::new(serialization)
        }
    }

    /// Adds a whole file, under [`Method::Files`].
    pub fn push_file(&mut self, path: &str, digest: &Digest) -> Result<(), OmsError> {
        if self.serialization.method != Method::Files {
            return Err(OmsError::NotARange {
                name: path.to_owned(),
            });
        }
        self.push_name(path, digest)
    }

    /// Adds a range of a file, under [`Method::Shards`].
    pub fn push_range(
        &mut self,
        path: &str,
        range: Range<u64>,
        digest: &Digest,
    ) -> Result<(), OmsError> {
        if self.serialization.method == Method::Files {
            return Err(OmsError::OtherSerialization);
        }
        check_name(path, path)?;
        self.push_args(format_args!("{path}:{}:{}", range.start, range.end), digest)
    }

    /// Checks the resources and returns the manifest.
    pub fn finish(self) -> Result<Manifest, OmsError> {
        let Self {
            serialization,
            columns,
            sort,
        } = self;
        let digest_set = OnceLock::new();
        let mut manifest = Manifest {
            serialization,
            columns,
            digest_set,
        };
        if sort && !manifest.columns.is_sorted() {
            let mut sorted = Columns::new(manifest.serialization.hash);
            for index in manifest.code_point_order() {
                if let Some((name, digest)) = manifest.columns.at(index) {
                    sorted.push(format_args!("{name}"), digest)?;
                }
            }
            manifest.columns = sorted;
        }
        manifest.validated()
    }

    /// Adds a resource by the name that stands in a predicate.
    fn push_name(&mut self, name: &str, digest: &Digest) -> Result<(), OmsError> {
        let path = match self.serialization.method {
            Method::Files => name,
            Method::Shards { .. } => {
                let not_a_range = || OmsError::NotARange {
                    name: shortened(name),
                };
                split_range(name)
                    .map(|(path, _)| path)
                    .ok_or_else(not_a_range)?
            }
        };
        check_name(name, path)?;
        self.push_args(format_args!("{name}"), digest)
    }

    fn push_args(&mut self, name: fmt::Arguments<'_>, digest: &Digest) -> Result<(), OmsError> {
        if digest.algorithm() != self.serialization.hash {
            let (expected, found) = (self.serialization.hash, digest.algorithm());
            return Err(OmsError::OtherAlgorithm {
                name: shortened(&name.to_string()),
                expected,
                found: found.name().to_owned(),
            });
        }
        self.columns.push(name, digest.as_bytes())
    }
}

fn check_name(name: &str, path: &str) -> Result<(), OmsError> {
    if path == BARE_FILE {
        return Ok(());
    }
    path::check(path).map_err(|fault| OmsError::Name {
        name: shortened(name),
        fault,
    })
}

// A hostile name may be megabytes long; an error quotes its beginning.
fn shortened(name: &str) -> String {
    name.chars().take(256).collect()
}

/// What a statement says about a model.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SignedManifest {
    /// The model's name: information, never a base for a decision.
    pub name: String,
    /// Its files.
    pub manifest: Manifest,
    /// The form in which it was signed.
    pub form: Form,
}

/// The form of a signed manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Form {
    /// [`PREDICATE_TYPE`].
    V1,
    /// [`LEGACY_PREDICATE_TYPE`].
    Legacy,
}

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

/// Entry for fuzzing: any bytes as a statement; what is read must survive a round trip.
#[doc(hidden)]
pub fn fuzz_oms(data: &[u8]) {
    let Ok(statement) = crate::statement::Statement::parse(data) else {
        return;
    };
    let Ok(signed) = SignedManifest::from_statement(&statement) else {
        return;
    };
    let Ok(again) = signed.manifest.to_statement("model") else {
        return;
    };
    let roots = |m: &Manifest| (m.root_digest_in(Order::CodePoint), m.listing_digest());
    let read = SignedManifest::from_statement(&again).map(|signed| signed.manifest);
    assert!(
        read.as_ref()
            .is_ok_and(|read| roots(read) == roots(&signed.manifest)
                && compare(&signed.manifest, read, 1).is_ok_and(|found| found.is_empty())),
        "what was read is not what was written: {read:?}"
    );
}

#[cfg(test)]
mod tests;
