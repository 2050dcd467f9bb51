//! Compiles every rule to byte code, as a second reader of the policies.
//!
//! The interpreter looks a function up when it gets to the call, so that a rule which is seldom
//! reached can hide a mistake for long. The byte-code compiler resolves names up front. It does
//! not take all of Rego; what it merely does not support is no finding.

use std::collections::BTreeMap;
use std::sync::Arc;

use regorus::Engine;
use regorus::languages::rego::compiler::{Compiler, CompilerError, SpannedCompilerError};

use crate::builtins::OWN;
use crate::error::{PolicyError, PolicyErrorKind, Position};
use crate::lint::{Path, RuleEntry};

/// Compiles each rule by itself and returns what the compiler has against it.
pub(super) fn every_rule(engine: &Engine, rules: &BTreeMap<Path, RuleEntry>) -> Vec<PolicyError> {
    let entries: Vec<(Arc<str>, &RuleEntry)> = rules
        .iter()
        .filter(|(_, rule)| rule.arities.is_empty())
        .map(|(path, rule)| (Arc::from(path.join(".")), rule))
        .collect();
    // What the engine hands over is the same whatever the entry point. Rules with references in
    // their heads are no entry points; what they call is checked all the same.
    let mut engine = engine.clone();
    let policy = entries
        .iter()
        .find_map(|(path, _)| engine.compile_with_entrypoint(path).ok());
    let Some(policy) = policy else {
        return Vec::new();
    };
    let mut findings = Vec::new();
    for (path, rule) in entries {
        let compiled = Compiler::compile_from_policy_with_host_await(&policy, &[&*path], OWN);
        if let Err(error) = compiled
            && let Some(finding) = finding(&error, rule)
            && !is_default_only(&finding.kind, rules)
        {
            findings.push(finding);
        }
    }
    findings.sort_by(|a, b| (&a.file, a.position).cmp(&(&b.file, b.position)));
    findings.dedup();
    findings
}

// The compiler does not know functions that have nothing but a default value; the interpreter does.
fn is_default_only(kind: &PolicyErrorKind, rules: &BTreeMap<Path, RuleEntry>) -> bool {
    let PolicyErrorKind::UnknownFunction { name } = kind else {
        return false;
    };
    let last = name.rsplit('.').next();
    rules.iter().any(|(path, rule)| {
        rule.has_default && !rule.arities.is_empty() && path.last().map(String::as_str) == last
    })
}

fn finding(error: &SpannedCompilerError, rule: &RuleEntry) -> Option<PolicyError> {
    let kind = match &error.error {
        CompilerError::UnknownFunction { name }
        | CompilerError::UnknownBuiltinFunction { name }
        | CompilerError::NotBuiltinFunction { name } => {
            PolicyErrorKind::UnknownFunction { name: name.clone() }
        }
        CompilerError::UndefinedVariable { name } => {
            PolicyErrorKind::UnboundVariable { name: name.clone() }
        }
        CompilerError::InvalidDestructuringPattern
        | CompilerError::InvalidFunctionExpression
        | CompilerError::InvalidFunctionExpressionWithPackage
        | CompilerError::InvalidUnaryMinus => PolicyErrorKind::Engine {
            message: error.error.to_string(),
        },
        // What this compiler does not support, and the interpreter does.
        _ => return None,
    };
    let (file, position) = match &error.span {
        Some(span) => {
            let position = Position {
                line: span.line,
                column: span.col,
            };
            (span.source.get_path().clone(), position)
        }
        None => (rule.file.clone(), rule.position),
    };
    Some(PolicyError::new(&file, Some(position), kind))
}

/// Turns an error of the engine into a finding, with its position where the text gives one.
pub(super) fn engine_error(error: &anyhow::Error) -> PolicyError {
    let text = error.to_string();
    let file = header_of(&text).map(|(file, _)| file).unwrap_or_default();
    let kind = PolicyErrorKind::Engine {
        message: message_of(&text),
    };
    PolicyError::new(&file, position_of(&text), kind)
}

/// Returns the sentence of an error that comes with an excerpt of the source.
pub(crate) fn message_of(text: &str) -> String {
    let line = text
        .lines()
        .rev()
        .map(str::trim)
        .find(|line| !line.is_empty())
        .unwrap_or("error");
    line.strip_prefix("error: ")
        .unwrap_or(line)
        .chars()
        .take(300)
        .collect()
}

pub(crate) fn position_of(text: &str) -> Option<Position> {
    header_of(text).map(|(_, position)| position)
}

// The engine writes `--> FILE:LINE:COLUMN` over an excerpt.
fn header_of(text: &str) -> Option<(String, Position)> {
    let line = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("--> "))?;
    let (rest, column) = line.rsplit_once(':')?;
    let (file, line) = rest.rsplit_once(':')?;
    let position = Position {
        line: line.parse().ok()?,
        column: column.parse().ok()?,
    };
    Some((file.to_owned(), position))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engine_errors_keep_their_place() {
        let mut engine = Engine::new();
        let text = "package a\nallow { true }".to_owned();
        let error = engine.add_policy("dir/a.rego".into(), text).unwrap_err();
        let finding = engine_error(&error);
        assert_eq!(
            (finding.file.as_str(), finding.position.unwrap().line),
            ("dir/a.rego", 2)
        );
        assert!(
            matches!(finding.kind, PolicyErrorKind::Engine { message } if message.contains("`if`"))
        );
    }
}
