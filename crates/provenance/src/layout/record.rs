//! Records of the past that a layout is held against: facts from verified statements, and from
//! nothing else.
//!
//! The fields are private and the only constructors take a [`Verified`] statement, so that no
//! caller can hold a layout against claims.

use std::collections::BTreeSet;

use custos_core::digest::{Digest, DigestSet};
use custos_core::predicate::dataset::Dataset;
use custos_core::predicate::evaluation::Evaluation;
use custos_core::predicate::evaluation_plan::EvaluationPlan;
use custos_core::predicate::provenance::Provenance;
use custos_core::predicate::step::{Isolation, StepView, StepViewError};
use custos_core::predicate::{self, PredicateError};
use custos_core::statement::{ResourceDescriptor, Statement};
use custos_trust::Verified;

/// What all records have: who signed, where it stands in the log, and which bundle it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Source {
    pub(super) signers: BTreeSet<String>,
    pub(super) log_index: Option<u64>,
    pub(super) bundle: Digest,
}

impl Source {
    fn of<T>(verified: &Verified<T>, log_origin: &str) -> Self {
        Self {
            signers: verified
                .signers()
                .map(|signatory| signatory.name.clone())
                .collect(),
            log_index: verified.index_in(log_origin),
            bundle: verified.bundle_digest(),
        }
    }

    pub(super) fn is_signed_by(&self, allowed: &[String]) -> bool {
        allowed.iter().any(|name| self.signers.contains(name))
    }

    pub(super) fn names(&self) -> String {
        self.signers
            .iter()
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join(", ")
    }
}

/// A step that was recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepRecord {
    pub(super) source: Source,
    pub(super) step: String,
    pub(super) command: Vec<String>,
    pub(super) inputs: Vec<(String, DigestSet)>,
    pub(super) products: Vec<(String, DigestSet)>,
    pub(super) isolation: Isolation,
}

impl StepRecord {
    /// Returns the record that a verified provenance of a step makes; indexes are those in the
    /// log of `log_origin`.
    pub fn of(verified: &Verified<Statement>, log_origin: &str) -> Result<Self, RecordError> {
        let statement = verified.statement();
        let provenance: Provenance = predicate::read(statement)?;
        let view = StepView::of(&provenance)?;
        let products = named(statement.subject());
        let declared: BTreeSet<&str> = view
            .external
            .products
            .iter()
            .map(|product| product.name.as_str())
            .collect();
        let made: BTreeSet<&str> = products.iter().map(|(name, _)| name.as_str()).collect();
        if declared != made || made.len() != statement.subject().len() {
            return Err(RecordError::ProductsNotDeclared);
        }
        Ok(Self {
            source: Source::of(verified, log_origin),
            step: view.external.step,
            command: view.external.command,
            inputs: named(&view.inputs),
            products,
            isolation: view.internal.isolation,
        })
    }

    /// Returns the step's name.
    pub fn step(&self) -> &str {
        &self.step
    }

    /// Returns the names of those who signed.
    pub fn signers(&self) -> impl Iterator<Item = &str> {
        self.source.signers.iter().map(String::as_str)
    }

    /// Returns the position in the log.
    pub const fn log_index(&self) -> Option<u64> {
        self.source.log_index
    }

    /// Returns the digest of the bundle.
    pub const fn bundle(&self) -> Digest {
        self.source.bundle
    }

    /// Returns the inputs by name.
    pub fn inputs(&self) -> &[(String, DigestSet)] {
        &self.inputs
    }

    /// Returns the products by name.
    pub fn products(&self) -> &[(String, DigestSet)] {
        &self.products
    }

    /// Returns the command.
    pub fn command(&self) -> &[String] {
        &self.command
    }

    /// Returns how far the step was closed off.
    pub const fn isolation(&self) -> Isolation {
        self.isolation
    }

    pub(super) fn input(&self, name: &str) -> Option<&DigestSet> {
        self.inputs
            .iter()
            .find(|(own, _)| own == name)
            .map(|(_, digest)| digest)
    }

    pub(super) fn product(&self, name: &str) -> Option<&DigestSet> {
        self.products
            .iter()
            .find(|(own, _)| own == name)
            .map(|(_, digest)| digest)
    }
}

/// A dataset that was vouched for.
#[derive(Debug, Clone, PartialEq)]
pub struct DatasetRecord {
    pub(super) source: Source,
    pub(super) dataset: Dataset,
    pub(super) digests: Vec<DigestSet>,
}

impl DatasetRecord {
    /// Returns the record that a verified dataset statement makes.
    pub fn of(verified: &Verified<Statement>, log_origin: &str) -> Result<Self, RecordError> {
        Ok(Self {
            source: Source::of(verified, log_origin),
            dataset: predicate::read(verified.statement())?,
            digests: digests(verified.statement()),
        })
    }

    /// Returns what was said of the dataset.
    pub const fn dataset(&self) -> &Dataset {
        &self.dataset
    }
}

/// An evaluation plan that was logged.
#[derive(Debug, Clone, PartialEq)]
pub struct PlanRecord {
    pub(super) source: Source,
    pub(super) plan: EvaluationPlan,
    pub(super) digest: Digest,
}

impl PlanRecord {
    /// Returns the record that a verified plan makes.
    pub fn of(verified: &Verified<Statement>, log_origin: &str) -> Result<Self, RecordError> {
        let digest = predicate::digest_of_statement(verified.statement())
            .map_err(|error| RecordError::Predicate(PredicateError::Json(error)))?;
        Ok(Self {
            source: Source::of(verified, log_origin),
            plan: predicate::read(verified.statement())?,
            digest,
        })
    }
}

/// An evaluation that was logged.
#[derive(Debug, Clone, PartialEq)]
pub struct EvaluationRecord {
    pub(super) source: Source,
    pub(super) evaluation: Evaluation,
    pub(super) digests: Vec<DigestSet>,
}

impl EvaluationRecord {
    /// Returns the record that a verified evaluation makes.
    pub fn of(verified: &Verified<Statement>, log_origin: &str) -> Result<Self, RecordError> {
        Ok(Self {
            source: Source::of(verified, log_origin),
            evaluation: predicate::read(verified.statement())?,
            digests: digests(verified.statement()),
        })
    }
}

/// Why a verified statement makes no record.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// The predicate is of another type, or not sound.
    #[error(transparent)]
    Predicate(#[from] PredicateError),
    /// The subjects are not the declared products, one for each.
    #[error("the subjects of the statement are not the products that the step declared")]
    ProductsNotDeclared,
    /// The provenance is not that of a step.
    #[error(transparent)]
    Step(#[from] StepViewError),
}

fn named(descriptors: &[ResourceDescriptor]) -> Vec<(String, DigestSet)> {
    descriptors
        .iter()
        .map(|descriptor| {
            (
                descriptor.name.clone().unwrap_or_default(),
                descriptor.digest.clone(),
            )
        })
        .collect()
}

fn digests(statement: &Statement) -> Vec<DigestSet> {
    statement
        .subject()
        .iter()
        .map(|subject| subject.digest.clone())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::HashOptions;
    use crate::measure::Machine;
    use crate::run::{Declared, Environment, Interrupt, Output, Runner, Step};
    use custos_core::clock::{FixedClock, Timestamp};
    use custos_core::crypto::{KeyKind, KeyPair};
    use custos_core::identity::ExpectedSigner;
    use custos_core::predicate::Predicate;
    use custos_core::predicate::resource_usage::ResourceUsage;
    use custos_trust::signer::{KeySigner, Signer as _};
    use custos_trust::verify::{LogRequirement, Material, PredicateTypes, VerifyRequest};
    use custos_trust::{TrustRoot, seal, verify};

    const NOW: Timestamp = Timestamp::from_seconds(1_795_000_000);

    fn statements() -> [Statement; 2] {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("data"), "1,2\n").unwrap();
        let command = ["cp", "data", "model"].map(Into::into).to_vec();
        let mut step = Step::new("train", folder.path(), command);
        step.environment = Environment::empty().with("PATH", "/usr/bin:/bin");
        step.output = Output::Null;
        step.inputs.push(Declared::new("data", "data"));
        step.products.push(Declared::new("model", "model"));
        let runner = Runner {
            hashing: HashOptions::default(),
            progress: &(),
            clock: &FixedClock::new(NOW),
            machine: Machine::default(),
            version: "0.1.0",
        };
        let executed = runner
            .prepare(step)
            .unwrap()
            .execute(&Interrupt::new())
            .unwrap();
        executed.finish().unwrap().statements().unwrap()
    }

    fn verified(statement: &Statement, kind: &str) -> Verified<Statement> {
        let signer = KeySigner::new(KeyPair::generate(KeyKind::P256).unwrap());
        let bundle = seal::sign_statement(statement, &signer, None)
            .unwrap()
            .to_bytes()
            .unwrap();
        verify(&VerifyRequest {
            artifact: &statement.subject()[0].digest,
            material: Material::Bundle(&bundle),
            trust_root: &TrustRoot::trusting_nothing(),
            signers: &[ExpectedSigner::key("trainer", signer.public_key().clone())],
            log: LogRequirement::AbsenceAllowed,
            expect: PredicateTypes::new(&[kind]),
            now: NOW,
        })
        .unwrap()
    }

    #[test]
    fn what_the_runner_makes_is_a_record_once_it_is_verified() {
        let [provenance, usage] = statements();
        let verified_provenance = verified(&provenance, Provenance::TYPE);
        let record = StepRecord::of(&verified_provenance, "log.example").unwrap();
        assert_eq!(record.step(), "train");
        assert_eq!(record.signers().collect::<Vec<_>>(), ["trainer"]);
        assert_eq!(record.log_index(), None);
        assert_eq!(record.bundle(), verified_provenance.bundle_digest());
        assert_eq!(record.command(), ["cp", "data", "model"]);
        assert_eq!(record.isolation(), Isolation::None);
        assert_eq!(record.inputs()[0].0, "data");
        assert_eq!(record.products()[0].0, "model");
        // A copy: input and product are the same bytes.
        assert!(record.inputs()[0].1.agrees_with(&record.products()[0].1));

        let other = verified(&usage, ResourceUsage::TYPE);
        assert!(matches!(
            StepRecord::of(&other, "log.example"),
            Err(RecordError::Predicate(PredicateError::OtherType { .. }))
        ));
    }

    #[test]
    fn subjects_are_exactly_the_declared_products() {
        let [statement, _] = statements();
        let provenance: Provenance = predicate::read(&statement).unwrap();
        let mut subjects = statement.subject().to_vec();
        subjects.push(ResourceDescriptor::new("extra", subjects[0].digest.clone()));
        let more = predicate::write(subjects.clone(), &provenance).unwrap();
        subjects[1].name = Some("model".to_owned());
        let twice = predicate::write(subjects, &provenance).unwrap();
        for statement in [more, twice] {
            let verified = verified(&statement, Provenance::TYPE);
            assert_eq!(
                StepRecord::of(&verified, "log.example"),
                Err(RecordError::ProductsNotDeclared)
            );
        }
    }
}
