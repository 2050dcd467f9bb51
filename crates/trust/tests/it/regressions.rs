//! How verifiers really failed: one test for each class of mistakes that shipped in a trusted
//! project, named after it.

use custos_core::bundle::{Bundle, BundleError, Certificate, TransparencyLogEntry};
use custos_core::crypto::KeyKind;
use custos_core::digest::DigestSet;
use custos_core::dsse::{Base64, Envelope, Signature};
use custos_core::identity::{Expected, ExpectedSigner, Pattern, PatternError};
use custos_core::json::JsonError;
use custos_core::limits::{MAX_CERTIFICATES, MAX_LOG_ENTRIES};
use custos_core::statement::StatementError;
use custos_trust::root::TrustRootError;
use custos_trust::signer::Signer;
use custos_trust::verify::{
    CertificateFault, LogRequirement, Material, PredicateTypes, TimestampFault, VerifyError,
    VerifyRequest, distinct_keys,
};
use custos_trust::{TrustRoot, seal, verify};
use rcgen::ExtendedKeyUsagePurpose;
use serde_json::Value;

use crate::instance::{
    Clock, Instance, THEN, body_v1, file, message, patched, push_stamp, signature,
};
use crate::support::{
    Authority, Case, Leaf, NOW, PREDICATE, artifact, by_certificate, expect_key, logged_by_key,
    signer, statement,
};
use crate::vouched::Court;

const V1_FILE: (&str, &str) = ("hashedrekord", "0.0.1");
const V1_STATEMENTS: [(&str, &str); 2] = [("dsse", "0.0.1"), ("intoto", "0.0.2")];

fn signed(signer: &dyn Signer, about: &[u8]) -> Bundle {
    seal::sign_statement(&statement(about), signer, None).unwrap()
}

fn entry(bundle: &Bundle) -> TransparencyLogEntry {
    bundle.verification_material.tlog_entries[0].clone()
}

fn with_entry(mut bundle: Bundle, entry: TransparencyLogEntry) -> Bundle {
    bundle.verification_material.tlog_entries = vec![entry];
    bundle
}

fn not_bound<T>(outcome: &Result<T, VerifyError>) -> bool {
    matches!(outcome, Err(VerifyError::LogEntryNotBound { .. }))
}

#[test]
fn cve_2022_36056_and_cve_2026_22703_a_log_entry_that_is_not_bound_to_the_artifact() {
    let instance = Instance::new();
    let (by, other) = (signer(KeyKind::P256), signer(KeyKind::P256));
    let root = instance.root();
    let signers = [expect_key("maker", &by), expect_key("other", &other)];
    let court = Court {
        root: &root,
        signers: &signers,
        log: LogRequirement::AbsenceAllowed,
    };
    // A genuine entry, genuinely proven: of the same file by another signer, of the same file by
    // the same signer another time.
    for foreign in [&other, &by] {
        let v1 = instance.in_v1(message(foreign), foreign, V1_FILE);
        let v2 = instance.in_v2(message(foreign), foreign);
        for genuine in [v1, v2] {
            court.of_file(&genuine).unwrap();
            let forged = with_entry(message(&by), entry(&genuine));
            assert!(not_bound(&court.of_file(&forged)));
        }
    }
    // Of another statement, of the same statement by another signer, and the same statement signed
    // again.
    for (foreign, about) in [
        (&by, b"other".as_slice()),
        (&other, b"weights"),
        (&by, b"weights"),
    ] {
        let mut genuine = vec![instance.in_v2(signed(foreign, about), foreign)];
        for kind in V1_STATEMENTS {
            genuine.push(instance.in_v1(signed(foreign, about), foreign, kind));
        }
        for genuine in genuine {
            let forged = with_entry(signed(&by, b"weights"), entry(&genuine));
            assert!(not_bound(&court.of_statement(&forged)));
        }
    }
    // Of a log of our own.
    let (case, ours, log) = logged_by_key(KeyKind::P256);
    let genuine = log.log(signed(&ours, b"other"), &ours);
    let forged = case.edit(|bundle| *bundle = with_entry(bundle.clone(), entry(&genuine)));
    assert!(not_bound(&forged.verify()));
    // The key in the entry is the signer's, everything else is right.
    for kind in V1_STATEMENTS {
        let bundle = signed(&by, b"weights");
        let own = body_v1(&bundle, &by, kind);
        let right = with_entry(bundle.clone(), instance.v1.enter(kind, &own));
        court.of_statement(&right).unwrap();
        let foreign = body_v1(&bundle, &other, kind);
        let forged = with_entry(bundle, instance.v1.enter(kind, &foreign));
        assert!(not_bound(&court.of_statement(&forged)));
    }
}

#[test]
fn cve_2022_36056_an_entry_of_another_kind_stands_for_nothing() {
    let instance = Instance::new();
    let by = signer(KeyKind::P256);
    let (root, signers) = (instance.root(), [expect_key("maker", &by)]);
    let court = Court {
        root: &root,
        signers: &signers,
        log: LogRequirement::AbsenceAllowed,
    };
    let bundle = message(&by);
    let body = body_v1(&bundle, &by, V1_FILE);
    // What the bundle says about the kind, and what the log has.
    for (said, body) in [
        (("dsse", "0.0.1"), body.clone()),
        (
            V1_FILE,
            serde_json::json!({"apiVersion": "0.0.1", "kind": "rekord", "spec": {}}),
        ),
        (
            V1_FILE,
            serde_json::json!({"apiVersion": "0.0.1", "kind": "hashedrekord", "spec": {}}),
        ),
        (V1_FILE, serde_json::json!({"spec": body["spec"]})),
        (V1_FILE, Value::Null),
    ] {
        let forged = with_entry(bundle.clone(), instance.v1.enter(said, &body));
        assert!(not_bound(&court.of_file(&forged)), "{body}");
    }
    let unknown = instance.v1.enter(
        ("rekord", "0.0.1"),
        &serde_json::json!({"apiVersion": "0.0.1", "kind": "rekord", "spec": {}}),
    );
    assert!(matches!(
        court.of_file(&with_entry(bundle.clone(), unknown)),
        Err(VerifyError::LogEntryKind { .. })
    ));
    // An attestation's entry under a file's signature, and the other way round.
    let statement = instance.in_v1(signed(&by, b"weights"), &by, V1_STATEMENTS[0]);
    assert!(not_bound(
        &court.of_file(&with_entry(bundle.clone(), entry(&statement)))
    ));
    let of_file = instance.in_v1(bundle, &by, V1_FILE);
    let forged = with_entry(signed(&by, b"weights"), entry(&of_file));
    assert!(not_bound(&court.of_statement(&forged)));
}

#[test]
fn cve_2022_36056_the_identity_is_checked_on_every_path() {
    let (case, _) = by_certificate(
        &Leaf::email(KeyKind::P256, "a@example.com"),
        "b@example.com",
    );
    assert!(matches!(
        case.verify(),
        Err(VerifyError::SignerNotExpected { .. })
    ));
    let instance = Instance::new();
    let (by, stranger) = (signer(KeyKind::P256), signer(KeyKind::P256));
    let root = instance.root();
    let signers = [expect_key("maker", &by)];
    let court = Court {
        root: &root,
        signers: &signers,
        log: LogRequirement::AbsenceAllowed,
    };
    let nobody = |outcome: Result<(), VerifyError>| {
        matches!(
            outcome,
            Err(VerifyError::SignerNotExpected { .. } | VerifyError::SignatureInvalid { .. })
        )
    };
    for bundle in [
        message(&stranger),
        instance.stamped(message(&stranger), THEN),
        instance.in_v1(message(&stranger), &stranger, V1_FILE),
        instance.in_v2(message(&stranger), &stranger),
    ] {
        assert!(nobody(court.of_file(&bundle).map(|_| ())));
    }
}

#[test]
fn cve_2022_36056_an_invalid_part_is_an_error_and_never_a_skip() {
    let instance = Instance::new();
    let by = signer(KeyKind::P256);
    let (root, signers) = (instance.root(), [expect_key("maker", &by)]);
    let court = Court {
        root: &root,
        signers: &signers,
        log: LogRequirement::AbsenceAllowed,
    };
    // Neither a log nor a time is needed, and yet what is there must hold.
    let good = instance.in_v1(instance.stamped(message(&by), THEN), &by, V1_FILE);
    court.of_file(&good).unwrap();
    let broken = |change: &dyn Fn(&mut TransparencyLogEntry)| {
        let mut bundle = good.clone();
        change(&mut bundle.verification_material.tlog_entries[0]);
        court.of_file(&bundle).map(|_| ()).unwrap_err()
    };
    let error = broken(&|entry| entry.integrated_time.0 -= 1);
    assert_eq!(error, VerifyError::LogPromise { entry: 0 });
    let error = broken(&|entry| entry.log_index.0 += 1);
    assert_eq!(error, VerifyError::LogPromise { entry: 0 });
    let error = broken(&|entry| entry.log_id.key_id.0[0] ^= 1);
    assert!(matches!(error, VerifyError::LogNotTrusted { .. }));
    let error = broken(&|entry| entry.inclusion_proof.as_mut().unwrap().hashes[0].0[0] ^= 1);
    assert!(matches!(error, VerifyError::InclusionProof { .. }));
    let error = broken(&|entry| entry.inclusion_proof.as_mut().unwrap().checkpoint = None);
    assert!(matches!(error, VerifyError::LogProofMissing { .. }));
    let mut bundle = good.clone();
    let stamps = &mut bundle.verification_material.timestamp_verification_data;
    let stamp = &mut stamps.rfc3161_timestamps[0].signed_timestamp;
    *stamp = patched(stamp, |bytes| *bytes.last_mut().unwrap() ^= 1);
    assert!(matches!(
        court.of_file(&bundle),
        Err(VerifyError::Timestamp { position: 0, .. })
    ));
}

#[test]
fn cve_2026_39395_an_unexpected_predicate_type_and_a_payload_that_does_not_parse() {
    let by = signer(KeyKind::P256);
    let case = Case::unlogged(&by, "", expect_key("k", &by));
    assert!(matches!(
        case.verify_as(&["https://example.com/other"]),
        Err(VerifyError::PredicateType { .. })
    ));
    // Signed by the expected signer, and yet no statement.
    for payload in [
        b"".as_slice(),
        b"[]",
        b"{}",
        b"null",
        b"not JSON",
        b"{\"_type\":1}",
    ] {
        let message = custos_core::dsse::pae(custos_core::dsse::INTOTO_PAYLOAD_TYPE, payload);
        let envelope = Envelope::new(
            custos_core::dsse::INTOTO_PAYLOAD_TYPE,
            payload.to_vec(),
            vec![Signature::new(by.sign(&message).unwrap())],
        );
        let case = Case::unlogged(&by, "", expect_key("k", &by))
            .edit(|bundle| bundle.dsse_envelope = Some(envelope));
        assert!(
            matches!(case.verify(), Err(VerifyError::Statement(_))),
            "{payload:?}"
        );
    }
}

#[test]
fn ghsa_fx35_mq7g_6g98_a_bare_key_in_the_certificate_field() {
    let leaf = Leaf::email(KeyKind::P256, "a@example.com");
    let (case, by) = by_certificate(&leaf, "a@example.com");
    let spki = by.public_key().as_spki_der().to_vec();
    let instance = Instance::new();
    for root in [case.root.clone(), instance.root()] {
        for alone in [false, true] {
            let signers = vec![
                ExpectedSigner::certificate("ann", "a@example.com", None),
                ExpectedSigner::key("ann's key", by.public_key().clone()),
            ];
            let case = Case {
                root: root.clone(),
                signers,
                bytes: case.bytes.clone(),
                artifact: case.artifact.clone(),
                ..case_like()
            }
            .edit(|bundle| {
                let material = &mut bundle.verification_material;
                let chain = material.x509_certificate_chain.as_mut().unwrap();
                chain.certificates[0].raw_bytes = Base64(spki.clone());
                if alone {
                    let certificate: Certificate = chain.certificates[0].clone();
                    material.x509_certificate_chain = None;
                    material.certificate = Some(certificate);
                }
            });
            assert_eq!(
                case.verify().unwrap_err(),
                VerifyError::Certificate {
                    position: 0,
                    fault: CertificateFault::Malformed
                }
            );
        }
    }
}

fn case_like() -> Case {
    Case {
        artifact: DigestSet::new(),
        bytes: Vec::new(),
        root: TrustRoot::trusting_nothing(),
        signers: Vec::new(),
        required: false,
        now: NOW,
    }
}

#[test]
fn cve_2026_39984_one_timestamp_certificate_verified_and_another_looked_at() {
    let instance = Instance::new();
    let by = signer(KeyKind::P256);
    let (root, signers) = (instance.root(), [expect_key("maker", &by)]);
    let fault = |root: &TrustRoot, clock: &Clock, named: &[u8]| {
        let court = Court {
            root,
            signers: &signers,
            log: LogRequirement::OrTimestamp,
        };
        let mut bundle = message(&by);
        let stamp = clock.stamp_as(named, &signature(&bundle), THEN);
        push_stamp(&mut bundle, stamp);
        match court.of_file(&bundle) {
            Err(VerifyError::Timestamp { fault, .. }) => Some(fault),
            Ok(_) => None,
            other => panic!("{other:?}"),
        }
    };
    let evil = Clock::new(ExtendedKeyUsagePurpose::TimeStamping);
    assert_eq!(fault(&root, &instance.clock, &instance.clock.der), None);
    // Signed by somebody else's key under the trusted certificate's name.
    assert_eq!(
        fault(&root, &evil, &instance.clock.der),
        Some(TimestampFault::Signature)
    );
    // Signed under a name of one's own.
    assert_eq!(
        fault(&root, &evil, &evil.der),
        Some(TimestampFault::UnknownAuthority)
    );
    // A trusted certificate that is not for timestamps: a signer cannot give itself a time.
    let mut coder = Instance::new();
    coder.clock = Clock::new(ExtendedKeyUsagePurpose::CodeSigning);
    assert_eq!(
        fault(&coder.root(), &coder.clock, &coder.clock.der),
        Some(TimestampFault::Certificate(CertificateFault::Usage))
    );
}

#[test]
fn cve_2023_47122_a_log_key_that_comes_from_the_log() {
    let (instance, other) = (Instance::new(), Instance::new());
    let by = signer(KeyKind::P256);
    let (root, signers) = (instance.root(), [expect_key("maker", &by)]);
    let court = Court {
        root: &root,
        signers: &signers,
        log: LogRequirement::AbsenceAllowed,
    };
    // A perfect entry of a log that nobody trusts.
    for foreign in [
        other.in_v1(message(&by), &by, V1_FILE),
        other.in_v2(message(&by), &by),
    ] {
        let outcome = court.of_file(&foreign).map(|_| ());
        assert!(matches!(outcome, Err(VerifyError::LogNotTrusted { .. })));
        // The same entry under the name of a trusted log.
        let trusted = [instance.v1.id(), id_of_v2(&instance)];
        for id in trusted {
            let mut forged = foreign.clone();
            forged.verification_material.tlog_entries[0].log_id.key_id = Base64(id);
            assert!(court.of_file(&forged).is_err());
        }
    }
    // A checkpoint of one trusted log proves nothing about the other.
    let mut crossed = instance.in_v2(message(&by), &by);
    crossed.verification_material.tlog_entries[0].log_id.key_id = Base64(instance.v1.id());
    let error = court.of_file(&crossed).map(|_| ()).unwrap_err();
    assert!(matches!(error, VerifyError::Checkpoint { .. }), "{error:?}");
}

fn id_of_v2(instance: &Instance) -> Vec<u8> {
    let vkey: custos_log::note::VerifierKey = instance.v2.vkey().parse().unwrap();
    vkey.full_id().to_vec()
}

#[test]
fn duplicate_sigs_and_duplicate_sig_keys_a_threshold_met_by_one_key() {
    let by = signer(KeyKind::P256);
    let statement = statement(b"weights");
    let envelope = seal::sign_envelope(&statement, &[&by]).unwrap();
    let again = seal::sign_envelope(&statement, &[&by]).unwrap();
    let mut twice = envelope.clone();
    twice.signatures.extend(again.signatures);
    let bytes = serde_json::to_vec(&twice).unwrap();
    // The same key under two names, signing twice.
    let signers = [expect_key("one", &by), expect_key("two", &by)];
    let digests = artifact(b"weights");
    let root = TrustRoot::trusting_nothing();
    let verified = verify(&VerifyRequest {
        artifact: &digests,
        material: Material::Envelope(&bytes),
        trust_root: &root,
        signers: &signers,
        log: LogRequirement::AbsenceAllowed,
        expect: PredicateTypes::new(&[PREDICATE]),
        now: NOW,
    })
    .unwrap();
    assert_eq!(verified.signers().count(), 1);
    assert_eq!(distinct_keys([&verified, &verified]), 1);
}

#[test]
fn an_empty_set_satisfies_nothing() {
    let by = signer(KeyKind::P256);
    let case = || Case::unlogged(&by, "", expect_key("k", &by));
    let mut nobody = case();
    nobody.signers.clear();
    assert_eq!(nobody.verify().unwrap_err(), VerifyError::NoExpectedSigner);
    let mut nothing = case();
    nothing.artifact = DigestSet::new();
    assert_eq!(nothing.verify().unwrap_err(), VerifyError::ArtifactUnnamed);
    assert!(matches!(
        case().verify_as(&[]),
        Err(VerifyError::PredicateType { .. })
    ));
    let mut unlogged = case();
    unlogged.required = true;
    assert!(matches!(
        unlogged.verify(),
        Err(VerifyError::LogEntryMissing { .. })
    ));
    let no_signature = case().edit(|bundle| {
        bundle.dsse_envelope.as_mut().unwrap().signatures.clear();
    });
    assert_eq!(
        no_signature.verify().unwrap_err(),
        VerifyError::Bundle(BundleError::SignatureCount { found: 0 })
    );
}

#[test]
fn duplicate_json_keys_wherever_json_is_read() {
    let twin = |error: &JsonError| matches!(error, JsonError::DuplicateKey { .. });
    let by = signer(KeyKind::P256);
    let mut case = Case::unlogged(&by, "", expect_key("k", &by));
    let text = String::from_utf8(case.bytes.clone()).unwrap();
    case.bytes = text
        .replacen("\"sig\":", "\"sig\":\"AA==\",\"sig\":", 1)
        .into_bytes();
    let error = case.verify().unwrap_err();
    assert!(
        matches!(&error, VerifyError::Bundle(BundleError::Json(e)) if twin(e)),
        "{error}"
    );
    // Inside of the signed payload.
    let payload = statement(b"weights").to_bytes().unwrap();
    let payload = String::from_utf8(payload).unwrap();
    let payload = payload.replacen(
        "\"predicateType\":",
        "\"predicateType\":\"x\",\"predicateType\":",
        1,
    );
    let pae = custos_core::dsse::pae(custos_core::dsse::INTOTO_PAYLOAD_TYPE, payload.as_bytes());
    let envelope = Envelope::new(
        custos_core::dsse::INTOTO_PAYLOAD_TYPE,
        payload.into_bytes(),
        vec![Signature::new(by.sign(&pae).unwrap())],
    );
    let case = Case::unlogged(&by, "", expect_key("k", &by))
        .edit(|bundle| bundle.dsse_envelope = Some(envelope));
    let error = case.verify().unwrap_err();
    assert!(
        matches!(&error, VerifyError::Statement(StatementError::Json(e)) if twin(e)),
        "{error}"
    );
    // In what a log signed.
    let instance = Instance::new();
    let bundle = message(&by);
    let body = body_v1(&bundle, &by, V1_FILE).to_string();
    let body = body.replacen("\"kind\":", "\"kind\":\"x\",\"kind\":", 1);
    let entry = instance.v1.enter_bytes(V1_FILE, body.into_bytes());
    let (root, signers) = (instance.root(), [expect_key("maker", &by)]);
    let court = Court {
        root: &root,
        signers: &signers,
        log: LogRequirement::AbsenceAllowed,
    };
    assert!(not_bound(&court.of_file(&with_entry(bundle, entry))));
    // In the trusted root.
    let root = instance.trusted_root().to_string();
    let root = root.replacen("\"tlogs\":", "\"tlogs\":[],\"tlogs\":", 1);
    let outcome = TrustRoot::trusting_nothing().with_sigstore(root.as_bytes());
    assert!(matches!(&outcome, Err(TrustRootError::Json(e)) if twin(e)));
}

#[test]
fn any_signer_cannot_be_asked_for() {
    for everybody in [".*", ".+", "^.*$", "(?s).*", "[^\\n]+", ""] {
        assert!(matches!(
            Pattern::new(everybody),
            Err(PatternError::Anybody | PatternError::Empty)
        ));
    }
    // A pattern describes the whole name: who owns a part of it is somebody else.
    let leaf = Leaf::email(KeyKind::P256, "a@example.com.evil.org");
    let (mut case, _) = by_certificate(&leaf, "x");
    let expected = |pattern: &str| {
        let pattern = Expected::Matching(Pattern::new(pattern).unwrap());
        vec![ExpectedSigner::matching("ann", pattern, None)]
    };
    case.signers = expected("a@example\\.com");
    assert!(matches!(
        case.verify(),
        Err(VerifyError::SignerNotExpected { .. })
    ));
    case.signers = expected("[a-z]@example\\.com\\..+");
    case.verify().unwrap();
}

#[test]
#[allow(clippy::too_many_lines, reason = "a list of cases")]
fn endless_data_meets_a_limit_before_it_is_read() {
    let by = signer(KeyKind::P256);
    let instance = Instance::new();
    let (root, signers) = (instance.root(), [expect_key("maker", &by)]);
    let court = Court {
        root: &root,
        signers: &signers,
        log: LogRequirement::AbsenceAllowed,
    };
    let mut entries = instance.in_v2(message(&by), &by);
    let one = entry(&entries);
    entries.verification_material.tlog_entries = vec![one; MAX_LOG_ENTRIES + 1];
    assert!(matches!(
        court.of_file(&entries),
        Err(VerifyError::Bundle(BundleError::TooManyLogEntries { .. }))
    ));
    let mut stamps = instance.stamped(message(&by), THEN);
    let data = &mut stamps.verification_material.timestamp_verification_data;
    data.rfc3161_timestamps = vec![data.rfc3161_timestamps[0].clone(); 17];
    assert!(matches!(
        court.of_file(&stamps),
        Err(VerifyError::Timestamp {
            fault: TimestampFault::TooMany,
            ..
        })
    ));
    let authority = Authority::new();
    let certified = authority.signer(&Leaf::email(KeyKind::P256, "a@example.com"));
    let mut chain = message(&certified);
    let certificates = chain
        .verification_material
        .x509_certificate_chain
        .as_mut()
        .unwrap();
    certificates.certificates = vec![certificates.certificates[0].clone(); MAX_CERTIFICATES + 1];
    assert!(matches!(
        court.of_file(&chain),
        Err(VerifyError::Bundle(BundleError::TooManyCertificates { .. }))
    ));
    // A megabyte of certificate, timestamp or entry is none.
    let mut large = message(&certified);
    let certificates = large
        .verification_material
        .x509_certificate_chain
        .as_mut()
        .unwrap();
    certificates.certificates[0].raw_bytes = Base64(vec![0x30; 1 << 20]);
    assert!(matches!(
        court.of_file(&large),
        Err(VerifyError::Certificate {
            fault: CertificateFault::TooLarge { .. },
            ..
        })
    ));
    let deep = [vec![b'['; 100_000], vec![b']'; 100_000]].concat();
    let request = VerifyRequest {
        artifact: &file(),
        material: Material::Bundle(&deep),
        trust_root: &root,
        signers: &signers,
        log: LogRequirement::AbsenceAllowed,
        expect: PredicateTypes::new(&[PREDICATE]),
        now: NOW,
    };
    assert!(matches!(
        verify(&request),
        Err(VerifyError::Bundle(BundleError::Json(
            JsonError::TooDeep { .. }
        )))
    ));
}
