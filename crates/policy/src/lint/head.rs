//! Heads of rules that may be undefined for one of several results.
//!
//! OPA leaves such a result out. This engine forgets the results before it, so that one element
//! without a name takes every denial with it. (Measured: if a result that is defined comes after
//! it, there is an error instead.)

use super::rule::RuleCheck;
use crate::ast::{Assign, Body, Expr, Head, Literal, Query, Step};
use crate::error::{PolicyError, PolicyErrorKind};

impl RuleCheck<'_> {
    /// Checks a head against one of its bodies, which may give it another value; `self` holds the
    /// variables of that body. `several` is true if other bodies add to the same results.
    pub(super) fn undefined_head(
        &self,
        head: &Head,
        body: Option<&Body>,
        several: bool,
    ) -> Option<PolicyError> {
        let parts = parts(head, body.and_then(|body| body.assign.as_ref()));
        let iterates = several
            || body.is_some_and(|body| self.query_iterates(&body.query))
            || parts.iter().any(|part| self.iterates(part));
        if !iterates {
            return None;
        }
        let part = parts.into_iter().find_map(|part| self.undefined(part))?;
        let what = self.shown(part);
        Some(self.finding(part.span(), PolicyErrorKind::HeadUndefined { what }))
    }

    fn query_iterates(&self, query: &Query) -> bool {
        query
            .stmts
            .iter()
            .any(|statement| match &statement.literal {
                Literal::SomeVars { .. } | Literal::SomeIn { .. } => true,
                Literal::Expr { expr } | Literal::NotExpr { expr } => self.iterates(expr),
                Literal::Every { domain, .. } => self.iterates(domain),
            })
    }

    /// Returns true if the expression may have several values: it has an index that is not known,
    /// or calls `walk`.
    fn iterates(&self, expr: &Expr) -> bool {
        let index = match expr {
            Expr::RefBrack { index, .. } => self.is_open(index),
            Expr::Call { fcn, .. } => fcn.span().text(&self.file.text) == "walk",
            _ => false,
        };
        // The query of a comprehension iterates for itself.
        index
            || expr
                .children()
                .into_iter()
                .any(|child| self.iterates(child))
    }

    // Holds a variable that may take several values.
    fn is_open(&self, expr: &Expr) -> bool {
        self.variable_in(expr, &|name| !self.variables.single.contains(name))
    }
}

// The expressions that give a head its place and its value. A function has none: its arguments
// have a value whenever it is called, and its results do not get lost.
fn parts<'e>(head: &'e Head, own: Option<&'e Assign>) -> Vec<&'e Expr> {
    let (refr, value) = match head {
        Head::Set { refr, key } => (refr, key.as_ref()),
        Head::Compr { refr, assign } => {
            let assign = own.or(assign.as_ref());
            (refr, assign.map(|assign| &assign.value))
        }
        Head::Func { .. } => return Vec::new(),
    };
    let indices = refr
        .reference()
        .1
        .into_iter()
        .filter_map(|step| match step {
            Step::Index(index) => Some(index),
            Step::Field(_) => None,
        });
    indices.chain(value).collect()
}
