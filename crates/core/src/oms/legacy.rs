//! The form of `model_signing` 0.2.0: read, reported as legacy, never written.
//!
//! Its predicate type is [`LEGACY_PREDICATE_TYPE`]; the digests of the files stand in `subject`,
//! there is no list of ignored paths and no root digest. It has a broken pre-authentication
//! encoding as well, [`legacy_pae`]. Trying that encoding for a v1.0 predicate would give an
//! attacker a second message for each signature: a verifier tries it for the legacy type alone.

use crate::digest::Algorithm;
use crate::dsse::INTOTO_PAYLOAD_TYPE;
use crate::statement::Statement;

use super::{Form, Manifest, ManifestBuilder, Method, OmsError, Serialization, SignedManifest};

/// The predicate type of `model_signing` 0.2.0.
pub const LEGACY_PREDICATE_TYPE: &str = "https://model_signing/Digests/v0.1";

/// The name that a legacy manifest is given, for it has none.
const NAME: &str = "model";

/// Returns the bytes that `model_signing` 0.2.0 signed instead of the DSSE encoding: a capital
/// `V`, and the payload as the text of a Python bytes literal. ECDSA over it always uses
/// SHA-256, whatever the curve.
///
/// ```
/// assert_eq!(custos_core::oms::legacy_pae(b"{\"a\":\"\xc3\xa9\"}\n"),
///     br#"DSSEV1 28 application/vnd.in-toto+json 11 b'{"a":"\xc3\xa9"}\n'"#);
/// ```
pub fn legacy_pae(payload: &[u8]) -> Vec<u8> {
    let head = format!(
        "DSSEV1 {} {INTOTO_PAYLOAD_TYPE} {} b",
        INTOTO_PAYLOAD_TYPE.len(),
        payload.len()
    );
    let mut bytes = Vec::with_capacity(payload.len().saturating_add(head.len()).saturating_add(2));
    bytes.extend_from_slice(head.as_bytes());
    // Python prefers single quotes, unless the bytes have those and no double ones.
    let quote = if payload.contains(&b'\'') && !payload.contains(&b'"') {
        b'"'
    } else {
        b'\''
    };
    bytes.push(quote);
    for &byte in payload {
        match byte {
            b'\\' => bytes.extend_from_slice(b"\\\\"),
            b'\n' => bytes.extend_from_slice(b"\\n"),
            b'\r' => bytes.extend_from_slice(b"\\r"),
            b'\t' => bytes.extend_from_slice(b"\\t"),
            byte if byte == quote => bytes.extend_from_slice(&[b'\\', byte]),
            0x20..=0x7e => bytes.push(byte),
            byte => bytes.extend_from_slice(format!("\\x{byte:02x}").as_bytes()),
        }
    }
    bytes.push(quote);
    bytes
}

pub(super) fn read(statement: &Statement) -> Result<SignedManifest, OmsError> {
    let mut builder =
        ManifestBuilder::listed(Serialization::new(Method::Files, Algorithm::Sha256)?);
    for (index, subject) in statement.subject().iter().enumerate() {
        let name = subject
            .name
            .as_deref()
            .ok_or(OmsError::SubjectWithoutName { index })?;
        let digest = subject
            .digest
            .get(Algorithm::Sha256)
            .ok_or(OmsError::SubjectWithoutDigest { index })?;
        builder.push_name(name, &digest)?;
    }
    let manifest: Manifest = builder.finish()?;
    Ok(SignedManifest {
        name: NAME.to_owned(),
        manifest,
        form: Form::Legacy,
    })
}
