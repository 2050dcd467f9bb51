//! Objects of a token: the private key, its public half, and what names them.

use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;
use custos_core::crypto::{KeyKind, PublicKey};

use super::TokenError;
use crate::signers::reference::Pkcs11Uri;
use crate::verify::Certificate;

/// Most objects that are looked at.
const MAX_OBJECTS: usize = 64;

/// A private key of a token.
pub(super) struct PrivateKey {
    pub(super) handle: ObjectHandle,
    label: Vec<u8>,
    id: Vec<u8>,
    kind: Option<KeyType>,
}

/// Finds the one private key that the URI names.
pub(super) fn private_key(session: &Session, uri: &Pkcs11Uri) -> Result<PrivateKey, TokenError> {
    if let Some(class) = &uri.class
        && !matches!(class.as_str(), "private" | "public")
    {
        return Err(TokenError::Class {
            class: class.clone(),
        });
    }
    let template = named(uri, ObjectClass::PRIVATE_KEY);
    let handle = one(&objects(session, &template)?, "private key")?;
    let mut key = PrivateKey {
        handle,
        label: Vec::new(),
        id: Vec::new(),
        kind: None,
    };
    let wanted = [
        AttributeType::Label,
        AttributeType::Id,
        AttributeType::KeyType,
    ];
    for attribute in attributes(session, handle, &wanted)? {
        match attribute {
            Attribute::Label(label) => key.label = label,
            Attribute::Id(id) => key.id = id,
            Attribute::KeyType(kind) => key.kind = Some(kind),
            _ => {}
        }
    }
    Ok(key)
}

/// Returns the public key that belongs to a private one: of the same `CKA_ID`, or the same label
/// where there is no id. A wrong one does no harm: no signature verifies with it.
pub(super) fn public_half(session: &Session, key: &PrivateKey) -> Result<PublicKey, TokenError> {
    let name = if key.id.is_empty() {
        Attribute::Label(key.label.clone())
    } else {
        Attribute::Id(key.id.clone())
    };
    let mut template = vec![Attribute::Class(ObjectClass::PUBLIC_KEY), name.clone()];
    template.extend(key.kind.map(Attribute::KeyType));
    if let Some(handle) = objects(session, &template)?.first() {
        return read_key(session, *handle);
    }
    let template = [Attribute::Class(ObjectClass::CERTIFICATE), name];
    match objects(session, &template)?.first() {
        Some(handle) => read_certificate(session, *handle),
        None => Err(TokenError::NoPublicKey),
    }
}

/// Finds the one public key, or else the one certificate, that the URI names.
pub(super) fn public_key(session: &Session, uri: &Pkcs11Uri) -> Result<PublicKey, TokenError> {
    let class = uri.class.as_deref().unwrap_or("public");
    if matches!(class, "public" | "private") {
        let found = objects(session, &named(uri, ObjectClass::PUBLIC_KEY))?;
        if !found.is_empty() {
            return read_key(session, one(&found, "public key")?);
        }
    } else if class != "cert" {
        return Err(TokenError::Class {
            class: class.to_owned(),
        });
    }
    let found = objects(session, &named(uri, ObjectClass::CERTIFICATE))?;
    read_certificate(session, one(&found, "public key")?)
}

fn named(uri: &Pkcs11Uri, class: ObjectClass) -> Vec<Attribute> {
    let label = uri.object.as_ref();
    let id = uri.id.as_ref();
    std::iter::once(Attribute::Class(class))
        .chain(label.map(|label| Attribute::Label(label.clone().into_bytes())))
        .chain(id.map(|id| Attribute::Id(id.clone())))
        .collect()
}

fn objects(session: &Session, template: &[Attribute]) -> Result<Vec<ObjectHandle>, TokenError> {
    let fault = TokenError::device("looking for a key");
    let found = session.iter_objects(template).map_err(&fault)?;
    found
        .take(MAX_OBJECTS)
        .map(|one| one.map_err(&fault))
        .collect()
}

fn one(found: &[ObjectHandle], class: &'static str) -> Result<ObjectHandle, TokenError> {
    match found {
        [] => Err(TokenError::NoKey { class }),
        [one] => Ok(*one),
        several => Err(TokenError::SeveralKeys {
            found: several.len(),
        }),
    }
}

fn attributes(
    session: &Session,
    object: ObjectHandle,
    wanted: &[AttributeType],
) -> Result<Vec<Attribute>, TokenError> {
    session
        .get_attributes(object, wanted)
        .map_err(TokenError::device("reading a key's attributes"))
}

fn read_key(session: &Session, object: ObjectHandle) -> Result<PublicKey, TokenError> {
    let mut kind = None;
    let mut params = Vec::new();
    let mut point = Vec::new();
    let (mut modulus, mut exponent) = (Vec::new(), Vec::new());
    let wanted = [
        AttributeType::KeyType,
        AttributeType::EcParams,
        AttributeType::EcPoint,
        AttributeType::Modulus,
        AttributeType::PublicExponent,
    ];
    for attribute in attributes(session, object, &wanted)? {
        match attribute {
            Attribute::KeyType(found) => kind = Some(found),
            Attribute::EcParams(bytes) => params = bytes,
            Attribute::EcPoint(bytes) => point = bytes,
            Attribute::Modulus(bytes) => modulus = bytes,
            Attribute::PublicExponent(bytes) => exponent = bytes,
            _ => {}
        }
    }
    let unsupported = || TokenError::UnsupportedKey {
        found: match kind {
            Some(KeyType::EC | KeyType::EC_EDWARDS) => {
                format!(
                    "the curve {}",
                    hex::encode(params.get(..32).unwrap_or(&params))
                )
            }
            Some(KeyType::RSA) => format!("RSA of {} bytes", modulus.len()),
            Some(other) => other.to_string(),
            None => "without a type".to_owned(),
        },
    };
    match kind {
        Some(KeyType::EC) => ec_key(&params, &point),
        Some(KeyType::EC_EDWARDS) => edwards_key(&params, &point),
        Some(KeyType::RSA) => rsa_key(&modulus, &exponent),
        _ => None,
    }
    .ok_or_else(unsupported)
}

/// Returns the key on a NIST curve. `params` is a DER object identifier (RFC 3279), `point` an
/// octet string with the uncompressed point, or, by some tokens, the point itself.
pub(super) fn ec_key(params: &[u8], point: &[u8]) -> Option<PublicKey> {
    let kind = match params {
        b"\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07" => KeyKind::P256,
        b"\x06\x05\x2b\x81\x04\x00\x22" => KeyKind::P384,
        b"\x06\x05\x2b\x81\x04\x00\x23" => KeyKind::P521,
        _ => return None,
    };
    let point = octets(point).unwrap_or(point);
    PublicKey::from_ec_point(kind, point).ok()
}

/// Returns the Ed25519 key. The curve is named by an identifier (RFC 8410), or by its name.
pub(super) fn edwards_key(params: &[u8], point: &[u8]) -> Option<PublicKey> {
    let known = [
        &b"\x06\x03\x2b\x65\x70"[..],
        b"\x06\x09\x2b\x06\x01\x04\x01\xda\x47\x0f\x01",
        b"\x13\x0cedwards25519",
    ];
    if !known.contains(&params) {
        return None;
    }
    let point = octets(point).unwrap_or(point);
    PublicKey::from_ed25519_bytes(point.try_into().ok()?).ok()
}

/// Returns the RSA key, with the exponent that everybody uses.
pub(super) fn rsa_key(modulus: &[u8], exponent: &[u8]) -> Option<PublicKey> {
    let exponent = exponent.strip_prefix(b"\0").unwrap_or(exponent);
    if exponent != b"\x01\x00\x01" {
        return None;
    }
    PublicKey::from_rsa_modulus(modulus).ok()
}

/// The content of a DER octet string of up to 255 bytes.
fn octets(der: &[u8]) -> Option<&[u8]> {
    let ([0x04, 0x81, length, content @ ..] | [0x04, length, content @ ..]) = der else {
        return None;
    };
    (usize::from(*length) == content.len()).then_some(content)
}

fn read_certificate(session: &Session, object: ObjectHandle) -> Result<PublicKey, TokenError> {
    let unsupported = || TokenError::UnsupportedKey {
        found: "a certificate with another key, or none that can be read".to_owned(),
    };
    let found = attributes(session, object, &[AttributeType::Value])?;
    let Some(Attribute::Value(der)) = found.into_iter().next() else {
        return Err(unsupported());
    };
    let certificate = Certificate::parse(&der).map_err(|_| unsupported())?;
    certificate.key().cloned().ok_or_else(unsupported)
}
