use der::{Decode as _, Encode as _};

use super::*;
use crate::oidc::tests::{ISSUER, NOW, TestKey, claims, email};
use crate::oidc::{Fetch, FetchError, Fetched, Issuer, KeysFrom, TokenVerifier};
use custos_trust::keys::{FixedPassword, NoPassword};
use std::sync::Arc;

struct Nothing;

impl Fetch for Nothing {
    fn get(&self, _: &str, _: usize) -> Result<Fetched, FetchError> {
        Err(FetchError::new("nothing"))
    }
}

pub(crate) fn authority() -> Authority {
    let params = Params::new("Example", NOW, Protection::Plain, Protection::Plain);
    Authority::from_parts(Made::new(&params).unwrap().parts()).unwrap()
}

pub(crate) fn identity() -> Identity {
    let key = TestKey::p256();
    let issuer = Issuer::new(ISSUER, email()).with_keys(KeysFrom::Static(key.jwks()));
    let fetch: Arc<dyn Fetch> = Arc::new(Nothing);
    TokenVerifier::new(vec![issuer], &fetch)
        .unwrap()
        .verify(&key.token(&claims()), NOW)
        .unwrap()
}

fn subject_key() -> PublicKey {
    let pair = KeyPair::generate(KeyKind::P256).unwrap();
    pair.public_key().clone()
}

fn extension<'a>(certificate: &'a Certificate, oid: &str) -> Option<(bool, &'a [u8])> {
    let extensions = certificate.tbs_certificate.extensions.as_ref()?;
    extensions
        .iter()
        .find(|extension| extension.extn_id.to_string() == oid)
        .map(|extension| (extension.critical, extension.extn_value.as_bytes()))
}

fn life(certificate: &Certificate) -> u64 {
    let validity = &certificate.tbs_certificate.validity;
    let seconds = |time: &x509_cert::time::Time| time.to_unix_duration().as_secs();
    seconds(&validity.not_after) - seconds(&validity.not_before)
}

#[test]
fn a_leaf_has_the_profile_of_fulcio() {
    let authority = authority();
    let key = subject_key();
    let issued = authority.issue(&identity(), &key, NOW).unwrap();
    let leaf = build::parse(&issued.leaf).unwrap();
    build::check_signed_by(&leaf, &build::parse(authority.issuing_der()).unwrap()).unwrap();
    let tbs = &leaf.tbs_certificate;
    assert!(tbs.subject.0.is_empty());
    assert_eq!(
        tbs.subject_public_key_info.to_der().unwrap(),
        key.as_spki_der()
    );
    assert_eq!(life(&leaf), 600);
    // Digital signature alone; code signing alone.
    assert_eq!(
        extension(&leaf, "2.5.29.15"),
        Some((true, &[3, 2, 7, 128][..]))
    );
    assert_eq!(
        extension(&leaf, "2.5.29.37"),
        Some((false, &[48, 10, 6, 8, 43, 6, 1, 5, 5, 7, 3, 3][..]))
    );
    let (critical, san) = extension(&leaf, "2.5.29.17").unwrap();
    assert!(critical);
    assert_eq!(&san[..4], [0x30, 18, 0x81, 16]);
    assert_eq!(&san[4..], b"jane@example.com");
    assert_eq!(
        extension(&leaf, "1.3.6.1.4.1.57264.1.1"),
        Some((false, ISSUER.as_bytes()))
    );
    let (_, url) = extension(&leaf, "1.3.6.1.4.1.57264.1.8").unwrap();
    assert_eq!(&url[..2], [0x0c, u8::try_from(ISSUER.len()).unwrap()]);
    assert_eq!(&url[2..], ISSUER.as_bytes());
    let last = tbs.extensions.as_ref().unwrap().last().unwrap();
    assert_eq!(last.extn_id.to_string(), "1.3.6.1.4.1.11129.2.4.2");
}

#[test]
fn the_promise_signs_the_certificate_without_itself() {
    let authority = authority();
    let issued = authority.issue(&identity(), &subject_key(), NOW).unwrap();
    let mut leaf = Certificate::from_der(&issued.leaf).unwrap();
    let sct = leaf
        .tbs_certificate
        .extensions
        .as_mut()
        .unwrap()
        .pop()
        .unwrap();
    let without = leaf.tbs_certificate.to_der().unwrap();
    // OCTET STRING, list, one element (RFC 6962 section 3.3).
    let list = der::asn1::OctetString::from_der(sct.extn_value.as_bytes()).unwrap();
    let sct = &list.as_bytes()[4..];
    assert_eq!(
        list.as_bytes().len() - 2,
        usize::from(list.as_bytes()[0]) * 256 + usize::from(list.as_bytes()[1])
    );
    let (head, signature) = sct.split_at(1 + 32 + 8 + 2 + 2 + 2);
    assert_eq!(head[0], 0);
    let log = authority.log_key();
    assert_eq!(head[1..33], custos_core::crypto::sha256(log.as_spki_der()));
    let millis = u64::from_be_bytes(head[33..41].try_into().unwrap());
    assert_eq!(millis, u64::try_from(NOW.as_micros() / 1_000).unwrap());
    assert_eq!(head[41..45], [0, 0, 4, 3]);
    let parent = build::public_key(&build::parse(authority.issuing_der()).unwrap()).unwrap();
    let message = sct_message(millis, parent.as_spki_der(), &without).unwrap();
    log.verify(custos_core::crypto::Scheme::EcdsaP256, &message, signature)
        .unwrap();
    let mut other = message;
    *other.last_mut().unwrap() ^= 1;
    assert!(
        log.verify(custos_core::crypto::Scheme::EcdsaP256, &other, signature)
            .is_err()
    );
}

#[test]
fn an_authority_survives_its_files_and_hides_its_root() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("deep/authority");
    let params = Params::new(
        "Example",
        NOW,
        Protection::Password(b"root"),
        Protection::Password(b"online"),
    );
    let made = Authority::init(&place, &params).unwrap();
    let opened = Authority::open(&place, &FixedPassword::new("online")).unwrap();
    assert_eq!(made.root_der(), opened.root_der());
    assert_eq!(made.log_key(), opened.log_key());
    opened.issue(&identity(), &subject_key(), NOW).unwrap();
    assert!(matches!(
        Authority::open(&place, &NoPassword),
        Err(AuthorityError::KeyFile(KeyFileError::PasswordNeeded { .. }))
    ));
    // The server needs no root key.
    std::fs::remove_file(place.join("root.key")).unwrap();
    Authority::open(&place, &FixedPassword::new("online")).unwrap();
    assert_eq!(
        Authority::init(&place, &params).unwrap_err(),
        AuthorityError::AlreadyThere {
            path: place.clone()
        }
    );
    for key in ["issuing.key", "timestamp.key", "ct.key"] {
        use std::os::unix::fs::PermissionsExt as _;
        let bits = std::fs::metadata(place.join(key))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(bits & 0o777, 0o600);
    }
    assert!(!place.with_file_name("authority.new").exists());
}

#[test]
fn foreign_certificates_and_keys_are_noticed() {
    let params = Params::new("Example", NOW, Protection::Plain, Protection::Plain);
    let made = || Made::new(&params).unwrap();
    let mut swapped = made();
    swapped.issuing_key = KeyPair::generate(KeyKind::P256).unwrap();
    assert_eq!(
        Authority::from_parts(swapped.parts()).unwrap_err(),
        AuthorityError::KeyMismatch {
            role: Role::Issuing
        }
    );
    let mut foreign = made();
    foreign.root = made().root;
    assert_eq!(
        Authority::from_parts(foreign.parts()).unwrap_err(),
        AuthorityError::Certificate(CertificateError::NotSignedByIssuer)
    );
    let mut wrong = made();
    wrong.log_key = KeyPair::generate(KeyKind::P384).unwrap();
    assert_eq!(
        Authority::from_parts(wrong.parts()).unwrap_err(),
        AuthorityError::UnsupportedKey {
            role: Role::CertificateLog
        }
    );
}

#[test]
fn nothing_is_issued_outside_of_the_issuing_certificates_life() {
    let authority = authority();
    let day = DAY * 1_000_000;
    for (now, ok) in [
        (NOW, true),
        (NOW.plus_micros(-1_000_000), false),
        (NOW.plus_micros(3_650 * day), true),
        (NOW.plus_micros(3_650 * day + 1_000_000), false),
    ] {
        let issued = authority.issue(&identity(), &subject_key(), now);
        assert_eq!(issued.is_ok(), ok, "{now}");
    }
    // A leaf does not outlive its issuer.
    let last = NOW.plus_micros(3_650 * day - 60_000_000);
    let issued = authority.issue(&identity(), &subject_key(), last).unwrap();
    assert_eq!(life(&build::parse(&issued.leaf).unwrap()), 60);
}

#[test]
fn names_are_checked() {
    for bad in ["", "a\nb", &"x".repeat(65)] {
        let params = Params::new(bad, NOW, Protection::Plain, Protection::Plain);
        assert!(matches!(
            Made::new(&params),
            Err(AuthorityError::Organization)
        ));
    }
}

#[test]
fn names_of_a_tls_server_are_checked_before_anything_is_made() {
    let check = |names: &[&str]| {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        ServerParams::new("Example", &names, NOW).check()
    };
    assert_eq!(check(&["a.example", "127.0.0.1", "::1"]), Ok(()));
    for bad in [
        "",
        "a_b",
        "a.example:8475",
        "*.example",
        "https://a.example",
    ] {
        let name = bad.to_owned();
        assert_eq!(
            check(&["a.example", bad]),
            Err(AuthorityError::ServerName { name })
        );
    }
}

#[test]
fn what_an_interrupted_process_left_is_in_nobodys_way() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("authority");
    std::fs::create_dir(parent.path().join("authority.new")).unwrap();
    let params = Params::new("Example", NOW, Protection::Plain, Protection::Plain);
    Authority::init(&dir, &params).unwrap();
    // Of its own it leaves nothing.
    let left = std::fs::read_dir(parent.path()).unwrap().count();
    assert_eq!(left, 2);
}

#[test]
fn new_keys_come_below_the_old_root() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (dir.path().join("1"), dir.path().join("2"));
    let params = Params::new(
        "Example",
        NOW,
        Protection::Password(b"r"),
        Protection::Plain,
    );
    let old = Authority::init(&first, &params).unwrap();
    let root = Root::open(&first, &FixedPassword::new("r")).unwrap();
    let later = NOW.plus_micros(DAY * 3_600 * 1_000_000);
    let params = Params::new("Example", later, Protection::Plain, Protection::Plain);
    let new = Authority::renew(&second, &params, &root).unwrap();
    assert_eq!(old.root_der(), new.root_der());
    assert_ne!(old.issuing_der(), new.issuing_der());
    assert_ne!(old.log_key(), new.log_key());
    assert!(!second.join("root.key").exists());
    // Nothing below the root outlives it.
    let ends = |der: &[u8]| {
        let certificate = build::parse(der).unwrap();
        certificate
            .tbs_certificate
            .validity
            .not_after
            .to_unix_duration()
    };
    assert_eq!(ends(new.issuing_der()), ends(new.root_der()));
    let opened = Authority::open(&second, &NoPassword).unwrap();
    opened.issue(&identity(), &subject_key(), later).unwrap();
    let never = Params::new(
        "Example",
        NOW.plus_micros(-1_000_000),
        Protection::Plain,
        Protection::Plain,
    );
    assert_eq!(
        Authority::renew(&dir.path().join("3"), &never, &root).unwrap_err(),
        AuthorityError::Expired { role: Role::Root }
    );
    let stranger = Made::new(&params).unwrap();
    let signer = Box::new(KeySigner::new(stranger.root_key.unwrap()));
    assert_eq!(
        Root::new(old.root_der().to_vec(), signer).unwrap_err(),
        AuthorityError::KeyMismatch { role: Role::Root }
    );
}
