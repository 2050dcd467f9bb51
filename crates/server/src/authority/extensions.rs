//! Fulcio's extensions: what the token said, arc 1.3.6.1.4.1.57264.1.
//!
//! Spec: <https://github.com/sigstore/fulcio/blob/main/docs/oid-info.md>. Numbers 1 to 6 are the
//! old ones, whose value is the bare text; from 8 on the value is a DER `UTF8String`.

use der::asn1::{ObjectIdentifier, Utf8StringRef};
use x509_cert::ext::Extension;

use super::build::{self, CertificateError};
use crate::oidc::Identity;

const ARC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.57264.1");
// The last one with a bare value.
const LAST_BARE: u8 = 6;
const LEGACY_ISSUER: u8 = 1;
const ISSUER: u8 = 8;
const SUBJECT: u8 = 24;

/// Returns the extensions of an identity, by ascending number.
pub(super) fn of(identity: &Identity) -> Result<Vec<Extension>, CertificateError> {
    let mut numbered: Vec<(u8, &str)> = vec![
        (LEGACY_ISSUER, identity.issuer()),
        (ISSUER, identity.issuer()),
        (SUBJECT, identity.subject()),
    ];
    let claims = identity.claims().iter();
    numbered.extend(claims.map(|(number, value)| (*number, value.as_str())));
    numbered.retain(|(_, value)| !value.is_empty());
    numbered.sort_by_key(|(number, _)| *number);
    numbered
        .into_iter()
        .map(|(number, value)| {
            let oid = ARC.push_arc(u32::from(number))?;
            if number <= LAST_BARE {
                build::raw_extension(oid, false, value.as_bytes().to_vec())
            } else {
                build::extension(oid, false, &Utf8StringRef::new(value)?)
            }
        })
        .collect()
}
