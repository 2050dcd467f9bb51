//! `urn:custos:attestation:decision:v1`: what a policy answered about an artifact, and why.
//!
//! The subject is the artifact. Fields: `docs/predicates/decision.md`. It binds the digests of
//! everything that the policy saw, so that the decision can be evaluated again; a
//! [summary](super::vsa) for other tools stands beside it.

use serde::{Deserialize, Serialize};

use super::Predicate;
use super::check::{Check, Fault, Problem};
use crate::clock::Timestamp;
use crate::digest::DigestSet;

/// A decision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    /// The answer.
    pub verdict: Verdict,
    /// Why; at least one, for each verdict: an answer without a reason decides nothing.
    pub reasons: Vec<Reason>,
    /// The policy.
    pub policy: PolicyReference,
    /// Digest of the facts about the artifact.
    pub facts: DigestSet,
    /// Digest of the complete input.
    pub input: DigestSet,
    /// The moment that the policy was given as now.
    pub now: Timestamp,
}

/// The answer of a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The artifact may be used.
    Allow,
    /// It may not.
    Deny,
    /// It could not be decided; a gate treats that as no.
    Undecided,
}

/// One reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reason {
    /// The rule that spoke, such as `chain/step_signer`.
    pub rule: String,
    /// Stable code for machines.
    pub code: String,
    /// One sentence for people.
    pub message: String,
    /// What it rests on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<EvidenceReference>,
}

/// A reference to a statement, or to whatever else a reason rests on.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EvidenceReference {
    /// What it is, for people: a predicate type, a file name.
    pub name: String,
    /// Digest of its bytes.
    #[serde(default, skip_serializing_if = "DigestSet::is_empty")]
    pub digest: DigestSet,
    /// Index in the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_index: Option<u64>,
}

/// A policy, by name and digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyReference {
    /// Name of the bundle.
    pub name: String,
    /// Digest of the bundle.
    pub digest: DigestSet,
}

impl Predicate for Decision {
    const TYPE: &'static str = own_type!("decision:v1");

    fn faults(&self) -> Vec<Fault> {
        let mut check = Check::new();
        check.fail_if(self.reasons.is_empty(), "reasons", Problem::Empty);
        for (index, reason) in self.reasons.iter().enumerate() {
            let path = format!("reasons[{index}]");
            check.text(format!("{path}.rule"), &reason.rule);
            check.text(format!("{path}.code"), &reason.code);
            check.text(format!("{path}.message"), &reason.message);
            for (index, evidence) in reason.evidence.iter().enumerate() {
                let path = format!("{path}.evidence[{index}]");
                check.text(format!("{path}.name"), &evidence.name);
                let nothing = evidence.digest.is_empty() && evidence.log_index.is_none();
                check.fail_if(nothing, path, Problem::Empty);
            }
        }
        check.text("policy.name", &self.policy.name);
        check.digests("policy.digest", &self.policy.digest);
        check.digests("facts", &self.facts);
        check.digests("input", &self.input);
        check.done()
    }
}

#[cfg(test)]
impl Decision {
    pub(crate) fn example() -> Self {
        use crate::digest::Algorithm;
        let digest = |name: &str| DigestSet::from(Algorithm::Sha256.digest(name.as_bytes()));
        Self {
            verdict: Verdict::Deny,
            reasons: vec![Reason {
                rule: "chain/step_signer".into(),
                code: "signer-not-expected".into(),
                message: "step `train` is signed by `mallory`".into(),
                evidence: vec![EvidenceReference {
                    name: "https://slsa.dev/provenance/v1".into(),
                    digest: digest("bundle"),
                    log_index: Some(3),
                }],
            }],
            policy: PolicyReference {
                name: "starter".into(),
                digest: digest("policy"),
            },
            facts: digest("facts"),
            input: digest("input"),
            now: Timestamp::from_seconds(1_795_000_000),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decision_without_reasons_or_digests_is_unsound() {
        let mut decision = Decision::example();
        assert_eq!(decision.faults(), []);
        decision.facts = DigestSet::new();
        decision.input.insert_raw("sha256", "xyz");
        decision.reasons[0].evidence[0].digest = DigestSet::new();
        decision.reasons[0].evidence[0].log_index = None;
        assert_eq!(
            decision.faults(),
            [
                Fault::new("reasons[0].evidence[0]", Problem::Empty),
                Fault::new("facts", Problem::Empty),
                Fault::new("input.sha256", Problem::NotADigest),
            ]
        );
        decision.reasons.clear();
        assert_eq!(decision.faults()[0], Fault::new("reasons", Problem::Empty));
    }

    #[test]
    fn an_unknown_verdict_does_not_parse() {
        let json = serde_json::to_string(&Decision::example()).unwrap();
        let other = json.replace(r#""deny""#, r#""maybe""#);
        assert!(super::super::parse::<Decision>(json.as_bytes()).is_ok());
        assert!(super::super::parse::<Decision>(other.as_bytes()).is_err());
    }
}
