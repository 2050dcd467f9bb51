//! Names inside a tree, and which of them a manifest leaves out (OMS v1.0 sections 6.1.2, 6.2).

use std::collections::BTreeSet;
use std::fmt;

use crate::limits::MAX_PATH_BYTES;

/// Left out at the top level of every model, with everything beneath (OMS v1.0 section 6.2).
pub const GIT_PATHS: [&str; 4] = [".git", ".gitattributes", ".github", ".gitignore"];

/// The home of Custos: never part of an artifact.
pub const HOME_NAME: &str = ".custos";

/// The usual name of a model's signature; left out where a manifest is made.
pub const SIGNATURE_NAME: &str = "model.sig";

/// The name that older clients give the one file of a single-file model, instead of its
/// basename. Read, never written.
pub const BARE_FILE: &str = ".";

/// Most entries in a list of ignored paths.
pub const MAX_IGNORE_PATHS: usize = 100_000;

/// A canonical relative path: `/` between components, no `.`, `..`, empty component or NUL.
///
/// ```
/// use custos_core::oms::{PathFault, TreePath};
/// assert_eq!(TreePath::new("a/b c:1").unwrap().as_str(), "a/b c:1");
/// assert_eq!(TreePath::new("../a"), Err(PathFault::Parent));
/// assert_eq!(TreePath::normalized("./a//b/").unwrap().as_str(), "a/b");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TreePath(String);

impl TreePath {
    /// Returns the path, which must already be canonical.
    pub fn new(text: impl Into<String>) -> Result<Self, PathFault> {
        let text = text.into();
        check(&text)?;
        Ok(Self(text))
    }

    /// Checks that `text` is a canonical relative path of at most [`MAX_PATH_BYTES`].
    pub fn check(text: &str) -> Result<(), PathFault> {
        check(text)
    }

    /// Returns the canonical form of what a person typed: `./` and repeated or trailing `/` go.
    pub fn normalized(text: &str) -> Result<Self, PathFault> {
        if text.starts_with('/') {
            return Err(PathFault::Absolute);
        }
        let parts: Vec<&str> = text
            .split('/')
            .filter(|part| !part.is_empty() && *part != ".")
            .collect();
        Self::new(parts.join("/"))
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for TreePath {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

pub(super) fn check(text: &str) -> Result<(), PathFault> {
    if text.is_empty() {
        return Err(PathFault::Empty);
    }
    if text.len() > MAX_PATH_BYTES {
        return Err(PathFault::TooLong { found: text.len() });
    }
    if text.starts_with('/') {
        return Err(PathFault::Absolute);
    }
    if text.bytes().any(|byte| byte == 0) {
        return Err(PathFault::Nul);
    }
    for part in text.split('/') {
        match part {
            "" => return Err(PathFault::EmptyComponent),
            "." => return Err(PathFault::Dot),
            ".." => return Err(PathFault::Parent),
            _ => {}
        }
    }
    Ok(())
}

/// Why a text is not a canonical relative path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PathFault {
    /// It starts with `/`.
    #[error("it is absolute")]
    Absolute,
    /// It has a `.` component.
    #[error("it has a `.` component")]
    Dot,
    /// It is empty.
    #[error("it is empty")]
    Empty,
    /// It has `//`, or a `/` at its end.
    #[error("it has an empty component")]
    EmptyComponent,
    /// An ignore entry has `*`, `?` or `[`: entries are exact paths, not patterns.
    #[error("it has a wildcard; entries are exact paths")]
    Glob,
    /// It has a NUL byte.
    #[error("it has a NUL byte")]
    Nul,
    /// It has a `..` component.
    #[error("it has a `..` component")]
    Parent,
    /// It is longer than [`MAX_PATH_BYTES`].
    #[error("it has {found} bytes, the limit is {MAX_PATH_BYTES}")]
    TooLong {
        /// Its bytes.
        found: usize,
    },
}

/// The exact relative paths that a tree leaves out, each with everything beneath it.
///
/// ```
/// use custos_core::oms::Exclusions;
/// let rules = Exclusions::standard();
/// assert!(rules.covers(".git/config"));
/// assert!(!rules.covers("sub/.git"));
/// assert!(!rules.covers(".github2"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exclusions(BTreeSet<String>);

impl Exclusions {
    /// Returns what a new manifest leaves out: [`GIT_PATHS`], [`HOME_NAME`], [`SIGNATURE_NAME`].
    pub fn standard() -> Self {
        let mut rules = Self::for_verifying();
        rules.0.insert(SIGNATURE_NAME.to_owned());
        rules
    }

    /// Returns what a verifier leaves out whatever the manifest records: [`GIT_PATHS`] and
    /// [`HOME_NAME`].
    pub fn for_verifying() -> Self {
        Self(
            GIT_PATHS
                .iter()
                .chain([&HOME_NAME])
                .map(|name| (*name).to_owned())
                .collect(),
        )
    }

    /// Returns rules that leave out nothing.
    pub const fn none() -> Self {
        Self(BTreeSet::new())
    }

    /// Adds a path that a person or a signer names; a wildcard is refused, because older readers
    /// might take it for a pattern.
    pub fn add(&mut self, path: &TreePath) -> Result<(), PathFault> {
        if path.as_str().contains(['*', '?', '[']) {
            return Err(PathFault::Glob);
        }
        self.add_exact(path);
        Ok(())
    }

    /// Adds a path that is known to be there, such as the signature file: it is exact, whatever
    /// characters it has.
    pub fn add_exact(&mut self, path: &TreePath) {
        self.0.insert(path.as_str().to_owned());
    }

    /// Returns true if exactly `path` is listed; a walk that does not descend into what is
    /// listed needs no more.
    pub fn lists(&self, path: &str) -> bool {
        self.0.contains(path)
    }

    /// Returns true if `path` or a folder above it is listed.
    pub fn covers(&self, path: &str) -> bool {
        self.lists(path)
            || path
                .match_indices('/')
                .any(|(at, _)| path.get(..at).is_some_and(|folder| self.lists(folder)))
    }

    /// Iterates over the entries, sorted.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

/// Compares two paths as sequences of components, the order of older clients: `sub/x` before
/// `sub-x`, where code points say the opposite.
pub(super) fn by_components(left: &str, right: &str) -> std::cmp::Ordering {
    // Inside a component there is neither `/` nor NUL, so ranking `/` lowest is the same as
    // comparing component by component.
    let rank = |byte: u8| if byte == b'/' { 0 } else { byte };
    left.bytes().map(rank).cmp(right.bytes().map(rank))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_canonical_paths() {
        for (text, fault) in [
            ("", PathFault::Empty),
            ("/a", PathFault::Absolute),
            ("a//b", PathFault::EmptyComponent),
            ("a/", PathFault::EmptyComponent),
            ("./a", PathFault::Dot),
            (".", PathFault::Dot),
            ("a/..", PathFault::Parent),
            ("a\0", PathFault::Nul),
        ] {
            assert_eq!(TreePath::new(text), Err(fault), "{text:?}");
        }
        for good in ["a", "..a", "a..", "...", "a:0:1", "a\\b", "a\nb", "é"] {
            assert_eq!(TreePath::new(good).unwrap().as_str(), good);
        }
        assert_eq!(
            TreePath::new("a".repeat(4096)),
            Err(PathFault::TooLong { found: 4096 })
        );
        assert_eq!(TreePath::normalized("/a"), Err(PathFault::Absolute));
        assert_eq!(TreePath::normalized("a/../b"), Err(PathFault::Parent));
    }

    #[test]
    fn wildcards_are_refused_from_people_only() {
        let path = TreePath::new("a[1]").unwrap();
        let mut rules = Exclusions::none();
        assert_eq!(rules.add(&path), Err(PathFault::Glob));
        rules.add_exact(&path);
        assert!(rules.covers("a[1]/b") && !rules.covers("a1"));
    }

    proptest! {
        #[test]
        fn component_order_is_that_of_split_paths(a in "[-a./0é]{0,8}", b in "[-a./0é]{0,8}") {
            let expected = a.split('/').cmp(b.split('/'));
            // `split` sees "a" as shorter than "a/", and so do we.
            prop_assert_eq!(by_components(&a, &b), expected);
        }
    }
}
