//! Against exchanges written after Microsoft's documentation of Key Vault and of Entra.

use custos_core::crypto::{KeyKind, KeyPair, RsaSize};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::super::reference::KeyReference;
use super::super::super::remote::Standing;
use super::super::super::replay::{Replay, Seen, around, sha256};
use super::*;
use crate::signer::Signer as _;

const VERSION: &str = "0123456789abcdef0123456789abcdef";
const MESSAGE: &[u8] = b"message";

fn key(text: &str) -> AzureKey {
    match text.parse().unwrap() {
        KeyReference::AzureKms(key) => key,
        other => panic!("{other}"),
    }
}

fn places(server: &Replay) -> Places {
    let url = || server.url().parse().unwrap();
    Places {
        vault: url(),
        login: url(),
        metadata: url(),
        resource: "https://vault.azure.net",
    }
}

/// `r` and `s` of a DER signature, one after the other.
fn raw(der: &[u8], half: usize) -> Vec<u8> {
    let mut at = if der[1] & 0x80 == 0 { 2 } else { 3 };
    let mut out = Vec::new();
    for _ in 0..2 {
        let length = usize::from(der[at + 1]);
        let digits = &der[at + 2..at + 2 + length];
        let digits = &digits[digits.len().saturating_sub(half)..];
        out.extend(vec![0; half - digits.len()]);
        out.extend(digits);
        at += 2 + length;
    }
    out
}

fn vault(pair: KeyPair, change: impl Fn(&str, &mut Value) + Send + 'static) -> Replay {
    let mut port = 0;
    Replay::start(move |seen: &Seen| {
        if port == 0 {
            port = seen
                .header("host")
                .unwrap()
                .rsplit(':')
                .next()
                .unwrap()
                .parse::<u16>()
                .unwrap();
        }
        let line = seen.line().to_owned();
        if line == "POST /tenant/oauth2/v2.0/token" {
            assert!(
                seen.body
                    .contains("scope=https%3A%2F%2Fvault.azure.net%2F.default")
            );
            assert!(seen.body.contains("client_secret=pa55word"));
            let answer =
                json!({"token_type": "Bearer", "expires_in": 3599, "access_token": "eyJ.az"});
            return (200, answer.to_string());
        }
        assert_eq!(seen.header("authorization"), Some("Bearer eyJ.az"));
        let kid = format!("http://127.0.0.1:{port}/keys/signing/{VERSION}");
        let mut answer = if line.starts_with("GET /keys/signing") {
            let spki = pair.public_key().as_spki_der();
            if pair.public_key().kind().is_rsa() {
                // The modulus stands in front of the exponent, which is the last five bytes.
                let end = spki.len() - 5;
                let answer = json!({"key": {
                    "kid": kid, "kty": "RSA-HSM", "key_ops": ["sign", "verify"],
                    "n": base64_url(&spki[end - 256..end]), "e": "AQAB",
                }, "attributes": {"enabled": true}});
                return (200, answer.to_string());
            }
            let (x, y) = spki[spki.len() - 64..].split_at(32);
            json!({"key": {
                "kid": kid, "kty": "EC-HSM", "crv": "P-256", "key_ops": ["sign", "verify"],
                "x": base64_url(x), "y": base64_url(y),
            }, "attributes": {"enabled": true}})
        } else {
            assert_eq!(
                line,
                format!("POST /keys/signing/{VERSION}/sign?api-version=7.4")
            );
            let scheme = pair.public_key().kind().statement_scheme();
            let signature = pair.sign(scheme, MESSAGE).unwrap();
            let (alg, signature) = match scheme {
                Scheme::EcdsaP256 => ("ES256", raw(&signature, 32)),
                _ => ("RS256", signature),
            };
            assert_eq!(
                seen.json(),
                json!({"alg": alg, "value": base64_url(&sha256(MESSAGE))})
            );
            json!({"kid": kid, "value": base64_url(&signature)})
        };
        change(&line, &mut answer);
        (200, answer.to_string())
    })
}

fn with_secret() -> Surroundings {
    around(&[
        ("AZURE_TENANT_ID", "tenant"),
        ("AZURE_CLIENT_ID", "client"),
        ("AZURE_CLIENT_SECRET", "pa55word"),
    ])
}

#[test]
fn rsa_keys_sign_by_pkcs1() {
    let pair = KeyPair::generate(KeyKind::Rsa(RsaSize::Bits2048)).unwrap();
    let public = pair.public_key().clone();
    let server = vault(pair, |_, _| {});
    let key = key("azurekms://acme/signing");
    let signer = open_at(&key, places(&server), &with_secret()).unwrap();
    assert_eq!(signer.public_key(), &public);
    let signature = signer.sign(MESSAGE).unwrap();
    public.verify(signer.scheme(), MESSAGE, &signature).unwrap();
}

#[test]
fn the_current_version_signs() {
    for reference in [
        "azurekms://acme/signing".to_owned(),
        format!("azurekms://acme/signing/{VERSION}"),
    ] {
        let pair = KeyPair::generate(KeyKind::P256).unwrap();
        let public = pair.public_key().clone();
        let server = vault(pair, |_, _| {});
        let signer = open_at(&key(&reference), places(&server), &with_secret()).unwrap();
        assert!(signer.key_name().ends_with(VERSION));
        let signature = signer.sign(MESSAGE).unwrap();
        public.verify(signer.scheme(), MESSAGE, &signature).unwrap();
        assert_eq!(server.seen().len(), 3, "the token is kept");
    }
}

#[test]
fn an_answer_that_is_not_right_is_not_used() {
    type Spoil = fn(&str, &mut Value);
    type Expected = fn(&ServiceError) -> bool;
    let spoils: [(Spoil, Expected); 6] = [
        (
            |_, answer| answer["key"]["kid"] = "http://127.0.0.1:1/keys/signing/1".into(),
            |error| matches!(error, ServiceError::WrongKey { .. }),
        ),
        (
            |_, answer| {
                let kid = answer["key"]["kid"].as_str().unwrap_or_default();
                answer["key"]["kid"] = kid.replace("signing", "signing2").into();
            },
            |error| matches!(error, ServiceError::WrongKey { .. }),
        ),
        (
            |line, answer| {
                if line.contains("/sign?") {
                    answer["kid"] = "other".into();
                }
            },
            |error| matches!(error, ServiceError::WrongKey { .. }),
        ),
        (
            |line, answer| {
                if line.contains("/sign?") {
                    answer["value"] = base64_url(&[1; 64]).into();
                }
            },
            |error| matches!(error, ServiceError::SignatureInvalid { .. }),
        ),
        (
            |line, answer| {
                if line.contains("/sign?") {
                    answer["value"] = base64_url(&[1; 63]).into();
                }
            },
            |error| matches!(error, ServiceError::Answer { .. }),
        ),
        (
            |_, answer| answer["key"]["crv"] = "P-256K".into(),
            |error| matches!(error, ServiceError::UnsupportedKey { .. }),
        ),
    ];
    for (number, (spoil, expected)) in spoils.into_iter().enumerate() {
        let server = vault(KeyPair::generate(KeyKind::P256).unwrap(), spoil);
        let outcome = open_at(
            &key("azurekms://acme/signing"),
            places(&server),
            &with_secret(),
        )
        .and_then(|signer| signer.sign_remotely(MESSAGE));
        let error = outcome.unwrap_err();
        assert!(expected(&error), "{number}: {error:?}");
    }
}

#[test]
fn a_token_goes_to_vaults_of_azure_only() {
    for host in [
        "evil.example",
        "vault.azure.net.evil.example",
        "vaultzazure.net",
    ] {
        let outcome = open(&key(&format!("azurekms://{host}/signing")), &with_secret());
        assert!(
            matches!(
                outcome,
                Err(ServiceError::Surroundings(
                    SurroundingsError::Unsupported { .. }
                ))
            ),
            "{host}"
        );
    }
}

#[test]
fn a_refused_client_is_denied_and_its_secret_is_not_shown() {
    let server = Replay::start(|_| {
        let answer = json!({"error": "invalid_client", "error_description": "pa55word is wrong"});
        (401, answer.to_string())
    });
    let error = open_at(
        &key("azurekms://acme/signing"),
        places(&server),
        &with_secret(),
    )
    .unwrap_err();
    assert_eq!(error.standing(), Some(Standing::Denied));
    assert!(!format!("{error} {error:?}").contains("pa55"), "{error}");
}

#[test]
fn workload_and_managed_identities() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "eyJ.federated\n").unwrap();
    let federated = around(&[
        ("AZURE_TENANT_ID", "tenant"),
        ("AZURE_CLIENT_ID", "client"),
        ("AZURE_FEDERATED_TOKEN_FILE", file.path().to_str().unwrap()),
    ]);
    for (surroundings, line, part) in [
        (
            federated,
            "POST /tenant/oauth2/v2.0/token",
            "client_assertion=eyJ.federated",
        ),
        (
            around(&[]),
            "GET /metadata/identity/oauth2/token?api-version=2018-02-01&resource=https%3A%2F%2Fvault.azure.net",
            "",
        ),
    ] {
        let server = Replay::script(vec![
            (
                line,
                (
                    200,
                    json!({"access_token": "eyJ.az", "expires_in": "3599"}).to_string(),
                ),
            ),
            (
                "GET /keys/signing?api-version=7.4",
                (404, json!({"error": {"code": "KeyNotFound"}}).to_string()),
            ),
        ]);
        let error = open_at(
            &key("azurekms://acme/signing"),
            places(&server),
            &surroundings,
        )
        .unwrap_err();
        assert_eq!(error.standing(), Some(Standing::NotFound), "{error}");
        assert!(server.seen()[0].body.contains(part));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn raw_signatures_become_der(message in prop::collection::vec(any::<u8>(), 0..40)) {
        for (kind, half) in [(KeyKind::P256, 32), (KeyKind::P384, 48), (KeyKind::P521, 66)] {
            let pair = KeyPair::generate(kind).unwrap();
            let der = pair.sign(kind.statement_scheme(), &message).unwrap();
            prop_assert_eq!(ecdsa_der(&raw(&der, half)).unwrap(), der);
        }
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..140)) {
        let _ = ecdsa_der(&bytes);
    }
}

#[test]
fn a_signature_of_zeros_is_none() {
    assert_eq!(ecdsa_der(&[0; 64]), None);
}
