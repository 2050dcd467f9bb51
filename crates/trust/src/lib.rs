//! Who vouches: keys, signers, trust roots, and the one function that verifies.
//!
//! - [`keyless`]: signing with Sigstore's services, in the name of whoever a token names.
//! - [`keys`]: private keys in files, plain or encrypted as cosign does.
//! - [`signer`]: what makes signatures, whatever holds the key.
//! - [`signers`]: keys in key services and Kubernetes Secrets, and key references.
//! - [`seal`]: statements become bundles, and are logged on the way.
//! - [`revocation`]: which keys were revoked, and which took over from which.
//! - [`root`]: the logs and authorities that somebody decided to trust.
//! - [`tuf`]: how trust roots are delivered and change.
//! - [`verify`]: bundle, artifact, trust root and expected signers go in together; out comes a
//!   [`Verified`] value or a precise reason why not.
//!
//! What it is not: verification looks nothing up. Bundles, trust roots, `now` and expected signers
//! are arguments; only [`keys`], [`keyless`] and [`signers`] touch files, and only the latter two
//! the network.
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

pub mod keyless;
pub mod keys;
pub mod revocation;
pub mod root;
pub mod seal;
pub mod signer;
pub mod signers;
pub mod tuf;
pub mod verify;

pub use root::TrustRoot;
pub use verify::{Verified, verify};

#[doc(hidden)]
pub mod fuzz;
