//! The server side of Custos: a small certificate authority, a timestamp authority and the log
//! over HTTP, so that a team has Sigstore's services without any infrastructure.
//!
//! The pure parts have no HTTP in them and take `now` as an argument: [`authority`] (RFC 5280
//! certificates in the shape of Fulcio, with embedded RFC 6962 timestamps), [`timestamp`]
//! (RFC 3161), [`oidc`] (ID tokens), [`entries`] (Rekor v2 requests), [`trusted_root`] (what
//! clients need to know). [`server`] puts them behind routes.
//!
//! What it is not: it decides nothing about statements and verifies no bundles; that is the
//! `trust` room. It fetches only what its settings name, never what a client names.
#![deny(
    clippy::unwrap_used,      // requests are hostile: a panic is a denial of service
    clippy::expect_used,      // same
    clippy::panic,            // same
    clippy::indexing_slicing, // same
    clippy::arithmetic_side_effects, // lengths come from outside
    clippy::as_conversions    // silent truncation
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

pub mod authority;
pub mod entries;
#[doc(hidden)]
pub mod fuzz;
mod http;
mod metrics;
pub mod oidc;
pub mod possession;
mod sequencer;
pub mod server;
pub mod timestamp;
pub mod trusted_root;

pub use authority::Authority;
pub use server::{Config, Running, Server, ServerError};
pub use timestamp::TimestampAuthority;
