//! `urn:custos:attestation:deployment:v1`: an artifact runs somewhere, or no longer does.
//!
//! The subject is the artifact. Fields: `docs/predicates/deployment.md`. Whoever deploys says so;
//! `custos keys impact` and a trace then tell where something that must go is at work.

use serde::{Deserialize, Serialize};

use super::Predicate;
use super::check::{Check, Fault};
use crate::clock::Timestamp;

/// A deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Deployment {
    /// Whether it runs from then on.
    pub state: DeploymentState,
    /// Where, as people call it: `production`, `staging`.
    pub environment: String,
    /// What runs it, such as `cluster-a/serving/ranker`.
    pub workload: String,
    /// When.
    pub at: Timestamp,
    /// The change that brought it there, such as a Git commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
}

/// Whether something runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeploymentState {
    /// It runs.
    Running,
    /// It was taken away.
    Stopped,
}

impl Predicate for Deployment {
    const TYPE: &'static str = own_type!("deployment:v1");

    fn faults(&self) -> Vec<Fault> {
        let mut check = Check::new();
        check.text("environment", &self.environment);
        check.text("workload", &self.workload);
        if let Some(revision) = &self.revision {
            check.text("revision", revision);
        }
        check.done()
    }
}

#[cfg(test)]
impl Deployment {
    pub(crate) fn example() -> Self {
        Self {
            state: DeploymentState::Running,
            environment: "production".into(),
            workload: "cluster-a/serving/ranker".into(),
            at: Timestamp::from_seconds(1_795_000_000),
            revision: Some("9f2c1e7".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::predicate::Problem;

    #[test]
    fn a_deployment_names_where() {
        let mut deployment = Deployment::example();
        assert_eq!(deployment.faults(), []);
        deployment.workload = " ".into();
        deployment.revision = Some(String::new());
        assert_eq!(
            deployment.faults(),
            [
                Fault::new("workload", Problem::Empty),
                Fault::new("revision", Problem::Empty),
            ]
        );
    }
}
