//! Signing statements in the order that loses nothing: bundle durable, log acknowledged, indexed.
//!
//! A crash before the log leaves a draft that was never acknowledged; a crash behind it leaves a
//! draft whose leaf is in the log, and [`crate::recover`] finishes it: the next writer does, or
//! whoever asks for it.
//!
//! ```
//! # use std::sync::Arc;
//! # use custos_core::crypto::{KeyKind, KeyPair};
//! # use custos_core::{clock::Timestamp, digest::Algorithm};
//! # use custos_log::{Log, LogOptions, disk::sim::SimDisk, note::KeyPairSigner};
//! use custos_core::statement::{Statement, Subject};
//! use custos_evidence::{Store, StoreOptions, record::Recording};
//! use custos_trust::signer::KeySigner;
//! # let home = tempfile::tempdir().unwrap();
//! # let pair = KeyPair::generate(KeyKind::Ed25519).unwrap();
//! # let signer = Box::new(KeyPairSigner::new("example.com/log", pair).unwrap());
//! # let log = Log::create(Arc::new(SimDisk::new(1)), signer, LogOptions::batch()).unwrap();
//! # let now = Timestamp::from_seconds(1_800_000_000);
//!
//! let path = home.path().join("custos.db");
//! let store = Store::open(&path, StoreOptions::read_write(), now).unwrap();
//! let key = KeySigner::new(KeyPair::generate(KeyKind::P256).unwrap());
//! let subject = Subject::new("model", Algorithm::Sha256.digest(b"weights"));
//! let statement = Statement::new(vec![subject.clone()], "https://example.com/seen", &true);
//! let recording = Recording { store: &store, signer: &key, log: &log, now };
//! let kept = recording.record(&[statement.unwrap()]).unwrap();
//! assert_eq!(kept[0].log_index, 0);
//! assert_eq!(store.about(&subject.digest).unwrap()[0].bundle_digest, kept[0].digest);
//! ```

use custos_core::bundle::{Bundle, BundleError};
use custos_core::clock::Timestamp;
use custos_core::digest::Digest;
use custos_core::statement::Statement;
use custos_log::recorder::{Recorded, Recorder};
use custos_trust::seal::{SealError, Signed};
use custos_trust::signer::Signer;

use crate::store::{Draft, Entry, Store, StoreError};

/// A statement that is signed, logged, stored and indexed.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Kept {
    /// The bundle with its log entry.
    pub bundle: Vec<u8>,
    /// SHA-256 of it.
    pub digest: Digest,
    /// Where it stands in the log.
    pub log_index: u64,
    /// The bundle for others, where the signer entered it into their logs: with those entries.
    pub outward: Option<Vec<u8>>,
}

/// Where statements go, and in whose name.
#[derive(Clone, Copy)]
#[allow(clippy::exhaustive_structs, reason = "an argument list with names")]
pub struct Recording<'a> {
    /// Where bundles are kept.
    pub store: &'a Store,
    /// Who signs.
    pub signer: &'a dyn Signer,
    /// Which log.
    pub log: &'a dyn Recorder,
    /// The time of recording, written beside the rows.
    pub now: Timestamp,
}

impl Recording<'_> {
    /// Signs statements, records the signatures in the log in one batch, stores and indexes the
    /// bundles. When it returns, all of that is durable.
    pub fn record(&self, statements: &[Statement]) -> Result<Vec<Kept>, KeepError> {
        self.keep(Signed::new(statements, self.signer).map_err(KeepError::Seal)?)
    }

    /// Signs the file with this digest, and keeps its bundle like that of a statement. The index
    /// gets to know where it stands in the log, and nothing about the file: it says nothing of it.
    pub fn record_message(&self, digest: &Digest) -> Result<Vec<Kept>, KeepError> {
        self.keep(Signed::message(digest, self.signer).map_err(KeepError::Seal)?)
    }

    fn keep(&self, signed: Signed) -> Result<Vec<Kept>, KeepError> {
        let mut drafts = Vec::with_capacity(signed.leaves().len());
        for (bundle, leaf) in signed.unlogged().iter().zip(signed.leaves()) {
            drafts.push(Draft {
                bundle: bundle.to_bytes().map_err(KeepError::Bundle)?,
                leaf: leaf.clone(),
            });
        }
        // Until it is indexed, nobody takes the draft for one that a crash left behind.
        let _session = self.store.writing()?;
        let staged = self.store.stage(drafts, self.now)?;
        let outward = signed.publish(self.signer).map_err(KeepError::Seal)?;
        let bundles = signed.record(self.log).map_err(KeepError::Seal)?;
        let mut kept = Vec::with_capacity(bundles.len());
        let mut entries = Vec::with_capacity(bundles.len());
        for (bundle, staged) in bundles.into_iter().zip(staged) {
            let entry = bundle.verification_material.tlog_entries.first();
            let index = entry.and_then(|entry| entry.log_index.to_u64());
            let index = index.ok_or(KeepError::NoLogEntry)?;
            let bundle = bundle.to_bytes().map_err(KeepError::Bundle)?;
            kept.push((bundle.clone(), index));
            entries.push(Entry {
                bundle,
                staged: Some(staged),
            });
        }
        let digests = self.store.commit(entries, self.now)?;
        let kept = kept.into_iter().zip(digests).zip(outward);
        kept.map(|(((bundle, log_index), digest), outward)| {
            let outward = outward.map(|bundle| bundle.to_bytes()).transpose();
            Ok(Kept {
                bundle,
                digest,
                log_index,
                outward: outward.map_err(KeepError::Bundle)?,
            })
        })
        .collect()
    }
}

/// Returns the bytes of a bundle with its log entry added.
pub(crate) fn with_entry(
    mut bundle: Bundle,
    recorded: &Recorded,
    leaf: &[u8],
) -> Result<Vec<u8>, BundleError> {
    let material = std::mem::take(&mut bundle.verification_material);
    bundle.verification_material = material.with_entry(recorded.to_entry(leaf));
    bundle.to_bytes()
}

/// Why statements were not kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeepError {
    /// The bundle could not be written.
    #[error(transparent)]
    Bundle(BundleError),
    /// The bundle came back without an index in the log.
    #[error("the log gave no index")]
    NoLogEntry,
    /// It was not signed, or the log did not take it. In the latter case
    /// ([`SealError::Record`]) the drafts stay staged: some of them may be in the log.
    #[error(transparent)]
    Seal(SealError),
    /// It was not stored or not indexed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
