//! Signed certificate timestamps, verified: the promise that a certificate is logged.
//!
//! Spec: RFC 6962 sections 3.2 (what is signed) and 3.3 (how it is embedded). The promise is over
//! the certificate without the extension that carries it.

use custos_core::clock::Timestamp;
use custos_core::crypto::{PublicKey, Scheme, sha256};
use x509_cert::Certificate;
use x509_cert::der::asn1::{ObjectIdentifier, OctetString};
use x509_cert::der::{Decode as _, Encode as _};

const SCT_LIST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.11129.2.4.2");
/// Most promises of one certificate.
const MAX_PROMISES: usize = 16;
/// TLS codes of SHA-256 with ECDSA and with RSA (RFC 5246 section 7.4.1.4.1).
const ECDSA: [u8; 2] = [4, 3];

/// A log of certificates that is trusted.
pub(super) struct CertificateLog {
    pub(super) id: Vec<u8>,
    pub(super) key: PublicKey,
}

/// A promise out of a certificate.
#[derive(Debug, PartialEq, Eq)]
struct Promise<'a> {
    log: &'a [u8],
    millis: u64,
    extensions: &'a [u8],
    algorithm: [u8; 2],
    signature: &'a [u8],
}

/// Returns when one of `logs` promised to log `leaf`, which the key with this DER issued; `None`
/// if none of them did.
pub(super) fn verified(
    leaf: &[u8],
    issuer_spki: &[u8],
    logs: &[CertificateLog],
) -> Option<Timestamp> {
    let mut certificate = Certificate::from_der(leaf).ok()?;
    let extensions = certificate.tbs_certificate.extensions.as_mut()?;
    let at = extensions.iter().position(|one| one.extn_id == SCT_LIST)?;
    let list = extensions.remove(at);
    // A second list would not be covered by anybody's promise.
    if extensions.iter().any(|one| one.extn_id == SCT_LIST) {
        return None;
    }
    let tbs = certificate.tbs_certificate.to_der().ok()?;
    let list = OctetString::from_der(list.extn_value.as_bytes()).ok()?;
    promises(list.as_bytes())?.into_iter().find_map(|promise| {
        let log = logs.iter().find(|log| log.id == promise.log)?;
        let message = signed(&promise, issuer_spki, &tbs)?;
        if promise.algorithm != ECDSA {
            return None;
        }
        log.key
            .verify(Scheme::EcdsaP256, &message, promise.signature)
            .ok()?;
        let micros = i64::try_from(promise.millis).ok()?.checked_mul(1_000)?;
        Some(Timestamp::from_micros(micros))
    })
}

fn signed(promise: &Promise<'_>, issuer_spki: &[u8], tbs: &[u8]) -> Option<Vec<u8>> {
    let length = u32::try_from(tbs.len()).ok().filter(|len| *len < 1 << 24)?;
    let [_, length @ ..] = length.to_be_bytes();
    let more = u16::try_from(promise.extensions.len()).ok()?;
    Some(
        [
            // Version 1, a certificate timestamp.
            &[0, 0][..],
            &promise.millis.to_be_bytes(),
            // A precertificate.
            &[0, 1],
            &sha256(issuer_spki),
            &length,
            tbs,
            &more.to_be_bytes(),
            promise.extensions,
        ]
        .concat(),
    )
}

// Reads a `SignedCertificateTimestampList`; nothing may be left over.
fn promises(list: &[u8]) -> Option<Vec<Promise<'_>>> {
    let (mut list, rest) = vector(list)?;
    if !rest.is_empty() {
        return None;
    }
    let mut found = Vec::new();
    while !list.is_empty() {
        let (one, rest) = vector(list)?;
        if found.len() >= MAX_PROMISES {
            return None;
        }
        found.push(promise(one)?);
        list = rest;
    }
    Some(found)
}

fn promise(bytes: &[u8]) -> Option<Promise<'_>> {
    let (version, rest) = bytes.split_at_checked(1)?;
    if version != [0] {
        return None;
    }
    let (log, rest) = rest.split_at_checked(32)?;
    let (millis, rest) = rest.split_at_checked(8)?;
    let (extensions, rest) = vector(rest)?;
    let (algorithm, rest) = rest.split_at_checked(2)?;
    let (signature, rest) = vector(rest)?;
    if !rest.is_empty() {
        return None;
    }
    Some(Promise {
        log,
        millis: u64::from_be_bytes(millis.try_into().ok()?),
        extensions,
        algorithm: algorithm.try_into().ok()?,
        signature,
    })
}

// Bytes behind their length of two bytes, and what follows.
fn vector(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_at_checked(2)?;
    let length = u16::from_be_bytes(length.try_into().ok()?);
    rest.split_at_checked(usize::from(length))
}

/// Reads promises that anybody may have written.
#[doc(hidden)]
pub fn fuzz_promises(data: &[u8]) {
    let _ = promises(data);
    let _ = verified(data, data, &[]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one() -> Vec<u8> {
        let mut bytes = vec![0];
        bytes.extend([7; 32]);
        bytes.extend(9_u64.to_be_bytes());
        bytes.extend([0, 0, 4, 3, 0, 2, 1, 2]);
        bytes
    }

    fn list(ones: &[Vec<u8>]) -> Vec<u8> {
        let length = |len: usize| u16::try_from(len).unwrap().to_be_bytes();
        let mut inner = Vec::new();
        for one in ones {
            inner.extend(length(one.len()));
            inner.extend(one);
        }
        [&length(inner.len())[..], &inner].concat()
    }

    #[test]
    fn lists_are_read_whole_or_not_at_all() {
        let bytes = list(&[one(), one()]);
        let found = promises(&bytes).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].millis, found[0].signature), (9, &[1, 2][..]));
        for cut in 0..bytes.len() {
            assert_eq!(promises(&bytes[..cut]), None, "{cut}");
        }
        assert_eq!(promises(&[&bytes[..], &[0]].concat()), None);
        assert_eq!(promises(&list(&vec![one(); MAX_PROMISES + 1])), None);
        let mut version = one();
        version[0] = 1;
        assert_eq!(promises(&list(&[version])), None);
    }
}
