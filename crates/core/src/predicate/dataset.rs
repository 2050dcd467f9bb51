//! `urn:custos:attestation:dataset:v1`: what a dataset is, where it comes from, and a Merkle root
//! by which single rows can be traced.
//!
//! The subject is the dataset (a file or a tree). Fields: `docs/predicates/dataset.md`. It says
//! nothing about quality: evaluations and scans are statements of their own.

use serde::{Deserialize, Serialize};

use super::Predicate;
use super::check::{Check, Fault, Problem};
use crate::digest::{Algorithm, Digest, DigestSet};
use crate::merkle::{self, Hash, ProofError};
use crate::statement::ResourceDescriptor;

/// A dataset.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Dataset {
    /// Name.
    pub name: String,
    /// Version of the data, as its publisher counts.
    pub version: String,
    /// Licence as an SPDX expression, or `LicenseRef-...`.
    pub licence: String,
    /// Where the data comes from, each by URI or digest.
    pub sources: Vec<ResourceDescriptor>,
    /// Number of records.
    pub records: u64,
    /// What a record holds: `image`, `text`, `audio`, `tabular`, ...
    pub modalities: Vec<String>,
    /// How the modalities of a record came together; required for two or more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pairing: Option<Pairing>,
    /// Splits such as `train` and `heldout`, if the data is split.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub splits: Vec<Split>,
    /// Merkle tree over row digests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<RowTree>,
}

/// How the modalities of a record came together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pairing {
    /// True if somebody put the pairs together, false if they were found as pairs.
    pub constructed: bool,
    /// How, in words.
    pub description: String,
}

/// One split.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Split {
    /// Name.
    pub name: String,
    /// Number of records.
    pub records: u64,
    /// Digest, where the split is an artifact of its own.
    #[serde(default, skip_serializing_if = "DigestSet::is_empty")]
    pub digest: DigestSet,
}

/// A Merkle tree over row digests: RFC 6962 section 2.1 with SHA-256, where the data of leaf `i`
/// are the 32 bytes of the SHA-256 digest of row `i`.
///
/// ```
/// use custos_core::digest::Algorithm;
/// use custos_core::predicate::dataset::{RowKind, RowTree};
/// let rows: Vec<_> =
///     ["a,1", "b,2", "c,3"].iter().map(|row| Algorithm::Sha256.digest(row.as_bytes())).collect();
/// let tree = RowTree::over(RowKind::Record, &rows).unwrap();
/// let proof = RowTree::prove(&rows, 1).unwrap();
/// tree.verify(&rows[1], &proof).unwrap();
/// assert!(tree.verify(&rows[0], &proof).is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RowTree {
    /// Always [`RowTree::ALGORITHM`].
    pub algorithm: String,
    /// What a row is.
    pub row_kind: RowKind,
    /// Number of rows.
    pub tree_size: u64,
    /// Root hash, lower-case hex.
    pub root: String,
}

/// What a row of a [`RowTree`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RowKind {
    /// A file of a tree, in the byte order of the paths; the digest is of its bytes.
    File,
    /// A member of an archive, in the order of the archive; the digest is of its bytes.
    Member,
    /// A record of a file, in the order of the file; the digest is of its bytes without the
    /// record separator.
    Record,
}

/// The proof that a row stands at an index of a [`RowTree`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RowProof {
    /// Index of the row, from 0.
    pub index: u64,
    /// Sibling hashes, leaf's sibling first, lower-case hex.
    pub hashes: Vec<String>,
}

impl RowTree {
    /// The only algorithm.
    pub const ALGORITHM: &str = "rfc6962-sha256";

    /// Returns the tree over row digests, which must be SHA-256 and at least one.
    pub fn over(row_kind: RowKind, rows: &[Digest]) -> Result<Self, RowError> {
        if rows.is_empty() {
            return Err(RowError::NoRows);
        }
        let mut tree = merkle::Accumulator::new();
        for (index, row) in rows.iter().enumerate() {
            tree.push(leaf(row).ok_or(RowError::NotSha256 { index })?);
        }
        Ok(Self {
            algorithm: Self::ALGORITHM.to_owned(),
            row_kind,
            tree_size: tree.size(),
            root: hex::encode(tree.root()),
        })
    }

    /// Returns the proof of row `index` in the tree over `rows`.
    pub fn prove(rows: &[Digest], index: usize) -> Result<RowProof, RowError> {
        let mut leaves = Vec::with_capacity(rows.len());
        for (index, row) in rows.iter().enumerate() {
            leaves.push(leaf(row).ok_or(RowError::NotSha256 { index })?);
        }
        let proof = merkle::inclusion_proof(&leaves, index)
            .ok_or(RowError::Proof(ProofError::IndexOutside))?;
        let index = u64::try_from(index).map_err(|_| RowError::Proof(ProofError::IndexOutside))?;
        Ok(RowProof {
            index,
            hashes: proof.iter().map(hex::encode).collect(),
        })
    }

    /// Returns the proof of every row in the tree over `rows`, in order.
    pub fn prove_all(rows: &[Digest]) -> Result<Vec<RowProof>, RowError> {
        let leaves = rows
            .iter()
            .enumerate()
            .map(|(index, row)| leaf(row).ok_or(RowError::NotSha256 { index }))
            .collect::<Result<Vec<_>, _>>()?;
        let proofs = (0_u64..).zip(merkle::inclusion_proofs(&leaves));
        Ok(proofs
            .map(|(index, hashes)| RowProof {
                index,
                hashes: hashes.iter().map(hex::encode).collect(),
            })
            .collect())
    }

    /// Verifies that the row with digest `row` stands where `proof` says.
    pub fn verify(&self, row: &Digest, proof: &RowProof) -> Result<(), RowError> {
        if self.algorithm != Self::ALGORITHM {
            return Err(RowError::UnknownAlgorithm {
                found: self.algorithm.clone(),
            });
        }
        if proof.hashes.len() > merkle::MAX_PROOF_LEN {
            return Err(RowError::Proof(ProofError::WrongLength));
        }
        let root = hash(&self.root)?;
        let hashes: Vec<Hash> = proof
            .hashes
            .iter()
            .map(|text| hash(text))
            .collect::<Result<_, _>>()?;
        let leaf = leaf(row).ok_or(RowError::NotSha256 { index: 0 })?;
        merkle::verify_inclusion(&leaf, proof.index, self.tree_size, &hashes, &root)
            .map_err(RowError::Proof)
    }
}

impl Predicate for Dataset {
    const TYPE: &'static str = own_type!("dataset:v1");

    fn faults(&self) -> Vec<Fault> {
        let mut check = Check::new();
        check.text("name", &self.name);
        check.text("version", &self.version);
        check.text("licence", &self.licence);
        check.fail_if(self.sources.is_empty(), "sources", Problem::Empty);
        for (index, source) in self.sources.iter().enumerate() {
            check.reference(&format!("sources[{index}]"), source);
        }
        check.fail_if(self.records == 0, "records", Problem::Zero);
        check.fail_if(self.modalities.is_empty(), "modalities", Problem::Empty);
        let mut modalities = std::collections::BTreeSet::new();
        for (index, modality) in self.modalities.iter().enumerate() {
            let path = format!("modalities[{index}]");
            check.text(path.as_str(), modality);
            check.fail_if(!modalities.insert(modality), path, Problem::Duplicate);
        }
        match &self.pairing {
            Some(pairing) => check.text("pairing.description", &pairing.description),
            None => check.fail_if(self.modalities.len() > 1, "pairing", Problem::Empty),
        }
        self.check_splits(&mut check);
        self.check_rows(&mut check);
        check.done()
    }
}

impl Dataset {
    fn check_splits(&self, check: &mut Check) {
        check.unique(
            "splits",
            "name",
            self.splits.iter().map(|split| split.name.as_str()),
        );
        for (index, split) in self.splits.iter().enumerate() {
            if !split.digest.is_empty() {
                check.digests(format!("splits[{index}].digest"), &split.digest);
            }
        }
        let records = self
            .splits
            .iter()
            .fold(0_u64, |sum, split| sum.saturating_add(split.records));
        // Splits may leave records out, but cannot hold more than there are.
        check.fail_if(records > self.records, "splits", Problem::Contradiction);
    }

    fn check_rows(&self, check: &mut Check) {
        let Some(rows) = &self.rows else { return };
        check.fail_if(
            rows.algorithm != RowTree::ALGORITHM,
            "rows.algorithm",
            Problem::OutOfRange,
        );
        check.fail_if(rows.tree_size == 0, "rows.treeSize", Problem::Zero);
        check.fail_if(hash(&rows.root).is_err(), "rows.root", Problem::NotADigest);
        let differs = rows.row_kind == RowKind::Record && rows.tree_size != self.records;
        check.fail_if(differs, "rows.treeSize", Problem::Contradiction);
    }
}

/// Why rows make no tree, or a proof does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RowError {
    /// A tree over nothing proves nothing.
    #[error("there are no rows")]
    NoRows,
    /// A root or sibling is not 64 digits of lower-case hex.
    #[error("a hash of the proof is not 64 digits of lower-case hexadecimal")]
    NotAHash,
    /// A row's digest is of another algorithm.
    #[error("the digest of row {index} is not SHA-256")]
    NotSha256 {
        /// Index of the row.
        index: usize,
    },
    /// The proof does not hold.
    #[error(transparent)]
    Proof(ProofError),
    /// The tree is of another kind.
    #[error("the row tree uses `{found}`, which is not known here")]
    UnknownAlgorithm {
        /// The algorithm named.
        found: String,
    },
}

fn leaf(row: &Digest) -> Option<Hash> {
    row.to_sha256().map(|bytes| merkle::leaf_hash(&bytes))
}

fn hash(text: &str) -> Result<Hash, RowError> {
    Digest::from_hex(Algorithm::Sha256, text)
        .ok()
        .and_then(|digest| digest.to_sha256())
        .ok_or(RowError::NotAHash)
}

#[cfg(test)]
impl Dataset {
    pub(crate) fn example() -> Self {
        let rows: Vec<Digest> = (0_u8..10)
            .map(|row| Algorithm::Sha256.digest(&[row]))
            .collect();
        Self {
            name: "signs".into(),
            version: "2026-11".into(),
            licence: "CC-BY-4.0".into(),
            sources: vec![
                ResourceDescriptor::new("upstream", Algorithm::Sha256.digest(b"x"))
                    .with_uri("https://example.com/signs.tar"),
            ],
            records: 10,
            modalities: vec!["image".into(), "text".into()],
            pairing: Some(Pairing {
                constructed: true,
                description: "by shared label".into(),
            }),
            splits: vec![Split {
                name: "train".into(),
                records: 8,
                digest: Algorithm::Sha256.digest(b"train").into(),
            }],
            rows: Some(RowTree::over(RowKind::Record, &rows).unwrap()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_fault_is_named() {
        let mut data = Dataset::example();
        assert_eq!(data.faults(), []);
        data.licence.clear();
        data.sources[0] = ResourceDescriptor::default();
        data.modalities.push("text".into());
        data.pairing = None;
        data.splits.push(Split {
            name: "train".into(),
            records: 9,
            digest: DigestSet::new(),
        });
        let rows = data.rows.as_mut().unwrap();
        rows.tree_size = 9;
        rows.root = rows.root.to_uppercase();
        assert_eq!(
            data.faults(),
            [
                Fault::new("licence", Problem::Empty),
                Fault::new("sources[0]", Problem::Empty),
                Fault::new("modalities[2]", Problem::Duplicate),
                Fault::new("pairing", Problem::Empty),
                Fault::new("splits[1].name", Problem::Duplicate),
                Fault::new("splits", Problem::Contradiction),
                Fault::new("rows.root", Problem::NotADigest),
                Fault::new("rows.treeSize", Problem::Contradiction),
            ]
        );
    }

    #[test]
    fn an_empty_dataset_is_unsound() {
        let mut data = Dataset::example();
        data.records = 0;
        data.modalities.clear();
        data.sources.clear();
        let faults = data.faults();
        for (path, problem) in [
            ("records", Problem::Zero),
            ("modalities", Problem::Empty),
            ("sources", Problem::Empty),
        ] {
            assert!(faults.contains(&Fault::new(path, problem)), "{path}");
        }
    }

    #[test]
    fn only_sha256_rows_make_a_tree() {
        let rows = [
            Algorithm::Sha256.digest(b"a"),
            Algorithm::Blake3.digest(b"a"),
        ];
        assert_eq!(
            RowTree::over(RowKind::File, &rows),
            Err(RowError::NotSha256 { index: 1 })
        );
        assert_eq!(RowTree::over(RowKind::File, &[]), Err(RowError::NoRows));
        assert_eq!(
            RowTree::prove(&rows[..1], 1),
            Err(RowError::Proof(ProofError::IndexOutside))
        );
    }

    #[test]
    fn a_tree_of_an_unknown_kind_proves_nothing() {
        let rows = [Algorithm::Sha256.digest(b"a")];
        let mut tree = RowTree::over(RowKind::Member, &rows).unwrap();
        let mut proof = RowTree::prove(&rows, 0).unwrap();
        tree.verify(&rows[0], &proof).unwrap();
        proof.hashes = vec!["00".into()];
        assert_eq!(tree.verify(&rows[0], &proof), Err(RowError::NotAHash));
        tree.algorithm = "md5".into();
        assert!(matches!(
            tree.verify(&rows[0], &proof),
            Err(RowError::UnknownAlgorithm { .. })
        ));
    }

    proptest! {
        #[test]
        fn each_row_proves_itself_and_no_other(n in 1_usize..60, i in 0_usize..60, j in 0_usize..60) {
            let rows: Vec<Digest> =
                (0..n).map(|row| Algorithm::Sha256.digest(&row.to_be_bytes())).collect();
            let (i, j) = (i % n, j % n);
            let tree = RowTree::over(RowKind::Record, &rows).unwrap();
            let proof = RowTree::prove(&rows, i).unwrap();
            prop_assert_eq!(tree.verify(&rows[j], &proof).is_ok(), i == j);
        }
    }
}
