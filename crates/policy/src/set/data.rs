//! Data documents: `data.json` files, each hanging in `data` where its folder says.

use std::collections::{BTreeMap, BTreeSet};

use custos_core::json;
use serde_json::{Map, Value};

use crate::error::{PolicyError, PolicyErrorKind};
use crate::limits::PolicyLimits;
use crate::lint::{Path, RuleEntry};
use crate::source::PolicyFile;

// Deep enough to tell settings apart; a document of a million entries stays a short list.
const PATH_PARTS: usize = 5;

pub(super) struct Documents {
    pub(super) value: Value,
    /// What they define, down to [`PATH_PARTS`].
    pub(super) paths: Vec<Path>,
}

/// Reads and merges all data documents.
pub(super) fn documents(
    files: &[PolicyFile],
    limits: &PolicyLimits,
) -> Result<Documents, Vec<PolicyError>> {
    let mut root = Map::new();
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| !file.is_rego()) {
        let Some(prefix) = file.data_prefix() else {
            findings.push(PolicyError::new(
                &file.path,
                None,
                PolicyErrorKind::NotAPolicy,
            ));
            continue;
        };
        let outcome = json::from_slice::<Map<String, Value>>(&file.bytes, &limits.data)
            .map_err(PolicyErrorKind::Json)
            .and_then(|document| {
                let nested = prefix.iter().rev().fold(document, |inner, part| {
                    Map::from_iter([((*part).to_owned(), Value::Object(inner))])
                });
                merge(&mut root, nested, "data")
            });
        if let Err(kind) = outcome {
            findings.push(PolicyError::new(&file.path, None, kind));
        }
    }
    if !findings.is_empty() {
        return Err(findings);
    }
    let mut paths = BTreeSet::new();
    collect(&root, &vec!["data".to_owned()], &mut paths);
    Ok(Documents {
        value: Value::Object(root),
        paths: paths.into_iter().collect(),
    })
}

/// Returns an error for each rule that a data document would hide or be hidden by.
pub(super) fn conflicts(
    documents: &Documents,
    rules: &BTreeMap<Path, RuleEntry>,
) -> Vec<PolicyError> {
    let clashes = |rule: &Path| {
        documents
            .paths
            .iter()
            .any(|path| path.starts_with(rule) || rule.starts_with(path))
    };
    rules
        .iter()
        .filter(|(path, _)| clashes(path))
        .map(|(path, rule)| {
            let message = format!("`{}` is a rule", path.join("."));
            let kind = PolicyErrorKind::DataConflict { message };
            PolicyError::new(&rule.file, Some(rule.position), kind)
        })
        .collect()
}

// Recurses at most as deep as the limits of the parser and the folders allow.
fn merge(
    into: &mut Map<String, Value>,
    from: Map<String, Value>,
    at: &str,
) -> Result<(), PolicyErrorKind> {
    for (key, value) in from {
        let at = format!("{at}.{key}");
        match (into.get_mut(&key), value) {
            (None, value) => {
                into.insert(key, value);
            }
            (Some(Value::Object(old)), Value::Object(new)) => merge(old, new, &at)?,
            (Some(_), _) => {
                let message = format!("`{at}` is defined twice");
                return Err(PolicyErrorKind::DataConflict { message });
            }
        }
    }
    Ok(())
}

fn collect(map: &Map<String, Value>, at: &Path, paths: &mut BTreeSet<Path>) {
    for (key, value) in map {
        let mut path = at.clone();
        path.push(key.clone());
        match value {
            Value::Object(inner) if !inner.is_empty() && path.len() < PATH_PARTS => {
                collect(inner, &path, paths);
            }
            _ => {
                paths.insert(path);
            }
        }
    }
}
