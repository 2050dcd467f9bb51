//! What must be accepted, and what the result says.

use custos_core::crypto::{KeyKind, KeyPair};
use custos_core::digest::{Algorithm, DigestSet};
use custos_core::identity::{ExpectedSigner, Identity};
use custos_log::disk::sim::SimDisk;
use custos_log::note::{KeyPairSigner, NoteSigner as _};
use custos_log::recorder::{RecordError, Recorded, Recorder};
use custos_log::{Log, LogOptions};
use custos_trust::seal::{self, SealError};
use custos_trust::signer::{CertificateSigner, SignError, Signer};
use custos_trust::verify::{
    CheckName, CheckState, LogRequirement, Material, PredicateTypes, SignedTime, VerifyError,
    VerifyRequest, distinct_keys, unverified_statement, verify_all,
};
use custos_trust::{TrustRoot, verify};
use rcgen::{ExtendedKeyUsagePurpose, KeyUsagePurpose, SanType};

use crate::support::{
    Authority, Case, Leaf, MemoryLog, NOW, ORIGIN, PREDICATE, artifact, by_certificate, expect_key,
    leaf_params, logged_by_key, pair, signer, statement,
};

#[test]
fn a_logged_signature_by_every_kind_of_key() {
    for kind in KeyKind::CURVES {
        let (case, signer, _) = logged_by_key(kind);
        let verified = case.verify().unwrap();
        assert_eq!(
            verified.signer(),
            &Identity::Key {
                id: signer.public_key().id()
            }
        );
        assert_eq!(verified.signer_name(), "trainer");
        assert_eq!(verified.index_in(ORIGIN), Some(21));
        assert_eq!(verified.log()[0].tree_size, 25);
        assert_eq!(verified.time(), SignedTime::Untrusted);
        assert_eq!(
            verified.bundle_digest(),
            Algorithm::Sha256.digest(&case.bytes)
        );
        assert_eq!(verified.trust_root(), case.root.digest());
        assert!(!verified.is_legacy());
        let payload = case.bundle().dsse_envelope.unwrap().payload.0;
        assert_eq!(
            verified.payload_digest(),
            Algorithm::Sha256.digest(&payload)
        );
        let states: Vec<_> = verified
            .checks()
            .iter()
            .map(|c| (c.name, c.state))
            .collect();
        assert_eq!(
            states,
            [
                (CheckName::Format, CheckState::Ok),
                (CheckName::Time, CheckState::NotClaimed),
                (CheckName::Log, CheckState::Ok),
                (CheckName::LogBinding, CheckState::Ok),
                (CheckName::Signature, CheckState::Ok),
                (CheckName::Statement, CheckState::Ok),
                (CheckName::Predicate, CheckState::Ok),
                (CheckName::Subject, CheckState::Ok),
                (CheckName::Signer, CheckState::Ok),
            ]
        );
    }
}

#[test]
fn a_log_key_of_every_kind_and_the_required_origin() {
    for kind in KeyKind::CURVES {
        let log = MemoryLog::new(ORIGIN, kind, 0);
        let signer = signer(KeyKind::P256);
        let bundle = seal::sign_statement(&statement(b"w"), &signer, None).unwrap();
        let case = Case {
            artifact: artifact(b"w"),
            bytes: log.log(bundle, &signer).to_bytes().unwrap(),
            root: TrustRoot::trusting_nothing()
                .with_log_key(&log.vkey())
                .unwrap(),
            signers: vec![expect_key("k", &signer)],
            required: true,
            now: NOW,
        };
        case.verify().unwrap();
        let mut request = case.request(&[PREDICATE], Material::Bundle(&case.bytes));
        request.log = LogRequirement::RequiredIn { origin: ORIGIN };
        verify(&request).unwrap();
        request.log = LogRequirement::RequiredIn {
            origin: "elsewhere",
        };
        assert_eq!(
            verify(&request).unwrap_err(),
            VerifyError::LogEntryMissing {
                required: "elsewhere".into()
            }
        );
    }
}

#[test]
fn certificates_of_every_kind_of_key_with_every_kind_of_name() {
    for kind in KeyKind::CURVES {
        let (case, signer) = by_certificate(&Leaf::email(kind, "a@example.com"), "a@example.com");
        let verified = case.verify().unwrap();
        assert_eq!(verified.signer_name(), "alice");
        assert_eq!(
            verified.signer(),
            &Identity::Certificate {
                subject: "a@example.com".into(),
                issuer: "CN=Test Intermediate".into(),
                key: signer.public_key().id(),
            }
        );
        let chain = case
            .bundle()
            .verification_material
            .x509_certificate_chain
            .unwrap();
        assert_eq!(
            chain.certificates.len(),
            2,
            "leaf and intermediate, no root"
        );
    }
    let uri = SanType::URI("spiffe://example.com/train".try_into().unwrap());
    let mut leaf = Leaf::email(KeyKind::P256, "a@example.com");
    leaf.sans.push(uri);
    by_certificate(&leaf, "spiffe://example.com/train")
        .0
        .verify()
        .unwrap();
    leaf.sans.clear();
    by_certificate(&leaf, "A Signer").0.verify().unwrap();
}

#[test]
fn a_certificate_may_be_logged_too() {
    let (mut case, signer) = by_certificate(
        &Leaf::email(KeyKind::P384, "a@example.com"),
        "a@example.com",
    );
    let log = MemoryLog::new(ORIGIN, KeyKind::P256, 5);
    case.bytes = log.log(case.bundle(), &signer).to_bytes().unwrap();
    case.root = case.root.with_log_key(&log.vkey()).unwrap();
    case.required = true;
    assert_eq!(case.verify().unwrap().index_in(ORIGIN), Some(5));
}

#[test]
fn either_usage_is_enough_but_neither_may_exclude_signing() {
    let mut leaf = Leaf::email(KeyKind::P256, "a@example.com");
    leaf.purposes.clear();
    by_certificate(&leaf, "a@example.com").0.verify().unwrap();
    leaf.usages.clear();
    leaf.purposes.push(ExtendedKeyUsagePurpose::CodeSigning);
    by_certificate(&leaf, "a@example.com").0.verify().unwrap();
}

#[test]
fn a_leaf_that_says_it_is_an_authority_as_the_reference_client_makes_them() {
    // Issued by an intermediate, and by the root itself.
    let authority = Authority::new();
    let mut leaf = Leaf::email(KeyKind::P384, "a@example.com");
    leaf.is_ca = true;
    for by_root in [false, true] {
        let (pair, pem) = authority.issue_leaf(&leaf, by_root);
        let chain = format!("{pem}{}", authority.intermediate_pem);
        let signer = CertificateSigner::new(pair, &chain).unwrap();
        let case = Case::unlogged(
            &signer,
            &authority.root_pem,
            ExpectedSigner::certificate("alice", "a@example.com", None),
        );
        case.verify().unwrap();
        let other = Case {
            root: TrustRoot::trusting_nothing()
                .with_authorities(&Authority::new().root_pem)
                .unwrap(),
            ..case
        };
        assert!(matches!(
            other.verify(),
            Err(VerifyError::Certificate { .. })
        ));
    }
}

#[test]
fn a_self_signed_certificate_that_is_trusted_itself() {
    for is_ca in [false, true] {
        let mut leaf = Leaf::email(KeyKind::P256, "a@example.com");
        leaf.is_ca = is_ca;
        leaf.usages = vec![
            KeyUsagePurpose::DigitalSignature,
            KeyUsagePurpose::KeyCertSign,
        ];
        let (pair, key) = pair(leaf.kind);
        let pem = leaf_params(&leaf).self_signed(&key).unwrap().pem();
        let signer = CertificateSigner::new(pair, &pem).unwrap();
        let case = Case::unlogged(
            &signer,
            &pem,
            ExpectedSigner::certificate("alice", "a@example.com", None),
        );
        case.verify().unwrap();
    }
}

#[test]
fn key_id_may_be_absent_null_or_anything_and_entries_absent() {
    let signer = signer(KeyKind::P256);
    let mut case = Case::unlogged(&signer, "", expect_key("k", &signer));
    let text = String::from_utf8(case.bytes.clone()).unwrap();
    assert!(text.contains(r#""keyid":"""#), "{text}");
    for keyid in [r#""keyid":null,"#, "", r#""keyid":"somebody else","#] {
        case.bytes = text.replace(r#""keyid":"","#, keyid).into_bytes();
        case.verify().unwrap();
    }
    case.bytes = text.replace(r#","tlogEntries":[]"#, "").into_bytes();
    assert!(case.bytes.len() < text.len());
    let verified = case.verify().unwrap();
    assert!(verified.log().is_empty());
    let log = verified
        .checks()
        .iter()
        .find(|c| c.name == CheckName::Log)
        .unwrap();
    assert_eq!(log.state, CheckState::NotClaimed);
}

#[test]
fn hints_of_other_tools_are_understood() {
    use base64::Engine as _;
    let signer = signer(KeyKind::P256);
    let id = *signer.public_key().id().as_bytes();
    let standard = base64::engine::general_purpose::STANDARD.encode(id);
    for hint in [
        seal::key_hint(signer.public_key()),
        signer.public_key().id().to_string(),
        standard.clone(),
        format!("SHA256:{}", standard.trim_end_matches('=')),
        "my laptop".to_owned(),
        String::new(),
    ] {
        let case = Case::unlogged(&signer, "", expect_key("k", &signer)).edit(|bundle| {
            bundle
                .verification_material
                .public_key
                .as_mut()
                .unwrap()
                .hint
                .clone_from(&hint);
        });
        assert!(case.verify().is_ok(), "{hint}");
    }
}

#[test]
fn an_envelope_with_several_signers() {
    let (a, b, c) = (
        signer(KeyKind::P256),
        signer(KeyKind::Ed25519),
        signer(KeyKind::P521),
    );
    let envelope = seal::sign_envelope(&statement(b"w"), &[&a, &b, &c]).unwrap();
    let bytes = serde_json::to_vec(&envelope).unwrap();
    let case = Case {
        artifact: artifact(b"w"),
        bytes: Vec::new(),
        root: TrustRoot::trusting_nothing(),
        signers: vec![expect_key("c", &c), expect_key("a", &a)],
        required: false,
        now: NOW,
    };
    let verified = verify(&case.request(&[PREDICATE], Material::Envelope(&bytes))).unwrap();
    let names: Vec<_> = verified.signers().map(|s| s.name.as_str()).collect();
    assert_eq!(names, ["a", "c"], "b signed too, but nobody asked for b");
    assert_eq!(distinct_keys([&verified]), 2);
    assert_eq!(
        seal::sign_envelope(&statement(b"w"), &[&a, &b, &a]).unwrap_err(),
        SealError::SameKeyTwice {
            key: a.public_key().id().to_string()
        }
    );
    let logged = Case {
        required: true,
        ..case
    };
    assert!(matches!(
        verify(&logged.request(&[PREDICATE], Material::Envelope(&bytes))),
        Err(VerifyError::LogEntryMissing { .. })
    ));
}

#[test]
fn a_tree_is_found_by_one_digest_only_if_the_others_agree() {
    let signer = signer(KeyKind::P256);
    let mut tree = artifact(b"tree");
    tree.insert_raw("dirHash", "aa");
    let subject = custos_core::statement::Subject::new("m", tree.clone());
    let statement = custos_core::statement::Statement::new(vec![subject], PREDICATE, &1).unwrap();
    let bundle = seal::sign_statement(&statement, &signer, None).unwrap();
    let case = |digests: DigestSet| Case {
        artifact: digests,
        bytes: bundle.to_bytes().unwrap(),
        root: TrustRoot::trusting_nothing(),
        signers: vec![expect_key("k", &signer)],
        required: false,
        now: NOW,
    };
    case(tree.clone()).verify().unwrap();
    case(artifact(b"tree")).verify().unwrap();
    let mut renamed = tree;
    renamed.insert_raw("dirHash", "bb");
    assert!(matches!(
        case(renamed).verify(),
        Err(VerifyError::SubjectMismatch { .. })
    ));
}

#[test]
fn every_candidate_gets_its_list_of_checks() {
    let (good, _, _) = logged_by_key(KeyKind::P256);
    let (other, _, _) = logged_by_key(KeyKind::P256);
    let request = good.request(&[PREDICATE], Material::Bundle(&good.bytes));
    let candidates = [
        ("good", request),
        (
            "foreign",
            request.with_material(Material::Bundle(&other.bytes)),
        ),
        ("broken", request.with_material(Material::Bundle(b"{"))),
    ];
    let outcome = verify_all(&candidates).unwrap();
    assert_eq!(outcome.verified.len(), 1);
    let [good, foreign, broken] = &outcome.reports[..] else {
        panic!()
    };
    assert!(good.error.is_none());
    assert!(matches!(
        foreign.error,
        Some(VerifyError::SignerNotExpected { .. })
    ));
    let state = |name| {
        foreign
            .checks
            .iter()
            .find(|c| c.name == name)
            .unwrap()
            .state
    };
    assert_eq!(state(CheckName::Format), CheckState::Ok);
    assert_eq!(state(CheckName::Signer), CheckState::Failed);
    assert_eq!(state(CheckName::Signature), CheckState::NotReached);
    assert_eq!(
        state(CheckName::Predicate),
        CheckState::Ok,
        "looked at all the same"
    );
    assert_eq!(state(CheckName::Subject), CheckState::Ok);
    assert!(matches!(broken.error, Some(VerifyError::Bundle(_))));
    assert_eq!(broken.checks[0].state, CheckState::Failed);
}

#[test]
fn a_request_is_remembered_by_everything_it_depends_on() {
    let (case, signer, _) = logged_by_key(KeyKind::P256);
    let material = Material::Bundle(&case.bytes);
    let request = case.request(&[PREDICATE], material);
    let key = request.digest();
    assert_eq!(
        key,
        VerifyRequest {
            now: NOW.plus_micros(1),
            ..request
        }
        .digest()
    );
    let other_artifact = artifact(b"x");
    let other_signers = [expect_key("another name", &signer)];
    let other_root = TrustRoot::trusting_nothing();
    let different = [
        VerifyRequest {
            artifact: &other_artifact,
            ..request
        }
        .digest(),
        VerifyRequest {
            material: Material::Bundle(b"x"),
            ..request
        }
        .digest(),
        VerifyRequest {
            signers: &other_signers,
            ..request
        }
        .digest(),
        VerifyRequest {
            trust_root: &other_root,
            ..request
        }
        .digest(),
        VerifyRequest {
            log: LogRequirement::AbsenceAllowed,
            ..request
        }
        .digest(),
        VerifyRequest {
            expect: PredicateTypes::new(&["q"]),
            ..request
        }
        .digest(),
    ];
    for digest in different {
        assert_ne!(digest, key);
    }
    // No part runs into the next.
    let set = |name: &str, hex: &str| {
        let mut set = DigestSet::new();
        set.insert_raw(name, hex);
        VerifyRequest {
            artifact: &set,
            ..request
        }
        .digest()
    };
    assert_ne!(set("a", "b:c"), set("a:b", "c"));
}

#[test]
fn a_claim_can_be_read_without_being_believed() {
    let (case, _, _) = logged_by_key(KeyKind::P256);
    let claim = unverified_statement(Material::Bundle(&case.bytes)).unwrap();
    assert_eq!(claim.predicate_type(), PREDICATE);
}

#[test]
fn a_certificate_for_another_key_does_not_make_a_signer() {
    let authority = Authority::new();
    let (_, chain) = authority.issue(&Leaf::email(KeyKind::P256, "a@example.com"));
    let other = KeyPair::generate(KeyKind::P256).unwrap();
    assert_eq!(
        CertificateSigner::new(other, &chain).unwrap_err(),
        SignError::LeafKeyMismatch
    );
    let other = KeyPair::generate(KeyKind::P256).unwrap();
    assert_eq!(
        CertificateSigner::new(other, "").unwrap_err(),
        SignError::CertificateCount { found: 0 }
    );
}

#[test]
fn several_statements_are_logged_in_one_batch_by_the_real_log() {
    let log_key = KeyPairSigner::new(ORIGIN, KeyPair::generate(KeyKind::Ed25519).unwrap()).unwrap();
    let vkey = log_key.verifier_key().to_string();
    let disk = std::sync::Arc::new(SimDisk::new(1));
    let log = Log::create(disk, Box::new(log_key), LogOptions::batch()).unwrap();
    let root = TrustRoot::trusting_nothing().with_log_key(&vkey).unwrap();
    for kind in KeyKind::CURVES {
        let authority = Authority::new();
        let by_key = signer(kind);
        let by_certificate = authority.signer(&Leaf::email(kind, "a@example.com"));
        let signers: [(&dyn Signer, ExpectedSigner); 2] = [
            (&by_key, expect_key("k", &by_key)),
            (
                &by_certificate,
                ExpectedSigner::certificate("c", "a@example.com", None),
            ),
        ];
        for (signer, expected) in signers {
            let statements = [
                statement(b"data"),
                statement(b"weights"),
                statement(b"metrics"),
            ];
            let bundles = seal::sign_statements(&statements, signer, Some(&log)).unwrap();
            let mut checkpoints = std::collections::BTreeSet::new();
            for (bundle, bytes) in bundles.iter().zip([&b"data"[..], b"weights", b"metrics"]) {
                let case = Case {
                    artifact: artifact(bytes),
                    bytes: bundle.to_bytes().unwrap(),
                    root: root.clone().with_authorities(&authority.root_pem).unwrap(),
                    signers: vec![expected.clone()],
                    required: true,
                    now: NOW,
                };
                let verified = case.verify().unwrap();
                checkpoints.insert(verified.log()[0].checkpoint.clone());
            }
            assert_eq!(checkpoints.len(), 1, "one batch, one checkpoint");
        }
    }
}

#[test]
fn what_is_stored_before_logging_is_what_is_logged() {
    let log_key = KeyPairSigner::new(ORIGIN, KeyPair::generate(KeyKind::Ed25519).unwrap()).unwrap();
    let disk = std::sync::Arc::new(SimDisk::new(1));
    let log = Log::create(disk, Box::new(log_key), LogOptions::batch()).unwrap();
    let batch = seal::Signed::new(&[statement(b"a")], &signer(KeyKind::P256)).unwrap();
    let [before] = &batch.unlogged()[..] else {
        panic!()
    };
    let leaves = batch.leaves();
    let [after] = &batch.record(&log).unwrap()[..] else {
        panic!()
    };
    assert_eq!(before.dsse_envelope, after.dsse_envelope);
    let entry = &after.verification_material.tlog_entries[0];
    assert_eq!(entry.canonicalized_body.as_slice(), leaves[0]);
}

/// Takes leaves and loses the answers, or fails.
struct BadLog(Option<RecordError>, custos_log::note::VerifierKey);

impl Recorder for BadLog {
    fn record(&self, _: &[Vec<u8>]) -> Result<Vec<Recorded>, RecordError> {
        self.0.clone().map_or_else(|| Ok(Vec::new()), Err)
    }

    fn log_key(&self) -> &custos_log::note::VerifierKey {
        &self.1
    }
}

#[test]
fn nothing_is_sealed_if_the_log_does_not_answer() {
    let vkey: custos_log::note::VerifierKey = MemoryLog::new(ORIGIN, KeyKind::Ed25519, 0)
        .vkey()
        .parse()
        .unwrap();
    let signer = signer(KeyKind::P256);
    let log = BadLog(None, vkey.clone());
    assert_eq!(
        seal::sign_statement(&statement(b"w"), &signer, Some(&log)).unwrap_err(),
        SealError::RecorderCount {
            expected: 1,
            found: 0
        }
    );
    let log = BadLog(Some(RecordError::NoLog), vkey);
    assert_eq!(
        seal::sign_statement(&statement(b"w"), &signer, Some(&log)).unwrap_err(),
        SealError::Record(RecordError::NoLog)
    );
}
