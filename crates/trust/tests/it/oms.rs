//! Signatures that released versions of the OMS reference client wrote.

use custos_core::crypto::{KeyKind, KeyPair, PublicKey};
use custos_core::digest::{Algorithm, Digest, DigestSet};
use custos_core::identity::ExpectedSigner;
use custos_core::oms::LEGACY_PREDICATE_TYPE;
use custos_trust::TrustRoot;
use custos_trust::verify::{Material, VerifyError, unverified_statement};

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

#[test]
fn the_broken_encoding_is_never_tried_for_another_predicate_type() {
    // The legacy bundle's own payload under a new type, signed in the broken form by P-256.
    let pair = KeyPair::generate(KeyKind::P256).unwrap();
    let sign = |kind: &str| {
        let digest = Algorithm::Sha256.digest(b"weights").to_hex();
        let payload = format!(
            r#"{{"_type":"https://in-toto.io/Statement/v1","subject":[{{"digest":{{"sha256":"{digest}"}}}}],"predicateType":"{kind}"}}"#
        );
        // No quote or backslash in it, so Python's literal is the text itself.
        let broken = format!(
            "DSSEV1 28 application/vnd.in-toto+json {} b'{payload}'",
            payload.len()
        );
        let signature = pair
            .sign(KeyKind::P256.statement_scheme(), broken.as_bytes())
            .unwrap();
        let envelope = custos_core::dsse::Envelope::new(
            "application/vnd.in-toto+json",
            payload.into_bytes(),
            vec![custos_core::dsse::Signature::new(signature)],
        );
        let material = custos_core::bundle::VerificationMaterial::key("");
        custos_core::bundle::Bundle::new(material, envelope)
            .to_bytes()
            .unwrap()
    };
    let signer = ExpectedSigner::key("k", pair.public_key().clone());
    let old = case(sign(LEGACY_PREDICATE_TYPE), signer.clone());
    assert!(old.verify_as(&[LEGACY_PREDICATE_TYPE]).unwrap().is_legacy());
    let new = case(sign(SIGNATURE), signer);
    assert!(matches!(
        new.verify_as(&[SIGNATURE]),
        Err(VerifyError::SignatureInvalid { .. })
    ));
}
