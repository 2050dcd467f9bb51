//! What the tests share: a log key, leaves, and a record of what was promised.

use std::sync::Arc;

use custos_core::crypto::{KeyKind, KeyPair};
use custos_core::merkle;
use custos_log::checkpoint::{SignedCheckpoint, VerifiedCheckpoint};
use custos_log::disk::Disk;
use custos_log::note::{KeyPairSigner, NoteSigner as _, VerifierKey};
use custos_log::proof::verify_inclusion;
use custos_log::{Log, LogOptions, LogReader, RecordError, Recorder as _};

pub const ORIGIN: &str = "example.com/test-log";

/// Returns the signer of all test logs: the same key each time.
pub fn signer() -> Box<KeyPairSigner> {
    let mut der = b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20".to_vec();
    der.extend_from_slice(&[7; 32]);
    let pair = KeyPair::from_pkcs8_der(&der).unwrap();
    assert_eq!(pair.public_key().kind(), KeyKind::Ed25519);
    Box::new(KeyPairSigner::new(ORIGIN, pair).unwrap())
}

pub fn key() -> VerifierKey {
    signer().verifier_key().clone()
}

/// Returns options with segments so small that they are changed often.
pub fn small() -> LogOptions {
    let mut options = LogOptions::batch();
    options.segment_bytes = 32 << 10;
    options
}

/// Returns a server's options, with segments as small.
pub fn server() -> LogOptions {
    let mut options = LogOptions::life();
    options.segment_bytes = 32 << 10;
    options
}

pub fn open(disk: &Arc<dyn Disk>) -> Result<Log, RecordError> {
    Log::open_or_create(Arc::clone(disk), signer(), small())
}

pub fn leaf(n: u64) -> Vec<u8> {
    let len = usize::try_from(n.wrapping_mul(7919) % 300).unwrap();
    format!("leaf {n} {}", "x".repeat(len)).into_bytes()
}

pub fn verified(text: &str) -> VerifiedCheckpoint {
    SignedCheckpoint::open(text.as_bytes(), &[key()]).unwrap()
}

/// Everything that a log has promised so far.
#[derive(Debug, Clone, Default)]
pub struct Promises {
    pub leaves: Vec<(u64, Vec<u8>)>,
    pub checkpoints: Vec<VerifiedCheckpoint>,
}

impl Promises {
    /// Records leaves and keeps what was promised, which must verify by itself.
    pub fn record(&mut self, log: &Log, leaves: &[Vec<u8>]) -> Result<(), RecordError> {
        let recorded = log.record(leaves)?;
        assert_eq!(recorded.len(), leaves.len());
        let Some(last) = recorded.last() else {
            return Ok(());
        };
        let checkpoint = verified(&last.checkpoint);
        for (answer, leaf) in recorded.iter().zip(leaves) {
            assert_eq!(answer.checkpoint, last.checkpoint);
            assert_eq!(
                (checkpoint.size(), *checkpoint.root()),
                (answer.tree_size, answer.root)
            );
            verify_inclusion(
                &merkle::leaf_hash(leaf),
                answer.index,
                checkpoint.size(),
                &answer.hashes,
                checkpoint.root(),
            )
            .unwrap();
            self.leaves.push((answer.index, leaf.clone()));
        }
        self.checkpoints
            .extend(recorded.last().map(|answer| verified(&answer.checkpoint)));
        Ok(())
    }

    /// Checks that the log on `disk` keeps every promise, and adds its head to them.
    pub fn check(&mut self, disk: &Arc<dyn Disk>) {
        let reader = LogReader::new(Arc::clone(disk), key());
        let latest = reader.latest().unwrap();
        for checkpoint in &self.checkpoints {
            reader.extends(checkpoint, &latest).unwrap();
        }
        let mut entries = Vec::new();
        reader
            .for_each(0..latest.size(), &latest, |_, entry| {
                entries.push(entry.to_vec());
                Ok::<(), RecordError>(())
            })
            .unwrap();
        assert_eq!(entries.len() as u64, latest.size());
        for (index, leaf) in &self.leaves {
            assert_eq!(entries.get(usize::try_from(*index).unwrap()), Some(leaf));
        }
        self.checkpoints.push(latest);
    }
}
