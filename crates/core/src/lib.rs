//! The nouns of Custos, as pure types: digests, file manifests, in-toto statements, DSSE
//! envelopes, Sigstore bundles, identities, lineage, facts.
//!
//! This crate does no I/O, opens no socket, reads no clock and no environment: bytes and `now`
//! come in as arguments, values and bytes go out. Every parser here takes input from a stranger,
//! so each has a limit and rejects what it does not fully understand.
//!
//! What it is not: it decides nothing about trust. A parsed [`bundle::Bundle`] says what somebody
//! wrote, not that it is true; only the `trust` room turns one into a verified statement.
#![deny(
    clippy::unwrap_used,         // input is hostile: an unwrap is a denial of service
    clippy::expect_used,         // same
    clippy::panic,               // same
    clippy::indexing_slicing,    // same
    clippy::arithmetic_side_effects, // lengths and offsets come from outside
    clippy::as_conversions       // silent truncation has been a verifier bug before
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

pub mod amount;
pub mod artifact;
pub mod bundle;
pub mod clock;
pub mod crypto;
pub mod digest;
pub mod dsse;
pub mod entry;
pub mod facts;
pub mod finding;
pub mod identity;
pub mod json;
pub mod limits;
pub mod lineage;
pub mod merkle;
pub mod oms;
pub mod predicate;
pub mod statement;
pub mod text;
