//! What vouches for a signature besides its signer: Rekor of either kind, timestamps; for keys and
//! private certificates, statements and files.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use custos_core::bundle::{Bundle, MediaType, MessageSignature};
use custos_core::clock::Timestamp;
use custos_core::crypto::{KeyKind, KeyPair, Pem, PublicKey, Scheme};
use custos_core::digest::Algorithm;
use custos_core::identity::ExpectedSigner;
use custos_trust::signer::{KeySigner, Signer};
use custos_trust::verify::{
    CertificateFault, Check, CheckName, LogRequirement, Material, Message, MessageBytes,
    MessageSigned, PredicateTypes, SignedTime, TimestampFault, Verified, VerifyError,
    VerifyRequest,
};
use custos_trust::{TrustRoot, seal, verify};
use rcgen::ExtendedKeyUsagePurpose;
use serde_json::{Value, json};

use crate::instance::{
    Clock, FILE, Instance, THEN, V1_HOST, V2_HOST, body_v1, file, message, push_stamp, sign_with,
    signature,
};
use crate::support::{Authority, Leaf, NOW, PREDICATE, artifact, expect_key, signer, statement};

/// Where a bundle is judged.
pub struct Court<'a> {
    pub root: &'a TrustRoot,
    pub signers: &'a [ExpectedSigner],
    pub log: LogRequirement<'a>,
}

impl Court<'_> {
    pub fn of_file(&self, bundle: &Bundle) -> Result<Verified<MessageSigned>, VerifyError> {
        verify(&VerifyRequest {
            artifact: &file(),
            material: Material::Bundle(&bundle.to_bytes().unwrap()),
            trust_root: self.root,
            signers: self.signers,
            log: self.log,
            expect: Message,
            now: NOW,
        })
    }

    pub fn of_statement(
        &self,
        bundle: &Bundle,
    ) -> Result<Verified<custos_core::statement::Statement>, VerifyError> {
        verify(&VerifyRequest {
            artifact: &artifact(b"weights"),
            material: Material::Bundle(&bundle.to_bytes().unwrap()),
            trust_root: self.root,
            signers: self.signers,
            log: self.log,
            expect: PredicateTypes::new(&[PREDICATE]),
            now: NOW,
        })
    }
}

fn signed(signer: &dyn Signer) -> Bundle {
    seal::sign_statement(&statement(b"weights"), signer, None).unwrap()
}

const KINDS: [KeyKind; 5] = [
    KeyKind::P256,
    KeyKind::P384,
    KeyKind::P521,
    KeyKind::Ed25519,
    KeyKind::Rsa(custos_core::crypto::RsaSize::Bits2048),
];

const AT: SignedTime = SignedTime::Trusted {
    at: Timestamp::from_seconds(THEN),
};

#[test]
fn a_log_does_not_pass_for_another_by_its_origin() {
    let instance = Instance::new();
    let by = signer(KeyKind::P256);
    let signers = [expect_key("maker", &by)];
    // Keys of two logs whose checkpoints have the origins of others.
    let root = instance.root_with(|root| {
        root["tlogs"][0]["baseUrl"] = "https://one.example".into();
        root["tlogs"][1]["baseUrl"] = "https://two.example".into();
    });
    let court = Court {
        root: &root,
        signers: &signers,
        log: LogRequirement::Required,
    };
    let bundle = instance.in_v1(message(&by), &by, ("hashedrekord", "0.0.1"));
    let verified = court.of_file(&bundle).unwrap();
    let origin = format!("one.example - {V1_HOST} - 42");
    assert_eq!(verified.log()[0].origin, origin);
    let bundle = instance.in_v2(message(&by), &by);
    let verified = court.of_file(&bundle).unwrap();
    assert_eq!(verified.log()[0].origin, format!("two.example - {V2_HOST}"));
    let court = Court {
        log: LogRequirement::RequiredIn { origin: V2_HOST },
        ..court
    };
    court.of_file(&bundle).unwrap_err();
    // A name that begins like another one is another one.
    let root = instance.root_with(|root| {
        root["tlogs"][1]["baseUrl"] = "https://log2026.example".into();
    });
    let verified = Court {
        root: &root,
        log: LogRequirement::Required,
        ..court
    }
    .of_file(&bundle)
    .unwrap();
    let origin = format!("log2026.example - {V2_HOST}");
    assert_eq!(verified.log()[0].origin, origin);
}

#[test]
fn files_and_statements_by_keys_of_every_kind_in_either_log() {
    let instance = Instance::new();
    let root = instance.root();
    for kind in KINDS {
        let by = signer(kind);
        let signers = [expect_key("maker", &by)];
        let court = Court {
            root: &root,
            signers: &signers,
            log: LogRequirement::Required,
        };
        let bundle = instance.in_v2(message(&by), &by);
        let verified = court
            .of_file(&instance.stamped(bundle.clone(), THEN))
            .unwrap();
        assert_eq!(
            (verified.signer_name(), verified.time()),
            ("maker", AT),
            "{kind}"
        );
        assert_eq!(verified.log()[0].origin, V2_HOST);
        // A key needs no time.
        assert_eq!(
            court.of_file(&bundle).unwrap().time(),
            SignedTime::Untrusted
        );

        let bundle = instance.in_v1(message(&by), &by, ("hashedrekord", "0.0.1"));
        let verified = court.of_file(&bundle).unwrap();
        assert_eq!(verified.time(), AT, "the log vouches for it");
        assert_eq!(verified.log()[0].origin, format!("{V1_HOST} - 42"));
        assert_eq!(
            verified.log()[0].index,
            1,
            "in the tree, not over all trees"
        );

        let bundle = instance.in_v2(signed(&by), &by);
        court.of_statement(&bundle).unwrap();
        for kind in [("dsse", "0.0.1"), ("intoto", "0.0.2")] {
            let bundle = instance.in_v1(signed(&by), &by, kind);
            assert_eq!(court.of_statement(&bundle).unwrap().time(), AT);
        }
    }
}

#[test]
fn a_promise_alone_counts_in_the_first_format_only() {
    let instance = Instance::new();
    let (root, by) = (instance.root(), signer(KeyKind::P256));
    let signers = [expect_key("maker", &by)];
    let court = Court {
        root: &root,
        signers: &signers,
        log: LogRequirement::Required,
    };
    let mut bundle = instance.in_v1(message(&by), &by, ("hashedrekord", "0.0.1"));
    bundle.verification_material.tlog_entries[0].inclusion_proof = None;
    for version in [MediaType::V02, MediaType::V03] {
        bundle.media_type = version;
        assert!(matches!(
            court.of_file(&bundle),
            Err(VerifyError::LogProofMissing { .. })
        ));
    }
    bundle.media_type = MediaType::V01;
    let verified = court.of_file(&bundle).unwrap();
    let [proof] = verified.log() else { panic!() };
    assert!(proof.promise_only);
    assert_eq!((proof.origin.as_str(), proof.index), (V1_HOST, 9_000_001));
    assert_eq!(verified.time(), AT);
    // Neither of the two is nothing.
    bundle.verification_material.tlog_entries[0].inclusion_promise = None;
    assert!(matches!(
        court.of_file(&bundle),
        Err(VerifyError::LogProofMissing { .. })
    ));
}

#[test]
fn a_proof_without_a_promise_holds_and_vouches_for_no_time() {
    let instance = Instance::new();
    let (root, by) = (instance.root(), signer(KeyKind::P256));
    let signers = [expect_key("maker", &by)];
    let court = Court {
        root: &root,
        signers: &signers,
        log: LogRequirement::Required,
    };
    let mut bundle = instance.in_v1(message(&by), &by, ("hashedrekord", "0.0.1"));
    bundle.verification_material.tlog_entries[0].inclusion_promise = None;
    assert_eq!(
        court.of_file(&bundle).unwrap().time(),
        SignedTime::Untrusted
    );
}

#[test]
fn a_timestamp_without_a_log_counts_where_that_was_asked_for() {
    let instance = Instance::new();
    let (root, by) = (instance.root(), signer(KeyKind::P256));
    let signers = [expect_key("maker", &by)];
    let stamped = instance.stamped(message(&by), THEN);
    let court = |log| Court {
        root: &root,
        signers: &signers,
        log,
    };
    let verified = court(LogRequirement::OrTimestamp)
        .of_file(&stamped)
        .unwrap();
    assert_eq!((verified.time(), verified.log().len()), (AT, 0));
    assert!(matches!(
        court(LogRequirement::Required).of_file(&stamped),
        Err(VerifyError::LogEntryMissing { .. })
    ));
    assert!(matches!(
        court(LogRequirement::OrTimestamp).of_file(&message(&by)),
        Err(VerifyError::LogEntryMissing { .. })
    ));
    court(LogRequirement::AbsenceAllowed)
        .of_file(&message(&by))
        .unwrap();
    // The time that a log vouches for is no timestamp: the entry itself is what counts.
    let logged = instance.in_v1(message(&by), &by, ("hashedrekord", "0.0.1"));
    court(LogRequirement::OrTimestamp).of_file(&logged).unwrap();
}

#[test]
fn a_certificate_is_judged_when_it_signed() {
    let instance = Instance::new();
    let authority = Authority::new();
    let leaf = Leaf {
        valid: (THEN - 60, THEN + 60),
        ..Leaf::email(KeyKind::P384, "a@example.com")
    };
    let by = authority.signer(&leaf);
    let root = instance
        .root()
        .with_authorities(&authority.root_pem)
        .unwrap();
    let signers = [ExpectedSigner::certificate("ann", "a@example.com", None)];
    let court = Court {
        root: &root,
        signers: &signers,
        log: LogRequirement::AbsenceAllowed,
    };
    let expired = |outcome: Result<_, VerifyError>| {
        matches!(
            outcome.map(|_: Verified<_>| ()),
            Err(VerifyError::CertificateValidity { .. })
        )
    };
    // Without a trusted time it is judged now, and it has expired since.
    assert!(expired(court.of_statement(&signed(&by))));
    let good = instance.stamped(signed(&by), THEN);
    assert_eq!(court.of_statement(&good).unwrap().time(), AT);
    assert!(expired(
        court.of_statement(&instance.stamped(signed(&by), THEN + 61))
    ));
    assert!(expired(
        court.of_statement(&instance.stamped(signed(&by), THEN - 61))
    ));
    court
        .of_statement(&instance.stamped(signed(&by), THEN + 60))
        .unwrap();
    // One good time does not outweigh a bad one.
    assert!(expired(
        court.of_statement(&instance.stamped(good, THEN + 61))
    ));
    // The promise of a log is a trusted time as well, its proof is not.
    let mut logged = instance.in_v1(signed(&by), &by, ("dsse", "0.0.1"));
    court.of_statement(&logged).unwrap();
    logged.verification_material.tlog_entries[0].inclusion_promise = None;
    assert!(expired(court.of_statement(&logged)));
    let tiles = instance.in_v2(signed(&by), &by);
    assert!(expired(court.of_statement(&tiles)));
    court.of_statement(&instance.stamped(tiles, THEN)).unwrap();
}

#[test]
#[allow(clippy::too_many_lines, reason = "a list of cases")]
fn timestamps_that_do_not_hold() {
    let instance = Instance::new();
    let (root, by) = (instance.root(), signer(KeyKind::P256));
    let signers = [expect_key("maker", &by)];
    let court = |root: &TrustRoot, bundle: &Bundle| {
        let court = Court {
            root,
            signers: &signers,
            log: LogRequirement::OrTimestamp,
        };
        court.of_file(bundle)
    };
    let fault = |root: &TrustRoot, bundle: &Bundle| match court(root, bundle) {
        Err(VerifyError::Timestamp { fault, .. }) => fault,
        other => panic!("{other:?}"),
    };
    let with = |stamp| {
        let mut bundle = message(&by);
        push_stamp(&mut bundle, stamp);
        bundle
    };
    assert_eq!(
        fault(&root, &with(instance.clock.stamp(b"another", THEN))),
        TimestampFault::OtherSignature
    );
    // The timestamp is over this very signature in the following.
    let stamped = |clock: &Clock, seconds| {
        let bundle = message(&by);
        let stamp = clock.stamp(&signature(&bundle), seconds);
        let mut bundle = bundle;
        push_stamp(&mut bundle, stamp);
        bundle
    };
    let stranger = Clock::new(ExtendedKeyUsagePurpose::TimeStamping);
    assert_eq!(
        fault(&root, &stamped(&stranger, THEN)),
        TimestampFault::UnknownAuthority
    );
    assert_eq!(
        fault(
            &TrustRoot::trusting_nothing(),
            &stamped(&instance.clock, THEN)
        ),
        TimestampFault::NoAuthority
    );
    // Outside of the certificate's life, and outside of what the trust root says.
    assert!(matches!(
        fault(&root, &stamped(&instance.clock, THEN + 2_000)),
        TimestampFault::Certificate(CertificateFault::Expired)
    ));
    let narrow = instance.root_with(|root| {
        let end = Timestamp::from_seconds(THEN - 1).to_string();
        root["timestampAuthorities"][0]["validFor"]["end"] = end.into();
    });
    assert_eq!(
        fault(&narrow, &stamped(&instance.clock, THEN)),
        TimestampFault::NotTrustedThen {
            time: Timestamp::from_seconds(THEN)
        }
    );
    let inclusive = instance.root_with(|root| {
        let end = Timestamp::from_seconds(THEN).to_string();
        root["timestampAuthorities"][0]["validFor"]["end"] = end.into();
    });
    court(&inclusive, &stamped(&instance.clock, THEN)).unwrap();
    // A good one beside it changes nothing.
    let mut both = stamped(&instance.clock, THEN);
    push_stamp(&mut both, instance.clock.stamp(b"another", THEN));
    assert_eq!(fault(&root, &both), TimestampFault::OtherSignature);
}

#[test]
fn pure_ed25519_signs_the_bytes_of_a_file() {
    let pair = KeyPair::generate(KeyKind::Ed25519).unwrap();
    let pure = pair.sign(Scheme::Ed25519, FILE).unwrap();
    let other = pair.sign(Scheme::Ed25519, b"other bytes").unwrap();
    let by = KeySigner::new(pair);
    let mut bundle = message(&by);
    bundle.message_signature.as_mut().unwrap().signature = pure.into();
    let signers = [expect_key("maker", &by)];
    let root = TrustRoot::trusting_nothing();
    let court = Court {
        root: &root,
        signers: &signers,
        log: LogRequirement::AbsenceAllowed,
    };
    assert!(matches!(
        court.of_file(&bundle),
        Err(VerifyError::SignatureInvalid { .. })
    ));
    let bytes = bundle.to_bytes().unwrap();
    let digests = file();
    let request = |content| VerifyRequest {
        artifact: &digests,
        material: Material::Bundle(&bytes),
        trust_root: &root,
        signers: &signers,
        log: LogRequirement::AbsenceAllowed,
        expect: MessageBytes::new(content),
        now: NOW,
    };
    verify(&request(FILE)).unwrap();
    // Bytes that are not the artifact's do not count, not even if they were signed: the bundle
    // names the artifact, and its signature is over something else.
    assert!(verify(&request(b"other bytes")).is_err());
    bundle.message_signature.as_mut().unwrap().signature = other.into();
    let bytes = bundle.to_bytes().unwrap();
    let request = VerifyRequest {
        material: Material::Bundle(&bytes),
        ..request(b"other bytes")
    };
    assert!(matches!(
        verify(&request),
        Err(VerifyError::SignatureInvalid { .. })
    ));
}

#[test]
fn the_hash_that_a_bundle_names_is_the_one_that_was_signed() {
    let by = signer(KeyKind::P384);
    let signers = [expect_key("maker", &by)];
    let root = TrustRoot::trusting_nothing();
    let mut artifact = file();
    artifact.insert(&custos_core::digest::Algorithm::Sha384.digest(FILE));
    let mut bundle = message(&by);
    let judged = |bundle: &Bundle| {
        verify(&VerifyRequest {
            artifact: &artifact,
            material: Material::Bundle(&bundle.to_bytes().unwrap()),
            trust_root: &root,
            signers: &signers,
            log: LogRequirement::AbsenceAllowed,
            expect: Message,
            now: NOW,
        })
    };
    judged(&bundle).unwrap();
    // Signed over SHA-384, and said to be over SHA-256: both are the artifact's, one was signed.
    let signed = bundle.message_signature.as_mut().unwrap();
    let signature = signed.signature.as_slice().to_vec();
    let digest = custos_core::digest::Algorithm::Sha256.digest(FILE);
    *signed = custos_core::bundle::MessageSignature::new(&digest, signature);
    assert!(matches!(
        judged(&bundle),
        Err(VerifyError::SignatureInvalid { .. })
    ));
}

#[test]
fn sha256_with_larger_curves_is_read_where_the_bundle_says_so() {
    // Made by OpenSSL: `openssl dgst -sha256 -sign` with a key on P-384.
    let key = "MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAENriAVQpcl2+5Gf2M4gSHGqvZyKCLG3scMK6cVOXNEjZq4duCCpx5IsB+jfrD5gf27hHTZed7strJw779cvq4zlAPyvkKRcDh9YNuMhGBnokhQbN3JDB7W1i6mmAYqWNk";
    let signature = "MGUCMQD+xTglco0onP8ONfacTZiadaReS0oJcrnIoSjh/935Bca2ZAFh8zob+p1TxPKi79sCMG0vpRy/88GZmiaaO94xMpQU0TCSpFOHr0tDRLdn+R3YXRlURVb3+GmDotr3TBoc1A==";
    let key = PublicKey::from_spki_der(&STANDARD.decode(key).unwrap()).unwrap();
    let signature = STANDARD.decode(signature).unwrap();
    let by = signer(KeyKind::P384);
    let signers = [ExpectedSigner::key("maker", key.clone())];
    let instance = Instance::new();
    let root = instance.root();
    let court = Court {
        root: &root,
        signers: &signers,
        log: LogRequirement::AbsenceAllowed,
    };
    let mut bundle = message(&by);
    bundle
        .verification_material
        .public_key
        .as_mut()
        .unwrap()
        .hint = String::new();
    let digest = custos_core::digest::Algorithm::Sha256.digest(FILE);
    bundle.message_signature = Some(custos_core::bundle::MessageSignature::new(
        &digest,
        signature.clone(),
    ));
    court.of_file(&bundle).unwrap();
    // It has no name in Rekor v2, so no entry there can be of it.
    let entry = custos_core::entry::HashedRekord::new(
        digest,
        signature,
        custos_core::entry::Verifier::PublicKey(key.as_spki_der().to_vec()),
        "PKIX_ECDSA_P384_SHA_256",
    );
    let entry = instance.v2.enter(entry.to_leaf().unwrap());
    bundle.verification_material.tlog_entries.push(entry);
    assert!(matches!(
        court.of_file(&bundle),
        Err(VerifyError::LogEntryNotBound { .. })
    ));
}

// What an unknown authority or log says is as much as nothing, so that it must not take away from
// what known ones say (sigstore-go and sigstore-python pass it over too).

#[test]
fn a_timestamp_of_an_unknown_authority_says_as_much_as_none() {
    let (instance, other) = (Instance::new(), Instance::new());
    let by = signer(KeyKind::P256);
    let signers = [expect_key("maker", &by)];
    let known = instance.root();
    let clockless = instance.root_with(|root| {
        root.as_object_mut().unwrap().remove("timestampAuthorities");
    });
    let logged = instance.in_v1(message(&by), &by, ("hashedrekord", "0.0.1"));
    for (root, fault) in [
        (&known, TimestampFault::UnknownAuthority),
        (&clockless, TimestampFault::NoAuthority),
    ] {
        let court = |log| Court {
            root,
            signers: &signers,
            log,
        };
        let unknown = VerifyError::Timestamp { position: 0, fault };
        // Beside a log that vouches for a time, and where nobody has to.
        let bundle = other.stamped(logged.clone(), THEN - 600);
        let verified = court(LogRequirement::Required).of_file(&bundle).unwrap();
        assert_eq!(verified.time(), AT);
        let time = detail(verified.checks(), CheckName::Time);
        assert!(time.ends_with("Z; 1 by no trusted authority"), "{time}");
        let bundle = other.stamped(message(&by), THEN);
        let unlogged = court(LogRequirement::AbsenceAllowed);
        let verified = unlogged.of_file(&bundle).unwrap();
        assert_eq!(verified.time(), SignedTime::Untrusted);
        assert_eq!(
            detail(verified.checks(), CheckName::Time),
            "untrusted: no timestamp authority of the trust root vouches for the time"
        );
        // Where a timestamp is needed, it is none, and the reason is said.
        let outcome = court(LogRequirement::OrTimestamp).of_file(&bundle);
        assert_eq!(outcome.unwrap_err(), unknown);
        // Whose it is may be unknown; that it is over another signature is a fault all the same.
        let mut bundle = logged.clone();
        push_stamp(&mut bundle, other.clock.stamp(b"another", THEN));
        assert!(matches!(
            court(LogRequirement::Required).of_file(&bundle),
            Err(VerifyError::Timestamp {
                fault: TimestampFault::OtherSignature,
                ..
            })
        ));
    }
    // Two authorities saw the signature, and one of them is known: its time counts.
    let both = other.stamped(message(&by), THEN - 600);
    let both = instance.stamped(both, THEN);
    let court = Court {
        root: &known,
        signers: &signers,
        log: LogRequirement::OrTimestamp,
    };
    assert_eq!(court.of_file(&both).unwrap().time(), AT);
}

#[test]
fn a_timestamp_of_an_unknown_authority_gives_a_certificate_no_time() {
    let (instance, other) = (Instance::new(), Instance::new());
    let authority = Authority::new();
    let leaf = Leaf {
        valid: (THEN - 60, THEN + 60),
        ..Leaf::email(KeyKind::P256, "a@example.com")
    };
    let by = authority.signer(&leaf);
    let root = instance
        .root()
        .with_authorities(&authority.root_pem)
        .unwrap();
    let signers = [ExpectedSigner::certificate("ann", "a@example.com", None)];
    let court = Court {
        root: &root,
        signers: &signers,
        log: LogRequirement::AbsenceAllowed,
    };
    let stamped = other.stamped(signed(&by), THEN);
    let unknown = VerifyError::Timestamp {
        position: 0,
        fault: TimestampFault::UnknownAuthority,
    };
    assert_eq!(court.of_statement(&stamped).unwrap_err(), unknown);
    // A time that is known decides, and the unknown one is not asked.
    court
        .of_statement(&instance.stamped(stamped.clone(), THEN))
        .unwrap();
    assert!(matches!(
        court.of_statement(&instance.stamped(stamped, THEN + 61)),
        Err(VerifyError::CertificateValidity { .. })
    ));
}

#[test]
fn an_entry_of_an_unknown_log_says_as_much_as_none() {
    let (instance, other) = (Instance::new(), Instance::new());
    let by = signer(KeyKind::P256);
    let (root, signers) = (instance.root(), [expect_key("maker", &by)]);
    let court = |log| Court {
        root: &root,
        signers: &signers,
        log,
    };
    let kind = ("hashedrekord", "0.0.1");
    let foreign = other.in_v2(other.in_v1(message(&by), &by, kind), &by);
    // Of no use alone, and an error where it could pass for a proof.
    for log in [LogRequirement::Required, LogRequirement::AbsenceAllowed] {
        assert!(matches!(
            court(log).of_file(&foreign),
            Err(VerifyError::LogNotTrusted { entry: 0, .. })
        ));
    }
    let both = instance.in_v2(foreign, &by);
    let verified = court(LogRequirement::Required).of_file(&both).unwrap();
    let [proof] = verified.log() else { panic!() };
    assert_eq!(proof.origin, V2_HOST);
    // The other log's promise of a time is not believed.
    assert_eq!(verified.time(), SignedTime::Untrusted);
    let log = detail(verified.checks(), CheckName::Log);
    assert!(log.ends_with("; 2 of no trusted log"), "{log}");
    let elsewhere = LogRequirement::RequiredIn { origin: V1_HOST };
    assert!(matches!(
        court(elsewhere).of_file(&both),
        Err(VerifyError::LogEntryMissing { .. })
    ));
}

fn detail(checks: &[Check], name: CheckName) -> &str {
    let check = checks.iter().find(|check| check.name == name).unwrap();
    &check.detail
}

#[test]
fn a_log_of_the_second_kind_promises_nothing() {
    let instance = Instance::new();
    let (root, by) = (instance.root(), signer(KeyKind::P256));
    let signers = [expect_key("maker", &by)];
    let court = Court {
        root: &root,
        signers: &signers,
        log: LogRequirement::Required,
    };
    let field = |bundle: &Bundle| match court.of_file(bundle) {
        Err(VerifyError::LogFieldMismatch {
            field, expected, ..
        }) => {
            assert_eq!(expected, "absent");
            field
        }
        other => panic!("{other:?}"),
    };
    let good = instance.in_v2(message(&by), &by);
    let mut timed = good.clone();
    timed.verification_material.tlog_entries[0]
        .integrated_time
        .0 = THEN;
    assert_eq!(field(&timed), "integratedTime");
    let mut promised = good;
    let promising = instance.in_v1(message(&by), &by, ("hashedrekord", "0.0.1"));
    promised.verification_material.tlog_entries[0].inclusion_promise =
        promising.verification_material.tlog_entries[0]
            .inclusion_promise
            .clone();
    assert_eq!(field(&promised), "inclusionPromise");
}

#[test]
fn a_promise_of_no_time_is_none() {
    let instance = Instance::new();
    let root = instance.root_with(|root| {
        root["tlogs"][0]["publicKey"]["validFor"]["start"] = "1960-01-01T00:00:00Z".into();
    });
    let by = signer(KeyKind::P256);
    let signers = [expect_key("maker", &by)];
    let court = Court {
        root: &root,
        signers: &signers,
        log: LogRequirement::Required,
    };
    for (time, good) in [(1, true), (0, false), (-1, false)] {
        let mut bundle = instance.in_v1(message(&by), &by, ("hashedrekord", "0.0.1"));
        let entry = &mut bundle.verification_material.tlog_entries[0];
        entry.integrated_time.0 = time;
        instance.v1.promise(entry);
        let outcome = court.of_file(&bundle);
        if good {
            outcome.unwrap();
        } else {
            assert_eq!(outcome.unwrap_err(), VerifyError::LogPromise { entry: 0 });
        }
    }
}

#[test]
fn a_trusted_time_lies_at_most_five_minutes_ahead() {
    let instance = Instance::new();
    let (root, by) = (instance.root(), signer(KeyKind::P256));
    let signers = [expect_key("maker", &by)];
    let bundle = instance.stamped(message(&by), THEN).to_bytes().unwrap();
    let artifact = file();
    let at = |now: Timestamp| {
        verify(&VerifyRequest {
            artifact: &artifact,
            material: Material::Bundle(&bundle),
            trust_root: &root,
            signers: &signers,
            log: LogRequirement::OrTimestamp,
            expect: Message,
            now,
        })
    };
    let first = Timestamp::from_seconds(THEN - 300);
    at(first).unwrap();
    let now = first.plus_micros(-1);
    let time = Timestamp::from_seconds(THEN);
    assert_eq!(
        at(now).unwrap_err(),
        VerifyError::TimeInFuture { time, now }
    );
}

#[test]
#[allow(clippy::too_many_lines, reason = "a list of parts")]
fn an_entry_of_the_first_kind_commits_to_every_part() {
    let instance = Instance::new();
    let authority = Authority::new();
    let leaf = Leaf {
        valid: (THEN - 60, THEN + 60),
        ..Leaf::email(KeyKind::P256, "a@example.com")
    };
    let (by_key, by_certificate) = (signer(KeyKind::P256), authority.signer(&leaf));
    let root = instance
        .root()
        .with_authorities(&authority.root_pem)
        .unwrap();
    let signers = [
        expect_key("maker", &by_key),
        ExpectedSigner::certificate("ann", "a@example.com", None),
    ];
    let court = Court {
        root: &root,
        signers: &signers,
        log: LogRequirement::Required,
    };
    // Kind, where the entry has the signer's PEM, and what else it commits to.
    let (other, name) = (json!(STANDARD.encode("other")), json!("sha512"));
    let kinds: [(_, &str, &[(&str, &Value)]); 3] = [
        (
            ("hashedrekord", "0.0.1"),
            "/spec/signature/publicKey/content",
            &[
                ("/spec/data/hash/algorithm", &name),
                ("/spec/data/hash/value", &other),
                ("/spec/signature/content", &other),
            ],
        ),
        (
            ("dsse", "0.0.1"),
            "/spec/signatures/0/verifier",
            &[
                ("/spec/payloadHash/algorithm", &name),
                ("/spec/payloadHash/value", &other),
                ("/spec/signatures/0/signature", &other),
            ],
        ),
        (
            ("intoto", "0.0.2"),
            "/spec/content/envelope/signatures/0/publicKey",
            &[
                ("/spec/content/payloadHash/algorithm", &name),
                ("/spec/content/payloadHash/value", &other),
                ("/spec/content/envelope/payloadType", &other),
                ("/spec/content/envelope/signatures/0/sig", &other),
            ],
        ),
    ];
    let both: [&dyn Signer; 2] = [&by_key, &by_certificate];
    for by in both {
        for (kind, pem_at, parts) in kinds {
            let bundle = match kind.0 {
                "hashedrekord" => message(by),
                _ => signed(by),
            };
            let body = body_v1(&bundle, by, kind);
            let judge = |said: (&str, &str), body: &Value| {
                let entry = instance.v1.enter(said, body);
                let mut bundle = bundle.clone();
                bundle.verification_material.tlog_entries.push(entry);
                match kind.0 {
                    "hashedrekord" => court.of_file(&bundle).map(|_| ()),
                    _ => court.of_statement(&bundle).map(|_| ()),
                }
            };
            let refused = |said: (&str, &str), body: &Value| {
                let outcome = judge(said, body);
                let not_bound = matches!(outcome, Err(VerifyError::LogEntryNotBound { .. }));
                assert!(not_bound, "{said:?} {body}: {outcome:?}");
            };
            judge(kind, &body).unwrap();
            let with = |at: &str, value: &Value| {
                let mut body = body.clone();
                *body.pointer_mut(at).unwrap() = value.clone();
                body
            };
            for (at, value) in parts {
                refused(kind, &with(at, value));
            }
            // The version alone, the kind alone: in what the bundle says, in what the log has.
            refused((kind.0, "0.0.9"), &body);
            refused(("rekord", kind.1), &body);
            refused(kind, &with("/apiVersion", &json!("0.0.9")));
            refused(kind, &with("/kind", &json!("rekord")));
            // The same bytes under another label, other bytes under the same.
            let pem = body.pointer(pem_at).unwrap().as_str().unwrap();
            let pem = String::from_utf8(STANDARD.decode(pem).unwrap()).unwrap();
            let pem = Pem::parse(&pem).unwrap();
            let label = match pem.label() {
                "CERTIFICATE" => "PUBLIC KEY",
                _ => "CERTIFICATE",
            };
            let mut bytes = pem.bytes().to_vec();
            *bytes.last_mut().unwrap() ^= 1;
            for pem in [
                Pem::new(label, pem.bytes().to_vec()),
                Pem::new(pem.label(), bytes),
            ] {
                let text = json!(STANDARD.encode(pem.to_text()));
                refused(kind, &with(pem_at, &text));
            }
            refused(kind, &with(pem_at, &other));
        }
    }
}

#[test]
fn a_file_signed_with_every_scheme_that_a_bundle_can_name_or_leave_out() {
    let instance = Instance::new();
    let root = instance.root();
    for kind in KINDS {
        let by = signer(kind);
        let signers = [expect_key("maker", &by)];
        let court = Court {
            root: &root,
            signers: &signers,
            log: LogRequirement::AbsenceAllowed,
        };
        // Without a name the hash is the one that goes with the key.
        let mut bundle = message(&by);
        bundle.message_signature.as_mut().unwrap().message_digest = None;
        court.of_file(&bundle).unwrap();
        let mut other = bundle;
        other.message_signature.as_mut().unwrap().signature = by.sign(b"other").unwrap().into();
        let outcome = court.of_file(&other);
        assert!(matches!(outcome, Err(VerifyError::SignatureInvalid { .. })));
    }
    // SHA-256 with a larger curve, as clients up to cosign 2 sign.
    for (kind, hash, good) in [
        (KeyKind::P384, Algorithm::Sha256, true),
        (KeyKind::P521, Algorithm::Sha256, true),
        (KeyKind::P521, Algorithm::Sha384, false),
        (KeyKind::P256, Algorithm::Sha384, false),
    ] {
        let pair = KeyPair::generate(kind).unwrap();
        let digest = hash.digest(FILE);
        let signature = sign_with(&pair, hash, FILE);
        let by = KeySigner::new(pair);
        let signers = [expect_key("maker", &by)];
        let court = Court {
            root: &root,
            signers: &signers,
            log: LogRequirement::AbsenceAllowed,
        };
        let mut bundle = message(&by);
        bundle.message_signature = Some(MessageSignature::new(&digest, signature));
        assert_eq!(court.of_file(&bundle).is_ok(), good, "{kind} {hash:?}");
        // Nobody signed such a thing for the log of the first kind either, unless it holds.
        let mut other = bundle;
        let forged = by.sign(b"other").unwrap();
        other.message_signature = Some(MessageSignature::new(&digest, forged));
        assert!(court.of_file(&other).is_err());
    }
}

#[test]
fn statements_signed_with_the_other_scheme_of_a_key() {
    let root = TrustRoot::trusting_nothing();
    let size = custos_core::crypto::RsaSize::Bits2048;
    for (kind, scheme) in [
        (KeyKind::Ed25519, Scheme::Ed25519),
        (KeyKind::Rsa(size), Scheme::RsaPssSha256(size)),
    ] {
        let pair = KeyPair::generate(kind).unwrap();
        let (pae, mut bundle) = {
            let by = signer(kind);
            let bundle = signed(&by);
            (bundle.dsse_envelope.as_ref().unwrap().pae(), bundle)
        };
        let signature = pair.sign(scheme, &pae).unwrap();
        let by = KeySigner::new(pair);
        let material = &mut bundle.verification_material;
        material.public_key.as_mut().unwrap().hint = String::new();
        bundle.dsse_envelope.as_mut().unwrap().signatures[0].sig = signature.into();
        let signers = [expect_key("maker", &by)];
        let court = Court {
            root: &root,
            signers: &signers,
            log: LogRequirement::AbsenceAllowed,
        };
        court.of_statement(&bundle).unwrap();
    }
}
