//! `urn:custos:attestation:approval:v1`: somebody agrees to a proposed file, or does not.
//!
//! The subject is the proposal: the digest of the file as it will be. Fields:
//! `docs/predicates/approval.md`. One approval decides nothing; a threshold counts those of
//! different keys (`custos keys approve`).

use serde::{Deserialize, Serialize};

use super::Predicate;
use super::check::{Check, Fault};
use crate::clock::Timestamp;

/// An approval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Approval {
    /// The answer.
    pub answer: Answer,
    /// What is proposed.
    pub kind: ProposalKind,
    /// Its name, for people.
    pub proposal: String,
    /// When.
    pub at: Timestamp,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

/// The answer to a proposal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// Yes.
    Approved,
    /// No.
    Rejected,
}

/// What is proposed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProposalKind {
    /// A policy.
    Policy,
    /// Revocations and rotations of keys.
    Revocations,
    /// Who may change the trust root, and how many of them it takes.
    Root,
    /// Which files the trust root delivers.
    Targets,
}

impl Predicate for Approval {
    const TYPE: &'static str = own_type!("approval:v1");

    fn faults(&self) -> Vec<Fault> {
        let mut check = Check::new();
        check.text("proposal", &self.proposal);
        if let Some(comment) = &self.comment {
            check.text("comment", comment);
        }
        check.done()
    }
}

#[cfg(test)]
impl Approval {
    pub(crate) fn example() -> Self {
        Self {
            answer: Answer::Approved,
            kind: ProposalKind::Revocations,
            proposal: "revocations.json".into(),
            at: Timestamp::from_seconds(1_795_000_000),
            comment: Some("checked with the owner of the key".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::predicate::Problem;

    #[test]
    fn an_approval_names_what_it_is_about() {
        let mut approval = Approval::example();
        assert_eq!(approval.faults(), []);
        approval.proposal = String::new();
        assert_eq!(approval.faults(), [Fault::new("proposal", Problem::Empty)]);
        let json = serde_json::to_string(&Approval::example()).unwrap();
        let other = json.replace(r#""approved""#, r#""perhaps""#);
        assert!(super::super::parse::<Approval>(json.as_bytes()).is_ok());
        assert!(super::super::parse::<Approval>(other.as_bytes()).is_err());
    }
}
