//! What can be told without a token. With one, the suite `hsm` of `cargo xtask test`
//! runs the command line.

use custos_core::crypto::{KeyPair, RsaSize};
use proptest::prelude::*;

use super::super::reference::KeyReference;
use super::super::replay::around;
use super::find::{ec_key, edwards_key, rsa_key};
use super::*;

fn uri(text: &str) -> Pkcs11Uri {
    match text.parse().unwrap() {
        KeyReference::Pkcs11(uri) => *uri,
        other => panic!("{other}"),
    }
}

fn refused(text: &str, vars: &[(&str, &str)]) -> TokenError {
    let asked = |_: &str| -> Option<Password> { panic!("asked for a PIN") };
    let error = TokenSigner::open(&uri(text), &around(vars), &asked).unwrap_err();
    assert_eq!(public_key(&uri(text), &around(vars)).unwrap_err(), error);
    error
}

#[test]
fn a_module_is_named_by_an_absolute_path_or_not_at_all() {
    assert_eq!(refused("pkcs11:object=k", &[]), TokenError::ModuleUnnamed);
    assert_eq!(
        refused("pkcs11:object=k?module-name=softhsm2", &[]),
        TokenError::ModuleName
    );
    let relative = TokenError::ModuleNotAbsolute {
        path: "evil.so".into(),
    };
    let named = "pkcs11:object=k?module-path=evil.so";
    assert_eq!(refused(named, &[]), relative);
    for variable in MODULE_VARIABLES {
        assert_eq!(
            refused("pkcs11:object=k", &[(variable, "evil.so")]),
            relative
        );
    }
    assert!(matches!(
        refused("pkcs11:object=k?module-path=/nowhere/module.so", &[]),
        TokenError::Module { .. }
    ));
}

#[test]
fn a_pin_in_the_uri_is_refused_before_anything_is_loaded() {
    let error = refused("pkcs11:object=k?module-path=/m.so&pin-value=876543", &[]);
    assert_eq!(error, TokenError::PinInUri);
    assert!(!format!("{error} {error:?}").contains("876543"));
}

// What tokens hold, made from keys in memory.
#[test]
fn keys_of_every_kind_are_read() {
    for (kind, params, header) in [
        (
            KeyKind::P256,
            &b"\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07"[..],
            &b"\x04\x41"[..],
        ),
        (KeyKind::P384, b"\x06\x05\x2b\x81\x04\x00\x22", b"\x04\x61"),
        (
            KeyKind::P521,
            b"\x06\x05\x2b\x81\x04\x00\x23",
            b"\x04\x81\x85",
        ),
    ] {
        let key = KeyPair::generate(kind).unwrap().public_key().clone();
        let spki = key.as_spki_der();
        let bare = &spki[spki.len() - usize::from(*header.last().unwrap())..];
        assert_eq!(ec_key(params, bare).as_ref(), Some(&key), "bare");
        let wrapped = [header, bare].concat();
        assert_eq!(ec_key(params, &wrapped).as_ref(), Some(&key), "wrapped");
        assert_eq!(ec_key(params, &wrapped[..wrapped.len() - 1]), None);
        assert_eq!(ec_key(b"\x06\x05\x2b\x81\x04\x00\x0a", &wrapped), None);
    }
    let key = KeyPair::generate(KeyKind::Ed25519).unwrap();
    let key = key.public_key();
    let bare = key.ed25519_bytes().unwrap();
    let wrapped = [&b"\x04\x20"[..], &bare].concat();
    for params in [&b"\x13\x0cedwards25519"[..], b"\x06\x03\x2b\x65\x70"] {
        assert_eq!(edwards_key(params, &bare).as_ref(), Some(key));
        assert_eq!(edwards_key(params, &wrapped).as_ref(), Some(key));
    }
    assert_eq!(edwards_key(b"\x06\x03\x2b\x65\x71", &wrapped), None);
}

#[test]
fn rsa_keys_have_the_usual_exponent() {
    let key = KeyPair::generate(KeyKind::Rsa(RsaSize::Bits2048)).unwrap();
    let key = key.public_key();
    // The modulus stands in front of the exponent, which is the last five bytes.
    let spki = key.as_spki_der();
    let modulus = &spki[spki.len() - 5 - 256..spki.len() - 5];
    assert_eq!(rsa_key(modulus, b"\x01\x00\x01").as_ref(), Some(key));
    assert_eq!(rsa_key(modulus, b"\x00\x01\x00\x01").as_ref(), Some(key));
    let padded = [&b"\0"[..], modulus].concat();
    assert_eq!(rsa_key(&padded, b"\x01\x00\x01").as_ref(), Some(key));
    assert_eq!(rsa_key(modulus, b"\x03"), None);
    assert_eq!(rsa_key(&modulus[1..], b"\x01\x00\x01"), None);
}

proptest! {
    #[test]
    fn attributes_of_a_broken_token_do_no_harm(
        params in prop::collection::vec(any::<u8>(), 0..24),
        point in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let _ = ec_key(&params, &point);
        let _ = edwards_key(&params, &point);
        let _ = rsa_key(&point, &params);
    }
}
