//! Tests of signing and verification as a whole: one binary.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]
#![allow(missing_docs)]

mod accept;
mod chains;
mod explained;
mod instance;
mod issued;
mod leaf;
mod mutate;
mod oms;
mod regressions;
mod reject;
mod revocation;
mod roots;
mod sigstore;
mod stamps;
mod support;
mod vouched;
