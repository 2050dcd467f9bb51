//! RFC 3161 timestamps over the signature of a bundle.
//!
//! A token counts if an authority of the trust root made it: the signer's certificate is the one
//! that the trust root names, never one out of the token (CVE-2026-39984: one certificate was
//! verified, another one looked at). Its path to the authority's own root is judged at the time
//! in the token, and that time has to lie within the time that the authority is trusted for.
//!
//! Spec: RFC 3161, RFC 5816; the signed structure is RFC 5652 section 5.

use aws_lc_rs::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use custos_core::bundle::TimestampVerificationData;
use custos_core::clock::Timestamp;
use custos_core::crypto::{KeyKind, PublicKey, sha256};
use custos_core::digest::Algorithm;
use x509_cert::der::Tag;

use super::der::{Element, Elements};
use super::{CertificateFault, VerifyError, chain};
use crate::root::{Clock, TrustRoot};

/// Most timestamps of one bundle.
const MAX_TIMESTAMPS: usize = 16;
/// Largest timestamp, in bytes: with a chain of certificates it has about 6,000.
const MAX_TOKEN: usize = 64 * 1024;

const SIGNED_DATA: &str = "1.2.840.113549.1.7.2";
const TST_INFO: &str = "1.2.840.113549.1.9.16.1.4";
const CONTENT_TYPE: &str = "1.2.840.113549.1.9.3";
const MESSAGE_DIGEST: &str = "1.2.840.113549.1.9.4";
const SIGNING_CERTIFICATE_V2: &str = "1.2.840.113549.1.9.16.2.47";

/// What the timestamps of a bundle say.
pub(super) struct Stamps {
    /// The times that authorities of the trust root vouch for.
    pub(super) times: Vec<Timestamp>,
    /// Why others say nothing: no authority of the trust root made them.
    pub(super) unknown: Vec<VerifyError>,
}

/// Verifies every timestamp of a bundle over its signature. One that does not hold is an error,
/// also beside others that do; one by an authority that the trust root does not name says as much
/// as none.
pub(super) fn check_all(
    data: &TimestampVerificationData,
    signed: &[u8],
    root: &TrustRoot,
) -> Result<Stamps, VerifyError> {
    let stamps = &data.rfc3161_timestamps;
    if stamps.len() > MAX_TIMESTAMPS {
        return Err(VerifyError::Timestamp {
            position: MAX_TIMESTAMPS,
            fault: TimestampFault::TooMany,
        });
    }
    let authorities = root
        .sigstore()
        .map_or(&[][..], |sigstore| sigstore.clocks());
    let mut found = Stamps {
        times: Vec::new(),
        unknown: Vec::new(),
    };
    for (position, stamp) in stamps.iter().enumerate() {
        match check(stamp.signed_timestamp.as_slice(), signed, authorities) {
            Ok(time) => found.times.push(time),
            Err(fault) => {
                let is_unknown = fault.is_unknown();
                let error = VerifyError::Timestamp { position, fault };
                if !is_unknown {
                    return Err(error);
                }
                found.unknown.push(error);
            }
        }
    }
    Ok(found)
}

/// Verifies one timestamp by one of `authorities`, and returns its time.
pub(crate) fn check(
    response: &[u8],
    signed: &[u8],
    authorities: &[Clock],
) -> Result<Timestamp, TimestampFault> {
    if response.len() > MAX_TOKEN {
        return Err(TimestampFault::Malformed);
    }
    let token = Token::parse(response)?;
    let imprint = token.imprint.digest(signed);
    if imprint.as_bytes() != token.imprinted {
        return Err(TimestampFault::OtherSignature);
    }
    let mut fault = if authorities.is_empty() {
        TimestampFault::NoAuthority
    } else {
        TimestampFault::UnknownAuthority
    };
    // Two entries may stand for one certificate with two times of trust.
    for authority in authorities.iter().filter(|clock| token.is_by(clock)) {
        match token.check(authority) {
            Ok(()) => return Ok(token.time),
            Err(found) => fault = found,
        }
    }
    Err(fault)
}

/// Reads bytes as a token, for the fuzzer.
pub(super) fn read(data: &[u8]) {
    if let Ok(token) = Token::parse(data) {
        let _ = (token.check_attributes(data), token.signer.sequence());
    }
}

/// A timestamp token, read and not yet believed.
struct Token<'a> {
    info: &'a [u8],
    time: Timestamp,
    imprint: Algorithm,
    imprinted: &'a [u8],
    signer: Element<'a>,
    hash: Algorithm,
    // The content of the SET of signed attributes.
    attributes: Element<'a>,
    signature: &'a [u8],
}

impl<'a> Token<'a> {
    // A `TimeStampResp`; older clients wrote the token alone.
    fn parse(response: &'a [u8]) -> Result<Self, TimestampFault> {
        let outer = Element::parse(response).ok_or(TimestampFault::Malformed)?;
        let mut parts = outer.sequence().ok_or(TimestampFault::Malformed)?;
        let first = parts.next().ok_or(TimestampFault::Malformed)?;
        if let Some(mut status) = first.sequence() {
            let status = status.next().and_then(Element::small);
            return match (status, parts.single()) {
                // Granted, with or without modifications (RFC 3161 section 2.4.2).
                (Some(0 | 1), Some(token)) => Self::of_content(token),
                (Some(status), _) if status > 1 => Err(TimestampFault::Refused { status }),
                _ => Err(TimestampFault::Malformed),
            };
        }
        Self::of_content(outer)
    }

    fn of_content(content: Element<'a>) -> Result<Self, TimestampFault> {
        Self::read(content).ok_or(TimestampFault::Malformed)
    }

    // `ContentInfo`, `SignedData` and `SignerInfo` of RFC 5652. Certificates and revocation lists
    // in between are passed over: nothing is learnt from them.
    fn read(content: Element<'a>) -> Option<Self> {
        let mut content = content.sequence()?;
        is(content.next()?, SIGNED_DATA)?;
        let explicit = content.single()?.context(0)?;
        let mut data = Elements::of(explicit)?.single()?.sequence()?;
        data.next()?.small()?;
        data.next()?.set()?;
        let mut encapsulated = data.next()?.sequence()?;
        is(encapsulated.next()?, TST_INFO)?;
        let info = Elements::of(encapsulated.single()?.context(0)?)?
            .single()?
            .octets()?;
        let signers =
            data.find(|element| element.context(0).is_none() && element.context(1).is_none())?;
        if data.next().is_some() {
            return None;
        }
        let mut signer = signers.set()?.single()?.sequence()?;
        signer.next()?.small()?;
        let identifier = signer.next()?;
        let hash = algorithm(signer.next()?)?;
        let attributes = signer.next()?.context(0)?;
        // The key of the trusted certificate says which algorithm this is.
        signer.next()?.sequence()?;
        let signature = signer.next()?.octets()?;
        let mut token = Self {
            info,
            time: Timestamp::from_seconds(0),
            imprint: Algorithm::Sha256,
            imprinted: &[],
            signer: identifier,
            hash,
            attributes,
            signature,
        };
        token.read_info()?;
        Some(token)
    }

    // `TSTInfo` of RFC 3161 section 2.4.2, up to the time.
    fn read_info(&mut self) -> Option<()> {
        let mut info = Element::parse(self.info)?.sequence()?;
        if info.next()?.small()? != 1 {
            return None;
        }
        info.next()?.oid()?;
        let mut imprint = info.next()?.sequence()?;
        self.imprint = algorithm(imprint.next()?)?;
        self.imprinted = imprint.single()?.octets()?;
        info.next()?.with_tag(Tag::Integer)?;
        let time = info.next()?.with_tag(Tag::GeneralizedTime)?;
        self.time = generalized_time(time.content())?;
        Some(())
    }

    // Whether the token names this authority's certificate as its signer's.
    fn is_by(&self, authority: &Clock) -> bool {
        let leaf = authority.leaf();
        match self.signer.context_primitive(0) {
            Some(key_id) => leaf.subject_key_id().as_deref() == Some(key_id.content()),
            None => self.names_issuer_and_serial(leaf).unwrap_or(false),
        }
    }

    fn names_issuer_and_serial(&self, leaf: &super::Certificate) -> Option<bool> {
        let mut name = self.signer.sequence()?;
        let issuer = name.next()?.to_der()?;
        let serial = name.single()?.to_der()?;
        let (expected_issuer, expected_serial) = leaf.issuer_and_serial()?;
        Some(issuer == expected_issuer && serial == expected_serial)
    }

    fn check(&self, authority: &Clock) -> Result<(), TimestampFault> {
        let leaf = authority.leaf();
        self.check_attributes(leaf.as_der())?;
        let message = self
            .attributes
            .to_der_as(Tag::Set)
            .ok_or(TimestampFault::Malformed)?;
        let key = leaf.key().ok_or(TimestampFault::UnsupportedKey)?;
        let verifier = verifier(key, self.hash).ok_or(TimestampFault::UnsupportedKey)?;
        UnparsedPublicKey::new(verifier, key.as_spki_der())
            .verify(&message, self.signature)
            .map_err(|_| TimestampFault::Signature)?;
        let path = chain::Path {
            leaf,
            links: authority.links(),
            anchors: &[authority.anchor()],
            at: self.time,
        };
        chain::check_clock(&path).map_err(TimestampFault::Certificate)?;
        if authority.is_trusted_at(self.time) {
            Ok(())
        } else {
            Err(TimestampFault::NotTrustedThen { time: self.time })
        }
    }

    // RFC 5652 section 11: content type and digest, each once; RFC 5816: the certificate, which
    // must be the one that the signature is checked with.
    fn check_attributes(&self, leaf: &[u8]) -> Result<(), TimestampFault> {
        let wrong = TimestampFault::Attributes;
        let mut seen = (false, false);
        let attributes = Elements::of(self.attributes).ok_or_else(|| wrong.clone())?;
        for attribute in attributes {
            let (name, value) = attribute_of(attribute).ok_or_else(|| wrong.clone())?;
            let good = match name.as_str() {
                CONTENT_TYPE if !seen.0 => {
                    seen.0 = true;
                    value().is_some_and(|value| is(value, TST_INFO).is_some())
                }
                MESSAGE_DIGEST if !seen.1 => {
                    seen.1 = true;
                    let digest = self.hash.digest(self.info);
                    value().and_then(Element::octets) == Some(digest.as_bytes())
                }
                CONTENT_TYPE | MESSAGE_DIGEST => false,
                SIGNING_CERTIFICATE_V2 => {
                    value().and_then(|value| names(value, leaf)) == Some(true)
                }
                _ => true,
            };
            if !good {
                return Err(wrong);
            }
        }
        if seen == (true, true) {
            Ok(())
        } else {
            Err(wrong)
        }
    }
}

// Name and, on demand, the only value of an attribute.
fn attribute_of<'a>(attribute: Element<'a>) -> Option<(String, impl Fn() -> Option<Element<'a>>)> {
    let mut parts = attribute.sequence()?;
    let name = parts.next()?.oid()?.to_string();
    let values = parts.single()?;
    Some((name, move || values.set()?.single()))
}

// `SigningCertificateV2` of RFC 5035: the first of its ids is that of the signer's certificate,
// under SHA-256 unless it says otherwise.
fn names(value: Element<'_>, leaf: &[u8]) -> Option<bool> {
    let mut ids = value.sequence()?.next()?.sequence()?;
    let mut id = ids.next()?.sequence()?;
    let first = id.next()?;
    let (algorithm, hash) = match first.octets() {
        Some(hash) => (Algorithm::Sha256, hash),
        None => (algorithm(first)?, id.next()?.octets()?),
    };
    Some(match algorithm {
        Algorithm::Sha256 => sha256(leaf).as_slice() == hash,
        other => other.digest(leaf).as_bytes() == hash,
    })
}

fn is(element: Element<'_>, oid: &str) -> Option<()> {
    (element.oid()?.to_string() == oid).then_some(())
}

// A hash by its `AlgorithmIdentifier`; SHA-1 and its like are none.
fn algorithm(element: Element<'_>) -> Option<Algorithm> {
    match element.sequence()?.next()?.oid()?.to_string().as_str() {
        "2.16.840.1.101.3.4.2.1" => Some(Algorithm::Sha256),
        "2.16.840.1.101.3.4.2.2" => Some(Algorithm::Sha384),
        "2.16.840.1.101.3.4.2.3" => Some(Algorithm::Sha512),
        _ => None,
    }
}

// How this kind of key signs over this hash; both come from the token, the key does not.
fn verifier(key: &PublicKey, hash: Algorithm) -> Option<&'static dyn VerificationAlgorithm> {
    Some(match (key.kind(), hash) {
        (KeyKind::P256, Algorithm::Sha256) => &signature::ECDSA_P256_SHA256_ASN1,
        (KeyKind::P256, Algorithm::Sha384) => &signature::ECDSA_P256_SHA384_ASN1,
        (KeyKind::P256, Algorithm::Sha512) => &signature::ECDSA_P256_SHA512_ASN1,
        (KeyKind::P384, Algorithm::Sha256) => &signature::ECDSA_P384_SHA256_ASN1,
        (KeyKind::P384, Algorithm::Sha384) => &signature::ECDSA_P384_SHA384_ASN1,
        (KeyKind::P384, Algorithm::Sha512) => &signature::ECDSA_P384_SHA512_ASN1,
        (KeyKind::P521, Algorithm::Sha256) => &signature::ECDSA_P521_SHA256_ASN1,
        (KeyKind::P521, Algorithm::Sha384) => &signature::ECDSA_P521_SHA384_ASN1,
        (KeyKind::P521, Algorithm::Sha512) => &signature::ECDSA_P521_SHA512_ASN1,
        (KeyKind::Rsa(_), Algorithm::Sha256) => &signature::RSA_PKCS1_2048_8192_SHA256,
        (KeyKind::Rsa(_), Algorithm::Sha384) => &signature::RSA_PKCS1_2048_8192_SHA384,
        (KeyKind::Rsa(_), Algorithm::Sha512) => &signature::RSA_PKCS1_2048_8192_SHA512,
        (KeyKind::Ed25519, _) => &signature::ED25519,
        _ => return None,
    })
}

// `YYYYMMDDhhmmss[.f]Z` (RFC 3161 section 2.4.2): always UTC, fractions without trailing zeros.
fn generalized_time(bytes: &[u8]) -> Option<Timestamp> {
    let text = std::str::from_utf8(bytes).ok()?.strip_suffix('Z')?;
    let (whole, fraction) = match text.split_once('.') {
        Some((_, "")) => return None,
        Some((whole, fraction)) => (whole, fraction),
        None => (text, ""),
    };
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.len() != 14 || !digits(whole) || fraction.len() > 9 || !digits(fraction) {
        return None;
    }
    let part = |from: usize, to: usize| whole.get(from..to).unwrap_or_default();
    let fraction = match fraction {
        "" => String::new(),
        fraction => format!(".{fraction}"),
    };
    let time: Timestamp = format!(
        "{}-{}-{}T{}:{}:{}{fraction}Z",
        part(0, 4),
        part(4, 6),
        part(6, 8),
        part(8, 10),
        part(10, 12),
        part(12, 14),
    )
    .parse()
    .ok()?;
    (time >= Timestamp::from_seconds(0)).then_some(time)
}

/// What is wrong with a timestamp.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TimestampFault {
    /// What it says about itself does not fit its content or its certificate.
    #[error("the timestamp's signed attributes are not of this timestamp")]
    Attributes,
    /// The authority's certificate was not valid then, or is not for timestamps.
    #[error("the timestamp authority's certificate is not accepted: {0}")]
    Certificate(CertificateFault),
    /// Not a timestamp.
    #[error("not a timestamp (RFC 3161)")]
    Malformed,
    /// The trust root names no authority.
    #[error("the trust root names no timestamp authority")]
    NoAuthority,
    /// The trust root does not trust the authority for that time.
    #[error("the timestamp says {time}, and the trust root does not trust the authority for then")]
    NotTrustedThen {
        /// The time.
        time: Timestamp,
    },
    /// It is over something else.
    #[error("the timestamp is over another signature")]
    OtherSignature,
    /// The authority answered that it makes none.
    #[error("the timestamp authority refused with status {status}")]
    Refused {
        /// Its status (RFC 3161 section 2.4.2).
        status: u8,
    },
    /// The authority's signature does not verify.
    #[error("the timestamp authority's signature does not verify")]
    Signature,
    /// More than a bundle needs.
    #[error("more than {MAX_TIMESTAMPS} timestamps")]
    TooMany,
    /// No authority of the trust root made it.
    #[error("no timestamp authority of the trust root made the timestamp")]
    UnknownAuthority,
    /// The authority's key is of no kind that is supported.
    #[error("the timestamp authority's key is of a kind that is not supported")]
    UnsupportedKey,
}

impl TimestampFault {
    /// Returns true if nothing is wrong with the timestamp, but nobody in the trust root made it.
    const fn is_unknown(&self) -> bool {
        matches!(self, Self::NoAuthority | Self::UnknownAuthority)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_to_the_letter() {
        let read = |text: &str| generalized_time(text.as_bytes()).map(|time| time.to_string());
        assert_eq!(
            read("20261123141500Z").as_deref(),
            Some("2026-11-23T14:15:00Z")
        );
        assert_eq!(
            read("20261123141500.25Z").as_deref(),
            Some("2026-11-23T14:15:00.25Z")
        );
        assert_eq!(
            read("20261123141500.123456789Z").as_deref(),
            Some("2026-11-23T14:15:00.123456Z")
        );
        for wrong in [
            "20261123141500",
            "20261123141500+0100",
            "202611231415Z",
            "20261323141500Z",
            "20261123141500.Z",
            "20261123 41500Z",
            "19691231235959Z",
            "20261123141500.1234567890Z",
            "202611231415009Z",
            "20261123141500.5-Z",
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
