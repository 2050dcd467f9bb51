//! What can stand against a policy, and why a query has no answer. Data, not sentences.

use std::fmt;
use std::time::Duration;

use custos_core::json::JsonError;

/// How much a finding weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(
    clippy::exhaustive_enums,
    reason = "an error stops loading, a warning does not"
)]
pub enum Severity {
    /// The policy loads, and may not do what its writer expects.
    Warning,
    /// The policy does not load.
    Error,
}

/// A place in a file, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(clippy::exhaustive_structs, reason = "a line and a column")]
pub struct Position {
    /// Line.
    pub line: u32,
    /// Column, in characters.
    pub column: u32,
}

/// One thing that stands against a set of policies.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PolicyError {
    /// The file, empty if it is about the whole set.
    pub file: String,
    /// Where in the file, if it can be said.
    pub position: Option<Position>,
    /// What it is.
    pub kind: PolicyErrorKind,
}

impl PolicyError {
    pub(crate) fn new(file: &str, position: Option<Position>, kind: PolicyErrorKind) -> Self {
        Self {
            file: file.to_owned(),
            position,
            kind,
        }
    }

    /// Returns whether it stops the policy from loading.
    pub fn severity(&self) -> Severity {
        match self.kind {
            PolicyErrorKind::CompareUndefined { .. }
            | PolicyErrorKind::MockedExtension { .. }
            | PolicyErrorKind::NothingDefines { .. } => Severity::Warning,
            _ => Severity::Error,
        }
    }

    /// Returns the stable code.
    pub fn code(&self) -> &'static str {
        self.kind.code()
    }
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.file.is_empty() {
            write!(f, "{}:", self.file)?;
            if let Some(Position { line, column }) = self.position {
                write!(f, "{line}:{column}:")?;
            }
            f.write_str(" ")?;
        }
        write!(f, "{}", self.kind)
    }
}

impl std::error::Error for PolicyError {}

/// What stands against a policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyErrorKind {
    /// `!=` on a value that may be undefined: the condition is then not met, and a denial with it
    /// does not happen.
    #[error(
        "`!=` on `{what}`, which may be undefined: the condition then fails silently; \
         write `not {what} == ...` or give it a default with object.get"
    )]
    CompareUndefined {
        /// The operand.
        what: String,
    },
    /// Two data documents say different things in one place, or a document hides a package.
    #[error("the data document does not merge with the others: {message}")]
    DataConflict {
        /// Where and why.
        message: String,
    },
    /// A default value for a set or an object whose elements are given one by one: OPA rejects it,
    /// and this engine ignores it.
    #[error("`{rule}` has a default value, and elements that are given one by one")]
    DefaultOfPartial {
        /// The rule.
        rule: String,
    },
    /// Two files have one path.
    #[error("two files have this path")]
    DuplicateFile,
    /// A rule has two `default` lines.
    #[error("`{rule}` has two default values")]
    DuplicateDefault {
        /// The rule.
        rule: String,
    },
    /// The engine refuses the policies, or what it prepares from them.
    #[error("{message}")]
    Engine {
        /// What it says.
        message: String,
    },
    /// The file is larger than the limit.
    #[error("{found} bytes, the limit is {limit}")]
    FileTooLarge {
        /// The limit.
        limit: usize,
        /// What was found.
        found: usize,
    },
    /// A function that policies may not call.
    #[error("`{name}` is not for policies: {why}")]
    ForbiddenFunction {
        /// The function.
        name: String,
        /// Why not.
        why: &'static str,
    },
    /// A function is used without calling it, which is undefined in this engine.
    #[error("`{name}` is a function and is not called here")]
    FunctionAsValue {
        /// The function.
        name: String,
    },
    /// The head of a rule may be undefined for one of several results. This engine then drops the
    /// others too, also the denials among them.
    #[error(
        "`{what}` may be undefined in the head of a rule with several results, and then drops all \
         of them; assign it in the body: `v := {what}`, then use `v` in the head"
    )]
    HeadUndefined {
        /// The part that may be undefined.
        what: String,
    },
    /// An import has a name that something else in its package has too.
    #[error("`{name}` is imported, and also {other}; import it `as` another name")]
    ImportConflict {
        /// The name.
        name: String,
        /// What else it is.
        other: &'static str,
    },
    /// A package imports itself or one around it: this engine finds nothing behind such an import.
    #[error("a package cannot import `{package}`, which it is part of; write the names in full")]
    ImportOfOwnPackage {
        /// What is imported.
        package: String,
    },
    /// The data document is not JSON, or breaks a limit.
    #[error("{0}")]
    Json(JsonError),
    /// Loading took longer than the limit.
    #[error("loading took longer than {limit:?}")]
    LoadTimedOut {
        /// The limit.
        limit: Duration,
    },
    /// `with` on a function that Custos supplies: the engine cannot replace it.
    #[error("`with` cannot replace `{name}` here: the test that needs it will not pass")]
    MockedExtension {
        /// The function.
        name: String,
    },
    /// `not x := ...`.
    #[error("a variable cannot be assigned inside `not`")]
    NegatedAssignment,
    /// `not` over an expression of which a part may be undefined. This engine then says true
    /// where OPA says undefined: a condition that should fail succeeds.
    #[error(
        "`not` over an expression in which `{what}` may be undefined; assign it first: \
         `v := {what}`, then negate the expression with `v`"
    )]
    NegatedUndefined {
        /// The part that may be undefined.
        what: String,
    },
    /// Expressions are nested too deeply, or a chain of operators is too long.
    #[error("nested deeper than {limit} levels, or a chain of operators as long")]
    NestedTooDeep {
        /// The limit.
        limit: usize,
    },
    /// Nothing was given that could decide.
    #[error("no policy was given")]
    NoPolicy,
    /// A reference into `data` that no policy and no data document defines.
    #[error("nothing defines `{path}`: it is always undefined")]
    NothingDefines {
        /// The reference.
        path: String,
    },
    /// The file is neither Rego nor `data.json`.
    #[error("neither a `.rego` file nor a `data.json`")]
    NotAPolicy,
    /// The file is not UTF-8.
    #[error("not UTF-8")]
    NotUtf8,
    /// An object in a pattern: OPA wants an object with exactly these keys, and this engine takes
    /// one with more.
    #[error(
        "`{what}` in a pattern also matches objects with more keys; read the members one by one, \
         such as `x := o.key`"
    )]
    ObjectPattern {
        /// The pattern.
        what: String,
    },
    /// Reading the policies made the engine panic.
    #[error("the engine failed on these policies: {message}")]
    Panicked {
        /// What it said last.
        message: String,
    },
    /// A rule or function depends on itself.
    #[error("recursive: {}", .path.join(" -> "))]
    Recursion {
        /// The circle, each rule once.
        path: Vec<String>,
    },
    /// A package that belongs to the built-in library, with another text.
    #[error("the package `{package}` belongs to the built-in library; use another name")]
    ReservedPackage {
        /// The package.
        package: String,
    },
    /// A rule or a variable is named `input` or `data`.
    #[error("`{name}` is not free as a name")]
    ShadowedRoot {
        /// The name.
        name: String,
    },
    /// Neither syntax fits.
    #[error("{}", syntax_text(.v1.as_deref(), .v0.as_deref()))]
    Syntax {
        /// What a Rego v1 parser says, if it was tried.
        v1: Option<String>,
        /// What a Rego v0 parser says, if it was tried.
        v0: Option<String>,
    },
    /// A file of tests adds to a rule of a policy, and would take part in decisions.
    #[error("`{rule}` stands in a policy and in a file of tests; tests may not add to it")]
    TestAddsToRule {
        /// The rule.
        rule: String,
    },
    /// Too many files, bytes or rules.
    #[error("{found} {what}, the limit is {limit}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// The limit.
        limit: usize,
        /// What was found.
        found: usize,
    },
    /// A variable that nothing gives a value.
    #[error("nothing gives `{name}` a value")]
    UnboundVariable {
        /// The variable.
        name: String,
    },
    /// A function that neither the policies nor the engine have.
    #[error("there is no function `{name}`")]
    UnknownFunction {
        /// The function.
        name: String,
    },
    /// A call with the wrong number of arguments.
    #[error("`{name}` takes {expected} arguments, not {found}")]
    WrongArity {
        /// The function.
        name: String,
        /// What it takes.
        expected: usize,
        /// What was given.
        found: usize,
    },
}

impl PolicyErrorKind {
    /// Returns the stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::CompareUndefined { .. } => "policy-compare-undefined",
            Self::DataConflict { .. } => "policy-data-conflict",
            Self::DefaultOfPartial { .. } => "policy-default-of-partial",
            Self::DuplicateFile => "policy-duplicate-file",
            Self::DuplicateDefault { .. } => "policy-duplicate-default",
            Self::Engine { .. } => "policy-engine",
            Self::FileTooLarge { .. } => "policy-file-too-large",
            Self::ForbiddenFunction { .. } => "policy-forbidden-function",
            Self::FunctionAsValue { .. } => "policy-function-as-value",
            Self::HeadUndefined { .. } => "policy-head-undefined",
            Self::ImportConflict { .. } => "policy-import-conflict",
            Self::ImportOfOwnPackage { .. } => "policy-import-of-own-package",
            Self::Json(_) => "policy-json",
            Self::LoadTimedOut { .. } => "policy-load-timed-out",
            Self::MockedExtension { .. } => "policy-mocked-extension",
            Self::NegatedAssignment => "policy-negated-assignment",
            Self::NegatedUndefined { .. } => "policy-negated-undefined",
            Self::NestedTooDeep { .. } => "policy-nested-too-deep",
            Self::NoPolicy => "policy-none",
            Self::NothingDefines { .. } => "policy-nothing-defines",
            Self::NotAPolicy => "policy-not-a-policy",
            Self::NotUtf8 => "policy-not-utf8",
            Self::ObjectPattern { .. } => "policy-object-pattern",
            Self::Panicked { .. } => "policy-panicked",
            Self::Recursion { .. } => "policy-recursion",
            Self::ReservedPackage { .. } => "policy-reserved-package",
            Self::ShadowedRoot { .. } => "policy-shadowed-root",
            Self::Syntax { .. } => "policy-syntax",
            Self::TestAddsToRule { .. } => "policy-test-adds-to-rule",
            Self::TooMany { .. } => "policy-too-many",
            Self::UnboundVariable { .. } => "policy-unbound-variable",
            Self::UnknownFunction { .. } => "policy-unknown-function",
            Self::WrongArity { .. } => "policy-wrong-arity",
        }
    }
}

fn syntax_text(v1: Option<&str>, v0: Option<&str>) -> String {
    match (v1, v0) {
        (Some(v1), Some(v0)) => format!("neither Rego v1 ({v1}) nor Rego v0 ({v0})"),
        (Some(v1), None) => format!("not Rego v1: {v1}"),
        (None, Some(v0)) => format!("not Rego v0: {v0}"),
        (None, None) => "not Rego".to_owned(),
    }
}

/// Why a query has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EvalError {
    /// The answer is larger or deeper than anything that is written down.
    #[error("the answer is too large or nested too deep")]
    AnswerTooLarge,
    /// Too many evaluations are running, some of them given up on and not ended yet.
    #[error("{limit} evaluations are still running")]
    Busy {
        /// The limit.
        limit: usize,
    },
    /// The engine says that the evaluation is in error: a built-in got the wrong type, two rules
    /// disagree, a number is divided by zero.
    #[error("{message}")]
    Failed {
        /// What it says.
        message: String,
    },
    /// The input is not an object.
    #[error("the input is not a JSON object")]
    InputNotAnObject,
    /// The input breaks a limit.
    #[error("the input is not accepted: {0}")]
    InputTooLarge(JsonError),
    /// The answer cannot be written as JSON.
    #[error("the answer is not JSON: {message}")]
    NotJson {
        /// Why.
        message: String,
    },
    /// The engine panicked.
    #[error("the engine failed: {message}")]
    Panicked {
        /// What it said last.
        message: String,
    },
    /// The query itself is not accepted.
    #[error("the query is not accepted: {0}")]
    Query(PolicyErrorKind),
    /// It took longer than the deadline.
    #[error("no answer within {limit:?}")]
    TimedOut {
        /// The deadline.
        limit: Duration,
    },
}

impl EvalError {
    /// Returns the stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::AnswerTooLarge => "answer-too-large",
            Self::Busy { .. } => "engine-busy",
            Self::Failed { .. } => "engine-error",
            Self::InputNotAnObject => "input-not-an-object",
            Self::InputTooLarge(_) => "input-too-large",
            Self::NotJson { .. } => "answer-not-json",
            Self::Panicked { .. } => "engine-panic",
            Self::Query(_) => "query-not-accepted",
            Self::TimedOut { .. } => "engine-timeout",
        }
    }
}
