use custos_core::digest::Algorithm;
use der::asn1::{Any, Int, OctetString};
use der::{Encode as _, Sequence};
use sigstore_tsa::verify_timestamp_for_authority;
use sigstore_verify::types::{
    DerCertificate, SignatureBytes, TimestampToken, TsaAuthority as SigstoreAuthority,
};

use super::*;
use crate::authority::tests::authority;
use crate::oidc::tests::NOW;

#[derive(Sequence)]
struct Imprint {
    algorithm: x509_cert::spki::AlgorithmIdentifierOwned,
    digest: OctetString,
}

#[derive(Sequence)]
struct Req {
    version: u8,
    imprint: Imprint,
    #[asn1(optional = "true")]
    policy: Option<ObjectIdentifier>,
    #[asn1(optional = "true")]
    nonce: Option<Int>,
    #[asn1(optional = "true")]
    certificate: Option<bool>,
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT", optional = "true")]
    extensions: Option<Vec<Any>>,
}

fn request_over(message: &[u8]) -> Req {
    Req {
        version: 1,
        imprint: Imprint {
            algorithm: x509_cert::spki::AlgorithmIdentifierOwned {
                oid: ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1"),
                parameters: Some(Any::null()),
            },
            digest: OctetString::new(Algorithm::Sha256.digest(message).as_bytes()).unwrap(),
        },
        policy: None,
        nonce: Some(Int::new(&[1, 2, 3, 4, 5, 6, 7, 8]).unwrap()),
        certificate: Some(true),
        extensions: None,
    }
}

/// A request for a timestamp over `message`.
pub(crate) fn query(message: &[u8]) -> Vec<u8> {
    request_over(message).to_der().unwrap()
}

fn reply(authority: &crate::Authority, request: &Req) -> Reply {
    authority
        .timestamp_authority()
        .reply(&request.to_der().unwrap(), NOW)
        .unwrap()
}

fn verify(authority: &crate::Authority, der: &[u8], message: &[u8]) -> Option<i64> {
    let sigstore = SigstoreAuthority::new(
        DerCertificate::new(authority.timestamp_der().to_vec()),
        Vec::new(),
        DerCertificate::new(authority.root_der().to_vec()),
        None,
    );
    verify_timestamp_for_authority(
        &TimestampToken::new(der.to_vec()),
        &SignatureBytes::new(message.to_vec()),
        &sigstore,
    )
    .ok()
    .and_then(|time| time.to_string().parse::<Timestamp>().ok())
    .map(Timestamp::as_seconds)
}

#[test]
fn sigstore_accepts_the_token_and_no_other() {
    let (ours, other) = (authority(), authority());
    for certificate in [Some(true), None] {
        let mut request = request_over(b"signature");
        request.certificate = certificate;
        let reply = reply(&ours, &request);
        assert_eq!(reply.failure, None);
        assert_eq!(
            verify(&ours, &reply.der, b"signature"),
            Some(NOW.as_seconds())
        );
        assert_eq!(verify(&ours, &reply.der, b"another"), None);
        assert_eq!(verify(&other, &reply.der, b"signature"), None);
        for at in [40, reply.der.len() / 2, reply.der.len() - 3] {
            let mut broken = reply.der.clone();
            broken[at] ^= 1;
            assert_eq!(verify(&ours, &broken, b"signature"), None, "byte {at}");
        }
    }
}

#[test]
fn the_nonce_comes_back_and_serials_differ() {
    let authority = authority();
    let request = request_over(b"signature");
    let nonce = request.nonce.as_ref().unwrap().to_der().unwrap();
    let (one, two) = (reply(&authority, &request), reply(&authority, &request));
    let has = |der: &[u8]| der.windows(nonce.len()).any(|window| window == nonce);
    assert!(has(&one.der) && has(&two.der));
    assert_ne!(one.der, two.der);
    let mut without = request_over(b"signature");
    without.nonce = None;
    assert!(!has(&reply(&authority, &without).der));
}

#[test]
fn what_is_not_granted_says_why() {
    let authority = authority();
    let oid = ObjectIdentifier::new_unwrap;
    let changed = |change: &dyn Fn(&mut Req)| {
        let mut request = request_over(b"signature");
        change(&mut request);
        reply(&authority, &request).failure
    };
    assert_eq!(changed(&|_| {}), None);
    assert_eq!(changed(&|r| r.policy = Some(DEFAULT_POLICY)), None);
    for (change, failure) in [
        (
            (&|r: &mut Req| r.version = 2) as &dyn Fn(&mut Req),
            Failure::BadRequest,
        ),
        // SHA-1.
        (
            &|r| r.imprint.algorithm.oid = oid("1.3.14.3.2.26"),
            Failure::BadAlgorithm,
        ),
        // SHA-512 with the digest of SHA-256.
        (
            &|r| r.imprint.algorithm.oid = oid("2.16.840.1.101.3.4.2.3"),
            Failure::BadDataFormat,
        ),
        (
            &|r| r.imprint.algorithm.parameters = Some(Any::from(&oid("1.2.3"))),
            Failure::BadAlgorithm,
        ),
        (
            &|r| r.policy = Some(oid("1.2.3.4")),
            Failure::UnacceptedPolicy,
        ),
        (
            &|r| r.nonce = Some(Int::new(&[1; 33]).unwrap()),
            Failure::BadDataFormat,
        ),
        (
            &|r| r.extensions = Some(vec![Any::null()]),
            Failure::UnacceptedExtension,
        ),
    ] {
        assert_eq!(changed(change), Some(failure));
    }
    for bytes in [&b""[..], b"x", &[0x30, 0x80], &[0x30; 5_000]] {
        let reply = authority.timestamp_authority().reply(bytes, NOW).unwrap();
        assert_eq!(reply.failure, Some(Failure::BadDataFormat));
    }
}

#[test]
fn time_never_goes_back() {
    let authority = authority();
    let tsa = authority.timestamp_authority();
    let second = 1_000_000;
    assert_eq!(tsa.time(NOW), Ok(NOW));
    assert_eq!(
        tsa.time(NOW.plus_micros(second)),
        Ok(NOW.plus_micros(second))
    );
    assert_eq!(tsa.time(NOW), Ok(NOW.plus_micros(second)));
    assert_eq!(
        tsa.time(NOW.plus_micros(-5 * second)),
        Err(Failure::TimeNotAvailable)
    );
    // Outside of the certificate's life there is no time to give.
    let days = 3_651 * 86_400 * second;
    assert_eq!(
        tsa.time(NOW.plus_micros(days)),
        Err(Failure::TimeNotAvailable)
    );
    assert_eq!(
        tsa.time(NOW.plus_micros(2 * second)),
        Ok(NOW.plus_micros(2 * second))
    );
}

#[test]
fn openssl_accepts_the_token() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let openssl = |arguments: &[&str]| {
        let output = std::process::Command::new("openssl")
            .args(arguments)
            .output();
        let output = output.expect("this test needs the openssl command");
        (output.status.success(), output.stderr)
    };
    std::fs::write(path("data"), b"signature").unwrap();
    let made = openssl(&[
        "ts",
        "-query",
        "-data",
        &path("data"),
        "-sha256",
        "-cert",
        "-out",
        &path("query"),
    ]);
    assert!(made.0, "{}", String::from_utf8_lossy(&made.1));
    // OpenSSL checks against its own clock.
    let params = crate::authority::Params::new(
        "Example",
        Timestamp::from_seconds(1_600_000_000),
        crate::authority::Protection::Plain,
        crate::authority::Protection::Plain,
    );
    let place = dir.path().join("authority");
    let authority = crate::Authority::init(&place, &params).unwrap();
    let query = std::fs::read(path("query")).unwrap();
    let reply = authority
        .timestamp_authority()
        .reply(&query, Timestamp::from_seconds(1_700_000_000))
        .unwrap();
    assert_eq!(reply.failure, None);
    std::fs::write(path("reply"), &reply.der).unwrap();
    let root = place.join("root.pem");
    let verify = |data: &str| {
        openssl(&[
            "ts",
            "-verify",
            "-data",
            data,
            "-in",
            &path("reply"),
            "-CAfile",
            root.to_str().unwrap(),
            "-attime",
            "1700000000",
        ])
    };
    let (accepted, message) = verify(&path("data"));
    assert!(accepted, "{}", String::from_utf8_lossy(&message));
    std::fs::write(path("other"), b"another").unwrap();
    assert!(!verify(&path("other")).0);
}

mod laws {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parses(&bytes);
        }

        #[test]
        fn any_change_of_a_request_is_answered(at in 0_usize..60, to in any::<u8>()) {
            let mut bytes = request_over(b"signature").to_der().unwrap();
            if let Some(byte) = bytes.get_mut(at) {
                *byte = to;
            }
            let _ = parses(&bytes);
        }
    }
}
