//! Entries for fuzzing: each takes any bytes and must neither panic nor hang.

use custos_core::clock::Timestamp;
use custos_core::crypto::PublicKey;

use crate::oidc;
use crate::possession;
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
        let _ = PublicKey::from_pem(text);
    }
    let _ = possession::key_of_request(data);
    let _ = PublicKey::from_spki_der(data);
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Seed = (fn(&[u8]), &'static [u8]);

    // What a fuzzer would start from, by parser.
    const SEEDS: [Seed; 7] = [
        (
            log_request,
            br#"{"hashedRekordRequestV002":{"digest":"AAAA","signature":{"content":"AAAA","verifier":{"publicKey":{"rawBytes":"AAAA"},"keyDetails":"PKIX_ECDSA_P256_SHA_256"}}}}"#,
        ),
        (
            certificate_request,
            b"-----BEGIN CERTIFICATE REQUEST-----\nMAAwAAMBAA==\n-----END CERTIFICATE REQUEST-----\n",
        ),
        (
            timestamp_request,
            b"\x30\x38\x02\x01\x01\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\x01\x01\xff",
        ),
        (certificate, b"\x30\x82\x01\x00\x30\x81\xa7\xa0\x03\x02\x01\x02"),
        (token, b"eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJhIn0.AAAA"),
        (key_set, br#"{"keys":[{"kty":"EC","crv":"P-256","x":"AAAA","y":"AAAA"}]}"#),
        (
            trusted_root,
            br#"{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1","tlogs":[]}"#,
        ),
    ];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn no_parser_panics(
            which in 0..SEEDS.len(),
            at in any::<prop::sample::Index>(),
            with in prop::collection::vec(any::<u8>(), 0..6),
            drop in 0_usize..6,
        ) {
            let (parse, seed) = SEEDS[which];
            let mut bytes = seed.to_vec();
            let start = at.index(bytes.len());
            let end = (start + drop).min(bytes.len());
            bytes.splice(start..end, with.iter().copied());
            parse(&bytes);
            parse(&with);
        }
    }
}
