//! Gradient descent on the training part.
//!
//! One thread trains one network, from the first example to the last; several networks train side
//! by side. No sum is ever split over threads, so the number of cores cannot change a bit of the
//! result.

use crate::model::{Bag, Input, Trace, Weights, top_class};
use crate::nn::{Adam, AdamSettings};
use crate::rng::Rng;

/// One labelled pair of image and text, ready for the network.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Example {
    /// The image features of each view; the first is the picture as it is.
    pub(crate) views: Vec<Vec<u8>>,
    pub(crate) text: Bag,
    pub(crate) label: usize,
}

/// How often a modality is withheld in training.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Withhold {
    pub(crate) image: f32,
    pub(crate) text: f32,
}

/// The settings of a training run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Settings {
    pub(crate) epochs: u16,
    pub(crate) batch: usize,
    /// Learning rate at the start; it falls to zero in a straight line.
    pub(crate) rate: f32,
    /// Weight decay.
    pub(crate) decay: f32,
    /// Share of the joined vector that is dropped.
    pub(crate) dropout: f32,
    /// Share of the image features that are left out.
    pub(crate) image_dropout: f32,
    /// Share of the text buckets that are left out.
    pub(crate) text_dropout: f32,
    pub(crate) withhold: Withhold,
}

/// What an epoch showed, on the altered examples it learned from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Epoch {
    pub(crate) loss: f32,
    pub(crate) accuracy: f32,
}

/// Trains a network from nothing.
pub(crate) fn train(examples: &[Example], settings: &Settings, seed: u64) -> (Weights, Vec<Epoch>) {
    let mut weights = Weights::random(&mut Rng::new(seed, 1));
    let mut rng = Rng::new(seed, 2);
    let mut order: Vec<&Example> = examples.iter().collect();
    let adam = AdamSettings {
        beta1: 0.9,
        beta2: 0.999,
        epsilon: 1e-8,
        decay: settings.decay,
    };
    let mut adam = Adam::new(adam, weights.tensors().into_iter().map(|(_, _, t)| t.len()));
    let mut grad = Weights::zeros();
    let mut trace = Trace::new();
    let mut log = Vec::new();
    for epoch in 0..settings.epochs {
        rng.shuffle(&mut order);
        let left = 1.0 - f32::from(epoch) / f32::from(settings.epochs);
        let (mut loss, mut right) = (0.0, 0.0);
        for batch in order.chunks(settings.batch) {
            for tensor in grad.tensors_mut() {
                tensor.fill(0.0);
            }
            for example in batch {
                learn(
                    example,
                    settings,
                    (&weights, &mut grad),
                    (&mut trace, &mut rng),
                );
                let p = trace
                    .probabilities
                    .get(example.label)
                    .copied()
                    .unwrap_or_default();
                loss -= p.max(1e-9).ln();
                right += f32::from(u8::from(top_class(&trace.probabilities) == example.label));
            }
            let size = f32::from(u16::try_from(batch.len()).unwrap_or(u16::MAX));
            let gradients = grad.tensors().map(|(_, _, t)| t);
            let tensors = weights.tensors_mut().into_iter().zip(gradients);
            adam.step(tensors, settings.rate * left, 1.0 / size);
        }
        let n = f32::from(u16::try_from(order.len().max(1)).unwrap_or(u16::MAX));
        log.push(Epoch {
            loss: loss / n,
            accuracy: right / n,
        });
    }
    (weights, log)
}

/// Shows one example, altered, and adds its gradient.
fn learn(
    example: &Example,
    settings: &Settings,
    (weights, grad): (&Weights, &mut Weights),
    (trace, rng): (&mut Trace, &mut Rng),
) {
    trace.draw_mask(settings.dropout, rng);
    let drawn = rng.unit();
    let no_image = drawn < settings.withhold.image;
    let no_text = !no_image && drawn < settings.withhold.image + settings.withhold.text;
    let image = look(example, settings.image_dropout, rng);
    let text = thin(&example.text, settings.text_dropout, rng);
    let input = Input {
        image: (!no_image).then_some(image.as_slice()),
        text: (!no_text).then_some(&text),
    };
    weights.forward(input, trace);
    weights.backward((input, example.label), trace, grad);
}

/// Picks one of the views of a picture and leaves out some of its features.
fn look(example: &Example, drop: f32, rng: &mut Rng) -> Vec<f32> {
    let view = example
        .views
        .get(rng.below(example.views.len()))
        .map_or(&[][..], Vec::as_slice);
    let mut image = numbers(view);
    for value in &mut image {
        if rng.chance(drop) {
            *value = 0.0;
        }
    }
    image
}

/// Returns image features as the network reads them.
pub(crate) fn numbers(features: &[u8]) -> Vec<f32> {
    features.iter().map(|b| f32::from(*b) / 64.0).collect()
}

/// Leaves out some of the buckets of a text.
fn thin(bag: &Bag, drop: f32, rng: &mut Rng) -> Bag {
    let kept: Vec<u32> = bag
        .buckets
        .iter()
        .copied()
        .filter(|_| !rng.chance(drop))
        .collect();
    Bag::new(kept)
}

/// Returns the class that the network gives each example, shown (picture, text).
pub(crate) fn predictions(
    weights: &Weights,
    examples: &[Example],
    (show_image, show_text): (bool, bool),
) -> Vec<usize> {
    let mut trace = Trace::new();
    let mut found = Vec::with_capacity(examples.len());
    for example in examples {
        let pixels = numbers(example.views.first().map_or(&[][..], Vec::as_slice));
        let input = Input {
            image: show_image.then_some(pixels.as_slice()),
            text: show_text.then_some(&example.text),
        };
        weights.forward(input, &mut trace);
        found.push(top_class(&trace.probabilities));
    }
    found
}
