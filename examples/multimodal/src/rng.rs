//! The pseudo-random numbers of training: `SplitMix64`.
//!
//! The pipeline must give the same bytes for the same seed on any machine and with any toolchain,
//! so the generator is written out here: the reference algorithm of Steele, Lea and Flood, "Fast
//! splittable pseudorandom number generators" (OOPSLA 2014), as published by Vigna in
//! [`splitmix64.c`](https://prng.di.unimi.it/splitmix64.c). It is not for secrets.

/// A stream of pseudo-random numbers that its seed fully determines.
#[derive(Debug, Clone)]
pub(crate) struct Rng {
    state: u64,
}

impl Rng {
    /// Starts the stream of `seed` for one purpose; different purposes give unrelated streams.
    pub(crate) fn new(seed: u64, purpose: u64) -> Self {
        let mut rng = Self { state: seed };
        rng.state = rng.next_u64() ^ purpose.wrapping_mul(0xd6e8_feb8_6659_fd93);
        rng
    }

    pub(crate) fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Returns a number in `[0, 1)` with 16 random bits: exact in `f32`, so equal everywhere.
    pub(crate) fn unit(&mut self) -> f32 {
        let bits = u16::try_from(self.next_u64() >> 48).unwrap_or(u16::MAX);
        f32::from(bits) / 65536.0
    }

    /// Returns a number in `[-1, 1)`.
    pub(crate) fn symmetric(&mut self) -> f32 {
        2.0 * self.unit() - 1.0
    }

    /// Returns true with the given probability.
    pub(crate) fn chance(&mut self, probability: f32) -> bool {
        self.unit() < probability
    }

    /// Returns a number in `0..bound` (0 if `bound` is 0), by Lemire's multiplication.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        let high = u128::from(self.next_u64());
        let bound = u128::try_from(bound).unwrap_or(0);
        usize::try_from((high * bound) >> 64).unwrap_or(0)
    }

    /// Puts the items in random order (Fisher and Yates).
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = self.below(last + 1);
            items.swap(last, other);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_the_reference_implementation() {
        // First outputs of splitmix64.c for the seed 1234567.
        let mut rng = Rng { state: 1_234_567 };
        assert_eq!(rng.next_u64(), 6_457_827_717_110_365_317);
        assert_eq!(rng.next_u64(), 3_203_168_211_198_807_973);
        assert_eq!(rng.next_u64(), 9_817_491_932_198_370_423);
    }

    #[test]
    fn shuffle_keeps_every_item_and_depends_on_the_seed() {
        let order = |seed| {
            let mut items: Vec<u32> = (0..100).collect();
            Rng::new(seed, 0).shuffle(&mut items);
            items
        };
        let mut sorted = order(1);
        sorted.sort_unstable();
        assert_eq!(sorted, (0..100).collect::<Vec<u32>>());
        assert_eq!(order(1), order(1));
        assert_ne!(order(1), order(2));
    }

    #[test]
    fn numbers_stay_in_range_and_fill_it() {
        let mut rng = Rng::new(7, 3);
        let units: Vec<f32> = (0..10_000).map(|_| rng.unit()).collect();
        assert!(units.iter().all(|u| (0.0..1.0).contains(u)));
        let mean = units.iter().sum::<f32>() / 10_000.0;
        assert!((mean - 0.5).abs() < 0.02, "{mean}");
        let mut seen = [0u32; 7];
        for _ in 0..7_000 {
            seen[rng.below(7)] += 1;
        }
        assert!(seen.iter().all(|&n| n > 850), "{seen:?}");
        assert_eq!(rng.below(0), 0);
    }
}
