//! Checks of one rule: what it calls, what it refers to, which variables it gives a value.

use super::graph::Graph;
use super::names::{Root, Scope, Variables};
use super::{Index, ParsedFile, Path, rule_path};
use crate::ast::{Body, BoolOp, Expr, Head, Literal, Query, Rule, Span, Step};
use crate::builtins::{self, Builtin};
use crate::error::{PolicyError, PolicyErrorKind};

/// The check of one rule.
pub(crate) struct RuleCheck<'a> {
    pub(super) file: &'a ParsedFile,
    pub(super) scope: &'a Scope,
    pub(super) index: &'a Index<'a>,
    /// Those that hold at the place that is looked at.
    pub(super) variables: Variables,
    path: Path,
    // The rule.
    span: Option<Span>,
}

struct Out<'a> {
    findings: &'a mut Vec<PolicyError>,
    graph: &'a mut Graph,
}

impl<'a> RuleCheck<'a> {
    pub(crate) fn new(file: &'a ParsedFile, scope: &'a Scope, index: &'a Index<'a>) -> Self {
        Self {
            file,
            scope,
            index,
            variables: Variables::default(),
            path: Path::new(),
            span: None,
        }
    }

    pub(crate) fn run(mut self, rule: &Rule, findings: &mut Vec<PolicyError>, graph: &mut Graph) {
        let (Rule::Spec { span, .. } | Rule::Default { span, .. }) = rule;
        self.path = rule_path(self.file, rule);
        self.span = Some(*span);
        self.variables = Variables::of_arguments(rule, &self.file.text);
        graph.node(&self.path);
        let own = self.path.get(self.scope.package.len()).cloned();
        self.shadowed(own.iter().chain(&self.variables.declared), findings);
        let mut out = Out { findings, graph };
        match rule {
            Rule::Spec { head, bodies, .. } => self.spec(head, bodies, &mut out),
            Rule::Default { value, .. } => self.expr(value, &mut out),
        }
    }

    /// Returns true if the rule has no condition and always has a value.
    pub(crate) fn always(mut self, rule: &Rule) -> bool {
        let Rule::Spec { head, bodies, .. } = rule else {
            return false;
        };
        let (refr, assign, args) = match head {
            Head::Compr { refr, assign } => (refr, assign, [].as_slice()),
            Head::Func { refr, args, assign } => (refr, assign, args.as_slice()),
            Head::Set { .. } => return false,
        };
        self.variables = Variables::of_arguments(rule, &self.file.text);
        let fixed = refr
            .reference()
            .1
            .iter()
            .all(|s| matches!(s, Step::Field(_)));
        let plain = args.iter().all(|arg| matches!(arg, Expr::Var { .. }));
        let value = assign.as_ref().map(|assign| &assign.value);
        // An index that takes all values takes none of an empty collection.
        bodies.is_empty()
            && fixed
            && plain
            && value.is_none_or(|value| self.undefined(value).is_none())
    }

    fn spec(&self, head: &Head, bodies: &[Body], out: &mut Out<'_>) {
        if let Head::Func { args, .. } = head {
            for arg in args {
                self.pattern(arg, out.findings);
            }
        }
        if bodies.is_empty() {
            self.head(head, out);
            out.findings.extend(self.undefined_head(head, None, false));
        }
        for (at, body) in bodies.iter().enumerate() {
            // The head sees the variables of the body that it stands before.
            let inner = self.inside(Variables::of_query(&body.query, &self.file.text), out);
            if let Some(assign) = &body.assign {
                inner.expr(&assign.value, out);
            }
            if at == 0 || body.assign.is_none() {
                inner.head(head, out);
            }
            let several = bodies.len() > 1;
            let finding = inner.undefined_head(head, Some(body), several);
            out.findings.extend(finding);
            inner.statements(&body.query, out);
        }
    }

    /// Returns the check of what stands inside, where `own` holds too.
    fn inside(&self, own: Variables, out: &mut Out<'_>) -> Self {
        self.shadowed(own.declared.iter(), out.findings);
        Self {
            variables: own.within(&self.variables),
            path: self.path.clone(),
            ..*self
        }
    }

    fn query(&self, query: &Query, out: &mut Out<'_>) {
        let own = Variables::of_query(query, &self.file.text);
        self.inside(own, out).statements(query, out);
    }

    pub(super) fn resolve(&self, span: Span) -> Root {
        self.scope
            .resolve(span.text(&self.file.text), &self.variables.declared)
    }

    pub(super) fn finding(&self, span: Span, kind: PolicyErrorKind) -> PolicyError {
        PolicyError::new(&self.file.path, Some(span.position(&self.file.text)), kind)
    }

    pub(super) fn shown(&self, expr: &Expr) -> String {
        let text = expr.span().text(&self.file.text);
        let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
        line.chars().take(120).collect()
    }

    /// OPA allows neither; this engine does for rules of Rego v0, and then does not look at them.
    fn shadowed<'n>(
        &self,
        names: impl Iterator<Item = &'n String>,
        findings: &mut Vec<PolicyError>,
    ) {
        let Some(span) = self.span else { return };
        for name in names.filter(|name| *name == "input" || *name == "data") {
            let name = name.clone();
            findings.push(self.finding(span, PolicyErrorKind::ShadowedRoot { name }));
        }
    }

    fn head(&self, head: &Head, out: &mut Out<'_>) {
        for step in head.refr().reference().1 {
            if let Step::Index(index) = step {
                self.expr(index, out);
            }
        }
        match head {
            Head::Compr { assign, .. } => {
                if let Some(assign) = assign {
                    self.expr(&assign.value, out);
                }
            }
            Head::Set { key, .. } => {
                if let Some(key) = key {
                    self.expr(key, out);
                }
            }
            Head::Func { args, assign, .. } => {
                for arg in args {
                    self.expr(arg, out);
                }
                if let Some(assign) = assign {
                    self.expr(&assign.value, out);
                }
            }
        }
    }

    fn statements(&self, query: &Query, out: &mut Out<'_>) {
        for statement in &query.stmts {
            match &statement.literal {
                Literal::SomeVars { vars } => self.some(vars, out),
                Literal::SomeIn {
                    key,
                    value,
                    collection,
                } => {
                    for pattern in key.iter().chain([value]) {
                        self.pattern(pattern, out.findings);
                        self.expr(pattern, out);
                    }
                    self.expr(collection, out);
                }
                Literal::Expr { expr } => self.expr(expr, out),
                Literal::NotExpr { expr } => {
                    self.negated(expr, out.findings);
                    self.expr(expr, out);
                }
                Literal::Every {
                    key,
                    value,
                    domain,
                    query,
                } => {
                    self.expr(domain, out);
                    let own = Variables::of_every(*key, *value, &self.file.text);
                    self.inside(own, out).query(query, out);
                }
            }
            for with in &statement.with_mods {
                self.with(&with.refr, &with.value, out);
            }
        }
    }

    /// `some x` without anything that gives `x` a value makes the rule silently undefined.
    fn some(&self, vars: &[Span], out: &mut Out<'_>) {
        for var in vars {
            let name = var.text(&self.file.text);
            if !self.variables.bindable.contains(name) {
                let kind = PolicyErrorKind::UnboundVariable {
                    name: name.to_owned(),
                };
                out.findings.push(self.finding(*var, kind));
            }
        }
    }

    fn with(&self, target: &Expr, value: &Expr, out: &mut Out<'_>) {
        let called = self.scope.resolve_call(target, &self.file.text);
        if let Some((path, name)) = called
            && !self.index.is_function(&path)
            && matches!(builtins::lookup(&name), Some(Builtin::Own { .. }))
            && name.starts_with("time.")
        {
            out.findings
                .push(self.finding(target.span(), PolicyErrorKind::MockedExtension { name }));
        }
        // A function may stand here without being called: it takes the place of another.
        match self.scope.resolve_call(value, &self.file.text) {
            Some((path, _)) if self.index.is_function(&path) => out.graph.uses(&self.path, path),
            Some((_, name)) if builtins::lookup(&name).is_some() => {}
            _ => self.expr(value, out),
        }
    }

    fn expr(&self, expr: &Expr, out: &mut Out<'_>) {
        self.patterns_in(expr, out.findings);
        match expr {
            Expr::Call { span, fcn, params } => {
                self.call((*span, fcn), params, out);
                for param in params {
                    self.expr(param, out);
                }
                return;
            }
            Expr::Var { .. } | Expr::RefDot { .. } | Expr::RefBrack { .. } => {
                self.reference_used(expr, out);
                return;
            }
            Expr::BoolExpr {
                op: BoolOp::Ne,
                lhs,
                rhs,
                ..
            } if !self.file.is_test => {
                self.inequality([lhs, rhs], out);
            }
            _ => {}
        }
        if let Some(query) = expr.query() {
            let own = Variables::of_query(query, &self.file.text);
            let inner = self.inside(own, out);
            inner.statements(query, out);
            for child in expr.children() {
                inner.expr(child, out);
            }
            return;
        }
        for child in expr.children() {
            self.expr(child, out);
        }
    }

    fn inequality(&self, sides: [&Expr; 2], out: &mut Out<'_>) {
        for side in sides {
            let reference = matches!(
                side,
                Expr::Var { .. } | Expr::RefDot { .. } | Expr::RefBrack { .. }
            );
            if reference && self.undefined(side).is_some() {
                let what = self.shown(side);
                let kind = PolicyErrorKind::CompareUndefined { what };
                out.findings.push(self.finding(side.span(), kind));
            }
        }
    }

    fn reference_used(&self, expr: &Expr, out: &mut Out<'_>) {
        let (root, steps) = expr.reference();
        for step in &steps {
            if let Step::Index(index) = step {
                self.index_pattern(index, out.findings);
                self.expr(index, out);
            }
        }
        let Expr::Var { span } = root else {
            self.expr(root, out);
            return;
        };
        match self.resolve(*span) {
            Root::Local => {}
            Root::Input(_) => out.graph.uses_input(&self.path),
            Root::Data(mut path) => {
                path.extend(steps.iter().map_while(|step| match step {
                    Step::Field(name) => Some((*name).to_owned()),
                    Step::Index(_) => None,
                }));
                self.data_used(expr, path, out);
            }
        }
    }

    fn data_used(&self, expr: &Expr, path: Path, out: &mut Out<'_>) {
        if self.index.is_function(&path) {
            let kind = PolicyErrorKind::FunctionAsValue {
                name: path.join("."),
            };
            out.findings.push(self.finding(expr.span(), kind));
        } else if !self.file.is_test && !self.index.defines(&path) {
            let kind = PolicyErrorKind::NothingDefines {
                path: path.join("."),
            };
            out.findings.push(self.finding(expr.span(), kind));
        }
        out.graph.uses(&self.path, path);
    }

    fn call(&self, (span, fcn): (Span, &Expr), params: &[Expr], out: &mut Out<'_>) {
        let Some((path, name)) = self.scope.resolve_call(fcn, &self.file.text) else {
            let kind = PolicyErrorKind::UnknownFunction {
                name: self.shown(fcn),
            };
            out.findings.push(self.finding(span, kind));
            return;
        };
        if let Some(rule) = self
            .index
            .rules
            .get(&path)
            .filter(|rule| !rule.arities.is_empty())
        {
            let fits = |arity: &usize| takes(*arity, params.len());
            if !rule.arities.contains(&params.len()) {
                self.result_pattern(params, out);
            }
            if !rule.arities.iter().any(fits) {
                let expected = rule.arities.first().copied().unwrap_or_default();
                self.wrong_arity(span, (name, expected, params.len()), out);
            }
            out.graph.uses(&self.path, path);
            return;
        }
        let misused = misused(&name, params);
        let kind = match builtins::lookup(&name) {
            // With one argument it has many values, and this engine has none.
            Some(Builtin::Engine { .. }) if name == "walk" && params.len() != 2 => {
                return self.wrong_arity(span, (name, 2, params.len()), out);
            }
            Some(Builtin::Engine { arity }) if !takes(arity, params.len()) => {
                return self.wrong_arity(span, (name, arity, params.len()), out);
            }
            Some(Builtin::Own { arity }) if arity != params.len() => {
                return self.wrong_arity(span, (name, arity, params.len()), out);
            }
            Some(Builtin::Engine { .. }) if let Some(why) = misused => {
                PolicyErrorKind::ForbiddenFunction { name, why }
            }
            Some(Builtin::Forbidden { why }) => PolicyErrorKind::ForbiddenFunction { name, why },
            Some(Builtin::Engine { arity }) if arity < params.len() => {
                return self.result_pattern(params, out);
            }
            Some(_) => return,
            None => PolicyErrorKind::UnknownFunction { name },
        };
        out.findings.push(self.finding(span, kind));
    }

    // One argument more than the function has: a pattern for its result.
    fn result_pattern(&self, params: &[Expr], out: &mut Out<'_>) {
        if let Some(last) = params.last() {
            self.pattern(last, out.findings);
        }
    }

    fn wrong_arity(&self, span: Span, call: (String, usize, usize), out: &mut Out<'_>) {
        let (name, expected, found) = call;
        let kind = PolicyErrorKind::WrongArity {
            name,
            expected,
            found,
        };
        out.findings.push(self.finding(span, kind));
    }
}

// One argument more takes the result: `count(x, n)` is `n = count(x)`.
fn takes(arity: usize, arguments: usize) -> bool {
    arguments == arity || arity.checked_add(1) == Some(arguments)
}

fn is_text(expr: Option<&Expr>) -> bool {
    matches!(expr, Some(Expr::String { .. } | Expr::RawString { .. }))
}

// Arguments that this engine reads in another way than OPA, or that take all memory.
fn misused(name: &str, params: &[Expr]) -> Option<&'static str> {
    let first = params.first();
    match name {
        "glob.match" if first.is_some_and(|text| holds(text, "[^")) => {
            Some("`[^` is not a negation in OPA; write `[!`")
        }
        "json.filter" | "json.remove" if params.iter().skip(1).any(|path| holds(path, "~")) => {
            Some("it does not read `~0` and `~1` in paths; write the path as an array of names")
        }
        "sprintf" if !is_text(first) => Some(
            "its format must be a text in the policy, since a width of a billion takes all memory",
        ),
        _ => None,
    }
}

// Holds a text in which `part` stands.
fn holds(expr: &Expr, part: &str) -> bool {
    match expr {
        Expr::String { value, .. } | Expr::RawString { value, .. } => value.contains(part),
        other => other.children().into_iter().any(|child| holds(child, part)),
    }
}
