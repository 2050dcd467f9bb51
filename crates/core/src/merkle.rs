//! Merkle trees of RFC 6962 section 2.1 with SHA-256: roots, inclusion and consistency.
//!
//! One implementation serves the transparency log and the row digests of a dataset. Proofs are
//! verified by the iterative algorithms of RFC 9162 sections 2.1.3.2 and 2.1.4.2.

use sha2::{Digest as _, Sha256};

/// A node or root of a Merkle tree.
pub type Hash = [u8; 32];

/// Longest proof: a path in a tree of 2^63 leaves, or a consistency proof.
pub const MAX_PROOF_LEN: usize = 64;

/// Returns `SHA-256(0x00 || data)`.
pub fn leaf_hash(data: &[u8]) -> Hash {
    Sha256::new()
        .chain_update([0])
        .chain_update(data)
        .finalize()
        .into()
}

/// Returns `SHA-256(0x01 || left || right)`.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Sha256::new()
        .chain_update([1])
        .chain_update(left)
        .chain_update(right)
        .finalize()
        .into()
}

/// Returns the root of the empty tree, `SHA-256("")`.
pub fn empty_root() -> Hash {
    Sha256::digest([]).into()
}

/// Returns the root over leaf hashes.
///
/// ```
/// use custos_core::merkle;
/// let leaves: Vec<_> = [b"a", b"b", b"c"].iter().map(|row| merkle::leaf_hash(&row[..])).collect();
/// let root = merkle::root(&leaves);
/// let proof = merkle::inclusion_proof(&leaves, 2).unwrap();
/// merkle::verify_inclusion(&leaves[2], 2, 3, &proof, &root).unwrap();
/// ```
pub fn root(leaves: &[Hash]) -> Hash {
    let mut accumulator = Accumulator::new();
    for leaf in leaves {
        accumulator.push(*leaf);
    }
    accumulator.root()
}

/// Returns the inclusion proof of leaf `index`, leaf's sibling first; `None` if there is no such
/// leaf.
pub fn inclusion_proof(leaves: &[Hash], index: usize) -> Option<Vec<Hash>> {
    if index >= leaves.len() {
        return None;
    }
    let mut proof = Vec::new();
    let (mut part, mut at) = (leaves, index);
    while part.len() > 1 {
        let (left, right) = part.split_at(split(part.len()));
        if at < left.len() {
            proof.push(root(right));
            part = left;
        } else {
            proof.push(root(left));
            at = at.saturating_sub(left.len());
            part = right;
        }
    }
    proof.reverse();
    Some(proof)
}

/// Returns the inclusion proof of every leaf, in order: what [`inclusion_proof`] returns for each,
/// but every node of the tree is hashed once.
pub fn inclusion_proofs(leaves: &[Hash]) -> Vec<Vec<Hash>> {
    let mut proofs = vec![Vec::new(); leaves.len()];
    let mut level = leaves.to_vec();
    let mut height = 0_u32;
    while level.len() > 1 {
        for (index, proof) in proofs.iter_mut().enumerate() {
            let node = index.checked_shr(height).unwrap_or_default();
            // The last node of an odd level has no sibling there; it moves up as it is.
            proof.extend(level.get(node ^ 1).copied());
        }
        let above = level.chunks(2).map(|pair| match pair {
            [left, right] => node_hash(left, right),
            rest => rest.first().copied().unwrap_or_default(),
        });
        level = above.collect();
        height = height.saturating_add(1);
    }
    proofs
}

/// Verifies that `leaf` stands at `index` in the tree of `size` leaves with root `root`.
#[allow(
    clippy::too_many_arguments,
    reason = "the inputs that RFC 9162 section 2.1.3.2 names"
)]
pub fn verify_inclusion(
    leaf: &Hash,
    index: u64,
    size: u64,
    proof: &[Hash],
    root: &Hash,
) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::IndexOutside);
    }
    let (mut node, mut last) = (index, size.saturating_sub(1));
    let mut hash = *leaf;
    for sibling in proof {
        if last == 0 {
            return Err(ProofError::WrongLength);
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(ProofError::WrongLength);
    }
    if hash == *root {
        Ok(())
    } else {
        Err(ProofError::RootMismatch)
    }
}

/// Two sizes and roots of one log, and the proof that the second extends the first.
#[derive(Debug, Clone, Copy)]
#[allow(clippy::exhaustive_structs, reason = "an argument list with names")]
pub struct Consistency<'a> {
    /// Size of the earlier tree.
    pub old_size: u64,
    /// Root of the earlier tree.
    pub old_root: &'a Hash,
    /// Size of the later tree.
    pub new_size: u64,
    /// Root of the later tree.
    pub new_root: &'a Hash,
    /// The hashes of the proof.
    pub proof: &'a [Hash],
}

/// Verifies that the later tree extends the earlier one.
pub fn verify_consistency(claim: &Consistency<'_>) -> Result<(), ProofError> {
    let Consistency {
        old_size,
        old_root,
        new_size,
        new_root,
        proof,
    } = *claim;
    if old_size > new_size {
        return Err(ProofError::IndexOutside);
    }
    if old_size == new_size || old_size == 0 {
        return verify_without_proof(claim);
    }
    let (mut node, mut last) = (old_size.saturating_sub(1), new_size.saturating_sub(1));
    while node & 1 == 1 {
        node >>= 1;
        last >>= 1;
    }
    // A tree whose size is a power of two is itself the first hash, and is left out.
    let (first, rest) = if old_size.is_power_of_two() {
        (*old_root, proof)
    } else {
        let (first, rest) = proof.split_first().ok_or(ProofError::WrongLength)?;
        (*first, rest)
    };
    let (mut old_hash, mut new_hash) = (first, first);
    for sibling in rest {
        if last == 0 {
            return Err(ProofError::WrongLength);
        }
        if node & 1 == 1 || node == last {
            old_hash = node_hash(sibling, &old_hash);
            new_hash = node_hash(sibling, &new_hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            new_hash = node_hash(&new_hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(ProofError::WrongLength);
    }
    if old_hash == *old_root && new_hash == *new_root {
        Ok(())
    } else {
        Err(ProofError::RootMismatch)
    }
}

// The empty tree is the beginning of every tree, and a tree is its own: there is nothing to prove.
fn verify_without_proof(claim: &Consistency<'_>) -> Result<(), ProofError> {
    if !claim.proof.is_empty() {
        return Err(ProofError::WrongLength);
    }
    let expected = if claim.old_size == 0 {
        empty_root()
    } else {
        *claim.new_root
    };
    if *claim.old_root == expected {
        Ok(())
    } else {
        Err(ProofError::RootMismatch)
    }
}

/// A growing tree that keeps only its right edge: at most 64 hashes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Accumulator {
    size: u64,
    // Roots of the perfect subtrees that make up the tree, largest first.
    edge: Vec<Hash>,
}

impl Accumulator {
    /// Returns the empty tree.
    pub const fn new() -> Self {
        Self {
            size: 0,
            edge: Vec::new(),
        }
    }

    /// Appends a leaf hash.
    pub fn push(&mut self, leaf: Hash) {
        let mut hash = leaf;
        let mut full = self.size;
        while full & 1 == 1 {
            if let Some(left) = self.edge.pop() {
                hash = node_hash(&left, &hash);
            }
            full >>= 1;
        }
        self.edge.push(hash);
        self.size = self.size.saturating_add(1);
    }

    /// Returns the number of leaves.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Returns the root.
    pub fn root(&self) -> Hash {
        let mut edge = self.edge.iter().rev();
        match edge.next() {
            None => empty_root(),
            Some(last) => edge.fold(*last, |right, left| node_hash(left, &right)),
        }
    }
}

// The largest power of two below `len`, for `len` > 1 (RFC 6962 section 2.1).
fn split(len: usize) -> usize {
    let mut k = 1_usize;
    while k.saturating_mul(2) < len {
        k = k.saturating_mul(2);
    }
    k
}

/// Why a proof does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProofError {
    /// The index is not below the size, or the old size above the new one.
    #[error("the index lies outside of the tree")]
    IndexOutside,
    /// The hashes lead to another root.
    #[error("the proof leads to another root")]
    RootMismatch,
    /// More or fewer hashes than the sizes need.
    #[error("the proof has the wrong number of hashes")]
    WrongLength,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn leaves(n: usize) -> Vec<Hash> {
        (0..n).map(|i| leaf_hash(&i.to_be_bytes())).collect()
    }

    // RFC 6962 section 2.1.2, straight from its recursive definition.
    fn consistency(m: usize, part: &[Hash], whole: bool) -> Vec<Hash> {
        if m == part.len() {
            return if whole { Vec::new() } else { vec![root(part)] };
        }
        let k = split(part.len());
        let mut proof;
        if m <= k {
            proof = consistency(m, &part[..k], whole);
            proof.push(root(&part[k..]));
        } else {
            proof = consistency(m - k, &part[k..], false);
            proof.push(root(&part[..k]));
        }
        proof
    }

    #[test]
    fn all_proofs_at_once_are_those_one_by_one() {
        for size in 0..70_u8 {
            let leaves: Vec<Hash> = (0..size).map(|leaf| leaf_hash(&[leaf])).collect();
            let each: Vec<_> = (0..leaves.len())
                .map(|index| inclusion_proof(&leaves, index).unwrap())
                .collect();
            assert_eq!(inclusion_proofs(&leaves), each, "{size} leaves");
        }
    }

    #[test]
    fn known_roots() {
        assert_eq!(
            hex::encode(empty_root()),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        // Root over the eight leaves of the certificate-transparency test data.
        let data: [&[u8]; 8] = [
            b"",
            b"\x00",
            b"\x10",
            b"\x20\x21",
            b"\x30\x31",
            b"\x40\x41\x42\x43",
            b"\x50\x51\x52\x53\x54\x55\x56\x57",
            b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
        ];
        let hashes: Vec<Hash> = data.iter().map(|d| leaf_hash(d)).collect();
        assert_eq!(
            hex::encode(root(&hashes)),
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"
        );
    }

    #[test]
    fn every_inclusion_and_consistency_of_small_trees() {
        let all = leaves(34);
        for n in 1..=all.len() {
            let tree = &all[..n];
            let top = root(tree);
            for i in 0..n {
                let proof = inclusion_proof(tree, i).unwrap();
                verify_inclusion(&tree[i], i as u64, n as u64, &proof, &top).unwrap();
                for j in (0..n).filter(|j| *j != i) {
                    assert!(verify_inclusion(&tree[i], j as u64, n as u64, &proof, &top).is_err());
                }
            }
            for m in 1..=n {
                let proof = consistency(m, tree, true);
                let claim = Consistency {
                    old_size: m as u64,
                    old_root: &root(&tree[..m]),
                    new_size: n as u64,
                    new_root: &top,
                    proof: &proof,
                };
                verify_consistency(&claim).unwrap();
                let other = leaf_hash(b"other");
                assert!(
                    verify_consistency(&Consistency {
                        old_root: &other,
                        ..claim
                    })
                    .is_err()
                );
                if m < n {
                    assert!(
                        verify_consistency(&Consistency {
                            new_root: &other,
                            ..claim
                        })
                        .is_err()
                    );
                }
            }
        }
    }

    proptest! {
        #[test]
        fn a_changed_proof_never_verifies(n in 1_usize..200, i in 0_usize..200, at in 0_usize..9,
                                         bit in 0_u8..8) {
            let tree = leaves(n);
            let i = i % n;
            let mut proof = inclusion_proof(&tree, i).unwrap();
            let top = root(&tree);
            if proof.is_empty() {
                proof.push(top);
            } else {
                let k = at % proof.len();
                proof[k][0] ^= 1 << bit;
            }
            prop_assert!(verify_inclusion(&tree[i], i as u64, n as u64, &proof, &top).is_err());
        }
    }
}
