//! Certificates, from the inside: to-be-signed parts, extensions, signatures.
//!
//! Spec: RFC 5280 section 4; RFC 5758 and RFC 8410 for the signature algorithms.

use std::net::IpAddr;
use std::time::Duration;

use custos_core::clock::Timestamp;
use custos_core::crypto::{KeyError, PublicKey, Scheme, sha256};
use custos_trust::signer::Signer;
use der::asn1::{
    Any, BitString, GeneralizedTime, Ia5String, ObjectIdentifier, OctetString, SetOfVec, UtcTime,
    Utf8StringRef,
};
use der::{DateTime, Decode as _, Encode};
use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::certificate::{TbsCertificate, Version};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::name::{GeneralName, OtherName};
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, KeyUsages,
    SubjectKeyIdentifier,
};
use x509_cert::name::{Name, RdnSequence, RelativeDistinguishedName};
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};
use x509_cert::time::{Time, Validity};
use x509_cert::{Certificate, TbsCertificate as Tbs};

use super::{AuthorityError, DAY, LEAF_SECONDS, Member, Params, Role, ServerParams, extensions};
use crate::oidc::{Identity, San};
use crate::trusted_root::is_host_name;

const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
const ORGANIZATION: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.10");
const SUBJECT_KEY_ID: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.14");
const KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.15");
const ALT_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.17");
const BASIC_CONSTRAINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.19");
const AUTHORITY_KEY_ID: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.35");
const EXTENDED_KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37");
const CODE_SIGNING: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.3");
const TIME_STAMPING: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.8");
const SERVER_AUTH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.1");
/// Fulcio's other name, for identities that are neither an address nor a URI.
const USER_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.57264.1.7");

// Largest certificate that is read, in bytes.
const MAX_CERTIFICATE: usize = 16 * 1024;
// UTCTime ends here (RFC 5280 section 4.1.2.5).
const YEAR_2050: u64 = 2_524_608_000;

/// Returns the X.509 algorithm of a scheme; Ed25519ph has none.
pub(crate) fn signature_algorithm(scheme: Scheme) -> Option<AlgorithmIdentifierOwned> {
    let oid = match scheme {
        Scheme::EcdsaP256 => "1.2.840.10045.4.3.2",
        Scheme::EcdsaP384 => "1.2.840.10045.4.3.3",
        Scheme::EcdsaP521 => "1.2.840.10045.4.3.4",
        Scheme::Ed25519 => "1.3.101.112",
        // X.509 knows no prehashed Ed25519.
        _ => return None,
    };
    Some(AlgorithmIdentifierOwned {
        oid: ObjectIdentifier::new(oid).ok()?,
        parameters: None,
    })
}

/// Returns the scheme of an X.509 algorithm.
pub(crate) fn scheme_of(algorithm: &AlgorithmIdentifierOwned) -> Option<Scheme> {
    Scheme::ALL
        .into_iter()
        .find(|scheme| signature_algorithm(*scheme).as_ref() == Some(algorithm))
}

/// Parses one certificate of at most 16 KiB.
pub(crate) fn parse(der: &[u8]) -> Result<Certificate, CertificateError> {
    if der.len() > MAX_CERTIFICATE {
        return Err(CertificateError::TooLarge { found: der.len() });
    }
    Certificate::from_der(der).map_err(|_| CertificateError::Malformed)
}

/// Returns the key of a certificate.
pub(crate) fn public_key(certificate: &Certificate) -> Result<PublicKey, CertificateError> {
    let spki = certificate
        .tbs_certificate
        .subject_public_key_info
        .to_der()
        .map_err(|_| CertificateError::Malformed)?;
    PublicKey::from_spki_der(&spki).map_err(CertificateError::Key)
}

/// Checks that `issuer` signed `certificate`.
pub(crate) fn check_signed_by(
    certificate: &Certificate,
    issuer: &Certificate,
) -> Result<(), CertificateError> {
    let scheme = scheme_of(&certificate.signature_algorithm)
        .ok_or(CertificateError::UnsupportedAlgorithm)?;
    let tbs = certificate
        .tbs_certificate
        .to_der()
        .map_err(|_| CertificateError::Malformed)?;
    if certificate.tbs_certificate.issuer != issuer.tbs_certificate.subject {
        return Err(CertificateError::NotSignedByIssuer);
    }
    public_key(issuer)?
        .verify(scheme, &tbs, certificate.signature.raw_bytes())
        .map_err(|_| CertificateError::NotSignedByIssuer)
}

/// Returns true if `now` lies in the validity of the certificate.
pub(crate) fn is_valid_at(certificate: &Certificate, now: Timestamp) -> bool {
    let validity = &certificate.tbs_certificate.validity;
    u64::try_from(now.as_seconds()).is_ok_and(|now| {
        validity.not_before.to_unix_duration().as_secs() <= now
            && now <= validity.not_after.to_unix_duration().as_secs()
    })
}

/// Returns true if `name` can stand in a certificate.
pub(crate) fn is_name(name: &str) -> bool {
    let length = name.chars().count();
    (1..=64).contains(&length) && !name.chars().any(char::is_control)
}

/// Builds the self-signed root.
pub(super) fn root(params: &Params<'_>, signer: &dyn Signer) -> Result<Vec<u8>, AuthorityError> {
    let subject = name(params.organization, "root")?;
    let key = signer.public_key().as_spki_der();
    let mut draft = Draft::new(subject.clone(), subject, key)?;
    draft.valid_days(params.now, params.root_days)?;
    draft.critical(
        KEY_USAGE,
        &key_usage(KeyUsages::KeyCertSign | KeyUsages::CRLSign),
    )?;
    draft.critical(BASIC_CONSTRAINTS, &constraints(1))?;
    draft.add(SUBJECT_KEY_ID, &key_identifier(key)?)?;
    sign(draft.tbs, signer)
}

/// Builds a certificate below the root.
pub(super) fn below(
    params: &Params<'_>,
    (root, signer): (&Certificate, &dyn Signer),
    key: &PublicKey,
    role: Role,
) -> Result<Vec<u8>, AuthorityError> {
    let issuer = root.tbs_certificate.subject.clone();
    let (common_name, usage) = match role {
        Role::Timestamp => ("timestamp authority", TIME_STAMPING),
        _ => ("issuing authority", CODE_SIGNING),
    };
    let subject = name(params.organization, common_name)?;
    let mut draft = Draft::new(issuer, subject, key.as_spki_der())?;
    draft.valid_days(params.now, params.issuing_days)?;
    let validity = &mut draft.tbs.validity;
    validity.not_after = validity
        .not_after
        .min_of(root.tbs_certificate.validity.not_after);
    let extended = ExtendedKeyUsage(vec![usage]);
    if role == Role::Timestamp {
        draft.critical(KEY_USAGE, &key_usage(KeyUsages::DigitalSignature))?;
        draft.critical(
            BASIC_CONSTRAINTS,
            &BasicConstraints {
                ca: false,
                path_len_constraint: None,
            },
        )?;
        // RFC 3161 section 2.3: this one usage, and critical.
        draft.critical(EXTENDED_KEY_USAGE, &extended)?;
    } else {
        draft.critical(
            KEY_USAGE,
            &key_usage(KeyUsages::KeyCertSign | KeyUsages::CRLSign),
        )?;
        draft.critical(BASIC_CONSTRAINTS, &constraints(0))?;
        draft.add(EXTENDED_KEY_USAGE, &extended)?;
    }
    draft.add(SUBJECT_KEY_ID, &key_identifier(key.as_spki_der())?)?;
    draft.add(
        AUTHORITY_KEY_ID,
        &issuer_identifier(signer.public_key().as_spki_der())?,
    )?;
    sign(draft.tbs, signer)
}

/// Builds the certificate of a TLS server below the root, for these host names and addresses.
pub(super) fn server(
    params: &ServerParams<'_>,
    (root, signer): (&Certificate, &dyn Signer),
    key: &PublicKey,
) -> Result<Vec<u8>, AuthorityError> {
    let names: Vec<GeneralName> = params
        .names
        .iter()
        .map(|name| host_name(name))
        .collect::<Result<_, _>>()?;
    if names.is_empty() {
        return Err(CertificateError::Encoding.into());
    }
    let issuer = root.tbs_certificate.subject.clone();
    let subject = name(params.organization, "server")?;
    let mut draft = Draft::new(issuer, subject, key.as_spki_der())?;
    draft.valid_days(params.now, params.days)?;
    let validity = &mut draft.tbs.validity;
    validity.not_after = validity
        .not_after
        .min_of(root.tbs_certificate.validity.not_after);
    let usage = key_usage(KeyUsages::DigitalSignature);
    draft.critical(KEY_USAGE, &usage)?;
    let no_authority = BasicConstraints {
        ca: false,
        path_len_constraint: None,
    };
    draft.critical(BASIC_CONSTRAINTS, &no_authority)?;
    // This one usage: it signs no code, no time and no certificate.
    draft.add(EXTENDED_KEY_USAGE, &ExtendedKeyUsage(vec![SERVER_AUTH]))?;
    draft.add(ALT_NAME, &names)?;
    draft.add(SUBJECT_KEY_ID, &key_identifier(key.as_spki_der())?)?;
    let authority = issuer_identifier(signer.public_key().as_spki_der())?;
    draft.add(AUTHORITY_KEY_ID, &authority)?;
    sign(draft.tbs, signer)
}

/// Returns true if `name` can stand in the certificate of a TLS server.
pub(super) fn is_server_name(name: &str) -> bool {
    name.parse::<IpAddr>().is_ok() || is_host_name(name)
}

fn host_name(name: &str) -> Result<GeneralName, CertificateError> {
    Ok(match name.parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) => {
            GeneralName::IpAddress(OctetString::new(address.octets().to_vec())?)
        }
        Ok(IpAddr::V6(address)) => {
            GeneralName::IpAddress(OctetString::new(address.octets().to_vec())?)
        }
        Err(_) if is_host_name(name) => GeneralName::DnsName(Ia5String::new(name)?),
        Err(_) => return Err(CertificateError::Encoding),
    })
}

/// A leaf certificate that is not signed yet.
pub(super) struct Leaf<'a> {
    issuing: &'a Member,
    tbs: Tbs,
}

/// Builds the leaf of an identity, without its certificate log's promise.
pub(super) fn leaf<'a>(
    issuing: &'a Member,
    identity: &Identity,
    key: &PublicKey,
    now: Timestamp,
) -> Result<Leaf<'a>, AuthorityError> {
    let issuer = issuing.certificate.tbs_certificate.subject.clone();
    let mut draft = Draft::new(issuer, RdnSequence::default(), key.as_spki_der())?;
    let end = now.plus_micros(LEAF_SECONDS.saturating_mul(1_000_000));
    let last = issuing.certificate.tbs_certificate.validity.not_after;
    draft.tbs.validity = Validity {
        not_before: time(now)?,
        not_after: time(end)?.min_of(last),
    };
    draft.critical(KEY_USAGE, &key_usage(KeyUsages::DigitalSignature))?;
    draft.add(EXTENDED_KEY_USAGE, &ExtendedKeyUsage(vec![CODE_SIGNING]))?;
    draft.add(SUBJECT_KEY_ID, &key_identifier(key.as_spki_der())?)?;
    draft.add(AUTHORITY_KEY_ID, &issuer_identifier(issuer_spki(issuing))?)?;
    // The subject is empty, so this is critical (RFC 5280 section 4.2.1.6).
    draft.critical(ALT_NAME, &vec![general_name(identity.san())?])?;
    for extension in extensions::of(identity)? {
        draft.push(extension);
    }
    draft.tbs.signature =
        signature_algorithm(issuing.signer.scheme()).ok_or(AuthorityError::UnsupportedKey {
            role: Role::Issuing,
        })?;
    Ok(Leaf {
        issuing,
        tbs: draft.tbs,
    })
}

impl Leaf<'_> {
    /// Returns the bytes that are signed.
    pub(super) fn tbs(&self) -> Result<Vec<u8>, AuthorityError> {
        Ok(self.tbs.to_der().map_err(CertificateError::from)?)
    }

    /// Returns it with one more extension, the last one.
    pub(super) fn with_extension(mut self, extension: Extension) -> Self {
        self.tbs.extensions.get_or_insert_default().push(extension);
        self
    }

    /// Returns the signed certificate in DER.
    pub(super) fn sign(self) -> Result<Vec<u8>, AuthorityError> {
        sign(self.tbs, self.issuing.signer.as_ref())
    }
}

/// Returns the DER of the issuing authority's key.
pub(super) fn issuer_spki(issuing: &Member) -> &[u8] {
    issuing.signer.public_key().as_spki_der()
}

// A certificate in the making.
struct Draft {
    tbs: TbsCertificate,
}

impl Draft {
    fn new(issuer: Name, subject: Name, spki: &[u8]) -> Result<Self, AuthorityError> {
        let zero = Time::UtcTime(utc(0)?);
        let tbs = TbsCertificate {
            version: Version::V3,
            serial_number: serial_number()?,
            signature: signature_algorithm(Scheme::EcdsaP256).ok_or(CertificateError::Encoding)?,
            issuer,
            validity: Validity {
                not_before: zero,
                not_after: zero,
            },
            subject,
            subject_public_key_info: SubjectPublicKeyInfoOwned::from_der(spki)
                .map_err(CertificateError::from)?,
            issuer_unique_id: None,
            subject_unique_id: None,
            extensions: Some(Vec::new()),
        };
        Ok(Self { tbs })
    }

    fn valid_days(&mut self, now: Timestamp, days: u16) -> Result<(), AuthorityError> {
        let micros = i64::from(days)
            .saturating_mul(DAY)
            .saturating_mul(1_000_000);
        self.tbs.validity = Validity {
            not_before: time(now)?,
            not_after: time(now.plus_micros(micros))?,
        };
        Ok(())
    }

    fn critical<T: Encode>(
        &mut self,
        oid: ObjectIdentifier,
        value: &T,
    ) -> Result<(), AuthorityError> {
        self.push(extension(oid, true, value)?);
        Ok(())
    }

    fn add<T: Encode>(&mut self, oid: ObjectIdentifier, value: &T) -> Result<(), AuthorityError> {
        self.push(extension(oid, false, value)?);
        Ok(())
    }

    fn push(&mut self, extension: Extension) {
        self.tbs.extensions.get_or_insert_default().push(extension);
    }
}

fn sign(mut tbs: TbsCertificate, signer: &dyn Signer) -> Result<Vec<u8>, AuthorityError> {
    let algorithm =
        signature_algorithm(signer.scheme()).ok_or(CertificateError::UnsupportedAlgorithm)?;
    tbs.signature = algorithm.clone();
    let bytes = tbs.to_der().map_err(CertificateError::from)?;
    let signature = signer.sign(&bytes).map_err(AuthorityError::Sign)?;
    let certificate = Certificate {
        tbs_certificate: tbs,
        signature_algorithm: algorithm,
        signature: BitString::from_bytes(&signature).map_err(CertificateError::from)?,
    };
    Ok(certificate.to_der().map_err(CertificateError::from)?)
}

/// Returns an extension with the DER of `value`.
pub(super) fn extension<T: Encode>(
    oid: ObjectIdentifier,
    critical: bool,
    value: &T,
) -> Result<Extension, CertificateError> {
    raw_extension(oid, critical, value.to_der()?)
}

/// Returns an extension with these bytes.
pub(super) fn raw_extension(
    oid: ObjectIdentifier,
    critical: bool,
    value: Vec<u8>,
) -> Result<Extension, CertificateError> {
    Ok(Extension {
        extn_id: oid,
        critical,
        extn_value: OctetString::new(value)?,
    })
}

fn key_usage(usages: impl Into<der::flagset::FlagSet<KeyUsages>>) -> KeyUsage {
    KeyUsage(usages.into())
}

const fn constraints(path_length: u8) -> BasicConstraints {
    BasicConstraints {
        ca: true,
        path_len_constraint: Some(path_length),
    }
}

// RFC 7093 section 2, method 1: the first 160 bits of the SHA-256 of the key's bits.
fn key_bits_digest(spki: &[u8]) -> Result<OctetString, CertificateError> {
    let spki = SubjectPublicKeyInfoOwned::from_der(spki)?;
    let digest = sha256(spki.subject_public_key.raw_bytes());
    let (first, _) = digest.split_at(20);
    Ok(OctetString::new(first)?)
}

fn key_identifier(spki: &[u8]) -> Result<SubjectKeyIdentifier, CertificateError> {
    Ok(SubjectKeyIdentifier(key_bits_digest(spki)?))
}

fn issuer_identifier(spki: &[u8]) -> Result<AuthorityKeyIdentifier, CertificateError> {
    Ok(AuthorityKeyIdentifier {
        key_identifier: Some(key_bits_digest(spki)?),
        authority_cert_issuer: None,
        authority_cert_serial_number: None,
    })
}

fn general_name(san: &San) -> Result<GeneralName, CertificateError> {
    Ok(match san {
        San::Email(address) => GeneralName::Rfc822Name(Ia5String::new(address)?),
        San::Uri(uri) => GeneralName::UniformResourceIdentifier(Ia5String::new(uri)?),
        San::UserName(name) => GeneralName::OtherName(OtherName {
            type_id: USER_NAME,
            value: utf8(name)?,
        }),
    })
}

fn name(organization: &str, common_name: &str) -> Result<Name, CertificateError> {
    let common_name = format!("{organization} {common_name}");
    let part = |oid, value: &str| -> Result<_, CertificateError> {
        let value = utf8(value)?;
        let pair = AttributeTypeAndValue { oid, value };
        Ok(RelativeDistinguishedName(SetOfVec::try_from([pair])?))
    };
    Ok(RdnSequence(vec![
        part(ORGANIZATION, organization)?,
        part(COMMON_NAME, &common_name)?,
    ]))
}

fn utf8(value: &str) -> Result<Any, CertificateError> {
    Ok(Any::encode_from(&Utf8StringRef::new(value)?)?)
}

/// Returns a positive serial number of 127 random bits.
pub(crate) fn serial_number() -> Result<SerialNumber, CertificateError> {
    Ok(SerialNumber::new(&random_serial()?)?)
}

/// Returns 16 random bytes that read as a positive integer, the first of them never zero.
pub(crate) fn random_serial() -> Result<[u8; 16], CertificateError> {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| CertificateError::NoRandomness)?;
    if let Some(first) = bytes.first_mut() {
        *first = *first & 0x7f | 0x40;
    }
    Ok(bytes)
}

trait Earlier {
    fn min_of(self, other: Self) -> Self;
}

impl Earlier for Time {
    fn min_of(self, other: Self) -> Self {
        if other.to_unix_duration() < self.to_unix_duration() {
            other
        } else {
            self
        }
    }
}

fn utc(seconds: u64) -> Result<UtcTime, CertificateError> {
    Ok(UtcTime::from_unix_duration(Duration::from_secs(seconds))?)
}

// Whole seconds, rounded to the past.
fn time(at: Timestamp) -> Result<Time, CertificateError> {
    let seconds = u64::try_from(at.as_seconds()).map_err(|_| CertificateError::Encoding)?;
    if seconds < YEAR_2050 {
        return Ok(Time::UtcTime(utc(seconds)?));
    }
    let time = DateTime::from_unix_duration(Duration::from_secs(seconds))?;
    Ok(Time::GeneralTime(GeneralizedTime::from_date_time(time)))
}

/// Why a certificate was not read or built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// A value does not fit into its DER form.
    #[error("a value does not fit into a certificate")]
    Encoding,
    /// The key of a certificate.
    #[error("the certificate's key: {0}")]
    Key(KeyError),
    /// Not a certificate.
    #[error("not a certificate in DER")]
    Malformed,
    /// The system gave no random bytes.
    #[error("the system's random source failed")]
    NoRandomness,
    /// Somebody else's signature, or a broken one.
    #[error("the certificate is not signed by its issuer")]
    NotSignedByIssuer,
    /// More than 16 KiB.
    #[error("a certificate of {found} bytes is too large")]
    TooLarge {
        /// Bytes found.
        found: usize,
    },
    /// Neither ECDSA nor Ed25519.
    #[error("the certificate's signature algorithm is not supported")]
    UnsupportedAlgorithm,
}

impl From<der::oid::Error> for CertificateError {
    fn from(_: der::oid::Error) -> Self {
        Self::Encoding
    }
}

impl From<der::Error> for CertificateError {
    fn from(_: der::Error) -> Self {
        Self::Encoding
    }
}
