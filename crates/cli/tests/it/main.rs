//! Black-box tests over the real binary: what a user types, what comes back, and with which exit
//! status. Nothing here looks into the crates.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::format_push_string,
    clippy::semicolon_if_nothing_returned,
    clippy::too_many_lines,
    clippy::type_complexity,
    missing_docs
)]

mod bad_input;
mod batch;
mod bucket;
mod compromise;
mod demo;
mod evidence;
mod help;
mod key_life;
mod keys;
mod log;
mod mistakes;
mod oci;
mod outage;
mod policy;
mod sandbox;
mod scan;
mod serve;
mod shared_log;
mod sign_verify;
mod spool;
mod steps;
mod trust_life;
mod vouched;
mod watch;
