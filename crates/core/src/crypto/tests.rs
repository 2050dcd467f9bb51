//! Tests of keys and signatures.

use std::sync::OnceLock;

use super::*;

/// A key of this kind; one and the same for RSA, which takes its time to make.
pub(super) fn pair(kind: KeyKind) -> KeyPair {
    static RSA: OnceLock<Vec<(KeyKind, Zeroizing<Vec<u8>>)>> = OnceLock::new();
    if !kind.is_rsa() {
        return KeyPair::generate(kind).unwrap();
    }
    let made = RSA.get_or_init(|| {
        let rsa = KeyKind::ALL.into_iter().filter(|kind| kind.is_rsa());
        rsa.map(|kind| {
            let pair = KeyPair::generate(kind).unwrap();
            (kind, pair.to_pkcs8_der().unwrap())
        })
        .collect()
    });
    let (_, der) = made.iter().find(|(made, _)| *made == kind).unwrap();
    KeyPair::from_pkcs8_der(der).unwrap()
}

#[test]
fn every_scheme_signs_verifies_and_rejects() {
    for scheme in Scheme::ALL {
        let pair = pair(scheme.key_kind());
        let signature = pair.sign(scheme, b"message").unwrap();
        let key = pair.public_key();
        key.verify(scheme, b"message", &signature).unwrap();
        assert_eq!(
            key.verify(scheme, b"messagf", &signature),
            Err(SignatureError::Invalid)
        );
        let mut flipped = signature.clone();
        *flipped.last_mut().unwrap() ^= 1;
        assert_eq!(
            key.verify(scheme, b"message", &flipped),
            Err(SignatureError::Invalid)
        );
        // One foreign RSA key is enough: those of `pair` are shared.
        if matches!(scheme.key_kind(), KeyKind::Rsa(size) if size != RsaSize::Bits2048) {
            continue;
        }
        let other = KeyPair::generate(scheme.key_kind()).unwrap();
        assert!(
            other
                .public_key()
                .verify(scheme, b"message", &signature)
                .is_err()
        );
    }
}

#[test]
fn ed25519_and_ed25519ph_do_not_stand_in_for_each_other() {
    let pair = KeyPair::generate(KeyKind::Ed25519).unwrap();
    let pure = pair.sign(Scheme::Ed25519, b"m").unwrap();
    assert!(
        pair.public_key()
            .verify(Scheme::Ed25519ph, b"m", &pure)
            .is_err()
    );
    let ph = pair.sign(Scheme::Ed25519ph, b"m").unwrap();
    assert!(
        pair.public_key()
            .verify(Scheme::Ed25519, b"m", &ph)
            .is_err()
    );
}

#[test]
fn keys_survive_their_encodings() {
    for kind in KeyKind::ALL {
        let pair = pair(kind);
        let again = KeyPair::from_pkcs8_der(&pair.to_pkcs8_der().unwrap()).unwrap();
        assert_eq!(again.public_key(), pair.public_key());
        let public = PublicKey::from_pem(&pair.public_key().to_pem()).unwrap();
        assert_eq!(public.id(), pair.public_key().id());
        assert_eq!(public.kind(), kind);
    }
}

#[test]
fn a_point_off_the_curve_is_no_key() {
    let pair = KeyPair::generate(KeyKind::P256).unwrap();
    let mut der = pair.public_key().as_spki_der().to_vec();
    *der.last_mut().unwrap() ^= 1;
    assert_eq!(
        PublicKey::from_spki_der(&der),
        Err(KeyError::UnsupportedPublicKey)
    );
    der.push(0);
    assert_eq!(
        PublicKey::from_spki_der(&der),
        Err(KeyError::UnsupportedPublicKey)
    );
}

#[test]
fn debug_shows_no_secret() {
    let pair = KeyPair::generate(KeyKind::Ed25519).unwrap();
    let secret = hex::encode(pair.to_pkcs8_der().unwrap().as_slice());
    assert!(!format!("{pair:?}").contains(secret.get(32..).unwrap()));
}

#[test]
fn the_two_paddings_of_rsa_do_not_stand_in_for_each_other() {
    let size = RsaSize::Bits2048;
    let pair = pair(KeyKind::Rsa(size));
    let (v15, pss) = (Scheme::RsaPkcs1Sha256(size), Scheme::RsaPssSha256(size));
    let signature = pair.sign(v15, b"m").unwrap();
    assert_eq!(
        pair.public_key().verify(pss, b"m", &signature),
        Err(SignatureError::Invalid)
    );
    let signature = pair.sign(pss, b"m").unwrap();
    assert_eq!(
        pair.public_key().verify(v15, b"m", &signature),
        Err(SignatureError::Invalid)
    );
    assert_eq!(
        pair.sign(Scheme::RsaPkcs1Sha256(RsaSize::Bits3072), b"m"),
        Err(SignatureError::SchemeDoesNotFitKey)
    );
}

#[test]
fn rsa_keys_of_other_sizes_and_exponents_are_refused_by_name() {
    // OpenSSL's `genrsa 1024`, `genrsa 2048 -3` and `genrsa 2056`, public parts.
    let spki = |modulus: &[u8], exponent: &[u8]| {
        let integer = |bytes: &[u8]| {
            let sign: &[u8] = if bytes[0] & 0x80 == 0 { b"" } else { b"\0" };
            tlv(2, &[sign, bytes].concat())
        };
        let key = tlv(0x30, &[integer(modulus), integer(exponent)].concat());
        let algorithm = tlv(0x30, &[RSA_OID, b"\x05\x00"].concat());
        tlv(
            0x30,
            &[algorithm, tlv(3, &[b"\0".as_slice(), &key].concat())].concat(),
        )
    };
    let modulus = |bytes: usize| {
        let mut modulus = vec![0xc5; bytes];
        modulus[bytes - 1] = 0xc7;
        modulus
    };
    assert_eq!(
        PublicKey::from_spki_der(&spki(&modulus(256), &[1, 0, 1])).map(|key| key.kind()),
        Ok(KeyKind::Rsa(RsaSize::Bits2048))
    );
    let mut even = modulus(256);
    even[255] = 0xc6;
    for (modulus, exponent) in [
        (modulus(128), [1, 0, 1].as_slice()),
        (modulus(257), &[1, 0, 1]),
        (modulus(1024), &[1, 0, 1]),
        (modulus(256), &[3]),
        (even, &[1, 0, 1]),
    ] {
        assert_eq!(
            PublicKey::from_spki_der(&spki(&modulus, exponent)),
            Err(KeyError::UnsupportedRsaKey)
        );
    }
}

fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let len = content.len();
    let head = match len {
        0..=127 => vec![tag, u8::try_from(len).unwrap()],
        128..=255 => vec![tag, 0x81, u8::try_from(len).unwrap()],
        _ => {
            let [high, low] = u16::try_from(len).unwrap().to_be_bytes();
            vec![tag, 0x82, high, low]
        }
    };
    [head, content.to_vec()].concat()
}

#[test]
fn sigstores_names_of_schemes_are_read_and_written() {
    for scheme in Scheme::ALL {
        assert_eq!(Scheme::from_key_details(scheme.key_details()), Some(scheme));
    }
    for kind in KeyKind::ALL {
        assert_eq!(kind.name().parse(), Ok(kind));
        assert_eq!(kind.statement_scheme().key_kind(), kind);
    }
    assert_eq!(
        Scheme::from_key_details("PKIX_RSA_PKCS1V15_1024_SHA256"),
        None
    );
}
