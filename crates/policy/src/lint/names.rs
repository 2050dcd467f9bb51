//! What a name in a rule refers to.

use std::collections::{BTreeMap, BTreeSet};

use super::{Index, ParsedFile, Path, package_path, static_path};
use crate::ast::{AssignOp, Expr, Head, Import, Literal, Query, Rule, Span, Step};

/// The names that hold in one file.
pub(crate) struct Scope {
    pub(crate) package: Path,
    imports: BTreeMap<String, Path>,
    // First parts of the names of rules of the package, in any file.
    rules: BTreeSet<String>,
}

/// What the root of a reference is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Root {
    /// The input, or a part of it that an import names; `true` if it is the whole.
    Input(bool),
    /// A path into `data`.
    Data(Path),
    /// A variable.
    Local,
}

impl Scope {
    pub(crate) fn of(file: &ParsedFile, index: &Index<'_>) -> Self {
        let package = package_path(file);
        let mut imports = BTreeMap::new();
        for import in &file.module.imports {
            imports.extend(import_of(import, &file.text));
        }
        let rules = index
            .rules
            .keys()
            .filter(|path| path.starts_with(&package))
            .filter_map(|path| path.get(package.len()).cloned())
            .collect();
        Self {
            package,
            imports,
            rules,
        }
    }

    pub(crate) fn resolve(&self, name: &str, declared: &BTreeSet<String>) -> Root {
        match name {
            "input" => Root::Input(true),
            "data" => Root::Data(vec!["data".to_owned()]),
            _ if declared.contains(name) => Root::Local,
            _ => self.resolve_global(name).unwrap_or(Root::Local),
        }
    }

    fn resolve_global(&self, name: &str) -> Option<Root> {
        if let Some(path) = self.imports.get(name) {
            let is_input = path.first().is_some_and(|root| root == "input");
            let root = if is_input {
                Root::Input(path.len() == 1)
            } else {
                Root::Data(path.clone())
            };
            return Some(root);
        }
        if self.rules.contains(name) {
            let mut path = self.package.clone();
            path.push(name.to_owned());
            return Some(Root::Data(path));
        }
        None
    }

    /// Returns where a called name could lead: to a rule in `data`, and the dotted name itself.
    pub(crate) fn resolve_call(&self, fcn: &Expr, text: &str) -> Option<(Path, String)> {
        let (root, steps) = fcn.reference();
        if !matches!(root, Expr::Var { .. })
            || steps.iter().any(|step| matches!(step, Step::Index(_)))
        {
            return None;
        }
        let parts = static_path(fcn, text);
        let dotted = parts.join(".");
        let first = parts.first()?;
        let mut path = if first == "data" {
            Vec::new()
        } else if let Some(imported) = self.imports.get(first) {
            let mut path = imported.clone();
            path.extend(parts.iter().skip(1).cloned());
            return Some((path, dotted));
        } else {
            self.package.clone()
        };
        path.extend(parts);
        Some((path, dotted))
    }
}

/// Returns the name that an import gives, and the path that it stands for; `None` for one that is
/// about the language, such as `rego.v1`.
pub(crate) fn import_of(import: &Import, text: &str) -> Option<(String, Path)> {
    let path = static_path(&import.refr, text);
    let alias = import.alias.map(|span| span.text(text).to_owned());
    let name = alias.or_else(|| path.last().cloned())?;
    matches!(path.first().map(String::as_str), Some("data" | "input")).then_some((name, path))
}

/// The variables that hold in one query: its own and those of everything around it, but not those
/// of the comprehensions and `every` inside it.
#[derive(Debug, Default, Clone)]
pub(crate) struct Variables {
    /// Declared as an argument, by `some`, `every` or `:=`: these hide rules and imports.
    pub(crate) declared: BTreeSet<String>,
    /// Stand where a value can be given to them.
    pub(crate) bindable: BTreeSet<String>,
    /// Have one value only: arguments, and what `:=` declares.
    pub(crate) single: BTreeSet<String>,
}

impl Variables {
    /// Returns the arguments of a rule.
    pub(crate) fn of_arguments(rule: &Rule, text: &str) -> Self {
        let mut variables = Self::default();
        let args = match rule {
            Rule::Spec {
                head: Head::Func { args, .. },
                ..
            }
            | Rule::Default { args, .. } => args.as_slice(),
            Rule::Spec { .. } => &[],
        };
        for arg in args {
            variables.pattern(arg, text, Declares::Once);
        }
        variables
    }

    /// Returns the variables that `query` adds itself.
    pub(crate) fn of_query(query: &Query, text: &str) -> Self {
        let mut variables = Self::default();
        for statement in &query.stmts {
            match &statement.literal {
                Literal::SomeVars { vars } => {
                    for var in vars {
                        variables.declared.insert(var.text(text).to_owned());
                    }
                }
                Literal::SomeIn {
                    key,
                    value,
                    collection,
                } => {
                    for pattern in key.iter().chain([value]) {
                        variables.pattern(pattern, text, Declares::Yes);
                    }
                    variables.expr(collection, text);
                }
                Literal::Expr { expr } => variables.expr(expr, text),
                Literal::Every { domain, .. } => variables.expr(domain, text),
                // What stands inside `not` gives nothing a value.
                Literal::NotExpr { .. } => {}
            }
            for with in &statement.with_mods {
                variables.expr(&with.value, text);
            }
        }
        variables
    }

    /// Returns the variables that an `every` gives to its body.
    pub(crate) fn of_every(key: Option<Span>, value: Span, text: &str) -> Self {
        let names: BTreeSet<String> = key
            .into_iter()
            .chain([value])
            .map(|span| span.text(text).to_owned())
            .collect();
        Self {
            declared: names.clone(),
            bindable: names,
            single: BTreeSet::new(),
        }
    }

    /// Returns these and those around them.
    pub(crate) fn within(mut self, outer: &Self) -> Self {
        self.declared.extend(outer.declared.iter().cloned());
        self.bindable.extend(outer.bindable.iter().cloned());
        self.single.extend(outer.single.iter().cloned());
        self
    }

    fn expr(&mut self, expr: &Expr, text: &str) {
        // A comprehension gives values to its own variables only.
        if expr.is_comprehension() {
            return;
        }
        match expr {
            Expr::AssignExpr { op, lhs, rhs, .. } => {
                if *op == AssignOp::ColEq {
                    self.pattern(lhs, text, Declares::Once);
                } else {
                    self.pattern(lhs, text, Declares::No);
                    self.pattern(rhs, text, Declares::No);
                }
            }
            Expr::RefBrack { index, .. } => self.pattern(index, text, Declares::No),
            Expr::Call { params, .. } => {
                if let Some(last) = params.last() {
                    self.pattern(last, text, Declares::No);
                }
            }
            _ => {}
        }
        for child in expr.children() {
            self.expr(child, text);
        }
    }

    fn pattern(&mut self, pattern: &Expr, text: &str, declares: Declares) {
        match pattern {
            Expr::Var { span } => {
                let name = span.text(text).to_owned();
                if declares != Declares::No {
                    self.declared.insert(name.clone());
                }
                if declares == Declares::Once {
                    self.single.insert(name.clone());
                }
                self.bindable.insert(name);
            }
            Expr::Array { items, .. } => {
                for item in items {
                    self.pattern(item, text, declares);
                }
            }
            Expr::Object { fields, .. } => {
                for (_, _, value) in fields {
                    self.pattern(value, text, declares);
                }
            }
            _ => {}
        }
    }
}

/// What a pattern does with the names in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Declares {
    /// It uses them, and gives them a value if they have none.
    No,
    /// It declares them, with one value.
    Once,
    /// It declares them, with one value after the other.
    Yes,
}
