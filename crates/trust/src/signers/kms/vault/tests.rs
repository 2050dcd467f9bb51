//! Against exchanges written after `HashiCorp`'s documentation of the transit engine.

use custos_core::crypto::{KeyKind, KeyPair, RsaSize};
use serde_json::{Value, json};

use super::super::super::reference::KeyReference;
use super::super::super::remote::Standing;
use super::super::super::replay::{Replay, Seen, around, sha256};
use super::*;
use crate::signer::Signer as _;

const MESSAGE: &[u8] = b"message";

fn key() -> VaultKey {
    match "hashivault://release".parse().unwrap() {
        KeyReference::HashiVault(key) => key,
        other => panic!("{other}"),
    }
}

fn vars(server: &Replay) -> Surroundings {
    around(&[
        ("VAULT_ADDR", &server.url()),
        ("VAULT_TOKEN", "hvs.t0ken"),
        ("VAULT_NAMESPACE", "team-a"),
        ("TRANSIT_SECRET_ENGINE_PATH", "keys/transit"),
    ])
}

fn vault(pair: KeyPair, change: impl Fn(&str, &mut Value) + Send + 'static) -> Replay {
    Replay::start(move |seen: &Seen| {
        assert_eq!(seen.header("x-vault-token"), Some("hvs.t0ken"));
        assert_eq!(seen.header("x-vault-namespace"), Some("team-a"));
        let line = seen.line().to_owned();
        let mut answer = match line.as_str() {
            "GET /v1/keys/transit/keys/release" => json!({"data": {
                "type": "ecdsa-p256", "latest_version": 2, "name": "release",
                "keys": {
                    "1": {"name": "P-256", "public_key": "old"},
                    "2": {"name": "P-256", "public_key": pair.public_key().to_pem()},
                },
            }}),
            "POST /v1/keys/transit/sign/release" => {
                let mut expected = json!({
                    "input": STANDARD.encode(sha256(MESSAGE)), "prehashed": true,
                    "hash_algorithm": "sha2-256", "marshaling_algorithm": "asn1",
                    "key_version": 2,
                });
                let scheme = pair.public_key().kind().statement_scheme();
                if scheme.key_kind().is_rsa() {
                    expected["signature_algorithm"] = "pkcs1v15".into();
                }
                assert_eq!(seen.json(), expected);
                let signature = pair.sign(scheme, MESSAGE).unwrap();
                json!({"data": {"signature": format!("vault:v2:{}", STANDARD.encode(signature))}})
            }
            other => panic!("{other}"),
        };
        change(&line, &mut answer);
        (200, answer.to_string())
    })
}

#[test]
fn the_latest_version_signs() {
    for kind in [KeyKind::P256, KeyKind::Rsa(RsaSize::Bits2048)] {
        let pair = KeyPair::generate(kind).unwrap();
        let public = pair.public_key().clone();
        let server = vault(pair, |_, _| {});
        let signer = open(&key(), &vars(&server)).unwrap();
        assert!(
            signer
                .key_name()
                .starts_with("release version 2 at http://127.0.0.1:")
        );
        let signature = signer.sign(MESSAGE).unwrap();
        public.verify(signer.scheme(), MESSAGE, &signature).unwrap();
    }
}

#[test]
fn an_answer_that_is_not_right_is_not_used() {
    type Spoil = fn(&str, &mut Value);
    type Expected = fn(&ServiceError) -> bool;
    let spoils: [(Spoil, Expected); 5] = [
        (
            |_, answer| answer["data"]["signature"] = "vault:v1:AAAA".into(),
            |error| matches!(error, ServiceError::WrongKey { .. }),
        ),
        (
            |_, answer| answer["data"]["signature"] = "vault:v2:AAAA".into(),
            |error| matches!(error, ServiceError::SignatureInvalid { .. }),
        ),
        (
            |_, answer| answer["data"]["signature"] = "vault:v2:?".into(),
            |error| matches!(error, ServiceError::Answer { .. }),
        ),
        (
            |_, answer| {
                answer["data"]["type"] = "aes256-gcm96".into();
                answer["data"]["keys"] = json!({"2": 1_700_000_000});
            },
            |error| matches!(error, ServiceError::UnsupportedKey { .. }),
        ),
        (
            |_, answer| answer["data"]["latest_version"] = 3.into(),
            |error| matches!(error, ServiceError::UnsupportedKey { .. }),
        ),
    ];
    for (number, (spoil, expected)) in spoils.into_iter().enumerate() {
        let server = vault(KeyPair::generate(KeyKind::P256).unwrap(), spoil);
        let outcome = open(&key(), &vars(&server)).and_then(|signer| signer.sign_remotely(MESSAGE));
        let error = outcome.unwrap_err();
        assert!(expected(&error), "{number}: {error:?}");
    }
}

#[test]
fn errors_by_their_class() {
    for (status, standing) in [
        (403, Standing::Denied),
        (404, Standing::NotFound),
        (429, Standing::Throttled),
        (503, Standing::Unavailable),
    ] {
        let server =
            Replay::start(move |_| (status, json!({"errors": ["not hvs.t0ken"]}).to_string()));
        let error = open(&key(), &vars(&server)).unwrap_err();
        assert_eq!(error.standing(), Some(standing));
        assert!(!format!("{error} {error:?}").contains("hvs."), "{error}");
    }
}

#[test]
fn where_the_token_comes_from() {
    let home = tempfile::tempdir().unwrap();
    let at_home = [("HOME", home.path().to_str().unwrap())];
    assert!(matches!(
        token(&around(&at_home)),
        Err(ServiceError::Surroundings(
            SurroundingsError::Missing { .. }
        ))
    ));
    std::fs::write(home.path().join(".vault-token"), "hvs.file\n").unwrap();
    assert_eq!(token(&around(&at_home)).unwrap().expose(), "hvs.file");
    assert!(matches!(
        open(&key(), &around(&at_home)),
        Err(ServiceError::Surroundings(SurroundingsError::Missing {
            what: "VAULT_ADDR",
            ..
        }))
    ));
}
