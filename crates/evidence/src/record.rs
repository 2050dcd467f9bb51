//! Signing statements in the order that loses nothing: bundle durable, log acknowledged, indexed.
//!
//! A crash before the log leaves a draft that was never acknowledged; a crash behind it leaves a
//! draft whose leaf is in the log, and [`crate::recover`] finishes it.

use custos_core::bundle::{Bundle, BundleError};
use custos_core::clock::Timestamp;
use custos_core::digest::Digest;
use custos_core::entry::{EntryError, HashedRekord, Verifier};
use custos_core::statement::Statement;
use custos_log::recorder::{RecordError, Recorded, Recorder};
use custos_trust::seal::{SealError, sign_statements};
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
        let bundles = sign_statements(statements, self.signer, None).map_err(KeepError::Seal)?;
        let mut drafts = Vec::with_capacity(bundles.len());
        for bundle in &bundles {
            let leaf = leaf_of(bundle, self.signer)?;
            drafts.push(Draft {
                bundle: bundle.to_bytes().map_err(KeepError::Bundle)?,
                leaf,
            });
        }
        let leaves: Vec<Vec<u8>> = drafts.iter().map(|draft| draft.leaf.clone()).collect();
        let staged = self.store.stage(drafts, self.now)?;
        let answers = self.log.record(&leaves).map_err(KeepError::Record)?;
        if answers.len() != leaves.len() {
            return Err(KeepError::RecorderCount {
                expected: leaves.len(),
                found: answers.len(),
            });
        }
        let mut kept = Vec::with_capacity(bundles.len());
        let mut entries = Vec::with_capacity(bundles.len());
        for ((bundle, staged), answer) in bundles.into_iter().zip(staged).zip(&answers) {
            let bundle = with_entry(bundle, answer, &staged.leaf).map_err(KeepError::Bundle)?;
            kept.push((bundle.clone(), answer.index));
            entries.push(Entry {
                bundle,
                staged: Some(staged),
            });
        }
        let digests = self.store.commit(entries, self.now)?;
        let kept = kept.into_iter().zip(digests);
        Ok(kept
            .map(|((bundle, log_index), digest)| Kept {
                bundle,
                digest,
                log_index,
            })
            .collect())
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

fn leaf_of(bundle: &Bundle, signer: &dyn Signer) -> Result<Vec<u8>, KeepError> {
    let envelope = bundle.dsse_envelope.as_ref();
    let (Some(envelope), Some(signature)) = (
        envelope,
        envelope.and_then(|envelope| envelope.signatures.first()),
    ) else {
        return Err(KeepError::Bundle(BundleError::ContentCount));
    };
    let verifier = match signer.certificate_chain().and_then(<[_]>::first) {
        Some(leaf) => Verifier::Certificate(leaf.clone()),
        None => Verifier::PublicKey(signer.public_key().as_spki_der().to_vec()),
    };
    let entry = HashedRekord::over(
        &envelope.pae(),
        signature.sig.0.clone(),
        verifier,
        signer.scheme(),
    );
    entry.to_leaf().map_err(KeepError::Entry)
}

/// Why statements were not kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeepError {
    /// The bundle could not be written.
    #[error(transparent)]
    Bundle(BundleError),
    /// The log entry could not be made.
    #[error(transparent)]
    Entry(EntryError),
    /// The log did not take it. The drafts stay staged: some of them may be in the log.
    #[error("the signature was not logged: {0}")]
    Record(RecordError),
    /// The log answered for another number of leaves.
    #[error("the log answered for {found} leaves instead of {expected}")]
    RecorderCount {
        /// Leaves handed over.
        expected: usize,
        /// Answers.
        found: usize,
    },
    /// It was not signed.
    #[error(transparent)]
    Seal(SealError),
    /// It was not stored or not indexed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
