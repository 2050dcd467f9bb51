//! The home's evidence store.

use std::time::Duration;

use custos_core::digest::Digest;
use custos_core::entry::Verifier;
use custos_evidence::recover::{self, RecoverError};
use custos_evidence::{Store, StoreError, StoreOptions};
use custos_log::checkpoint::VerifiedCheckpoint;
use custos_log::reader::LogReader;
use custos_trust::verify::may_be_expected;

use crate::context::Context;
use crate::exit::Exit;
use crate::report::Failure;
use crate::term::{count, visible};
use crate::trusting::Trusting;

/// Name of the database in a home.
pub const DATABASE: &str = "custos.db";

const ADVICE: &str = "keep a copy of the home and do not delete custos.db; `custos evidence check` \
     says what is damaged, `custos evidence reindex` rebuilds the index, a backup has the rest";

/// Opens the home's store for writing, and makes it first if there is none.
pub fn writable(context: &Context) -> Result<Store, Failure> {
    open(context, StoreOptions::read_write())
}

/// Opens the home's store for reading.
pub fn readable(context: &Context) -> Result<Store, Failure> {
    match try_open(context, StoreOptions::read_only())? {
        // Brought up to date where that is allowed.
        Err(StoreError::OlderSchema { .. }) => {
            drop(writable(context)?);
            open(context, StoreOptions::read_only())
        }
        outcome => outcome.map_err(|error| failure(&error)),
    }
}

/// Finishes what a crash left between log and store, unless another command is at work: then the
/// next one does it, and nothing is lost meanwhile.
pub fn finish(store: &Store, log: &LogReader, context: &Context) {
    let outcome = recover::settle(store, log, context.now(), Duration::ZERO);
    tell(outcome, context);
}

/// Sees to it that the store has what the log has up to `checkpoint`, as far as it can be had:
/// waits for commands that are at work, finishes what a crash left, and looks at what others
/// logged. What lacks after that, facts say.
pub fn catch_up(
    store: &Store,
    log: &LogReader,
    checkpoint: &VerifiedCheckpoint,
    context: &Context,
) -> Result<(), Failure> {
    let unseen = store.unseen(checkpoint.origin(), checkpoint.size());
    if unseen.map_err(|error| failure(&error))?.is_empty() {
        return Ok(());
    }
    // Where nothing may be written, what lacks stays and is told.
    if let Ok(store) = writable(context) {
        let outcome = recover::settle(&store, log, context.now(), store.patience());
        tell(outcome, context);
        if let Err(error) = recover::look(&store, log, checkpoint) {
            let text = format!("the entries of others in the log were not looked at: {error}");
            context.term.warn(&visible(&text));
        }
    }
    Ok(())
}

/// Returns whether entries by a signer matter: those of expected signers. Where nobody knows who
/// is expected, everybody's do.
pub fn matters(context: &Context) -> impl Fn(&Verifier) -> bool + use<> {
    let trusting = context
        .settings()
        .and_then(|settings| Trusting::from_settings(&settings, context));
    move |signer| match &trusting {
        Ok(trusting) => may_be_expected(signer, &trusting.root, &trusting.signers),
        Err(_) => true,
    }
}

fn tell(outcome: Result<Vec<Digest>, RecoverError>, context: &Context) {
    match outcome {
        Ok(finished) if finished.is_empty() => {}
        Ok(finished) => {
            let number = u64::try_from(finished.len()).unwrap_or(u64::MAX);
            let what = count(number, "statement");
            let note = format!("finished {what} that an interrupted command had logged");
            context.term.note(&note);
        }
        Err(RecoverError::Store(StoreError::Busy { .. })) => {}
        Err(error) => {
            let text = format!("what an interrupted command left could not be finished: {error}");
            context.term.warn(&visible(&text));
        }
    }
}

fn open(context: &Context, options: StoreOptions) -> Result<Store, Failure> {
    try_open(context, options)?.map_err(|error| failure(&error))
}

fn try_open(
    context: &Context,
    options: StoreOptions,
) -> Result<Result<Store, StoreError>, Failure> {
    let path = context.home()?.root().join(DATABASE);
    Ok(Store::open(&path, options, context.now()))
}

/// Returns a store error as people see it.
pub fn failure(error: &StoreError) -> Failure {
    let why = error.to_string();
    match error {
        StoreError::DiskFull { path } => Failure::undecided("E0005", "the disk is full")
            .at(path.display().to_string())
            .help("nothing that was acknowledged is lost; free some space and run it again"),
        StoreError::NoStore { path } => Failure::undecided("E0601", "there is no store here yet")
            .at(path.display().to_string())
            .help("the first `custos run`, `custos attest` or `custos sign` makes it"),
        StoreError::Corrupt { .. } | StoreError::Row { .. } => {
            Failure::undecided("E0602", "the store's index is damaged")
                .because(why)
                .help(ADVICE)
        }
        StoreError::DigestMismatch { .. } => Failure::new(
            "E0602",
            Exit::Alarm,
            "a stored bundle is not what its name promises",
        )
        .because(why)
        .help(ADVICE),
        _ => Failure::undecided("E0601", "the store cannot be used").because(why),
    }
}
