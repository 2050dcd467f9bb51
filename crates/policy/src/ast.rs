//! The syntax tree of a policy, as the engine reports it.
//!
//! The engine's own tree types are private, so the tree comes as JSON (`get_ast_as_json`) and is
//! read into the part of it that the checks need. A shape that is not known here is an error, so
//! that an engine which learns a new expression does not slip it past the checks.

use serde::Deserialize;

use crate::error::Position;

/// One file.
#[derive(Debug, Deserialize)]
pub(crate) struct Module {
    pub(crate) package: Package,
    pub(crate) imports: Vec<Import>,
    pub(crate) rules: Vec<Rule>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    pub(crate) refr: Expr,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Import {
    pub(crate) refr: Expr,
    #[serde(default, rename = "as")]
    pub(crate) alias: Option<Span>,
}

/// A piece of text, by its position.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct Span {
    pub(crate) line: u32,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

impl Span {
    pub(crate) fn text(self, source: &str) -> &str {
        source.get(self.start..self.end).unwrap_or_default()
    }

    /// Returns where the text begins. The engine's own column counts a tab as several.
    pub(crate) fn position(self, source: &str) -> Position {
        let before = source.get(..self.start).unwrap_or_default();
        let line = before.rsplit('\n').next().unwrap_or_default();
        let column = u32::try_from(line.chars().count())
            .unwrap_or(u32::MAX)
            .saturating_add(1);
        Position {
            line: self.line,
            column,
        }
    }
}

#[derive(Debug, Deserialize)]
pub(crate) enum Rule {
    Spec {
        span: Span,
        head: Head,
        bodies: Vec<Body>,
    },
    Default {
        span: Span,
        refr: Expr,
        args: Vec<Expr>,
        value: Expr,
    },
}

#[derive(Debug, Deserialize)]
pub(crate) enum Head {
    Compr {
        refr: Expr,
        assign: Option<Assign>,
    },
    Set {
        refr: Expr,
        key: Option<Expr>,
    },
    Func {
        refr: Expr,
        args: Vec<Expr>,
        assign: Option<Assign>,
    },
}

impl Head {
    pub(crate) const fn refr(&self) -> &Expr {
        match self {
            Self::Compr { refr, .. } | Self::Set { refr, .. } | Self::Func { refr, .. } => refr,
        }
    }
}

#[derive(Debug, Deserialize)]
pub(crate) struct Assign {
    pub(crate) value: Expr,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Body {
    pub(crate) assign: Option<Assign>,
    pub(crate) query: Query,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Query {
    pub(crate) stmts: Vec<Statement>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Statement {
    pub(crate) literal: Literal,
    #[serde(default)]
    pub(crate) with_mods: Vec<With>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct With {
    pub(crate) refr: Expr,
    #[serde(rename = "as")]
    pub(crate) value: Expr,
}

#[derive(Debug, Deserialize)]
pub(crate) enum Literal {
    SomeVars {
        vars: Vec<Span>,
    },
    SomeIn {
        key: Option<Expr>,
        value: Expr,
        collection: Expr,
    },
    Expr {
        expr: Expr,
    },
    NotExpr {
        expr: Expr,
    },
    Every {
        key: Option<Span>,
        value: Span,
        domain: Expr,
        query: Query,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(crate) enum BoolOp {
    Lt,
    Le,
    Eq,
    Ge,
    Gt,
    Ne,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(crate) enum AssignOp {
    Eq,
    ColEq,
}

#[derive(Debug, Deserialize)]
#[allow(clippy::enum_variant_names, reason = "the names are the engine's")]
pub(crate) enum Expr {
    String {
        span: Span,
        value: String,
    },
    RawString {
        span: Span,
        value: String,
    },
    Number {
        span: Span,
    },
    Bool {
        span: Span,
    },
    Null {
        span: Span,
    },
    Var {
        span: Span,
    },
    Array {
        span: Span,
        items: Vec<Expr>,
    },
    Set {
        span: Span,
        items: Vec<Expr>,
    },
    Object {
        span: Span,
        fields: Vec<(Span, Expr, Expr)>,
    },
    ArrayCompr {
        span: Span,
        term: Box<Expr>,
        query: Query,
    },
    SetCompr {
        span: Span,
        term: Box<Expr>,
        query: Query,
    },
    ObjectCompr {
        span: Span,
        key: Box<Expr>,
        value: Box<Expr>,
        query: Query,
    },
    Call {
        span: Span,
        fcn: Box<Expr>,
        params: Vec<Expr>,
    },
    UnaryExpr {
        span: Span,
        expr: Box<Expr>,
    },
    RefDot {
        span: Span,
        refr: Box<Expr>,
        field: (Span, serde_json::Value),
    },
    RefBrack {
        span: Span,
        refr: Box<Expr>,
        index: Box<Expr>,
    },
    BinExpr {
        span: Span,
        lhs: Box<Expr>,
        rhs: Box<Expr>,
    },
    BoolExpr {
        span: Span,
        op: BoolOp,
        lhs: Box<Expr>,
        rhs: Box<Expr>,
    },
    ArithExpr {
        span: Span,
        lhs: Box<Expr>,
        rhs: Box<Expr>,
    },
    AssignExpr {
        span: Span,
        op: AssignOp,
        lhs: Box<Expr>,
        rhs: Box<Expr>,
    },
    Membership {
        span: Span,
        key: Option<Box<Expr>>,
        value: Box<Expr>,
        collection: Box<Expr>,
    },
}

impl Expr {
    pub(crate) const fn span(&self) -> Span {
        match self {
            Self::String { span, .. }
            | Self::RawString { span, .. }
            | Self::Number { span }
            | Self::Bool { span }
            | Self::Null { span }
            | Self::Var { span }
            | Self::Array { span, .. }
            | Self::Set { span, .. }
            | Self::Object { span, .. }
            | Self::ArrayCompr { span, .. }
            | Self::SetCompr { span, .. }
            | Self::ObjectCompr { span, .. }
            | Self::Call { span, .. }
            | Self::UnaryExpr { span, .. }
            | Self::RefDot { span, .. }
            | Self::RefBrack { span, .. }
            | Self::BinExpr { span, .. }
            | Self::BoolExpr { span, .. }
            | Self::ArithExpr { span, .. }
            | Self::AssignExpr { span, .. }
            | Self::Membership { span, .. } => *span,
        }
    }

    /// Returns the expressions directly inside, without the queries of comprehensions.
    pub(crate) fn children(&self) -> Vec<&Self> {
        match self {
            Self::String { .. }
            | Self::RawString { .. }
            | Self::Number { .. }
            | Self::Bool { .. }
            | Self::Null { .. }
            | Self::Var { .. } => Vec::new(),
            Self::Array { items, .. } | Self::Set { items, .. } => items.iter().collect(),
            Self::Object { fields, .. } => fields
                .iter()
                .flat_map(|(_, key, value)| [key, value])
                .collect(),
            Self::ArrayCompr { term, .. } | Self::SetCompr { term, .. } => vec![term],
            Self::ObjectCompr { key, value, .. } => vec![key, value],
            Self::Call { fcn, params, .. } => {
                std::iter::once(&**fcn).chain(params.iter()).collect()
            }
            Self::UnaryExpr { expr, .. } => vec![expr],
            Self::RefDot { refr, .. } => vec![refr],
            Self::RefBrack { refr, index, .. } => vec![refr, index],
            Self::BinExpr { lhs, rhs, .. }
            | Self::BoolExpr { lhs, rhs, .. }
            | Self::ArithExpr { lhs, rhs, .. }
            | Self::AssignExpr { lhs, rhs, .. } => vec![lhs, rhs],
            Self::Membership {
                key,
                value,
                collection,
                ..
            } => key
                .iter()
                .map(|key| &**key)
                .chain([&**value, &**collection])
                .collect(),
        }
    }

    /// Returns the query of a comprehension.
    pub(crate) const fn query(&self) -> Option<&Query> {
        match self {
            Self::ArrayCompr { query, .. }
            | Self::SetCompr { query, .. }
            | Self::ObjectCompr { query, .. } => Some(query),
            _ => None,
        }
    }

    pub(crate) const fn is_comprehension(&self) -> bool {
        self.query().is_some()
    }

    /// Returns the parts of a reference: its root, then fields and indices.
    pub(crate) fn reference(&self) -> (&Self, Vec<Step<'_>>) {
        let mut steps = Vec::new();
        let mut at = self;
        loop {
            match at {
                Self::RefDot { refr, field, .. } => {
                    steps.push(Step::Field(field.1.as_str().unwrap_or_default()));
                    at = refr;
                }
                Self::RefBrack { refr, index, .. } => {
                    steps.push(match &**index {
                        Self::String { value, .. } | Self::RawString { value, .. } => {
                            Step::Field(value)
                        }
                        other => Step::Index(other),
                    });
                    at = refr;
                }
                root => {
                    steps.reverse();
                    return (root, steps);
                }
            }
        }
    }
}

/// One part of a reference behind its root.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Step<'a> {
    /// `.name` or `["name"]`.
    Field(&'a str),
    /// `[anything else]`.
    Index(&'a Expr),
}
