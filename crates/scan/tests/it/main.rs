//! Tests of the scanner as a whole: one binary. Every file is built here and never loaded.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions
)]
#![allow(missing_docs)]

mod archive;
mod bypasses;
mod classic;
mod graphs;
mod keras;
mod media;
mod pickle;
mod recorded;
mod report;
mod robust;
mod supply;
mod tensors;
mod text;
