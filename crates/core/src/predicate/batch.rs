//! `urn:custos:attestation:batch:v1`: many artifacts under one signature.
//!
//! The subject is a list of artifacts, a line each: digest, two spaces, name, as `sha256sum` writes
//! it. The predicate holds the Merkle root over the lines, so that one line with its inclusion proof
//! stands for itself. Fields: `docs/predicates/batch.md`.

use serde::{Deserialize, Serialize};

use super::Predicate;
use super::check::{Check, Fault, Problem};
use super::dataset::{RowKind, RowTree};
use crate::digest::{Algorithm, Digest};

/// Longest name in a line, in bytes.
pub const MAX_NAME: usize = 4_096;

/// A batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Batch {
    /// Merkle tree over the lines of the list, which are its records.
    pub artifacts: RowTree,
}

impl Predicate for Batch {
    const TYPE: &'static str = own_type!("batch:v1");

    fn faults(&self) -> Vec<Fault> {
        let mut check = Check::new();
        let tree = &self.artifacts;
        check.fail_if(
            tree.algorithm != RowTree::ALGORITHM || tree.row_kind != RowKind::Record,
            "artifacts",
            Problem::OutOfRange,
        );
        check.fail_if(tree.tree_size == 0, "artifacts.treeSize", Problem::Zero);
        check.fail_if(
            Digest::from_hex(Algorithm::Sha256, &tree.root).is_err(),
            "artifacts.root",
            Problem::NotADigest,
        );
        check.done()
    }
}

/// Reads a line of a batch's list: `sha256:HEX  NAME`, or `HEX  NAME`.
///
/// ```
/// use custos_core::predicate::batch;
/// let line = format!("{}  model.gguf", "ab".repeat(32));
/// let (digest, name) = batch::parse_line(&line).unwrap();
/// assert_eq!((digest.to_string(), name), (format!("sha256:{}", "ab".repeat(32)), "model.gguf"));
/// assert_eq!(batch::parse_line("model.gguf"), None);
/// ```
pub fn parse_line(line: &str) -> Option<(Digest, &str)> {
    let (digest, name) = line.split_once("  ")?;
    let hex = digest.strip_prefix("sha256:").unwrap_or(digest);
    let digest = Digest::from_hex(Algorithm::Sha256, hex).ok()?;
    let sound =
        !name.trim().is_empty() && name.len() <= MAX_NAME && !name.contains(char::is_control);
    sound.then_some((digest, name))
}

#[cfg(test)]
impl Batch {
    pub(crate) fn example() -> Self {
        let lines: Vec<Digest> = (0_u8..10).map(|n| Algorithm::Sha256.digest(&[n])).collect();
        Self {
            artifacts: RowTree::over(RowKind::Record, &lines).unwrap(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_has_a_root_over_lines() {
        assert_eq!(Batch::example().faults(), []);
        let mut batch = Batch::example();
        batch.artifacts.tree_size = 0;
        batch.artifacts.row_kind = RowKind::File;
        batch.artifacts.root = "00".into();
        assert_eq!(batch.faults().len(), 3);
    }

    #[test]
    fn lines_are_read_strictly() {
        let hex = "0f".repeat(32);
        for line in [
            format!("{hex} one space"),
            format!("{hex}  "),
            format!("{}  short", &hex[2..]),
            format!("{}  upper", hex.to_uppercase()),
            format!("sha512:{hex}  other"),
            format!("{hex}  a\tb"),
            format!("{hex}  {}", "n".repeat(MAX_NAME + 1)),
            String::new(),
        ] {
            assert_eq!(parse_line(&line), None, "{line}");
        }
        let line = format!("sha256:{hex}  dir/two  spaces");
        assert_eq!(parse_line(&line).unwrap().1, "dir/two  spaces");
    }

    #[test]
    fn every_line_has_a_proof() {
        let lines: Vec<Digest> = (0_u8..23).map(|n| Algorithm::Sha256.digest(&[n])).collect();
        let tree = RowTree::over(RowKind::Record, &lines).unwrap();
        for (at, proof) in RowTree::prove_all(&lines).unwrap().iter().enumerate() {
            tree.verify(&lines[at], proof).unwrap();
            assert!(tree.verify(&lines[(at + 1) % 23], proof).is_err());
        }
    }
}
