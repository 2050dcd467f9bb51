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
use custos_core::digest::{Algorithm, Digest};
use custos_core::statement::Statement;
use custos_log::recorder::{Recorded, Recorder};
use custos_trust::keyless::KeylessError;
use custos_trust::seal::{SealError, Signed};
use custos_trust::signer::{SignError, Signer};

use crate::store::{Draft, Entry, Staged, Store, StoreError};

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
        let mut signed = Signed::new(statements, self.signer).map_err(KeepError::Seal)?;
        self.keep(&mut signed)
    }

    /// Records, stores and indexes what the signer has just signed; of a file that was signed
    /// itself, the index gets to know where it stands in the log, and nothing about the file: it
    /// says nothing of it.
    ///
    /// After an error `signed` holds what the signer's services gave nevertheless, and says which
    /// of them is away. Its drafts stay staged unless it is certain that no log has them: some of
    /// them may be in the log. Whoever keeps what was signed elsewhere forgets them
    /// ([`Recording::forget`]).
    pub fn keep(&self, signed: &mut Signed) -> Result<Vec<Kept>, KeepError> {
        is_complete(signed)?;
        let mut drafts = Vec::with_capacity(signed.parts().len());
        for (bundle, part) in signed.unlogged().iter().zip(signed.parts()) {
            drafts.push(Draft {
                bundle: bundle.to_bytes().map_err(KeepError::Bundle)?,
                leaf: part.leaf.clone(),
            });
        }
        // Until it is indexed, nobody takes the draft for one that a crash left behind.
        let _session = self.store.writing()?;
        let staged = self.store.stage(drafts, self.now)?;
        if let Err(error) = signed.publish(self.signer) {
            if is_certain(&error, signed) {
                self.store.drop_staged(&staged)?;
            }
            return Err(KeepError::Seal(error));
        }
        is_complete(signed)?;
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
        let kept = kept.into_iter().zip(digests).zip(signed.published());
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

    /// Returns true if what was signed is still staged.
    pub fn has_drafts(&self, signed: &Signed) -> bool {
        self.drafts(signed).is_ok_and(|drafts| !drafts.is_empty())
    }

    /// Forgets the drafts of what was signed, which is kept elsewhere now.
    pub fn forget(&self, signed: &Signed) -> Result<(), StoreError> {
        self.store.drop_staged(&self.drafts(signed)?)
    }

    fn drafts(&self, signed: &Signed) -> Result<Vec<Staged>, StoreError> {
        let parts = signed.parts().iter();
        let leaves: Vec<Digest> = parts
            .map(|part| Algorithm::Sha256.digest(&part.leaf))
            .collect();
        let mut drafts = self.store.staged()?;
        drafts.retain(|draft| leaves.contains(&draft.leaf_digest));
        Ok(drafts)
    }
}

fn is_complete(signed: &Signed) -> Result<(), KeepError> {
    match signed.away() {
        Some(away) => Err(KeepError::Seal(SealError::Sign(away.clone().into()))),
        None => Ok(()),
    }
}

// A service said no, and none took anything: then nothing of it can be in any log.
fn is_certain(error: &SealError, signed: &Signed) -> bool {
    let SealError::Sign(SignError::Keyless(error)) = error else {
        return false;
    };
    let refused = matches!(
        **error,
        KeylessError::Refused { .. } | KeylessError::Config(_) | KeylessError::NotAUrl { .. }
    );
    let mut parts = signed.parts().iter();
    refused && signed.away().is_none() && parts.all(|part| part.progress.entries.is_empty())
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
