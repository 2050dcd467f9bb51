//! Signed certificate timestamps: the promise that a certificate is logged, embedded in it.
//!
//! Spec: RFC 6962 sections 3.2 (what is signed) and 3.3 (how it is embedded). The log that
//! promises is our own; its certificates end up in the transparency log with each signature.

use custos_core::clock::Timestamp;
use custos_core::crypto::{Scheme, sha256};
use custos_trust::signer::Signer;
use der::asn1::{ObjectIdentifier, OctetString};
use x509_cert::ext::Extension;

use super::build::{self, CertificateError};
use super::{AuthorityError, Member, Role};

const SCT_LIST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.11129.2.4.2");
const V1: u8 = 0;
const CERTIFICATE_TIMESTAMP: u8 = 0;
const PRECERT_ENTRY: [u8; 2] = [0, 1];
const NO_EXTENSIONS: [u8; 2] = [0, 0];

/// Returns the TLS codes of hash and signature algorithm (RFC 5246 section 7.4.1.4.1). RFC 6962
/// section 2.1.4 knows ECDSA over P-256 and RSA alone.
pub(super) const fn algorithm(scheme: Scheme) -> Option<[u8; 2]> {
    match scheme {
        Scheme::EcdsaP256 => Some([4, 3]),
        _ => None,
    }
}

/// Returns what a promise signs: `tbs` is the certificate without the promise, `issuer_spki` the
/// key of its issuer.
pub fn sct_message(millis: u64, issuer_spki: &[u8], tbs: &[u8]) -> Option<Vec<u8>> {
    let length = u32::try_from(tbs.len()).ok().filter(|len| *len < 1 << 24)?;
    let [_, length @ ..] = length.to_be_bytes();
    Some(
        [
            &[V1, CERTIFICATE_TIMESTAMP][..],
            &millis.to_be_bytes(),
            &PRECERT_ENTRY,
            &sha256(issuer_spki),
            &length,
            tbs,
            &NO_EXTENSIONS,
        ]
        .concat(),
    )
}

/// Returns the promise of the log with key `log` over a certificate to be signed.
pub(super) fn promise(
    log: &dyn Signer,
    tbs: &[u8],
    issuing: &Member,
    now: Timestamp,
) -> Result<Vec<u8>, AuthorityError> {
    let unsupported = AuthorityError::UnsupportedKey {
        role: Role::CertificateLog,
    };
    let algorithm = algorithm(log.scheme()).ok_or(unsupported)?;
    let millis =
        u64::try_from(now.as_micros().div_euclid(1_000)).map_err(|_| CertificateError::Encoding)?;
    let spki = build::issuer_spki(issuing);
    let message = sct_message(millis, spki, tbs).ok_or(CertificateError::Encoding)?;
    let signature = log.sign(&message).map_err(AuthorityError::Sign)?;
    let length = u16::try_from(signature.len()).map_err(|_| CertificateError::Encoding)?;
    Ok([
        &[V1][..],
        &sha256(log.public_key().as_spki_der()),
        &millis.to_be_bytes(),
        &NO_EXTENSIONS,
        &algorithm,
        &length.to_be_bytes(),
        &signature,
    ]
    .concat())
}

/// Returns the extension that carries one promise.
pub(super) fn extension(sct: &[u8]) -> Result<Extension, CertificateError> {
    let length = |bytes: usize| u16::try_from(bytes).map_err(|_| CertificateError::Encoding);
    let inner = length(sct.len())?;
    let outer = length(sct.len().saturating_add(2))?;
    let list = [&outer.to_be_bytes()[..], &inner.to_be_bytes(), sct].concat();
    build::extension(SCT_LIST, false, &OctetString::new(list)?)
}
