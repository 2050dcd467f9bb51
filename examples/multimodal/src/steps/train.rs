//! `train`: features -> `model.safetensors`, two networks to compare with, `train-log.jsonl`.
//!
//! The model is trained on pairs, with one modality withheld now and then. Because such a network
//! might be worse at one modality than a network made for it, two more of the same shape and
//! settings are trained on pictures only and on texts only (`baseline-*.safetensors`): the honest
//! bar that the model has to clear. The networks train side by side, each on one thread.

use std::path::Path;
use std::thread;

use serde::Serialize;

use crate::error::StepError;
use crate::model::{Config, Model, Weights};
use crate::steps::features::{Index, read_part};
use crate::training::{self, Epoch, Example, Settings, Withhold};
use crate::{StepIo, files};

/// The settings of the model.
pub(crate) const SETTINGS: Settings = Settings {
    epochs: 40,
    batch: 16,
    rate: 0.001,
    decay: 0.01,
    dropout: 0.1,
    image_dropout: 0.1,
    text_dropout: 0.6,
    withhold: Withhold {
        image: 0.25,
        text: 0.45,
    },
};

/// File names and settings of the three networks; the first is the model.
pub(crate) const NETWORKS: [(&str, Withhold); 3] = [
    ("model", SETTINGS.withhold),
    (
        "baseline-image",
        Withhold {
            image: 0.0,
            text: 1.0,
        },
    ),
    (
        "baseline-text",
        Withhold {
            image: 1.0,
            text: 0.0,
        },
    ),
];

/// One line of `train-log.jsonl`.
#[derive(Debug, Serialize)]
struct LogLine<'a> {
    network: &'a str,
    epoch: usize,
    loss: f32,
    accuracy: f32,
}

pub(crate) fn run(features: &Path, io: &StepIo) -> Result<Vec<String>, StepError> {
    let index: Index = files::read_json(&features.join("features.json"))?;
    let examples = read_part(&features.join("train.safetensors"), 2)?;
    let mut log = Vec::new();
    let mut lines = vec![format!("{} pairs, seed {}", examples.len(), io.seed)];
    for ((name, _), (weights, epochs)) in NETWORKS.iter().zip(train_all(&examples, io.seed)) {
        let config = Config::new(index.labels.clone());
        let model = Model::new(config, weights)?;
        files::write(
            &io.output.join(format!("{name}.safetensors")),
            &model.to_bytes()?,
        )?;
        if let Some(last) = epochs.last() {
            let first = epochs.first().unwrap_or(last);
            lines.push(format!(
                "{name}: loss {:.3} -> {:.3}",
                first.loss, last.loss
            ));
        }
        log.extend(epochs.into_iter().enumerate().map(|(at, epoch)| LogLine {
            network: name,
            epoch: at + 1,
            loss: epoch.loss,
            accuracy: epoch.accuracy,
        }));
    }
    files::write_jsonl(&io.output.join("train-log.jsonl"), &log)?;
    Ok(lines)
}

/// Trains the networks of [`NETWORKS`], each on its own thread.
pub(crate) fn train_all(examples: &[Example], seed: u64) -> Vec<(Weights, Vec<Epoch>)> {
    thread::scope(|scope| {
        let threads: Vec<_> = NETWORKS
            .iter()
            .map(|(_, withhold)| {
                let settings = Settings {
                    withhold: *withhold,
                    ..SETTINGS
                };
                scope.spawn(move || training::train(examples, &settings, seed))
            })
            .collect();
        // A panic in a thread is a bug there; it goes on here unchanged.
        let join = |t: thread::ScopedJoinHandle<'_, _>| {
            t.join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        threads.into_iter().map(join).collect()
    })
}
