//! From a time to the first index of the home's log that may be bad.
//!
//! The home knows by its own clock what it had stored before a time. That clock may be wrong, or
//! may have been set by whoever stole the key. What a timestamp authority or a log vouches for is
//! better: where each signature by the key that the index keeps was provably made before, the
//! index is sure, whatever the clock says; and one that is not provably so ends what is kept.
//!
//! Only the key's own signatures count here: an index keeps nobody else's. And a trusted time says
//! when a signature existed, not when the log took it in, so it says nothing about its neighbours.

use std::collections::BTreeMap;

use custos_core::clock::Timestamp;
use custos_core::digest::{Algorithm, Digest};
use custos_core::identity::ExpectedSigner;
use custos_evidence::TrustContext;
use custos_evidence::parts::Parts;
use custos_log::checkpoint::VerifiedCheckpoint;
use custos_log::reader::LogReader;
use custos_log::recorder::RecordError;
use custos_trust::revocation::{Boundary, Who};
use custos_trust::verify::{LogRequirement, SignedTime};

use crate::Failure;
use crate::context::Context;
use crate::judging::time_of_bundle;
use crate::log_signers::{LogSigner, LogSigners};
use crate::{logs, stores, trusting};

/// Most signatures whose times are looked at; beyond it the clock has to do.
const MAX_KEPT: usize = 100_000;

/// A boundary, and what it rests on.
#[derive(Debug, Clone)]
pub struct Found {
    /// The boundary.
    pub boundary: Boundary,
    /// What the index rests on.
    pub sure: Sure,
    /// The home's log and its size, if there is one.
    pub log: Option<(String, u64)>,
    /// The signatures that the index keeps.
    pub kept: Option<Kept>,
}

/// The signatures by a key below an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    /// How many there are.
    pub signatures: usize,
    /// How many of them were provably made before the time.
    pub timestamped: usize,
}

/// What an index rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sure {
    /// The times at which this home stored the statements, by the clock of this machine.
    Clock,
    /// Somebody gave it.
    Given,
    /// Nothing: there is no log here, or nothing of it was stored before.
    Nothing,
    /// Trusted times: each signature that is kept was provably made before.
    Timestamps,
}

impl Sure {
    /// Returns its name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Clock => "clock",
            Self::Given => "given",
            Self::Nothing => "nothing",
            Self::Timestamps => "timestamps",
        }
    }

    /// Returns it in words.
    pub const fn told(self) -> &'static str {
        match self {
            Self::Clock => "as this machine's clock had it when the statements were stored",
            Self::Given => "as given",
            Self::Nothing => "nothing is known to be older",
            Self::Timestamps => "trusted timestamps prove that everything before is older",
        }
    }
}

/// Finds where in the home's log a time lies for the signatures of `who`: behind the last entry
/// that was stored before it, and never behind one of theirs that a trusted time puts later. An
/// entry that nobody is known to have stored before that time counts as later.
pub fn boundary(
    who: &Who,
    since: Timestamp,
    index: Option<u64>,
    context: &Context,
) -> Result<Found, Failure> {
    let home = context.home()?;
    let boundary = Boundary::new(since);
    let found = |boundary, sure, log| Found {
        boundary,
        sure,
        log,
        kept: None,
    };
    if !home.log_vkey().is_file() {
        return Ok(found(boundary, Sure::Nothing, None));
    }
    let (reader, checkpoint) = logs::reader(context)?;
    let origin = checkpoint.origin().to_owned();
    let log = Some((origin.clone(), checkpoint.size()));
    if let Some(first) = index {
        return Ok(found(boundary.with_log(origin, first), Sure::Given, log));
    }
    let place = Place {
        reader,
        checkpoint,
        context,
    };
    let by_clock = if home.root().join(stores::DATABASE).exists() {
        place.first_not_stored_before(since)?
    } else {
        0
    };
    if by_clock == 0 {
        return Ok(found(boundary.with_log(origin, 0), Sure::Nothing, log));
    }
    let (first, kept) = cut(by_clock, &place.times(who, by_clock)?, since);
    Ok(Found {
        boundary: boundary.with_log(origin, first),
        sure: if kept.timestamped == kept.signatures {
            Sure::Timestamps
        } else {
            Sure::Clock
        },
        log,
        kept: Some(kept),
    })
}

// The first index that may be bad, and what lies below it. Entries are in the order of the log,
// each with its trusted time if it has one.
fn cut(by_clock: u64, entries: &[(u64, Option<Timestamp>)], since: Timestamp) -> (u64, Kept) {
    let later = |(_, time): &&(u64, Option<Timestamp>)| time.is_some_and(|time| time >= since);
    let first = entries.iter().find(later).map_or(by_clock, |(at, _)| *at);
    let below = entries.iter().filter(|(at, _)| *at < first);
    let kept = Kept {
        signatures: below.clone().count(),
        timestamped: below.filter(|(_, time)| time.is_some()).count(),
    };
    (first, kept)
}

// The home's log, and what the home has of it.
struct Place<'a> {
    reader: LogReader,
    checkpoint: VerifiedCheckpoint,
    context: &'a Context,
}

impl Place<'_> {
    // The index behind the last entry that was stored before a time. Where a bundle says that it
    // stands counts for nothing, since anybody can say so: the log has to have it there.
    fn first_not_stored_before(&self, time: Timestamp) -> Result<u64, Failure> {
        let failed = |error| stores::failure(&error);
        let store = stores::readable(self.context)?;
        let mut end = self.checkpoint.size();
        loop {
            let last = store.last_before(self.checkpoint.origin(), time, end);
            let last = last.map_err(failed)?;
            for (index, bundle) in &last {
                let leaf = self.reader.get(*index, &self.checkpoint);
                let (leaf, _) = leaf.map_err(|error| self.log_failure(&error))?;
                let leaf = Algorithm::Sha256.digest(&leaf);
                let bytes = store.bundle(bundle);
                let parts = bytes.ok().and_then(|bytes| Parts::read(&bytes).ok());
                if parts.is_some_and(|parts| parts.leaf_digest == Some(leaf)) {
                    return Ok(index.saturating_add(1));
                }
            }
            match last.last() {
                Some((index, _)) => end = *index,
                None => return Ok(0),
            }
        }
    }

    // The trusted time of each signature below an index, in the order of the log; none where the
    // statement is not here, or does not verify.
    fn times(&self, who: &Who, end: u64) -> Result<Vec<(u64, Option<Timestamp>)>, Failure> {
        let failed = |error| stores::failure(&error);
        let mut theirs: Vec<(u64, LogSigner)> = Vec::new();
        let read = self.reader.for_each(0..end, &self.checkpoint, |at, leaf| {
            let signers = LogSigners::of_leaf(leaf).known;
            let by = signers.into_iter().find(|signer| signer.is(who));
            theirs.extend(by.map(|signer| (at, signer)));
            Ok::<(), RecordError>(())
        });
        read.map_err(|error| self.log_failure(&error))?;
        let store = stores::readable(self.context)?;
        let places = store.places(self.checkpoint.origin(), 0..end);
        let mut claims: BTreeMap<u64, Vec<Digest>> = BTreeMap::new();
        for (index, bundle) in places.map_err(failed)? {
            claims.entry(index).or_default().push(bundle);
        }
        let root = trusting::base(&self.context.settings()?, self.context)?.without_revocations();
        let mut times = Vec::with_capacity(theirs.len());
        for (at, signer) in theirs {
            let expected: Vec<ExpectedSigner> = signer.expected().into_iter().collect();
            let trust = TrustContext {
                trust_root: &root,
                signers: &expected,
                log: LogRequirement::Required,
                origin: self.checkpoint.origin(),
                log_size: self.checkpoint.size(),
                now: self.context.now(),
            };
            let claims = claims.get(&at).filter(|_| times.len() < MAX_KEPT);
            let mut time = None;
            for bundle in claims.into_iter().flatten() {
                let bytes = store.bundle(bundle).map_err(failed)?;
                time = time.or_else(|| trusted_time(&bytes, at, &trust));
            }
            times.push((at, time));
        }
        Ok(times)
    }

    fn log_failure(&self, error: &RecordError) -> Failure {
        match self.context.home() {
            Ok(home) => logs::failure(error, &home),
            Err(failure) => failure,
        }
    }
}

// Only of the very signature that stands at this index.
fn trusted_time(bytes: &[u8], at: u64, trust: &TrustContext<'_>) -> Option<Timestamp> {
    let parts = Parts::read(bytes).ok()?;
    let (index, time) = time_of_bundle(bytes, &parts, trust).ok()?;
    match time {
        SignedTime::Trusted { at: time } if index == Some(at) => Some(time),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trusted_time_ends_what_the_clock_would_keep() {
        let seconds = |seconds| Some(Timestamp::from_seconds(seconds));
        let cut = |by_clock, entries: &[(u64, Option<Timestamp>)]| {
            let (first, kept) = cut(by_clock, entries, Timestamp::from_seconds(100));
            (first, kept.signatures, kept.timestamped)
        };
        // Nobody signed: nothing is kept, and of that everything is sure.
        assert_eq!(cut(10, &[]), (10, 0, 0));
        let before = [(2, seconds(50)), (7, seconds(99))];
        assert_eq!(cut(10, &before), (10, 2, 2));
        // One without a time leaves it to the clock.
        assert_eq!(cut(10, &[(2, seconds(50)), (7, None)]), (10, 2, 1));
        // The clock was behind: this signature is of the time itself, or later.
        for late in [100, 101, 5_000] {
            let late = [(2, seconds(50)), (4, None), (7, seconds(late)), (8, None)];
            assert_eq!(cut(10, &late), (7, 2, 1));
        }
        assert_eq!(cut(10, &[(0, seconds(100))]), (0, 0, 0));
    }
}
