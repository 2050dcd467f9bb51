//! BLAKE3 in parts: chaining values of subtrees, joined to the digest of the whole.
//!
//! Spec: BLAKE3 paper, section 2.1. A subtree that starts at a multiple of its own power-of-two
//! length has a chaining value that does not depend on what stands beside it.

use blake3::hazmat::{
    ChainingValue, HasherExt as _, Mode, left_subtree_len, merge_subtrees_non_root,
    merge_subtrees_root,
};
use custos_core::digest::{Algorithm, Digest, DigestError};

/// Bytes of a subtree that one thread hashes: large enough for the widest SIMD, small enough to
/// share a file of a few hundred MiB.
pub(super) const SUBTREE: u64 = 16 << 20;

/// Hashes one subtree of a larger input.
pub(super) struct Subtree(blake3::Hasher);

impl Subtree {
    /// Starts the subtree at `offset`, a multiple of [`SUBTREE`].
    pub(super) fn at(offset: u64) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.set_input_offset(offset);
        Self(hasher)
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(super) fn finish(self) -> ChainingValue {
        self.0.finalize_non_root()
    }
}

/// Joins the chaining values of all subtrees of an input of `len` bytes, more than one of them.
pub(super) fn join(values: &[ChainingValue], len: u64) -> Result<Digest, DigestError> {
    let (left, right) = split(values, len);
    let hash = merge_subtrees_root(&part(left.0, left.1), &part(right.0, right.1), Mode::Hash);
    Digest::new(Algorithm::Blake3, hash.as_bytes())
}

fn part(values: &[ChainingValue], len: u64) -> ChainingValue {
    match values {
        [] => ChainingValue::default(),
        [one] => *one,
        _ => {
            let (left, right) = split(values, len);
            merge_subtrees_non_root(&part(left.0, left.1), &part(right.0, right.1), Mode::Hash)
        }
    }
}

type Half<'a> = (&'a [ChainingValue], u64);

fn split(values: &[ChainingValue], len: u64) -> (Half<'_>, Half<'_>) {
    let left = left_subtree_len(len);
    let count = usize::try_from(left / SUBTREE)
        .unwrap_or(usize::MAX)
        .min(values.len());
    let (first, second) = values.split_at(count);
    ((first, left), (second, len - left))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_join_to_the_plain_digest() {
        let data: Vec<u8> = (0..u32::try_from(SUBTREE * 5 / 4).unwrap())
            .flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes())
            .collect();
        for len in [
            SUBTREE + 1,
            2 * SUBTREE,
            3 * SUBTREE,
            3 * SUBTREE + 1,
            5 * SUBTREE - 7,
        ] {
            let data = &data[..usize::try_from(len).unwrap()];
            let values: Vec<_> = data
                .chunks(usize::try_from(SUBTREE).unwrap())
                .enumerate()
                .map(|(index, part)| {
                    let mut subtree = Subtree::at(SUBTREE * index as u64);
                    part.chunks(1_000_000).for_each(|part| subtree.update(part));
                    subtree.finish()
                })
                .collect();
            assert_eq!(
                join(&values, len).unwrap(),
                Algorithm::Blake3.digest(data),
                "{len}"
            );
        }
    }
}
