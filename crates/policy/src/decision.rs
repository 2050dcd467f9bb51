//! Decisions: may this be used, and why not.
//!
//! The contract with a policy is in docs/concepts/policy.md. Whatever is not a clear yes lets
//! nothing pass: [`Verdict::Deny`] if the policy says no, [`Verdict::Undecided`] if it has no
//! answer that means something.

mod entry;
mod reason;

use serde::Serialize;
use serde_json::Value;

use crate::error::EvalError;
use crate::evaluation::{self, Evaluation, GATE_PACKAGE};
use crate::limits::MAX_REASONS;
use crate::set::PolicySet;

use entry::{Answer, Entry};
pub use reason::{EvidenceRef, Reason};

/// What a policy answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[allow(
    clippy::exhaustive_enums,
    reason = "whoever decides must handle all three"
)]
pub enum Verdict {
    /// Yes.
    Allow,
    /// No.
    Deny,
    /// There is no answer. It lets nothing pass, like [`Verdict::Deny`], and is told apart so
    /// that people look for the fault and not for the offence.
    Undecided,
}

/// A verdict with its reasons.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Decision {
    /// The answer.
    pub verdict: Verdict,
    /// Why not; empty if, and only if, the verdict is [`Verdict::Allow`].
    pub reasons: Vec<Reason>,
    /// What should be known and does not stop it.
    pub warnings: Vec<Reason>,
    /// The package or rule that decided.
    pub query: String,
}

/// Decides over `input` (docs/concepts/policy.md gives the contract).
///
/// It always answers, at the latest at the deadline: an error, a time-out, a panic, an undefined
/// or malformed answer, a policy without rules and one that never looks at the input are all
/// [`Verdict::Undecided`], with the reason.
pub fn decide(set: &PolicySet, input: &Value, evaluation: &Evaluation) -> Decision {
    let query = evaluation.query.as_deref().unwrap_or(GATE_PACKAGE);
    let outcome = Entry::find(set, query).and_then(|entry| {
        let answers = ask(set, &entry, input, evaluation)
            .map_err(|error| Reason::fault(query, error.code(), error.to_string()))?;
        Ok((entry, answers))
    });
    match outcome {
        Ok((entry, answers)) => judge(&entry, answers, query),
        Err(reason) => Decision {
            verdict: Verdict::Undecided,
            reasons: vec![reason],
            warnings: Vec::new(),
            query: query.to_owned(),
        },
    }
}

/// Evaluates the entry's rules, on one thread within one deadline.
fn ask(
    set: &PolicySet,
    entry: &Entry,
    input: &Value,
    evaluation: &Evaluation,
) -> Result<Vec<Answer>, EvalError> {
    let mut engine = evaluation::session(set, evaluation)?;
    let input = evaluation::engine_value(input)?;
    let rules = entry.rules.clone();
    evaluation::guarded(evaluation.deadline, move || {
        engine.set_input(input);
        let mut answers = Vec::new();
        for rule in rules {
            let value = match engine.eval_rule(rule.path.clone()) {
                Ok(regorus::Value::Undefined) => Ok(None),
                Ok(value) => evaluation::sized(&value).and_then(|()| {
                    serde_json::to_value(&value)
                        .map(Some)
                        .map_err(|error| EvalError::NotJson {
                            message: error.to_string(),
                        })
                }),
                Err(error) => Err(evaluation::failed(&error)),
            };
            answers.push(Answer { rule, value });
        }
        Ok(answers)
    })
}

fn judge(entry: &Entry, answers: Vec<Answer>, query: &str) -> Decision {
    let mut faults = entry.faults.clone();
    let (mut denials, mut refusals, mut warnings) = (Vec::new(), Vec::new(), Vec::new());
    for answer in answers {
        match answer.read() {
            entry::Read::Denials(found) => denials.extend(found),
            entry::Read::Fault(fault) => faults.push(fault),
            entry::Read::Refusal(refusal) => refusals.push(refusal),
            entry::Read::Warnings(found) => warnings.extend(found),
            entry::Read::Nothing => {}
        }
    }
    // That `allow` is not true goes without saying where a denial says why.
    if denials.is_empty() {
        denials = refusals;
    }
    let verdict = match (denials.is_empty(), faults.is_empty()) {
        (false, _) => Verdict::Deny,
        (true, false) => Verdict::Undecided,
        (true, true) => Verdict::Allow,
    };
    reason::sort(&mut denials);
    reason::sort(&mut warnings);
    denials.extend(faults);
    Decision {
        verdict,
        reasons: reason::bounded(denials, MAX_REASONS),
        warnings: reason::bounded(warnings, MAX_REASONS),
        query: query.to_owned(),
    }
}
