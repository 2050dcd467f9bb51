//! SLSA verification summary v1 (VSA): what a verifier concluded about an artifact.
//!
//! Spec: <https://slsa.dev/spec/v1.2/verification_summary>. Custos writes one beside each
//! [`decision`](super::decision), for tools that know nothing of Custos. There is no SLSA Build
//! level 4: hermetic runs are a property of their own, never a level.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Predicate;
use super::check::{Check, Fault, Problem};
use crate::clock::Timestamp;
use crate::statement::ResourceDescriptor;

/// A verification summary.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VerificationSummary {
    /// Who verified.
    pub verifier: Verifier,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_verified: Option<Timestamp>,
    /// Where the artifact is expected to be fetched from.
    pub resource_uri: String,
    /// The policy, by URI and digest.
    pub policy: ResourceDescriptor,
    /// All attestations that were used, each by digest; empty if not told.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub input_attestations: Vec<ResourceDescriptor>,
    /// The result.
    pub verification_result: VerificationResult,
    /// At most one level a track, and properties; `FAILED` if the policy failed.
    pub verified_levels: Vec<String>,
    /// Number of dependencies at each level; absent if nothing is claimed about them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dependency_levels: Option<BTreeMap<String, u64>>,
    /// Version of the SLSA specification, such as `1.2`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slsa_version: Option<String>,
}

/// Who verified.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Verifier {
    /// URI of the verifier.
    pub id: String,
    /// Components of the verifier and their versions.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub version: BTreeMap<String, String>,
}

/// The result of a verification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum VerificationResult {
    /// The policy was met.
    Passed,
    /// It was not, or that could not be shown.
    Failed,
}

/// The level that stands for a failed verification.
pub const FAILED_LEVEL: &str = "FAILED";

impl Predicate for VerificationSummary {
    const TYPE: &'static str = "https://slsa.dev/verification_summary/v1";

    fn faults(&self) -> Vec<Fault> {
        let mut check = Check::new();
        check.text("verifier.id", &self.verifier.id);
        check.text("resourceUri", &self.resource_uri);
        check.text("policy.uri", self.policy.uri.as_deref().unwrap_or_default());
        for (index, input) in self.input_attestations.iter().enumerate() {
            check.descriptor(&format!("inputAttestations[{index}]"), input);
        }
        let failed = self.verification_result == VerificationResult::Failed;
        let says_failed = self
            .verified_levels
            .iter()
            .any(|level| level == FAILED_LEVEL);
        check.fail_if(
            self.verified_levels.is_empty(),
            "verifiedLevels",
            Problem::Empty,
        );
        // A verifier that reads only one of the two fields must not be misled.
        check.fail_if(
            failed != says_failed,
            "verifiedLevels",
            Problem::Contradiction,
        );
        check.done()
    }
}

#[cfg(test)]
impl VerificationSummary {
    pub(crate) fn example() -> Self {
        use crate::digest::Algorithm;
        let part = |name: &str| {
            ResourceDescriptor::new(name, Algorithm::Sha256.digest(b"x")).with_uri("urn:x")
        };
        Self {
            verifier: Verifier {
                id: "urn:custos:verifier:v1".into(),
                version: BTreeMap::from([("custos".into(), "0.1.0".into())]),
            },
            time_verified: Some(Timestamp::from_seconds(1)),
            resource_uri: "file:model".into(),
            policy: part("policy"),
            input_attestations: vec![part("train")],
            verification_result: VerificationResult::Passed,
            verified_levels: vec!["SLSA_BUILD_LEVEL_1".into()],
            dependency_levels: Some(BTreeMap::from([("SLSA_BUILD_LEVEL_1".into(), 3)])),
            slsa_version: Some("1.2".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn result_and_levels_must_agree() {
        let passed = VerificationSummary::example();
        assert_eq!(passed.faults(), []);
        let mut failed = passed.clone();
        failed.verification_result = VerificationResult::Failed;
        assert_eq!(
            failed.faults(),
            [Fault::new("verifiedLevels", Problem::Contradiction)]
        );
        failed.verified_levels = vec![FAILED_LEVEL.into()];
        assert_eq!(failed.faults(), []);
    }
}
