//! Signatures by certificates: of private authorities, and of the authorities of a Sigstore
//! instance (Fulcio).
//!
//! Who is meant is read from the one leaf whose key made the signature. Whether to believe it is
//! judged at every trusted time of signing, so that no single backdated one can vouch for an
//! expired certificate. A Sigstore certificate lives for minutes: without a trusted time it says
//! nothing. A private one is judged now if nobody vouches for a time.

use custos_core::bundle::VerificationMaterial;
use custos_core::clock::Timestamp;
use custos_core::entry::Verifier;
use custos_core::identity::{ExpectedSigner, Identity};

use super::own::Signer;
use super::report::Checks;
use super::signature::{self, Fault};
use super::verified::Signatory;
use super::{Certificate, CertificateFault, CheckName, Content, Terms, VerifyError, chain, sct};
use crate::root::{Anchor, SigstoreRoot};

/// A leaf, and what came with it.
pub(super) struct Certified {
    leaf: Certificate,
    links: Vec<Certificate>,
    // The OIDC issuer, if an instance of Sigstore is to vouch for the leaf.
    issuer: Option<String>,
}

/// Reads the certificate of a bundle, and checks the signature with its key.
pub(super) fn read(
    content: Content<'_>,
    material: &VerificationMaterial,
    terms: &Terms<'_>,
    checks: &mut Checks,
) -> Result<Signer, VerifyError> {
    checks.applies(CheckName::Certificate);
    let mut certificates = certificates(material)?.into_iter();
    let leaf = certificates
        .next()
        .ok_or_else(|| fault(CertificateFault::Malformed))?;
    let key = leaf
        .key()
        .ok_or_else(|| fault(CertificateFault::UnsupportedKey))?;
    let issuer = match terms.trust_root.sigstore() {
        Some(_) => leaf.oidc_issuer().map_err(fault)?,
        None => None,
    };
    if issuer.is_some() {
        checks.applies(CheckName::Sct);
    }
    let signatory = match &issuer {
        Some(issuer) => identity(&leaf, issuer, terms),
        None => subject(&leaf, terms),
    };
    let over = signature::check(key, content, terms).map_err(|error| match error {
        Fault::Content(error) => *error,
        Fault::Signature(source) => VerifyError::SignatureInvalid {
            tried: vec![leaf.names()],
            source,
        },
    });
    if let Ok(signatory) = &signatory {
        let (name, identity) = (&signatory.name, &signatory.identity);
        checks.ok(CheckName::Signer, format!("{name} ({identity})"));
    }
    if over.is_ok() {
        checks.ok(CheckName::Signature, key.kind().name());
    }
    Ok(Signer {
        signatory,
        over,
        verifier: Verifier::Certificate(leaf.as_der().to_vec()),
        certificate: Some(Certified {
            links: certificates.collect(),
            leaf,
            issuer,
        }),
    })
}

impl Certified {
    /// Judges the certificate at every trusted time of signing.
    pub(super) fn judge(
        &self,
        times: &[Timestamp],
        terms: &Terms<'_>,
        checks: &mut Checks,
    ) -> Result<(), VerifyError> {
        let sigstore = match (&self.issuer, terms.trust_root.sigstore()) {
            (Some(_), Some(sigstore)) => Some(sigstore),
            _ => None,
        };
        let judged = match (sigstore, times) {
            (Some(_), []) => return Err(VerifyError::TimeMissing),
            (None, []) => "judged now",
            (_, _) => "judged when it was signed",
        };
        let at = if times.is_empty() {
            &[terms.now][..]
        } else {
            times
        };
        let mut promise = None;
        self.leaf.check_usage().map_err(fault)?;
        for at in at {
            self.check_validity(*at)?;
            match sigstore {
                Some(sigstore) => promise = Some(self.judge_issued(*at, sigstore)?),
                None => self.judge_private(*at, terms)?,
            }
        }
        match promise {
            Some(Some(log)) => checks.ok(CheckName::Sct, log),
            Some(None) => checks.not_claimed(
                CheckName::Sct,
                "the trusted root names no certificate transparency log",
            ),
            None => {}
        }
        checks.ok(
            CheckName::Certificate,
            format!("issued by {}, {judged}", self.leaf.issuer()),
        );
        Ok(())
    }

    fn check_validity(&self, at: Timestamp) -> Result<(), VerifyError> {
        let (not_before, not_after) = self.leaf.validity();
        if not_before <= at && at <= not_after {
            return Ok(());
        }
        Err(VerifyError::CertificateValidity {
            subject: self.leaf.names(),
            not_before,
            not_after,
            now: at,
        })
    }

    fn judge_private(&self, at: Timestamp, terms: &Terms<'_>) -> Result<(), VerifyError> {
        let anchors: Vec<&Anchor> = terms.trust_root.anchors().iter().collect();
        chain::check(&self.path(&anchors, at)).map_err(fault)
    }

    // Returns the log that promised the certificate, if the instance has such logs.
    fn judge_issued(
        &self,
        at: Timestamp,
        sigstore: &SigstoreRoot,
    ) -> Result<Option<String>, VerifyError> {
        let issuers = sigstore.issuers();
        let anchors: Vec<&Anchor> = issuers.iter().filter_map(|issuer| issuer.at(at)).collect();
        if anchors.is_empty() && !issuers.is_empty() {
            return Err(fault(CertificateFault::NoValidAnchor { now: at }));
        }
        // What may stand between comes with the trusted root, never with the bundle.
        let path = chain::Path {
            links: &[],
            ..self.path(&anchors, at)
        };
        let issuer_key = chain::check_issued(&path).map_err(fault)?;
        if sigstore.logs_certificates() {
            sct::check(&self.leaf, &issuer_key, sigstore).map(Some)
        } else {
            Ok(None)
        }
    }

    fn path<'a>(&'a self, anchors: &'a [&'a Anchor], at: Timestamp) -> chain::Path<'a> {
        chain::Path {
            leaf: &self.leaf,
            links: &self.links,
            anchors,
            at,
        }
    }
}

const fn fault(fault: CertificateFault) -> VerifyError {
    VerifyError::Certificate { position: 0, fault }
}

fn certificates(material: &VerificationMaterial) -> Result<Vec<Certificate>, VerifyError> {
    let chain = material
        .x509_certificate_chain
        .iter()
        .flat_map(|chain| &chain.certificates);
    material
        .certificate
        .iter()
        .chain(chain)
        .enumerate()
        .map(|(position, certificate)| {
            Certificate::parse(certificate.raw_bytes.as_slice())
                .map_err(|fault| VerifyError::Certificate { position, fault })
        })
        .collect()
}

// The expected signer that a Sigstore certificate names: its one subject, and who vouched for it.
fn identity(
    leaf: &Certificate,
    found_issuer: &str,
    terms: &Terms<'_>,
) -> Result<Signatory, VerifyError> {
    let names = leaf.identities().map_err(fault)?;
    let [found] = names.as_slice() else {
        let found = names.len();
        return Err(fault(CertificateFault::SubjectCount { found }));
    };
    match expected_identity((found, found_issuer), terms.signers) {
        Some(name) => signatory(leaf, name, (found, found_issuer.to_owned())),
        None => Err(terms.not_expected(format!("{found} (issuer {found_issuer})"))),
    }
}

fn expected_identity<'a>(
    (found, found_issuer): (&str, &str),
    signers: &'a [ExpectedSigner],
) -> Option<&'a String> {
    signers.iter().find_map(|signer| match signer {
        ExpectedSigner::Certificate {
            name,
            identity,
            issuer: Some(issuer),
        } if identity.accepts(found) && issuer.accepts(found_issuer) => Some(name),
        _ => None,
    })
}

/// Returns true if a Sigstore certificate names an expected signer.
pub(super) fn names_an_identity(
    leaf: &Certificate,
    issuer: &str,
    signers: &[ExpectedSigner],
) -> bool {
    match leaf.identities().as_deref() {
        Ok([found]) => expected_identity((found, issuer), signers).is_some(),
        _ => false,
    }
}

/// Returns true if a private authority's certificate names an expected signer.
pub(super) fn names_a_subject(leaf: &Certificate, signers: &[ExpectedSigner]) -> bool {
    let names = leaf.identities().unwrap_or_default();
    signers.iter().any(|signer| match signer {
        ExpectedSigner::Certificate {
            identity,
            issuer: None,
            ..
        } => names.iter().any(|found| identity.accepts(found)),
        _ => false,
    })
}

// The expected signer that a private authority's certificate names.
fn subject(leaf: &Certificate, terms: &Terms<'_>) -> Result<Signatory, VerifyError> {
    let names = leaf.identities().map_err(fault)?;
    let mut of_sigstore = false;
    for signer in terms.signers {
        if let ExpectedSigner::Certificate {
            name,
            identity,
            issuer,
        } = signer
        {
            match (names.iter().find(|found| identity.accepts(found)), issuer) {
                (Some(found), None) => return signatory(leaf, name, (found, leaf.issuer())),
                (Some(_), Some(_)) => of_sigstore = true,
                (None, _) => {}
            }
        }
    }
    if of_sigstore && !terms.trust_root.trusts_sigstore() {
        // Expected as an OIDC identity, but no Sigstore instance is trusted to vouch for it.
        return Err(fault(CertificateFault::NoAnchor));
    }
    let found = if names.is_empty() {
        format!("a certificate that names nobody ({})", leaf.subject())
    } else {
        format!("{} (certificate by {})", names.join(", "), leaf.issuer())
    };
    Err(terms.not_expected(found))
}

fn signatory(
    leaf: &Certificate,
    name: &str,
    (subject, issuer): (&str, String),
) -> Result<Signatory, VerifyError> {
    let key = leaf
        .key()
        .ok_or_else(|| fault(CertificateFault::UnsupportedKey))?;
    Ok(Signatory {
        identity: Identity::Certificate {
            subject: subject.to_owned(),
            issuer,
            key: key.id(),
        },
        name: name.to_owned(),
    })
}
