//! `package`: model and evaluation -> the model folder that is the artifact.

use std::path::Path;

use serde::Serialize;

use crate::error::StepError;
use crate::image::{CHANNELS, FEATURES, SIDE};
use crate::model::Model;
use crate::steps::evaluate::Evaluation;
use crate::{StepIo, files, text};

/// `config.json`.
#[derive(Debug, Serialize)]
struct PackageConfig<'a> {
    schema: &'a str,
    architecture: &'a str,
    weights: &'a str,
    weights_sha256: &'a str,
    image: [usize; 3],
    image_features: usize,
    text_buckets: u32,
    text_pieces: (usize, usize),
    parameters: usize,
}

pub(crate) fn run(trained: &Path, evaluated: &Path, io: &StepIo) -> Result<Vec<String>, StepError> {
    let path = trained.join("model.safetensors");
    let bytes = files::read(&path)?;
    let model = Model::parse(&path, &bytes)?;
    let evaluation: Evaluation = files::read_json(&evaluated.join("evaluation.json"))?;
    let digest = files::sha256(&bytes);
    if evaluation.model_sha256 != digest {
        return Err(StepError::Inconsistent {
            what: "sha256 of the model evaluated and the model to be packaged",
            expected: evaluation.model_sha256,
            found: digest,
        });
    }
    let config = PackageConfig {
        schema: "custos-multimodal.config/1",
        architecture: "early-fused two-branch perceptron, 64 + 64 -> 64 -> 8",
        weights: "model.safetensors",
        weights_sha256: &digest,
        image: [SIDE, SIDE, CHANNELS],
        image_features: FEATURES,
        text_buckets: text::BUCKETS,
        text_pieces: text::PIECES,
        parameters: model.parameters(),
    };
    files::write(&io.output.join("model.safetensors"), &bytes)?;
    files::write_json(&io.output.join("config.json"), &config)?;
    files::write_json(&io.output.join("labels.json"), &model.config().labels)?;
    files::write_json(&io.output.join("evaluation.json"), &evaluation)?;
    files::write(
        &io.output.join("README.md"),
        card(&model, &evaluation).as_bytes(),
    )?;
    Ok(vec![format!(
        "model.safetensors: {} parameters, {} bytes",
        model.parameters(),
        bytes.len()
    )])
}

fn card(model: &Model, evaluation: &Evaluation) -> String {
    let labels = model.config().labels.join(", ");
    let row = |what: &str, score: &super::evaluate::Score| {
        let [low, high] = score.interval95.map(|v| 100.0 * v);
        format!(
            "| {what} | {:.1} % | {low:.1} to {high:.1} % |\n",
            100.0 * score.accuracy
        )
    };
    let mut table = row("picture and text", &evaluation.both);
    for (what, score) in evaluation.single() {
        table += &row(what, score);
    }
    format!(
        "# Emoji group classifier\n\nTakes a picture of an emoji and its name in one forward pass \
         and says which Unicode group it belongs to: {labels}.\n\nMade by the multimodal example \
         of Custos to have a real model to guard, not for use.\n\n## Held-out accuracy\n\n{} pairs \
         that training never saw, chance {:.1} %.\n\n| shown | accuracy | 95 % interval |\n|---|---|\
         ---|\n{table}\n## Data\n\nPictures: Noto Emoji, Apache-2.0. Names and groups: Unicode, \
         Unicode-3.0. Compiled by emoji-data, MIT.\n",
        evaluation.both.n,
        100.0 * evaluation.chance,
    )
}
