//! The listing itself: its order, and the digests by which it is named (OMS v1.0 section 6.5).

use std::fmt::{self, Write as _};
use std::ops::Range;
use std::sync::OnceLock;

use crate::digest::{Algorithm, Digest, DigestSet};

use super::columns::Columns;
use super::error::OmsError;
use super::path::{self, BARE_FILE, PathFault};
use super::serialization::{Method, Serialization};

/// Name under which [`Manifest::digest_set`] puts [`Manifest::listing_digest`] where in-toto's
/// `dirHash` is not defined.
pub const LISTING_DIGEST: &str = "custosManifest";

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
    pub(super) serialization: Serialization,
    pub(super) columns: Columns,
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
    pub(super) const fn unchecked(serialization: Serialization, columns: Columns) -> Self {
        Self {
            serialization,
            columns,
            digest_set: OnceLock::new(),
        }
    }

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

    pub(super) fn at(&self, index: u32) -> Option<Resource<'_>> {
        self.get(usize::try_from(index).ok()?)
    }

    pub(super) fn path_at(&self, index: u32) -> &str {
        let name = self.columns.at(index).map_or("", |(name, _)| name);
        match self.serialization.method {
            Method::Files => name,
            Method::Shards { .. } => split_range(name).map_or(name, |(path, _)| path),
        }
    }

    pub(super) fn code_point_order(&self) -> Vec<u32> {
        let name = |index: &u32| self.columns.at(*index).map_or("", |(name, _)| name);
        let mut order = self.columns.indexes();
        // A stable sort, which takes one pass over what is sorted already.
        order.sort_by(|a, b| name(a).cmp(name(b)));
        order
    }

    pub(super) fn component_order(&self) -> Vec<u32> {
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

    pub(super) fn validated(self) -> Result<Self, OmsError> {
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
pub(super) fn split_range(name: &str) -> Option<(&str, Range<u64>)> {
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
