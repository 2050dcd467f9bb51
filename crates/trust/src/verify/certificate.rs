//! X.509 certificates of private authorities (RFC 5280): what one says.
//!
//! What it is not: nothing here decides whether to believe it; [`super::chain`] does. Every
//! statement about a signer is read from the one leaf whose key made the signature.

use std::fmt;

use custos_core::clock::Timestamp;
use custos_core::crypto::PublicKey;
use rustls_pki_types::CertificateDer;
use webpki::EndEntityCert;
use x509_cert::der::asn1::{Ia5StringRef, PrintableStringRef, Utf8StringRef};
use x509_cert::der::oid::AssociatedOid;
use x509_cert::der::{Decode as _, Encode as _};
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{ExtendedKeyUsage, KeyUsage, SubjectAltName, SubjectKeyIdentifier};

/// Largest certificate, in bytes.
const MAX_CERTIFICATE: usize = 64 * 1024;

/// Fulcio's issuer extensions: bare text, and DER.
const OIDC_ISSUER: &str = "1.3.6.1.4.1.57264.1.1";
const OIDC_ISSUER_V2: &str = "1.3.6.1.4.1.57264.1.8";
/// Fulcio's `otherName` for identities that are neither e-mail addresses nor URIs.
const OTHER_IDENTITY: &str = "1.3.6.1.4.1.57264.1.7";
/// `id-kp-codeSigning`.
const CODE_SIGNING: &str = "1.3.6.1.5.5.7.3.3";

/// What a certificate says.
#[derive(Clone)]
pub struct Certificate {
    der: Vec<u8>,
    parsed: x509_cert::Certificate,
    key: Option<PublicKey>,
    not_before: Timestamp,
    not_after: Timestamp,
}

impl Certificate {
    /// Parses DER.
    pub fn parse(der: &[u8]) -> Result<Self, CertificateFault> {
        if der.len() > MAX_CERTIFICATE {
            return Err(CertificateFault::TooLarge { found: der.len() });
        }
        // A bare key in the certificate field has been taken for one before: it must be a
        // certificate for the path builder as well as for the reader of names.
        let borrowed = CertificateDer::from(der);
        EndEntityCert::try_from(&borrowed).map_err(|_| CertificateFault::Malformed)?;
        let parsed =
            x509_cert::Certificate::from_der(der).map_err(|_| CertificateFault::Malformed)?;
        let tbs = &parsed.tbs_certificate;
        let spki = tbs
            .subject_public_key_info
            .to_der()
            .map_err(|_| CertificateFault::Malformed)?;
        let moment = |time: &x509_cert::time::Time| {
            i64::try_from(time.to_unix_duration().as_secs())
                .map(Timestamp::from_seconds)
                .map_err(|_| CertificateFault::Malformed)
        };
        Ok(Self {
            der: der.to_vec(),
            key: PublicKey::from_spki_der(&spki).ok(),
            not_before: moment(&tbs.validity.not_before)?,
            not_after: moment(&tbs.validity.not_after)?,
            parsed,
        })
    }

    /// Returns the DER.
    pub fn as_der(&self) -> &[u8] {
        &self.der
    }

    /// Returns the key, if its kind is supported.
    pub const fn key(&self) -> Option<&PublicKey> {
        self.key.as_ref()
    }

    /// Returns the subject's distinguished name (RFC 4514).
    pub fn subject(&self) -> String {
        self.parsed.tbs_certificate.subject.to_string()
    }

    /// Returns the issuer's distinguished name (RFC 4514).
    pub fn issuer(&self) -> String {
        self.parsed.tbs_certificate.issuer.to_string()
    }

    /// Returns first and last moment of its validity, both included.
    pub const fn validity(&self) -> (Timestamp, Timestamp) {
        (self.not_before, self.not_after)
    }

    /// Returns true if subject and issuer are the same name, as in a root.
    pub fn is_self_issued(&self) -> bool {
        self.parsed.tbs_certificate.subject == self.parsed.tbs_certificate.issuer
    }

    /// Returns the identities: e-mail addresses, URIs, host names and Fulcio's other names among
    /// the subject alternative names, or the common name if there is no such extension.
    pub fn identities(&self) -> Result<Vec<String>, CertificateFault> {
        match self.extension::<SubjectAltName>()? {
            Some(names) => Ok(names
                .0
                .iter()
                .filter_map(|name| match name {
                    GeneralName::Rfc822Name(text) | GeneralName::DnsName(text) => {
                        Some(text.to_string())
                    }
                    GeneralName::UniformResourceIdentifier(text) => Some(text.to_string()),
                    GeneralName::OtherName(other)
                        if other.type_id.to_string() == OTHER_IDENTITY =>
                    {
                        let text = other.value.decode_as::<Utf8StringRef<'_>>().ok()?;
                        Some(text.as_str().to_owned())
                    }
                    _ => None,
                })
                .collect()),
            None => Ok(self.common_name().into_iter().collect()),
        }
    }

    /// Returns the OIDC issuer that a Sigstore certificate authority wrote into it (Fulcio,
    /// `oid-info.md`): in DER, or in the older form of bare text, or both alike.
    pub fn oidc_issuer(&self) -> Result<Option<String>, CertificateFault> {
        let text = |bytes: &[u8]| {
            String::from_utf8(bytes.to_vec()).map_err(|_| CertificateFault::Malformed)
        };
        let old = self.raw_extension(OIDC_ISSUER)?.map(text).transpose()?;
        let new = self
            .raw_extension(OIDC_ISSUER_V2)?
            .map(|der| {
                Utf8StringRef::from_der(der)
                    .map(|text| text.as_str().to_owned())
                    .map_err(|_| CertificateFault::Malformed)
            })
            .transpose()?;
        match (old, new) {
            (Some(old), Some(new)) if old != new => Err(CertificateFault::Malformed),
            (old, new) => Ok(new.or(old)),
        }
    }

    /// Returns the content of the one extension of this type.
    pub(super) fn raw_extension(&self, oid: &str) -> Result<Option<&[u8]>, CertificateFault> {
        let extensions = self.parsed.tbs_certificate.extensions.iter().flatten();
        let mut found = extensions.filter(|extension| extension.extn_id.to_string() == oid);
        let first = found.next();
        if found.next().is_some() {
            return Err(CertificateFault::Malformed);
        }
        Ok(first.map(|extension| extension.extn_value.as_bytes()))
    }

    /// Returns the signed part without the extension of this type (RFC 6962 section 3.2).
    pub(super) fn signed_part_without(&self, oid: &str) -> Option<Vec<u8>> {
        let mut part = self.parsed.tbs_certificate.clone();
        if let Some(extensions) = &mut part.extensions {
            extensions.retain(|extension| extension.extn_id.to_string() != oid);
        }
        part.to_der().ok()
    }

    /// Returns issuer and serial number in DER.
    pub(super) fn issuer_and_serial(&self) -> Option<(Vec<u8>, Vec<u8>)> {
        let part = &self.parsed.tbs_certificate;
        Some((
            part.issuer.to_der().ok()?,
            part.serial_number.to_der().ok()?,
        ))
    }

    /// Returns the subject key identifier.
    pub(super) fn subject_key_id(&self) -> Option<Vec<u8>> {
        let found: Option<SubjectKeyIdentifier> = self.extension().ok()?;
        found.map(|id| id.0.as_bytes().to_vec())
    }

    /// Returns whom it names, for people: its identities, or the subject for want of any.
    pub(super) fn names(&self) -> String {
        match self.identities() {
            Ok(names) if !names.is_empty() => names.join(", "),
            _ => self.subject(),
        }
    }

    /// Checks that the certificate may sign (OMS v1.0, certificate method): a key usage, if
    /// there is one, includes `digitalSignature`; an extended key usage, if there is one,
    /// includes `codeSigning`; and there is at least one of the two.
    pub fn check_usage(&self) -> Result<(), CertificateFault> {
        let usage = self.extension::<KeyUsage>()?;
        let signs = usage.as_ref().map(KeyUsage::digital_signature);
        match (signs, self.is_for(CODE_SIGNING)?) {
            (Some(true), None | Some(true)) | (None, Some(true)) => Ok(()),
            _ => Err(CertificateFault::Usage),
        }
    }

    /// Returns whether its extended key usage includes this purpose; `None` if it has none.
    pub(super) fn is_for(&self, purpose: &str) -> Result<Option<bool>, CertificateFault> {
        let purposes = self.extension::<ExtendedKeyUsage>()?;
        let includes = |purposes: ExtendedKeyUsage| {
            let mut purposes = purposes.0.iter();
            purposes.any(|oid| oid.to_string() == purpose)
        };
        Ok(purposes.map(includes))
    }

    pub(super) const fn parsed(&self) -> &x509_cert::Certificate {
        &self.parsed
    }

    pub(super) fn extension<T>(&self) -> Result<Option<T>, CertificateFault>
    where
        T: for<'a> x509_cert::der::Decode<'a> + AssociatedOid,
    {
        self.parsed
            .tbs_certificate
            .get::<T>()
            .map(|found| found.map(|(_, value)| value))
            .map_err(|_| CertificateFault::Malformed)
    }

    // With two common names there is no telling which one an authority checked.
    fn common_name(&self) -> Option<String> {
        let mut names = self
            .parsed
            .tbs_certificate
            .subject
            .0
            .iter()
            .flat_map(|rdn| rdn.0.iter())
            .filter(|attribute| attribute.oid.to_string() == "2.5.4.3");
        let name = names.next().filter(|_| names.next().is_none())?;
        let value = &name.value;
        value
            .decode_as::<Utf8StringRef<'_>>()
            .map(|text| text.as_str().to_owned())
            .or_else(|_| {
                value
                    .decode_as::<PrintableStringRef<'_>>()
                    .map(|text| text.as_str().to_owned())
            })
            .or_else(|_| {
                value
                    .decode_as::<Ia5StringRef<'_>>()
                    .map(|text| text.as_str().to_owned())
            })
            .ok()
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate({})", self.subject())
    }
}

/// What is wrong with a certificate or its chain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateFault {
    /// The leaf says that it is an authority.
    #[error("the leaf is an authority's certificate, not a signer's")]
    AuthorityAsLeaf,
    /// A certificate of the chain is outside of its validity.
    #[error("a certificate of the chain has expired")]
    Expired,
    /// Not a certificate. A bare key is none.
    #[error("not an X.509 certificate")]
    Malformed,
    /// The trust root names no private authority.
    #[error("the trust root names no certificate authority")]
    NoAnchor,
    /// Every authority of the trust root is outside of its validity.
    #[error("no certificate authority of the trust root is valid at {now}")]
    NoValidAnchor {
        /// The time of judgement.
        now: Timestamp,
    },
    /// A certificate of the chain is not valid yet.
    #[error("a certificate of the chain is not valid yet")]
    NotYetValid,
    /// A rule of RFC 5280 is broken; webpki names it.
    #[error("the chain breaks a rule of RFC 5280: {0}")]
    Rule(String),
    /// A signature in the chain does not verify.
    #[error("a signature in the certificate chain does not verify")]
    Signature,
    /// Over 64 KiB.
    #[error("{found} bytes are too many for a certificate")]
    TooLarge {
        /// Bytes found.
        found: usize,
    },
    /// Several subjects, where a Sigstore authority certifies one.
    #[error("the certificate names {found} subjects, a Sigstore authority's names one")]
    SubjectCount {
        /// Names found.
        found: usize,
    },
    /// No path to an anchor.
    #[error("the chain does not lead to a certificate authority of the trust root")]
    UnknownIssuer,
    /// The key is of no kind that [`custos_core::crypto`] has.
    #[error(
        "the certificate's key is neither on P-256, P-384, P-521 or Ed25519, nor of RSA with 2048, 3072 or 4096 bits"
    )]
    UnsupportedKey,
    /// Neither `digitalSignature` nor `codeSigning`, or one of the two is left out.
    #[error("the certificate's key usage does not include signing")]
    Usage,
}

impl CertificateFault {
    pub(crate) fn from_webpki(error: &webpki::Error) -> Self {
        use webpki::Error as E;
        match error {
            E::CaUsedAsEndEntity => Self::AuthorityAsLeaf,
            E::CertExpired { .. } => Self::Expired,
            E::CertNotValidYet { .. } => Self::NotYetValid,
            E::InvalidSignatureForPublicKey => Self::Signature,
            E::UnknownIssuer => Self::UnknownIssuer,
            E::RequiredEkuNotFoundContext(_) => Self::Usage,
            E::BadDer => Self::Malformed,
            other => Self::Rule(format!("{other:?}")),
        }
    }
}
