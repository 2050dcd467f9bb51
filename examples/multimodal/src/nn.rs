//! The arithmetic of the network: affine layers, rectifier, softmax, Adam.
//!
//! Plain `f32` loops in a fixed order. Rust neither fuses nor reorders floating-point operations,
//! and the one transcendental function on the way to the weights, `exp`, is written out below,
//! so the same seed gives the same bytes on every IEEE 754 machine. `mul_add` is not used in the
//! inner loops: without hardware support it would be a slow library call.
//!
//! This is not a framework: it holds what [`crate::model`] needs and no more.

use crate::rng::Rng;

/// An affine map to `N` outputs: one row of `N` weights for each input, and a bias.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Layer<const N: usize> {
    pub(crate) w: Vec<[f32; N]>,
    pub(crate) b: [f32; N],
}

impl<const N: usize> Layer<N> {
    pub(crate) fn zeros(inputs: usize) -> Self {
        Self {
            w: vec![[0.0; N]; inputs],
            b: [0.0; N],
        }
    }

    /// Draws weights uniformly with variance 2 / `fan_in` (He et al. 2015); biases are zero.
    pub(crate) fn random(inputs: usize, fan_in: f32, rng: &mut Rng) -> Self {
        let bound = (6.0 / fan_in).sqrt();
        let mut layer = Self::zeros(inputs);
        for w in layer.w.as_flattened_mut() {
            *w = rng.symmetric() * bound;
        }
        layer
    }

    /// Returns `b + x W`.
    pub(crate) fn forward(&self, x: &[f32]) -> [f32; N] {
        let mut sum = self.b;
        for (x, row) in x.iter().zip(&self.w) {
            add_scaled(&mut sum, row, *x);
        }
        sum
    }

    /// Adds the gradient of the weights, given input `x` and the gradient `d` of the output.
    pub(crate) fn accumulate(x: &[f32], d: &[f32; N], grad: &mut Self) {
        for (b, d) in grad.b.iter_mut().zip(d) {
            *b += d;
        }
        for (x, row) in x.iter().zip(&mut grad.w) {
            add_scaled(row, d, *x);
        }
    }

    /// Writes the gradient of the input, given the gradient `d` of the output.
    pub(crate) fn input_gradient(&self, d: &[f32; N], dx: &mut [f32]) {
        for (dx, row) in dx.iter_mut().zip(&self.w) {
            *dx = dot(row, d);
        }
    }

    /// Returns `b + weight * sum of the rows named`: [`Self::forward`] of a sparse input.
    pub(crate) fn forward_sparse(&self, (rows, weight): (&[u32], f32)) -> [f32; N] {
        let mut sum = self.b;
        for row in rows
            .iter()
            .filter_map(|&r| self.w.get(usize::try_from(r).ok()?))
        {
            add_scaled(&mut sum, row, weight);
        }
        sum
    }

    /// Adds the gradient of the weights of [`Self::forward_sparse`].
    pub(crate) fn accumulate_sparse((rows, weight): (&[u32], f32), d: &[f32; N], grad: &mut Self) {
        for (b, d) in grad.b.iter_mut().zip(d) {
            *b += d;
        }
        for &row in rows {
            if let Some(row) = usize::try_from(row).ok().and_then(|r| grad.w.get_mut(r)) {
                add_scaled(row, d, weight);
            }
        }
    }
}

fn add_scaled<const N: usize>(sum: &mut [f32; N], row: &[f32; N], factor: f32) {
    for (sum, value) in sum.iter_mut().zip(row) {
        *sum += value * factor;
    }
}

/// Returns the dot product, summed in eight interleaved lanes and then from left to right.
fn dot<const N: usize>(a: &[f32; N], b: &[f32; N]) -> f32 {
    let mut lanes = [0.0f32; 8];
    for (a, b) in a.chunks(8).zip(b.chunks(8)) {
        for (lane, (a, b)) in lanes.iter_mut().zip(a.iter().zip(b)) {
            *lane += a * b;
        }
    }
    lanes.iter().sum()
}

pub(crate) fn relu(x: f32) -> f32 {
    x.max(0.0)
}

/// Sets the gradient to zero wherever the rectified output was zero.
pub(crate) fn relu_gradient(out: &[f32], d: &mut [f32]) {
    for (d, out) in d.iter_mut().zip(out) {
        if *out <= 0.0 {
            *d = 0.0;
        }
    }
}

/// Returns `e^x` for `x <= 0` with an absolute error below 1e-6, equal on every machine.
///
/// Takes the Taylor series at `x / 1024` and squares ten times.
fn exp(x: f32) -> f32 {
    if x < -80.0 {
        return 0.0;
    }
    let r = x / 1024.0;
    let mut y = r * (1.0 + r * (0.5 + r * (1.0 / 6.0 + r * (1.0 / 24.0))));
    // On e^x - 1, so that small arguments keep their digits: (1+y)^2 - 1 = y (2 + y).
    for _ in 0..10 {
        y *= 2.0 + y;
    }
    1.0 + y
}

/// Returns the probabilities of the classes with these logits.
pub(crate) fn softmax<const N: usize>(logits: &[f32; N]) -> [f32; N] {
    let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers = logits.map(|l| exp(l - top));
    let sum: f32 = powers.iter().sum();
    powers.map(|p| p / sum)
}

/// Settings of [`Adam`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct AdamSettings {
    pub(crate) beta1: f32,
    pub(crate) beta2: f32,
    pub(crate) epsilon: f32,
    /// Decoupled weight decay (Loshchilov and Hutter 2019), relative to the learning rate.
    pub(crate) decay: f32,
}

/// Adam (Kingma and Ba 2015) over a fixed list of tensors.
#[derive(Debug)]
pub(crate) struct Adam {
    settings: AdamSettings,
    moments: Vec<(Vec<f32>, Vec<f32>)>,
    power1: f32,
    power2: f32,
}

impl Adam {
    pub(crate) fn new(settings: AdamSettings, lengths: impl Iterator<Item = usize>) -> Self {
        let moments = lengths.map(|n| (vec![0.0; n], vec![0.0; n])).collect();
        Self {
            settings,
            moments,
            power1: 1.0,
            power2: 1.0,
        }
    }

    /// Moves the weights against the gradients, which are multiplied by `scale` first.
    pub(crate) fn step<'a>(
        &mut self,
        tensors: impl Iterator<Item = (&'a mut [f32], &'a [f32])>,
        rate: f32,
        scale: f32,
    ) {
        let AdamSettings {
            beta1,
            beta2,
            epsilon,
            decay,
        } = self.settings;
        self.power1 *= beta1;
        self.power2 *= beta2;
        let rate1 = rate / (1.0 - self.power1);
        let fix2 = 1.0 / (1.0 - self.power2);
        for ((w, g), (m, v)) in tensors.zip(&mut self.moments) {
            for (((w, g), m), v) in w.iter_mut().zip(g).zip(m).zip(v) {
                let g = g * scale;
                *m = beta1 * *m + (1.0 - beta1) * g;
                *v = beta2 * *v + (1.0 - beta2) * g * g;
                *w -= rate1 * *m / ((*v * fix2).sqrt() + epsilon) + rate * decay * *w;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_agrees_with_the_library() {
        for step in 0..8_000u16 {
            let x = -f32::from(step) / 100.0;
            let (ours, theirs) = (f64::from(exp(x)), f64::from(x).exp());
            assert!(
                (ours - theirs).abs() < 1e-6,
                "exp({x}) = {ours}, not {theirs}"
            );
        }
        assert_eq!(exp(0.0).to_bits(), 1.0f32.to_bits());
    }

    #[test]
    fn softmax_sums_to_one_and_survives_huge_logits() {
        let p = softmax(&[1000.0, 999.0, -1000.0]);
        assert!((p.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        assert!((p[0] - 0.731_058_6).abs() < 1e-5 && p[2] == 0.0, "{p:?}");
    }

    #[test]
    fn adam_finds_the_minimum_of_a_parabola() {
        let settings = AdamSettings {
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            decay: 0.0,
        };
        let mut adam = Adam::new(settings, std::iter::once(2));
        let mut w = vec![5.0f32, -3.0];
        for _ in 0..2_000 {
            let g: Vec<f32> = w.iter().map(|w| 2.0 * (w - 1.0)).collect();
            adam.step(std::iter::once((w.as_mut_slice(), g.as_slice())), 0.02, 1.0);
        }
        assert!(w.iter().all(|w| (w - 1.0).abs() < 1e-2), "{w:?}");
    }
}
