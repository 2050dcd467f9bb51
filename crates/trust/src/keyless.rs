//! Signing with Sigstore's services: a certificate for an identity instead of a key to keep, and
//! what proves when and where a signature was made.
//!
//! The order of one keyless signature: an ID token says who signs ([`token`], [`ambient`],
//! [`login`]); the certificate authority gives a certificate of some minutes for a key that lives
//! no longer ([`Fulcio v2`](https://github.com/sigstore/fulcio)); the key signs; a timestamp
//! authority says when (RFC 3161); the log says where (Rekor v2, or v1 if nothing newer is named).
//! Where the services are stands in a signing configuration ([`config`]); that they are who they
//! should be, in a trusted root ([`trusted`]): each answer is verified with it before the next step
//! is taken, so that no signature comes out that a verifier with that root rejects.
//!
//! What it is not: it stores nothing, tries nothing again, and opens no browser. How far it came
//! when a service was away is a value ([`Progress`]) that the caller may keep, and go on with.

pub mod ambient;
pub mod config;
pub mod login;
pub mod token;
pub mod trusted;

mod fulcio;
mod rekor;
mod services;
mod signer;
mod tsa;

pub use rekor::LogServer;
pub use services::{Description, Entered, Fresh, KeylessError, Progress, Service, Services, Stamp};
pub use signer::{Countersigner, KeylessSigner, TokenSource};

#[doc(hidden)]
pub mod fuzz {
    //! One function over bytes for each parser here that reads what others wrote.
    pub use super::fulcio::fuzz_answer as fuzz_certificate_answer;
    pub use super::token::fuzz_token;
}

#[cfg(test)]
mod tests;
