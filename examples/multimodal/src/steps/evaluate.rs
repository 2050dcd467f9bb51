//! `evaluate`: trained networks and features -> `evaluation.json`.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::StepError;
use crate::model::{CLASSES, Model};
use crate::steps::features::{Index, read_part};
use crate::training::{Example, predictions};
use crate::{StepIo, files};

/// How many held-out records of a class were recognised.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ClassScore {
    /// The class.
    pub label: String,
    /// Held-out records of the class.
    pub n: usize,
    /// Those recognised.
    pub correct: usize,
}

/// How well the held-out records were recognised in one setting.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Score {
    /// Held-out records.
    pub n: usize,
    /// Those recognised.
    pub correct: usize,
    /// `correct / n`.
    pub accuracy: f64,
    /// The 95 % Wilson interval of the accuracy.
    pub interval95: [f64; 2],
    /// The same for each class.
    pub classes: Vec<ClassScore>,
}

/// `evaluation.json`: accuracy on the held-out part, with both modalities and with each removed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Evaluation {
    /// `custos-multimodal.evaluation/1`.
    pub schema: String,
    /// SHA-256 of the model evaluated.
    pub model_sha256: String,
    /// Accuracy of always naming the largest class.
    pub chance: f64,
    /// The model, with picture and text.
    pub both: Score,
    /// The model, its text removed.
    pub image_only: Score,
    /// The model, its picture removed.
    pub text_only: Score,
    /// A network of the same shape trained on pictures only.
    pub image_only_trained_alone: Score,
    /// A network of the same shape trained on texts only.
    pub text_only_trained_alone: Score,
    /// `both` less the best of the four with one modality, in accuracy.
    pub margin: f64,
}

pub(crate) fn run(trained: &Path, features: &Path, io: &StepIo) -> Result<Vec<String>, StepError> {
    let index: Index = files::read_json(&features.join("features.json"))?;
    let examples = read_part(&features.join("heldout.safetensors"), 1)?;
    let load = |name: &str| -> Result<(Model, String), StepError> {
        let path = trained.join(name);
        let bytes = files::read(&path)?;
        let model = Model::parse(&path, &bytes)?;
        if model.config().labels == index.labels {
            return Ok((model, files::sha256(&bytes)));
        }
        Err(StepError::Inconsistent {
            what: "classes of the model and of the features",
            expected: index.labels.join(", "),
            found: model.config().labels.join(", "),
        })
    };
    let (model, model_sha256) = load("model.safetensors")?;
    let image_model = load("baseline-image.safetensors")?.0;
    let text_model = load("baseline-text.safetensors")?.0;
    let score = |model: &Model, shown| {
        score(
            &examples,
            &predictions(model.weights(), &examples, shown),
            &index.labels,
        )
    };
    let evaluation = Evaluation {
        schema: "custos-multimodal.evaluation/1".to_owned(),
        model_sha256,
        chance: chance(&examples),
        both: score(&model, (true, true)),
        image_only: score(&model, (true, false)),
        text_only: score(&model, (false, true)),
        image_only_trained_alone: score(&image_model, (true, false)),
        text_only_trained_alone: score(&text_model, (false, true)),
        margin: 0.0,
    };
    let evaluation = Evaluation {
        margin: evaluation.measured_margin(),
        ..evaluation
    };
    files::write_json(&io.output.join("evaluation.json"), &evaluation)?;
    Ok(evaluation.lines())
}

impl Evaluation {
    /// Returns the four scores with one modality, with what they are.
    pub(crate) fn single(&self) -> [(&'static str, &Score); 4] {
        [
            ("picture only (text removed)", &self.image_only),
            ("text only (picture removed)", &self.text_only),
            (
                "picture only (trained alone)",
                &self.image_only_trained_alone,
            ),
            ("text only (trained alone)", &self.text_only_trained_alone),
        ]
    }

    fn measured_margin(&self) -> f64 {
        let best = self
            .single()
            .iter()
            .map(|(_, s)| s.accuracy)
            .fold(0.0, f64::max);
        self.both.accuracy - best
    }

    /// Returns the result in words, a line each.
    pub fn lines(&self) -> Vec<String> {
        let line = |what: &str, score: &Score| {
            let [low, high] = score.interval95.map(|v| v * 100.0);
            let percent = score.accuracy * 100.0;
            format!("{what:<29} {percent:5.1} %  (95 % interval {low:.1} to {high:.1})")
        };
        let mut lines = vec![
            format!(
                "{} held-out pairs, chance {:.1} %",
                self.both.n,
                self.chance * 100.0
            ),
            line("picture and text", &self.both),
        ];
        lines.extend(self.single().map(|(what, score)| line(what, score)));
        let points = self.margin * 100.0;
        lines.push(format!(
            "both beat the best single modality by {points:.1} points"
        ));
        lines
    }
}

fn score(examples: &[Example], found: &[usize], labels: &[String]) -> Score {
    let right = |class: Option<usize>| {
        let pairs = examples.iter().zip(found);
        let pairs = pairs.filter(|(e, _)| class.is_none_or(|c| c == e.label));
        pairs.fold((0, 0), |(n, correct), (e, f)| {
            (n + 1, correct + usize::from(e.label == *f))
        })
    };
    let (n, correct) = right(None);
    let classes = labels.iter().enumerate().map(|(class, label)| {
        let (n, correct) = right(Some(class));
        ClassScore {
            label: label.clone(),
            n,
            correct,
        }
    });
    Score {
        n,
        correct,
        accuracy: float(correct) / float(n).max(1.0),
        interval95: wilson(correct, n),
        classes: classes.collect(),
    }
}

fn chance(examples: &[Example]) -> f64 {
    let count = |class| examples.iter().filter(|e| e.label == class).count();
    let largest = (0..CLASSES).map(count).max().unwrap_or_default();
    float(largest) / float(examples.len()).max(1.0)
}

/// Returns the 95 % score interval of a proportion (Wilson 1927).
fn wilson(correct: usize, n: usize) -> [f64; 2] {
    if n == 0 {
        return [0.0, 1.0];
    }
    let (z, n, p) = (
        1.959_963_984_540_054_f64,
        float(n),
        float(correct) / float(n),
    );
    let centre = p + z * z / (2.0 * n);
    let spread = z * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
    let scale = 1.0 + z * z / n;
    [(centre - spread) / scale, (centre + spread) / scale]
}

fn float(n: usize) -> f64 {
    f64::from(u32::try_from(n).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wilson_matches_published_values() {
        // Newcombe 1998, table I: 81 of 263, and 0 of 20.
        let [low, high] = wilson(81, 263);
        assert!(
            (low - 0.2553).abs() < 5e-5 && (high - 0.3662).abs() < 5e-5,
            "{low} {high}"
        );
        let [low, high] = wilson(0, 20);
        assert!(
            low.abs() < 1e-12 && (high - 0.1611).abs() < 5e-5,
            "{low} {high}"
        );
    }
}
