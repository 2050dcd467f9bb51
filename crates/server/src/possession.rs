//! Proof that whoever asks for a certificate has the private key: a signature over something that
//! only this request can be about, or a certificate signing request (RFC 2986).
//!
//! Spec: RFC 5758 and RFC 8410 for the algorithms of requests; the algorithm for each kind of key
//! is the one that Fulcio takes ([`KeyKind::message_scheme`]).

use custos_core::crypto::{KeyError, KeyKind, Pem, PublicKey};
use der::asn1::ObjectIdentifier;
use der::{Decode as _, Encode as _};
use x509_cert::request::CertReq;

const RSA_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.11");
const ECDSA_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");
const ECDSA_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.3");
const ECDSA_SHA512: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.4");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
// Longest certificate signing request, in bytes of PEM.
const MAX_REQUEST: usize = 16 * 1024;

/// Checks that `proof` is a signature over `challenge` by `key`.
pub fn check(key: &PublicKey, challenge: &[u8], proof: &[u8]) -> Result<(), PossessionError> {
    key.verify(key.kind().message_scheme(), challenge, proof)
        .map_err(|_| PossessionError::NotShown)
}

/// Takes the key from a certificate signing request in PEM, of at most 16 KiB, that is signed with
/// it. Nothing else of the request is looked at.
pub fn key_of_request(pem: &[u8]) -> Result<PublicKey, PossessionError> {
    let text = std::str::from_utf8(pem)
        .ok()
        .filter(|text| text.len() <= MAX_REQUEST)
        .ok_or(PossessionError::NotPem)?;
    let pem = Pem::parse(text).map_err(|_| PossessionError::NotPem)?;
    if pem.label() != "CERTIFICATE REQUEST" {
        return Err(PossessionError::NotPem);
    }
    let malformed = |_| PossessionError::NotARequest;
    let request = CertReq::from_der(pem.bytes()).map_err(malformed)?;
    let spki = request.info.public_key.to_der().map_err(malformed)?;
    let key = PublicKey::from_spki_der(&spki).map_err(PossessionError::Key)?;
    if request.algorithm.oid != signature_oid(key.kind()) {
        return Err(PossessionError::OtherAlgorithm);
    }
    let signed = request.info.to_der().map_err(malformed)?;
    check(&key, &signed, request.signature.raw_bytes())?;
    Ok(key)
}

// The X.509 name of `KeyKind::message_scheme`.
const fn signature_oid(kind: KeyKind) -> ObjectIdentifier {
    match kind {
        KeyKind::P384 => ECDSA_SHA384,
        KeyKind::P521 => ECDSA_SHA512,
        KeyKind::Ed25519 => ED25519,
        KeyKind::Rsa(_) => RSA_SHA256,
        _ => ECDSA_SHA256,
    }
}

/// Why the possession of a key is not shown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PossessionError {
    /// The key of the request.
    #[error("{0}")]
    Key(KeyError),
    /// Not a certificate signing request.
    #[error("not a certificate signing request")]
    NotARequest,
    /// Not one PEM block of the type that is needed.
    #[error("not a certificate signing request in PEM")]
    NotPem,
    /// Signed by somebody else, or over something else.
    #[error("the proof of possession is not a signature by the key")]
    NotShown,
    /// The request is signed by another algorithm than its kind of key is used with.
    #[error("the request is signed by an algorithm that is not the one of its kind of key")]
    OtherAlgorithm,
}

#[cfg(test)]
mod tests {
    use super::*;
    use custos_core::crypto::KeyPair;

    // A key in PKCS#8, and a request that is signed with it.
    fn request(algorithm: &'static rcgen::SignatureAlgorithm) -> (PublicKey, String) {
        let pair = rcgen::KeyPair::generate_for(algorithm).unwrap();
        let params = rcgen::CertificateParams::new(vec!["ignored.example".to_owned()]).unwrap();
        let pem = params.serialize_request(&pair).unwrap().pem().unwrap();
        let key = KeyPair::from_pkcs8_der(&pair.serialize_der()).unwrap();
        (key.public_key().clone(), pem)
    }

    #[test]
    fn a_request_shows_the_possession_of_its_own_key() {
        for algorithm in [
            &rcgen::PKCS_ECDSA_P256_SHA256,
            &rcgen::PKCS_ECDSA_P384_SHA384,
            &rcgen::PKCS_ED25519,
        ] {
            let (key, pem) = request(algorithm);
            assert_eq!(key_of_request(pem.as_bytes()), Ok(key));
        }
    }

    #[test]
    fn a_request_that_another_key_signed_shows_nothing() {
        let (_, pem) = request(&rcgen::PKCS_ECDSA_P256_SHA256);
        let der = Pem::parse(&pem).unwrap().bytes().to_vec();
        let other = KeyPair::generate(KeyKind::P256).unwrap();
        let spki = other.public_key().as_spki_der();
        let begin = der
            .windows(23)
            .position(|window| window == &spki[..23])
            .unwrap();
        let mut swapped = der.clone();
        swapped[begin..begin + spki.len()].copy_from_slice(spki);
        let swapped = Pem::new("CERTIFICATE REQUEST", swapped).to_text();
        assert_eq!(
            key_of_request(swapped.as_bytes()),
            Err(PossessionError::NotShown)
        );
        // The name of another algorithm, of the same length.
        let name = ECDSA_SHA256.as_bytes();
        let at = der
            .windows(name.len())
            .rposition(|window| window == name)
            .unwrap();
        let mut renamed = der;
        renamed[at + name.len() - 1] = 3;
        let renamed = Pem::new("CERTIFICATE REQUEST", renamed).to_text();
        assert_eq!(
            key_of_request(renamed.as_bytes()),
            Err(PossessionError::OtherAlgorithm)
        );
    }

    #[test]
    fn what_is_no_request_is_refused() {
        let pair = KeyPair::generate(KeyKind::P256).unwrap();
        let key = pair.public_key().to_pem();
        let long = format!("{}{}", key, "\n".repeat(MAX_REQUEST));
        for text in ["", "x", &key, &long] {
            assert_eq!(
                key_of_request(text.as_bytes()),
                Err(PossessionError::NotPem)
            );
        }
        assert_eq!(key_of_request(&[0xff; 8]), Err(PossessionError::NotPem));
        let empty = Pem::new("CERTIFICATE REQUEST", vec![0x30, 0]).to_text();
        assert_eq!(
            key_of_request(empty.as_bytes()),
            Err(PossessionError::NotARequest)
        );
    }

    #[test]
    fn a_proof_is_over_the_challenge_alone() {
        for kind in KeyKind::CURVES {
            let pair = KeyPair::generate(kind).unwrap();
            let proof = pair.sign(kind.message_scheme(), b"jane").unwrap();
            check(pair.public_key(), b"jane", &proof).unwrap();
            for (challenge, proof) in [(&b"john"[..], &proof[..]), (b"jane", b""), (b"", &proof)] {
                assert_eq!(
                    check(pair.public_key(), challenge, proof),
                    Err(PossessionError::NotShown)
                );
            }
        }
        // Prehashed Ed25519 is another algorithm.
        let pair = KeyPair::generate(KeyKind::Ed25519).unwrap();
        let proof = pair.sign(KeyKind::Ed25519.statement_scheme(), b"jane");
        assert_eq!(
            check(pair.public_key(), b"jane", &proof.unwrap()),
            Err(PossessionError::NotShown)
        );
    }
}
