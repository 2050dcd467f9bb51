//! SLSA provenance v1: how artifacts were produced.
//!
//! Spec: <https://slsa.dev/spec/v1.2/build-provenance>. The subjects are the products; what was
//! read stands in `resolvedDependencies`. What Custos' own step runner puts into the parameters
//! is in [`step`](super::step).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

use super::Predicate;
use super::check::{Check, Fault, Problem};
use crate::clock::Timestamp;
use crate::statement::ResourceDescriptor;

/// SLSA provenance v1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Provenance {
    /// What was asked for and what went in.
    pub build_definition: BuildDefinition,
    /// This one run.
    pub run_details: RunDetails,
}

/// What was asked for and what went in.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BuildDefinition {
    /// URI that says how to read the parameters.
    pub build_type: String,
    /// Parameters under the control of whoever asked for the run: to be checked by a verifier.
    pub external_parameters: Map<String, Value>,
    /// Parameters set by the builder.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub internal_parameters: Map<String, Value>,
    /// What went in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resolved_dependencies: Vec<ResourceDescriptor>,
}

/// One run.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunDetails {
    /// Who ran it.
    pub builder: Builder,
    /// When, and under which identifier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<BuildMetadata>,
    /// What else came out and is not a subject.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub byproducts: Vec<ResourceDescriptor>,
}

/// The builder: whatever has to be trusted for the provenance to be true.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Builder {
    /// URI of the builder.
    pub id: String,
    /// Components of the builder and their versions.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub version: BTreeMap<String, String>,
    /// What the builder itself is made of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub builder_dependencies: Vec<ResourceDescriptor>,
}

/// When, and under which identifier.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BuildMetadata {
    /// Identifies the run; Custos derives it from digests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invocation_id: Option<String>,
    /// Start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_on: Option<Timestamp>,
    /// End.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_on: Option<Timestamp>,
}

impl Predicate for Provenance {
    const TYPE: &'static str = "https://slsa.dev/provenance/v1";

    fn faults(&self) -> Vec<Fault> {
        let mut check = Check::new();
        check.text(
            "buildDefinition.buildType",
            &self.build_definition.build_type,
        );
        check.text("runDetails.builder.id", &self.run_details.builder.id);
        for (index, dependency) in self
            .build_definition
            .resolved_dependencies
            .iter()
            .enumerate()
        {
            let path = format!("buildDefinition.resolvedDependencies[{index}]");
            check.fail_if(!says_something(dependency), path, Problem::Empty);
        }
        if let Some(metadata) = &self.run_details.metadata
            && let (Some(start), Some(end)) = (metadata.started_on, metadata.finished_on)
        {
            check.fail_if(
                end < start,
                "runDetails.metadata.finishedOn",
                Problem::Reversed,
            );
        }
        check.done()
    }
}

// SLSA allows dependencies without a digest (a package by URI, a fact by annotation).
fn says_something(dependency: &ResourceDescriptor) -> bool {
    *dependency != ResourceDescriptor::default()
}

#[cfg(test)]
impl Provenance {
    pub(crate) fn example() -> Self {
        use crate::digest::Algorithm;
        let part = |name: &str| ResourceDescriptor::new(name, Algorithm::Sha256.digest(b"x"));
        let object = |name: &str| Map::from_iter([(name.to_owned(), Value::from("x"))]);
        Self {
            build_definition: BuildDefinition {
                build_type: "urn:custos:buildtype:step:v1".into(),
                external_parameters: object("step"),
                internal_parameters: object("isolation"),
                resolved_dependencies: vec![part("data")],
            },
            run_details: RunDetails {
                builder: Builder {
                    id: "urn:custos:builder:cli:v1".into(),
                    version: BTreeMap::from([("custos".into(), "0.1.0".into())]),
                    builder_dependencies: vec![part("custos")],
                },
                metadata: Some(BuildMetadata {
                    invocation_id: Some("urn:custos:run:00".into()),
                    started_on: Some(Timestamp::from_seconds(1)),
                    finished_on: Some(Timestamp::from_seconds(2)),
                }),
                byproducts: vec![part("log")],
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_provenance_of_another_builder_and_ignores_what_it_does_not_know() {
        let text = br#"{"buildDefinition":{"buildType":"https://actions.github.io/buildtypes/workflow/v1",
            "externalParameters":{"workflow":{"ref":"refs/heads/main"}},"internalParameters":{"github":{}},
            "resolvedDependencies":[{"uri":"git+https://github.com/a/b@refs/heads/main",
            "digest":{"gitCommit":"1b71ed3e74ec0b10a3c2f0f7e6a4c2bd6b3c2f00"}}],
            "https://example.com/extension":1},
            "runDetails":{"builder":{"id":"https://github.com/actions/runner"},
            "metadata":{"invocationId":"https://github.com/a/b/actions/runs/1/attempts/1"}}}"#;
        let provenance: Provenance = super::super::parse(text).unwrap();
        let dependency = &provenance.build_definition.resolved_dependencies[0];
        assert!(
            dependency
                .digest
                .get_raw("gitCommit")
                .unwrap()
                .starts_with("1b71")
        );
    }

    #[test]
    fn an_end_before_the_start_is_a_fault() {
        let mut provenance = Provenance::example();
        let metadata = provenance.run_details.metadata.as_mut().unwrap();
        metadata.finished_on = Some(Timestamp::from_seconds(0));
        provenance.run_details.builder.id.clear();
        assert_eq!(
            provenance.faults(),
            [
                Fault::new("runDetails.builder.id", Problem::Empty),
                Fault::new("runDetails.metadata.finishedOn", Problem::Reversed)
            ]
        );
    }
}
