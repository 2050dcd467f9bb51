//! The home's evidence store.

use custos_evidence::{Store, StoreError, StoreOptions};

use crate::context::Context;
use crate::exit::Exit;
use crate::report::Failure;

/// Name of the database in a home.
pub const DATABASE: &str = "custos.db";

/// Opens the home's store for writing, and makes it first if there is none.
pub fn writable(context: &Context) -> Result<Store, Failure> {
    open(context, StoreOptions::read_write())
}

/// Opens the home's store for reading.
pub fn readable(context: &Context) -> Result<Store, Failure> {
    open(context, StoreOptions::read_only())
}

fn open(context: &Context, options: StoreOptions) -> Result<Store, Failure> {
    let path = context.home()?.root().join(DATABASE);
    Store::open(&path, options, context.now()).map_err(|error| failure(&error))
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
        StoreError::Corrupt { .. } | StoreError::Row { .. } => Failure::undecided(
            "E0602",
            "the store's index is damaged",
        )
        .because(why)
        .help("keep a copy of the home, and restore custos.db from a backup; do not delete it"),
        StoreError::DigestMismatch { .. } => Failure::new(
            "E0602",
            Exit::Alarm,
            "a stored bundle is not what its name promises",
        )
        .because(why),
        _ => Failure::undecided("E0601", "the store cannot be used").because(why),
    }
}
