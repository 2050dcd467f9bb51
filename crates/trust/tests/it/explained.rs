//! What a verification says: every check that failed, where, and in which words.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use custos_core::clock::Timestamp;
use custos_core::crypto::{KeyKind, PublicKey, sha256};
use custos_core::digest::DigestSet;
use custos_core::dsse::Base64;
use custos_core::identity::{ExpectedSigner, Identity};
use custos_core::statement::{Statement, Subject};
use custos_trust::revocation::{Boundary, KeyFault, Revocation, Revocations, Side, Who};
use custos_trust::signer::Signer as _;
use custos_trust::verify::{
    Check, CheckName, CheckState, LogRequirement, Material, Message, MessageBytes, PredicateTypes,
    VerifyError, VerifyRequest, verify_all,
};
use custos_trust::{TrustRoot, seal};

use crate::instance::{Instance, THEN, V1_HOST, file, message};
use crate::support::{
    Case, Leaf, NOW, ORIGIN, PREDICATE, artifact, by_certificate, expect_key, logged_by_key,
    signer, statement,
};
use crate::vouched::Court;

fn checks(case: &Case, types: &[&str]) -> Vec<Check> {
    let request = case.request(types, Material::Bundle(&case.bytes));
    let mut outcome = verify_all(&[("it", request)]).unwrap();
    assert_eq!(
        outcome.reports[0].error,
        case.verify_as(types).err(),
        "one verdict"
    );
    outcome.reports.remove(0).checks
}

fn states(checks: &[Check]) -> Vec<(CheckName, CheckState)> {
    let pairs = checks.iter().map(|check| (check.name, check.state));
    pairs.collect()
}

fn found(checks: &[Check], name: CheckName) -> &Check {
    checks.iter().find(|check| check.name == name).unwrap()
}

#[test]
fn an_unlogged_signature_has_no_entry_to_look_at() {
    let by = signer(KeyKind::P256);
    let checks = checks(&Case::unlogged(&by, "", expect_key("k", &by)), &[PREDICATE]);
    assert_eq!(
        states(&checks),
        [
            (CheckName::Format, CheckState::Ok),
            (CheckName::Time, CheckState::NotClaimed),
            (CheckName::Log, CheckState::NotClaimed),
            (CheckName::Signature, CheckState::Ok),
            (CheckName::Statement, CheckState::Ok),
            (CheckName::Predicate, CheckState::Ok),
            (CheckName::Subject, CheckState::Ok),
            (CheckName::Signer, CheckState::Ok),
        ]
    );
    for (name, detail) in [
        (CheckName::Time, "untrusted: nobody vouches for the time"),
        (CheckName::Log, "not logged, and that is allowed"),
        (CheckName::Signature, "p256"),
        (CheckName::Predicate, PREDICATE),
        (CheckName::Subject, "model.safetensors"),
    ] {
        assert_eq!(found(&checks, name).detail, detail);
    }
    let id = by.public_key().id();
    let detail = format!("k (key:{})", id.short());
    assert_eq!(found(&checks, CheckName::Signer).detail, detail);
    assert!(checks.iter().all(|check| check.at.is_empty()));
    assert!(checks.iter().all(|check| check.help.is_empty()));
}

#[test]
fn everything_that_is_wrong_is_in_the_list() {
    // Another's key, a broken timestamp, an entry of an unknown log, another type, another file.
    let (case, by, _) = logged_by_key(KeyKind::P256);
    let case = case.edit(|bundle| {
        let material = &mut bundle.verification_material;
        material.tlog_entries[0].log_id.key_id = Base64(vec![7; 32]);
        let stamp = crate::instance::timestamp(b"no timestamp");
        crate::instance::push_stamp(bundle, stamp);
    });
    let case = Case {
        artifact: artifact(b"another file"),
        ..case
    };
    let list = checks(&case, &["https://example.com/another"]);
    assert_eq!(
        states(&list),
        [
            (CheckName::Format, CheckState::Ok),
            (CheckName::Time, CheckState::Failed),
            (CheckName::Log, CheckState::Failed),
            (CheckName::LogBinding, CheckState::NotReached),
            (CheckName::Signature, CheckState::Ok),
            (CheckName::Statement, CheckState::Ok),
            (CheckName::Predicate, CheckState::Failed),
            (CheckName::Subject, CheckState::Failed),
            (CheckName::Signer, CheckState::Ok),
        ]
    );
    let entry = "verificationMaterial.tlogEntries[0].logId.keyId";
    assert_eq!(found(&list, CheckName::Log).at, entry);
    for check in &list {
        let failed = check.state == CheckState::Failed;
        assert_eq!(!check.help.is_empty(), failed, "{}", check.name);
        assert_eq!(!check.at.is_empty(), failed, "{}", check.name);
    }
    let subject = found(&list, CheckName::Subject);
    let hex = |bytes: &[u8]| hex::encode(sha256(bytes));
    assert_eq!(
        subject.detail,
        format!(
            "the statement is about sha256:{}, not about sha256:{}",
            hex(b"weights"),
            hex(b"another file")
        )
    );
    // A signer whom nobody expects says nothing about the rest, and the rest is judged.
    let stranger = signer(KeyKind::P256);
    let case = Case {
        signers: vec![expect_key("somebody else", &stranger)],
        ..case
    };
    let list = checks(&case, &[PREDICATE]);
    let signer = found(&list, CheckName::Signer);
    let hint = seal::key_hint(by.public_key());
    let expected = &case.signers[0];
    assert_eq!(
        signer.detail,
        format!("signed by a key with hint {hint}, expected {expected}")
    );
    assert_eq!(signer.state, CheckState::Failed);
    let binding = found(&list, CheckName::LogBinding);
    assert_eq!(binding.state, CheckState::NotReached);
}

#[test]
fn a_certificate_whose_every_part_is_wrong() {
    let (case, _) = by_certificate(
        &Leaf {
            valid: (THEN - 60, THEN),
            ..Leaf::email(KeyKind::P256, "mallory@example.com")
        },
        "a@example.com",
    );
    let case = case.edit(|bundle| {
        let envelope = bundle.dsse_envelope.as_mut().unwrap();
        envelope.signatures[0].sig.0[10] ^= 1;
    });
    let list = checks(&case, &[PREDICATE]);
    let failed: Vec<_> = list
        .iter()
        .filter(|check| check.state == CheckState::Failed)
        .map(|check| check.name)
        .collect();
    assert_eq!(
        failed,
        [
            CheckName::Certificate,
            CheckName::Signature,
            CheckName::Signer
        ]
    );
}

#[test]
fn checks_have_names_of_their_own() {
    let names = [
        CheckName::Format,
        CheckName::Certificate,
        CheckName::Sct,
        CheckName::Time,
        CheckName::Log,
        CheckName::LogBinding,
        CheckName::Signature,
        CheckName::Statement,
        CheckName::Predicate,
        CheckName::Subject,
        CheckName::Signer,
    ];
    let texts: std::collections::BTreeSet<_> = names.iter().map(ToString::to_string).collect();
    assert_eq!(texts.len(), names.len());
    assert!(texts.iter().all(|text| text.len() > 5));
}

#[test]
fn what_the_log_proves_in_words_and_in_text() {
    let (case, _, _) = logged_by_key(KeyKind::P256);
    let verified = case.verify().unwrap();
    let log = found(verified.checks(), CheckName::Log);
    assert_eq!(log.detail, format!("{ORIGIN} #21 (tree 25)"));
    assert_eq!(verified.index_in("log.example.com"), None);
    let [proof] = verified.log() else { panic!() };
    let bundle = case.bundle();
    let entry = &bundle.verification_material.tlog_entries[0];
    let note = &entry.inclusion_proof.as_ref().unwrap().checkpoint;
    let (text, signatures) = note.as_ref().unwrap().envelope.split_once("\n\n").unwrap();
    assert_eq!(proof.checkpoint, format!("{text}\n"));
    assert!(!signatures.is_empty());

    let instance = Instance::new();
    let by = signer(KeyKind::P256);
    let mut bundle = instance.in_v1(message(&by), &by, ("hashedrekord", "0.0.1"));
    bundle.verification_material.tlog_entries[0].inclusion_proof = None;
    bundle.media_type = custos_core::bundle::MediaType::V01;
    let court = Court {
        root: &instance.root(),
        signers: &[expect_key("k", &by)],
        log: LogRequirement::Required,
    };
    let verified = court.of_file(&bundle).unwrap();
    let log = found(verified.checks(), CheckName::Log);
    let promised = format!("{V1_HOST} #9000001 (promised, not proven)");
    assert_eq!(log.detail, promised);
}

#[test]
fn witnesses_are_counted() {
    let (case, _, _) = logged_by_key(KeyKind::P256);
    for (count, words) in [(1, "1 witness"), (2, "2 witnesses")] {
        let mut root = case.root.clone();
        let mut lines = String::new();
        let bundle = case.bundle();
        let entry = &bundle.verification_material.tlog_entries[0];
        let note = entry.inclusion_proof.as_ref().unwrap();
        let note = &note.checkpoint.as_ref().unwrap().envelope;
        let text = &note[..=note.rfind("\n\n").unwrap()];
        for at in 0..count {
            let name = format!("witness{at}.example.com");
            let witness = Witness::new(&name);
            root = root.with_log_key(&witness.vkey).unwrap();
            // Two times of one witness do not make two.
            lines.push_str(&witness.line(text, THEN));
            lines.push_str(&witness.line(text, THEN + 1));
        }
        let case = Case {
            root,
            ..clone(&case)
        }
        .edit(|bundle| {
            let entry = &mut bundle.verification_material.tlog_entries[0];
            let proof = entry.inclusion_proof.as_mut().unwrap();
            proof.checkpoint.as_mut().unwrap().envelope.push_str(&lines);
        });
        let verified = case.verify().unwrap();
        let log = found(verified.checks(), CheckName::Log);
        assert_eq!(log.detail, format!("{ORIGIN} #21 (tree 25, {words})"));
        let names = &verified.log()[0].witnesses;
        assert_eq!(names.len(), count);
        assert_eq!(names[0], "witness0.example.com");
    }
}

/// A witness that cosigns (C2SP tlog-cosignature).
struct Witness {
    pair: custos_core::crypto::KeyPair,
    name: String,
    vkey: String,
    id: Vec<u8>,
}

impl Witness {
    fn new(name: &str) -> Self {
        let pair = custos_core::crypto::KeyPair::generate(KeyKind::Ed25519).unwrap();
        let key = pair.public_key().ed25519_bytes().unwrap();
        let id = sha256(&[name.as_bytes(), b"\n\x04", &key].concat())[..4].to_vec();
        let encoded = STANDARD.encode([&[4][..], &key].concat());
        Self {
            vkey: format!("{name}+{}+{encoded}", hex::encode(&id)),
            pair,
            name: name.to_owned(),
            id,
        }
    }

    fn line(&self, text: &str, time: i64) -> String {
        let time = u64::try_from(time).unwrap();
        let message = format!("cosignature/v1\ntime {time}\n{text}");
        let scheme = custos_core::crypto::Scheme::Ed25519;
        let signature = self.pair.sign(scheme, message.as_bytes()).unwrap();
        let bytes = [&self.id[..], &time.to_be_bytes(), &signature].concat();
        format!("\u{2014} {} {}\n", self.name, STANDARD.encode(bytes))
    }
}

fn clone(case: &Case) -> Case {
    Case {
        artifact: case.artifact.clone(),
        bytes: case.bytes.clone(),
        root: case.root.clone(),
        signers: case.signers.clone(),
        required: case.required,
        now: case.now,
    }
}

#[test]
fn a_key_that_was_revoked_in_words() {
    let (mut case, by, _) = logged_by_key(KeyKind::P256);
    let since = Timestamp::from_seconds(1_794_000_000);
    let who = Who::Key(by.public_key().id());
    for (boundary, words) in [
        (
            Boundary::new(since).with_log(ORIGIN, 0),
            "this signature came later",
        ),
        (
            Boundary::new(since),
            "nothing proves that this signature came before",
        ),
    ] {
        let one = Revocation::new(who.clone(), boundary, "laptop stolen", NOW);
        let list = Revocations::none().with_revocation(one).unwrap();
        case.root = case.root.clone().with_revocations(list);
        let error = case.verify().unwrap_err().to_string();
        let expected = format!("was revoked since {since} (laptop stolen), and {words}");
        assert!(error.ends_with(&expected), "{error}");
    }
    // Whoever asks who signed, and not whether that still counts.
    case.root = case.root.clone().without_revocations();
    assert!(case.root.revocations().is_none());
    case.verify().unwrap();
    let fault = KeyFault::Retired {
        key: "a".into(),
        at: since,
        by: "b".into(),
        side: Side::Behind,
    };
    let error = VerifyError::KeyRevoked { fault };
    let text = format!("key:a was replaced by key:b at {since}, and this signature came later");
    assert_eq!(error.to_string(), text);
}

#[test]
fn lists_of_people_in_words() {
    let expected = |names: &[&str]| {
        let expected = names.iter().map(|name| (*name).to_owned()).collect();
        let found = "mallory".to_owned();
        VerifyError::SignerNotExpected { expected, found }.to_string()
    };
    assert_eq!(expected(&[]), "signed by mallory, expected nobody");
    assert_eq!(expected(&["a"]), "signed by mallory, expected a");
    assert_eq!(expected(&["a", "b"]), "signed by mallory, expected a or b");
}

#[test]
fn who_is_expected_is_said_in_every_refusal() {
    let (by, other) = (signer(KeyKind::P256), signer(KeyKind::P256));
    let envelope = seal::sign_envelope(&statement(b"weights"), &[&by]).unwrap();
    let bytes = serde_json::to_vec(&envelope).unwrap();
    let mut case = Case::unlogged(&by, "", expect_key("ann", &other));
    case.signers.push(expect_key("bob", &signer(KeyKind::P384)));
    let names: Vec<_> = case.signers.iter().map(ToString::to_string).collect();
    let error = custos_trust::verify(&case.request(&[PREDICATE], Material::Envelope(&bytes)));
    let Err(VerifyError::SignatureInvalid { tried, .. }) = error else {
        panic!("{error:?}")
    };
    assert_eq!(tried, names);
    let Err(VerifyError::SignerNotExpected { expected, .. }) = case.verify() else {
        panic!()
    };
    assert_eq!(expected, names);
}

// What the bundle says about its key can only narrow the choice.

#[test]
fn hints_choose_among_the_expected_keys() {
    let (by, other) = (signer(KeyKind::P256), signer(KeyKind::P256));
    let forms = |key: &PublicKey| {
        let id = *key.id().as_bytes();
        [
            seal::key_hint(key),
            hex::encode(id),
            STANDARD.encode(id),
            STANDARD_NO_PAD.encode(id),
            format!("SHA256:{}", STANDARD_NO_PAD.encode(id)),
        ]
    };
    let judged = |hint: &str, signers: Vec<ExpectedSigner>| {
        let case = Case::unlogged(&by, "", expect_key("ann", &by)).edit(|bundle| {
            let key = &mut bundle.verification_material.public_key;
            key.as_mut().unwrap().hint = hint.to_owned();
        });
        Case { signers, ..case }.verify()
    };
    let both = || vec![expect_key("bob", &other), expect_key("ann", &by)];
    for hint in forms(by.public_key()) {
        assert_eq!(judged(&hint, both()).unwrap().signer_name(), "ann");
        let only = judged(&hint, vec![expect_key("bob", &other)]);
        assert!(matches!(only, Err(VerifyError::SignerNotExpected { .. })));
    }
    for hint in forms(other.public_key()) {
        // The hint is of one of those expected, and that one did not sign.
        let Err(VerifyError::SignatureInvalid { tried, .. }) = judged(&hint, both()) else {
            panic!("{hint}")
        };
        assert_eq!(tried, ["bob"]);
        let Err(VerifyError::SignerNotExpected { found, .. }) =
            judged(&hint, vec![expect_key("ann", &by)])
        else {
            panic!("{hint}")
        };
        assert_eq!(found, format!("a key with hint {hint}"));
    }
    // Text that happens to decode is still text.
    for hint in ["", "beef", "abcd", "abc", "SHA256:abcd", "laptop"] {
        assert_eq!(judged(hint, both()).unwrap().signer_name(), "ann", "{hint}");
        let only = judged(hint, vec![expect_key("bob", &other)]);
        assert!(matches!(only, Err(VerifyError::SignatureInvalid { .. })));
    }
}

#[test]
fn copies_of_keys_choose_among_the_expected_keys() {
    let (by, other) = (signer(KeyKind::P256), signer(KeyKind::P256));
    let judged = |raw: Vec<u8>| {
        let case = Case::unlogged(&by, "", expect_key("bob", &other)).edit(|bundle| {
            let key = bundle.verification_material.public_key.as_mut().unwrap();
            key.hint = String::new();
            key.raw_bytes = Some(Base64(raw.clone()));
        });
        let mut signers = case.signers.clone();
        signers.push(expect_key("ann", &by));
        Case { signers, ..case }.verify()
    };
    for key in [&by, &other] {
        let key = key.public_key();
        for raw in [key.as_spki_der().to_vec(), key.to_pem().into_bytes()] {
            let outcome = judged(raw);
            if key == by.public_key() {
                assert_eq!(outcome.unwrap().signer_name(), "ann");
            } else {
                let Err(VerifyError::SignatureInvalid { tried, .. }) = outcome else {
                    panic!("{outcome:?}")
                };
                assert_eq!(tried, ["bob"]);
            }
        }
    }
    let Err(VerifyError::SignerNotExpected { found, .. }) = judged(b"a key".to_vec()) else {
        panic!()
    };
    let digest = hex::encode(sha256(b"a key"));
    assert_eq!(found, format!("a key with SHA-256 {digest}"));
}

#[test]
fn fields_that_a_log_of_ours_never_writes() {
    let instance = Instance::new();
    let by = signer(KeyKind::P256);
    let v1 = instance.in_v1(message(&by), &by, ("hashedrekord", "0.0.1"));
    let promise = &v1.verification_material.tlog_entries[0].inclusion_promise;
    let (case, _, _) = logged_by_key(KeyKind::P256);
    let case = case.edit(|bundle| {
        let entry = &mut bundle.verification_material.tlog_entries[0];
        entry.inclusion_promise.clone_from(promise);
    });
    let error = case.verify().unwrap_err();
    assert!(matches!(
        error,
        VerifyError::LogFieldMismatch {
            field: "inclusionPromise",
            ..
        }
    ));
}

#[test]
fn an_entry_says_what_else_it_is_of() {
    let (case, by, log) = logged_by_key(KeyKind::P256);
    let other = seal::sign_statement(&statement(b"other"), &by, None).unwrap();
    let pae = other.dsse_envelope.as_ref().unwrap().pae();
    let entry = log.enter(crate::support::leaf_of(&other, &by));
    let case = case.edit(|bundle| bundle.verification_material.tlog_entries = vec![entry]);
    let Err(VerifyError::LogEntryNotBound {
        expected, found, ..
    }) = case.verify()
    else {
        panic!()
    };
    assert_eq!(found, format!("sha256:{}", hex::encode(sha256(&pae))));
    let pae = case.bundle().dsse_envelope.unwrap().pae();
    assert_eq!(expected, format!("sha256:{}", hex::encode(sha256(&pae))));
}

#[test]
fn as_many_candidates_as_there_is_room_for() {
    let (case, _, _) = logged_by_key(KeyKind::P256);
    let request = case.request(&[PREDICATE], Material::Bundle(b"{"));
    let candidates = vec![("it", request); 1024];
    let outcome = verify_all(&candidates).unwrap();
    assert_eq!(outcome.reports.len(), 1024);
    assert!(outcome.verified.is_empty());
}

#[test]
fn what_is_asked_for_is_part_of_what_is_remembered() {
    let by = signer(KeyKind::P256);
    let (root, signers) = (TrustRoot::trusting_nothing(), [expect_key("k", &by)]);
    let (artifact, bytes) = (file(), message(&by).to_bytes().unwrap());
    let material = Material::Bundle(&bytes);
    let message = VerifyRequest {
        artifact: &artifact,
        material,
        trust_root: &root,
        signers: &signers,
        log: LogRequirement::AbsenceAllowed,
        expect: Message,
        now: NOW,
    };
    let at_hand = VerifyRequest {
        artifact: &artifact,
        material,
        trust_root: &root,
        signers: &signers,
        log: LogRequirement::AbsenceAllowed,
        expect: MessageBytes::new(b"x"),
        now: NOW,
    };
    let statement = VerifyRequest {
        artifact: &artifact,
        material,
        trust_root: &root,
        signers: &signers,
        log: LogRequirement::AbsenceAllowed,
        expect: PredicateTypes::new(&[]),
        now: NOW,
    };
    let digests = [message.digest(), at_hand.digest(), statement.digest()];
    let different: std::collections::BTreeSet<_> = digests.iter().collect();
    assert_eq!(different.len(), 3);
    let envelope = message.with_material(Material::Envelope(&bytes));
    assert_ne!(envelope.digest(), message.digest());
}

#[test]
fn a_subject_without_a_name_and_the_parts_of_a_result() {
    let by = signer(KeyKind::P256);
    let mut subject = Subject::new("x", artifact(b"weights"));
    subject.name = None;
    let statement = Statement::new(vec![subject], PREDICATE, &7).unwrap();
    let bundle = seal::sign_statement(&statement, &by, None).unwrap();
    let case = Case {
        bytes: bundle.to_bytes().unwrap(),
        ..Case::unlogged(&by, "", expect_key("k", &by))
    };
    let verified = case.verify().unwrap();
    assert_eq!(found(verified.checks(), CheckName::Subject).detail, "");
    assert_eq!(verified.statement().predicate::<u32>().unwrap(), 7);
    assert_eq!(verified.artifact(), &case.artifact);
    let proof = serde_json::to_value(verified.proof()).unwrap();
    assert_eq!(proof["signer"]["name"], "k");
    assert_eq!(proof["time"]["kind"], "untrusted");
    assert_eq!(
        verified.signers().next().unwrap().identity,
        Identity::Key {
            id: by.public_key().id()
        }
    );
    assert_eq!(verified.into_content().predicate_type(), PREDICATE);
}

#[test]
fn bytes_at_hand_count_for_pure_ed25519_alone() {
    // For other keys the digest is what was signed, whatever bytes come with the request.
    let by = signer(KeyKind::P256);
    let (root, signers) = (TrustRoot::trusting_nothing(), [expect_key("k", &by)]);
    let bytes = message(&by).to_bytes().unwrap();
    let digests: DigestSet = file();
    let verified = custos_trust::verify(&VerifyRequest {
        artifact: &digests,
        material: Material::Bundle(&bytes),
        trust_root: &root,
        signers: &signers,
        log: LogRequirement::AbsenceAllowed,
        expect: MessageBytes::new(b"other bytes"),
        now: NOW,
    });
    let subject = verified.unwrap();
    let subject = found(subject.checks(), CheckName::Subject);
    assert!(subject.detail.starts_with("sha256:"), "{}", subject.detail);
}
