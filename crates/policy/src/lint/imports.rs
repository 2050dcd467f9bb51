//! Imports that this engine reads in another way than OPA.
//!
//! It keeps one table of imports for a package, not for a file, lets a rule win over an import of
//! its name, and finds nothing behind an import of the package that is being evaluated.

use std::collections::BTreeMap;

use super::names::import_of;
use super::{Index, ParsedFile, Path, package_path};
use crate::error::{PolicyError, PolicyErrorKind};

/// Checks the imports of all files together.
pub(super) fn check(files: &[ParsedFile], index: &Index<'_>) -> Vec<PolicyError> {
    let mut findings = Vec::new();
    let mut names: BTreeMap<(Path, String), Path> = BTreeMap::new();
    for file in files {
        let package = package_path(file);
        for import in &file.module.imports {
            let Some((name, path)) = import_of(import, &file.text) else {
                continue;
            };
            let mut report = |kind| {
                let position = import.refr.span().position(&file.text);
                findings.push(PolicyError::new(&file.path, Some(position), kind));
            };
            let is_root = path.len() == 1;
            if (name == "input" || name == "data") && !(is_root && path.first() == Some(&name)) {
                report(PolicyErrorKind::ShadowedRoot { name: name.clone() });
            }
            if !is_root && package.starts_with(&path) {
                let package = path.join(".");
                report(PolicyErrorKind::ImportOfOwnPackage { package });
            }
            let mut rule = package.clone();
            rule.push(name.clone());
            if index.rules.keys().any(|known| known.starts_with(&rule)) {
                let other = "the name of a rule of this package";
                let name = name.clone();
                report(PolicyErrorKind::ImportConflict { name, other });
            }
            let key = (package.clone(), name.clone());
            let first = names.entry(key).or_insert_with(|| path.clone());
            if *first != path {
                let other = "the name of another import in this package";
                report(PolicyErrorKind::ImportConflict { name, other });
            }
        }
    }
    findings
}
