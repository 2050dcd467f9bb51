//! The one HTTP client of Custos.
//!
//! Whoever answers may be slow, endless, lying or somebody else, so everything has a limit: time
//! to connect, time in all, bytes of headers and body, number of redirects. Where a connection may
//! go is decided by a [`Guard`] on the addresses that a name resolved to, so that a URL found in
//! some document cannot make this machine talk to its own services or to the metadata service of
//! its cloud. TLS is rustls over aws-lc-rs, and nothing switches off its checks.
//!
//! ```no_run
//! use custos_net::{Client, Guard, Request, Settings, Url};
//! let url: Url = "https://log.example/checkpoint".parse().unwrap();
//! let client = Client::new(Settings::new(Guard::public())).unwrap();
//! let answer = client.send(&Request::get(url)).and_then(|answer| answer.success());
//! ```
//!
//! It blocks: parallel calls are threads, for the command line starts no asynchronous runtime.
//!
//! What it is not: it does not retry, it keeps no cookies, it decompresses nothing, it reads no
//! environment, and it knows no service; it moves bytes.
#![deny(
    clippy::unwrap_used,         // input is hostile: an unwrap is a denial of service
    clippy::expect_used,         // same
    clippy::panic,               // same
    clippy::indexing_slicing,    // same
    clippy::arithmetic_side_effects, // lengths and times come from outside
    clippy::as_conversions       // a truncated length is a limit that does not hold
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

mod client;
mod error;
mod guard;
mod message;
mod secret;
mod settings;
mod url;

pub use client::Client;
pub use error::{Class, NetError, Refusal};
pub use guard::{Guard, Zone};
pub use message::{Incoming, Method, Request, Response};
pub use secret::Secret;
pub use settings::{Identity, Proxy, Redirects, Roots, Settings};
pub use url::{Origin, Url, UrlError, percent_encode};
