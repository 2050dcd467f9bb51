//! `not` over something undefined: the divergence from OPA that opens gates.
//!
//! OPA gives every part of a negated expression a value before it negates, and is undefined if a
//! part has none. This engine negates the whole and says true. Measured against OPA 1.20, the two
//! agree where the negated expression is a reference itself (`not input.a`), and where it compares
//! references with `==` or `=`; everywhere else no part may be undefined.

use super::rule::RuleCheck;
use crate::ast::{AssignOp, BoolOp, Expr, Step};
use crate::builtins;
use crate::error::{PolicyError, PolicyErrorKind};
use crate::lint::names::Root;

impl RuleCheck<'_> {
    /// Checks the expression behind `not`.
    pub(super) fn negated(&self, expr: &Expr, findings: &mut Vec<PolicyError>) {
        if matches!(
            expr,
            Expr::AssignExpr {
                op: AssignOp::ColEq,
                ..
            }
        ) {
            findings.push(self.finding(expr.span(), PolicyErrorKind::NegatedAssignment));
            return;
        }
        self.unbound_in(expr, findings);
        if let Some(part) = self.diverging(expr) {
            let what = self.shown(part);
            findings.push(self.finding(part.span(), PolicyErrorKind::NegatedUndefined { what }));
        }
    }

    fn diverging<'e>(&self, expr: &'e Expr) -> Option<&'e Expr> {
        match expr {
            Expr::Var { .. } | Expr::RefDot { .. } | Expr::RefBrack { .. } => self.reference(expr),
            Expr::BoolExpr {
                op: BoolOp::Eq,
                lhs,
                rhs,
                ..
            }
            | Expr::AssignExpr {
                op: AssignOp::Eq,
                lhs,
                rhs,
                ..
            } => [lhs, rhs].into_iter().find_map(|side| self.operand(side)),
            Expr::Call { params, .. } => params.iter().find_map(|param| self.undefined(param)),
            other => other
                .children()
                .into_iter()
                .find_map(|child| self.undefined(child)),
        }
    }

    /// A side of an equation may be an undefined reference, but nothing that holds one.
    fn operand<'e>(&self, expr: &'e Expr) -> Option<&'e Expr> {
        match expr {
            Expr::Var { .. } | Expr::RefDot { .. } | Expr::RefBrack { .. } => self.reference(expr),
            other => self.undefined(other),
        }
    }

    /// Returns what inside a reference may be undefined, the reference itself aside.
    fn reference<'e>(&self, expr: &'e Expr) -> Option<&'e Expr> {
        let (root, steps) = expr.reference();
        if !matches!(root, Expr::Var { .. })
            && let Some(part) = self.undefined(root)
        {
            return Some(part);
        }
        steps.into_iter().find_map(|step| match step {
            Step::Field(_) => None,
            Step::Index(index) => self.undefined(index),
        })
    }

    /// Returns a part of the expression that may be undefined, if there is one.
    pub(super) fn undefined<'e>(&self, expr: &'e Expr) -> Option<&'e Expr> {
        match expr {
            Expr::Var { .. } | Expr::RefDot { .. } | Expr::RefBrack { .. } => {
                let (root, steps) = expr.reference();
                let Expr::Var { span } = root else {
                    return Some(expr);
                };
                let defined = match self.resolve(*span) {
                    Root::Local => steps.is_empty(),
                    Root::Input(whole) => whole && steps.is_empty(),
                    Root::Data(mut path) => {
                        let fields = steps.iter().map_while(|step| match step {
                            Step::Field(name) => Some((*name).to_owned()),
                            Step::Index(_) => None,
                        });
                        path.extend(fields);
                        self.index.is_total(&path)
                            && steps.iter().all(|step| matches!(step, Step::Field(_)))
                    }
                };
                if defined { None } else { Some(expr) }
            }
            Expr::Call { fcn, params, .. } => {
                let called = self.scope.resolve_call(fcn, &self.file.text);
                let total = called.is_some_and(|(path, dotted)| {
                    match self
                        .index
                        .rules
                        .get(&path)
                        .filter(|r| !r.arities.is_empty())
                    {
                        Some(function) => function.total,
                        None => builtins::is_total(&dotted),
                    }
                });
                if total {
                    params.iter().find_map(|param| self.undefined(param))
                } else {
                    Some(expr)
                }
            }
            // A comprehension over nothing is an empty collection.
            other if other.is_comprehension() => None,
            other => other
                .children()
                .into_iter()
                .find_map(|child| self.undefined(child)),
        }
    }

    /// Variables that stand only inside `not` have no value there: OPA calls them unsafe, this
    /// engine tries all values or none.
    fn unbound_in(&self, expr: &Expr, findings: &mut Vec<PolicyError>) {
        if let Expr::Var { span } = expr {
            let name = span.text(&self.file.text);
            let local = self.resolve(*span) == Root::Local;
            if local && (name == "_" || !self.variables.bindable.contains(name)) {
                let kind = PolicyErrorKind::UnboundVariable {
                    name: name.to_owned(),
                };
                findings.push(self.finding(*span, kind));
            }
        }
        if expr.is_comprehension() {
            return;
        }
        if let Expr::Call { params, .. } = expr {
            for param in params {
                self.unbound_in(param, findings);
            }
        } else {
            for child in expr.children() {
                self.unbound_in(child, findings);
            }
        }
    }
}
