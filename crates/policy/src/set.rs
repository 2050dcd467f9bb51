//! A set of policies that has passed every check and is ready to decide.

mod compile;
mod data;
mod parse;

use std::collections::BTreeMap;

use custos_core::digest::{Algorithm, Digest};
use custos_core::json;
use regorus::Engine;

use crate::builtins;
use crate::error::{PolicyError, PolicyErrorKind, Position, Severity};
use crate::guard::{self, Fault};
use crate::limits::PolicyLimits;
use crate::lint::{self, Graph, Path, RuleEntry};
use crate::source::{PolicyFile, Syntax};
use crate::starter;

pub(crate) use compile::{message_of, position_of};

/// Policies and their data, checked, compiled and prepared.
///
/// It can be shared by threads; each evaluation works on a cheap copy.
#[derive(Debug)]
pub struct PolicySet {
    pub(crate) engine: Engine,
    pub(crate) rules: BTreeMap<Path, RuleEntry>,
    pub(crate) graph: Graph,
    warnings: Vec<PolicyError>,
    digest: Digest,
    syntaxes: BTreeMap<String, Syntax>,
}

impl PolicySet {
    /// Parses, checks and compiles `files`, together with the library that is built in.
    ///
    /// Rego v0 and v1 may be mixed. Every rule is compiled, also those that no entry point
    /// reaches, and every file goes through the checks of [`PolicyErrorKind`]. Takes at most
    /// [`PolicyLimits::load_deadline`].
    pub fn load(files: Vec<PolicyFile>, limits: &PolicyLimits) -> Result<Self, Vec<PolicyError>> {
        check_sizes(&files, limits)?;
        let limits = *limits;
        let built = guard::run(limits.load_deadline, move || build(files, &limits));
        let kind = match built {
            Ok(outcome) => return outcome,
            Err(Fault::TimedOut { limit }) => PolicyErrorKind::LoadTimedOut { limit },
            Err(Fault::Panicked { message }) => PolicyErrorKind::Panicked { message },
            Err(Fault::Busy { limit }) => PolicyErrorKind::TooMany {
                what: "evaluations are running",
                limit,
                found: limit,
            },
        };
        Err(vec![PolicyError::new("", None, kind)])
    }

    /// Returns what the checks found that does not stop the set from being used.
    pub fn warnings(&self) -> &[PolicyError] {
        &self.warnings
    }

    /// Returns the SHA-256 that names exactly these files, those of the library included: a
    /// decision records it, so that it can be evaluated again with the same policies.
    pub const fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Returns the syntax that each file was read in.
    pub const fn syntaxes(&self) -> &BTreeMap<String, Syntax> {
        &self.syntaxes
    }

    /// Iterates over the rules, those of the library included.
    pub fn rules(&self) -> impl Iterator<Item = RuleInfo> {
        self.rules.iter().map(|(path, rule)| RuleInfo {
            path: path.join("."),
            file: rule.file.clone(),
            position: rule.position,
            is_function: !rule.arities.is_empty(),
        })
    }
}

/// One rule of a set.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RuleInfo {
    /// Its path, such as `data.custos.gate.deny`.
    pub path: String,
    /// The file of its first definition.
    pub file: String,
    /// Where it is first defined.
    pub position: Position,
    /// True if it takes arguments.
    pub is_function: bool,
}

/// Returns everything that stands against `files`, errors and warnings, by file and position.
pub fn check(files: Vec<PolicyFile>, limits: &PolicyLimits) -> Vec<PolicyError> {
    match PolicySet::load(files, limits) {
        Ok(set) => set.warnings,
        Err(findings) => findings,
    }
}

fn check_sizes(files: &[PolicyFile], limits: &PolicyLimits) -> Result<(), Vec<PolicyError>> {
    let mut findings = Vec::new();
    let whole = |kind| PolicyError::new("", None, kind);
    if files.len() > limits.max_files {
        let (limit, found) = (limits.max_files, files.len());
        return Err(vec![whole(PolicyErrorKind::TooMany {
            what: "files",
            limit,
            found,
        })]);
    }
    let total = files
        .iter()
        .fold(0_usize, |sum, file| sum.saturating_add(file.bytes.len()));
    if total > limits.max_total_bytes {
        let limit = limits.max_total_bytes;
        let kind = PolicyErrorKind::TooMany {
            what: "bytes in all files",
            limit,
            found: total,
        };
        return Err(vec![whole(kind)]);
    }
    for file in files {
        if file.is_rego() && file.bytes.len() > limits.max_file_bytes {
            let (limit, found) = (limits.max_file_bytes, file.bytes.len());
            let kind = PolicyErrorKind::FileTooLarge { limit, found };
            findings.push(PolicyError::new(&file.path, None, kind));
        }
    }
    if !files.iter().any(PolicyFile::is_rego) {
        findings.push(whole(PolicyErrorKind::NoPolicy));
    }
    if findings.is_empty() {
        Ok(())
    } else {
        Err(findings)
    }
}

fn build(files: Vec<PolicyFile>, limits: &PolicyLimits) -> Result<PolicySet, Vec<PolicyError>> {
    let files = with_library(files)?;
    let parsed = parse::all(&files, limits)?;
    let documents = data::documents(&files, limits)?;
    let checked = lint::check(&parsed.files, &documents.paths);
    let mut findings = checked.findings;
    findings.extend(data::conflicts(&documents, &checked.rules));
    if checked.rules.len() > limits.max_rules {
        let (limit, found) = (limits.max_rules, checked.rules.len());
        let kind = PolicyErrorKind::TooMany {
            what: "rules",
            limit,
            found,
        };
        findings.push(PolicyError::new("", None, kind));
    }
    // The compiler below recurses; what the checks reject must not reach it.
    stop_on_errors(&mut findings)?;
    let engine = prepare(&files, &parsed.syntaxes, documents.value, limits)
        .map_err(|error| vec![compile::engine_error(&error)])?;
    findings.extend(compile::every_rule(&engine, &checked.rules));
    stop_on_errors(&mut findings)?;
    Ok(PolicySet {
        engine,
        rules: checked.rules,
        graph: checked.graph,
        warnings: findings,
        digest: digest_of(&files),
        syntaxes: parsed.syntaxes,
    })
}

fn stop_on_errors(findings: &mut Vec<PolicyError>) -> Result<(), Vec<PolicyError>> {
    if findings
        .iter()
        .any(|finding| finding.severity() == Severity::Error)
    {
        return Err(std::mem::take(findings));
    }
    Ok(())
}

/// Adds the library. Its packages are reserved: a policy that brings its own `custos.lib` could
/// otherwise change what "known" means. A copy of the library's files is accepted.
fn with_library(mut files: Vec<PolicyFile>) -> Result<Vec<PolicyFile>, Vec<PolicyError>> {
    let mut seen = std::collections::BTreeSet::new();
    for file in &files {
        if !seen.insert(file.path.clone()) {
            let kind = PolicyErrorKind::DuplicateFile;
            return Err(vec![PolicyError::new(&file.path, None, kind)]);
        }
    }
    let library = starter::library();
    files.retain(|file| !library.iter().any(|own| own.bytes == file.bytes));
    files.extend(library);
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

fn prepare(
    files: &[PolicyFile],
    syntaxes: &BTreeMap<String, Syntax>,
    data: serde_json::Value,
    limits: &PolicyLimits,
) -> anyhow::Result<Engine> {
    let mut engine = parse::engine(limits);
    for file in files.iter().filter(|file| file.is_rego()) {
        engine.set_rego_v0(syntaxes.get(&file.path) == Some(&Syntax::V0));
        engine.add_policy(
            file.path.clone(),
            String::from_utf8_lossy(&file.bytes).into_owned(),
        )?;
    }
    engine.set_rego_v0(false);
    engine.add_data(regorus::Value::from(data))?;
    engine.set_strict_builtin_errors(true);
    engine.set_gather_prints(true);
    builtins::install(&mut engine)?;
    engine.set_input(regorus::Value::new_object());
    // Any query makes the engine schedule and index the rules; copies then share the result.
    engine.eval_query("true".to_owned(), false)?;
    Ok(engine)
}

fn digest_of(files: &[PolicyFile]) -> Digest {
    let names: BTreeMap<&str, String> = files
        .iter()
        .map(|file| {
            (
                file.path.as_str(),
                Algorithm::Sha256.digest(&file.bytes).to_string(),
            )
        })
        .collect();
    // A map of texts always has a canonical form.
    Algorithm::Sha256.digest(&json::to_canonical(&names).unwrap_or_default())
}
