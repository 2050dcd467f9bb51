//! Objects in patterns: OPA matches an object with exactly the keys of the pattern, this engine
//! one with more keys too, so that `{"role": "admin"}` matches what no writer had in mind.

use super::names::Root;
use super::rule::RuleCheck;
use crate::ast::{AssignOp, Expr};
use crate::error::{PolicyError, PolicyErrorKind};

impl RuleCheck<'_> {
    /// Checks a pattern in which every object is one: an argument, what `some` or `:=` declares,
    /// or where a call puts its result.
    pub(super) fn pattern(&self, pattern: &Expr, findings: &mut Vec<PolicyError>) {
        self.objects(pattern, &|_| true, findings);
    }

    /// Checks the patterns that an expression holds directly.
    pub(super) fn patterns_in(&self, expr: &Expr, findings: &mut Vec<PolicyError>) {
        // An object without a variable is a value here, and compared as in OPA.
        let open = |object: &Expr| self.has_variable(object);
        if let Expr::AssignExpr { op, lhs, rhs, .. } = expr {
            if *op == AssignOp::ColEq {
                self.pattern(lhs, findings);
            } else {
                self.objects(lhs, &open, findings);
                self.objects(rhs, &open, findings);
            }
        }
    }

    /// Checks an index, which is a pattern if it holds variables.
    pub(super) fn index_pattern(&self, index: &Expr, findings: &mut Vec<PolicyError>) {
        self.objects(index, &|object| self.has_variable(object), findings);
    }

    fn objects(
        &self,
        pattern: &Expr,
        wanted: &dyn Fn(&Expr) -> bool,
        findings: &mut Vec<PolicyError>,
    ) {
        match pattern {
            Expr::Object { span, .. } if wanted(pattern) => {
                let what = self.shown(pattern);
                findings.push(self.finding(*span, PolicyErrorKind::ObjectPattern { what }));
            }
            Expr::Array { items, .. } => {
                for item in items {
                    self.objects(item, wanted, findings);
                }
            }
            _ => {}
        }
    }

    fn has_variable(&self, expr: &Expr) -> bool {
        self.variable_in(expr, &|_| true)
    }

    /// Returns true if a variable of which `wanted` is true stands in the expression, outside of
    /// comprehensions.
    pub(super) fn variable_in(&self, expr: &Expr, wanted: &dyn Fn(&str) -> bool) -> bool {
        match expr {
            Expr::Var { span } => {
                self.resolve(*span) == Root::Local && wanted(span.text(&self.file.text))
            }
            // The name of what is called is no variable.
            Expr::Call { params, .. } => params.iter().any(|param| self.variable_in(param, wanted)),
            other if other.is_comprehension() => false,
            other => other
                .children()
                .into_iter()
                .any(|child| self.variable_in(child, wanted)),
        }
    }
}
