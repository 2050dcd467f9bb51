//! Entries without a bundle: who may stand behind them, and that whoever is accepted may.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use custos_core::crypto::{KeyKind, Pem};
use custos_core::entry::Verifier;
use custos_core::identity::ExpectedSigner;
use custos_trust::TrustRoot;
use custos_trust::signer::{CertificateSigner, Signer as _};
use custos_trust::verify::{LogRequirement, MessageSigned, Verified, VerifyError, may_be_expected};
use rcgen::CustomExtension;
use serde_json::json;

use crate::instance::{Instance, THEN, message, tlv, verifier};
use crate::support::{Authority, Leaf, expect_key, leaf_params, pair, signer};
use crate::vouched::Court;

const EMAIL: &str = "a@example.com";
const ISSUER: &str = "https://accounts.example.com";

#[test]
fn of_keys_only_expected_ones() {
    let (ours, other) = (signer(KeyKind::P256), signer(KeyKind::P256));
    let root = TrustRoot::trusting_nothing();
    let expected = [
        ExpectedSigner::certificate("ann", EMAIL, None),
        expect_key("maker", &ours),
    ];
    let by = |key: &custos_trust::signer::KeySigner| {
        Verifier::PublicKey(key.public_key().as_spki_der().to_vec())
    };
    assert!(may_be_expected(&by(&ours), &root, &expected));
    assert!(!may_be_expected(&by(&other), &root, &expected));
    assert!(!may_be_expected(&by(&ours), &root, &expected[..1]));
    assert!(!may_be_expected(
        &Verifier::Certificate(ours.public_key().as_spki_der().to_vec()),
        &root,
        &expected
    ));
}

#[test]
fn of_private_certificates_those_that_name_an_expected_signer() {
    let authority = Authority::new();
    let by = authority.signer(&Leaf::email(KeyKind::P256, EMAIL));
    let entry = verifier(&by);
    let named = |name: &str| [ExpectedSigner::certificate("ann", name, None)];
    let root = TrustRoot::trusting_nothing()
        .with_authorities(&authority.root_pem)
        .unwrap();
    assert!(may_be_expected(&entry, &root, &named(EMAIL)));
    assert!(!may_be_expected(&entry, &root, &named("b@example.com")));
    // Nobody could vouch for it.
    let nobody = TrustRoot::trusting_nothing();
    assert!(!may_be_expected(&entry, &nobody, &named(EMAIL)));
    let instance = Instance::new().root();
    assert!(!may_be_expected(&entry, &instance, &named(EMAIL)));
    let both = Instance::new()
        .root()
        .with_authorities(&authority.root_pem)
        .unwrap();
    assert!(may_be_expected(&entry, &both, &named(EMAIL)));
    let issuer = ExpectedSigner::certificate("ann", EMAIL, Some(ISSUER.to_owned()));
    assert!(!may_be_expected(&entry, &both, &[issuer]));
}

/// A certificate as Fulcio issues them, of the intermediate or of the root.
fn issued(authority: &Authority, by_root: bool) -> CertificateSigner {
    let mut params = leaf_params(&Leaf {
        valid: (THEN - 60, THEN + 60),
        ..Leaf::email(KeyKind::P256, EMAIL)
    });
    let issuer = tlv(0x0c, &[ISSUER.as_bytes()]);
    let oid = [1, 3, 6, 1, 4, 1, 57264, 1, 8];
    params
        .custom_extensions
        .push(CustomExtension::from_oid_content(&oid, issuer));
    let (pair, key) = pair(KeyKind::P256);
    let issuer = if by_root {
        &authority.root
    } else {
        &authority.intermediate
    };
    let leaf = params.signed_by(&key, issuer).unwrap().pem();
    let chain = format!("{leaf}{}", authority.intermediate_pem);
    CertificateSigner::new(pair, if by_root { &leaf } else { &chain }).unwrap()
}

fn trusting(instance: &Instance, pems: &[&str]) -> TrustRoot {
    let certificates: Vec<_> = pems
        .iter()
        .map(|pem| {
            let der = Pem::parse_many(pem).unwrap();
            json!({ "rawBytes": STANDARD.encode(der[0].bytes()) })
        })
        .collect();
    instance.root_with(|root| {
        root["certificateAuthorities"] = json!([{
            "uri": "https://fulcio.example.com",
            "certChain": { "certificates": certificates },
            "validFor": { "start": "2001-01-01T00:00:00Z" },
        }]);
    })
}

#[test]
fn of_an_instance_those_that_it_issued_to_an_expected_signer() {
    let (instance, authority) = (Instance::new(), Authority::new());
    let expected = [ExpectedSigner::certificate(
        "ann",
        EMAIL,
        Some(ISSUER.to_owned()),
    )];
    let whole = trusting(
        &instance,
        &[&authority.intermediate_pem, &authority.root_pem],
    );
    let root_only = trusting(&instance, &[&authority.root_pem]);
    let foreign = trusting(&instance, &[&Authority::new().root_pem]);
    let verified = |by: &CertificateSigner, root: &TrustRoot| {
        let court = Court {
            root,
            signers: &expected,
            log: LogRequirement::AbsenceAllowed,
        };
        court.of_file(&instance.stamped(message(by), THEN))
    };
    for by_root in [true, false] {
        let by = issued(&authority, by_root);
        let entry = verifier(&by);
        assert!(may_be_expected(&entry, &whole, &expected));
        verified(&by, &whole).unwrap();
        // What stands between leaf and root comes with the trusted root, never with the bundle:
        // what is said about the leaf alone holds for every bundle.
        let outcome = verified(&by, &root_only);
        assert_eq!(may_be_expected(&entry, &root_only, &expected), by_root);
        assert_eq!(outcome.is_ok(), by_root);
        // The name alone is not enough: anybody can put it into a certificate.
        assert!(!may_be_expected(&entry, &foreign, &expected));
        assert!(matches!(
            verified(&by, &foreign).map(|_: Verified<MessageSigned>| ()),
            Err(VerifyError::Certificate { .. })
        ));
        for (name, issuer) in [("b@example.com", ISSUER), (EMAIL, "https://b.example.com")] {
            let other = [ExpectedSigner::certificate(
                "b",
                name,
                Some(issuer.to_owned()),
            )];
            assert!(!may_be_expected(&entry, &whole, &other));
        }
        let private = [ExpectedSigner::certificate("ann", EMAIL, None)];
        assert!(!may_be_expected(&entry, &whole, &private));
    }
}
