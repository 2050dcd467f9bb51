//! The names and digests of a manifest, packed.

use std::fmt::{self, Write as _};

use crate::digest::Algorithm;

use super::error::OmsError;

/// Most resources in a manifest.
pub const MAX_RESOURCES: usize = 1_000_000;

/// Names and digests side by side: three allocations for a manifest of any size.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Columns {
    pub(super) names: String,
    // Where each name ends in `names`.
    pub(super) ends: Vec<u32>,
    pub(super) digests: Vec<u8>,
    pub(super) width: usize,
}

impl Columns {
    pub(super) const fn new(hash: Algorithm) -> Self {
        let width = hash.output_len();
        Self {
            names: String::new(),
            ends: Vec::new(),
            digests: Vec::new(),
            width,
        }
    }

    pub(super) fn get(&self, index: usize) -> Option<(&str, &[u8])> {
        let end = usize::try_from(*self.ends.get(index)?).ok()?;
        let start = match index.checked_sub(1) {
            Some(before) => usize::try_from(*self.ends.get(before)?).ok()?,
            None => 0,
        };
        let at = index.checked_mul(self.width)?;
        let digest = self.digests.get(at..at.checked_add(self.width)?)?;
        Some((self.names.get(start..end)?, digest))
    }

    pub(super) fn at(&self, index: u32) -> Option<(&str, &[u8])> {
        self.get(usize::try_from(index).ok()?)
    }

    pub(super) fn indexes(&self) -> Vec<u32> {
        // At most MAX_RESOURCES, see `push`.
        (0..u32::try_from(self.ends.len()).unwrap_or(0)).collect()
    }

    pub(super) fn push(&mut self, name: fmt::Arguments<'_>, digest: &[u8]) -> Result<(), OmsError> {
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

    pub(super) fn is_sorted(&self) -> bool {
        (1..self.ends.len()).all(|index| {
            let name = |at: usize| self.get(at).map(|(name, _)| name);
            name(index.saturating_sub(1)) <= name(index)
        })
    }
}
