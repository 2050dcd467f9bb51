//! RFC 3161 timestamps, read to the letter: every part of a token that must be right, and every
//! form in which one may come.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use custos_core::bundle::Bundle;
use custos_core::clock::Timestamp;
use custos_core::crypto::{KeyKind, Pem, RsaSize};
use custos_core::digest::Algorithm;
use custos_core::identity::ExpectedSigner;
use custos_trust::TrustRoot;
use custos_trust::signer::KeySigner;
use custos_trust::verify::{CertificateFault, LogRequirement, TimestampFault, VerifyError};
use rcgen::{ExtendedKeyUsagePurpose, SerialNumber};
use serde_json::json;

use crate::instance::{
    CONTENT_TYPE, Clock, Instance, MESSAGE_DIGEST, SHA256_OID, SHA384_OID, SHA512_OID, THEN,
    TST_INFO, Token, attribute, message, oid, push_stamp, response, signature, timestamp, tlv,
};
use crate::support::{Authority, ca, expect_key, signer};
use crate::vouched::Court;

const STAMPING: ExtendedKeyUsagePurpose = ExtendedKeyUsagePurpose::TimeStamping;
const SIGNING_CERTIFICATE_V2: &str = "1.2.840.113549.1.9.16.2.47";

/// A signed file, and who vouches for its time.
struct Scene {
    instance: Instance,
    by: KeySigner,
    bundle: Bundle,
}

impl Scene {
    fn new() -> Self {
        Self::of(Instance::new().clock)
    }

    fn of(clock: Clock) -> Self {
        let by = signer(KeyKind::P256);
        let bundle = message(&by);
        let mut instance = Instance::new();
        instance.clock = clock;
        Self {
            instance,
            by,
            bundle,
        }
    }

    fn token(&self) -> Token {
        Token::over(&signature(&self.bundle), THEN)
    }

    /// Judges a token that the authority signed.
    fn judge(&self, change: impl FnOnce(&mut Token)) -> Result<Timestamp, TimestampFault> {
        let mut token = self.token();
        change(&mut token);
        self.judge_bytes(&token.signed_by(&self.instance.clock, &self.instance.clock.der))
    }

    fn judge_bytes(&self, response: &[u8]) -> Result<Timestamp, TimestampFault> {
        self.judge_by(&self.instance.root(), &[response])
    }

    fn judge_by(&self, root: &TrustRoot, responses: &[&[u8]]) -> Result<Timestamp, TimestampFault> {
        use custos_trust::verify::SignedTime;
        let mut bundle = self.bundle.clone();
        for response in responses {
            push_stamp(&mut bundle, timestamp(response));
        }
        let signers: [ExpectedSigner; 1] = [expect_key("maker", &self.by)];
        let court = Court {
            root,
            signers: &signers,
            log: LogRequirement::OrTimestamp,
        };
        match court.of_file(&bundle) {
            Ok(verified) => match verified.time() {
                SignedTime::Trusted { at } => Ok(at),
                other => panic!("{other:?}"),
            },
            Err(VerifyError::Timestamp { fault, .. }) => Err(fault),
            Err(other) => panic!("{other:?}"),
        }
    }
}

#[test]
fn by_keys_of_every_kind_over_every_hash() {
    let authority = Authority::new();
    let rsa = KeyKind::Rsa(RsaSize::Bits2048);
    for kind in [
        KeyKind::P256,
        KeyKind::P384,
        KeyKind::P521,
        KeyKind::Ed25519,
        rsa,
    ] {
        let scene = Scene::of(Clock::with(&authority, kind, STAMPING, |_| {}));
        for hash in [Algorithm::Sha256, Algorithm::Sha384, Algorithm::Sha512] {
            let time = scene.judge(|token| token.hash = hash);
            assert_eq!(time, Ok(Timestamp::from_seconds(THEN)), "{kind} {hash:?}");
        }
    }
}

#[test]
fn over_the_signature_under_any_of_three_hashes() {
    let scene = Scene::new();
    let digest = |hash: Algorithm| {
        let signature = signature(&scene.bundle);
        hash.digest(&signature).as_bytes().to_vec()
    };
    for (name, hash) in [
        (SHA256_OID, Algorithm::Sha256),
        (SHA384_OID, Algorithm::Sha384),
        (SHA512_OID, Algorithm::Sha512),
    ] {
        scene
            .judge(|token| token.imprint = (name, digest(hash)))
            .unwrap();
    }
    let other = scene.judge(|token| token.imprint = (SHA384_OID, digest(Algorithm::Sha256)));
    assert_eq!(other, Err(TimestampFault::OtherSignature));
    // SHA-1, and something that is no hash at all.
    for name in ["1.3.14.3.2.26", CONTENT_TYPE] {
        let other = scene.judge(|token| token.imprint.0 = name);
        assert_eq!(other, Err(TimestampFault::Malformed));
    }
}

#[test]
fn a_response_with_its_status_or_the_token_alone() {
    let scene = Scene::new();
    let clock = &scene.instance.clock;
    let token = scene.token().bare(clock, &clock.der);
    scene.judge_bytes(&token).unwrap();
    for granted in [0, 1] {
        scene
            .judge_bytes(&response(&[granted], Some(&token)))
            .unwrap();
        // Granted, and nothing there.
        let empty = scene.judge_bytes(&response(&[granted], None));
        assert_eq!(empty, Err(TimestampFault::Malformed));
    }
    for status in [2, 3, 5] {
        let refused = Err(TimestampFault::Refused { status });
        assert_eq!(scene.judge_bytes(&response(&[status], None)), refused);
        assert_eq!(
            scene.judge_bytes(&response(&[status], Some(&token))),
            refused
        );
    }
    let two = [token.clone(), token.clone()].concat();
    for malformed in [
        response(&[0], Some(&two)),
        response(&[1, 0], Some(&token)),
        two,
        token[..token.len() - 1].to_vec(),
        Vec::new(),
        tlv(0x31, &[&token]),
    ] {
        let outcome = scene.judge_bytes(&malformed);
        assert_eq!(outcome, Err(TimestampFault::Malformed));
    }
}

#[test]
fn what_the_signed_data_is_and_what_it_holds() {
    let scene = Scene::new();
    let malformed: [&dyn Fn(&mut Token); 7] = [
        &|token| token.kinds.0 = TST_INFO,
        &|token| token.kinds.1 = "1.2.840.113549.1.7.1",
        &|token| token.version = 2,
        &|token| token.time = "20261123141500".to_owned(),
        &|token| token.behind = vec![tlv(0xa1, &[])],
        // More elements than a structure of this kind has.
        &|token| token.before = vec![tlv(0xa0, &[]); 61],
        // A set of signers before the set of signers.
        &|token| token.before = vec![tlv(0x31, &[])],
    ];
    for (at, change) in malformed.into_iter().enumerate() {
        let outcome = scene.judge(change);
        assert_eq!(outcome, Err(TimestampFault::Malformed), "{at}");
    }
    // Certificates and revocation lists beside it are not looked at, whatever they hold.
    for before in [
        vec![tlv(0xa0, &[b"no certificate"])],
        vec![tlv(0xa1, &[b"no list"])],
        vec![tlv(0xa0, &[]), tlv(0xa1, &[])],
        vec![tlv(0xa0, &[]); 60],
    ] {
        scene.judge(|token| token.before = before).unwrap();
    }
}

#[test]
fn the_signed_attributes_are_of_this_token() {
    let scene = Scene::new();
    let wrong = Err(TimestampFault::Attributes);
    let info = |hash: Algorithm, bytes: &[u8]| tlv(4, &[hash.digest(bytes).as_bytes()]);
    for name in [CONTENT_TYPE, MESSAGE_DIGEST] {
        assert_eq!(scene.judge(|token| token.without = Some(name)), wrong);
        let another = match name {
            CONTENT_TYPE => attribute(name, &oid("1.2.840.113549.1.7.1")),
            _ => attribute(name, &info(Algorithm::Sha256, b"another")),
        };
        // Another instead, and the same twice.
        let outcome = scene.judge(|token| {
            token.without = Some(name);
            token.more = vec![another];
        });
        assert_eq!(outcome, wrong, "{name}");
    }
    let twice = attribute(CONTENT_TYPE, &oid(TST_INFO));
    assert_eq!(scene.judge(|token| token.more = vec![twice]), wrong);
    let same = scene.token();
    let twice = attribute(MESSAGE_DIGEST, &info(Algorithm::Sha256, &same.info()));
    assert_eq!(scene.judge(|token| token.more = vec![twice]), wrong);
    // Two values where one belongs, and an attribute that is none.
    let values = tlv(0x31, &[&oid(TST_INFO), &oid(TST_INFO)]);
    let outcome = scene.judge(|token| {
        token.without = Some(CONTENT_TYPE);
        token.more = vec![tlv(0x30, &[&oid(CONTENT_TYPE), &values])];
    });
    assert_eq!(outcome, wrong);
    assert_eq!(scene.judge(|token| token.more = vec![vec![5, 0]]), wrong);
    // Others say nothing that matters here.
    let time = attribute("1.2.840.113549.1.9.5", &tlv(0x17, &[b"261122000000Z"]));
    scene.judge(|token| token.more = vec![time]).unwrap();
}

#[test]
fn the_certificate_that_a_token_says_it_is_by() {
    let scene = Scene::new();
    let der = &scene.instance.clock.der;
    let ids = |id: &[u8]| attribute(SIGNING_CERTIFICATE_V2, &tlv(0x30, &[&tlv(0x30, &[id])]));
    let id = |algorithm: &[u8], hash: &[u8]| ids(&tlv(0x30, &[algorithm, &tlv(4, &[hash])]));
    let digest = |hash: Algorithm, bytes: &[u8]| hash.digest(bytes).as_bytes().to_vec();
    let named = |name: &str| tlv(0x30, &[&oid(name)]);
    let sha512 = named(SHA512_OID);
    for right in [
        id(&[], &digest(Algorithm::Sha256, der)),
        id(&named(SHA256_OID), &digest(Algorithm::Sha256, der)),
        id(&sha512, &digest(Algorithm::Sha512, der)),
    ] {
        scene.judge(|token| token.more = vec![right]).unwrap();
    }
    for wrong in [
        id(&[], &digest(Algorithm::Sha256, b"another certificate")),
        id(&sha512, &digest(Algorithm::Sha512, b"another certificate")),
        id(&[], &digest(Algorithm::Sha512, der)),
        id(&named("1.3.14.3.2.26"), &digest(Algorithm::Sha256, der)),
        ids(&[]),
        attribute(SIGNING_CERTIFICATE_V2, &tlv(0x30, &[])),
    ] {
        let outcome = scene.judge(|token| token.more = vec![wrong]);
        assert_eq!(outcome, Err(TimestampFault::Attributes));
    }
}

#[test]
fn the_signer_is_named_by_issuer_and_serial_number_both() {
    let (authority, other) = (Authority::new(), Authority::new());
    let serial = |byte: u8| SerialNumber::from(vec![byte; 8]);
    let clock = |authority: &Authority, byte: u8| {
        Clock::with(authority, KeyKind::P256, STAMPING, |params| {
            params.serial_number = Some(serial(byte));
        })
    };
    let mut renamed = other;
    let mut name = rcgen::CertificateParams::default();
    name.distinguished_name = rcgen::DistinguishedName::new();
    name.distinguished_name
        .push(rcgen::DnType::CommonName, "Another Root");
    renamed.root = rcgen::Issuer::new(name, rcgen::KeyPair::generate().unwrap());
    let scene = Scene::of(clock(&authority, 1));
    for (named, known) in [
        (clock(&authority, 1), true),
        (clock(&authority, 2), false),
        (clock(&renamed, 1), false),
    ] {
        let token = scene.token().signed_by(&scene.instance.clock, &named.der);
        let outcome = scene.judge_bytes(&token);
        if known {
            outcome.unwrap();
        } else {
            assert_eq!(outcome, Err(TimestampFault::UnknownAuthority));
        }
    }
}

#[test]
fn the_signer_is_named_by_its_key_identifier() {
    // rcgen writes the identifier of a certificate that says it is no authority.
    let clock = Clock::with(&Authority::new(), KeyKind::P256, STAMPING, |params| {
        params.is_ca = rcgen::IsCa::ExplicitNoCa;
    });
    let certificate = <x509_cert::Certificate as x509_cert::der::Decode>::from_der(&clock.der);
    let certificate = certificate.unwrap();
    let part = certificate.tbs_certificate;
    let (_, id) = part
        .get::<x509_cert::ext::pkix::SubjectKeyIdentifier>()
        .unwrap()
        .unwrap();
    let id = id.0.as_bytes().to_vec();
    let scene = Scene::of(clock);
    scene
        .judge(|token| token.key_id = Some(id.clone()))
        .unwrap();
    for other in [vec![0; 20], Vec::new(), id[1..].to_vec()] {
        let outcome = scene.judge(|token| token.key_id = Some(other));
        assert_eq!(outcome, Err(TimestampFault::UnknownAuthority));
    }
    // A certificate without an identifier is named by none.
    let scene = Scene::new();
    let outcome = scene.judge(|token| token.key_id = Some(Vec::new()));
    assert_eq!(outcome, Err(TimestampFault::UnknownAuthority));
}

#[test]
fn sizes_and_numbers_have_limits() {
    // Signatures of this kind have one length.
    let kind = KeyKind::Ed25519;
    let scene = Scene::of(Clock::with(&Authority::new(), kind, STAMPING, |_| {}));
    let root = scene.instance.root();
    let clock = &scene.instance.clock;
    let sized = |size: usize| {
        let mut token = scene.token();
        token.before = vec![tlv(0xa0, &[&vec![0; 60_000]])];
        let length = token.signed_by(clock, &clock.der).len();
        token.before = vec![tlv(0xa0, &[&vec![0; 60_000 + size - length]])];
        let token = token.signed_by(clock, &clock.der);
        assert_eq!(token.len(), size);
        token
    };
    scene.judge_bytes(&sized(64 * 1024)).unwrap();
    let outcome = scene.judge_bytes(&sized(64 * 1024 + 1));
    assert_eq!(outcome, Err(TimestampFault::Malformed));

    let token = scene.token().signed_by(clock, &clock.der);
    scene.judge_by(&root, &[&token[..]; 16]).unwrap();
    let many = scene.judge_by(&root, &[&token[..]; 17]);
    assert_eq!(many, Err(TimestampFault::TooMany));
}

#[test]
fn two_times_of_one_authority() {
    let authority = Authority::new();
    let clock = Clock::with(&authority, KeyKind::P256, STAMPING, |_| {});
    let scene = Scene::of(clock);
    let clock = &scene.instance.clock;
    let token = scene.token().signed_by(clock, &clock.der);
    let range = |from: i64, to: i64| {
        let time = |seconds| Timestamp::from_seconds(seconds).to_string();
        json!({ "start": time(from), "end": time(to) })
    };
    // The time that one entry does not trust it for, another one does.
    let (early, late) = (range(THEN - 90, THEN - 1), range(THEN, THEN + 9));
    let root = |ranges: &[&serde_json::Value]| {
        scene.instance.root_with(|root| {
            let entry = root["timestampAuthorities"][0].clone();
            let entries = ranges.iter().map(|range| {
                let mut entry = entry.clone();
                entry["validFor"] = (*range).clone();
                entry
            });
            root["timestampAuthorities"] = entries.collect();
        })
    };
    for ranges in [[&early, &late], [&late, &early]] {
        scene.judge_by(&root(&ranges), &[&token]).unwrap();
    }
    let then = Timestamp::from_seconds(THEN);
    let outcome = scene.judge_by(&root(&[&early]), &[&token]);
    assert_eq!(outcome, Err(TimestampFault::NotTrustedThen { time: then }));
}

#[test]
fn what_stands_between_a_timestamp_authority_and_its_root() {
    let authority = Authority::new();
    let root = Pem::parse(&authority.root_pem).unwrap().bytes().to_vec();
    // What the certificate in between is for, and whether the one below may then tell the time.
    let usage = Err(TimestampFault::Certificate(CertificateFault::Usage));
    let then = Ok(Timestamp::from_seconds(THEN));
    for (purposes, expected) in [
        (vec![], then.clone()),
        (vec![STAMPING], then.clone()),
        (vec![ExtendedKeyUsagePurpose::CodeSigning], usage.clone()),
    ] {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = ca("Test Link");
        params.extended_key_usages = purposes;
        let link = params.signed_by(&key, &authority.root).unwrap();
        let above = Authority {
            root: rcgen::Issuer::new(params, key),
            ..Authority::new()
        };
        let scene = Scene::of(Clock::with(&above, KeyKind::P256, STAMPING, |_| {}));
        let clock = &scene.instance.clock;
        let token = scene.token().signed_by(clock, &clock.der);
        let judged = |chain: &[&[u8]]| {
            let chain = chain
                .iter()
                .map(|der| json!({ "rawBytes": STANDARD.encode(der) }));
            let chain: serde_json::Value = chain.collect();
            let root = scene.instance.root_with(|root| {
                root["timestampAuthorities"][0]["certChain"]["certificates"] = chain;
            });
            scene.judge_by(&root, &[&token])
        };
        assert_eq!(judged(&[&clock.der, link.der(), &root]), expected);
        let unknown = TimestampFault::Certificate(CertificateFault::UnknownIssuer);
        assert_eq!(judged(&[&clock.der, &root]), Err(unknown));
        assert!(judged(&[&clock.der]).is_err());
    }
    // The one that tells the time has to be for just that.
    for purposes in [vec![], vec![ExtendedKeyUsagePurpose::ServerAuth]] {
        let clock = Clock::with(&authority, KeyKind::P256, STAMPING, |params| {
            params.extended_key_usages = purposes;
        });
        assert_eq!(Scene::of(clock).judge(|_| {}), usage);
    }
}
