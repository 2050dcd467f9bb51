//! Reads policies before they are allowed to decide, and rejects what this engine would get
//! wrong or what no policy should do.
//!
//! The engine accepts more than OPA does, and some of it turns a denial into an approval. The
//! checks work on the syntax tree and err on the side of rejecting: each finding says what to
//! write instead. What each of them stops is in the table of docs/concepts/policy.md.

mod graph;
mod head;
mod imports;
mod names;
mod negation;
mod pattern;
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
    /// Parts of the path of the package that it stands in.
    pub(crate) package: usize,
    /// It has a value whatever the input; a function, whatever the arguments.
    pub(crate) total: bool,
    /// In which files it stands.
    pub(crate) place: Place,
    /// It is a set or an object whose elements are given one by one.
    is_partial: bool,
    /// It is a function with a default value.
    pub(crate) has_default: bool,
    defaults: usize,
}

/// In which files a rule stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// In policies and in tests, which is an error.
    Both,
    Policies,
    Tests,
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
    let mut index = Index {
        rules: rules_of(files),
        data,
    };
    find_total(files, &mut index);
    let index = index;
    let mut findings = imports::check(files, &index);
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
        if rule.defaults > 0 && rule.is_partial {
            let kind = PolicyErrorKind::DefaultOfPartial {
                rule: path.join("."),
            };
            findings.push(PolicyError::new(&rule.file, Some(rule.position), kind));
        }
        if rule.place == Place::Both {
            let kind = PolicyErrorKind::TestAddsToRule {
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
        // `deny["message"] { ... }` of Rego v0 is an element of the set `deny`.
        Rule::Spec {
            head:
                Head::Set {
                    refr: Expr::RefBrack { refr, .. },
                    key: None,
                },
            ..
        } => refr,
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
            let (Rule::Spec { span, .. } | Rule::Default { span, .. }) = rule;
            let place = if file.is_test {
                Place::Tests
            } else {
                Place::Policies
            };
            let entry = rules
                .entry(rule_path(file, rule))
                .or_insert_with(|| RuleEntry {
                    file: file.path.clone(),
                    position: span.position(&file.text),
                    arities: BTreeSet::new(),
                    package: usize::MAX,
                    total: false,
                    place,
                    is_partial: false,
                    has_default: false,
                    defaults: 0,
                });
            entry.package = entry.package.min(package_path(file).len());
            if entry.place != place {
                entry.place = Place::Both;
            }
            entry.add(rule);
        }
    }
    rules
}

impl RuleEntry {
    fn add(&mut self, rule: &Rule) {
        match rule {
            Rule::Spec {
                head: Head::Func { args, .. },
                ..
            } => {
                self.arities.insert(args.len());
            }
            Rule::Spec {
                head: Head::Set { refr, key },
                ..
            } => {
                // `p[x] { ... }` of Rego v0 has its key in the reference.
                let dynamic = key.is_some() && is_dynamic(refr);
                self.total |= !dynamic;
                self.is_partial = true;
            }
            Rule::Spec {
                head: Head::Compr { refr, .. },
                ..
            } => self.is_partial |= is_dynamic(refr),
            Rule::Default { args, .. } if args.is_empty() => {
                self.defaults = self.defaults.saturating_add(1);
                self.total = true;
            }
            Rule::Default { args, .. } => {
                self.arities.insert(args.len());
                self.has_default = true;
                self.total |= args.iter().all(is_variable);
            }
        }
    }
}

fn is_dynamic(refr: &Expr) -> bool {
    let steps = refr.reference().1;
    steps
        .iter()
        .any(|s| matches!(s, crate::ast::Step::Index(_)))
}

const fn is_variable(expr: &Expr) -> bool {
    matches!(expr, Expr::Var { .. })
}

/// Finds the rules and functions without conditions whose values are made of nothing that may be
/// undefined. Each that is found may make others so; who is not found by the last pass counts as
/// one that may be undefined.
fn find_total(files: &[ParsedFile], index: &mut Index<'_>) {
    let scopes: Vec<Scope> = files.iter().map(|file| Scope::of(file, index)).collect();
    for _ in 0..TOTAL_PASSES {
        let mut found = false;
        for (file, scope) in files.iter().zip(&scopes) {
            for rule in &file.module.rules {
                let path = rule_path(file, rule);
                let known = index.rules.get(&path).is_some_and(|rule| rule.total);
                if known || !RuleCheck::new(file, scope, index).always(rule) {
                    continue;
                }
                if let Some(entry) = index.rules.get_mut(&path) {
                    entry.total = true;
                    found = true;
                }
            }
        }
        if !found {
            return;
        }
    }
}

// Rules that are used before they stand in the text need another pass.
const TOTAL_PASSES: usize = 8;
