//! The token: a `TSTInfo` in a CMS `SignedData` (RFC 5652 section 5, RFC 3161 section 2.4.2).

use cms::cert::{CertificateChoices, IssuerAndSerialNumber};
use cms::content_info::{CmsVersion, ContentInfo};
use cms::signed_data::{
    CertificateSet, EncapsulatedContentInfo, SignedData, SignerIdentifier, SignerInfo, SignerInfos,
};
use custos_core::crypto::Scheme;
use custos_core::digest::Algorithm;
use der::asn1::{Any, ObjectIdentifier, OctetString, SetOfVec};
use der::{Encode, Sequence, Tag};
use x509_cert::attr::Attribute;
use x509_cert::spki::AlgorithmIdentifierOwned;

use super::wire::TstInfo;
use crate::authority::{AuthorityError, CertificateError, Member, Role, signature_algorithm};

const SIGNED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");
const TST_INFO: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.1.4");
const CONTENT_TYPE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.3");
const MESSAGE_DIGEST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.4");
const SIGNING_CERTIFICATE_V2: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.47");

// RFC 5035 section 4: the hash is SHA-256 unless said otherwise.
#[derive(Sequence)]
struct EssCertIdV2 {
    cert_hash: OctetString,
}

#[derive(Sequence)]
struct SigningCertificateV2 {
    certs: Vec<EssCertIdV2>,
}

/// Returns the hash that goes with a signature scheme; Ed25519 has none that verifiers of tokens
/// agree on.
pub(super) fn digest_algorithm(scheme: Scheme) -> Option<(Algorithm, AlgorithmIdentifierOwned)> {
    let (algorithm, oid) = match scheme {
        Scheme::EcdsaP256 => (Algorithm::Sha256, "2.16.840.1.101.3.4.2.1"),
        Scheme::EcdsaP384 => (Algorithm::Sha384, "2.16.840.1.101.3.4.2.2"),
        Scheme::EcdsaP521 => (Algorithm::Sha512, "2.16.840.1.101.3.4.2.3"),
        _ => return None,
    };
    let identifier = AlgorithmIdentifierOwned {
        oid: ObjectIdentifier::new(oid).ok()?,
        parameters: None,
    };
    Some((algorithm, identifier))
}

/// Returns the signed token in DER.
pub(super) fn sign(
    member: &Member,
    info: &TstInfo,
    with_certificate: bool,
) -> Result<Vec<u8>, AuthorityError> {
    let unsupported = AuthorityError::UnsupportedKey {
        role: Role::Timestamp,
    };
    let scheme = member.signer.scheme();
    let (Some((hash, digest_alg)), Some(signature_algorithm)) =
        (digest_algorithm(scheme), signature_algorithm(scheme))
    else {
        return Err(unsupported);
    };
    let info = info.to_der().map_err(CertificateError::from)?;
    let attributes = attributes(member, hash.digest(&info).as_bytes())?;
    let signed = attributes.to_der().map_err(CertificateError::from)?;
    let signature = member.signer.sign(&signed).map_err(AuthorityError::Sign)?;
    let tbs = &member.certificate.tbs_certificate;
    let signer_info = SignerInfo {
        version: CmsVersion::V1,
        sid: SignerIdentifier::IssuerAndSerialNumber(IssuerAndSerialNumber {
            issuer: tbs.issuer.clone(),
            serial_number: tbs.serial_number.clone(),
        }),
        digest_alg: digest_alg.clone(),
        signed_attrs: Some(attributes),
        signature_algorithm,
        signature: OctetString::new(signature).map_err(CertificateError::from)?,
        unsigned_attrs: None,
    };
    let certificates = with_certificate
        .then(|| SetOfVec::try_from([CertificateChoices::Certificate(member.certificate.clone())]))
        .transpose()
        .map_err(CertificateError::from)?
        .map(CertificateSet);
    Ok(content_info(info, digest_alg, certificates, signer_info)?)
}

fn content_info(
    info: Vec<u8>,
    digest_alg: AlgorithmIdentifierOwned,
    certificates: Option<CertificateSet>,
    signer_info: SignerInfo,
) -> Result<Vec<u8>, CertificateError> {
    let signed_data = SignedData {
        version: CmsVersion::V3,
        digest_algorithms: SetOfVec::try_from([digest_alg])?,
        encap_content_info: EncapsulatedContentInfo {
            econtent_type: TST_INFO,
            econtent: Some(Any::new(Tag::OctetString, info)?),
        },
        certificates,
        crls: None,
        signer_infos: SignerInfos(SetOfVec::try_from([signer_info])?),
    };
    let content = ContentInfo {
        content_type: SIGNED_DATA,
        content: Any::encode_from(&signed_data)?,
    };
    Ok(content.to_der()?)
}

fn attributes(
    member: &Member,
    message_digest: &[u8],
) -> Result<SetOfVec<Attribute>, CertificateError> {
    // The certificate that signs is named, so that no other can be put in its place.
    let certificate = SigningCertificateV2 {
        certs: vec![EssCertIdV2 {
            cert_hash: OctetString::new(Algorithm::Sha256.digest(&member.der).as_bytes())?,
        }],
    };
    Ok(SetOfVec::try_from([
        attribute(CONTENT_TYPE, &TST_INFO)?,
        attribute(MESSAGE_DIGEST, &OctetString::new(message_digest)?)?,
        attribute(SIGNING_CERTIFICATE_V2, &certificate)?,
    ])?)
}

fn attribute<T>(oid: ObjectIdentifier, value: &T) -> Result<Attribute, CertificateError>
where
    T: der::Tagged + der::EncodeValue,
{
    Ok(Attribute {
        oid,
        values: SetOfVec::try_from([Any::encode_from(value)?])?,
    })
}
