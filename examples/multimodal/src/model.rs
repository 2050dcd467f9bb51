//! The network: one forward pass over an image and a text.
//!
//! ```text
//! image -> colour, edges, histogram: 784 -> 64 --+
//!                                                 +-> 64 -> 8 classes
//! text  -> hashed n-grams: 4096 ----------> 64 --+
//! ```
//!
//! Each modality becomes a vector of 64 numbers; the joined 128 go through one fused hidden layer.
//! A missing modality is 64 zeros, which the network has met in training (modality dropout).

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::StepError;
use crate::image::{self, FEATURES, ImageError};
use crate::nn::{Layer, relu, relu_gradient, softmax};
use crate::rng::Rng;
use crate::tensors::{self, Tensor, TensorFile};
use crate::text;
use crate::training::numbers;

/// Number of classes.
pub const CLASSES: usize = 8;
/// Numbers that each modality becomes.
const EMBED: usize = 64;
const HIDDEN: usize = 64;

/// The longest model file that is read.
pub const MAX_MODEL_BYTES: usize = 16 * 1024 * 1024;
/// The one metadata entry of the model file.
const CONFIG_KEY: &str = "custos-multimodal";

/// What a model file says of itself, as JSON in its metadata.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Config {
    /// Version of the format: 1.
    pub version: u32,
    /// Number of features of an image.
    pub image_features: usize,
    /// Number of buckets of a text.
    pub text_buckets: u32,
    /// The classes, in the order of the outputs.
    pub labels: Vec<String>,
}

impl Config {
    pub(crate) fn new(labels: Vec<String>) -> Self {
        Self {
            version: 1,
            image_features: FEATURES,
            text_buckets: text::BUCKETS,
            labels,
        }
    }
}

/// What the model answers.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Prediction {
    /// The most probable class.
    pub label: String,
    /// The probability of every class, in the order of [`Config::labels`].
    pub probabilities: Vec<f32>,
}

/// A trained model.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    config: Config,
    weights: Weights,
}

impl Model {
    pub(crate) fn new(config: Config, weights: Weights) -> Result<Self, StepError> {
        let expected = Config::new(config.labels.clone());
        if config != expected || config.labels.len() != CLASSES {
            return Err(StepError::Inconsistent {
                what: "configuration of the model",
                expected: format!("{CLASSES} labels and {expected:?}"),
                found: format!("{config:?}"),
            });
        }
        Ok(Self { config, weights })
    }

    /// Reads a model from the bytes of `model.safetensors` (max 16 MiB; names, shapes and types of
    /// all tensors must match; every number must be finite).
    pub fn load(bytes: &[u8]) -> Result<Self, StepError> {
        Self::parse(Path::new("model.safetensors"), bytes)
    }

    pub(crate) fn parse(path: &Path, bytes: &[u8]) -> Result<Self, StepError> {
        if bytes.len() > MAX_MODEL_BYTES {
            let limit = u64::try_from(MAX_MODEL_BYTES).unwrap_or(u64::MAX);
            return Err(StepError::TooLarge {
                path: path.to_owned(),
                limit,
            });
        }
        let file = TensorFile::parse(path, bytes)?;
        let config = serde_json::from_str(&file.metadata(CONFIG_KEY)?).map_err(|source| {
            StepError::NotJson {
                path: path.to_owned(),
                line: 1,
                source,
            }
        })?;
        let mut weights = Weights::zeros();
        let expected = weights.tensors().map(|(name, shape, _)| (name, shape));
        if let Some(name) = file
            .names()
            .iter()
            .find(|n| !expected.iter().any(|(e, _)| e == *n))
        {
            return Err(file.bad(name, "no such tensor".to_owned()));
        }
        for ((name, shape), into) in expected.iter().zip(weights.tensors_mut()) {
            into.copy_from_slice(&file.f32(name, shape)?);
        }
        Self::new(config, weights)
    }

    /// Returns the bytes of a model file; equal models give equal bytes.
    pub fn to_bytes(&self) -> Result<Vec<u8>, StepError> {
        let path = Path::new("model.safetensors");
        let config = serde_json::to_string(&self.config).map_err(|source| StepError::NotJson {
            path: path.to_owned(),
            line: 1,
            source,
        })?;
        let tensors = self.weights.tensors();
        let tensors = tensors
            .into_iter()
            .map(|(name, shape, t)| (name, Tensor::f32(shape, t)));
        tensors::encode(path, tensors.collect(), Some((CONFIG_KEY, config)))
    }

    /// Classifies an emoji by its picture (the bytes of a 24 x 24 PNG file), its name, or both.
    ///
    /// With neither, the answer is what the network believes of nothing, not an error.
    pub fn predict(
        &self,
        image: Option<&[u8]>,
        text: Option<&str>,
    ) -> Result<Prediction, ImageError> {
        let image = image.map(image::decode).transpose()?;
        let image = image.map(|pixels| numbers(&image::features(&pixels)));
        let text = text.map(|t| Bag::new(text::buckets(&text::tokens(t))));
        let mut trace = Trace::new();
        self.weights.forward(
            Input {
                image: image.as_deref(),
                text: text.as_ref(),
            },
            &mut trace,
        );
        let label = self.config.labels.get(top_class(&trace.probabilities));
        Ok(Prediction {
            label: label.cloned().unwrap_or_default(),
            probabilities: trace.probabilities.to_vec(),
        })
    }

    /// Returns the number of weights.
    pub fn parameters(&self) -> usize {
        self.weights
            .tensors()
            .iter()
            .map(|(_, _, values)| values.len())
            .sum()
    }

    /// Returns what the model file says of itself.
    pub fn config(&self) -> &Config {
        &self.config
    }

    pub(crate) fn weights(&self) -> &Weights {
        &self.weights
    }
}

/// The weights, or their gradients.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Weights {
    pub(crate) image: Layer<EMBED>,
    pub(crate) text: Layer<EMBED>,
    pub(crate) fuse: Layer<HIDDEN>,
    pub(crate) out: Layer<CLASSES>,
}

/// A text as the network reads it.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Bag {
    pub(crate) buckets: Vec<u32>,
    pub(crate) weight: f32,
}

impl Bag {
    pub(crate) fn new(buckets: Vec<u32>) -> Self {
        let n = u16::try_from(buckets.len().max(1)).unwrap_or(u16::MAX);
        Self {
            buckets,
            weight: 1.0 / f32::from(n).sqrt(),
        }
    }

    fn rows(&self) -> (&[u32], f32) {
        (&self.buckets, self.weight)
    }
}

/// One input; either modality may be missing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Input<'a> {
    /// [`FEATURES`] numbers.
    pub(crate) image: Option<&'a [f32]>,
    pub(crate) text: Option<&'a Bag>,
}

/// What the forward pass leaves behind for the backward pass.
#[derive(Debug)]
pub(crate) struct Trace {
    joined: Vec<f32>,
    mask: Vec<f32>,
    hidden: [f32; HIDDEN],
    pub(crate) probabilities: [f32; CLASSES],
}

impl Trace {
    pub(crate) fn new() -> Self {
        Self {
            joined: Vec::new(),
            mask: vec![1.0; 2 * EMBED],
            hidden: [0.0; HIDDEN],
            probabilities: [0.0; CLASSES],
        }
    }

    /// Draws which of the joined numbers the next pass drops (Srivastava et al. 2014).
    pub(crate) fn draw_mask(&mut self, drop: f32, rng: &mut Rng) {
        for keep in &mut self.mask {
            *keep = if rng.chance(drop) {
                0.0
            } else {
                1.0 / (1.0 - drop)
            };
        }
    }
}

impl Weights {
    pub(crate) fn zeros() -> Self {
        Self {
            image: Layer::zeros(FEATURES),
            text: Layer::zeros(usize::try_from(text::BUCKETS).unwrap_or(0)),
            fuse: Layer::zeros(2 * EMBED),
            out: Layer::zeros(HIDDEN),
        }
    }

    /// Draws the weights that training starts from.
    ///
    /// Rows of the text layer start small, so that pieces that training never meets add no noise.
    pub(crate) fn random(rng: &mut Rng) -> Self {
        let mut weights = Self::zeros();
        weights.image = Layer::random(FEATURES, 784.0, rng);
        weights.text = Layer::random(weights.text.w.len(), 4096.0, rng);
        weights.fuse = Layer::random(2 * EMBED, 128.0, rng);
        weights.out = Layer::random(HIDDEN, 64.0, rng);
        weights
    }

    /// Returns the tensors with their names in the model file and their shapes, in a fixed order.
    pub(crate) fn tensors(&self) -> [(&'static str, Vec<usize>, &[f32]); 8] {
        fn pair<'a, const N: usize>(
            layer: &'a Layer<N>,
            names: [&'static str; 2],
        ) -> [(&'static str, Vec<usize>, &'a [f32]); 2] {
            let [weight, bias] = names;
            [
                (weight, vec![layer.w.len(), N], layer.w.as_flattened()),
                (bias, vec![N], layer.b.as_slice()),
            ]
        }
        let [image, image_bias] = pair(&self.image, ["image.weight", "image.bias"]);
        let [text, text_bias] = pair(&self.text, ["text.weight", "text.bias"]);
        let [fuse, fuse_bias] = pair(&self.fuse, ["fuse.weight", "fuse.bias"]);
        let [out, out_bias] = pair(&self.out, ["out.weight", "out.bias"]);
        [
            image, image_bias, text, text_bias, fuse, fuse_bias, out, out_bias,
        ]
    }

    /// Returns the tensors in the order of [`Self::tensors`], to be written to.
    pub(crate) fn tensors_mut(&mut self) -> [&mut [f32]; 8] {
        [
            self.image.w.as_flattened_mut(),
            &mut self.image.b,
            self.text.w.as_flattened_mut(),
            &mut self.text.b,
            self.fuse.w.as_flattened_mut(),
            &mut self.fuse.b,
            self.out.w.as_flattened_mut(),
            &mut self.out.b,
        ]
    }

    /// Runs the network; the probabilities stand in `trace` afterwards.
    pub(crate) fn forward(&self, input: Input<'_>, trace: &mut Trace) {
        trace.joined.clear();
        trace.joined.extend(match input.image {
            Some(image) => self.image.forward(image).map(relu),
            None => [0.0; EMBED],
        });
        trace.joined.extend(match input.text {
            Some(bag) => self.text.forward_sparse(bag.rows()).map(relu),
            None => [0.0; EMBED],
        });
        for (value, keep) in trace.joined.iter_mut().zip(&trace.mask) {
            *value *= keep;
        }
        trace.hidden = self.fuse.forward(&trace.joined).map(relu);
        trace.probabilities = softmax(&self.out.forward(&trace.hidden));
    }

    /// Adds the gradient of the cross entropy of `label` after [`Self::forward`] of `input`.
    pub(crate) fn backward(
        &self,
        (input, label): (Input<'_>, usize),
        trace: &Trace,
        grad: &mut Weights,
    ) {
        let mut d_out = trace.probabilities;
        if let Some(d) = d_out.get_mut(label) {
            *d -= 1.0;
        }
        Layer::accumulate(&trace.hidden, &d_out, &mut grad.out);
        let mut d_hidden = [0.0; HIDDEN];
        self.out.input_gradient(&d_out, &mut d_hidden);
        relu_gradient(&trace.hidden, &mut d_hidden);
        Layer::accumulate(&trace.joined, &d_hidden, &mut grad.fuse);
        let mut d_joined = [0.0; 2 * EMBED];
        self.fuse.input_gradient(&d_hidden, &mut d_joined);
        relu_gradient(&trace.joined, &mut d_joined);
        for (d, keep) in d_joined.iter_mut().zip(&trace.mask) {
            *d *= keep;
        }
        let (halves, _) = d_joined.as_chunks::<EMBED>();
        if let [d_image, d_text] = halves {
            if let Some(image) = input.image {
                Layer::accumulate(image, d_image, &mut grad.image);
            }
            if let Some(bag) = input.text {
                Layer::accumulate_sparse(bag.rows(), d_text, &mut grad.text);
            }
        }
    }
}

/// Returns the class with the highest probability, the first of equals.
pub(crate) fn top_class(probabilities: &[f32]) -> usize {
    let mut best = (0, f32::NEG_INFINITY);
    for (class, p) in probabilities.iter().enumerate() {
        if *p > best.1 {
            best = (class, *p);
        }
    }
    best.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels() -> Vec<String> {
        (0..CLASSES).map(|c| format!("class {c}")).collect()
    }

    fn batch() -> Vec<(Vec<f32>, Bag, usize)> {
        let mut rng = Rng::new(3, 9);
        let example = |_| {
            let image = (0..FEATURES).map(|_| rng.unit()).collect();
            let bag = Bag::new((0..20).map(|b| b * 7).collect());
            (image, bag, rng.below(CLASSES))
        };
        (0..12).map(example).collect()
    }

    /// Mean loss over a batch in which modalities are missing now and then, and its gradient.
    fn loss(weights: &Weights, batch: &[(Vec<f32>, Bag, usize)]) -> (f64, Weights) {
        let (mut trace, mut grad, mut sum) = (Trace::new(), Weights::zeros(), 0.0);
        for (at, (image, bag, label)) in batch.iter().enumerate() {
            let input = Input {
                image: (at % 4 != 1).then_some(image.as_slice()),
                text: (at % 4 != 2).then_some(bag),
            };
            weights.forward(input, &mut trace);
            sum -= f64::from(trace.probabilities[*label]).ln();
            weights.backward((input, *label), &trace, &mut grad);
        }
        (sum, grad)
    }

    #[test]
    fn gradients_agree_with_finite_differences() {
        let batch = batch();
        let mut weights = Weights::random(&mut Rng::new(5, 1));
        for (at, tensor) in weights.tensors_mut().into_iter().enumerate() {
            // Biases off zero, so that no unit sits on the kink of the rectifier.
            if at % 2 == 1 {
                tensor.fill(0.3);
            }
        }
        let (_, grad) = loss(&weights, &batch);
        let mut rng = Rng::new(11, 4);
        for (at, (name, _, gradient)) in grad.tensors().into_iter().enumerate() {
            // Along the gradient itself and along a random direction.
            let random: Vec<f32> = gradient.iter().map(|_| rng.symmetric()).collect();
            for direction in [gradient.to_vec(), random] {
                let norm = direction.iter().map(|d| d * d).sum::<f32>().sqrt();
                assert!(norm > 1e-4, "{name} has no gradient");
                let step = 2e-3;
                let moved = |sign: f32| {
                    let mut moved = weights.clone();
                    for (w, d) in moved.tensors_mut()[at].iter_mut().zip(&direction) {
                        *w += sign * step * d / norm;
                    }
                    loss(&moved, &batch).0
                };
                let measured = (moved(1.0) - moved(-1.0)) / (2.0 * f64::from(step));
                let dot = |(g, d): (&f32, &f32)| f64::from(*g) * f64::from(*d);
                let computed =
                    gradient.iter().zip(&direction).map(dot).sum::<f64>() / f64::from(norm);
                let error = (measured - computed).abs();
                assert!(
                    error < 0.02 * computed.abs() + 3e-3,
                    "{name}: {measured} / {computed}"
                );
            }
        }
    }

    #[test]
    fn dropped_numbers_get_no_gradient() {
        let batch = batch();
        let (image, bag, label) = &batch[0];
        let weights = Weights::random(&mut Rng::new(5, 1));
        let (mut trace, mut grad) = (Trace::new(), Weights::zeros());
        trace.mask.fill(0.0);
        let input = Input {
            image: Some(image),
            text: Some(bag),
        };
        weights.forward(input, &mut trace);
        weights.backward((input, *label), &trace, &mut grad);
        let all_zero = |t: &[f32]| t.iter().all(|v| *v == 0.0);
        assert!(grad.tensors()[..4].iter().all(|(_, _, t)| all_zero(t)));
        assert!(!all_zero(grad.tensors()[7].2));
    }

    #[test]
    fn model_files_survive_the_round_trip() {
        let weights = Weights::random(&mut Rng::new(1, 1));
        let model = Model::new(Config::new(labels()), weights).unwrap();
        let bytes = model.to_bytes().unwrap();
        let loaded = Model::load(&bytes).unwrap();
        assert_eq!(loaded, model);
        assert_eq!(loaded.to_bytes().unwrap(), bytes);
        let p = loaded.predict(None, Some("a red apple")).unwrap();
        assert!((p.probabilities.iter().sum::<f32>() - 1.0).abs() < 1e-5);
        assert!(labels().contains(&p.label));
        assert!(matches!(
            loaded.predict(Some(b"GIF"), None),
            Err(ImageError::NotPng { .. })
        ));
    }

    #[test]
    fn damaged_model_files_are_refused() {
        let weights = Weights::random(&mut Rng::new(1, 1));
        let model = Model::new(Config::new(labels()), weights.clone()).unwrap();
        let bytes = model.to_bytes().unwrap();
        for length in [0, 7, 8, 100, bytes.len() - 1] {
            let error = Model::load(&bytes[..length]).unwrap_err();
            assert!(
                matches!(error, StepError::Tensors { .. }),
                "{length}: {error}"
            );
        }
        let mut infinite = weights.clone();
        infinite.out.b[3] = f32::INFINITY;
        let infinite = Model::new(Config::new(labels()), infinite)
            .unwrap()
            .to_bytes()
            .unwrap();
        let error = Model::load(&infinite).unwrap_err();
        assert!(matches!(&error, StepError::BadTensor { tensor, .. } if tensor == "out.bias"));
        let error = Model::new(Config::new(vec![]), weights).unwrap_err();
        assert!(matches!(error, StepError::Inconsistent { .. }));
        let plain = tensors::encode(Path::new("x"), vec![], None).unwrap();
        assert!(matches!(
            Model::load(&plain),
            Err(StepError::BadTensor { .. })
        ));
        assert!(matches!(
            Model::load(&vec![0; MAX_MODEL_BYTES + 1]),
            Err(StepError::TooLarge { .. })
        ));
    }
}
