//! Reads policies before they are allowed to decide, and rejects what this engine would get
//! wrong or what no policy should do.
//!
//! The engine accepts more than OPA does, and some of it turns a denial into an approval. The
//! checks work on the syntax tree and err on the side of rejecting: each finding says what to
//! write instead. What each of them stops is in the table of docs/concepts/policy.md.

mod graph;
mod names;
mod negation;
mod rule;

use std::collections::{BTreeMap, BTreeSet};

use crate::ast::{Expr, Head, Module, Rule};
use crate::error::{PolicyError, PolicyErrorKind, Position};

pub(crate) use graph::Graph;
use names::Scope;
use rule::RuleCheck;

/// Path of a rule: `data`, the parts of its package, its name.
pub(crate) type Path = Vec<String>;

/// A file that has been parsed.
#[derive(Debug)]
pub(crate) struct ParsedFile {
    pub(crate) path: String,
    pub(crate) text: String,
    pub(crate) module: Module,
    pub(crate) is_test: bool,
}

/// One rule of the set: all definitions that share a path.
#[derive(Debug, Clone)]
pub(crate) struct RuleEntry {
    pub(crate) file: String,
    pub(crate) position: Position,
    /// Numbers of arguments of its definitions; empty if it is not a function.
    pub(crate) arities: BTreeSet<usize>,
    /// It has a value whatever the input.
    pub(crate) total: bool,
    pub(crate) is_test_file: bool,
    /// It is a function with a default value.
    pub(crate) has_default: bool,
    defaults: usize,
}

/// What the checks found out.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) findings: Vec<PolicyError>,
    pub(crate) rules: BTreeMap<Path, RuleEntry>,
    pub(crate) graph: Graph,
}

/// Checks all files together; `data` is the paths that data documents define.
pub(crate) fn check(files: &[ParsedFile], data: &[Path]) -> Checked {
    let index = Index {
        rules: rules_of(files),
        data,
    };
    let mut findings = Vec::new();
    let mut graph = Graph::default();
    for file in files {
        let scope = Scope::of(file, &index);
        for rule in &file.module.rules {
            let check = RuleCheck::new(file, &scope, &index);
            check.run(rule, &mut findings, &mut graph);
        }
    }
    for (path, rule) in &index.rules {
        if rule.defaults > 1 {
            let kind = PolicyErrorKind::DuplicateDefault {
                rule: path.join("."),
            };
            findings.push(PolicyError::new(&rule.file, Some(rule.position), kind));
        }
    }
    for circle in graph.circles() {
        let first = circle.first().and_then(|path| index.rules.get(path));
        let path = circle.iter().map(|path| path.join(".")).collect();
        let kind = PolicyErrorKind::Recursion { path };
        let (file, position) =
            first.map_or(("", None), |rule| (rule.file.as_str(), Some(rule.position)));
        findings.push(PolicyError::new(file, position, kind));
    }
    findings.sort_by(|a, b| (&a.file, a.position).cmp(&(&b.file, b.position)));
    findings.dedup();
    Checked {
        findings,
        rules: index.rules,
        graph,
    }
}

/// Everything that has a name.
pub(crate) struct Index<'a> {
    pub(crate) rules: BTreeMap<Path, RuleEntry>,
    pub(crate) data: &'a [Path],
}

impl Index<'_> {
    /// Returns true if a rule or a data document lies at, above or below `path`.
    pub(crate) fn defines(&self, path: &[String]) -> bool {
        let above = |known: &[String]| path.starts_with(known) || known.starts_with(path);
        let below = self.rules.range(path.to_vec()..).next();
        below.is_some_and(|(rule, _)| rule.starts_with(path))
            || (1..=path.len()).any(|length| {
                path.get(..length)
                    .is_some_and(|p| self.rules.contains_key(p))
            })
            || self.data.iter().any(|known| above(known))
    }

    pub(crate) fn is_total(&self, path: &[String]) -> bool {
        self.rules
            .get(path)
            .is_some_and(|rule| rule.total && rule.arities.is_empty())
    }

    pub(crate) fn is_function(&self, path: &[String]) -> bool {
        self.rules
            .get(path)
            .is_some_and(|rule| !rule.arities.is_empty())
    }
}

/// Returns the parts of a package or rule reference up to the first that is not a constant.
pub(crate) fn static_path(expr: &Expr, text: &str) -> Path {
    let (root, steps) = expr.reference();
    let mut path = vec![root.span().text(text).to_owned()];
    for step in steps {
        match step {
            crate::ast::Step::Field(name) => path.push(name.to_owned()),
            crate::ast::Step::Index(_) => break,
        }
    }
    path
}

/// Returns the path of a module's package, with `data` in front.
pub(crate) fn package_path(file: &ParsedFile) -> Path {
    let mut path = vec!["data".to_owned()];
    path.extend(static_path(&file.module.package.refr, &file.text));
    path
}

/// Returns the path of a rule of this file.
pub(crate) fn rule_path(file: &ParsedFile, rule: &Rule) -> Path {
    let refr = match rule {
        Rule::Spec { head, .. } => head.refr(),
        Rule::Default { refr, .. } => refr,
    };
    let mut path = package_path(file);
    path.extend(static_path(refr, &file.text));
    path
}

fn rules_of(files: &[ParsedFile]) -> BTreeMap<Path, RuleEntry> {
    let mut rules: BTreeMap<Path, RuleEntry> = BTreeMap::new();
    for file in files {
        for rule in &file.module.rules {
            let span = match rule {
                Rule::Spec { span, .. } | Rule::Default { span, .. } => *span,
            };
            let entry = rules
                .entry(rule_path(file, rule))
                .or_insert_with(|| RuleEntry {
                    file: file.path.clone(),
                    position: span.position(&file.text),
                    arities: BTreeSet::new(),
                    total: false,
                    is_test_file: file.is_test,
                    has_default: false,
                    defaults: 0,
                });
            match rule {
                Rule::Spec {
                    head: Head::Func { args, .. },
                    ..
                } => {
                    entry.arities.insert(args.len());
                }
                Rule::Spec {
                    head: Head::Set { .. },
                    ..
                } => {
                    entry.total = true;
                }
                Rule::Spec {
                    head: Head::Compr { refr, assign },
                    bodies,
                    ..
                } => {
                    let dynamic = refr
                        .reference()
                        .1
                        .iter()
                        .any(|s| matches!(s, crate::ast::Step::Index(_)));
                    let value = assign
                        .as_ref()
                        .is_none_or(|assign| is_constant(&assign.value));
                    entry.total |= bodies.is_empty() && value && !dynamic;
                }
                Rule::Default { args, .. } => {
                    if args.is_empty() {
                        entry.defaults = entry.defaults.saturating_add(1);
                        entry.total = true;
                    } else {
                        entry.arities.insert(args.len());
                        entry.has_default = true;
                    }
                }
            }
        }
    }
    rules
}

fn is_constant(expr: &Expr) -> bool {
    match expr {
        Expr::String { .. }
        | Expr::RawString { .. }
        | Expr::Number { .. }
        | Expr::Bool { .. }
        | Expr::Null { .. } => true,
        Expr::Array { .. } | Expr::Set { .. } | Expr::Object { .. } => {
            expr.children().into_iter().all(is_constant)
        }
        // A comprehension without result is an empty collection.
        _ => expr.is_comprehension(),
    }
}
