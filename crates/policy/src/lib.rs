//! What is allowed: Rego policies under guard, and decisions with reasons.
//!
//! Three calls do most of the work: [`PolicySet::load`] parses, checks and compiles policies,
//! [`decide()`] answers one question with a [`Decision`], and [`test()`] runs the `test_` rules
//! that stand beside the policies. [`eval()`] answers any query, and [`check()`] reports what
//! stands against a set of policies. The contract of a policy is in docs/concepts/policy.md.
//!
//! **It fails closed.** The engine below (regorus) differs from OPA in ways that turn a denial
//! into an approval: `not f(x)` with an undefined argument is true, calls of unknown functions
//! go unnoticed until they are reached, recursion ends the process. Each such difference is a
//! load error here or a verdict that lets nothing pass; the tests name them one by one. Every
//! evaluation runs on a thread of its own with a deadline: a panic or a hang is an answer too,
//! namely [`Verdict::Undecided`].
//!
//! What it is not: it reads no file, opens no socket and reads no clock. `now` is an argument
//! ([`Evaluation::now`]), so that a decision can be evaluated again with the same result. It also
//! verifies nothing: the facts in the input must come from verified statements.
//!
//! ```
//! use custos_policy::{Decision, Evaluation, PolicyFile, PolicyLimits, PolicySet, Verdict, decide};
//!
//! let policy = PolicyFile::new("gate.rego", r#"
//!     package custos.gate
//!     import rego.v1
//!
//!     deny contains {"code": "too-big", "msg": "more than 3"} if input.n > 3
//!
//!     default allow := false
//!     allow if { is_number(input.n); count(deny) == 0 }
//! "#);
//! let set = PolicySet::load(vec![policy], &PolicyLimits::default()).unwrap();
//! let now = "2026-11-20T14:02:00Z".parse().unwrap();
//! let decision = decide(&set, &serde_json::json!({"n": 4}), &Evaluation::at(now));
//! assert_eq!(decision.verdict, Verdict::Deny);
//! assert_eq!(decision.reasons[0].code, "too-big");
//! ```
#![deny(
    clippy::unwrap_used,         // policies and inputs are hostile
    clippy::expect_used,         // same
    clippy::panic,               // same
    clippy::indexing_slicing,    // same
    clippy::arithmetic_side_effects, // positions and sizes come from outside
    clippy::as_conversions       // silent truncation
)]
#![warn(clippy::exhaustive_enums, clippy::exhaustive_structs)]
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::as_conversions
    )
)]

mod ast;
mod builtins;
mod decision;
mod error;
mod evaluation;
mod guard;
mod limits;
mod lint;
mod nesting;
mod set;
mod source;
pub mod starter;
mod test_run;

#[doc(hidden)]
pub mod fuzz;

pub use decision::{Decision, EvidenceRef, Reason, Verdict, decide};
pub use error::{EvalError, PolicyError, PolicyErrorKind, Position, Severity};
pub use evaluation::{Evaluation, GATE_PACKAGE, eval};
pub use limits::PolicyLimits;
pub use set::{PolicySet, RuleInfo, check};
pub use source::{PolicyFile, Syntax};
pub use test_run::{Coverage, Outcome, TestOptions, TestReport, TestResult, test};
