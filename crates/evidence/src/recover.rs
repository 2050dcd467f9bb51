//! Finding out what the store lacks, rebuilding the index, and finishing what a crash interrupted.
//!
//! The index holds nothing that the bundles do not say, so it can be thrown away. A draft whose
//! leaf stands in the log was acknowledged, or could have been, and is finished. A draft whose
//! leaf does not stand there was never acknowledged; it is reported, and whoever asks decides.
//! Only a log that was opened for writing can tell: until then an entry may stand in the
//! write-ahead log alone.
//!
//! - [`settle`] is quick, for every writer to begin with: it looks only where the index has gaps.
//! - [`look`] finds out who signed the entries that others logged.
//! - [`check`] changes nothing, believes no row, and compares every bundle with the log.
//! - [`reindex`] finishes drafts, rebuilds the index, and checks.
//! - [`forget_drafts`] drops those that never reached the log.
//!
//! ```
//! # use std::sync::Arc;
//! # use custos_core::clock::Timestamp;
//! # use custos_core::crypto::{KeyKind, KeyPair};
//! # use custos_log::{Log, LogOptions, Recorder as _, disk::sim::SimDisk, note::KeyPairSigner};
//! use custos_evidence::{Store, StoreOptions, recover};
//! # let home = tempfile::tempdir().unwrap();
//! # let pair = KeyPair::generate(KeyKind::Ed25519).unwrap();
//! # let signer = Box::new(KeyPairSigner::new("example.com/log", pair).unwrap());
//! # let log = Log::create(Arc::new(SimDisk::new(1)), signer, LogOptions::batch()).unwrap();
//! # let now = Timestamp::from_seconds(1_800_000_000);
//!
//! let path = home.path().join("custos.db");
//! let store = Store::open(&path, StoreOptions::read_write(), now).unwrap();
//! // Whose entries matter: here everybody's.
//! let matters = |_: &_| true;
//! assert!(recover::check(&store, &log.reader(), &matters).unwrap().is_whole());
//! log.record(&[b"no signature is recorded by this".to_vec()]).unwrap();
//! let report = recover::check(&store, &log.reader(), &matters).unwrap();
//! assert_eq!((report.missing_count, report.others), (0, 1));
//! ```

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use custos_core::bundle::{Bundle, BundleError};
use custos_core::clock::Timestamp;
use custos_core::digest::{Algorithm, Digest};
use custos_core::entry::Verifier;
use custos_log::Log;
use custos_log::checkpoint::VerifiedCheckpoint;
use custos_log::reader::LogReader;
use custos_log::recorder::RecordError;

use crate::record::with_entry;
use crate::store::{Alone, Claim, Entry, Leaf, Staged, Store, StoreError};

/// Most missing entries that are listed one by one.
pub const MAX_LISTED: usize = 1_000;
/// How many leaves are read or written at a time.
const BATCH: usize = 4_096;

/// How the store stands beside the log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Report {
    /// Origin of the log.
    pub origin: String,
    /// Size of the log.
    pub size: u64,
    /// Bundles in the store, drafts left out.
    pub bundles: usize,
    /// Drafts whose leaf was in the log, and which are finished bundles now.
    pub finished: Vec<Digest>,
    /// Drafts whose leaf is in the log, with its index; [`reindex`] finishes them.
    pub waiting: Vec<(u64, Staged)>,
    /// Drafts whose leaf is not in the log: they were never acknowledged. After [`check`] it may
    /// still be in the write-ahead log.
    pub unlogged: Vec<Staged>,
    /// Entries of the log by signers who matter, without a bundle in the store, the first
    /// [`MAX_LISTED`].
    pub missing: Vec<u64>,
    /// How many entries of the log have no bundle in the store.
    pub missing_count: u64,
    /// How many more have none, by signers who do not matter, or recording no signature.
    pub others: u64,
    /// Entries about which the index says something else than the log, the first [`MAX_LISTED`];
    /// [`reindex`] mends that.
    pub misread: Vec<u64>,
    /// Bundles that are no longer what they were.
    pub damaged: Vec<(Digest, StoreError)>,
    /// Bundles that claim an entry of the log which is another's, or not there.
    pub misplaced: Vec<(Digest, u64)>,
    /// Bundles about which the index says nothing, or something else than they do; [`reindex`]
    /// mends that.
    pub unindexed: Vec<Digest>,
}

impl Report {
    /// Returns true if every entry of the log that matters has its bundle, sound and indexed.
    pub const fn is_whole(&self) -> bool {
        self.waiting.is_empty()
            && self.missing_count == 0
            && self.unindexed.is_empty()
            && self.misread.is_empty()
            && !self.is_alarm()
    }

    /// Returns true if bytes are not what their digest, or the log, says they are.
    pub const fn is_alarm(&self) -> bool {
        !self.damaged.is_empty() || !self.misplaced.is_empty()
    }
}

/// Finishes drafts that a crash left behind the log, and returns the bundles.
///
/// It looks at the entries that the index does not know, the newest [`MAX_LISTED`] of them, and
/// costs next to nothing if no draft is there. Writers that are between log and index are waited
/// for, at most for `patience`: their drafts are theirs.
pub fn settle(
    store: &Store,
    log: &LogReader,
    now: Timestamp,
    patience: Duration,
) -> Result<Vec<Digest>, RecoverError> {
    if store.staged()?.is_empty() {
        return Ok(Vec::new());
    }
    let _session = store.alone(patience)?;
    let drafts = store.staged()?;
    let checkpoint = match log.latest() {
        Err(RecordError::NoLog) => return Ok(Vec::new()),
        outcome => outcome.map_err(RecoverError::Log)?,
    };
    let gaps = store.gaps(checkpoint.origin(), checkpoint.size())?;
    let wanted = leaves(&drafts);
    let mut found = BTreeMap::new();
    for index in gaps.indexes().rev().take(MAX_LISTED) {
        if found.len() == wanted.len() {
            break;
        }
        let (leaf, _) = log.get(index, &checkpoint).map_err(RecoverError::Log)?;
        let digest = Algorithm::Sha256.digest(&leaf);
        if wanted.contains(&digest) {
            found.insert(digest, index);
        }
    }
    finish(&Finishing { store, log, now }, drafts, &found, &checkpoint)
}

/// Looks at the entries below `checkpoint` that neither a statement here nor an earlier look
/// explains, and remembers who signed them. Returns how many there were.
///
/// Each entry is read once in the life of an index.
pub fn look(
    store: &Store,
    log: &LogReader,
    checkpoint: &VerifiedCheckpoint,
) -> Result<u64, RecoverError> {
    let (origin, size) = (checkpoint.origin(), checkpoint.size());
    let mut count = 0_u64;
    loop {
        let unseen = store.unseen(origin, size)?;
        if unseen.is_empty() {
            return Ok(count);
        }
        count = count.max(unseen.count);
        let mut leaves = Vec::new();
        for range in unseen.ranges {
            log.for_each(range, checkpoint, |index, bytes| {
                leaves.push(Leaf::read(index, bytes));
                if leaves.len() >= BATCH {
                    store.see(origin, &std::mem::take(&mut leaves))?;
                }
                Ok::<(), RecoverError>(())
            })?;
        }
        store.see(origin, &leaves)?;
    }
}

/// Entries of the log without a statement here.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Lacking {
    /// How many by signers who matter.
    pub count: u64,
    /// Some of these, the first among them.
    pub first: BTreeSet<u64>,
    /// How many others.
    pub others: u64,
}

/// Returns which entries below `checkpoint` have no statement here, and changes nothing.
pub fn lacking(
    store: &Store,
    log: &LogReader,
    checkpoint: &VerifiedCheckpoint,
    matters: Matters<'_>,
) -> Result<Lacking, RecoverError> {
    let (origin, size) = (checkpoint.origin(), checkpoint.size());
    let total = store.gaps(origin, size)?.count;
    let mut lacking = Lacking::default();
    for one in store.unstated(origin, size)? {
        if matters(&one.signer) {
            lacking.count = lacking.count.saturating_add(one.count);
            lacking.first.extend(one.first);
        }
    }
    for range in store.unseen(origin, size)?.ranges {
        log.for_each(range, checkpoint, |index, bytes| {
            if Leaf::read(index, bytes)
                .signer
                .is_some_and(|signer| matters(&signer))
            {
                lacking.count = lacking.count.saturating_add(1);
                if lacking.first.len() < MAX_LISTED {
                    lacking.first.insert(index);
                }
            }
            Ok::<(), RecordError>(())
        })?;
    }
    lacking.others = total.saturating_sub(lacking.count);
    Ok(lacking)
}

/// Whether entries by this signer matter: one who may be an expected signer. Others may use the
/// same log.
pub type Matters<'a> = &'a dyn Fn(&Verifier) -> bool;

/// Compares the store with the log as it is published, and changes nothing.
pub fn check(store: &Store, log: &LogReader, matters: Matters<'_>) -> Result<Report, RecoverError> {
    let checkpoint = log.latest().map_err(RecoverError::Log)?;
    // Whoever logged up to here has indexed it then. A store that cannot be locked is one that
    // nobody writes; if somebody does, the report is of a moment in between.
    drop(store.alone(store.patience()));
    compare(store, log, &checkpoint, matters)
}

/// Finishes drafts, rebuilds the whole index from the bundles, and compares it with the log.
///
/// `log` has to be opened while no other writer was at work: only opening takes in what a crash
/// left in its write-ahead log, and a draft may be there.
pub fn reindex(_: &Alone, place: &Place<'_>, matters: Matters<'_>) -> Result<Report, RecoverError> {
    let log = place.log.reader();
    let checkpoint = log.latest().map_err(RecoverError::Log)?;
    let drafts = place.store.staged()?;
    let found = locate(&log, &checkpoint, &leaves(&drafts))?;
    let finishing = Finishing {
        store: place.store,
        log: &log,
        now: place.now,
    };
    let finished = finish(&finishing, drafts, &found, &checkpoint)?;
    place.store.wait(place.store.inner().rebuild(place.now))?;
    look(place.store, &log, &checkpoint)?;
    let report = compare(place.store, &log, &checkpoint, matters)?;
    Ok(Report { finished, ..report })
}

/// Forgets drafts whose leaf is not in the log, and returns them: they were never acknowledged.
/// For `log` the same holds as in [`reindex`].
pub fn forget_drafts(_: &Alone, place: &Place<'_>) -> Result<Vec<Staged>, RecoverError> {
    let log = place.log.reader();
    let checkpoint = log.latest().map_err(RecoverError::Log)?;
    let mut drafts = place.store.staged()?;
    let found = locate(&log, &checkpoint, &leaves(&drafts))?;
    drafts.retain(|draft| !found.contains_key(&draft.leaf_digest));
    place.store.drop_staged(&drafts)?;
    Ok(drafts)
}

/// A store and its log, to be repaired.
#[derive(Debug, Clone, Copy)]
#[allow(clippy::exhaustive_structs, reason = "an argument list with names")]
pub struct Place<'a> {
    /// The store.
    pub store: &'a Store,
    /// The log, opened to be written.
    pub log: &'a Log,
    /// The time of the repair, written beside the rows.
    pub now: Timestamp,
}

// From the checkpoint on, others may go on writing.
fn compare(
    store: &Store,
    log: &LogReader,
    before: &VerifiedCheckpoint,
    matters: Matters<'_>,
) -> Result<Report, RecoverError> {
    let survey = store.survey()?;
    // What was logged and indexed meanwhile has its place as well.
    let after = log.latest().map_err(RecoverError::Log)?;
    let mut comparison = Comparison {
        report: Report {
            origin: before.origin().to_owned(),
            size: before.size(),
            bundles: survey.bundles,
            damaged: survey.damaged,
            unindexed: survey.unindexed,
            ..Report::default()
        },
        claims: survey.claims,
        next: 0,
        drafts: BTreeMap::new(),
        rows: VecDeque::new(),
        matters,
    };
    comparison
        .claims
        .retain(|claim| claim.origin == before.origin());
    for draft in survey.drafts {
        comparison.drafts.insert(draft.leaf_digest, draft);
    }
    let step = u64::try_from(BATCH).unwrap_or(u64::MAX);
    log.for_each(0..after.size(), &after, |index, leaf| {
        if index.is_multiple_of(step) {
            let range = index..index.saturating_add(step);
            comparison.rows = store.leaves(before.origin(), range)?.into();
        }
        comparison.entry(&Leaf::read(index, leaf));
        Ok::<(), RecoverError>(())
    })?;
    Ok(comparison.finish())
}

// The log beside the claims, entry by entry.
struct Comparison<'a> {
    report: Report,
    // In the order of their indexes.
    claims: Vec<Claim>,
    next: usize,
    drafts: BTreeMap<Digest, Staged>,
    // What the index says about the next leaves.
    rows: VecDeque<Leaf>,
    matters: Matters<'a>,
}

impl Comparison<'_> {
    fn entry(&mut self, leaf: &Leaf) {
        let index = leaf.index;
        if let Some(row) = self.rows.pop_front_if(|row| row.index == index)
            && row != *leaf
            && self.report.misread.len() < MAX_LISTED
        {
            self.report.misread.push(index);
        }
        let mut found = false;
        while let Some(claim) = self
            .claims
            .get(self.next)
            .filter(|claim| claim.index == index)
        {
            self.next = self.next.saturating_add(1);
            if claim.leaf_digest == Some(leaf.digest) {
                found = true;
            } else {
                self.report.misplaced.push((claim.bundle_digest, index));
            }
        }
        if let Some(draft) = self.drafts.remove(&leaf.digest) {
            self.report.waiting.push((index, draft));
        } else if found || index >= self.report.size {
        } else if !leaf.signer.as_ref().is_some_and(self.matters) {
            self.report.others = self.report.others.saturating_add(1);
        } else {
            self.report.missing_count = self.report.missing_count.saturating_add(1);
            if self.report.missing.len() < MAX_LISTED {
                self.report.missing.push(index);
            }
        }
    }

    fn finish(mut self) -> Report {
        let beyond = self.claims.iter().skip(self.next);
        let beyond = beyond.map(|claim| (claim.bundle_digest, claim.index));
        self.report.misplaced.extend(beyond);
        self.report.unlogged.extend(self.drafts.into_values());
        self.report
    }
}

fn leaves(drafts: &[Staged]) -> BTreeSet<Digest> {
    drafts.iter().map(|draft| draft.leaf_digest).collect()
}

// Goes through the whole log: a leaf may stand anywhere, if it was logged twice.
fn locate(
    log: &LogReader,
    checkpoint: &VerifiedCheckpoint,
    wanted: &BTreeSet<Digest>,
) -> Result<BTreeMap<Digest, u64>, RecoverError> {
    let mut found = BTreeMap::new();
    if wanted.is_empty() {
        return Ok(found);
    }
    log.for_each(0..checkpoint.size(), checkpoint, |index, leaf| {
        let digest = Algorithm::Sha256.digest(leaf);
        if wanted.contains(&digest) {
            found.entry(digest).or_insert(index);
        }
        Ok::<(), RecordError>(())
    })
    .map_err(RecoverError::Log)?;
    Ok(found)
}

struct Finishing<'a> {
    store: &'a Store,
    log: &'a LogReader,
    now: Timestamp,
}

// Each by itself: one whose bytes are damaged does not stop the others, and stays where it is.
fn finish(
    at: &Finishing<'_>,
    drafts: Vec<Staged>,
    found: &BTreeMap<Digest, u64>,
    checkpoint: &VerifiedCheckpoint,
) -> Result<Vec<Digest>, RecoverError> {
    let mut finished = Vec::new();
    for draft in drafts {
        let Some(index) = found.get(&draft.leaf_digest) else {
            continue;
        };
        let recorded = at
            .log
            .prove(*index, checkpoint)
            .map_err(RecoverError::Log)?;
        let bytes = match at.store.bundle(&draft.bundle_digest) {
            Err(error) if error.is_of_one_bundle() => continue,
            outcome => outcome?,
        };
        let bundle = Bundle::parse(&bytes).map_err(RecoverError::Bundle)?;
        let bundle = with_entry(bundle, &recorded, &draft.leaf).map_err(RecoverError::Bundle)?;
        let entry = Entry {
            bundle,
            staged: Some(draft),
        };
        finished.extend(at.store.commit(vec![entry], at.now)?);
    }
    Ok(finished)
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
    Log(#[from] RecordError),
    /// The store did not do its part.
    #[error(transparent)]
    Store(#[from] StoreError),
}
