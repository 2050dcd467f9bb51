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
use x509_cert::der::Encode as _;
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

/// Checks that `leaf` chains through `links` to one of `anchors`, all valid at `now`.
pub(super) fn check(
    leaf: &Certificate,
    links: &[Certificate],
    anchors: &[Anchor],
    now: Timestamp,
) -> Result<(), CertificateFault> {
    if anchors.is_empty() {
        return Err(CertificateFault::NoAnchor);
    }
    // webpki takes an anchor's key at face value; an expired root must not vouch.
    let usable: Vec<&Anchor> = anchors
        .iter()
        .filter(|anchor| anchor.is_valid_at(now))
        .collect();
    if usable.is_empty() {
        return Err(CertificateFault::NoValidAnchor { now });
    }
    match by_webpki(leaf, links, &usable, now) {
        Err(CertificateFault::AuthorityAsLeaf) => {
            let mut walk = Walk {
                links,
                anchors: &usable,
                now,
                budget: MAX_SIGNATURE_CHECKS,
            };
            walk.reach_anchor(leaf, 0)
        }
        outcome => outcome,
    }
}

fn by_webpki(
    leaf: &Certificate,
    links: &[Certificate],
    anchors: &[&Anchor],
    now: Timestamp,
) -> Result<(), CertificateFault> {
    let anchors: Vec<_> = anchors
        .iter()
        .map(|anchor| anchor.trust().clone())
        .collect();
    let der = CertificateDer::from(leaf.as_der());
    let entity = EndEntityCert::try_from(&der).map_err(|_| CertificateFault::Malformed)?;
    let links: Vec<_> = links
        .iter()
        .map(|link| CertificateDer::from(link.as_der()))
        .collect();
    let seconds = u64::try_from(now.as_seconds()).map_err(|_| CertificateFault::Malformed)?;
    entity
        .verify_for_usage(
            AUTHORITY_ALGORITHMS,
            &anchors,
            &links,
            UnixTime::since_unix_epoch(Duration::from_secs(seconds)),
            KeyUsage::required_if_present(CODE_SIGNING),
            None,
            None,
        )
        .map(|_| ())
        .map_err(|error| CertificateFault::from_webpki(&error))
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
        let (below, above) = (child.parsed(), issuer.parsed());
        if below.tbs_certificate.issuer != above.tbs_certificate.subject
            || below.signature_algorithm != below.tbs_certificate.signature
        {
            return Ok(false);
        }
        self.budget = self
            .budget
            .checked_sub(1)
            .ok_or(CertificateFault::UnknownIssuer)?;
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
