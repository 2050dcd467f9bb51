//! cosign's encrypted private key: scrypt, then `NaCl` secretbox, as JSON in a PEM block.
//!
//! Spec: sigstore/cosign `pkg/cosign/keys.go` and go-securesystemslib `encrypted`. Only the two
//! work factors that cosign ever wrote are accepted: a hostile file could name one that takes all
//! memory.

use aws_lc_rs::rand;
use crypto_secretbox::aead::Aead as _;
use crypto_secretbox::{KeyInit as _, XSalsa20Poly1305};
use custos_core::crypto::{KeyError, KeyPair, Pem};
use custos_core::dsse::Base64;
use custos_core::json::{self, JsonError};
use custos_core::limits::Limits;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// PEM type that is written.
const LABEL: &str = "ENCRYPTED SIGSTORE PRIVATE KEY";
/// PEM type of older cosign versions.
const OLD_LABEL: &str = "ENCRYPTED COSIGN PRIVATE KEY";
/// Work factor that is written: 64 MiB of memory.
const WORK_FACTOR: u32 = 65_536;
/// Largest JSON body, in bytes.
const MAX_BODY: usize = 8 * 1024;
/// Largest ciphertext: a PKCS#8 key is at most 4 KiB, the tag 16 bytes.
const MAX_CIPHERTEXT: usize = 4096 + 16;

/// Returns true if the block is an encrypted key in this form.
pub fn is_encrypted(pem: &Pem) -> bool {
    [LABEL, OLD_LABEL].contains(&pem.label())
}

/// Encrypts a key with a password, under a fresh salt and nonce.
pub fn encrypt(pair: &KeyPair, password: &[u8]) -> Result<Pem, EncryptionError> {
    if password.is_empty() {
        return Err(EncryptionError::EmptyPassword);
    }
    let (mut salt, mut nonce) = ([0_u8; 32], [0_u8; 24]);
    rand::fill(&mut salt).map_err(|_| EncryptionError::Key(KeyError::NoRandomness))?;
    rand::fill(&mut nonce).map_err(|_| EncryptionError::Key(KeyError::NoRandomness))?;
    let der = pair.to_pkcs8_der().map_err(EncryptionError::Key)?;
    let key = derive(password, &salt, WORK_FACTOR)?;
    let ciphertext = XSalsa20Poly1305::new(key.as_ref().into())
        .encrypt(&nonce.into(), der.as_slice())
        .map_err(|_| EncryptionError::CipherFailed)?;
    let body = Body {
        kdf: Kdf {
            name: "scrypt".to_owned(),
            params: Params {
                n: WORK_FACTOR,
                r: 8,
                p: 1,
            },
            salt: Base64(salt.to_vec()),
        },
        cipher: Cipher {
            name: "nacl/secretbox".to_owned(),
            nonce: Base64(nonce.to_vec()),
        },
        ciphertext: Base64(ciphertext),
    };
    Ok(Pem::new(
        LABEL,
        json::to_vec(&body).map_err(EncryptionError::Json)?,
    ))
}

/// Decrypts a key.
pub fn decrypt(pem: &Pem, password: &[u8]) -> Result<KeyPair, EncryptionError> {
    let limits = Limits::SMALL.with_max_bytes(MAX_BODY);
    let body: Body = json::from_slice(pem.bytes(), &limits).map_err(EncryptionError::Json)?;
    if body.kdf.name != "scrypt" || body.cipher.name != "nacl/secretbox" {
        return Err(EncryptionError::UnknownAlgorithm {
            kdf: body.kdf.name,
            cipher: body.cipher.name,
        });
    }
    let Params { n, r, p } = body.kdf.params;
    if ![32_768, WORK_FACTOR].contains(&n) || r != 8 || p != 1 {
        return Err(EncryptionError::WorkFactor { n, r, p });
    }
    let salt: [u8; 32] = body
        .kdf
        .salt
        .0
        .try_into()
        .map_err(|_| EncryptionError::Length { field: "salt" })?;
    let nonce: [u8; 24] = body
        .cipher
        .nonce
        .0
        .try_into()
        .map_err(|_| EncryptionError::Length { field: "nonce" })?;
    if body.ciphertext.0.len() > MAX_CIPHERTEXT {
        return Err(EncryptionError::Length {
            field: "ciphertext",
        });
    }
    let key = derive(password, &salt, n)?;
    let der = XSalsa20Poly1305::new(key.as_ref().into())
        .decrypt(&nonce.into(), body.ciphertext.0.as_slice())
        .map_err(|_| EncryptionError::WrongPassword)?;
    KeyPair::from_pkcs8_der(&Zeroizing::new(der)).map_err(EncryptionError::Key)
}

fn derive(
    password: &[u8],
    salt: &[u8; 32],
    n: u32,
) -> Result<Zeroizing<[u8; 32]>, EncryptionError> {
    let log_n = if n == WORK_FACTOR { 16 } else { 15 };
    let params = scrypt::Params::new(log_n, 8, 1).map_err(|_| EncryptionError::WorkFactor {
        n,
        r: 8,
        p: 1,
    })?;
    let mut key = Zeroizing::new([0_u8; 32]);
    scrypt::scrypt(password, salt, &params, key.as_mut())
        .map_err(|_| EncryptionError::CipherFailed)?;
    Ok(key)
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    kdf: Kdf,
    cipher: Cipher,
    ciphertext: Base64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kdf {
    name: String,
    params: Params,
    salt: Base64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Params {
    #[serde(rename = "N")]
    n: u32,
    r: u32,
    p: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cipher {
    name: String,
    nonce: Base64,
}

/// Why an encrypted key was not written or not opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncryptionError {
    /// The cipher refused; never seen with sizes within the limits.
    #[error("the cipher failed")]
    CipherFailed,
    /// An empty password protects nothing.
    #[error("an empty password protects nothing")]
    EmptyPassword,
    /// The body is not the documented JSON.
    #[error("the encrypted key is not accepted: {0}")]
    Json(JsonError),
    /// What was inside is not a supported key.
    #[error("{0}")]
    Key(KeyError),
    /// Salt, nonce or ciphertext has the wrong length.
    #[error("the {field} has the wrong length")]
    Length {
        /// Which one.
        field: &'static str,
    },
    /// Not scrypt with `nacl/secretbox`.
    #[error("`{kdf}` with `{cipher}` is not supported; cosign writes scrypt with nacl/secretbox")]
    UnknownAlgorithm {
        /// Key derivation found.
        kdf: String,
        /// Cipher found.
        cipher: String,
    },
    /// Another work factor than cosign writes.
    #[error("scrypt N={n} r={r} p={p} is not accepted; cosign writes N=32768 or 65536, r=8, p=1")]
    WorkFactor {
        /// Found.
        n: u32,
        /// Found.
        r: u32,
        /// Found.
        p: u32,
    },
    /// The password is wrong, or the ciphertext was changed: the two look the same.
    #[error("the password does not open this key")]
    WrongPassword,
}

#[cfg(test)]
mod tests {
    use super::*;
    use custos_core::crypto::PublicKey;

    macro_rules! vector {
        ($name:literal) => {
            (
                include_str!(concat!("../../../../testdata/keys/", $name, ".key")),
                include_str!(concat!("../../../../testdata/keys/", $name, ".plain.pem")),
                include_str!(concat!("../../../../testdata/keys/", $name, ".pub")),
            )
        };
    }

    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Expected {
        password: String,
        key_id: String,
    }

    #[test]
    fn keys_of_an_independent_implementation_open() {
        let index: std::collections::BTreeMap<String, Expected> =
            serde_json::from_str(include_str!("../../../../testdata/keys/index.json")).unwrap();
        for (name, (encrypted, plain, public)) in [
            ("p256", vector!("p256")),
            ("p384", vector!("p384")),
            ("p521", vector!("p521")),
            ("ed25519", vector!("ed25519")),
        ] {
            let expected = &index[name];
            let pem = Pem::parse(encrypted).unwrap();
            assert!(is_encrypted(&pem));
            let pair = decrypt(&pem, expected.password.as_bytes()).unwrap();
            assert_eq!(pair.public_key().id().to_string(), expected.key_id);
            assert_eq!(pair.public_key(), &PublicKey::from_pem(public).unwrap());
            assert_eq!(pair.public_key().to_pem(), public);
            assert_eq!(
                KeyPair::from_pem(plain).unwrap().public_key(),
                pair.public_key()
            );
            assert_eq!(
                decrypt(&pem, b"other").unwrap_err(),
                EncryptionError::WrongPassword
            );
        }
        for sec1 in [
            include_str!("../../../../testdata/keys/p256.sec1.pem"),
            include_str!("../../../../testdata/keys/p384.sec1.pem"),
            include_str!("../../../../testdata/keys/p521.sec1.pem"),
        ] {
            KeyPair::from_pem(sec1).unwrap();
        }
    }

    fn body() -> serde_json::Value {
        let pem = Pem::parse(vector!("p384").0).unwrap();
        serde_json::from_slice(pem.bytes()).unwrap()
    }

    fn open(body: &serde_json::Value) -> EncryptionError {
        let pem = Pem::new(LABEL, serde_json::to_vec(body).unwrap());
        decrypt(&pem, b"correct horse").unwrap_err()
    }

    #[test]
    fn hostile_work_factors_are_refused_before_any_memory_is_taken() {
        for (field, value) in [
            ("N", 1_u64 << 30),
            ("N", 16_384),
            ("N", 131_072),
            ("r", 9),
            ("p", 2),
            ("p", 0),
        ] {
            let mut body = body();
            body["kdf"]["params"][field] = value.into();
            assert!(
                matches!(open(&body), EncryptionError::WorkFactor { .. }),
                "{field} {value}"
            );
        }
        let mut body = body();
        body["kdf"]["params"]["N"] = (1_u64 << 40).into();
        assert!(matches!(open(&body), EncryptionError::Json(_)));
    }

    #[test]
    fn the_shape_is_strict() {
        let mut extra = body();
        extra["kdf"]["more"] = 1.into();
        assert!(matches!(open(&extra), EncryptionError::Json(_)));
        let mut short = body();
        short["cipher"]["nonce"] = "AAAA".into();
        assert_eq!(open(&short), EncryptionError::Length { field: "nonce" });
        let mut short = body();
        short["kdf"]["salt"] = "AAAA".into();
        assert_eq!(open(&short), EncryptionError::Length { field: "salt" });
        let mut long = body();
        long["ciphertext"] = "A".repeat(6000).into();
        assert_eq!(
            open(&long),
            EncryptionError::Length {
                field: "ciphertext"
            }
        );
        let mut other = body();
        other["cipher"]["name"] = "aes".into();
        assert!(matches!(
            open(&other),
            EncryptionError::UnknownAlgorithm { .. }
        ));
        let twice =
            serde_json::to_string(&body())
                .unwrap()
                .replacen('{', r#"{"ciphertext":"","#, 1);
        assert!(matches!(
            decrypt(&Pem::new(LABEL, twice.into_bytes()), b"x").unwrap_err(),
            EncryptionError::Json(JsonError::DuplicateKey { .. })
        ));
    }

    #[test]
    fn what_is_written_opens_again_and_never_twice_the_same() {
        let pair = KeyPair::from_pem(vector!("p521").1).unwrap();
        let (one, two) = (
            encrypt(&pair, b"pw").unwrap(),
            encrypt(&pair, b"pw").unwrap(),
        );
        assert_eq!(one.label(), "ENCRYPTED SIGSTORE PRIVATE KEY");
        assert_ne!(one.bytes(), two.bytes());
        assert_eq!(
            decrypt(&one, b"pw").unwrap().public_key(),
            pair.public_key()
        );
        assert_eq!(
            encrypt(&pair, b"").unwrap_err(),
            EncryptionError::EmptyPassword
        );
    }
}
