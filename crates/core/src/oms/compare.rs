//! What differs between the signed listing and what lies on disk (OMS v1.0 section 8.4).

use std::cmp::Ordering;
use std::fmt;
use std::ops::Range;

use crate::digest::Digest;

use super::path::by_components;
use super::{Manifest, OmsError, Resource};

/// One way in which a tree is not the one that was signed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Difference {
    /// The file, relative to the root.
    pub path: String,
    /// What is wrong with it.
    pub kind: DifferenceKind,
}

impl Difference {
    /// Returns a difference.
    pub fn new(path: impl Into<String>, kind: DifferenceKind) -> Self {
        Self {
            path: path.into(),
            kind,
        }
    }
}

/// What is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum DifferenceKind {
    /// Its bytes have another digest than the signed one.
    Changed {
        /// The part of the file, under shards.
        range: Option<Range<u64>>,
        /// The signed digest.
        expected: Digest,
        /// The digest found.
        found: Digest,
    },
    /// It has another length than its signed ranges.
    Length {
        /// The signed length.
        expected: u64,
        /// The length found.
        found: u64,
    },
    /// It is a symbolic link, and the manifest allows none.
    Link,
    /// It is a symbolic link that leads out of the tree, round in a circle, or nowhere.
    LinkOutside,
    /// It is listed and not there.
    Missing,
    /// It is neither a file nor a folder, or has a name that no manifest can hold.
    Special,
    /// It is there, not listed and not ignored.
    Unlisted,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = &self.path;
        match &self.kind {
            DifferenceKind::Changed { range: None, .. } => write!(f, "{path}: changed"),
            DifferenceKind::Changed {
                range: Some(range), ..
            } => {
                write!(f, "{path}: changed in bytes {}..{}", range.start, range.end)
            }
            DifferenceKind::Length { expected, found } => {
                write!(f, "{path}: has {found} bytes, {expected} were signed")
            }
            DifferenceKind::Link => write!(f, "{path}: is a symbolic link, none is allowed"),
            DifferenceKind::LinkOutside => {
                write!(
                    f,
                    "{path}: is a symbolic link that does not end inside of the tree"
                )
            }
            DifferenceKind::Missing => write!(f, "{path}: missing"),
            DifferenceKind::Special => write!(f, "{path}: neither a file nor a folder"),
            DifferenceKind::Unlisted => write!(f, "{path}: not part of what was signed"),
        }
    }
}

/// The differences found, of which at most a given number are kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Differences {
    /// The first ones, by path.
    pub list: Vec<Difference>,
    /// How many there are in all.
    pub total: usize,
}

impl Differences {
    /// Returns true if nothing differs.
    pub const fn is_empty(&self) -> bool {
        self.total == 0
    }

    /// Counts a difference, and keeps it if fewer than `limit` are kept.
    pub fn push(&mut self, difference: Difference, limit: usize) {
        self.total = self.total.saturating_add(1);
        if self.list.len() < limit {
            self.list.push(difference);
        }
    }
}

/// Compares the signed listing with the one found, keeping at most `limit` differences.
///
/// Both must have the same method and hash: `actual` is made after `expected`'s serialization.
/// Zero-byte files have no resource under shards, on either side, so they never differ.
pub fn compare(
    expected: &Manifest,
    actual: &Manifest,
    limit: usize,
) -> Result<Differences, OmsError> {
    let (left, right) = (expected.serialization(), actual.serialization());
    if left.method() != right.method() || left.hash() != right.hash() {
        return Err(OmsError::OtherSerialization);
    }
    let mut found = Differences::default();
    let (left, right) = (Ordered::new(expected), Ordered::new(actual));
    let (mut l, mut r) = (0, 0);
    loop {
        let (a, b) = (left.group(l), right.group(r));
        let order = match (a.first(), b.first()) {
            (None, None) => return Ok(found),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(a), Some(b)) => by_components(left.path(*a), right.path(*b)),
        };
        match order {
            Ordering::Less => {
                let path = a.first().map_or("", |at| left.path(*at));
                found.push(Difference::new(path, DifferenceKind::Missing), limit);
            }
            Ordering::Greater => {
                let path = b.first().map_or("", |at| right.path(*at));
                found.push(Difference::new(path, DifferenceKind::Unlisted), limit);
            }
            Ordering::Equal => compare_file(&left.resources(a), &right.resources(b), |kind| {
                let path = a.first().map_or("", |at| left.path(*at));
                found.push(Difference::new(path, kind), limit);
            }),
        }
        if order != Ordering::Greater {
            l = l.saturating_add(a.len());
        }
        if order != Ordering::Less {
            r = r.saturating_add(b.len());
        }
    }
}

fn compare_file(
    expected: &[Resource<'_>],
    actual: &[Resource<'_>],
    mut report: impl FnMut(DifferenceKind),
) {
    // Ranges of one file are contiguous from 0, which the manifest has checked.
    let length = |group: &[Resource<'_>]| group.last().and_then(|last| Some(last.range()?.end));
    if let (Some(expected), Some(found)) = (length(expected), length(actual))
        && expected != found
    {
        report(DifferenceKind::Length { expected, found });
        return;
    }
    for (expected, found) in expected.iter().zip(actual) {
        if expected.digest() != found.digest() {
            report(DifferenceKind::Changed {
                range: expected.range(),
                expected: *expected.digest(),
                found: *found.digest(),
            });
        }
    }
}

/// A manifest seen in component order, which keeps the ranges of a file together.
struct Ordered<'a> {
    manifest: &'a Manifest,
    order: Vec<u32>,
}

impl<'a> Ordered<'a> {
    fn new(manifest: &'a Manifest) -> Self {
        Self {
            manifest,
            order: manifest.component_order(),
        }
    }

    fn path(&self, index: u32) -> &'a str {
        self.manifest.path_at(index)
    }

    /// Returns the indexes of the file at position `at`.
    fn group(&self, at: usize) -> &[u32] {
        let rest = self.order.get(at..).unwrap_or_default();
        let Some(first) = rest.first() else {
            return rest;
        };
        let path = self.path(*first);
        let len = rest
            .iter()
            .take_while(|index| self.path(**index) == path)
            .count();
        rest.get(..len).unwrap_or_default()
    }

    fn resources(&self, group: &[u32]) -> Vec<Resource<'a>> {
        group
            .iter()
            .filter_map(|index| self.manifest.at(*index))
            .collect()
    }
}
