//! Predicates: what a statement says about its subjects, as typed structs, one module a type.
//!
//! Vetted in-toto, SLSA and `CycloneDX` types are used where they exist; their unknown fields are
//! ignored, as the in-toto parsing rules ask. What has no vetted type is Custos' own, under
//! [`PREFIX`]; each has a page and a JSON Schema in `docs/predicates/`, and the same rule for
//! unknown fields, so that a later minor version can add some.
//!
//! A struct here says what somebody claims. It verifies nothing: whoever decides takes a
//! statement that `trust` has verified and reads it with [`read`].
#![allow(
    clippy::exhaustive_structs,
    clippy::exhaustive_enums,
    reason = "each mirrors one major version of a format, whose fields its users write out"
)]

// The one place where the prefix of Custos' own types is spelled; a macro, because constants
// cannot be concatenated.
macro_rules! own_type {
    ($tail:literal) => {
        concat!("urn:custos:attestation:", $tail)
    };
}

pub mod approval;
pub mod batch;
mod check;
pub mod cyclonedx;
pub mod dataset;
pub mod decision;
pub mod deployment;
pub mod evaluation;
pub mod evaluation_plan;
pub mod link;
pub mod provenance;
mod registry;
pub mod resource_usage;
pub mod scai;
pub mod scan;
pub mod step;
pub mod test_result;
pub mod vsa;
pub mod vulns;

#[cfg(test)]
mod docs_test;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::digest::{Algorithm, Digest};
use crate::json::{self, JsonError};
use crate::limits::Limits;
use crate::statement::{Statement, StatementError, Subject};

pub use check::{Fault, Problem};
pub use registry::{KnownType, Origin, known, resolve};

/// What every type URI of Custos' own predicates starts with; `<name>:v<major>` follows.
pub const PREFIX: &str = own_type!("");

/// A predicate with its type URI and the rules that its JSON shape cannot express.
pub trait Predicate: Serialize + DeserializeOwned {
    /// The type URI that a statement carries.
    const TYPE: &'static str;

    /// Returns what is wrong with the value, nothing if it is sound.
    fn faults(&self) -> Vec<Fault>;
}

/// Makes a statement of a predicate, if the predicate is sound.
pub fn write<P: Predicate>(
    subject: Vec<Subject>,
    predicate: &P,
) -> Result<Statement, PredicateError> {
    reject(predicate)?;
    Statement::new(subject, P::TYPE, predicate).map_err(PredicateError::Statement)
}

/// Reads the predicate of a statement, which must have exactly the type asked for and be sound.
///
/// The type is checked first: a payload that happens to have the right shape under another type
/// proves nothing (CVE-2026-39395 was such a check left out).
pub fn read<P: Predicate>(statement: &Statement) -> Result<P, PredicateError> {
    if statement.predicate_type() != P::TYPE {
        return Err(PredicateError::OtherType {
            expected: P::TYPE,
            found: statement.predicate_type().to_owned(),
        });
    }
    let predicate = statement.predicate().map_err(PredicateError::Statement)?;
    reject(&predicate)?;
    Ok(predicate)
}

/// Checks the predicate of a statement if its type is one that Custos knows; of another type
/// nothing can be said.
pub fn validate(statement: &Statement) -> Result<(), PredicateError> {
    fn of<P: Predicate>(statement: &Statement) -> Result<(), PredicateError> {
        read::<P>(statement).map(|_| ())
    }
    match statement.predicate_type() {
        approval::Approval::TYPE => of::<approval::Approval>(statement),
        batch::Batch::TYPE => of::<batch::Batch>(statement),
        dataset::Dataset::TYPE => of::<dataset::Dataset>(statement),
        decision::Decision::TYPE => of::<decision::Decision>(statement),
        deployment::Deployment::TYPE => of::<deployment::Deployment>(statement),
        evaluation::Evaluation::TYPE => of::<evaluation::Evaluation>(statement),
        evaluation_plan::EvaluationPlan::TYPE => of::<evaluation_plan::EvaluationPlan>(statement),
        provenance::Provenance::TYPE => of::<provenance::Provenance>(statement),
        resource_usage::ResourceUsage::TYPE => of::<resource_usage::ResourceUsage>(statement),
        scai::AttributeReport::TYPE => of::<scai::AttributeReport>(statement),
        scan::Scan::TYPE => of::<scan::Scan>(statement),
        test_result::TestResult::TYPE => of::<test_result::TestResult>(statement),
        vsa::VerificationSummary::TYPE => of::<vsa::VerificationSummary>(statement),
        vulns::Vulnerabilities::TYPE => of::<vulns::Vulnerabilities>(statement),
        _ => Ok(()),
    }
}

/// Parses a predicate that stands alone, as in a file given to `custos attest`.
pub fn parse<P: Predicate>(bytes: &[u8]) -> Result<P, PredicateError> {
    let predicate = json::from_slice(bytes, &Limits::STATEMENT).map_err(PredicateError::Json)?;
    reject(&predicate)?;
    Ok(predicate)
}

/// Returns the digest of a predicate: SHA-256 over its canonical JSON (RFC 8785).
///
/// It does not depend on white space, field order or the envelope, so that one who only has the
/// file of an evaluation plan and one who only has its statement refer to the same thing.
pub fn digest<P: Serialize>(predicate: &P) -> Result<Digest, JsonError> {
    Ok(Algorithm::Sha256.digest(&json::to_canonical(predicate)?))
}

/// Returns the same digest as [`digest`], of whatever predicate a statement carries, unknown
/// fields included.
pub fn digest_of_statement(statement: &Statement) -> Result<Digest, JsonError> {
    let value: serde_json::Value =
        json::from_slice(statement.predicate_json().as_bytes(), &Limits::STATEMENT)?;
    digest(&value)
}

fn reject<P: Predicate>(predicate: &P) -> Result<(), PredicateError> {
    let faults = predicate.faults();
    if faults.is_empty() {
        Ok(())
    } else {
        Err(PredicateError::Unsound {
            kind: P::TYPE,
            faults,
        })
    }
}

/// Parses `data` as each predicate with a type, and checks that what was accepted is written the
/// same way again; a fuzz target.
#[doc(hidden)]
pub fn fuzz_predicates(data: &[u8]) {
    fn round_trip<P: Predicate + PartialEq + std::fmt::Debug>(data: &[u8]) {
        let Ok(predicate) = parse::<P>(data) else {
            return;
        };
        let again = json::to_vec(&predicate)
            .ok()
            .and_then(|bytes| parse::<P>(&bytes).ok());
        assert_eq!(again.as_ref(), Some(&predicate));
    }
    round_trip::<approval::Approval>(data);
    round_trip::<batch::Batch>(data);
    round_trip::<cyclonedx::CycloneDx>(data);
    round_trip::<dataset::Dataset>(data);
    round_trip::<decision::Decision>(data);
    round_trip::<deployment::Deployment>(data);
    round_trip::<evaluation::Evaluation>(data);
    round_trip::<evaluation_plan::EvaluationPlan>(data);
    round_trip::<link::Link>(data);
    round_trip::<provenance::Provenance>(data);
    round_trip::<resource_usage::ResourceUsage>(data);
    round_trip::<scai::AttributeReport>(data);
    round_trip::<scan::Scan>(data);
    round_trip::<test_result::TestResult>(data);
    round_trip::<vsa::VerificationSummary>(data);
    round_trip::<vulns::Vulnerabilities>(data);
    if let Ok(provenance) = parse::<provenance::Provenance>(data) {
        let _ = step::StepView::of(&provenance);
    }
}

/// Why a predicate was not written or read.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PredicateError {
    /// Not JSON of the right shape.
    #[error("the predicate is not accepted: {0}")]
    Json(JsonError),
    /// The statement has another predicate type.
    #[error("the statement says `{found}`, expected was `{expected}`")]
    OtherType {
        /// The type asked for.
        expected: &'static str,
        /// The type found.
        found: String,
    },
    /// The statement around it is not accepted.
    #[error(transparent)]
    Statement(StatementError),
    /// The shape is right, but values are not.
    #[error("`{kind}`: {}", check::list(faults))]
    Unsound {
        /// The type URI.
        kind: &'static str,
        /// Each fault, never empty.
        faults: Vec<Fault>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::predicate::test_result::TestResult;
    use crate::predicate::vsa::VerificationSummary;

    fn subject() -> Vec<Subject> {
        vec![Subject::new("model", Algorithm::Sha256.digest(b"weights"))]
    }

    #[test]
    fn a_predicate_is_read_only_under_its_own_type() {
        let result = TestResult::example();
        let statement = write(subject(), &result).unwrap();
        assert_eq!(read::<TestResult>(&statement).unwrap(), result);
        assert_eq!(
            read::<VerificationSummary>(&statement),
            Err(PredicateError::OtherType {
                expected: VerificationSummary::TYPE,
                found: TestResult::TYPE.to_owned()
            })
        );
    }

    #[test]
    fn an_unsound_predicate_is_neither_written_nor_read() {
        let mut report = scai::AttributeReport::example();
        report.attributes.clear();
        let faults = vec![Fault::new("attributes", Problem::Empty)];
        let expected = PredicateError::Unsound {
            kind: scai::AttributeReport::TYPE,
            faults,
        };
        assert_eq!(write(subject(), &report).unwrap_err(), expected);
        let statement = Statement::new(subject(), scai::AttributeReport::TYPE, &report).unwrap();
        assert_eq!(read::<scai::AttributeReport>(&statement), Err(expected));
    }

    #[test]
    fn the_digest_of_a_predicate_does_not_depend_on_its_spelling() {
        let plan = evaluation_plan::EvaluationPlan::example();
        let pretty = json::to_pretty(&plan).unwrap();
        let again: serde_json::Value = json::from_slice(&pretty, &Limits::SMALL).unwrap();
        assert_eq!(digest(&again).unwrap(), digest(&plan).unwrap());
        let statement = write(subject(), &plan).unwrap();
        assert_eq!(
            digest_of_statement(&statement).unwrap(),
            digest(&plan).unwrap()
        );
    }

    #[test]
    fn own_types_share_the_prefix() {
        for kind in known().iter().filter(|kind| kind.origin == Origin::Custos) {
            assert_eq!(kind.uri, format!("{PREFIX}{}:v1", kind.name));
        }
    }
}
