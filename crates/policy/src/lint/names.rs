//! What a name in a rule refers to.

use std::collections::{BTreeMap, BTreeSet};

use super::{Index, ParsedFile, Path, package_path, static_path};
use crate::ast::{AssignOp, Expr, Head, Literal, Query, Rule, Step};

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
            let path = static_path(&import.refr, &file.text);
            let alias = import.alias.map(|span| span.text(&file.text).to_owned());
            let Some(name) = alias.or_else(|| path.last().cloned()) else {
                continue;
            };
            if matches!(path.first().map(String::as_str), Some("data" | "input")) {
                imports.insert(name, path);
            }
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

/// The variables of one rule.
#[derive(Debug, Default)]
pub(crate) struct Variables {
    /// Declared as an argument, by `some`, `every` or `:=`: these hide rules and imports.
    pub(crate) declared: BTreeSet<String>,
    /// Stand somewhere outside `not`, and so can get a value there.
    pub(crate) positive: BTreeSet<String>,
    /// Stand where a value can be given to them.
    pub(crate) bindable: BTreeSet<String>,
}

impl Variables {
    pub(crate) fn of(rule: &Rule, text: &str) -> Self {
        let mut variables = Self::default();
        match rule {
            Rule::Spec { head, bodies, .. } => {
                match head {
                    Head::Func { args, assign, .. } => {
                        for arg in args {
                            variables.declare(arg, text);
                        }
                        if let Some(assign) = assign {
                            variables.inner(&assign.value, text);
                        }
                    }
                    Head::Compr { refr, assign } => {
                        variables.inner(refr, text);
                        if let Some(assign) = assign {
                            variables.inner(&assign.value, text);
                        }
                    }
                    Head::Set { key, .. } => {
                        if let Some(key) = key {
                            variables.inner(key, text);
                        }
                    }
                }
                for body in bodies {
                    variables.query(&body.query, text);
                    if let Some(assign) = &body.assign {
                        variables.inner(&assign.value, text);
                    }
                }
            }
            Rule::Default { args, .. } => {
                for arg in args {
                    variables.declare(arg, text);
                }
            }
        }
        variables
    }

    fn query(&mut self, query: &Query, text: &str) {
        for statement in &query.stmts {
            match &statement.literal {
                Literal::SomeVars { vars } => {
                    for var in vars {
                        self.declared.insert(var.text(text).to_owned());
                    }
                }
                Literal::SomeIn {
                    key,
                    value,
                    collection,
                } => {
                    for pattern in key.iter().chain([value]) {
                        self.declare(pattern, text);
                    }
                    self.expr(collection, text);
                }
                Literal::Expr { expr } => self.expr(expr, text),
                // What stands inside `not` gives nothing a value, but may hold comprehensions.
                Literal::NotExpr { expr } => self.inner(expr, text),
                Literal::Every {
                    key,
                    value,
                    domain,
                    query,
                } => {
                    for var in key.iter().chain([value]) {
                        let name = var.text(text).to_owned();
                        self.declared.insert(name.clone());
                        self.positive.insert(name.clone());
                        self.bindable.insert(name);
                    }
                    self.expr(domain, text);
                    self.query(query, text);
                }
            }
            for with in &statement.with_mods {
                self.expr(&with.value, text);
            }
        }
    }

    fn expr(&mut self, expr: &Expr, text: &str) {
        if let Expr::Var { span } = expr {
            self.positive.insert(span.text(text).to_owned());
        }
        match expr {
            Expr::AssignExpr { op, lhs, rhs, .. } => {
                if *op == AssignOp::ColEq {
                    self.declare(lhs, text);
                } else {
                    self.bind(lhs, text);
                    self.bind(rhs, text);
                }
            }
            Expr::RefBrack { index, .. } => self.bind(index, text),
            Expr::Call { params, .. } => {
                if let Some(last) = params.last() {
                    self.bind(last, text);
                }
            }
            _ => {}
        }
        if let Some(query) = expr.query() {
            self.query(query, text);
        }
        for child in expr.children() {
            self.expr(child, text);
        }
    }

    /// Goes through comprehensions inside an expression that itself gives nothing a value.
    fn inner(&mut self, expr: &Expr, text: &str) {
        if let Some(query) = expr.query() {
            self.query(query, text);
        }
        for child in expr.children() {
            self.inner(child, text);
        }
    }

    fn declare(&mut self, pattern: &Expr, text: &str) {
        self.pattern(pattern, text, true);
    }

    fn bind(&mut self, pattern: &Expr, text: &str) {
        self.pattern(pattern, text, false);
    }

    fn pattern(&mut self, pattern: &Expr, text: &str, declare: bool) {
        match pattern {
            Expr::Var { span } => {
                let name = span.text(text).to_owned();
                if declare {
                    self.declared.insert(name.clone());
                }
                self.positive.insert(name.clone());
                self.bindable.insert(name);
            }
            Expr::Array { items, .. } => {
                for item in items {
                    self.pattern(item, text, declare);
                }
            }
            Expr::Object { fields, .. } => {
                for (_, _, value) in fields {
                    self.pattern(value, text, declare);
                }
            }
            _ => {}
        }
    }
}
