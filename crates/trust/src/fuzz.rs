//! Entries for fuzzing: plain functions over bytes, replayed by the tests.

use custos_core::clock::Timestamp;
use custos_core::crypto::{Pem, PublicKey};
use custos_core::digest::{Algorithm, DigestSet};
use custos_core::identity::ExpectedSigner;

use crate::TrustRoot;
use crate::verify::{
    Certificate, LogRequirement, Material, Message, PredicateTypes, VerifyRequest, verify,
};

const KEY: &str = include_str!("../../../testdata/keys/p256.pub");

/// Verifies bytes as a bundle and as an envelope; nothing may come out, as nobody has signed them.
pub fn bundle(data: &[u8]) {
    let Ok(key) = PublicKey::from_pem(KEY) else {
        return;
    };
    let signers = [
        ExpectedSigner::key("k", key),
        ExpectedSigner::certificate("c", "a@example.com", None),
    ];
    let root = TrustRoot::trusting_nothing();
    let artifact = DigestSet::from(Algorithm::Sha256.digest(b""));
    let request = VerifyRequest {
        artifact: &artifact,
        material: Material::Bundle(data),
        trust_root: &root,
        signers: &signers,
        log: LogRequirement::AbsenceAllowed,
        expect: PredicateTypes::new(&["p"]),
        now: Timestamp::from_seconds(1_800_000_000),
    };
    assert!(verify(&request).is_err());
    assert!(verify(&request.with_material(Material::Envelope(data))).is_err());
    let message = VerifyRequest {
        artifact: &artifact,
        material: Material::Bundle(data),
        trust_root: &root,
        signers: &signers,
        log: LogRequirement::AbsenceAllowed,
        expect: Message,
        now: request.now,
    };
    assert!(verify(&message).is_err());
}

/// Parses bytes as a certificate and asks it everything.
pub fn certificate(data: &[u8]) {
    if let Ok(certificate) = Certificate::parse(data) {
        let _ = (
            certificate.identities(),
            certificate.check_usage(),
            certificate.subject(),
        );
    }
}

/// Reads bytes as an encrypted key. The work factors that pass take memory, so a body that is
/// otherwise well-formed is not tried.
pub fn encrypted_key(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(pem) = Pem::parse(text)
    {
        let _ = crate::keys::encrypted::is_encrypted(&pem);
    }
}

/// Reads bytes as what vouches for a signature: a timestamp, a certificate's promises, an entry of
/// Rekor v1.
pub fn voucher(data: &[u8]) {
    crate::verify::read_voucher(data);
}

/// Adds bytes to a trust root, in every role.
pub fn trust_root(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = TrustRoot::trusting_nothing().with_log_key(text);
        let _ = TrustRoot::trusting_nothing().with_authorities(text);
    }
    let _ = TrustRoot::trusting_nothing().with_sigstore(data);
}

/// Parses bytes as a list of revocations; what is accepted is written and read again.
pub fn revocations(data: &[u8]) {
    use crate::revocation::Revocations;
    if let Ok(list) = Revocations::parse(data) {
        let again = list.to_bytes().and_then(|bytes| Revocations::parse(&bytes));
        assert_eq!(again.as_ref(), Ok(&list));
    }
}

/// Parses bytes as metadata of each role; what is accepted is written and read again.
pub fn tuf_metadata(data: &[u8]) {
    use crate::tuf::metadata::{Metadata, Root, Signed, Snapshot, Targets, TimestampRole};
    fn round_trip<T: Metadata>(data: &[u8]) {
        if let Ok(signed) = Signed::<T>::parse(data) {
            let again = Signed::write(signed.content(), Vec::new());
            assert_eq!(
                again.map(|again| again.content() == signed.content()),
                Ok(true)
            );
        }
    }
    round_trip::<Root>(data);
    round_trip::<TimestampRole>(data);
    round_trip::<Snapshot>(data);
    round_trip::<Targets>(data);
    if let Ok(trusted) = crate::tuf::Trusted::from_root(data) {
        assert_eq!(trusted.root_bytes(), data);
    }
}
