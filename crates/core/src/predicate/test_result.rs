//! in-toto test result v0.1: the outcome of a run of tests.
//!
//! Spec: in-toto/attestation, `spec/predicates/test-result.md`.

use serde::{Deserialize, Serialize};

use super::Predicate;
use super::check::{Check, Fault, Problem};
use crate::statement::ResourceDescriptor;

/// A test result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TestResult {
    /// The outcome of the whole run.
    pub result: Outcome,
    /// The configuration that was used.
    pub configuration: Vec<ResourceDescriptor>,
    /// Where more about the run stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Names of tests that passed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub passed_tests: Vec<String>,
    /// Names of tests that passed with a warning.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warned_tests: Vec<String>,
    /// Names of tests that failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed_tests: Vec<String>,
}

/// The outcome of a run of tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Outcome {
    /// All is well.
    Passed,
    /// Passed, with warnings.
    Warned,
    /// Failed.
    Failed,
}

impl Predicate for TestResult {
    const TYPE: &'static str = "https://in-toto.io/attestation/test-result/v0.1";

    fn faults(&self) -> Vec<Fault> {
        let mut check = Check::new();
        for (index, part) in self.configuration.iter().enumerate() {
            check.reference(&format!("configuration[{index}]"), part);
        }
        let failed = self.result == Outcome::Failed;
        check.fail_if(
            !failed && !self.failed_tests.is_empty(),
            "failedTests",
            Problem::Contradiction,
        );
        check.done()
    }
}

#[cfg(test)]
impl TestResult {
    pub(crate) fn example() -> Self {
        use crate::digest::Algorithm;
        Self {
            result: Outcome::Failed,
            configuration: vec![ResourceDescriptor::new("c", Algorithm::Sha256.digest(b"c"))],
            url: Some("https://ci.example/1".into()),
            passed_tests: vec!["a".into()],
            warned_tests: vec!["b".into()],
            failed_tests: vec!["c".into()],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_passed_run_with_failed_tests_contradicts_itself() {
        let failed = TestResult::example();
        assert_eq!(failed.faults(), []);
        let passed = TestResult {
            result: Outcome::Passed,
            ..failed
        };
        assert_eq!(
            passed.faults(),
            [Fault::new("failedTests", Problem::Contradiction)]
        );
    }
}
