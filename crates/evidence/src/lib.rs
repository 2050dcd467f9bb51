//! What is known: a store of signed bundles, the lineage that they span, and the facts that a
//! decision may rest on.
//!
//! - [`store`]: SQLite index and content-addressed bundles, durable before they are acknowledged.
//! - [`parts`]: what of a bundle goes into the index.
//! - [`judge`]: verification of stored bundles, remembered within one process.
//! - [`record`]: signing, logging and storing in the order that loses nothing.
//! - [`gather`]: everything about an artifact, verified, as a lineage and as [`Facts`].
//! - [`recover`]: rebuilding the index, and finishing what a crash interrupted.
//!
//! **Database rows are an index, never evidence.** A row says where to look. Whatever decides
//! takes the bundle's bytes and has `trust` verify them; nothing here turns a row into a fact.
//!
//! ```
//! use custos_core::clock::Timestamp;
//! use custos_core::digest::Algorithm;
//! use custos_core::lineage::{BreakKind, NamedArtifact};
//! use custos_evidence::{Judge, Question, Store, StoreOptions, TrustContext};
//! use custos_trust::{TrustRoot, verify::LogRequirement};
//!
//! let dir = tempfile::tempdir().unwrap();
//! let now = Timestamp::from_seconds(1_800_000_000);
//! let store =
//!     Store::open(&dir.path().join("custos.db"), StoreOptions::read_write(), now).unwrap();
//! let context = TrustContext {
//!     trust_root: &TrustRoot::trusting_nothing(),
//!     signers: &[],
//!     log: LogRequirement::Required,
//!     origin: "example.com/log",
//!     log_size: 0,
//!     now,
//! };
//! let model = NamedArtifact::new("model", Algorithm::Sha256.digest(b"weights"));
//! let gathered = store.gather(&Question::facts(model), &context, &Judge::new()).unwrap();
//! let facts = gathered.facts(None);
//! assert_eq!(facts.lineage.known().unwrap().breaks[0].kind, BreakKind::UnknownSource);
//! ```
//!
//! What it is not: it has no verification of its own, holds no key and decides nothing.
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
