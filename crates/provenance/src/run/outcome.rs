//! The predicates that a finished step makes.

use std::num::NonZeroU64;

use custos_core::amount::Amount;
use custos_core::clock::Timestamp;
use custos_core::predicate::provenance::{
    BuildDefinition, BuildMetadata, Builder, Provenance, RunDetails,
};
use custos_core::predicate::resource_usage::{Reading, ResourceUsage};
use custos_core::predicate::step::{
    BUILD_TYPE, CLI_BUILDER, Declared as Named, External, Internal, Isolation, Note, ROLE, Role,
    parameters,
};
use custos_core::predicate::{self, PredicateError};
use custos_core::statement::{ResourceDescriptor, Statement, Subject};

use super::child::{Finished, PeakMemory};
use super::{Declared, Executed, RunError, Step};
use crate::material::file_uri;
use crate::measure::micros;

const MICROS_PER_HOUR: NonZeroU64 = NonZeroU64::new(3_600_000_000).unwrap();

/// What a step came to: its products, how they were made, and what that used.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct StepOutcome {
    /// How the products were made.
    pub provenance: Provenance,
    /// The products, by declared name and digest.
    pub subjects: Vec<Subject>,
    /// What the run used.
    pub resource_usage: ResourceUsage,
}

impl StepOutcome {
    /// Returns the two statements to sign: provenance, and resource usage.
    pub fn statements(&self) -> Result<[Statement; 2], PredicateError> {
        Ok([
            predicate::write(self.subjects.clone(), &self.provenance)?,
            predicate::write(self.subjects.clone(), &self.resource_usage)?,
        ])
    }
}

pub(super) fn make(
    executed: &Executed<'_>,
    subjects: Vec<Subject>,
    notes: Vec<Note>,
) -> Result<StepOutcome, RunError> {
    let Executed {
        prepared,
        finished,
        started_on,
        ..
    } = executed;
    let internal = Internal {
        isolation: Isolation::None,
        environment: prepared.step.environment.names(),
        exit_status: finished.status.code().unwrap_or_default(),
        notes,
    };
    let inputs = prepared.inputs.iter().map(|input| {
        ResourceDescriptor::new(input.name.as_str(), input.artifact.digest.clone())
            .with_uri(file_uri(&input.path))
            .with_annotation(ROLE, Role::Input.name())
    });
    let mut provenance = Provenance {
        build_definition: BuildDefinition {
            build_type: BUILD_TYPE.to_owned(),
            external_parameters: parameters(&external(&prepared.step)),
            internal_parameters: parameters(&internal),
            resolved_dependencies: inputs.chain(prepared.materials.iter().cloned()).collect(),
        },
        run_details: RunDetails {
            builder: Builder {
                id: CLI_BUILDER.to_owned(),
                version: [("custos".to_owned(), prepared.runner.version.to_owned())].into(),
                builder_dependencies: Vec::new(),
            },
            metadata: Some(BuildMetadata {
                invocation_id: None,
                started_on: Some(*started_on),
                finished_on: Some(end(*started_on, finished)),
            }),
            byproducts: Vec::new(),
        },
    };
    let id = invocation_id(&provenance, &subjects)?;
    if let Some(metadata) = &mut provenance.run_details.metadata {
        metadata.invocation_id = Some(id.clone());
    }
    let resource_usage = usage(id, finished, prepared.step.price_per_hour.as_ref());
    Ok(StepOutcome {
        provenance,
        subjects,
        resource_usage,
    })
}

fn external(step: &Step) -> External {
    let named = |declared: &[Declared]| -> Vec<Named> {
        let one = |declared: &Declared| Named {
            name: declared.name.clone(),
            path: declared.path.to_string_lossy().into_owned(),
        };
        declared.iter().map(one).collect()
    };
    External {
        step: step.name.clone(),
        command: step
            .command
            .iter()
            .map(|word| word.to_string_lossy().into_owned())
            .collect(),
        inputs: named(&step.inputs),
        products: named(&step.products),
        scratch: step
            .scratch
            .iter()
            .map(|path| path.to_string_lossy().into_owned())
            .collect(),
    }
}

// The end by the clock that no change of the date disturbs, so that it is never before the start.
fn end(started_on: Timestamp, finished: &Finished) -> Timestamp {
    started_on.plus_micros(i64::try_from(micros(finished.wall)).unwrap_or(i64::MAX))
}

fn invocation_id(provenance: &Provenance, subjects: &[Subject]) -> Result<String, RunError> {
    let digest = predicate::digest(&(provenance, subjects)).map_err(PredicateError::Json)?;
    Ok(format!("urn:custos:run:{}", digest.to_hex()))
}

fn usage(invocation_id: String, finished: &Finished, price: Option<&Amount>) -> ResourceUsage {
    let traffic = |bytes: Option<u64>| match bytes {
        Some(bytes) => Reading::measured(bytes, "/proc/PID/io"),
        None => Reading::unknown("/proc does not tell it"),
    };
    ResourceUsage {
        invocation_id,
        wall_micros: Reading::measured(micros(finished.wall), "monotonic clock"),
        cpu_user_micros: Reading::measured(micros(finished.cpu_user), "wait4"),
        cpu_system_micros: Reading::measured(micros(finished.cpu_system), "wait4"),
        peak_memory_bytes: match finished.peak_memory {
            PeakMemory::Counted(bytes) => Reading::measured(bytes, "wait4"),
            PeakMemory::Sampled(bytes) => {
                Reading::estimated(bytes, "high-water mark of the command, sampled from /proc")
            }
            PeakMemory::Unknown => {
                Reading::unknown("the command ended before its memory was looked at")
            }
        },
        read_bytes: traffic(finished.traffic.map(|traffic| traffic.read)),
        written_bytes: traffic(finished.traffic.map(|traffic| traffic.written)),
        accelerators: Vec::new(),
        energy_microjoules: match finished.energy {
            Some(energy) => Reading::estimated(
                energy,
                "energy counters of the processor (RAPL), by the share of busy CPU time",
            ),
            None => Reading::unknown("the processor has no energy counters that can be read"),
        },
        cost: cost(finished, price),
    }
}

fn cost(finished: &Finished, price: Option<&Amount>) -> Reading<Amount> {
    let Some(price) = price else {
        return Reading::unknown("no price was given");
    };
    match price.times_ratio(micros(finished.wall), MICROS_PER_HOUR) {
        Ok(cost) => Reading::estimated(cost, format!("{price} an hour, by wall time")),
        Err(error) => Reading::unknown(error.to_string()),
    }
}
