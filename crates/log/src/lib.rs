//! The transparency log of Custos: formats in pure modules, and an engine on local disk.
//!
//! The formats are those of C2SP, one module each: [`note`] (signed-note), [`checkpoint`]
//! (tlog-checkpoint), [`tile`] (tlog-tiles), [`proof`] (tlog-proof). They take bytes from
//! strangers, so they reject what the specifications forbid and never panic. [`recorder`] is how
//! the rest of Custos puts leaves into a log, whichever that is.
//!
//! What it is not: it knows nothing of statements or envelopes (a leaf is bytes), trusts no key by
//! itself (callers pass the keys they accept), and speaks no HTTP.
//!
//! Specifications: <https://github.com/C2SP/C2SP>, RFC 6962 section 2.1 for the tree.
#![deny(
    clippy::unwrap_used,      // a log that panics with its lock held helps nobody
    clippy::expect_used,      // same
    clippy::panic,            // same
    clippy::indexing_slicing, // same
    clippy::as_conversions    // silent truncation of an offset destroys a log
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
        clippy::as_conversions,
        clippy::cast_possible_truncation
    )
)]

#[cfg_attr(not(test), deny(clippy::arithmetic_side_effects))] // sizes and indexes come from outside
pub mod checkpoint;
pub mod disk;
pub mod engine;
pub mod fsck;
#[doc(hidden)]
pub mod fuzz;
#[allow(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    reason = "counts of one run, at most 2^20"
)]
mod index;
#[cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]
pub mod note;
#[cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]
pub mod proof;
mod publish;
pub mod reader;
pub mod recorder;
mod recover;
#[cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]
mod text;
#[cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]
pub mod tile;
mod tree;
#[doc(hidden)]
#[cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]
pub mod wal;
mod writer;

pub use custos_core::merkle::Hash;
pub use engine::{Appended, LockMode, Log, LogOptions};
pub use reader::{Head, LogReader};
pub use recorder::{IntegrityFault, RecordError, Recorded, Recorder};
