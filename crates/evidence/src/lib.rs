//! What is known: a store of signed bundles, the lineage that they span, and the facts that a
//! decision may rest on.
//!
//! - [`store`]: SQLite index and content-addressed bundles, durable before they are acknowledged.
//! - [`parts`]: what of a bundle goes into the index.
//! - [`judge`]: verification of stored bundles, remembered within one process.
//! - [`gather`]: everything about an artifact, verified, as a lineage and as [`Facts`].
//! - [`recover`]: rebuilding the index, and finishing what a crash interrupted.
//!
//! **Database rows are an index, never evidence.** A row says where to look. Whatever decides
//! takes the bundle's bytes and has `trust` verify them; nothing here turns a row into a fact.
//!
//! What it is not: it records nothing in the log, signs nothing, and decides nothing.
//!
//! [`Facts`]: custos_core::facts::Facts
#![deny(
    clippy::unwrap_used,         // a store that panics loses what it was asked to keep
    clippy::expect_used,         // same
    clippy::panic,               // same
    clippy::indexing_slicing,    // bundles come from strangers
    clippy::arithmetic_side_effects,
    clippy::as_conversions
)]
#![warn(clippy::exhaustive_enums, clippy::exhaustive_structs)]
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::as_conversions
    )
)]

#[doc(hidden)]
pub mod fuzz;
pub mod gather;
pub mod judge;
pub mod parts;
pub mod record;
pub mod recover;
pub mod store;

pub use gather::{Gathered, Question};
pub use judge::{Judge, TrustContext};
pub use store::{AsyncStore, Mode, Store, StoreError, StoreOptions};
