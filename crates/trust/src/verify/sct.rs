//! Signed certificate timestamps: the promise of a certificate transparency log that a
//! certificate will be public (RFC 6962 section 3.2).

use custos_core::clock::Timestamp;
use custos_core::crypto::{KeyKind, RsaSize, Scheme, sha256};

use super::der::Element;
use super::{Certificate, VerifyError};
use crate::root::SigstoreRoot;

const SCT_LIST: &str = "1.3.6.1.4.1.11129.2.4.2";
const V1: u8 = 0;
const CERTIFICATE_TIMESTAMP: u8 = 0;
const PRECERT_ENTRY: [u8; 2] = [0, 1];
/// Most promises in one certificate.
const MAX_PROMISES: usize = 8;

/// Returns the host of a log of the trust root that promised the certificate to the public.
///
/// Promises of other logs are passed over; a promise of a trusted log that does not hold is an
/// error.
pub(crate) fn check(
    leaf: &Certificate,
    issuer_spki: &[u8],
    root: &SigstoreRoot,
) -> Result<String, VerifyError> {
    let missing = || VerifyError::CertificatePromise {
        fault: PromiseFault::Missing,
    };
    let list = leaf
        .raw_extension(SCT_LIST)
        .map_err(|fault| VerifyError::Certificate { position: 0, fault })?
        .ok_or_else(missing)?;
    let malformed = || VerifyError::CertificatePromise {
        fault: PromiseFault::Malformed,
    };
    let promises = Element::parse(list)
        .and_then(Element::octets)
        .and_then(promises)
        .ok_or_else(malformed)?;
    let part = leaf.signed_part_without(SCT_LIST).ok_or_else(malformed)?;
    let mut found = None;
    for promise in promises {
        let promise = Promise::parse(promise).ok_or_else(malformed)?;
        let Some(log) = root.certificate_log(promise.log_id) else {
            continue;
        };
        let broken = |fault| VerifyError::CertificatePromise { fault };
        if !log.is_trusted_at(promise.time()) {
            return Err(broken(PromiseFault::NotTrustedThen {
                log: log.name().to_owned(),
            }));
        }
        let message = promise.message(issuer_spki, &part).ok_or_else(malformed)?;
        let scheme = promise.scheme(log.key().kind());
        scheme
            .and_then(|scheme| log.key().verify(scheme, &message, promise.signature).ok())
            .ok_or_else(|| {
                broken(PromiseFault::Signature {
                    log: log.name().to_owned(),
                })
            })?;
        found = Some(log.name().to_owned());
    }
    found.ok_or(VerifyError::CertificatePromise {
        fault: PromiseFault::UnknownLog,
    })
}

/// Reads bytes as the list of promises of a certificate, for the fuzzer.
pub(super) fn read(data: &[u8]) {
    let list = Element::parse(data)
        .and_then(Element::octets)
        .unwrap_or(data);
    for promise in promises(list).unwrap_or_default() {
        let _ = Promise::parse(promise).and_then(|promise| promise.message(data, data));
    }
}

struct Promise<'a> {
    log_id: &'a [u8],
    millis: u64,
    extensions: &'a [u8],
    algorithm: [u8; 2],
    signature: &'a [u8],
}

impl<'a> Promise<'a> {
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (version, rest) = bytes.split_first()?;
        let (log_id, rest) = rest.split_at_checked(32)?;
        let (millis, rest) = rest.split_first_chunk::<8>()?;
        let (extensions, rest) = vector(rest)?;
        let (algorithm, rest) = rest.split_first_chunk::<2>()?;
        let (signature, rest) = vector(rest)?;
        (*version == V1 && rest.is_empty()).then_some(Self {
            log_id,
            millis: u64::from_be_bytes(*millis),
            extensions,
            algorithm: *algorithm,
            signature,
        })
    }

    fn time(&self) -> Timestamp {
        let micros = i64::try_from(self.millis)
            .ok()
            .and_then(|millis| millis.checked_mul(1000));
        Timestamp::from_micros(micros.unwrap_or(i64::MAX))
    }

    // RFC 5246 section 7.4.1.4.1: SHA-256 with ECDSA or RSA, SHA-384 with ECDSA.
    fn scheme(&self, kind: KeyKind) -> Option<Scheme> {
        match (self.algorithm, kind) {
            ([4, 3], KeyKind::P256) => Some(Scheme::EcdsaP256),
            ([5, 3], KeyKind::P384) => Some(Scheme::EcdsaP384),
            (
                [4, 1],
                KeyKind::Rsa(size @ (RsaSize::Bits2048 | RsaSize::Bits3072 | RsaSize::Bits4096)),
            ) => Some(Scheme::RsaPkcs1Sha256(size)),
            _ => None,
        }
    }

    fn message(&self, issuer_spki: &[u8], part: &[u8]) -> Option<Vec<u8>> {
        let [0, length @ ..] = u32::try_from(part.len()).ok()?.to_be_bytes() else {
            return None;
        };
        let extensions = u16::try_from(self.extensions.len()).ok()?.to_be_bytes();
        Some(
            [
                &[V1, CERTIFICATE_TIMESTAMP][..],
                &self.millis.to_be_bytes(),
                &PRECERT_ENTRY,
                &sha256(issuer_spki),
                &length,
                part,
                &extensions,
                self.extensions,
            ]
            .concat(),
        )
    }
}

// `SerializedSCT sct_list <1..2^16-1>`, each of them a vector again.
fn promises(list: &[u8]) -> Option<Vec<&[u8]>> {
    let (mut list, rest) = vector(list)?;
    let mut promises = Vec::new();
    while !list.is_empty() && promises.len() < MAX_PROMISES {
        let (promise, rest) = vector(list)?;
        promises.push(promise);
        list = rest;
    }
    (rest.is_empty() && list.is_empty() && !promises.is_empty()).then_some(promises)
}

// A TLS vector with two bytes of length, and what follows it.
fn vector(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}

/// What is wrong with a certificate's promise of publicity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PromiseFault {
    /// Not a list of promises.
    #[error("the certificate's list of transparency promises is malformed")]
    Malformed,
    /// There is none.
    #[error("the certificate carries no promise of a certificate transparency log (SCT)")]
    Missing,
    /// The trust root does not trust that log for that time.
    #[error("the trust root does not trust the certificate log {log} for the time of its promise")]
    NotTrustedThen {
        /// The log.
        log: String,
    },
    /// Not signed by that log, or not over this certificate.
    #[error("the promise of the certificate log {log} is not over this certificate")]
    Signature {
        /// The log.
        log: String,
    },
    /// None of the promises is by a log of the trust root.
    #[error("no certificate log of the trust root promised this certificate to the public")]
    UnknownLog,
}
