//! Keys that requests bring: those of [`custos_core::crypto`], and RSA of 2048 to 4096 bits.
//!
//! Spec: RFC 5480, RFC 8410, RFC 8017; the names of the algorithms are Sigstore's
//! `PublicKeyDetails`. A log of digests checks signatures over digests
//! ([`SubjectKey::verify_digest`]); a certificate request signs a message
//! ([`SubjectKey::verify`]).

use aws_lc_rs::digest::{self, Digest};
use aws_lc_rs::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use custos_core::crypto::{KeyKind, Pem, PublicKey, Scheme};
use der::asn1::{ObjectIdentifier, UintRef};
use der::{Decode as _, Encode as _, Sequence};
use sha2::digest::{FixedOutput, HashMarker, Output, OutputSizeUser, Update, consts::U64};
use x509_cert::request::CertReq;
use x509_cert::spki::SubjectPublicKeyInfoRef;

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const RSA_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.11");
const ECDSA_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");
const ECDSA_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.3");
const ECDSA_SHA512: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.4");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
// Longest certificate signing request, in bytes of PEM.
const MAX_REQUEST: usize = 16 * 1024;
// An RSA key of 4096 bits has about 550 bytes.
const MAX_SPKI: usize = 1_024;

/// A public key as a request brings it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubjectKey {
    spki: Vec<u8>,
    kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Curve(PublicKey),
    // The RSAPublicKey (RFC 8017 appendix A.1.1) and its size in bits.
    Rsa { der: Vec<u8>, bits: usize },
}

impl SubjectKey {
    /// Parses a DER `SubjectPublicKeyInfo`.
    pub fn from_spki_der(der: &[u8]) -> Result<Self, SubjectKeyError> {
        if der.len() > MAX_SPKI {
            return Err(SubjectKeyError::Unsupported);
        }
        let kind = match PublicKey::from_spki_der(der) {
            Ok(key) if !key.kind().is_rsa() => Kind::Curve(key),
            _ => rsa(der)?,
        };
        Ok(Self {
            spki: der.to_vec(),
            kind,
        })
    }

    /// Parses a PEM block `PUBLIC KEY`.
    pub fn from_pem(text: &str) -> Result<Self, SubjectKeyError> {
        let pem = Pem::parse(text).map_err(|_| SubjectKeyError::NotPem)?;
        if pem.label() == "PUBLIC KEY" {
            Self::from_spki_der(pem.bytes())
        } else {
            Err(SubjectKeyError::NotPem)
        }
    }

    /// Takes the key from a certificate signing request (RFC 2986) in PEM, of at most 16 KiB,
    /// that is signed with it. Nothing else of the request is looked at.
    pub fn from_request_pem(pem: &[u8]) -> Result<Self, SubjectKeyError> {
        let text = std::str::from_utf8(pem).map_err(|_| SubjectKeyError::NotPem)?;
        if text.len() > MAX_REQUEST {
            return Err(SubjectKeyError::NotPem);
        }
        let pem = Pem::parse(text).map_err(|_| SubjectKeyError::NotPem)?;
        if pem.label() != "CERTIFICATE REQUEST" {
            return Err(SubjectKeyError::NotPem);
        }
        let malformed = |_| SubjectKeyError::NotARequest;
        let request = CertReq::from_der(pem.bytes()).map_err(malformed)?;
        let key = Self::from_spki_der(&request.info.public_key.to_der().map_err(malformed)?)?;
        if request.algorithm.oid != key.signature_oid() {
            return Err(SubjectKeyError::DetailsDoNotFit);
        }
        let signed = request.info.to_der().map_err(malformed)?;
        key.verify(&signed, request.signature.raw_bytes())?;
        Ok(key)
    }

    // The algorithm of `verify`.
    fn signature_oid(&self) -> ObjectIdentifier {
        match &self.kind {
            Kind::Curve(key) => match key.kind() {
                KeyKind::P384 => ECDSA_SHA384,
                KeyKind::P521 => ECDSA_SHA512,
                KeyKind::Ed25519 => ED25519,
                _ => ECDSA_SHA256,
            },
            Kind::Rsa { .. } => RSA_SHA256,
        }
    }

    /// Returns the DER `SubjectPublicKeyInfo`.
    pub fn as_spki_der(&self) -> &[u8] {
        &self.spki
    }

    /// Verifies a signature over `message` with the algorithm that Fulcio takes for this kind of
    /// key: the curve's own hash, pure Ed25519, or RSA PKCS#1 v1.5 with SHA-256.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), SubjectKeyError> {
        match &self.kind {
            Kind::Curve(key) => {
                let scheme = match key.kind() {
                    KeyKind::Ed25519 => Scheme::Ed25519,
                    kind => kind.statement_scheme(),
                };
                key.verify(scheme, message, signature)
                    .map_err(|_| SubjectKeyError::BadSignature)
            }
            Kind::Rsa { der, .. } => {
                UnparsedPublicKey::new(&signature::RSA_PKCS1_2048_8192_SHA256, der)
                    .verify(message, signature)
                    .map_err(|_| SubjectKeyError::BadSignature)
            }
        }
    }

    /// Verifies a signature over a digest, by the `PublicKeyDetails` name of its algorithm.
    ///
    /// The name has to fit the key, and the digest the name.
    pub fn verify_digest(
        &self,
        details: &str,
        digest: &[u8],
        signature: &[u8],
    ) -> Result<(), SubjectKeyError> {
        match &self.kind {
            Kind::Curve(key) => {
                let scheme = Scheme::from_key_details(details)
                    .filter(|scheme| scheme.key_kind() == key.kind())
                    .ok_or(SubjectKeyError::DetailsDoNotFit)?;
                verify_curve(key, scheme, digest, signature)
            }
            Kind::Rsa { der, bits } => {
                let algorithm: &dyn VerificationAlgorithm = match rsa_padding(details, *bits)? {
                    Padding::Pkcs1 => &signature::RSA_PKCS1_2048_8192_SHA256,
                    Padding::Pss => &signature::RSA_PSS_2048_8192_SHA256,
                };
                verify_prehashed(algorithm, der, (&digest::SHA256, digest), signature)
            }
        }
    }
}

/// Returns the digest length that belongs to a `PublicKeyDetails` name, if it is one that a log
/// of digests can check.
pub fn digest_length(details: &str) -> Option<usize> {
    match Scheme::from_key_details(details) {
        Some(Scheme::EcdsaP256 | Scheme::RsaPkcs1Sha256(_) | Scheme::RsaPssSha256(_)) => Some(32),
        Some(Scheme::EcdsaP384) => Some(48),
        Some(Scheme::EcdsaP521 | Scheme::Ed25519ph) => Some(64),
        _ => None,
    }
}

enum Padding {
    Pkcs1,
    Pss,
}

fn rsa_padding(details: &str, bits: usize) -> Result<Padding, SubjectKeyError> {
    if details == format!("PKIX_RSA_PKCS1V15_{bits}_SHA256") {
        Ok(Padding::Pkcs1)
    } else if details == format!("PKIX_RSA_PSS_{bits}_SHA256") {
        Ok(Padding::Pss)
    } else {
        Err(SubjectKeyError::DetailsDoNotFit)
    }
}

fn verify_curve(
    key: &PublicKey,
    scheme: Scheme,
    digest: &[u8],
    signature: &[u8],
) -> Result<(), SubjectKeyError> {
    let (algorithm, hash): (&dyn VerificationAlgorithm, _) = match scheme {
        Scheme::EcdsaP256 => (&signature::ECDSA_P256_SHA256_ASN1, &digest::SHA256),
        Scheme::EcdsaP384 => (&signature::ECDSA_P384_SHA384_ASN1, &digest::SHA384),
        Scheme::EcdsaP521 => (&signature::ECDSA_P521_SHA512_ASN1, &digest::SHA512),
        Scheme::Ed25519ph => return verify_ed25519ph(key, digest, signature),
        // Pure Ed25519 signs the message, which nobody has here.
        _ => return Err(SubjectKeyError::DetailsDoNotFit),
    };
    let spki = SubjectPublicKeyInfoRef::from_der(key.as_spki_der())
        .map_err(|_| SubjectKeyError::Unsupported)?;
    let point = spki.subject_public_key.raw_bytes();
    verify_prehashed(algorithm, point, (hash, digest), signature)
}

fn verify_prehashed(
    algorithm: &'static dyn VerificationAlgorithm,
    key: &[u8],
    (hash, digest): (&'static digest::Algorithm, &[u8]),
    signature: &[u8],
) -> Result<(), SubjectKeyError> {
    let digest =
        Digest::import_less_safe(digest, hash).map_err(|_| SubjectKeyError::DetailsDoNotFit)?;
    UnparsedPublicKey::new(algorithm, key)
        .verify_digest(&digest, signature)
        .map_err(|_| SubjectKeyError::BadSignature)
}

fn verify_ed25519ph(
    key: &PublicKey,
    digest: &[u8],
    signature: &[u8],
) -> Result<(), SubjectKeyError> {
    let bad = |_| SubjectKeyError::BadSignature;
    let key = key
        .ed25519_bytes()
        .ok_or(SubjectKeyError::DetailsDoNotFit)?;
    let key = ed25519_dalek::VerifyingKey::from_bytes(&key).map_err(bad)?;
    let signature = ed25519_dalek::Signature::from_slice(signature).map_err(bad)?;
    let digest = digest
        .try_into()
        .map_err(|_| SubjectKeyError::DetailsDoNotFit)?;
    key.verify_prehashed_strict(Given(digest), None, &signature)
        .map_err(bad)
}

// A digest that is known already, in the place of a hasher.
struct Given([u8; 64]);

impl Default for Given {
    fn default() -> Self {
        Self([0; 64])
    }
}

impl Update for Given {
    fn update(&mut self, _: &[u8]) {}
}

impl OutputSizeUser for Given {
    type OutputSize = U64;
}

impl FixedOutput for Given {
    fn finalize_into(self, out: &mut Output<Self>) {
        out.copy_from_slice(&self.0);
    }
}

impl HashMarker for Given {}

#[derive(Sequence)]
struct RsaPublicKey<'a> {
    modulus: UintRef<'a>,
    exponent: UintRef<'a>,
}

fn rsa(spki: &[u8]) -> Result<Kind, SubjectKeyError> {
    let parsed =
        SubjectPublicKeyInfoRef::from_der(spki).map_err(|_| SubjectKeyError::Unsupported)?;
    let der = parsed.subject_public_key.raw_bytes();
    let key = RsaPublicKey::from_der(der).map_err(|_| SubjectKeyError::Unsupported)?;
    let null = parsed
        .algorithm
        .parameters
        .is_some_and(der::AnyRef::is_null);
    let bytes = key.modulus.as_bytes();
    let bits = bytes.len().saturating_mul(8);
    let full = bytes.first().is_some_and(|first| first & 0x80 != 0);
    let odd = bytes.last().is_some_and(|last| last & 1 == 1);
    // The usual exponent only: small ones have been trouble, and nobody needs another.
    let exponent = key.exponent.as_bytes() == [1, 0, 1];
    let size = matches!(bits, 2_048 | 3_072 | 4_096);
    // One encoding for one key.
    let canonical = parsed.to_der().is_ok_and(|again| again == spki);
    if parsed.algorithm.oid == RSA && null && size && full && odd && exponent && canonical {
        Ok(Kind::Rsa {
            der: der.to_vec(),
            bits,
        })
    } else {
        Err(SubjectKeyError::Unsupported)
    }
}

/// Why a key or a signature by it was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SubjectKeyError {
    /// Not a signature by this key.
    #[error("the signature does not verify")]
    BadSignature,
    /// The named algorithm is not one of this key and this digest.
    #[error("the key details fit neither the key nor the digest")]
    DetailsDoNotFit,
    /// Not a certificate signing request.
    #[error("not a certificate signing request")]
    NotARequest,
    /// Not one PEM block of the type that is needed.
    #[error("not a public key (or certificate signing request) in PEM")]
    NotPem,
    /// Neither a supported curve nor RSA of 2048, 3072 or 4096 bits.
    #[error("a key is ECDSA on P-256, P-384 or P-521, Ed25519, or RSA of 2048 to 4096 bits")]
    Unsupported,
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
    use aws_lc_rs::signature::KeyPair as _;
    use custos_core::crypto::KeyPair;
    use custos_core::digest::Algorithm;
    use custos_core::entry::entry_algorithm;

    #[test]
    fn a_signature_over_a_message_verifies_over_its_digest() {
        for scheme in Scheme::ALL {
            if scheme == Scheme::Ed25519 {
                continue;
            }
            let pair = KeyPair::generate(scheme.key_kind()).unwrap();
            let signature = pair.sign(scheme, b"message").unwrap();
            let digest = entry_algorithm(scheme).digest(b"message");
            let key = SubjectKey::from_spki_der(pair.public_key().as_spki_der()).unwrap();
            let details = scheme.key_details();
            assert_eq!(digest_length(details), Some(digest.as_bytes().len()));
            key.verify_digest(details, digest.as_bytes(), &signature)
                .unwrap();
            let other = entry_algorithm(scheme).digest(b"messagf");
            assert_eq!(
                key.verify_digest(details, other.as_bytes(), &signature),
                Err(SubjectKeyError::BadSignature),
                "{scheme:?}"
            );
            assert_eq!(
                key.verify_digest(details, &digest.as_bytes()[1..], &signature),
                Err(SubjectKeyError::DetailsDoNotFit)
            );
            let other = if scheme.key_kind().is_rsa() {
                "PKIX_ECDSA_P256_SHA_256"
            } else {
                "PKIX_RSA_PKCS1V15_2048_SHA256"
            };
            assert_eq!(
                key.verify_digest(other, digest.as_bytes(), &signature),
                Err(SubjectKeyError::DetailsDoNotFit)
            );
        }
        assert_eq!(digest_length("PKIX_ED25519"), None);
        assert_eq!(digest_length("PKIX_RSA_PKCS1V15_1024_SHA256"), None);
    }

    fn rsa_spki(pair: &RsaKeyPair) -> Vec<u8> {
        use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
        let der: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
        der.as_ref().to_vec()
    }

    #[test]
    fn rsa_keys_verify_with_both_paddings_and_only_with_their_size() {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let key = SubjectKey::from_spki_der(&rsa_spki(&pair)).unwrap();
        let digest = Algorithm::Sha256.digest(b"message");
        for (padding, details) in [
            (
                &signature::RSA_PKCS1_SHA256,
                "PKIX_RSA_PKCS1V15_2048_SHA256",
            ),
            (&signature::RSA_PSS_SHA256, "PKIX_RSA_PSS_2048_SHA256"),
        ] {
            let mut made = vec![0; pair.public_modulus_len()];
            pair.sign(padding, &SystemRandom::new(), b"message", &mut made)
                .unwrap();
            key.verify_digest(details, digest.as_bytes(), &made)
                .unwrap();
            let larger = details.replace("2048", "4096");
            assert_eq!(
                key.verify_digest(&larger, digest.as_bytes(), &made),
                Err(SubjectKeyError::DetailsDoNotFit)
            );
            made[9] ^= 1;
            assert_eq!(
                key.verify_digest(details, digest.as_bytes(), &made),
                Err(SubjectKeyError::BadSignature)
            );
        }
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let mut der = rsa_spki(&pair);
        der.push(0);
        for bad in [&der[..], b"", &[0x30; 40], &[0; 2_000]] {
            assert_eq!(
                SubjectKey::from_spki_der(bad),
                Err(SubjectKeyError::Unsupported)
            );
        }
        assert_eq!(SubjectKey::from_pem("x"), Err(SubjectKeyError::NotPem));
    }
}
