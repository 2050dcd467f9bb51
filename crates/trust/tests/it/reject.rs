//! What must be rejected: one test for each way in which verifiers have really failed.
//!
//! Classes that need a network, an OIDC provider or a TUF cache cannot occur here: what verifies
//! fetches nothing and joins no name to a path (`nothing_that_verifies_can_reach_a_network`).

use custos_core::bundle::{BundleError, Certificate, Int64, SignedTimestamp, TransparencyLogEntry};
use custos_core::crypto::{KeyKind, KeyPair};
use custos_core::digest::DigestSet;
use custos_core::dsse::{Base64, Envelope, EnvelopeError, INTOTO_PAYLOAD_TYPE, Signature, pae};
use custos_core::identity::ExpectedSigner;
use custos_core::json::JsonError;
use custos_core::merkle::ProofError;
use custos_core::oms::LISTING_DIGEST;
use custos_core::statement::{Statement, StatementError, Subject};
use custos_trust::signer::{CertificateSigner, KeySigner, Signer};
use custos_trust::verify::{
    CertificateFault, LogRequirement, Material, Message, PromiseFault, TimestampFault, VerifyError,
    VerifyRequest, distinct_keys, verify_all,
};
use custos_trust::{TrustRoot, seal, verify};
use rcgen::{ExtendedKeyUsagePurpose, KeyUsagePurpose, SanType};

use crate::support::{
    Authority, Case, Leaf, MemoryLog, NOW, ORIGIN, PREDICATE, artifact, by_certificate, expect_key,
    leaf_of, leaf_params, logged_by_key, pair, scheme, signer, statement,
};

fn bundle_with_payload(signer: &dyn Signer, payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let signature = signer.sign(&pae(payload_type, payload)).unwrap();
    let mut bundle = seal::sign_statement(&statement(b"weights"), signer, None).unwrap();
    let signatures = vec![Signature::new(signature)];
    bundle.dsse_envelope = Some(Envelope::new(payload_type, payload.to_vec(), signatures));
    bundle.to_bytes().unwrap()
}

fn unlogged() -> (Case, KeySigner) {
    let signer = signer(KeyKind::P256);
    let case = Case::unlogged(&signer, "", expect_key("k", &signer));
    (case, signer)
}

// CVE-2022-36056, CVE-2026-22703: a genuine entry with a genuine proof, of something else.

#[test]
fn a_log_entry_of_another_statement() {
    let (case, signer, log) = logged_by_key(KeyKind::P256);
    let other = seal::sign_statement(&statement(b"other weights"), &signer, None).unwrap();
    let entry = log
        .log(other, &signer)
        .verification_material
        .tlog_entries
        .remove(0);
    let case = case.edit(|bundle| bundle.verification_material.tlog_entries = vec![entry]);
    let error = case.verify().unwrap_err();
    assert!(
        matches!(error, VerifyError::LogEntryNotBound { entry: 0, .. }),
        "{error}"
    );
    assert_eq!(error.code(), "E0107");
    assert_eq!(
        error.path(),
        "verificationMaterial.tlogEntries[0].canonicalizedBody"
    );
}

// What the verifier says it found in an entry that is not of this signature.
fn not_bound(case: Case, entry: TransparencyLogEntry) -> String {
    let case = case.edit(|bundle| bundle.verification_material.tlog_entries = vec![entry]);
    match case.verify().unwrap_err() {
        VerifyError::LogEntryNotBound { found, .. } => found,
        other => panic!("{other}"),
    }
}

#[test]
fn a_log_entry_of_another_signature_over_the_same_statement() {
    let (case, signer, log) = logged_by_key(KeyKind::P256);
    let again = seal::sign_statement(&statement(b"weights"), &signer, None).unwrap();
    let entry = log.enter(leaf_of(&again, &signer));
    assert_eq!(not_bound(case, entry), "another signature over the same");
}

#[test]
fn a_log_entry_that_names_another_key_for_the_same_signature() {
    let (case, _, log) = logged_by_key(KeyKind::P256);
    let entry = log.enter(leaf_of(&case.bundle(), &signer(KeyKind::P256)));
    assert_eq!(not_bound(case, entry), "another key or certificate");
}

#[test]
fn a_log_entry_that_cannot_be_read_is_no_absent_one() {
    let (case, _, _) = logged_by_key(KeyKind::P256);
    let mut case = case.edit(|bundle| {
        bundle.verification_material.tlog_entries[0].canonicalized_body = Base64(b"{}".to_vec());
    });
    for required in [true, false] {
        case.required = required;
        assert!(matches!(
            case.verify(),
            Err(VerifyError::LogEntryNotBound { .. })
        ));
    }
}

#[test]
fn an_entry_of_another_kind() {
    let (case, _, _) = logged_by_key(KeyKind::P256);
    let error = case
        .edit(|bundle| {
            let entry = &mut bundle.verification_material.tlog_entries[0];
            entry.kind_version.version = "0.0.1".into();
        })
        .verify()
        .unwrap_err();
    assert!(matches!(error, VerifyError::LogEntryKind { .. }));
}

// CVE-2022-36056, second part: the identity is checked on every path.

#[test]
fn a_signer_who_is_not_expected_on_every_path() {
    let stranger = signer(KeyKind::P256);
    let (mut key, _, _) = logged_by_key(KeyKind::P256);
    key.signers = vec![expect_key("somebody else", &stranger)];
    assert!(matches!(
        key.verify(),
        Err(VerifyError::SignerNotExpected { .. })
    ));
    // Without its hint, the bundle names nobody: the signature itself must fit.
    let key = key.edit(|bundle| {
        bundle
            .verification_material
            .public_key
            .as_mut()
            .unwrap()
            .hint
            .clear();
    });
    assert!(matches!(
        key.verify(),
        Err(VerifyError::SignatureInvalid { .. })
    ));

    let (mut certificate, signer) = by_certificate(
        &Leaf::email(KeyKind::P256, "mallory@example.com"),
        "alice@example.com",
    );
    let error = certificate.verify().unwrap_err();
    let VerifyError::SignerNotExpected { found, .. } = &error else {
        panic!("{error}")
    };
    assert!(found.starts_with("mallory@example.com"), "{found}");
    // The certificate's key, expected as a bare key, is not what was asked for either.
    certificate.signers = vec![expect_key("k", &signer)];
    assert!(matches!(
        certificate.verify(),
        Err(VerifyError::SignerNotExpected { .. })
    ));

    let envelope = seal::sign_envelope(&statement(b"weights"), &[&signer]).unwrap();
    let bytes = serde_json::to_vec(&envelope).unwrap();
    let (mut case, _) = unlogged();
    let bare = verify(&case.request(&[PREDICATE], Material::Envelope(&bytes))).unwrap_err();
    assert!(matches!(bare, VerifyError::SignatureInvalid { .. }));
    case.signers = vec![ExpectedSigner::certificate(
        "alice",
        "alice@example.com",
        None,
    )];
    let bare = verify(&case.request(&[PREDICATE], Material::Envelope(&bytes))).unwrap_err();
    assert!(matches!(bare, VerifyError::SignerNotExpected { .. }));
}

#[test]
fn an_oidc_identity_is_not_met_by_a_private_certificate() {
    let (mut case, _) = by_certificate(
        &Leaf::email(KeyKind::P256, "a@example.com"),
        "a@example.com",
    );
    let issuer = Some("https://accounts.example.com".to_owned());
    case.signers = vec![ExpectedSigner::certificate(
        "alice",
        "a@example.com",
        issuer,
    )];
    assert_eq!(
        case.verify().unwrap_err(),
        VerifyError::Certificate {
            position: 0,
            fault: CertificateFault::NoAnchor
        }
    );
}

// CVE-2026-39395: predicate type unchecked, parse errors swallowed.

#[test]
fn a_predicate_type_that_was_not_asked_for() {
    let (case, _) = unlogged();
    let error = case
        .verify_as(&["https://slsa.dev/provenance/v1"])
        .unwrap_err();
    assert_eq!(
        error,
        VerifyError::PredicateType {
            expected: vec!["https://slsa.dev/provenance/v1".into()],
            found: PREDICATE.into()
        }
    );
}

#[test]
fn a_payload_that_does_not_parse_under_a_good_signature() {
    let (mut case, signer) = unlogged();
    for payload in [
        &b"not json"[..],
        b"{}",
        br#"{"_type":"https://in-toto.io/Statement/v1","subject":[],"predicateType":"p"}"#,
        br#"{"_type":"https://in-toto.io/Statement/v2","subject":[{"digest":{"sha256":"00"}}],"predicateType":"p"}"#,
    ] {
        case.bytes = bundle_with_payload(&signer, INTOTO_PAYLOAD_TYPE, payload);
        assert!(matches!(case.verify(), Err(VerifyError::Statement(_))), "{payload:?}");
    }
}

#[test]
fn a_payload_type_that_is_no_statement() {
    let (mut case, signer) = unlogged();
    let payload = statement(b"weights").to_bytes().unwrap();
    case.bytes = bundle_with_payload(&signer, "application/json", &payload);
    assert_eq!(
        case.verify().unwrap_err(),
        VerifyError::PayloadType {
            found: "application/json".into()
        }
    );
}

// GHSA-fx35-mq7g-6g98: a bare key in the certificate field.

#[test]
fn a_bare_key_in_the_certificate_field() {
    let (case, signer) = by_certificate(
        &Leaf::email(KeyKind::P256, "a@example.com"),
        "a@example.com",
    );
    let spki = signer.public_key().as_spki_der().to_vec();
    let in_chain = case.edit(|bundle| {
        let chain = bundle
            .verification_material
            .x509_certificate_chain
            .as_mut()
            .unwrap();
        chain.certificates[0].raw_bytes = Base64(spki.clone());
    });
    let malformed = VerifyError::Certificate {
        position: 0,
        fault: CertificateFault::Malformed,
    };
    assert_eq!(in_chain.verify().unwrap_err(), malformed);
    let mut single = in_chain.edit(|bundle| {
        let chain = bundle
            .verification_material
            .x509_certificate_chain
            .take()
            .unwrap();
        let certificate: Certificate = chain.certificates[0].clone();
        bundle.verification_material.certificate = Some(certificate);
    });
    assert_eq!(single.verify().unwrap_err(), malformed);
    // Not even if that very key is expected.
    single.signers = vec![expect_key("k", &signer)];
    assert_eq!(single.verify().unwrap_err(), malformed);
}

// CVE-2026-39984: extra certificates change nothing.

#[test]
fn an_extra_certificate_lends_its_name_to_nobody() {
    let authority = Authority::new();
    let mallory = authority.signer(&Leaf::email(KeyKind::P256, "mallory@example.com"));
    let (_, alice) = authority.issue_leaf(&Leaf::email(KeyKind::P256, "alice@example.com"), false);
    let alice = custos_core::crypto::Pem::parse(&alice)
        .unwrap()
        .bytes()
        .to_vec();
    let case = Case::unlogged(
        &mallory,
        &authority.root_pem,
        ExpectedSigner::certificate("alice", "alice@example.com", None),
    );
    for position in [0, 1, 2] {
        let bytes = case.bytes.clone();
        let case = Case {
            bytes,
            ..Case {
                artifact: case.artifact.clone(),
                root: case.root.clone(),
                signers: case.signers.clone(),
                bytes: Vec::new(),
                ..case
            }
        };
        let alice = alice.clone();
        let case = case.edit(|bundle| {
            let chain = bundle
                .verification_material
                .x509_certificate_chain
                .as_mut()
                .unwrap();
            let mut certificate = chain.certificates[0].clone();
            certificate.raw_bytes = Base64(alice);
            chain.certificates.insert(position, certificate);
        });
        let error = case.verify().unwrap_err();
        match position {
            // In front, the name fits and the signature does not.
            0 => assert!(
                matches!(error, VerifyError::SignatureInvalid { .. }),
                "{error}"
            ),
            _ => assert!(
                matches!(error, VerifyError::SignerNotExpected { .. }),
                "{error}"
            ),
        }
    }
}

#[test]
fn a_root_that_only_the_bundle_names() {
    let theirs = Authority::new();
    let (pair, chain) = theirs.issue(&Leaf::email(KeyKind::P256, "a@example.com"));
    let signer = CertificateSigner::new(pair, &chain).unwrap();
    let case = Case::unlogged(
        &signer,
        &Authority::new().root_pem,
        ExpectedSigner::certificate("alice", "a@example.com", None),
    );
    let root = custos_core::crypto::Pem::parse(&theirs.root_pem)
        .unwrap()
        .bytes()
        .to_vec();
    let mut case = case.edit(|bundle| {
        let chain = bundle
            .verification_material
            .x509_certificate_chain
            .as_mut()
            .unwrap();
        let mut certificate = chain.certificates[0].clone();
        certificate.raw_bytes = Base64(root);
        chain.certificates.push(certificate);
    });
    let untrusted = case.verify().unwrap_err();
    assert!(
        matches!(untrusted, VerifyError::Certificate { position: 0, .. }),
        "{untrusted}"
    );
    case.root = TrustRoot::trusting_nothing();
    assert_eq!(
        case.verify().unwrap_err(),
        VerifyError::Certificate {
            position: 0,
            fault: CertificateFault::NoAnchor
        }
    );
    case.root = case.root.with_authorities(&theirs.root_pem).unwrap();
    case.verify().unwrap();
}

#[test]
fn a_leaf_outside_of_its_validity_with_both_ends_included() {
    let leaf = Leaf::email(KeyKind::P256, "a@example.com");
    let (from, to) = leaf.valid;
    let (mut case, _) = by_certificate(&leaf, "a@example.com");
    for (now, good) in [(from - 1, false), (from, true), (to, true), (to + 1, false)] {
        case.now = custos_core::clock::Timestamp::from_seconds(now);
        match case.verify() {
            Ok(_) => assert!(good, "{now}"),
            Err(error) => {
                assert!(!good, "{now}: {error}");
                assert!(
                    matches!(error, VerifyError::CertificateValidity { .. }),
                    "{error}"
                );
            }
        }
    }
}

#[test]
fn an_expired_authority_vouches_for_nobody() {
    for is_ca in [false, true] {
        let mut leaf = Leaf::email(KeyKind::P256, "a@example.com");
        leaf.is_ca = is_ca;
        let (root_pair, root_key) = pair(KeyKind::P256);
        let mut root = Leaf::email(KeyKind::P256, "ca@example.com");
        root.is_ca = true;
        root.usages = vec![KeyUsagePurpose::KeyCertSign];
        root.valid = (1_000_000_000, NOW.as_seconds() - 1);
        let root_params = leaf_params(&root);
        let root_pem = root_params.self_signed(&root_key).unwrap().pem();
        let (leaf_pair, leaf_key) = pair(KeyKind::P256);
        let issuer = rcgen::Issuer::new(root_params, root_key);
        let pem = leaf_params(&leaf)
            .signed_by(&leaf_key, &issuer)
            .unwrap()
            .pem();
        drop(root_pair);
        let signer = CertificateSigner::new(leaf_pair, &pem).unwrap();
        let case = Case::unlogged(
            &signer,
            &root_pem,
            ExpectedSigner::certificate("alice", "a@example.com", None),
        );
        assert_eq!(
            case.verify().unwrap_err(),
            VerifyError::Certificate {
                position: 0,
                fault: CertificateFault::NoValidAnchor { now: NOW }
            }
        );
    }
}

#[test]
fn a_leaf_that_may_not_sign() {
    let mut leaf = Leaf::email(KeyKind::P256, "a@example.com");
    let usage = VerifyError::Certificate {
        position: 0,
        fault: CertificateFault::Usage,
    };
    for (usages, purposes) in [
        (vec![], vec![]),
        (vec![KeyUsagePurpose::KeyEncipherment], vec![]),
        (
            vec![KeyUsagePurpose::KeyEncipherment],
            vec![ExtendedKeyUsagePurpose::CodeSigning],
        ),
        (
            vec![KeyUsagePurpose::DigitalSignature],
            vec![ExtendedKeyUsagePurpose::ServerAuth],
        ),
        (vec![], vec![ExtendedKeyUsagePurpose::ServerAuth]),
    ] {
        for is_ca in [false, true] {
            leaf.is_ca = is_ca;
            leaf.usages.clone_from(&usages);
            leaf.purposes.clone_from(&purposes);
            let (case, _) = by_certificate(&leaf, "a@example.com");
            assert_eq!(case.verify().unwrap_err(), usage);
        }
    }
}

#[test]
fn a_leaf_issued_by_another_leaf() {
    let authority = Authority::new();
    let middle = Leaf::email(KeyKind::P256, "middle@example.com");
    let (middle_pair, middle_key) = pair(KeyKind::P256);
    drop(middle_pair);
    // Not issued by us, but signed by a key whose certificate is no authority's.
    let middle_params = leaf_params(&middle);
    let (leaf_pair, leaf_key) = pair(KeyKind::P256);
    for is_ca in [false, true] {
        let mut leaf = Leaf::email(KeyKind::P256, "a@example.com");
        leaf.is_ca = is_ca;
        let issuer = rcgen::Issuer::from_params(&middle_params, &middle_key);
        let pem = leaf_params(&leaf)
            .signed_by(&leaf_key, &issuer)
            .unwrap()
            .pem();
        let middle_pem = middle_params.self_signed(&middle_key).unwrap().pem();
        let der = leaf_pair.to_pkcs8_der().unwrap();
        let signer = CertificateSigner::new(KeyPair::from_pkcs8_der(&der).unwrap(), &pem).unwrap();
        let bundle = seal::sign_statement(&statement(b"weights"), &signer, None).unwrap();
        let case = Case {
            artifact: artifact(b"weights"),
            bytes: bundle.to_bytes().unwrap(),
            // Even somebody who trusts the middle certificate does not let it issue.
            root: TrustRoot::trusting_nothing()
                .with_authorities(&format!("{}{middle_pem}", authority.root_pem))
                .unwrap(),
            signers: vec![ExpectedSigner::certificate("alice", "a@example.com", None)],
            required: false,
            now: NOW,
        };
        let outcome = case.verify();
        if is_ca {
            assert!(
                matches!(outcome, Err(VerifyError::Certificate { .. })),
                "{outcome:?}"
            );
        } else {
            // An anchor is an authority by being trusted; webpki asks nothing else of it.
            assert!(outcome.is_ok(), "{outcome:?}");
        }
    }
}

#[test]
fn a_key_of_a_kind_that_is_not_supported() {
    let mut leaf = Leaf::email(KeyKind::P256, "a@example.com");
    leaf.sans = vec![SanType::IpAddress([127, 0, 0, 1].into())];
    let (case, _) = by_certificate(&leaf, "127.0.0.1");
    let error = case.verify().unwrap_err();
    assert!(
        matches!(error, VerifyError::SignerNotExpected { .. }),
        "an address is no signer"
    );
}

// CVE-2023-47122: log keys come from the trust root only.

#[test]
fn a_log_that_is_not_trusted() {
    let (case, signer, _) = logged_by_key(KeyKind::P256);
    let fake = MemoryLog::new(ORIGIN, KeyKind::Ed25519, 3);
    let entry = fake.enter(leaf_of(&case.bundle(), &signer));
    let mut case = case.edit(|bundle| bundle.verification_material.tlog_entries = vec![entry]);
    for required in [true, false] {
        case.required = required;
        assert!(matches!(
            case.verify(),
            Err(VerifyError::LogNotTrusted { entry: 0, .. })
        ));
    }
    // With the trusted log's id pasted in, the checkpoint gives it away.
    let trusted = *case.root.log_keys()[0].full_id();
    let case = case.edit(|bundle| {
        bundle.verification_material.tlog_entries[0].log_id.key_id = Base64(trusted.to_vec());
    });
    assert!(matches!(
        case.verify(),
        Err(VerifyError::Checkpoint { entry: 0, .. })
    ));
}

#[test]
fn a_checkpoint_or_proof_that_was_changed() {
    let fresh = || logged_by_key(KeyKind::P256).0;
    let error = |change: &dyn Fn(&mut TransparencyLogEntry)| {
        fresh()
            .edit(|bundle| change(&mut bundle.verification_material.tlog_entries[0]))
            .verify()
            .unwrap_err()
    };
    let proof = |entry: &mut TransparencyLogEntry,
                 change: &dyn Fn(&mut custos_core::bundle::InclusionProof)| {
        change(entry.inclusion_proof.as_mut().unwrap());
    };
    let field = |error: VerifyError| match error {
        VerifyError::LogFieldMismatch { field, .. } => field,
        other => panic!("{other}"),
    };
    assert_eq!(field(error(&|e| e.log_index = Int64(3))), "logIndex");
    assert_eq!(
        field(error(&|e| e.integrated_time = Int64(3))),
        "integratedTime"
    );
    assert_eq!(
        field(error(&|e| proof(e, &|p| p.tree_size = Int64(26)))),
        "inclusionProof.treeSize"
    );
    assert_eq!(
        field(error(&|e| proof(e, &|p| p.root_hash = Base64(vec![0; 32])))),
        "inclusionProof.rootHash"
    );
    assert!(matches!(
        error(&|e| proof(e, &|p| p.hashes[0].0[0] ^= 1)),
        VerifyError::InclusionProof {
            source: ProofError::RootMismatch,
            ..
        }
    ));
    assert!(matches!(
        error(&|e| proof(e, &|p| p.hashes[0].0.truncate(31))),
        VerifyError::InclusionProof {
            source: ProofError::WrongLength,
            ..
        }
    ));
}

#[test]
fn a_proof_or_checkpoint_of_another_trusted_log_or_another_entry() {
    let (case, signer, log) = logged_by_key(KeyKind::P256);
    let leaf = leaf_of(&case.bundle(), &signer);
    let other = MemoryLog::new("log.example.com/other", KeyKind::Ed25519, 21);
    let foreign = other.enter(leaf);
    let neighbour = log.enter(b"{}".to_vec());
    let root = case.root.clone().with_log_key(&other.vkey()).unwrap();
    let case = Case { root, ..case };
    let with = |change: &dyn Fn(&mut TransparencyLogEntry)| {
        let mut bundle = case.bundle();
        change(&mut bundle.verification_material.tlog_entries[0]);
        let bytes = bundle.to_bytes().unwrap();
        verify(&case.request(&[PREDICATE], Material::Bundle(&bytes)))
    };
    // Both logs are trusted, and each entry whole is right.
    let good = with(&|entry| *entry = foreign.clone()).unwrap();
    assert_eq!(good.log()[0].origin, "log.example.com/other");
    // The other log's proof and checkpoint under this log's id.
    let error = with(&|entry| entry.inclusion_proof.clone_from(&foreign.inclusion_proof));
    assert!(
        matches!(&error, Err(VerifyError::LogFieldMismatch { field, .. }) if *field == "logId.keyId"),
        "{error:?}"
    );
    // This log's proof under the other log's id.
    let error = with(&|entry| entry.log_id = foreign.log_id.clone());
    assert!(
        matches!(&error, Err(VerifyError::LogFieldMismatch { field, .. }) if *field == "logId.keyId"),
        "{error:?}"
    );
    // The proof of a neighbour in the same log, with its index.
    let error = with(&|entry| {
        entry.log_index = neighbour.log_index;
        entry.inclusion_proof.clone_from(&neighbour.inclusion_proof);
    });
    assert!(
        matches!(
            error,
            Err(VerifyError::InclusionProof {
                source: ProofError::RootMismatch,
                ..
            })
        ),
        "{error:?}"
    );
}

#[test]
fn an_index_that_the_proof_does_not_prove() {
    for (index, source) in [
        (22, ProofError::RootMismatch),
        (99, ProofError::IndexOutside),
        (-1, ProofError::IndexOutside),
    ] {
        let case = logged_by_key(KeyKind::P256).0.edit(|bundle| {
            let entry = &mut bundle.verification_material.tlog_entries[0];
            entry.log_index = Int64(index);
            entry.inclusion_proof.as_mut().unwrap().log_index = Int64(index);
        });
        let error = case.verify().unwrap_err();
        assert_eq!(
            error,
            VerifyError::InclusionProof { entry: 0, source },
            "{index}"
        );
    }
}

#[test]
fn a_checkpoint_for_another_size() {
    let case = logged_by_key(KeyKind::P256).0.edit(|bundle| {
        let entry = &mut bundle.verification_material.tlog_entries[0];
        let note = entry
            .inclusion_proof
            .as_mut()
            .unwrap()
            .checkpoint
            .as_mut()
            .unwrap();
        note.envelope = note.envelope.replace("\n25\n", "\n26\n");
    });
    assert!(matches!(
        case.verify(),
        Err(VerifyError::Checkpoint { entry: 0, .. })
    ));
}

#[test]
fn a_log_entry_without_proof_or_checkpoint() {
    for missing in ["checkpoint", "inclusion proof"] {
        let case = logged_by_key(KeyKind::P256).0.edit(|bundle| {
            let entry = &mut bundle.verification_material.tlog_entries[0];
            match missing {
                "checkpoint" => entry.inclusion_proof.as_mut().unwrap().checkpoint = None,
                _ => entry.inclusion_proof = None,
            }
        });
        let error = case.verify().unwrap_err();
        assert_eq!(error, VerifyError::LogProofMissing { entry: 0, missing });
    }
}

#[test]
fn two_entries_of_one_log() {
    let (case, _, _) = logged_by_key(KeyKind::P256);
    let error = case
        .edit(|bundle| {
            let entries = &mut bundle.verification_material.tlog_entries;
            entries.push(entries[0].clone());
        })
        .verify()
        .unwrap_err();
    assert_eq!(
        error,
        VerifyError::LogEntryTwice {
            entry: 1,
            origin: ORIGIN.into()
        }
    );
}

#[test]
fn a_bundle_without_the_log_entry_that_is_required() {
    let (case, _, _) = logged_by_key(KeyKind::P256);
    let error = case
        .edit(|bundle| bundle.verification_material.tlog_entries.clear())
        .verify()
        .unwrap_err();
    assert_eq!(
        error,
        VerifyError::LogEntryMissing {
            required: "a trusted log".into()
        }
    );
}

// TUF `duplicate-sigs` and `duplicate-sig-keys`: a threshold is about distinct keys.

#[test]
fn one_key_that_signs_twice_or_under_two_names_is_one() {
    let signer = signer(KeyKind::P256);
    let mut envelope = seal::sign_envelope(&statement(b"weights"), &[&signer]).unwrap();
    let second = signer.sign(&envelope.pae()).unwrap();
    envelope
        .signatures
        .push(Signature::new(second).with_keyid("another"));
    let bytes = serde_json::to_vec(&envelope).unwrap();
    let case = Case {
        artifact: artifact(b"weights"),
        bytes: Vec::new(),
        root: TrustRoot::trusting_nothing(),
        signers: vec![expect_key("one", &signer), expect_key("two", &signer)],
        required: false,
        now: NOW,
    };
    let verified = verify(&case.request(&[PREDICATE], Material::Envelope(&bytes))).unwrap();
    assert_eq!(verified.signers().count(), 1);
    assert_eq!(distinct_keys([&verified, &verified.clone()]), 1);
}

// Vacuous truth: an empty set never satisfies anything.

#[test]
fn nobody_expected_is_not_anybody() {
    let (mut case, _) = unlogged();
    case.signers.clear();
    assert_eq!(case.verify().unwrap_err(), VerifyError::NoExpectedSigner);
}

#[test]
fn no_predicate_type_asked_for_is_not_any() {
    let (case, _) = unlogged();
    assert!(matches!(
        case.verify_as(&[]),
        Err(VerifyError::PredicateType { .. })
    ));
}

#[test]
fn an_artifact_without_a_digest_is_not_every_artifact() {
    let (mut case, _) = unlogged();
    case.artifact = DigestSet::new();
    assert_eq!(case.verify().unwrap_err(), VerifyError::ArtifactUnnamed);
}

#[test]
fn a_statement_about_nothing_or_about_another_artifact() {
    let (mut case, signer) = unlogged();
    case.artifact = artifact(b"other weights");
    let error = case.verify().unwrap_err();
    assert!(matches!(error, VerifyError::SubjectMismatch { .. }));
    assert_eq!(error.code(), "E0106");
    let payload = format!(
        r#"{{"_type":"https://in-toto.io/Statement/v1","subject":[{{"name":"m"}}],"predicateType":"{PREDICATE}"}}"#
    );
    case.bytes = bundle_with_payload(&signer, INTOTO_PAYLOAD_TYPE, payload.as_bytes());
    assert_eq!(
        case.verify().unwrap_err(),
        VerifyError::Statement(StatementError::SubjectWithoutDigest { index: 0 })
    );
}

#[test]
fn a_digest_that_somebody_can_forge_names_nothing() {
    let signer = signer(KeyKind::P256);
    let set = |pairs: &[(&str, &str)]| {
        let mut set = DigestSet::new();
        for (name, hex) in pairs {
            set.insert_raw(*name, *hex);
        }
        set
    };
    let (md5, sha1) = (
        "d41d8cd98f00b204e9800998ecf8427e",
        "da39a3ee5e6b4b0d3255bfef95601890afd80709",
    );
    let strong = artifact(b"weights").get_raw("sha256").unwrap().to_owned();
    let other = artifact(b"other").get_raw("sha256").unwrap().to_owned();
    let mine = set(&[("sha256", &strong), ("md5", md5), ("sha1", sha1)]);
    let about = |subject: DigestSet| {
        let statement = Statement::new(vec![Subject::new("m", subject)], PREDICATE, &1).unwrap();
        let bundle = seal::sign_statement(&statement, &signer, None).unwrap();
        let case = Case::unlogged(&signer, "", expect_key("k", &signer));
        Case {
            artifact: mine.clone(),
            bytes: bundle.to_bytes().unwrap(),
            ..case
        }
        .verify()
    };
    for bad in [
        set(&[("md5", md5)]),
        set(&[("sha1", sha1)]),
        set(&[("md5", md5), ("sha1", sha1)]),
        // One of several differs, whichever.
        set(&[("sha256", &other), ("md5", md5)]),
        set(&[("sha256", &strong), ("md5", sha1)]),
        set(&[("sha256", &strong[..40])]),
        set(&[("sha256", &strong.to_uppercase())]),
    ] {
        assert!(
            matches!(about(bad.clone()), Err(VerifyError::SubjectMismatch { .. })),
            "{bad:?}"
        );
    }
    about(set(&[("sha256", &strong), ("md5", md5), ("later", "1")])).unwrap();
}

#[test]
fn a_payload_in_which_an_array_stands_for_an_object() {
    let (mut case, signer) = unlogged();
    let kind = "https://in-toto.io/Statement/v1";
    let digest = serde_json::json!({ "sha256": case.artifact.get_raw("sha256").unwrap() });
    for payload in [
        serde_json::json!([kind, [{ "digest": digest }], PREDICATE, {}]),
        serde_json::json!({
            "_type": kind, "subject": [["m", null, digest]], "predicateType": PREDICATE,
        }),
    ] {
        let payload = serde_json::to_vec(&payload).unwrap();
        case.bytes = bundle_with_payload(&signer, INTOTO_PAYLOAD_TYPE, &payload);
        let error = case.verify().unwrap_err();
        assert!(
            matches!(
                error,
                VerifyError::Statement(StatementError::Json(JsonError::Malformed { .. }))
            ),
            "{error}"
        );
    }
}

#[test]
fn an_envelope_or_bundle_without_exactly_one_signature() {
    let (case, _) = unlogged();
    for count in [0, 2] {
        let mut bundle = case.bundle();
        let signatures = &mut bundle.dsse_envelope.as_mut().unwrap().signatures;
        let one = signatures.remove(0);
        signatures.extend(std::iter::repeat_n(one, count));
        let bytes = bundle.to_bytes().unwrap();
        let request = case.request(&[PREDICATE], Material::Bundle(&bytes));
        assert_eq!(
            verify(&request).unwrap_err(),
            VerifyError::Bundle(BundleError::SignatureCount { found: count })
        );
    }
    let empty = br#"{"payloadType":"application/vnd.in-toto+json","payload":"","signatures":[]}"#;
    assert_eq!(
        verify(&case.request(&[PREDICATE], Material::Envelope(empty))).unwrap_err(),
        VerifyError::Envelope(EnvelopeError::NoSignature)
    );
}

// Duplicate JSON keys: two readers see two different documents.

#[test]
fn duplicate_keys_in_bundle_and_in_signed_payload() {
    let (mut case, signer) = unlogged();
    let text = String::from_utf8(case.bytes.clone()).unwrap();
    let twice = text.replacen(r#""payloadType""#, r#""payloadType":"x","payloadType""#, 1);
    case.bytes = twice.into_bytes();
    assert_eq!(
        case.verify().unwrap_err(),
        VerifyError::Bundle(BundleError::Json(JsonError::DuplicateKey {
            key: "payloadType".into()
        }))
    );
    let payload = String::from_utf8(statement(b"weights").to_bytes().unwrap()).unwrap();
    let twice = payload.replacen(r#""subject""#, r#""subject":[],"subject""#, 1);
    case.bytes = bundle_with_payload(&signer, INTOTO_PAYLOAD_TYPE, twice.as_bytes());
    assert_eq!(
        case.verify().unwrap_err(),
        VerifyError::Statement(StatementError::Json(JsonError::DuplicateKey {
            key: "subject".into()
        }))
    );
}

// Endless data: hard limits before anything is believed.

#[test]
fn endless_data() {
    let (case, _, _) = logged_by_key(KeyKind::P256);
    let many = case.edit(|bundle| {
        let entries = &mut bundle.verification_material.tlog_entries;
        *entries = std::iter::repeat_n(entries[0].clone(), 17).collect();
    });
    assert_eq!(
        many.verify().unwrap_err(),
        VerifyError::Bundle(BundleError::TooManyLogEntries { found: 17 })
    );
    let deep = "[".repeat(100_000);
    let request = many.request(&[PREDICATE], Material::Bundle(deep.as_bytes()));
    assert!(matches!(
        verify(&request).unwrap_err(),
        VerifyError::Bundle(BundleError::Json(JsonError::TooDeep { .. }))
    ));
    let candidates = vec![("x", request); 1025];
    assert_eq!(
        verify_all(&candidates).unwrap_err(),
        VerifyError::TooManyCandidates { found: 1025 }
    );
}

#[test]
fn a_media_type_of_another_version() {
    let (mut case, _) = unlogged();
    let text = String::from_utf8(case.bytes.clone()).unwrap();
    for other in ["bundle.v0.4+json", "bundle+json", "bundle.v0.3+JSON"] {
        case.bytes = text.replace("bundle.v0.3+json", other).into_bytes();
        assert!(
            matches!(
                case.verify(),
                Err(VerifyError::Bundle(BundleError::Json(_)))
            ),
            "{other}"
        );
    }
}

// OMS: what the bundle says about its key must be true of the key.

#[test]
fn a_hint_or_copy_of_another_key() {
    let (case, signer) = unlogged();
    let other = crate::support::signer(KeyKind::P256);
    let fresh = || Case {
        artifact: case.artifact.clone(),
        bytes: case.bytes.clone(),
        root: case.root.clone(),
        signers: case.signers.clone(),
        required: false,
        now: NOW,
    };
    let edit = |change: &dyn Fn(&mut custos_core::bundle::PublicKeyIdentifier)| {
        fresh()
            .edit(|b| change(b.verification_material.public_key.as_mut().unwrap()))
            .verify()
    };
    let hint = seal::key_hint(other.public_key());
    assert!(matches!(
        edit(&|key| key.hint.clone_from(&hint)),
        Err(VerifyError::SignerNotExpected { .. })
    ));
    let der = other.public_key().as_spki_der().to_vec();
    assert!(matches!(
        edit(&|key| key.raw_bytes = Some(Base64(der.clone()))),
        Err(VerifyError::SignerNotExpected { .. })
    ));
    let own = signer.public_key().to_pem().into_bytes();
    edit(&|key| key.raw_bytes = Some(Base64(own.clone()))).unwrap();
    assert!(matches!(
        edit(&|key| key.key_details = Some("PKIX_ED25519".into())),
        Err(VerifyError::KeyMaterialMismatch {
            field: "keyDetails",
            ..
        })
    ));
    edit(&|key| key.key_details = Some("PKIX_ECDSA_P256_SHA_256".into())).unwrap();
}

#[test]
fn the_free_text_hint_of_an_oms_bundle() {
    let signer = signer(KeyKind::P256);
    let kind = "https://model_signing/signature/v1.0";
    let subject = custos_core::statement::Subject::new("m", artifact(b"weights"));
    let statement = custos_core::statement::Statement::new(vec![subject], kind, &1).unwrap();
    let bundle = seal::sign_statement(&statement, &signer, None).unwrap();
    let case = Case {
        artifact: artifact(b"weights"),
        bytes: bundle.to_bytes().unwrap(),
        root: TrustRoot::trusting_nothing(),
        signers: vec![expect_key("k", &signer)],
        required: false,
        now: NOW,
    };
    case.verify_as(&[kind]).unwrap();
    let case = case.edit(|b| {
        b.verification_material.public_key.as_mut().unwrap().hint = "my laptop".into();
    });
    assert!(matches!(
        case.verify_as(&[kind]),
        Err(VerifyError::SignerNotExpected { .. })
    ));
}

#[test]
fn material_of_another_method_than_was_asked_for() {
    let (mut case, _) = unlogged();
    case.signers = vec![ExpectedSigner::certificate("alice", "a@example.com", None)];
    assert!(matches!(
        case.verify(),
        Err(VerifyError::SignerNotExpected { .. })
    ));
}

#[test]
fn something_that_is_no_timestamp() {
    let (case, _) = unlogged();
    let stamp: SignedTimestamp =
        serde_json::from_value(serde_json::json!({"signedTimestamp": "AAAA"})).unwrap();
    let case = case.edit(|bundle| {
        bundle
            .verification_material
            .timestamp_verification_data
            .rfc3161_timestamps
            .push(stamp);
    });
    assert_eq!(
        case.verify().unwrap_err(),
        VerifyError::Timestamp {
            position: 0,
            fault: TimestampFault::Malformed
        }
    );
}

#[test]
fn a_message_signature_where_a_statement_was_asked_for_and_back() {
    let pair = KeyPair::generate(KeyKind::P256).unwrap();
    let signature = pair.sign(scheme(KeyKind::P256), b"weights").unwrap();
    let (statement_case, _) = unlogged();
    let hint = seal::key_hint(pair.public_key());
    let json = serde_json::json!({
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "verificationMaterial": {"publicKey": {"hint": hint}},
        "messageSignature": {"signature": Base64(signature)},
    });
    let bytes = serde_json::to_vec(&json).unwrap();
    let signers = [ExpectedSigner::key("k", pair.public_key().clone())];
    let root = TrustRoot::trusting_nothing();
    let good = artifact(b"weights");
    let request = VerifyRequest {
        artifact: &good,
        material: Material::Bundle(&bytes),
        trust_root: &root,
        signers: &signers,
        log: LogRequirement::AbsenceAllowed,
        expect: Message,
        now: NOW,
    };
    assert_eq!(
        verify(&request).unwrap().content().digest,
        good.digests().next().unwrap()
    );
    let other = artifact(b"other");
    assert!(matches!(
        verify(&VerifyRequest {
            artifact: &other,
            ..request
        }),
        Err(VerifyError::SignatureInvalid { .. })
    ));
    // A folder's SHA-256 is not over bytes of its own.
    for name in ["dirHash", LISTING_DIGEST] {
        let mut folder = good.clone();
        folder.insert_raw(name, "00");
        let error = verify(&VerifyRequest {
            artifact: &folder,
            ..request
        });
        assert!(
            matches!(error, Err(VerifyError::ContentKind { .. })),
            "{name}"
        );
    }
    let statement = statement_case.request(&[PREDICATE], Material::Bundle(&bytes));
    assert!(matches!(
        verify(&statement),
        Err(VerifyError::ContentKind { .. })
    ));
    assert!(matches!(
        verify(&VerifyRequest {
            material: Material::Bundle(&statement_case.bytes),
            ..request
        }),
        Err(VerifyError::ContentKind { .. })
    ));
}

#[test]
fn every_error_has_its_own_code_and_a_help_line() {
    let errors = [
        VerifyError::NoExpectedSigner,
        VerifyError::ArtifactUnnamed,
        VerifyError::Timestamp {
            position: 0,
            fault: TimestampFault::NoAuthority,
        },
        VerifyError::TimeMissing,
        VerifyError::LogPromise { entry: 0 },
        VerifyError::CertificatePromise {
            fault: PromiseFault::Missing,
        },
        VerifyError::Bundle(BundleError::ContentCount),
        VerifyError::Envelope(EnvelopeError::NoSignature),
        VerifyError::PayloadType {
            found: String::new(),
        },
        VerifyError::Statement(StatementError::NoSubject),
        VerifyError::PredicateType {
            expected: vec![],
            found: String::new(),
        },
        VerifyError::SubjectMismatch {
            artifact: String::new(),
            subjects: vec![],
        },
        VerifyError::SignerNotExpected {
            expected: vec![],
            found: String::new(),
        },
        VerifyError::LogEntryMissing {
            required: String::new(),
        },
        VerifyError::LogNotTrusted {
            entry: 0,
            found: String::new(),
        },
        VerifyError::LogEntryTwice {
            entry: 0,
            origin: String::new(),
        },
        VerifyError::TooManyCandidates { found: 0 },
    ];
    let codes: std::collections::BTreeSet<_> = errors.iter().map(VerifyError::code).collect();
    assert_eq!(codes.len(), errors.len());
    for error in errors {
        assert!(error.code().starts_with("E01") && error.code().len() == 5);
        assert!(error.help().len() > 10);
    }
}

#[test]
fn hostile_bytes_never_panic_and_never_verify() {
    let (case, _, _) = logged_by_key(KeyKind::P256);
    let (chain, _) = by_certificate(
        &Leaf::email(KeyKind::P256, "a@example.com"),
        "a@example.com",
    );
    let mut inputs: Vec<Vec<u8>> = vec![vec![], b"{}".to_vec(), vec![0xff; 100]];
    for seed in [&case.bytes, &chain.bytes] {
        inputs.extend((0..seed.len()).step_by(97).map(|at| seed[..at].to_vec()));
        inputs.push(seed.clone());
    }
    for input in inputs {
        custos_trust::fuzz::bundle(&input);
        custos_trust::fuzz::certificate(&input);
        custos_trust::fuzz::encrypted_key(&input);
        custos_trust::fuzz::trust_root(&input);
        custos_trust::fuzz::voucher(&input);
    }
}

// GHSA-4c4x-jm2x-pf9j, GHSA-f5mr-q85p-6hh6, GHSA-fcv2-xgw5-pqxf: what fetches nothing cannot be
// sent anywhere. Only signers call anybody, and only the services that their settings name.

#[test]
fn nothing_that_verifies_can_reach_a_network() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut open = vec![root.clone()];
    let mut read = 0;
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(
                std::fs::read_dir(&path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
            continue;
        }
        // Rooms that sign or fetch, and that verification does not use.
        let outside = ["signers", "keyless", "tuf"];
        if outside.iter().any(|room| {
            path.starts_with(root.join(room)) || path == root.join(format!("{room}.rs"))
        }) {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        read += 1;
        for way in [
            "custos_net",
            "std::net",
            "TcpStream",
            "UdpSocket",
            "ureq",
            "rustls::",
        ] {
            assert!(!text.contains(way), "{} uses {way}", path.display());
        }
        // The library of Sigstore bundles brings no client; its own look-ups stay unused.
        assert!(
            !text.contains("::production"),
            "{} fetches a root",
            path.display()
        );
    }
    assert!(read > 10, "{read} files");
}
