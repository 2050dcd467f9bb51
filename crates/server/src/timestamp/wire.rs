//! The messages of RFC 3161, section 2.4.

use custos_core::clock::Timestamp;
use der::asn1::{Any, BitString, GeneralizedTime, Int, ObjectIdentifier, OctetString};
use der::{DateTime, Decode, Encode, Sequence};
use x509_cert::spki::AlgorithmIdentifierOwned;

use super::{MAX_NONCE, MAX_REQUEST};
use crate::authority::{CertificateError, random_serial};

const GRANTED: u8 = 0;
const REJECTION: u8 = 2;
const SECOND: i64 = 1_000_000;

/// Why a request was not granted (RFC 3161 section 2.4.2, `PKIFailureInfo`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// The hash algorithm is not one of SHA-256, SHA-384, SHA-512.
    #[error("the hash algorithm is not SHA-256, SHA-384 or SHA-512")]
    BadAlgorithm,
    /// Another version than 1.
    #[error("the request's version is not 1")]
    BadRequest,
    /// Not a request, or a digest of the wrong length.
    #[error("not a timestamp request in DER")]
    BadDataFormat,
    /// The clock cannot be relied on, or the certificate has ended.
    #[error("no trustworthy time is available")]
    TimeNotAvailable,
    /// Another policy than ours.
    #[error("the requested policy is not that of this authority")]
    UnacceptedPolicy,
    /// Extensions, of which none is known.
    #[error("the request has extensions, of which none is accepted")]
    UnacceptedExtension,
}

impl Failure {
    // The bit of PKIFailureInfo.
    const fn bit(self) -> u8 {
        match self {
            Self::BadAlgorithm => 0,
            Self::BadRequest => 2,
            Self::BadDataFormat => 5,
            Self::TimeNotAvailable => 14,
            Self::UnacceptedPolicy => 15,
            Self::UnacceptedExtension => 16,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Sequence)]
pub(super) struct MessageImprint {
    hash_algorithm: AlgorithmIdentifierOwned,
    hashed_message: OctetString,
}

#[derive(Sequence)]
struct TimeStampReq {
    version: Int,
    message_imprint: MessageImprint,
    #[asn1(optional = "true")]
    req_policy: Option<ObjectIdentifier>,
    #[asn1(optional = "true")]
    nonce: Option<Int>,
    #[asn1(default = "no")]
    cert_req: bool,
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT", optional = "true")]
    extensions: Option<Vec<Any>>,
}

const fn no() -> bool {
    false
}

/// A request that can be granted.
pub(super) struct Request {
    imprint: MessageImprint,
    pub(super) policy: Option<ObjectIdentifier>,
    nonce: Option<Int>,
    pub(super) wants_certificate: bool,
}

impl Request {
    pub(super) fn parse(der: &[u8]) -> Result<Self, Failure> {
        if der.len() > MAX_REQUEST {
            return Err(Failure::BadDataFormat);
        }
        let request = TimeStampReq::from_der(der).map_err(|_| Failure::BadDataFormat)?;
        if request.version.as_bytes() != [1] {
            return Err(Failure::BadRequest);
        }
        if request.extensions.is_some() {
            return Err(Failure::UnacceptedExtension);
        }
        let algorithm = &request.message_imprint.hash_algorithm;
        // The parameters are absent or NULL (RFC 5754 section 2).
        if algorithm
            .parameters
            .as_ref()
            .is_some_and(|any| !any.is_null())
        {
            return Err(Failure::BadAlgorithm);
        }
        let length = match algorithm.oid.to_string().as_str() {
            "2.16.840.1.101.3.4.2.1" => 32,
            "2.16.840.1.101.3.4.2.2" => 48,
            "2.16.840.1.101.3.4.2.3" => 64,
            _ => return Err(Failure::BadAlgorithm),
        };
        let nonce = request
            .nonce
            .as_ref()
            .map_or(0, |nonce| nonce.as_bytes().len());
        if request.message_imprint.hashed_message.as_bytes().len() != length || nonce > MAX_NONCE {
            return Err(Failure::BadDataFormat);
        }
        Ok(Self {
            imprint: request.message_imprint,
            policy: request.req_policy,
            nonce: request.nonce,
            wants_certificate: request.cert_req,
        })
    }
}

#[derive(Sequence)]
struct Accuracy {
    seconds: u8,
}

/// What a token says.
#[derive(Sequence)]
pub(super) struct TstInfo {
    version: u8,
    policy: ObjectIdentifier,
    message_imprint: MessageImprint,
    serial_number: Int,
    gen_time: GeneralizedTime,
    accuracy: Accuracy,
    #[asn1(optional = "true")]
    nonce: Option<Int>,
}

impl TstInfo {
    pub(super) fn new(
        request: &Request,
        policy: ObjectIdentifier,
        time: Timestamp,
    ) -> Result<Self, CertificateError> {
        let seconds = u64::try_from(time.as_micros().div_euclid(SECOND))
            .map_err(|_| CertificateError::Encoding)?;
        let time = DateTime::from_unix_duration(std::time::Duration::from_secs(seconds))?;
        Ok(Self {
            version: 1,
            policy,
            message_imprint: request.imprint.clone(),
            serial_number: Int::new(&random_serial()?)?,
            gen_time: GeneralizedTime::from_date_time(time),
            accuracy: Accuracy { seconds: 1 },
            nonce: request.nonce.clone(),
        })
    }
}

#[derive(Sequence)]
struct PkiStatusInfo {
    status: u8,
    #[asn1(optional = "true")]
    status_string: Option<Vec<String>>,
    #[asn1(optional = "true")]
    fail_info: Option<BitString>,
}

#[derive(Sequence)]
struct TimeStampResp {
    status: PkiStatusInfo,
    #[asn1(optional = "true")]
    time_stamp_token: Option<Any>,
}

/// Returns the answer that carries a token.
pub(super) fn granted(token: &[u8]) -> der::Result<Vec<u8>> {
    TimeStampResp {
        status: PkiStatusInfo {
            status: GRANTED,
            status_string: None,
            fail_info: None,
        },
        time_stamp_token: Some(Any::from_der(token)?),
    }
    .to_der()
}

/// Returns the answer that says why there is no token.
pub(super) fn refusal(failure: Failure) -> der::Result<Vec<u8>> {
    let bit = usize::from(failure.bit());
    let mut bytes = vec![0_u8; bit.div_euclid(8).saturating_add(1)];
    let within = bit.rem_euclid(8);
    if let Some(last) = bytes.last_mut() {
        *last = 0x80_u8
            .checked_shr(u32::try_from(within).unwrap_or(0))
            .unwrap_or(0);
    }
    // DER drops the zero bits behind the last one of a named bit list (X.690 section 11.2.2).
    let unused = u8::try_from(7_usize.saturating_sub(within)).unwrap_or(0);
    TimeStampResp {
        status: PkiStatusInfo {
            status: REJECTION,
            status_string: Some(vec![failure.to_string()]),
            fail_info: Some(BitString::new(unused, bytes)?),
        },
        time_stamp_token: None,
    }
    .to_der()
}
