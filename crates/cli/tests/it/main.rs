//! Black-box tests over the real binary: what a user types, what comes back, and with which exit
//! status. Nothing here looks into the crates.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

mod bad_input;
mod demo;
mod help;
mod keys;
mod log;
mod policy;
mod sandbox;
mod sign_verify;
mod steps;
