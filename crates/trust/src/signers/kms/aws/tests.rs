//! Against exchanges written after AWS' documentation, and against `moto` where
//! `CUSTOS_PEER_MOTO` describes a server of it (`cargo xtask test` starts one).

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use custos_core::crypto::{KeyKind, KeyPair, RsaSize};
use serde_json::{Value, json};

use super::super::super::reference::KeyReference;
use super::super::super::remote::Standing;
use super::super::super::replay::{NOW, Replay, Seen, around, sha256};
use super::credentials::Source;
use super::*;
use crate::signer::Signer as _;

const ARN: &str = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
const MESSAGE: &[u8] = b"message";

fn key(text: &str) -> AwsKey {
    match text.parse().unwrap() {
        KeyReference::AwsKms(key) => key,
        other => panic!("{other}"),
    }
}

fn with_key(url: &str) -> Surroundings {
    around(&[
        ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI"),
        ("AWS_SESSION_TOKEN", "se55ion"),
        ("AWS_REGION", "eu-west-1"),
        ("AWS_ENDPOINT_URL_KMS", url),
    ])
}

/// KMS with one key; `change` may spoil its answers.
fn kms(pair: KeyPair, change: impl Fn(&str, &mut Value) + Send + 'static) -> Replay {
    Replay::start(move |seen: &Seen| {
        let operation = seen.header("x-amz-target").unwrap().to_owned();
        let mut answer = match operation.as_str() {
            "TrentService.GetPublicKey" => json!({
                "KeyId": ARN,
                "KeySpec": "ECC_NIST_P256",
                "KeyUsage": "SIGN_VERIFY",
                "PublicKey": STANDARD.encode(pair.public_key().as_spki_der()),
                "SigningAlgorithms": ["ECDSA_SHA_256"],
            }),
            "TrentService.Sign" => {
                let request = seen.json();
                assert_eq!(request["KeyId"], ARN);
                assert_eq!(request["MessageType"], "DIGEST");
                let scheme = pair.public_key().kind().statement_scheme();
                let algorithm = match scheme {
                    Scheme::EcdsaP256 => "ECDSA_SHA_256",
                    _ => "RSASSA_PKCS1_V1_5_SHA_256",
                };
                assert_eq!(request["SigningAlgorithm"], algorithm);
                assert_eq!(request["Message"], STANDARD.encode(sha256(MESSAGE)));
                let signature = pair.sign(scheme, MESSAGE).unwrap();
                json!({
                    "KeyId": ARN,
                    "Signature": STANDARD.encode(signature),
                    "SigningAlgorithm": algorithm,
                })
            }
            other => panic!("{other}"),
        };
        change(&operation, &mut answer);
        (200, answer.to_string())
    })
}

#[test]
fn a_key_by_its_alias_signs_as_the_key_it_was() {
    let pair = KeyPair::generate(KeyKind::P256).unwrap();
    let public = pair.public_key().clone();
    let server = kms(pair, |_, _| {});
    let signer = open(&key("awskms:///alias/release"), &with_key(&server.url())).unwrap();
    assert_eq!(signer.public_key(), &public);
    assert_eq!(signer.key_name(), ARN);
    let signature = signer.sign(MESSAGE).unwrap();
    public.verify(signer.scheme(), MESSAGE, &signature).unwrap();
    let seen = server.seen();
    assert_eq!(seen[0].json()["KeyId"], "alias/release");
    for request in &seen {
        assert_eq!(request.line(), "POST /");
        assert_eq!(
            request.header("content-type"),
            Some("application/x-amz-json-1.1")
        );
        assert_eq!(request.header("x-amz-date"), Some("20261123T090000Z"));
        assert_eq!(request.header("x-amz-security-token"), Some("se55ion"));
        let authorization = request.header("authorization").unwrap();
        assert!(authorization.starts_with(
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261123/eu-west-1/kms/aws4_request, \
             SignedHeaders=content-type;host;x-amz-date;x-amz-security-token;x-amz-target, "
        ));
    }
    assert_eq!(
        NOW,
        "2026-11-23T09:00:00Z"
            .parse::<custos_core::clock::Timestamp>()
            .unwrap()
            .as_seconds()
    );
    assert!(!format!("{signer:?}").contains("wJalrXUtnFEMI"));
}

#[test]
fn rsa_keys_sign_by_pkcs1() {
    let pair = KeyPair::generate(KeyKind::Rsa(RsaSize::Bits3072)).unwrap();
    let public = pair.public_key().clone();
    let server = kms(pair, |_, _| {});
    let signer = open(&key("awskms:///alias/release"), &with_key(&server.url())).unwrap();
    let signature = signer.sign(MESSAGE).unwrap();
    public.verify(signer.scheme(), MESSAGE, &signature).unwrap();
}

#[test]
fn an_answer_that_is_not_right_is_not_used() {
    type Spoil = fn(&str, &mut Value);
    type Expected = fn(&ServiceError) -> bool;
    let spoils: [(Spoil, Expected); 6] = [
        (
            |_, answer| answer["KeyId"] = ARN.replace("1234abcd", "ffffffff").into(),
            |error| matches!(error, ServiceError::WrongKey { .. }),
        ),
        (
            |operation, answer| {
                if operation.ends_with("Sign") {
                    answer["KeyId"] = ARN.replace("1234abcd", "ffffffff").into();
                }
            },
            |error| matches!(error, ServiceError::WrongKey { .. }),
        ),
        (
            |operation, answer| {
                if operation.ends_with("Sign") {
                    let other = KeyPair::generate(KeyKind::P256).unwrap();
                    let signature = other.sign(Scheme::EcdsaP256, MESSAGE).unwrap();
                    answer["Signature"] = STANDARD.encode(signature).into();
                }
            },
            |error| matches!(error, ServiceError::SignatureInvalid { .. }),
        ),
        (
            |_, answer| answer["KeyUsage"] = "ENCRYPT_DECRYPT".into(),
            |error| matches!(error, ServiceError::Answer { .. }),
        ),
        (
            |_, answer| answer["PublicKey"] = STANDARD.encode(b"rsa").into(),
            |error| matches!(error, ServiceError::UnsupportedKey { .. }),
        ),
        (
            |_, answer| *answer = json!({}),
            |error| matches!(error, ServiceError::Answer { .. }),
        ),
    ];
    for (number, (spoil, expected)) in spoils.into_iter().enumerate() {
        let server = kms(KeyPair::generate(KeyKind::P256).unwrap(), spoil);
        let reference = key(&format!("awskms:///{ARN}"));
        let outcome = open(&reference, &with_key(&server.url()))
            .and_then(|signer| signer.sign_remotely(MESSAGE));
        let error = outcome.unwrap_err();
        assert!(expected(&error), "{number}: {error:?}");
        assert!(!error.is_undecided());
    }
}

#[test]
fn errors_by_their_class_without_secrets() {
    for (status, code, standing, calls) in [
        (400, "AccessDeniedException", Standing::Denied, 1),
        (400, "NotFoundException", Standing::NotFound, 1),
        (400, "DisabledException", Standing::KeyUnusable, 1),
        (400, "ThrottlingException", Standing::Throttled, 3),
        (500, "KMSInternalException", Standing::Unavailable, 3),
    ] {
        let server = Replay::start(move |_| {
            let body = json!({"__type": code, "message": "for se55ion and wJalrXUtnFEMI"});
            (status, body.to_string())
        });
        let error = open(&key("awskms:///alias/a"), &with_key(&server.url())).unwrap_err();
        assert_eq!(error.standing(), Some(standing));
        assert_eq!(
            error.is_undecided(),
            matches!(standing, Standing::Throttled | Standing::Unavailable)
        );
        assert_eq!(server.seen().len(), calls);
        let shown = format!("{error} {error:?}");
        assert!(
            !shown.contains("se55ion") && !shown.contains("wJalr"),
            "{shown}"
        );
    }
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let gone = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = open(&key("awskms:///alias/a"), &with_key(&gone)).unwrap_err();
    assert!(
        matches!(error, ServiceError::Net { .. }) && error.is_undecided(),
        "{error:?}"
    );
}

#[test]
fn a_busy_service_is_asked_again() {
    let pair = KeyPair::generate(KeyKind::P256).unwrap();
    let public = STANDARD.encode(pair.public_key().as_spki_der());
    let mut calls = 0;
    let server = Replay::start(move |_| {
        calls += 1;
        if calls < 3 {
            return (503, String::new());
        }
        let answer = json!({"KeyId": ARN, "KeyUsage": "SIGN_VERIFY", "PublicKey": public});
        (200, answer.to_string())
    });
    open(&key("awskms:///alias/a"), &with_key(&server.url())).unwrap();
    assert_eq!(server.seen().len(), 3);
}

#[test]
fn regions_and_endpoints() {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join(".aws")).unwrap();
    std::fs::write(
        home.path().join(".aws/config"),
        "[default]\nregion = us-west-1\n[profile ci]\nregion = cn-north-1\n",
    )
    .unwrap();
    let home = home.path().to_str().unwrap();
    for (reference, vars, expected) in [
        (
            format!("awskms:///{ARN}"),
            vec![("AWS_REGION", "us-east-1")],
            Some("https://kms.eu-west-1.amazonaws.com/"),
        ),
        (
            "awskms:///alias/a".to_owned(),
            vec![
                ("AWS_DEFAULT_REGION", "us-gov-west-1"),
                ("AWS_USE_FIPS_ENDPOINT", "true"),
            ],
            Some("https://kms-fips.us-gov-west-1.amazonaws.com/"),
        ),
        (
            "awskms:///alias/a".to_owned(),
            vec![("HOME", home)],
            Some("https://kms.us-west-1.amazonaws.com/"),
        ),
        (
            "awskms:///alias/a".to_owned(),
            vec![("HOME", home), ("AWS_PROFILE", "ci")],
            Some("https://kms.cn-north-1.amazonaws.com.cn/"),
        ),
        (
            "awskms://localhost:4566/alias/a".to_owned(),
            vec![("AWS_REGION", "us-east-1")],
            Some("https://localhost:4566/"),
        ),
        ("awskms:///alias/a".to_owned(), vec![], None),
        (
            "awskms:///alias/a".to_owned(),
            vec![("AWS_REGION", "evil.example/")],
            None,
        ),
    ] {
        let surroundings = around(&vars);
        let key = key(&reference);
        let found = region(key.region(), &surroundings)
            .and_then(|region| endpoint(&key, &region, &surroundings))
            .map(|url| url.to_string());
        assert_eq!(found.ok().as_deref(), expected, "{reference} {vars:?}");
    }
}

#[test]
fn a_web_identity_is_exchanged_for_a_key_that_is_renewed_when_it_ends() {
    let home = tempfile::tempdir().unwrap();
    let token = home.path().join("token");
    std::fs::write(&token, "eyJ.web.identity\n").unwrap();
    let pair = KeyPair::generate(KeyKind::P256).unwrap();
    let public = STANDARD.encode(pair.public_key().as_spki_der());
    let server = Replay::start(move |seen| {
        if seen.body.starts_with("Action=") {
            for part in [
                "Action=AssumeRoleWithWebIdentity",
                "RoleArn=arn%3Aaws%3Aiam%3A%3A111122223333%3Arole%2Fci",
                "WebIdentityToken=eyJ.web.identity",
            ] {
                assert!(seen.body.contains(part), "{}", seen.body);
            }
            assert!(seen.header("authorization").is_none());
            // Ends in four minutes: too soon to be used a second time.
            let xml = "<r><Credentials><AccessKeyId>ASIA</AccessKeyId><SecretAccessKey>s</SecretAccessKey>\
                 <SessionToken>t0ken</SessionToken><Expiration>2026-11-23T09:04:00Z</Expiration></Credentials></r>";
            return (200, xml.to_owned());
        }
        assert_eq!(seen.header("x-amz-security-token"), Some("t0ken"));
        let answer = json!({"KeyId": ARN, "KeyUsage": "SIGN_VERIFY", "PublicKey": public});
        (200, answer.to_string())
    });
    let surroundings = around(&[
        ("AWS_WEB_IDENTITY_TOKEN_FILE", token.to_str().unwrap()),
        ("AWS_ROLE_ARN", "arn:aws:iam::111122223333:role/ci"),
        ("AWS_REGION", "eu-west-1"),
        ("AWS_ENDPOINT_URL", &server.url()),
    ]);
    open(&key("awskms:///alias/a"), &surroundings).unwrap();
    let tokens = server
        .seen()
        .iter()
        .filter(|seen| seen.body.starts_with("Action="))
        .count();
    assert_eq!(tokens, 2);
}

#[test]
fn the_shared_credentials_file() {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join(".aws")).unwrap();
    let at_home = home.path().to_str().unwrap();
    let found = |vars: &[(&str, &str)]| {
        let source = Source::find(&around(vars))?;
        let credentials = source.fetch("eu-west-1", &around(vars))?;
        Ok::<_, ServiceError>(credentials.key_id().to_owned())
    };
    assert!(matches!(
        found(&[("HOME", at_home), ("AWS_EC2_METADATA_DISABLED", "true")]),
        Err(ServiceError::Surroundings(
            SurroundingsError::Missing { .. }
        ))
    ));
    std::fs::write(
        home.path().join(".aws/credentials"),
        "[default]\naws_access_key_id = AKIA1\naws_secret_access_key = a=b\n\
         [ci]\naws_access_key_id = AKIA2\naws_secret_access_key = c\n",
    )
    .unwrap();
    std::fs::write(
        home.path().join(".aws/config"),
        "[profile sso]\nsso_session = acme\n",
    )
    .unwrap();
    assert_eq!(found(&[("HOME", at_home)]), Ok("AKIA1".to_owned()));
    assert_eq!(
        found(&[("HOME", at_home), ("AWS_PROFILE", "ci")]),
        Ok("AKIA2".to_owned())
    );
    assert!(matches!(
        found(&[("HOME", at_home), ("AWS_PROFILE", "sso")]),
        Err(ServiceError::Surroundings(
            SurroundingsError::Unsupported { .. }
        ))
    ));
    assert!(matches!(
        found(&[
            ("HOME", at_home),
            ("AWS_SHARED_CREDENTIALS_FILE", "/does/not/exist")
        ]),
        Err(ServiceError::Surroundings(SurroundingsError::Io { .. }))
    ));
}

#[test]
fn what_the_machine_hands_out() {
    let key = json!({
        "AccessKeyId": "ASIA", "SecretAccessKey": "s", "Token": "t0ken",
        "Expiration": "2026-11-23T15:00:00Z",
    });
    let fetch = |vars: &[(&str, &str)]| {
        let surroundings = around(vars);
        let source = Source::find(&surroundings)?;
        let credentials = source.fetch("eu-west-1", &surroundings)?;
        assert!(credentials.are_fresh(&surroundings));
        assert_eq!(credentials.session_token().unwrap().expose(), "t0ken");
        Ok::<_, ServiceError>(credentials.key_id().to_owned())
    };
    let pod = Replay::script(vec![("GET /v1/credentials", (200, key.to_string()))]);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "pod-token\n").unwrap();
    let uri = format!("{}/v1/credentials", pod.url());
    let token = file.path().to_str().unwrap();
    let vars = [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", uri.as_str()),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", token),
        ("HTTPS_PROXY", "http://127.0.0.1:1"),
    ];
    assert_eq!(fetch(&vars), Ok("ASIA".to_owned()));
    assert_eq!(pod.seen()[0].header("authorization"), Some("pod-token"));
    for elsewhere in [
        "http://evil.example/",
        "http://10.0.0.1/",
        "http://169.254.1.1/",
    ] {
        let outcome = fetch(&[("AWS_CONTAINER_CREDENTIALS_FULL_URI", elsewhere)]);
        assert!(
            matches!(
                outcome,
                Err(ServiceError::Surroundings(
                    SurroundingsError::Unsupported { .. }
                ))
            ),
            "{elsewhere}: {outcome:?}"
        );
    }
    let folder = "GET /latest/meta-data/iam/security-credentials/";
    let instance = Replay::script(vec![
        ("PUT /latest/api/token", (200, "imds-token".to_owned())),
        (folder, (200, "ci role\n".to_owned())),
        (
            "GET /latest/meta-data/iam/security-credentials/ci%20role",
            (200, key.to_string()),
        ),
    ]);
    let url = instance.url();
    let vars = [("AWS_EC2_METADATA_SERVICE_ENDPOINT", url.as_str())];
    assert_eq!(fetch(&vars), Ok("ASIA".to_owned()));
    for request in &instance.seen()[1..] {
        let token = request.header("x-aws-ec2-metadata-token");
        assert_eq!(token, Some("imds-token"));
    }
}

/// The peer as `xtask/peers/moto_server.py` announces it.
#[allow(
    clippy::disallowed_methods,
    clippy::explicit_write,
    reason = "finds the peer, or says loudly that it is not there"
)]
fn moto() -> Option<Value> {
    let found = std::env::var("CUSTOS_PEER_MOTO").ok();
    if found.is_none() {
        let skip = "SKIP moto: CUSTOS_PEER_MOTO is not set, nothing was compared";
        writeln!(std::io::stderr(), "{skip}").unwrap();
    }
    found.map(|line| serde_json::from_str(&line).unwrap())
}

fn at_moto(moto: &Value, secret: &str) -> Surroundings {
    around(&[
        ("AWS_ACCESS_KEY_ID", moto["key"].as_str().unwrap()),
        ("AWS_SECRET_ACCESS_KEY", secret),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ENDPOINT_URL_KMS", moto["url"].as_str().unwrap()),
    ])
}

#[test]
fn keys_of_moto_which_checks_signatures_of_requests() {
    let Some(moto) = moto() else { return };
    let surroundings = at_moto(&moto, moto["secret"].as_str().unwrap());
    let kms = Kms::connect(&key("awskms:///alias/any"), &surroundings).unwrap();
    for (spec, kind) in [
        ("ECC_NIST_P256", KeyKind::P256),
        ("ECC_NIST_P384", KeyKind::P384),
        ("ECC_NIST_P521", KeyKind::P521),
        ("RSA_2048", KeyKind::Rsa(RsaSize::Bits2048)),
        ("RSA_4096", KeyKind::Rsa(RsaSize::Bits4096)),
    ] {
        let new = json!({"KeySpec": spec, "KeyUsage": "SIGN_VERIFY"});
        let made: Value = kms.call("CreateKey", &new).unwrap();
        let arn = made["KeyMetadata"]["Arn"].as_str().unwrap();
        let id = made["KeyMetadata"]["KeyId"].as_str().unwrap();
        let alias = format!("alias/custos-{id}");
        let request = json!({"AliasName": alias, "TargetKeyId": id});
        let answer: Value = kms.call("CreateAlias", &request).unwrap();
        assert!(answer.is_null());
        for name in [arn, id, &alias] {
            let signer = open(&key(&format!("awskms:///{name}")), &surroundings).unwrap();
            assert_eq!(signer.public_key().kind(), kind);
            let signature = signer.sign_remotely(MESSAGE).unwrap();
            let public = signer.public_key();
            public.verify(signer.scheme(), MESSAGE, &signature).unwrap();
        }
    }
    let unknown = key("awskms:///ffffffff-12ab-34cd-56ef-1234567890ab");
    let error = open(&unknown, &surroundings).unwrap_err();
    assert_eq!(error.standing(), Some(Standing::NotFound), "{error}");
    let error = open(&unknown, &at_moto(&moto, "another secret")).unwrap_err();
    assert_eq!(error.standing(), Some(Standing::Denied), "{error}");
}
