//! Black-box tests of the policy room.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod corpus;
mod decide;
mod divergence;
mod lint;
mod peer;
mod random;
mod starter;

use custos_core::clock::Timestamp;
use custos_policy::{Evaluation, PolicyError, PolicyFile, PolicyLimits, PolicySet};

/// 2026-11-20T14:02:00Z.
const NOW: Timestamp = Timestamp::from_seconds(1_795_183_320);

fn evaluation() -> Evaluation {
    // Far more than any test needs: slow machines must not decide tests.
    Evaluation::at(NOW).within(std::time::Duration::from_mins(1))
}

fn load(text: &str) -> Result<PolicySet, Vec<PolicyError>> {
    PolicySet::load(
        vec![PolicyFile::new("test.rego", text)],
        &PolicyLimits::default(),
    )
}

fn codes(findings: &[PolicyError]) -> Vec<&'static str> {
    findings.iter().map(PolicyError::code).collect()
}

/// Returns the codes that stop `text` from loading.
fn rejected(text: &str) -> Vec<&'static str> {
    match load(text) {
        Ok(_) => panic!("it loads: {text}"),
        Err(findings) => codes(&findings),
    }
}
