//! Against exchanges written after Google's documentation of the REST interface and of its token
//! services.

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::{KeyPair as RsaPair, KeySize};
use aws_lc_rs::signature::KeyPair as _;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use custos_core::crypto::{KeyKind, KeyPair, Pem, RsaSize};
use serde_json::{Value, json};

use super::super::super::reference::KeyReference;
use super::super::super::remote::Standing;
use super::super::super::replay::{NOW, Replay, Seen, around, sha256};
use super::*;
use crate::signer::Signer as _;

const KEY: &str = "projects/p/locations/global/keyRings/r/cryptoKeys/k";
const MESSAGE: &[u8] = b"message";

fn key(version: &str) -> GcpKey {
    match format!("gcpkms://{KEY}{version}").parse().unwrap() {
        KeyReference::GcpKms(key) => key,
        other => panic!("{other}"),
    }
}

/// KMS and the metadata service in one; `change` may spoil its answers.
fn google(pair: KeyPair, change: impl Fn(&str, &mut Value) + Send + 'static) -> Replay {
    Replay::start(move |seen: &Seen| {
        let name = format!("{KEY}/cryptoKeyVersions/11");
        let line = seen.line().to_owned();
        let mut answer = if line.starts_with("GET /computeMetadata/") {
            assert_eq!(seen.header("metadata-flavor"), Some("Google"));
            return (
                200,
                json!({"access_token": "ya29.t", "expires_in": 3599}).to_string(),
            );
        } else if line.contains("cryptoKeyVersions?filter=state%3DENABLED") {
            json!({"cryptoKeyVersions": [
                {"name": format!("{KEY}/cryptoKeyVersions/9"), "state": "ENABLED"},
                {"name": name, "state": "ENABLED"},
                {"name": format!("{KEY}/cryptoKeyVersions/12"), "state": "DISABLED"},
            ]})
        } else if line == format!("GET /v1/{name}/publicKey") {
            let pem = pair.public_key().to_pem();
            let algorithm = if pair.public_key().kind().is_rsa() {
                "RSA_SIGN_PKCS1_2048_SHA256"
            } else {
                "EC_SIGN_P256_SHA256"
            };
            json!({
                "name": name, "algorithm": algorithm, "protectionLevel": "HSM",
                "pemCrc32c": crc32c(pem.as_bytes()).to_string(), "pem": pem,
            })
        } else if line == format!("POST /v1/{name}:asymmetricSign") {
            let digest = sha256(MESSAGE);
            assert_eq!(
                seen.json(),
                json!({
                    "digest": {"sha256": STANDARD.encode(&digest)},
                    "digestCrc32c": crc32c(&digest).to_string(),
                })
            );
            let scheme = pair.public_key().kind().statement_scheme();
            let signature = pair.sign(scheme, MESSAGE).unwrap();
            json!({
                "name": name, "signature": STANDARD.encode(&signature),
                "signatureCrc32c": crc32c(&signature).to_string(),
                "verifiedDigestCrc32c": true, "protectionLevel": "HSM",
            })
        } else {
            panic!("{line}")
        };
        assert_eq!(seen.header("authorization"), Some("Bearer ya29.t"));
        change(&line, &mut answer);
        (200, answer.to_string())
    })
}

fn vars(server: &Replay) -> Surroundings {
    around(&[
        ("CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDKMS", &server.url()),
        ("GCE_METADATA_HOST", &format!("127.0.0.1:{}", server.port())),
    ])
}

#[test]
fn the_check_value_of_crc32c() {
    assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    // RFC 3720, appendix B.4.
    assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
    assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
}

#[test]
fn the_newest_enabled_version_signs() {
    for version in ["", "/versions/11", "/cryptoKeyVersions/11"] {
        let pair = KeyPair::generate(KeyKind::P256).unwrap();
        let public = pair.public_key().clone();
        let server = google(pair, |_, _| {});
        let signer = open(&key(version), &vars(&server)).unwrap();
        assert_eq!(signer.key_name(), format!("{KEY}/cryptoKeyVersions/11"));
        let signature = signer.sign(MESSAGE).unwrap();
        public.verify(signer.scheme(), MESSAGE, &signature).unwrap();
        let seen = server.seen();
        let tokens = seen
            .iter()
            .filter(|seen| seen.line().contains("computeMetadata"));
        assert_eq!(tokens.count(), 1, "the token is kept");
    }
}

#[test]
fn rsa_keys_sign_by_pkcs1_alone() {
    let key_pair = || KeyPair::generate(KeyKind::Rsa(RsaSize::Bits2048)).unwrap();
    let pair = key_pair();
    let public = pair.public_key().clone();
    let server = google(pair, |_, _| {});
    let signer = open(&key("/versions/11"), &vars(&server)).unwrap();
    let signature = signer.sign(MESSAGE).unwrap();
    public.verify(signer.scheme(), MESSAGE, &signature).unwrap();
    for other in [
        "RSA_SIGN_PSS_2048_SHA256",
        "RSA_SIGN_RAW_PKCS1_2048",
        "RSA_SIGN_PKCS1_4096_SHA512",
    ] {
        let server = google(key_pair(), move |line, answer| {
            if line.ends_with("/publicKey") {
                answer["algorithm"] = other.into();
            }
        });
        let refused = open(&key("/versions/11"), &vars(&server));
        assert!(
            matches!(refused, Err(ServiceError::UnsupportedKey { found, .. }) if found == other)
        );
    }
}

#[test]
fn an_answer_that_is_not_right_is_not_used() {
    type Spoil = fn(&str, &mut Value);
    type Expected = fn(&ServiceError) -> bool;
    let spoils: [(Spoil, Expected); 7] = [
        (
            |_, answer| answer["pemCrc32c"] = "1".into(),
            |error| matches!(error, ServiceError::Checksum { .. }),
        ),
        (
            |_, answer| drop(answer.as_object_mut().unwrap().remove("pemCrc32c")),
            |error| matches!(error, ServiceError::Checksum { .. }),
        ),
        (
            |_, answer| answer["signatureCrc32c"] = "1".into(),
            |error| matches!(error, ServiceError::Checksum { .. }),
        ),
        (
            |_, answer| answer["verifiedDigestCrc32c"] = false.into(),
            |error| matches!(error, ServiceError::Checksum { .. }),
        ),
        (
            |_, answer| answer["name"] = format!("{KEY}/cryptoKeyVersions/9").into(),
            |error| matches!(error, ServiceError::WrongKey { .. }),
        ),
        (
            |line, answer| {
                if line.contains("asymmetricSign") {
                    let other = KeyPair::generate(KeyKind::P256).unwrap();
                    let signature = other.sign(Scheme::EcdsaP256, MESSAGE).unwrap();
                    answer["signatureCrc32c"] = crc32c(&signature).to_string().into();
                    answer["signature"] = STANDARD.encode(signature).into();
                }
            },
            |error| matches!(error, ServiceError::SignatureInvalid { .. }),
        ),
        (
            |_, answer| *answer = json!({"cryptoKeyVersions": []}),
            |error| matches!(error, ServiceError::Answer { .. }),
        ),
    ];
    for (number, (spoil, expected)) in spoils.into_iter().enumerate() {
        let server = google(KeyPair::generate(KeyKind::P256).unwrap(), spoil);
        let version = if number == 6 { "" } else { "/versions/11" };
        let outcome =
            open(&key(version), &vars(&server)).and_then(|signer| signer.sign_remotely(MESSAGE));
        let error = outcome.unwrap_err();
        assert!(expected(&error), "{number}: {error:?}");
    }
}

#[test]
fn errors_by_their_class() {
    for (status, code, standing) in [
        (403, "PERMISSION_DENIED", Standing::Denied),
        (404, "NOT_FOUND", Standing::NotFound),
        (400, "FAILED_PRECONDITION", Standing::KeyUnusable),
        (429, "RESOURCE_EXHAUSTED", Standing::Throttled),
        (503, "UNAVAILABLE", Standing::Unavailable),
    ] {
        let server = Replay::start(move |seen| {
            if seen.line().contains("computeMetadata") {
                return (200, json!({"access_token": "ya29.t"}).to_string());
            }
            let error = json!({"code": status, "status": code, "message": "about ya29.t"});
            (status, json!({"error": error}).to_string())
        });
        let error = open(&key("/versions/1"), &vars(&server)).unwrap_err();
        assert_eq!(error.standing(), Some(standing));
        assert!(!format!("{error} {error:?}").contains("ya29"), "{error}");
    }
}

fn with_file(server: &Replay, file: &Value) -> Result<RemoteSigner, ServiceError> {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("credentials.json");
    std::fs::write(&path, file.to_string()).unwrap();
    let surroundings = around(&[
        ("CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDKMS", &server.url()),
        ("GOOGLE_APPLICATION_CREDENTIALS", path.to_str().unwrap()),
    ]);
    open(&key("/versions/11"), &surroundings)
}

#[test]
fn a_service_account_signs_its_assertion() {
    let rsa = RsaPair::generate(KeySize::Rsa2048).unwrap();
    let der = AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(&rsa).unwrap();
    let pem = Pem::new("PRIVATE KEY", der.as_ref().to_vec()).to_text();
    let public = rsa.public_key().as_ref().to_vec();
    let pair = KeyPair::generate(KeyKind::P256).unwrap();
    let public_key = pair.public_key().to_pem();
    let server = Replay::start(move |seen| {
        if seen.line() == "POST /token" {
            let assertion = seen.body.rsplit("assertion=").next().unwrap();
            let (signed, signature) = assertion.rsplit_once('.').unwrap();
            let key = aws_lc_rs::signature::UnparsedPublicKey::new(
                &aws_lc_rs::signature::RSA_PKCS1_2048_8192_SHA256,
                &public,
            );
            let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
            key.verify(signed.as_bytes(), &signature).unwrap();
            let claims = URL_SAFE_NO_PAD
                .decode(signed.split('.').nth(1).unwrap())
                .unwrap();
            let claims: Value = serde_json::from_slice(&claims).unwrap();
            assert_eq!(claims["iss"], "ci@p.iam.gserviceaccount.com");
            assert_eq!(
                (claims["iat"].as_i64(), claims["exp"].as_i64()),
                (Some(NOW), Some(NOW + 3600))
            );
            return (
                200,
                json!({"access_token": "ya29.s", "expires_in": 3599}).to_string(),
            );
        }
        assert_eq!(seen.header("authorization"), Some("Bearer ya29.s"));
        let crc = crc32c(public_key.as_bytes()).to_string();
        let name = format!("{KEY}/cryptoKeyVersions/11");
        (
            200,
            json!({"name": name, "pem": public_key, "pemCrc32c": crc}).to_string(),
        )
    });
    let file = json!({
        "type": "service_account", "client_email": "ci@p.iam.gserviceaccount.com",
        "private_key_id": "1", "private_key": pem, "token_uri": format!("{}/token", server.url()),
    });
    with_file(&server, &file).unwrap();
    let mut elsewhere = file;
    elsewhere["token_uri"] = "https://evil.example/token".into();
    assert!(matches!(
        with_file(&server, &elsewhere),
        Err(ServiceError::Surroundings(
            SurroundingsError::Unsupported { .. }
        ))
    ));
}

#[test]
fn a_federated_token_is_exchanged_and_impersonates() {
    let subject = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(subject.path(), r#"{"value": "eyJ.sub"}"#).unwrap();
    let pem = KeyPair::generate(KeyKind::P256)
        .unwrap()
        .public_key()
        .to_pem();
    let crc = crc32c(pem.as_bytes()).to_string();
    let name = format!("{KEY}/cryptoKeyVersions/11");
    let server = Replay::script(vec![
        (
            "POST /v1/token",
            (
                200,
                json!({"access_token": "federated", "expires_in": 3599}).to_string(),
            ),
        ),
        (
            "POST /v1/sa:generateAccessToken",
            (
                200,
                json!({"accessToken": "ya29.i", "expireTime": "2026-11-23T10:00:00Z"}).to_string(),
            ),
        ),
        (
            "GET /v1/projects/p/locations/global/keyRings/r/cryptoKeys/k/cryptoKeyVersions/11/publicKey",
            (
                200,
                json!({"name": name, "pem": pem, "pemCrc32c": crc}).to_string(),
            ),
        ),
    ]);
    let file = json!({
        "type": "external_account",
        "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/a/providers/b",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": format!("{}/v1/token", server.url()),
        "service_account_impersonation_url": format!("{}/v1/sa:generateAccessToken", server.url()),
        "credential_source": {
            "file": subject.path(),
            "format": {"type": "json", "subject_token_field_name": "value"},
        },
    });
    with_file(&server, &file).unwrap();
    let seen = server.seen();
    assert!(
        seen[0].body.contains("subject_token=eyJ.sub&"),
        "{}",
        seen[0].body
    );
    assert_eq!(seen[1].header("authorization"), Some("Bearer federated"));
    assert_eq!(seen[2].header("authorization"), Some("Bearer ya29.i"));
}
