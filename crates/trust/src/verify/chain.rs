//! Whether a certificate leads to an authority of the trust root (RFC 5280 section 6).
//!
//! Paths are built and checked by rustls-webpki. Certificates out of a bundle are only links of a
//! path; its end comes from the trust root.
//!
//! One shape webpki refuses on principle, and the OMS reference client makes it: a leaf that says
//! it is an authority (its own documentation signs with such leaves), down to a self-signed
//! certificate that the verifier trusts directly. For that shape alone, and only when webpki's sole
//! complaint is `CaUsedAsEndEntity`, [`Walk`] follows the issuers, under narrower rules: no name
//! constraints, no critical extension beyond the four that it checks.

use std::time::Duration;

use custos_core::clock::Timestamp;
use custos_core::limits::MAX_CERTIFICATES;
use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm, UnixTime};
use webpki::aws_lc_rs as algorithms;
use webpki::{EndEntityCert, KeyUsage};
use x509_cert::der::{AnyRef, Encode as _, Tag};
use x509_cert::ext::pkix::{BasicConstraints, ExtendedKeyUsage, KeyUsage as KeyUsageBits};

use super::certificate::{Certificate, CertificateFault};
use crate::root::Anchor;

/// `id-kp-codeSigning`, 1.3.6.1.5.5.7.3.3, as webpki wants it.
const CODE_SIGNING: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 3];

/// Most signatures that [`Walk`] checks: a bundle may not make us search.
const MAX_SIGNATURE_CHECKS: usize = 64;

/// Algorithms that an authority may sign certificates with.
static AUTHORITY_ALGORITHMS: &[&dyn SignatureVerificationAlgorithm] = &[
    algorithms::ECDSA_P256_SHA256,
    algorithms::ECDSA_P256_SHA384,
    algorithms::ECDSA_P256_SHA512,
    algorithms::ECDSA_P384_SHA256,
    algorithms::ECDSA_P384_SHA384,
    algorithms::ECDSA_P384_SHA512,
    algorithms::ECDSA_P521_SHA256,
    algorithms::ECDSA_P521_SHA384,
    algorithms::ECDSA_P521_SHA512,
    algorithms::ED25519,
    algorithms::RSA_PKCS1_2048_8192_SHA256,
    algorithms::RSA_PKCS1_2048_8192_SHA384,
    algorithms::RSA_PKCS1_2048_8192_SHA512,
    algorithms::RSA_PSS_2048_8192_SHA256_LEGACY_KEY,
    algorithms::RSA_PSS_2048_8192_SHA384_LEGACY_KEY,
    algorithms::RSA_PSS_2048_8192_SHA512_LEGACY_KEY,
];

/// `id-kp-timeStamping`, 1.3.6.1.5.5.7.3.8.
const TIME_STAMPING: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 8];
const TIME_STAMPING_OID: &str = "1.3.6.1.5.5.7.3.8";

/// A leaf, what may lead from it to an anchor, and the time to judge at.
pub(crate) struct Path<'a> {
    pub(crate) leaf: &'a Certificate,
    pub(crate) links: &'a [Certificate],
    pub(crate) anchors: &'a [&'a Anchor],
    pub(crate) at: Timestamp,
}

/// Checks that the leaf of a private authority's signer leads to an anchor, all valid then.
pub(super) fn check(path: &Path<'_>) -> Result<(), CertificateFault> {
    match by_webpki(path, KeyUsage::required_if_present(CODE_SIGNING)) {
        Err(CertificateFault::AuthorityAsLeaf) => {
            let mut walk = Walk {
                links: path.links,
                anchors: &usable(path)?,
                now: path.at,
                budget: MAX_SIGNATURE_CHECKS,
            };
            walk.reach_anchor(path.leaf, 0)
        }
        outcome => outcome.map(|_| ()),
    }
}

/// Checks that the leaf may sign code and leads to an anchor, and returns the key of the leaf's
/// issuer on that path, as DER `SubjectPublicKeyInfo`.
pub(crate) fn check_issued(path: &Path<'_>) -> Result<Vec<u8>, CertificateFault> {
    by_webpki(path, KeyUsage::required(CODE_SIGNING))
}

/// Checks that the leaf may make timestamps and leads to an anchor. Authorities between the two
/// may do so unless they say that they are for something else.
pub(super) fn check_clock(path: &Path<'_>) -> Result<(), CertificateFault> {
    if path.leaf.is_for(TIME_STAMPING_OID)? != Some(true) {
        return Err(CertificateFault::Usage);
    }
    by_webpki(path, KeyUsage::required_if_present(TIME_STAMPING)).map(|_| ())
}

/// Returns true if one of the anchors signed the leaf, whenever either is valid.
pub(super) fn is_issued_by_one(leaf: &Certificate, anchors: &[&Anchor]) -> bool {
    let issued = |anchor: &&Anchor| issued(leaf, anchor.certificate());
    anchors.iter().any(|anchor| issued(anchor) == Ok(true))
}

// webpki takes an anchor's key at face value; an expired root must not vouch.
fn usable<'a>(path: &Path<'a>) -> Result<Vec<&'a Anchor>, CertificateFault> {
    if path.anchors.is_empty() {
        return Err(CertificateFault::NoAnchor);
    }
    let usable: Vec<&Anchor> = path
        .anchors
        .iter()
        .copied()
        .filter(|anchor| anchor.is_valid_at(path.at))
        .collect();
    if usable.is_empty() {
        return Err(CertificateFault::NoValidAnchor { now: path.at });
    }
    Ok(usable)
}

fn by_webpki(path: &Path<'_>, usage: KeyUsage) -> Result<Vec<u8>, CertificateFault> {
    let anchors: Vec<_> = usable(path)?
        .into_iter()
        .map(|anchor| anchor.trust().clone())
        .collect();
    let der = CertificateDer::from(path.leaf.as_der());
    let entity = EndEntityCert::try_from(&der).map_err(|_| CertificateFault::Malformed)?;
    let links: Vec<_> = path
        .links
        .iter()
        .map(|link| CertificateDer::from(link.as_der()))
        .collect();
    let seconds = u64::try_from(path.at.as_seconds()).map_err(|_| CertificateFault::Malformed)?;
    let time = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
    let verified = entity
        .verify_for_usage(
            AUTHORITY_ALGORITHMS,
            &anchors,
            &links,
            time,
            usage,
            None,
            None,
        )
        .map_err(|error| CertificateFault::from_webpki(&error))?;
    match verified.intermediate_certificates().next() {
        Some(issuer) => Ok(issuer.subject_public_key_info().as_ref().to_vec()),
        // Of an anchor webpki keeps the content of the SEQUENCE.
        None => AnyRef::new(
            Tag::Sequence,
            verified.anchor().subject_public_key_info.as_ref(),
        )
        .and_then(|spki| spki.to_der())
        .map_err(|_| CertificateFault::Malformed),
    }
}

// Follows issuers from a leaf that is an authority's certificate.
struct Walk<'a> {
    links: &'a [Certificate],
    anchors: &'a [&'a Anchor],
    now: Timestamp,
    budget: usize,
}

impl Walk<'_> {
    // `below` counts the authorities between this certificate and the leaf, for path lengths.
    fn reach_anchor(&mut self, child: &Certificate, below: usize) -> Result<(), CertificateFault> {
        self.check_one(child)?;
        if self
            .anchors
            .iter()
            .any(|anchor| anchor.certificate().as_der() == child.as_der())
        {
            return Ok(());
        }
        for anchor in self.anchors {
            if self.issued(child, anchor.certificate())? {
                self.check_one(anchor.certificate())?;
                return check_authority(anchor.certificate(), below);
            }
        }
        if below >= MAX_CERTIFICATES {
            return Err(CertificateFault::UnknownIssuer);
        }
        for link in self.links {
            // A self-issued link leads nowhere new.
            if !link.is_self_issued() && self.issued(child, link)? {
                check_authority(link, below)?;
                return self.reach_anchor(link, below.saturating_add(1));
            }
        }
        Err(CertificateFault::UnknownIssuer)
    }

    fn check_one(&self, certificate: &Certificate) -> Result<(), CertificateFault> {
        let (not_before, not_after) = certificate.validity();
        if self.now < not_before {
            return Err(CertificateFault::NotYetValid);
        }
        if not_after < self.now {
            return Err(CertificateFault::Expired);
        }
        let extensions = certificate
            .parsed()
            .tbs_certificate
            .extensions
            .iter()
            .flatten();
        for extension in extensions {
            let oid = extension.extn_id.to_string();
            let understood = ["2.5.29.15", "2.5.29.17", "2.5.29.19", "2.5.29.37"];
            let constrains_names = oid == "2.5.29.30";
            if constrains_names || (extension.critical && !understood.contains(&oid.as_str())) {
                return Err(CertificateFault::Rule(format!("extension {oid}")));
            }
        }
        Ok(())
    }

    fn issued(
        &mut self,
        child: &Certificate,
        issuer: &Certificate,
    ) -> Result<bool, CertificateFault> {
        if !names_issuer(child, issuer) {
            return Ok(false);
        }
        self.budget = self
            .budget
            .checked_sub(1)
            .ok_or(CertificateFault::UnknownIssuer)?;
        is_signed_by(child, issuer)
    }
}

fn issued(child: &Certificate, issuer: &Certificate) -> Result<bool, CertificateFault> {
    Ok(names_issuer(child, issuer) && is_signed_by(child, issuer)?)
}

fn names_issuer(child: &Certificate, issuer: &Certificate) -> bool {
    child.parsed().tbs_certificate.issuer == issuer.parsed().tbs_certificate.subject
}

// That the algorithm is the one in the signed part, parsing has made sure of.
fn is_signed_by(child: &Certificate, issuer: &Certificate) -> Result<bool, CertificateFault> {
    let below = child.parsed();
    let malformed = |_| CertificateFault::Malformed;
    let algorithm = below.signature_algorithm.to_der().map_err(malformed)?;
    // webpki names algorithms without tag and (one-byte) length.
    let algorithm = algorithm.get(2..).unwrap_or_default();
    let signed = below.tbs_certificate.to_der().map_err(malformed)?;
    let signature = below.signature.as_bytes().unwrap_or_default();
    let der = CertificateDer::from(issuer.as_der());
    let key = EndEntityCert::try_from(&der).map_err(|_| CertificateFault::Malformed)?;
    Ok(AUTHORITY_ALGORITHMS
        .iter()
        .filter(|candidate| candidate.signature_alg_id().as_ref() == algorithm)
        .any(|candidate| key.verify_signature(*candidate, &signed, signature).is_ok()))
}

// An authority may issue: it says so, for that many below it, and for signing.
fn check_authority(certificate: &Certificate, below: usize) -> Result<(), CertificateFault> {
    let rule = |rule: &str| CertificateFault::Rule(rule.to_owned());
    let constraints = certificate.extension::<BasicConstraints>()?;
    let constraints = constraints
        .filter(|c| c.ca)
        .ok_or_else(|| rule("EndEntityUsedAsCa"))?;
    if constraints
        .path_len_constraint
        .is_some_and(|most| below > usize::from(most))
    {
        return Err(rule("PathLenConstraintViolated"));
    }
    if certificate
        .extension::<KeyUsageBits>()?
        .is_some_and(|usage| !usage.key_cert_sign())
    {
        return Err(rule("keyCertSign"));
    }
    let purposes = certificate.extension::<ExtendedKeyUsage>()?;
    let allowed = ["1.3.6.1.5.5.7.3.3", "2.5.29.37.0"];
    match purposes {
        Some(purposes)
            if !purposes
                .0
                .iter()
                .any(|oid| allowed.contains(&oid.to_string().as_str())) =>
        {
            Err(CertificateFault::Usage)
        }
        _ => Ok(()),
    }
}
