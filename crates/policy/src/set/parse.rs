//! Parses files, finding out which Rego they are written in.

use std::collections::BTreeMap;
use std::num::{NonZeroU32, NonZeroUsize};

use regorus::{Engine, PolicyLengthConfig};

use super::compile::{message_of, position_of};
use crate::ast::{Module, Rule};
use crate::error::{PolicyError, PolicyErrorKind};
use crate::limits::PolicyLimits;
use crate::lint::{ParsedFile, package_path, rule_path};
use crate::nesting;
use crate::source::{PolicyFile, Syntax};
use crate::starter;

pub(super) struct Parsed {
    pub(super) files: Vec<ParsedFile>,
    pub(super) syntaxes: BTreeMap<String, Syntax>,
}

/// Returns an engine that reads policies within the limits.
pub(super) fn engine(limits: &PolicyLimits) -> Engine {
    let mut engine = Engine::new();
    let defaults = PolicyLengthConfig::default();
    engine.set_policy_length_config(PolicyLengthConfig {
        max_col: NonZeroU32::new(limits.max_line_chars).unwrap_or(defaults.max_col),
        max_file_bytes: NonZeroUsize::new(limits.max_file_bytes).unwrap_or(defaults.max_file_bytes),
        max_lines: defaults.max_lines,
    });
    engine
}

/// Parses all Rego files, or returns what is wrong with each that does not parse.
pub(super) fn all(files: &[PolicyFile], limits: &PolicyLimits) -> Result<Parsed, Vec<PolicyError>> {
    let mut parsed = Parsed {
        files: Vec::new(),
        syntaxes: BTreeMap::new(),
    };
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| file.is_rego()) {
        match one(file, limits) {
            Ok((parsed_file, syntax)) => {
                if let Some(finding) = reserved(&parsed_file, file) {
                    findings.push(finding);
                }
                parsed.syntaxes.insert(file.path.clone(), syntax);
                parsed.files.push(parsed_file);
            }
            Err(finding) => findings.push(finding),
        }
    }
    if findings.is_empty() {
        Ok(parsed)
    } else {
        Err(findings)
    }
}

fn one(file: &PolicyFile, limits: &PolicyLimits) -> Result<(ParsedFile, Syntax), PolicyError> {
    let wrong = |kind| PolicyError::new(&file.path, None, kind);
    let text = std::str::from_utf8(&file.bytes)
        .map_err(|_| wrong(PolicyErrorKind::NotUtf8))?
        .to_owned();
    let limit = limits.max_nesting;
    if !nesting::within(&text, limit) {
        return Err(wrong(PolicyErrorKind::NestedTooDeep { limit }));
    }
    let (mut v1, mut v0, mut position) = (None, None, None);
    for syntax in Syntax::candidates(file.syntax, &text) {
        let mut engine = engine(limits);
        engine.set_rego_v0(*syntax == Syntax::V0);
        match engine.add_policy(file.path.clone(), text.clone()) {
            Ok(_) => {
                let module = tree(&engine, limit).map_err(wrong)?;
                let (path, is_test) = (file.path.clone(), file.is_test());
                return Ok((
                    ParsedFile {
                        path,
                        text,
                        module,
                        is_test,
                    },
                    *syntax,
                ));
            }
            Err(error) => {
                let error = error.to_string();
                position = position.or_else(|| position_of(&error));
                let message = Some(message_of(&error));
                if *syntax == Syntax::V1 {
                    v1 = message;
                } else {
                    v0 = message;
                }
            }
        }
    }
    let kind = PolicyErrorKind::Syntax { v1, v0 };
    Err(PolicyError::new(&file.path, position, kind))
}

fn tree(engine: &Engine, limit: usize) -> Result<Module, PolicyErrorKind> {
    #[derive(serde::Deserialize)]
    struct File {
        ast: Module,
    }
    let json = engine
        .get_ast_as_json()
        .map_err(|error| PolicyErrorKind::Engine {
            message: error.to_string(),
        })?;
    let mut files: Vec<File> = serde_json::from_str(&json).map_err(|error| {
        let message = error.to_string();
        // The JSON parser's own limit on nesting, which brackets of comprehensions can reach.
        if message.contains("recursion limit") {
            PolicyErrorKind::NestedTooDeep { limit }
        } else {
            PolicyErrorKind::Engine {
                message: format!("unknown syntax: {message}"),
            }
        }
    })?;
    files
        .pop()
        .map(|file| file.ast)
        .ok_or_else(|| PolicyErrorKind::Engine {
            message: "no syntax tree".to_owned(),
        })
}

fn reserved(parsed: &ParsedFile, file: &PolicyFile) -> Option<PolicyError> {
    if starter::library().iter().any(|own| own.bytes == file.bytes) {
        return None;
    }
    let is_reserved = |path: &[String]| {
        let lib = ["data", "custos", "lib"];
        path.len() >= lib.len() && path.iter().zip(lib).all(|(part, own)| part == own)
    };
    let package = (package_path(parsed), parsed.module.package.refr.span());
    // A rule such as `lib.facts.known` of the package `custos` would be one of the library too.
    let rules = parsed.module.rules.iter().map(|rule| {
        let (Rule::Spec { span, .. } | Rule::Default { span, .. }) = rule;
        (rule_path(parsed, rule), *span)
    });
    let (path, span) = std::iter::once(package)
        .chain(rules)
        .find(|(path, _)| is_reserved(path))?;
    let kind = PolicyErrorKind::ReservedPackage {
        package: path.join("."),
    };
    let position = span.position(&parsed.text);
    Some(PolicyError::new(&file.path, Some(position), kind))
}
