//! The outside, as far as Custos reaches it by itself: one module for each kind of place.
//!
//! [`oci`] is a client of container registries: it finds, fetches and attaches the signatures of
//! what a registry holds.
//!
//! [`object`] reads buckets: it lists what is below a prefix, and reads parts of objects, noticing
//! when one changes meanwhile.
//!
//! What it is not: it judges nothing. What it brings goes through `custos_trust::verify`, like
//! anything else that somebody hands over.
#![deny(
    clippy::unwrap_used,         // input is hostile: an unwrap is a denial of service
    clippy::expect_used,         // same
    clippy::panic,               // same
    clippy::indexing_slicing,    // same
    clippy::arithmetic_side_effects, // sizes and counts come from outside
    clippy::as_conversions       // a truncated size is a limit that does not hold
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
pub mod object;
pub mod oci;
