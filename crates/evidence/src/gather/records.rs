//! Statements as records of the lineage graph.

use custos_core::bundle::Bundle;
use custos_core::digest::{Algorithm, DigestSet};
use custos_core::dsse::Envelope;
use custos_core::facts::RejectedFact;
use custos_core::lineage::{
    DatasetName, NamedArtifact, NoteRecord, RecordHead, Role, Standing, StepRecord,
};
use custos_core::predicate::dataset::Dataset;
use custos_core::predicate::evaluation::Evaluation;
use custos_core::predicate::evaluation_plan::EvaluationPlan;
use custos_core::predicate::{self, Predicate, step};
use custos_core::statement::{ResourceDescriptor, Statement};
use custos_trust::Verified;
use custos_trust::verify::{Material, unverified_statement};

use crate::judge::signer_of;
use crate::parts::{step_materials, step_name};
use crate::store::Hit;

/// Returns the digests of the claimed subject that shares one with `sought`: what the bundle is to
/// be verified about. Whether that is the artifact itself is for the lineage graph to say, which
/// tells a renamed file from the same one.
pub(super) fn subject_for(bytes: &[u8], sought: &DigestSet) -> DigestSet {
    let shares = |subject: &ResourceDescriptor| {
        subject
            .digest
            .iter()
            .any(|(name, hex)| sought.get_raw(name) == Some(hex))
    };
    subject_where(bytes, shares)
}

/// Returns the digests of the claimed subject of this name.
pub(super) fn subject_named(bytes: &[u8], name: &str) -> DigestSet {
    subject_where(bytes, |subject| subject.name.as_deref() == Some(name))
}

fn subject_where(bytes: &[u8], wanted: impl Fn(&ResourceDescriptor) -> bool) -> DigestSet {
    let Ok(statement) = unverified_statement(Material::Bundle(bytes)) else {
        // It will not verify either, whatever it is asked about.
        return DigestSet::from(Algorithm::Sha256.digest(bytes));
    };
    let subjects = statement.subject();
    // A step that used the artifact is verified about whatever it made.
    let found = subjects
        .iter()
        .find(|subject| wanted(subject))
        .or_else(|| subjects.first());
    found
        .map(|subject| subject.digest.clone())
        .unwrap_or_default()
}

/// Returns the head of a verified statement; its index counts in the log `origin` only.
pub(super) fn head_of(verified: &Verified<Statement>, origin: &str) -> RecordHead {
    RecordHead {
        statement: verified.payload_digest(),
        log_index: verified.index_in(origin),
        standing: Standing::Verified {
            signer: signer_of(verified),
        },
    }
}

/// Returns a rejected statement with its head, if it can be read at all.
pub(super) fn unverified(
    hit: &Hit,
    bytes: &[u8],
    rejected: &RejectedFact,
) -> Option<(Statement, RecordHead)> {
    let envelope: Envelope = Bundle::parse(bytes).ok()?.dsse_envelope?;
    let statement = Statement::parse(envelope.payload.as_slice()).ok()?;
    let head = RecordHead {
        statement: Algorithm::Sha256.digest(envelope.payload.as_slice()),
        log_index: hit.log_index,
        standing: Standing::Unverified {
            code: rejected.code.clone(),
            message: rejected.message.clone(),
        },
    };
    Some((statement, head))
}

/// Checks that a statement whose predicate is read here has the shape of its type.
pub(super) fn check(statement: &Statement) -> Result<(), String> {
    fn sound<P: Predicate>(statement: &Statement) -> Result<(), String> {
        predicate::read::<P>(statement)
            .map(|_| ())
            .map_err(|error| error.to_string())
    }
    match statement.predicate_type() {
        Dataset::TYPE => sound::<Dataset>(statement),
        Evaluation::TYPE => sound::<Evaluation>(statement),
        EvaluationPlan::TYPE => sound::<EvaluationPlan>(statement),
        _ => step_materials(statement)
            .map(|_| ())
            .map_err(|error| error.to_string()),
    }
}

/// Returns the step that a provenance statement describes.
pub(super) fn step(statement: &Statement, head: &RecordHead) -> Option<StepRecord> {
    let (provenance, materials) = step_materials(statement).ok()??;
    let internal = &provenance.build_definition.internal_parameters;
    let inputs = materials.into_iter().map(|material| {
        let data = material.role == step::Role::Input.name();
        let role = if data { Role::Input } else { Role::Tool };
        (
            role,
            NamedArtifact::new(material.artifact.name, material.artifact.digest),
        )
    });
    Some(StepRecord {
        head: head.clone(),
        name: step_name(&provenance).to_owned(),
        inputs: inputs.collect(),
        outputs: statement.subject().iter().map(named).collect(),
        isolation: internal
            .get("isolation")
            .and_then(|value| value.as_str())
            .map(str::to_owned),
        exit_status: internal
            .get("exitStatus")
            .and_then(serde_json::Value::as_i64),
    })
}

/// Returns the digests of a step's data.
pub(super) fn data(step: &StepRecord) -> Vec<DigestSet> {
    let data = step.inputs.iter().filter(|(role, _)| *role == Role::Input);
    data.map(|(_, artifact)| artifact.digest.clone()).collect()
}

/// Returns any other statement as a note.
pub(super) fn note(statement: &Statement, head: RecordHead) -> NoteRecord {
    let dataset = predicate::read::<Dataset>(statement).ok();
    NoteRecord {
        head,
        predicate_type: statement.predicate_type().to_owned(),
        subjects: statement.subject().iter().map(named).collect(),
        dataset: dataset.map(|dataset| DatasetName {
            name: dataset.name,
            version: Some(dataset.version).filter(|version| !version.is_empty()),
        }),
    }
}

fn named(descriptor: &ResourceDescriptor) -> NamedArtifact {
    let name = descriptor
        .name
        .as_deref()
        .or(descriptor.uri.as_deref())
        .unwrap_or_default();
    NamedArtifact::new(name, descriptor.digest.clone())
}
