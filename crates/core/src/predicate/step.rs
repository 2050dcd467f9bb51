//! The build type `urn:custos:buildtype:step:v1`: how Custos' step runner fills SLSA provenance.
//!
//! Fields: `docs/predicates/step-buildtype.md`. Products are the statement's subjects; inputs and
//! everything else that was read are resolved dependencies, told apart by their role. This is a
//! view of a claim: that somebody expected signed it, `trust` has to say.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::provenance::Provenance;
use crate::statement::ResourceDescriptor;

/// The build type.
pub const BUILD_TYPE: &str = "urn:custos:buildtype:step:v1";

/// Builder id of the command line on a machine that its user controls (SLSA Build L1 at most).
pub const CLI_BUILDER: &str = "urn:custos:builder:cli:v1";

/// Annotation of a resolved dependency that holds its [`Role`].
pub const ROLE: &str = "role";
/// Annotation of a resolved dependency that holds its [`Status`].
pub const STATUS: &str = "status";
/// Annotation that says why something is unknown or only claimed.
pub const REASON: &str = "reason";

/// What a resolved dependency was for the step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Role {
    /// Driver of an accelerator.
    Accelerator,
    /// The container image around the step.
    Container,
    /// A declared input.
    Input,
    /// The interpreter that a script's first line names.
    Interpreter,
    /// The kernel.
    Kernel,
    /// A lock file in the working directory.
    LockFile,
    /// The operating system.
    Os,
    /// The list of packages installed for the interpreter.
    Packages,
    /// The program that the command names.
    Program,
    /// A file that the command names as an argument.
    Script,
    /// The revision of the working directory's repository.
    Source,
}

impl Role {
    /// Returns the name in the annotation.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Accelerator => "accelerator",
            Self::Container => "container",
            Self::Input => "input",
            Self::Interpreter => "interpreter",
            Self::Kernel => "kernel",
            Self::LockFile => "lock-file",
            Self::Os => "os",
            Self::Packages => "packages",
            Self::Program => "program",
            Self::Script => "script",
            Self::Source => "source",
        }
    }

    /// Returns the role that a descriptor's annotation names.
    pub fn of(descriptor: &ResourceDescriptor) -> Option<Self> {
        serde_json::from_value(descriptor.annotations.get(ROLE)?.clone()).ok()
    }
}

/// How much is known of a resolved dependency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Status {
    /// The environment says so; nobody checked.
    Claimed,
    /// Read and hashed by the runner.
    Observed,
    /// Not known; the reason stands beside it.
    Unknown,
}

impl Status {
    /// Returns the name in the annotation.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Claimed => "claimed",
            Self::Observed => "observed",
            Self::Unknown => "unknown",
        }
    }

    /// Returns the status that a descriptor's annotation names.
    pub fn of(descriptor: &ResourceDescriptor) -> Option<Self> {
        serde_json::from_value(descriptor.annotations.get(STATUS)?.clone()).ok()
    }
}

/// What was asked for: the `externalParameters`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct External {
    /// Name of the step.
    pub step: String,
    /// The command and its arguments.
    pub command: Vec<String>,
    /// Declared inputs.
    pub inputs: Vec<Declared>,
    /// Declared products.
    pub products: Vec<Declared>,
    /// Paths that the step may write to and that are no products.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scratch: Vec<String>,
}

/// A name and the path that was declared for it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Declared {
    /// Name, unique among the inputs or among the products.
    pub name: String,
    /// Path, as given.
    pub path: String,
}

/// What the runner set and saw: the `internalParameters`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Internal {
    /// How far the step was closed off.
    pub isolation: Isolation,
    /// Names of the environment variables that the command saw; never their values.
    pub environment: Vec<String>,
    /// Exit status of the command; 0, for a failed step makes no statement.
    pub exit_status: i32,
    /// What a reader should know, such as a product that was there before and did not change.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<Note>,
}

/// How far a step was closed off from what it did not declare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Isolation {
    /// Not at all: the command could read and write whatever its user can.
    None,
}

/// Something that a reader should know about a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    rename_all = "kebab-case",
    rename_all_fields = "camelCase",
    tag = "note"
)]
#[non_exhaustive]
pub enum Note {
    /// The look-out for undeclared files stopped at its limit.
    ListingTruncated {
        /// Files looked at.
        limit: u64,
    },
    /// Files changed that other steps, running at the same time, had declared as theirs.
    OthersWrote {
        /// How many.
        files: u64,
    },
    /// Processes that the command left running were ended.
    ProcessesEnded,
    /// The product was there before the run and has the same digest after it.
    ProductUnchanged {
        /// Name of the product.
        name: String,
    },
}

/// A step as its provenance tells it.
#[derive(Debug, Clone, PartialEq)]
pub struct StepView {
    /// What was asked for.
    pub external: External,
    /// What the runner set and saw.
    pub internal: Internal,
    /// Declared inputs with their digests.
    pub inputs: Vec<ResourceDescriptor>,
    /// Everything else that was read.
    pub others: Vec<ResourceDescriptor>,
}

impl StepView {
    /// Reads the step out of a provenance of [`BUILD_TYPE`].
    ///
    /// Each declared input must have exactly one dependency of its name and with a digest, so that
    /// nobody declares an input and leaves open what it was.
    pub fn of(provenance: &Provenance) -> Result<Self, StepViewError> {
        let definition = &provenance.build_definition;
        if definition.build_type != BUILD_TYPE {
            return Err(StepViewError::OtherBuildType {
                found: definition.build_type.clone(),
            });
        }
        let external: External = object(&definition.external_parameters)?;
        let internal: Internal = object(&definition.internal_parameters)?;
        let (inputs, others): (Vec<_>, Vec<_>) = definition
            .resolved_dependencies
            .iter()
            .cloned()
            .partition(|dependency| Role::of(dependency) == Some(Role::Input));
        for declared in &external.inputs {
            let mut matching = inputs
                .iter()
                .filter(|input| input.name.as_deref() == Some(&declared.name));
            let resolved = matching
                .next()
                .is_some_and(|input| !input.digest.is_empty());
            if !resolved || matching.next().is_some() {
                return Err(StepViewError::InputNotResolved {
                    name: declared.name.clone(),
                });
            }
        }
        if inputs.len() != external.inputs.len() {
            return Err(StepViewError::InputNotDeclared);
        }
        Ok(Self {
            external,
            internal,
            inputs,
            others,
        })
    }
}

/// Why a provenance is not that of a step.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StepViewError {
    /// A dependency has the role of an input that was not declared.
    #[error("the provenance has an input that the step did not declare")]
    InputNotDeclared,
    /// A declared input has no digest, or two.
    #[error("the provenance does not say what the input `{name}` was")]
    InputNotResolved {
        /// Name of the input.
        name: String,
    },
    /// Another build type.
    #[error("the provenance has the build type `{found}`, which is not a Custos step")]
    OtherBuildType {
        /// The build type found.
        found: String,
    },
    /// The parameters do not have the build type's shape.
    #[error("the parameters of the step are not accepted: {0}")]
    Parameters(String),
}

/// Writes parameters as the JSON object that provenance wants.
pub fn parameters<T: Serialize>(value: &T) -> Map<String, Value> {
    match serde_json::to_value(value) {
        Ok(Value::Object(map)) => map,
        // Both parameter types are structs of texts and integers, which always make an object.
        _ => Map::new(),
    }
}

fn object<T: DeserializeOwned>(map: &Map<String, Value>) -> Result<T, StepViewError> {
    serde_json::from_value(Value::Object(map.clone()))
        .map_err(|error| StepViewError::Parameters(error.to_string()))
}

#[cfg(test)]
pub(crate) fn example() -> (External, Internal) {
    let declared = |name: &str, path: &str| Declared {
        name: name.into(),
        path: path.into(),
    };
    let external = External {
        step: "train".into(),
        command: vec!["python".into(), "train.py".into()],
        inputs: vec![declared("data", "data/")],
        products: vec![declared("model", "out/model.safetensors")],
        scratch: vec!["tmp".into()],
    };
    let internal = Internal {
        isolation: Isolation::None,
        environment: vec!["PATH".into()],
        exit_status: 0,
        notes: vec![
            Note::ProductUnchanged {
                name: "model".into(),
            },
            Note::ListingTruncated { limit: 10 },
            Note::OthersWrote { files: 2 },
            Note::ProcessesEnded,
        ],
    };
    (external, internal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Algorithm;

    fn provenance() -> Provenance {
        let (external, internal) = example();
        let mut provenance = Provenance::example();
        provenance.build_definition.external_parameters = parameters(&external);
        provenance.build_definition.internal_parameters = parameters(&internal);
        provenance.build_definition.resolved_dependencies = vec![
            ResourceDescriptor::new("data", Algorithm::Sha256.digest(b"d"))
                .with_annotation(ROLE, Role::Input.name()),
            ResourceDescriptor::new("python", Algorithm::Sha256.digest(b"p"))
                .with_annotation(ROLE, Role::Program.name())
                .with_annotation(STATUS, Status::Observed.name()),
        ];
        provenance
    }

    #[test]
    fn parameters_round_trip_and_roles_tell_dependencies_apart() {
        let view = StepView::of(&provenance()).unwrap();
        assert_eq!((view.external, view.internal), example());
        assert_eq!(view.inputs.len(), 1);
        assert_eq!(Role::of(&view.others[0]), Some(Role::Program));
        assert_eq!(Status::of(&view.others[0]), Some(Status::Observed));
        assert_eq!(Status::of(&view.inputs[0]), None);
    }

    #[test]
    fn an_input_without_a_digest_or_declared_twice_is_rejected() {
        let mut open = provenance();
        open.build_definition.resolved_dependencies[0].digest = crate::digest::DigestSet::new();
        let error = StepViewError::InputNotResolved {
            name: "data".into(),
        };
        assert_eq!(StepView::of(&open), Err(error.clone()));

        let mut twice = provenance();
        let again = twice.build_definition.resolved_dependencies[0].clone();
        twice.build_definition.resolved_dependencies.push(again);
        assert_eq!(StepView::of(&twice), Err(error));

        let mut hidden = provenance();
        let extra = ResourceDescriptor::new("extra", Algorithm::Sha256.digest(b"e"))
            .with_annotation(ROLE, Role::Input.name());
        hidden.build_definition.resolved_dependencies.push(extra);
        assert_eq!(StepView::of(&hidden), Err(StepViewError::InputNotDeclared));
    }

    #[test]
    fn another_build_type_is_not_a_step() {
        let mut other = provenance();
        other.build_definition.build_type = "https://example.com/b".into();
        assert!(matches!(
            StepView::of(&other),
            Err(StepViewError::OtherBuildType { .. })
        ));
        let mut empty = provenance();
        empty.build_definition.external_parameters.clear();
        assert!(matches!(
            StepView::of(&empty),
            Err(StepViewError::Parameters(_))
        ));
    }

    #[test]
    fn names_in_annotations_are_the_serialised_ones() {
        for role in [
            Role::Accelerator,
            Role::Container,
            Role::Input,
            Role::Interpreter,
            Role::Kernel,
            Role::LockFile,
            Role::Os,
            Role::Packages,
            Role::Program,
            Role::Script,
            Role::Source,
        ] {
            assert_eq!(serde_json::to_value(role).unwrap(), role.name());
        }
        for status in [Status::Claimed, Status::Observed, Status::Unknown] {
            assert_eq!(serde_json::to_value(status).unwrap(), status.name());
        }
    }
}
