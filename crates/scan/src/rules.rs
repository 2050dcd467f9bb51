//! The rules: what can be found, under identifiers that never change their meaning.
//!
//! A rule that is no longer needed keeps its place here and is reported no more. Tags: CWE, MITRE
//! ATLAS techniques, OWASP Top 10 for LLM applications and for machine learning.

pub(crate) mod archive;
pub(crate) mod classic;
pub(crate) mod executable;
pub(crate) mod graphs;
pub(crate) mod hub;
pub(crate) mod media;
pub(crate) mod pickle;
pub(crate) mod scanning;
pub(crate) mod supply;
pub(crate) mod tensors;
pub(crate) mod text;

use custos_core::digest::{Algorithm, Digest};
use custos_core::finding::{Confidence, Finding, Location, Severity};

use crate::source::ReadAt;

/// A rule.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rule {
    /// Identifier: group and name.
    pub id: &'static str,
    /// How bad an instance is as a rule; a finding says how bad that one is.
    pub severity: Severity,
    /// What it is, in a few words.
    pub title: &'static str,
    /// What it means and why it matters.
    pub what: &'static str,
    /// What to do.
    pub advice: &'static str,
    /// Weaknesses: numbers of the Common Weakness Enumeration.
    pub cwe: &'static [u32],
    /// Techniques and risks: `AML.T0018`, `LLM03:2025`, `ML06:2023`.
    pub tags: &'static [&'static str],
}

impl Rule {
    /// Returns a finding of this rule, at its usual severity and sure of itself.
    pub(crate) fn finding(&self, location: Location, message: impl Into<String>) -> Finding {
        Finding {
            rule: self.id.to_owned(),
            severity: self.severity,
            confidence: Confidence::High,
            message: message.into(),
            location,
            evidence: None,
            cves: Vec::new(),
        }
    }
}

/// Returns the rule of this identifier.
pub fn find(id: &str) -> Option<&'static Rule> {
    all().find(|rule| rule.id == id)
}

/// Returns all rules, group by group.
pub fn all() -> impl Iterator<Item = &'static Rule> {
    GROUPS.iter().copied().flatten().copied()
}

// The groups; each is a file below this one.
static GROUPS: &[&[&Rule]] = &[
    pickle::RULES,
    archive::RULES,
    tensors::RULES,
    graphs::RULES,
    classic::RULES,
    text::RULES,
    supply::RULES,
    executable::RULES,
    hub::RULES,
    media::RULES,
    scanning::RULES,
];

/// Returns the digest of the rule set: the version of this program, the rules, and all lists that a
/// verdict depends on. Two scans of the same bytes under the same digest give the same answer.
pub fn digest() -> Digest {
    let mut hasher = Algorithm::Sha256.hasher();
    let mut part = |bytes: &[u8]| {
        // The length keeps neighbours apart.
        hasher.update(&ReadAt::len(bytes).to_be_bytes());
        hasher.update(bytes);
    };
    part(env!("CARGO_PKG_VERSION").as_bytes());
    for rule in all() {
        part(rule.id.as_bytes());
        part(rule.severity.name().as_bytes());
    }
    for list in LISTS.iter().copied().flatten() {
        part(list.as_bytes());
    }
    hasher.finish()
}

static LISTS: &[&[&str]] = &[
    crate::archive::DATA,
    crate::pickle::DATA,
    crate::tensors::DATA,
    crate::graphs::DATA,
    crate::classic::DATA,
    crate::media::DATA,
    crate::supply::DATA,
    crate::executable::DATA,
    crate::hub::DATA,
    crate::text::DATA,
];

macro_rules! rules {
    ($($name:ident = $id:literal, $severity:ident, $title:literal,
        $what:literal,
        $advice:literal,
        $cwe:expr, $tags:expr;)*) => {
        $(
            #[doc = $title]
            pub(crate) static $name: super::Rule = super::Rule {
                id: $id,
                severity: custos_core::finding::Severity::$severity,
                title: $title,
                what: $what,
                advice: $advice,
                cwe: &$cwe,
                tags: &$tags,
            };
        )*
        /// All rules of this file, in its order.
        pub(super) static RULES: &[&super::Rule] = &[$(&$name),*];
    };
}
use rules;

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn identifiers_are_one_of_a_kind_and_explained() {
        let ids: BTreeSet<_> = all().map(|rule| rule.id).collect();
        assert_eq!(ids.len(), all().count());
        for rule in all() {
            let (group, name) = rule.id.split_once('/').unwrap();
            let plain = |part: &str| {
                !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')
            };
            assert!(plain(group) && plain(name), "{}", rule.id);
            assert_eq!(find(rule.id), Some(rule));
            for text in [rule.what, rule.advice] {
                assert!(text.ends_with('.'), "{}", rule.id);
                assert!(!text.contains("  "), "{}", rule.id);
            }
        }
        assert_eq!(find("pickle/nothing"), None);
    }
}
