//! The order of versions, ecosystem by ecosystem.

use std::cmp::Ordering;
use std::str::FromStr;

use crate::supply::dependency::Ecosystem;

/// Compares two versions; what is no version comes before all that are, as `0` does.
pub(super) fn order(ecosystem: Ecosystem, a: &str, b: &str) -> Ordering {
    match ecosystem {
        Ecosystem::PyPi => pep440(a).cmp(&pep440(b)),
        _ => semver(a).cmp(&semver(b)),
    }
}

/// Returns true if both are the same version, however they are written.
pub(super) fn equal(ecosystem: Ecosystem, a: &str, b: &str) -> bool {
    match ecosystem {
        Ecosystem::PyPi => pep440(a).is_some_and(|version| Some(version) == pep440(b)),
        _ => semver(a).is_some_and(|version| Some(version) == semver(b)),
    }
}

/// Returns true if it is a version at all.
pub(super) fn is_valid(ecosystem: Ecosystem, version: &str) -> bool {
    match ecosystem {
        Ecosystem::PyPi => pep440(version).is_some(),
        _ => semver(version).is_some(),
    }
}

// A local version, `+cu118`, is the public one built otherwise.
fn pep440(text: &str) -> Option<pep440_rs::Version> {
    if text == "0" {
        return None;
    }
    let public = text.split('+').next().unwrap_or(text);
    pep440_rs::Version::from_str(public.trim()).ok()
}

fn semver(text: &str) -> Option<semver::Version> {
    if text == "0" {
        return None;
    }
    let text = text.trim().trim_start_matches(['v', '=']);
    let mut version = semver::Version::parse(text).ok()?;
    version.build = semver::BuildMetadata::EMPTY;
    Some(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_ecosystem_has_its_order() {
        let py = |a, b| order(Ecosystem::PyPi, a, b);
        assert_eq!(py("1.10", "1.9"), Ordering::Greater);
        assert_eq!(py("1.0rc1", "1.0"), Ordering::Less);
        assert_eq!(py("1.0.post1", "1.0"), Ordering::Greater);
        assert_eq!(py("1!0.1", "99"), Ordering::Greater);
        assert_eq!(py("0", "0.0.0.dev0"), Ordering::Less);
        assert!(equal(Ecosystem::PyPi, "1.0", "1.0.0"));
        assert!(equal(Ecosystem::PyPi, "2.1.0+cu118", "2.1"));
        let npm = |a, b| order(Ecosystem::Npm, a, b);
        assert_eq!(npm("1.0.0-alpha.2", "1.0.0-alpha.10"), Ordering::Less);
        assert_eq!(npm("1.0.0", "1.0.0-rc"), Ordering::Greater);
        assert_eq!(npm("0", "0.0.0-0"), Ordering::Less);
        assert_eq!(order(Ecosystem::Go, "v1.2.3", "1.2.3"), Ordering::Equal);
    }
}
