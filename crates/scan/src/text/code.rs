//! Expressions of Python and of Jinja templates: one tolerant reader for both.
//!
//! Expressions are nodes of a flat list in which what belongs to a node stands before it, so that
//! they are looked at in order and never by recursion: depth is bounded where they are read. What
//! does not follow the grammar is passed over, a token at a time, and counted; nothing is lost
//! behind it. Python: The Python Language Reference, 6 and 2; Jinja: Template Designer
//! Documentation, "Expressions".

mod fold;
mod lex;
mod parse;

pub(super) use fold::{Value, binary, item, joined, list, method, size, slice, unary};
pub(super) use lex::{Kind, Lexer, Token};
pub(super) use parse::Parser;

/// Which of the two languages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// Jinja, between its brackets.
    Jinja,
    /// Python.
    Python,
}

/// A node, by its place in the list.
pub(super) type Id = usize;

/// A node and where it stands.
#[derive(Debug)]
pub(super) struct Node<'s> {
    /// What it is.
    pub(super) expr: Expr<'s>,
    /// Line, from 1.
    pub(super) line: u32,
}

/// An expression.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Expr<'s> {
    /// `a.b`
    Attribute(Id, &'s str),
    /// Two operands and what stands between them.
    Binary(&'s str, Id, Id),
    /// Bytes.
    Bytes(Vec<u8>),
    /// `f(a, *b, c=d)`
    Call(Id, Vec<Argument<'s>>),
    /// Condition, value if it holds, and value if not.
    Choice(Id, Id, Option<Id>),
    /// Keys and values.
    Dict(Vec<(Id, Id)>),
    /// `element for name in over`; the name is empty if it is more than one.
    Each(Id, &'s str, Id),
    /// `a|f(b)`
    Filter(Id, &'s str, Vec<Argument<'s>>),
    /// Parts of a formatted string.
    Format(Vec<Id>),
    /// `a[b]`
    Item(Id, Id),
    /// A function whose body begins behind the first node and is the second.
    Lambda(Id, Id),
    /// A list, tuple or set.
    List(Vec<Id>),
    /// A variable.
    Name(&'s str),
    /// A whole number.
    Number(i64),
    /// Something whose value does not matter here.
    Other,
    /// `a:b:c`
    Slice([Option<Id>; 3]),
    /// `a is f(b)`
    Test(Id, &'s str, Vec<Argument<'s>>),
    /// A string. The flag says that a character is written by its name: `\N{LOW LINE}`.
    Text(String, bool),
    /// An operand and what stands before it.
    Unary(&'s str, Id),
}

/// An argument of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Argument<'s> {
    /// Its name, or `*` or `**`.
    pub(super) name: Option<&'s str>,
    /// Its value.
    pub(super) value: Id,
}
