//! Turning work into statements: walking and hashing artifacts, running steps.
//!
//! What it is not: it signs nothing and stores nothing; it hands statements and digests to its
//! callers. It is a shell crate: it reads files and starts processes.
#![deny(
    clippy::unwrap_used,     // file trees are made by strangers: an unwrap is a denial of service
    clippy::expect_used,     // same
    clippy::panic,           // same
    clippy::indexing_slicing // same
)]
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing
    )
)]

pub mod cache;
pub mod git;
pub mod hash;
pub mod layout;
pub mod material;
pub mod measure;
mod process;
pub mod run;
pub mod tree;
