//! A small multimodal pipeline that really learns, for `custos demo` to guard.
//!
//! One network takes the picture of an emoji and its name in the same forward pass and says to
//! which of eight Unicode groups it belongs. Six steps lead from raw files to a packaged model:
//! ingest, preprocess, features, train, evaluate, package. Each is meant to run as a process of its
//! own: steps share nothing but folders.
//!
//! What it is not: a machine-learning framework, or a model of any use. It reads no clock, no
//! environment and no network, and prints nothing: [`run_step`] returns the lines to be shown. The
//! same inputs and seed give the same bytes, on any number of threads.
//!
//! The data lie in the library ([`write_raw_data`]); their origin and licences are in
//! `data/SOURCE.json`.
#![deny(
    clippy::unwrap_used,      // data from outside end in an error, not in a crash
    clippy::expect_used,      // same
    clippy::panic,            // same
    clippy::indexing_slicing, // same
    clippy::as_conversions    // silent truncation
)]
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::as_conversions,
        clippy::float_cmp
    )
)]

mod error;
mod files;
pub mod image;
pub mod model;
mod nn;
mod raw;
mod rng;
mod steps;
mod tensors;
pub mod text;
mod training;

use std::path::PathBuf;

pub use error::StepError;
pub use model::{Config, Model, Prediction};
pub use raw::{RawData, write_raw_data};
pub use steps::evaluate::{ClassScore, Evaluation, Score};
pub use steps::ingest::{Dataset, License, Origin, Record, Row, Source};

use steps::{evaluate, features, ingest, package, preprocess, train};

/// A step of the pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Step {
    /// Its name.
    pub name: &'static str,
    /// What it does, in a few words.
    pub about: &'static str,
    /// Where its inputs come from, in order: [`RAW`] or the name of a step.
    pub inputs: &'static [&'static str],
    /// The files and folders it writes.
    pub outputs: &'static [&'static str],
}

/// The input that no step makes: the folder that [`write_raw_data`] writes.
pub const RAW: &str = "raw";

/// The steps, in an order in which they can run.
pub const STEPS: &[Step] = &[
    Step {
        name: "ingest",
        about: "check the raw files, list the records",
        inputs: &[RAW],
        outputs: &["dataset.json", "records.jsonl", "images", "licenses"],
    },
    Step {
        name: "preprocess",
        about: "decode pictures, split names, hold out a part",
        inputs: &["ingest"],
        outputs: &["preprocess.json", "records.jsonl", "images.safetensors"],
    },
    Step {
        name: "features",
        about: "turn pictures and words into numbers",
        inputs: &["preprocess"],
        outputs: &["features.json", "train.safetensors", "heldout.safetensors"],
    },
    Step {
        name: "train",
        about: "train the model, and each modality alone",
        inputs: &["features"],
        outputs: &[
            "model.safetensors",
            "baseline-image.safetensors",
            "baseline-text.safetensors",
            "train-log.jsonl",
        ],
    },
    Step {
        name: "evaluate",
        about: "measure it, also with each modality removed",
        inputs: &["train", "features"],
        outputs: &["evaluation.json"],
    },
    Step {
        name: "package",
        about: "put model, labels and model card in a folder",
        inputs: &["train", "evaluate"],
        outputs: &[
            "model.safetensors",
            "config.json",
            "labels.json",
            "evaluation.json",
            "README.md",
        ],
    },
];

/// Where a step reads and writes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "callers fill it in")]
pub struct StepIo {
    /// Input folders, in the order of [`Step::inputs`].
    pub inputs: Vec<PathBuf>,
    /// Output folder; made if absent.
    pub output: PathBuf,
    /// Seed of everything random; only `train` uses it.
    pub seed: u64,
}

/// What a step has to say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct StepReport {
    /// Lines for a person.
    pub lines: Vec<String>,
}

/// Runs one step.
pub fn run_step(name: &str, io: &StepIo) -> Result<StepReport, StepError> {
    let unknown = || StepError::UnknownStep {
        name: name.to_owned(),
    };
    let step = STEPS.iter().find(|s| s.name == name).ok_or_else(unknown)?;
    let lines = match (step.name, io.inputs.as_slice()) {
        (_, inputs) if inputs.len() != step.inputs.len() => {
            let (expected, found) = (step.inputs.len(), inputs.len());
            Err(StepError::WrongInputs {
                step: step.name,
                expected,
                found,
            })
        }
        ("ingest", [raw]) => ingest::run(raw, io),
        ("preprocess", [dataset]) => preprocess::run(dataset, io),
        ("features", [prepared]) => features::run(prepared, io),
        ("train", [features]) => train::run(features, io),
        ("evaluate", [trained, features]) => evaluate::run(trained, features, io),
        ("package", [trained, evaluated]) => package::run(trained, evaluated, io),
        _ => Err(unknown()),
    }?;
    Ok(StepReport { lines })
}
