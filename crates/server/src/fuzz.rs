//! Entries for fuzzing: each takes any bytes and must neither panic nor hang.

use custos_core::clock::Timestamp;

use crate::oidc;
use crate::subject_key::SubjectKey;
use crate::trusted_root::{SigningConfig, TrustedRoot};
use crate::{authority, entries, http, timestamp};

/// A request to the log.
pub fn log_request(data: &[u8]) {
    let _ = entries::leaf_of_request(data);
}

/// A request for a certificate.
pub fn certificate_request(data: &[u8]) {
    let _ = http::certificate_request_parses(data);
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = SubjectKey::from_pem(text);
    }
    let _ = SubjectKey::from_request_pem(data);
    let _ = SubjectKey::from_spki_der(data);
}

/// A request for a timestamp.
pub fn timestamp_request(data: &[u8]) {
    let _ = timestamp::parses(data);
}

/// A certificate.
pub fn certificate(data: &[u8]) {
    let _ = authority::parse_certificate(data).map(|certificate| {
        let _ = authority::certificate_is_valid_at(&certificate, Timestamp::default());
    });
}

/// An ID token.
pub fn token(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = oidc::token_parses(text);
    }
}

/// An issuer's key set.
pub fn key_set(data: &[u8]) {
    let _ = oidc::key_set_parses(data);
}

/// A trusted root or a signing configuration.
pub fn trusted_root(data: &[u8]) {
    let _ = TrustedRoot::parse(data);
    let _ = SigningConfig::parse(data);
}
