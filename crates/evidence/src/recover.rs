//! Rebuilding the index, and finishing what a crash interrupted.
//!
//! The index holds nothing that the bundles do not say, so it can be thrown away. A draft whose
//! leaf stands in the log was acknowledged, or could have been, and is finished. A draft whose
//! leaf does not stand there was never acknowledged; it is reported, and whoever asks decides.

use std::collections::{BTreeMap, BTreeSet};

use custos_core::bundle::{Bundle, BundleError};
use custos_core::clock::Timestamp;
use custos_core::digest::{Algorithm, Digest};
use custos_log::reader::LogReader;
use custos_log::recorder::RecordError;

use crate::record::with_entry;
use crate::store::{Entry, Staged, Store, StoreError};

/// Most missing entries that are listed one by one.
pub const MAX_LISTED: usize = 1_000;

/// What was found and done.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recovery {
    /// Bundles in the store afterwards.
    pub bundles: usize,
    /// Bundles that are no longer what they were.
    pub damaged: Vec<(Digest, StoreError)>,
    /// Drafts whose leaf was in the log, as finished bundles.
    pub finished: Vec<Digest>,
    /// Drafts whose leaf is not in the log; they are still there.
    pub unlogged: Vec<Staged>,
    /// Entries of the log without a bundle in the store, the first [`MAX_LISTED`].
    pub missing: Vec<u64>,
    /// How many entries of the log have no bundle in the store.
    pub missing_count: u64,
}

/// Finishes drafts, rebuilds the whole index from the bundles, and compares it with the log.
pub fn reindex(store: &Store, log: &LogReader, now: Timestamp) -> Result<Recovery, RecoverError> {
    let (finished, unlogged) = finish(store, log, now)?;
    let damaged = store.wait(store.inner().rebuild(now))?;
    let checkpoint = log.latest().map_err(RecoverError::Log)?;
    let size = checkpoint.size();
    let known = store.logged(checkpoint.origin(), size)?;
    let known_count = u64::try_from(known.len()).unwrap_or(u64::MAX);
    let known: BTreeSet<u64> = known.into_iter().collect();
    let missing = (0..size)
        .filter(|index| !known.contains(index))
        .take(MAX_LISTED)
        .collect();
    Ok(Recovery {
        bundles: store.bundles()?.len(),
        damaged,
        finished,
        unlogged,
        missing,
        missing_count: size.saturating_sub(known_count),
    })
}

/// Finishes the drafts whose leaves are in the log, and returns them and those that are not.
pub fn finish(
    store: &Store,
    log: &LogReader,
    now: Timestamp,
) -> Result<(Vec<Digest>, Vec<Staged>), RecoverError> {
    let staged = store.staged()?;
    if staged.is_empty() {
        return Ok((Vec::new(), Vec::new()));
    }
    let checkpoint = log.latest().map_err(RecoverError::Log)?;
    let wanted: BTreeSet<Digest> = staged.iter().map(|staged| staged.leaf_digest).collect();
    let mut found: BTreeMap<Digest, u64> = BTreeMap::new();
    log.for_each(0..checkpoint.size(), &checkpoint, |index, leaf| {
        let digest = Algorithm::Sha256.digest(leaf);
        if wanted.contains(&digest) {
            found.entry(digest).or_insert(index);
        }
        Ok::<(), RecordError>(())
    })
    .map_err(RecoverError::Log)?;
    let mut entries = Vec::new();
    let mut unlogged = Vec::new();
    for draft in staged {
        let Some(index) = found.get(&draft.leaf_digest) else {
            unlogged.push(draft);
            continue;
        };
        let recorded = log.prove(*index, &checkpoint).map_err(RecoverError::Log)?;
        let bytes = store.bundle(&draft.bundle_digest)?;
        let bundle = Bundle::parse(&bytes).map_err(RecoverError::Bundle)?;
        let bundle = with_entry(bundle, &recorded, &draft.leaf).map_err(RecoverError::Bundle)?;
        entries.push(Entry {
            bundle,
            staged: Some(draft),
        });
    }
    Ok((store.commit(entries, now)?, unlogged))
}

/// Why recovery did not end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecoverError {
    /// A draft is no bundle.
    #[error(transparent)]
    Bundle(BundleError),
    /// The log cannot be read, or is damaged.
    #[error(transparent)]
    Log(RecordError),
    /// The store did not do its part.
    #[error(transparent)]
    Store(#[from] StoreError),
}
