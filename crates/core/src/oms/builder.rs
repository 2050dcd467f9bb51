//! Collecting resources into a manifest.

use std::fmt;
use std::ops::Range;

use crate::digest::Digest;

use super::columns::Columns;
use super::error::{OmsError, shortened};
use super::manifest::{Manifest, split_range};
use super::path::{self, BARE_FILE};
use super::serialization::{Method, Serialization};

/// Collects resources into a [`Manifest`].
#[derive(Clone)]
pub struct ManifestBuilder {
    pub(super) serialization: Serialization,
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
        let mut manifest = Manifest::unchecked(serialization, columns);
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
    pub(super) fn push_name(&mut self, name: &str, digest: &Digest) -> Result<(), OmsError> {
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
