//! The signed layout of the pipeline, compared with the steps that were found.

use std::path::{Path, PathBuf};

use custos_core::bundle::Bundle;
use custos_core::digest::{Algorithm, DigestSet};
use custos_core::facts::{LayoutFacts, LayoutViolation};
use custos_core::identity::ExpectedSigner;
use custos_core::oms::{PREDICATE_TYPE, SignedManifest};
use custos_core::predicate::Predicate as _;
use custos_core::predicate::dataset::Dataset;
use custos_core::predicate::evaluation::Evaluation;
use custos_core::predicate::evaluation_plan::EvaluationPlan;
use custos_core::predicate::provenance::Provenance;
use custos_evidence::Gathered;
use custos_evidence::judge::signer_of;
use custos_provenance::layout::{
    self, DatasetRecord, EvaluationRecord, Evidence, Layout, PlanRecord, StepRecord,
};
use custos_trust::verify::{
    Material, Message, PredicateTypes, VerifyError, VerifyRequest, unverified_statement,
};

use crate::artifacts::signature_path;
use crate::files::{read_bytes, read_text};
use crate::judging::Judging;
use crate::report::Failure;
use crate::settings::Settings;
use crate::trusting::{Trusting, verify_failure};

/// Compares what was gathered with the project's layout; `None` if the settings name none.
///
/// A layout that cannot be read or is not signed by its owners is an error, not a missing fact:
/// whoever can make a layout unreadable must not thereby get rid of it.
pub fn facts(judging: &Judging<'_>, gathered: &Gathered) -> Result<Option<LayoutFacts>, Failure> {
    let settings = judging.settings();
    let Some(path) = &settings.layout else {
        return Ok(None);
    };
    let text = read_text(path, u64::try_from(layout::MAX_BYTES).unwrap_or(u64::MAX))?;
    let layout = Layout::parse(&text).map_err(|error| {
        Failure::usage("E0306", "the pipeline layout is not accepted")
            .at(path.display().to_string())
            .because(error.to_string())
    })?;
    reject_unknown_signers(&layout, settings, path)?;
    let digest = Algorithm::Sha256.digest(text.as_bytes());
    let signed_by = verify(judging, path, text.as_bytes())?;
    let records = Records::of(gathered, judging.origin())?;
    let report = layout::evaluate(
        &layout,
        &records.evidence(),
        &gathered.artifact.digest,
        judging.context().now(),
    );
    let violations = report
        .violations
        .iter()
        .map(|violation| LayoutViolation {
            code: violation.code().to_owned(),
            step: violation.step().map(str::to_owned),
            message: violation.to_string(),
        })
        .collect();
    Ok(Some(LayoutFacts {
        name: layout.name().to_owned(),
        digest,
        signed_by: Some(signed_by),
        satisfied: report.is_met(),
        violations,
    }))
}

fn reject_unknown_signers(
    layout: &Layout,
    settings: &Settings,
    path: &Path,
) -> Result<(), Failure> {
    match layout
        .signers()
        .into_iter()
        .find(|name| settings.signer(name).is_none())
    {
        Some(name) => Err(Failure::usage(
            "E0306",
            format!("the layout names an unknown signer `{name}`"),
        )
        .at(path.display().to_string())
        .help("add a [[signer]] of that name to custos.toml, or mend the layout")),
        None => Ok(()),
    }
}

// The layout is signed like any other file: by one of its owners, in a trusted log.
fn verify(
    judging: &Judging<'_>,
    path: &Path,
    content: &[u8],
) -> Result<custos_core::facts::Signer, Failure> {
    let settings = judging.settings();
    let owners: Vec<ExpectedSigner> = settings
        .layout_signers
        .iter()
        .filter_map(|name| settings.signer(name).cloned())
        .collect();
    let trusting = judging.trusting().with_signers(owners)?;
    let bundle = signature_path(path);
    if !bundle.is_file() {
        return Err(Failure::no("E0131", "the pipeline layout is not signed")
            .at(bundle.display().to_string())
            .help(format!("its owner runs `custos sign {}`", path.display())));
    }
    let bytes = read_bytes(&bundle, 1 << 20)?;
    check_signature(
        judging,
        &trusting,
        &Signature {
            bytes: &bytes,
            path: &bundle,
            content,
        },
    )
}

struct Signature<'a> {
    bytes: &'a [u8],
    path: &'a PathBuf,
    // The layout as it was read; what is signed is compared with just these bytes.
    content: &'a [u8],
}

fn check_signature(
    judging: &Judging<'_>,
    trusting: &Trusting,
    signature: &Signature<'_>,
) -> Result<custos_core::facts::Signer, Failure> {
    let place = signature.path.display().to_string();
    let failed = |error: &_| verify_failure(error, &place);
    let statement = match unverified_statement(Material::Bundle(signature.bytes)) {
        Ok(statement) => statement,
        // The file itself was signed, as `custos sign FILE` does.
        Err(VerifyError::ContentKind { .. }) => {
            let artifact = message_digests(signature);
            let request = request(judging, trusting, signature.bytes, (&artifact, Message));
            let verified = custos_trust::verify(&request).map_err(|error| failed(&error))?;
            return Ok(signer_of(&verified));
        }
        Err(error) => return Err(failed(&error)),
    };
    let manifest = SignedManifest::from_statement(&statement)
        .map_err(|error| {
            Failure::no("E0203", "the layout's signature is not accepted")
                .at(place.as_str())
                .because(error.to_string())
        })?
        .manifest;
    let listed = manifest.get(0).map(|resource| *resource.digest());
    if manifest.len() != 1 || listed != Some(Algorithm::Sha256.digest(signature.content)) {
        return Err(
            Failure::no("E0130", "the layout differs from what its owner signed")
                .at(place)
                .help("if the change is intended, its owner signs it again"),
        );
    }
    let artifact = DigestSet::from(manifest.root_digest());
    let types = PredicateTypes::new(&[PREDICATE_TYPE]);
    let request = request(judging, trusting, signature.bytes, (&artifact, types));
    let verified = custos_trust::verify(&request).map_err(|error| failed(&error))?;
    Ok(signer_of(&verified))
}

fn request<'a, E>(
    judging: &Judging<'_>,
    trusting: &'a Trusting,
    bytes: &'a [u8],
    (artifact, expect): (&'a DigestSet, E),
) -> VerifyRequest<'a, E> {
    VerifyRequest {
        artifact,
        material: Material::Bundle(bytes),
        trust_root: &trusting.root,
        signers: &trusting.signers,
        log: trusting.log(),
        expect,
        now: judging.context().now(),
    }
}

// With the digest that the signature says it is over.
fn message_digests(signature: &Signature<'_>) -> DigestSet {
    let mut digests = DigestSet::from(Algorithm::Sha256.digest(signature.content));
    let message = Bundle::parse(signature.bytes)
        .ok()
        .and_then(|bundle| bundle.message_signature);
    if let Some(algorithm) = message.and_then(|message| message.algorithm()) {
        digests.insert(&algorithm.digest(signature.content));
    }
    digests
}

struct Records {
    steps: Vec<StepRecord>,
    datasets: Vec<DatasetRecord>,
    plans: Vec<PlanRecord>,
    evaluations: Vec<EvaluationRecord>,
}

impl Records {
    fn of(gathered: &Gathered, origin: &str) -> Result<Self, Failure> {
        let mut records = Self {
            steps: vec![],
            datasets: vec![],
            plans: vec![],
            evaluations: vec![],
        };
        let broken = |error: &dyn std::error::Error| {
            Failure::no(
                "E0104",
                "a verified statement does not have the shape of its type",
            )
            .because(error.to_string())
        };
        for verified in &gathered.verified {
            match verified.statement().predicate_type() {
                // Provenance by other builders is no step of this pipeline, and stays foreign.
                Provenance::TYPE => records.steps.extend(StepRecord::of(verified, origin).ok()),
                Dataset::TYPE => records
                    .datasets
                    .push(DatasetRecord::of(verified, origin).map_err(|error| broken(&error))?),
                EvaluationPlan::TYPE => records
                    .plans
                    .push(PlanRecord::of(verified, origin).map_err(|error| broken(&error))?),
                Evaluation::TYPE => records
                    .evaluations
                    .push(EvaluationRecord::of(verified, origin).map_err(|error| broken(&error))?),
                _ => {}
            }
        }
        Ok(records)
    }

    fn evidence(&self) -> Evidence<'_> {
        Evidence {
            steps: &self.steps,
            datasets: &self.datasets,
            plans: &self.plans,
            evaluations: &self.evaluations,
        }
    }
}
