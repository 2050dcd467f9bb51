//! Key services of clouds and `HashiCorp` Vault, by their documented HTTP interfaces, without
//! their SDKs.
//!
//! A signer is opened once: the reference is resolved to one exact key (an alias may be pointed at
//! another key later), its public key is fetched, and from then on that key signs digests. Nothing
//! is logged, and nothing secret is part of an error.
//!
//! Kinds of keys: P-256, P-384, P-521, and RSA with PKCS#1 v1.5 and SHA-256, as far as the service
//! has them. Ed25519 is not signed with, as these services offer it over whole messages only, which
//! a log of digests cannot check.

mod aws;
mod azure;
mod gcp;
mod vault;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use custos_core::crypto::{KeyKind, PublicKey};
use custos_core::dsse::Base64;
use custos_net::{Secret, percent_encode};
use serde::Serialize;
use zeroize::Zeroizing;

pub use aws::Account as AwsAccount;

use super::reference::KeyReference;
use super::remote::{RemoteSigner, ServiceError};
use super::surroundings::{Surroundings, SurroundingsError};

/// Opens the key that `reference` names; `None` if it names no key service.
pub fn open(
    reference: &KeyReference,
    surroundings: &Surroundings,
) -> Option<Result<RemoteSigner, ServiceError>> {
    match reference {
        KeyReference::AwsKms(key) => Some(aws::open(key, surroundings)),
        KeyReference::AzureKms(key) => Some(azure::open(key, surroundings)),
        KeyReference::GcpKms(key) => Some(gcp::open(key, surroundings)),
        KeyReference::HashiVault(key) => Some(vault::open(key, surroundings)),
        _ => None,
    }
}

/// A token and when it ends.
struct Token {
    value: Secret,
    /// In seconds since the epoch.
    ends: i64,
}

impl Token {
    // A minute early: the call that uses it takes a while, and clocks differ.
    fn is_fresh(&self, surroundings: &Surroundings) -> bool {
        self.ends.saturating_sub(60) > surroundings.clock().now().as_seconds()
    }

    fn lasting(value: Secret, seconds: i64, surroundings: &Surroundings) -> Self {
        let now = surroundings.clock().now().as_seconds();
        Self {
            value,
            ends: now.saturating_add(seconds.clamp(0, 86_400)),
        }
    }
}

/// Writes a request body.
fn body<T: Serialize>(value: &T) -> Result<Vec<u8>, ServiceError> {
    custos_core::json::to_vec(value).map_err(|_| {
        ServiceError::Surroundings(SurroundingsError::Unsupported {
            what: "a request with text that is not UTF-8".to_owned(),
            help: "check the names of keys",
        })
    })
}

/// Reads a public key that signs statements here.
fn usable(
    service: &'static str,
    found: &str,
    key: Option<PublicKey>,
) -> Result<PublicKey, ServiceError> {
    key.filter(|key| key.kind() != KeyKind::Ed25519)
        .ok_or_else(|| ServiceError::UnsupportedKey {
            service,
            found: found.chars().take(64).collect(),
        })
}

/// Base64 for URLs without padding (RFC 4648 section 5), as JOSE has it.
fn base64_url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn from_base64_url(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// Base64 as the services write it.
fn encode(bytes: &[u8]) -> Base64 {
    Base64(bytes.to_vec())
}

/// URL-encoded form, for token endpoints. The values are secrets more often than not, so no copy
/// of them stays behind.
fn form(pairs: &[(&str, &str)]) -> Vec<u8> {
    let values = pairs.iter().map(|(name, value)| {
        let value = Zeroizing::new(percent_encode(value));
        (*name, value)
    });
    let values: Vec<_> = values.collect();
    let lengths = values
        .iter()
        .map(|(name, value)| name.len().saturating_add(value.len()).saturating_add(2));
    // Of the final size at once: a vector that grows leaves its old bytes behind.
    let mut out = Vec::with_capacity(lengths.fold(0, usize::saturating_add));
    for (name, value) in &values {
        if !out.is_empty() {
            out.push(b'&');
        }
        out.extend_from_slice(name.as_bytes());
        out.push(b'=');
        out.extend_from_slice(value.as_bytes());
    }
    out
}
