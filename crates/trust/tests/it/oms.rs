//! Signatures that released versions of the OMS reference client wrote.

use custos_core::bundle::{Bundle, VerificationMaterial};
use custos_core::crypto::{KeyKind, KeyPair, PublicKey};
use custos_core::digest::{Algorithm, Digest, DigestSet};
use custos_core::dsse::{Envelope, Signature};
use custos_core::identity::ExpectedSigner;
use custos_core::oms::LEGACY_PREDICATE_TYPE;
use custos_core::statement::{Statement, Subject};
use custos_trust::signer::KeySigner;
use custos_trust::verify::{Material, VerifyError, unverified_statement};
use custos_trust::{TrustRoot, seal};

use crate::instance::sign_with;
use crate::support::{Case, NOW, expect_key, signer};

macro_rules! data {
    ($name:literal) => {
        include_bytes!(concat!("../../../../testdata/oms-bundles/", $name)).to_vec()
    };
}

const SIGNATURE: &str = "https://model_signing/signature/v1.0";

fn key() -> ExpectedSigner {
    let pem = String::from_utf8(data!("signing-key.pub")).unwrap();
    ExpectedSigner::key("reference", PublicKey::from_pem(&pem).unwrap())
}

fn case(bytes: Vec<u8>, signer: ExpectedSigner) -> Case {
    let claim = unverified_statement(Material::Bundle(&bytes)).unwrap();
    let authorities = String::from_utf8(data!("ca-cert.pem")).unwrap();
    Case {
        artifact: claim.subject()[0].digest.clone(),
        bytes,
        root: TrustRoot::trusting_nothing()
            .with_authorities(&authorities)
            .unwrap(),
        signers: vec![signer],
        required: false,
        now: NOW,
    }
}

fn subject() -> ExpectedSigner {
    ExpectedSigner::certificate("reference", "intermediate-ca", None)
}

#[test]
fn keys_of_0_3_1_1_0_0_and_1_1_0() {
    for bytes in [
        data!("v0.3.1-elliptic-key.sig.json"),
        data!("v1.0.0-elliptic-key.sig.json"),
        data!("v1.1.0-elliptic-key.sig.json"),
    ] {
        let good = case(bytes, key());
        let verified = good.verify_as(&[SIGNATURE]).unwrap();
        assert!(!verified.is_legacy());
        let other = Case {
            signers: vec![expect_key("k", &signer(KeyKind::P384))],
            ..good
        };
        assert!(matches!(
            other.verify_as(&[SIGNATURE]),
            Err(VerifyError::SignerNotExpected { .. })
        ));
    }
}

#[test]
fn certificates_of_1_1_0() {
    let good = case(data!("v1.1.0-certificate.sig.json"), subject());
    assert!(!good.verify_as(&[SIGNATURE]).unwrap().is_legacy());
    let untrusted = Case {
        root: TrustRoot::trusting_nothing(),
        ..good
    };
    assert!(matches!(
        untrusted.verify_as(&[SIGNATURE]),
        Err(VerifyError::Certificate { .. })
    ));
}

#[test]
fn the_broken_form_of_0_2_0_is_read_and_called_legacy() {
    let mut case = case(data!("v0.2.0-certificate.sig.json"), subject());
    // One of its files, and the model as the root over them.
    let verified = case.verify_as(&[LEGACY_PREDICATE_TYPE]).unwrap();
    assert!(verified.is_legacy());
    let mut root = Algorithm::Sha256.hasher();
    for file in verified.statement().subject() {
        root.update(file.digest.get(Algorithm::Sha256).unwrap().as_bytes());
    }
    case.artifact = DigestSet::from(root.finish());
    assert!(
        case.verify_as(&[LEGACY_PREDICATE_TYPE])
            .unwrap()
            .is_legacy()
    );
    case.artifact = DigestSet::from(Digest::sha256([7; 32]));
    assert!(matches!(
        case.verify_as(&[LEGACY_PREDICATE_TYPE]),
        Err(VerifyError::SubjectMismatch { .. })
    ));
}

// A statement about `weights` in the broken form, with SHA-256 whatever the curve.
fn broken(pair: &KeyPair, kind: &str) -> Vec<u8> {
    let digest = Algorithm::Sha256.digest(b"weights").to_hex();
    let payload = format!(
        r#"{{"_type":"https://in-toto.io/Statement/v1","subject":[{{"digest":{{"sha256":"{digest}"}}}}],"predicateType":"{kind}"}}"#
    );
    // No quote or backslash in it, so Python's literal is the text itself.
    let broken = format!(
        "DSSEV1 28 application/vnd.in-toto+json {} b'{payload}'",
        payload.len()
    );
    let signature = sign_with(pair, Algorithm::Sha256, broken.as_bytes());
    let envelope = Envelope::new(
        "application/vnd.in-toto+json",
        payload.into_bytes(),
        vec![Signature::new(signature)],
    );
    let material = VerificationMaterial::key("");
    Bundle::new(material, envelope).to_bytes().unwrap()
}

#[test]
fn the_broken_encoding_is_never_tried_for_another_predicate_type() {
    for kind in [KeyKind::P256, KeyKind::P384, KeyKind::P521] {
        let pair = KeyPair::generate(kind).unwrap();
        let signer = ExpectedSigner::key("k", pair.public_key().clone());
        let old = case(broken(&pair, LEGACY_PREDICATE_TYPE), signer.clone());
        assert!(old.verify_as(&[LEGACY_PREDICATE_TYPE]).unwrap().is_legacy());
        let new = case(broken(&pair, SIGNATURE), signer);
        assert!(matches!(
            new.verify_as(&[SIGNATURE]),
            Err(VerifyError::SignatureInvalid { .. })
        ));
    }
}

#[test]
fn a_root_over_files_is_that_of_the_broken_form_alone() {
    let pair = KeyPair::generate(KeyKind::P256).unwrap();
    let signer = KeySigner::new(pair);
    let files = [b"one".as_slice(), b"two"].map(|file| Algorithm::Sha256.digest(file));
    let mut root = Algorithm::Sha256.hasher();
    for file in &files {
        root.update(file.as_bytes());
    }
    let root = DigestSet::from(root.finish());
    for (kind, good) in [(LEGACY_PREDICATE_TYPE, true), (SIGNATURE, false)] {
        let subjects = files.map(|file| Subject::new("file", DigestSet::from(file)));
        let statement = Statement::new(subjects.to_vec(), kind, &1).unwrap();
        let bundle = seal::sign_statement(&statement, &signer, None).unwrap();
        let case = Case {
            artifact: root.clone(),
            ..case(bundle.to_bytes().unwrap(), expect_key("k", &signer))
        };
        let outcome = case.verify_as(&[kind]);
        if good {
            // Well-formed all the same, so not called legacy.
            assert!(!outcome.unwrap().is_legacy());
        } else {
            assert!(matches!(outcome, Err(VerifyError::SubjectMismatch { .. })));
        }
    }
}

#[test]
fn the_broken_form_is_in_no_log() {
    let pair = KeyPair::generate(KeyKind::P256).unwrap();
    let signer = ExpectedSigner::key("k", pair.public_key().clone());
    let bytes = broken(&pair, LEGACY_PREDICATE_TYPE);
    let (logged, _, _) = crate::support::logged_by_key(KeyKind::P256);
    let entry = logged.bundle().verification_material.tlog_entries.remove(0);
    let case = case(bytes, signer).edit(|bundle| {
        bundle.verification_material.tlog_entries.push(entry);
    });
    assert!(matches!(
        case.verify_as(&[LEGACY_PREDICATE_TYPE]),
        Err(VerifyError::LogEntryKind { entry: 0, .. })
    ));
}
