//! A revoked key in the one verification: what was proven before stays, everything else is out.

use custos_core::clock::Timestamp;
use custos_core::crypto::KeyKind;
use custos_core::identity::ExpectedSigner;
use custos_trust::revocation::{Boundary, KeyFault, Revocation, Revocations, Rotation, Side, Who};
use custos_trust::seal;
use custos_trust::signer::Signer;
use custos_trust::verify::{CheckName, CheckState, Material, VerifyError, verify_all};

use crate::support::{
    Case, Leaf, NOW, ORIGIN, PREDICATE, by_certificate, expect_key, logged_by_key, signer,
    statement,
};

const SINCE: Timestamp = Timestamp::from_seconds(1_794_000_000);

fn revoke(case: &mut Case, who: Who, boundary: Boundary) {
    let one = Revocation::new(who, boundary, "laptop stolen", NOW);
    let list = Revocations::none().with_revocation(one).unwrap();
    case.root = case.root.clone().with_revocations(list);
}

#[test]
fn a_statement_logged_before_stays_and_a_later_one_is_out() {
    // The entry of the case stands at index 21.
    for (first_bad, good) in [(22, true), (21, false), (0, false)] {
        let (mut case, signer, _) = logged_by_key(KeyKind::P256);
        let who = Who::Key(signer.public_key().id());
        revoke(
            &mut case,
            who,
            Boundary::new(SINCE).with_log(ORIGIN, first_bad),
        );
        let outcome = case.verify();
        if good {
            assert_eq!(outcome.unwrap().index_in(ORIGIN), Some(21));
            continue;
        }
        let error = outcome.unwrap_err();
        assert!(matches!(
            &error,
            VerifyError::KeyRevoked {
                fault: KeyFault::Revoked { side: Side::Behind, since, .. }
            } if *since == SINCE
        ));
        assert_eq!(error.code(), "E0801");
    }
}

#[test]
fn an_index_of_another_log_proves_nothing() {
    let (mut case, signer, _) = logged_by_key(KeyKind::P256);
    let who = Who::Key(signer.public_key().id());
    revoke(
        &mut case,
        who,
        Boundary::new(SINCE).with_log("other.example/log", 1_000),
    );
    assert!(matches!(
        case.verify(),
        Err(VerifyError::KeyRevoked {
            fault: KeyFault::Revoked {
                side: Side::Unproven,
                ..
            }
        })
    ));
}

#[test]
fn an_unlogged_signature_of_a_revoked_key_is_out() {
    let by = signer(KeyKind::Ed25519);
    let mut case = Case::unlogged(&by, "", expect_key("k", &by));
    assert!(case.verify().is_ok());
    let who = Who::Key(by.public_key().id());
    revoke(&mut case, who, Boundary::new(SINCE).with_log(ORIGIN, 1_000));
    let outcome = verify_all(&[(
        "one",
        case.request(&[PREDICATE], Material::Bundle(&case.bytes)),
    )]);
    let report = outcome.unwrap().reports.remove(0);
    assert!(matches!(report.error, Some(VerifyError::KeyRevoked { .. })));
    let failed: Vec<_> = report
        .checks
        .iter()
        .filter(|check| check.state == CheckState::Failed)
        .map(|check| check.name)
        .collect();
    assert_eq!(failed, [CheckName::Signer]);
}

#[test]
fn an_identity_is_revoked_whatever_key_its_certificate_has() {
    let leaf = Leaf::email(KeyKind::P256, "ci@example.com");
    let (mut case, _) = by_certificate(&leaf, "ci@example.com");
    assert!(case.verify().is_ok());
    let who = |identity: &str| Who::Identity {
        identity: identity.into(),
        issuer: None,
    };
    revoke(&mut case, who("other@example.com"), Boundary::new(SINCE));
    assert!(case.verify().is_ok());
    revoke(&mut case, who("ci@example.com"), Boundary::new(SINCE));
    assert!(matches!(case.verify(), Err(VerifyError::KeyRevoked { .. })));
}

#[test]
fn of_several_signers_the_revoked_one_no_longer_counts() {
    let (one, two) = (signer(KeyKind::P256), signer(KeyKind::Ed25519));
    let envelope = seal::sign_envelope(&statement(b"weights"), &[&one, &two]).unwrap();
    let mut case = Case::unlogged(&one, "", expect_key("one", &one));
    case.signers.push(expect_key("two", &two));
    case.bytes = serde_json::to_vec(&envelope).unwrap();
    let names = |case: &Case| -> Result<Vec<String>, VerifyError> {
        let request = case.request(&[PREDICATE], Material::Envelope(&case.bytes));
        let verified = custos_trust::verify(&request)?;
        Ok(verified.signers().map(|one| one.name.clone()).collect())
    };
    assert_eq!(names(&case).unwrap(), ["one", "two"]);
    let root = case.root.clone();
    revoke(
        &mut case,
        Who::Key(one.public_key().id()),
        Boundary::new(SINCE),
    );
    assert_eq!(names(&case).unwrap(), ["two"]);
    let list = case.root.revocations().unwrap().clone();
    let both = Revocation::new(
        Who::Key(two.public_key().id()),
        Boundary::new(SINCE),
        "too",
        NOW,
    );
    case.root = root.with_revocations(list.with_revocation(both).unwrap());
    assert!(matches!(names(&case), Err(VerifyError::KeyRevoked { .. })));
}

#[test]
fn a_rotation_needs_no_new_settings_and_retires_the_old_key() {
    let (mut case, old, log) = logged_by_key(KeyKind::P256);
    let new = signer(KeyKind::P256);
    let boundary = Boundary::new(SINCE).with_log(ORIGIN, 22);
    let rotation = Rotation::new(
        old.public_key().id(),
        new.public_key().clone(),
        boundary,
        NOW,
    );
    let list = Revocations::none().with_rotation(rotation).unwrap();
    case.signers = list.expand(&case.signers);
    case.root = case.root.clone().with_revocations(list);
    assert!(case.verify().is_ok());
    let resign = |case: &mut Case, by: &dyn Signer| {
        let bundle = seal::sign_statement(&statement(b"weights"), by, None).unwrap();
        case.bytes = log.log(bundle, by).to_bytes().unwrap();
    };
    resign(&mut case, &new);
    assert_eq!(case.verify().unwrap().signer_name(), "trainer");
    resign(&mut case, &old);
    assert!(matches!(
        case.verify(),
        Err(VerifyError::KeyRevoked {
            fault: KeyFault::Retired { .. }
        })
    ));
}

#[test]
fn revocations_are_part_of_the_trust_roots_digest() {
    let (mut case, signer, _) = logged_by_key(KeyKind::P256);
    let before = case.root.digest();
    let who = Who::Key(signer.public_key().id());
    revoke(&mut case, who, Boundary::new(SINCE).with_log(ORIGIN, 22));
    let after = case.root.digest();
    assert_ne!(before, after);
    assert_ne!(
        ExpectedSigner::key("a", signer.public_key().clone()).name(),
        ""
    );
    assert_eq!(case.verify().unwrap().trust_root(), after);
}
