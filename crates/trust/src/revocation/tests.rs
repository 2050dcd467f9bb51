use custos_core::crypto::{KeyKind, KeyPair};
use proptest::prelude::*;

use super::*;
use crate::verify::{LogProof, SignedTime};

const SINCE: Timestamp = Timestamp::from_seconds(1_800_000_000);

fn key() -> PublicKey {
    KeyPair::generate(KeyKind::P256)
        .unwrap()
        .public_key()
        .clone()
}

fn by(key: &PublicKey) -> Identity {
    Identity::Key { id: key.id() }
}

fn at(origin: &str, index: u64) -> LogProof {
    LogProof {
        origin: origin.to_owned(),
        index,
        tree_size: index + 1,
        checkpoint: String::new(),
        witnesses: Vec::new(),
        promise_only: false,
    }
}

fn time(seconds: i64) -> SignedTime {
    SignedTime::Trusted {
        at: Timestamp::from_seconds(seconds),
    }
}

fn revoked(key: &PublicKey) -> Revocations {
    let boundary = Boundary::new(SINCE).with_log("a", 10);
    let one = Revocation::new(Who::Key(key.id()), boundary, "stolen", SINCE);
    Revocations::none().with_revocation(one).unwrap()
}

#[test]
fn only_what_is_proven_to_lie_before_counts() {
    let key = key();
    let list = revoked(&key);
    let by = by(&key);
    let untrusted = SignedTime::Untrusted;
    let check = |log: &[LogProof], time| list.check(&by, log, time).is_ok();
    assert!(check(&[at("a", 9)], untrusted));
    assert!(!check(&[at("a", 10)], untrusted));
    assert!(!check(&[], untrusted));
    assert!(check(&[], time(1_799_999_999)));
    assert!(!check(&[], time(1_800_000_000)));
    // An index says nothing about another log.
    assert!(!check(&[at("b", 0)], untrusted));
    assert!(check(&[at("b", 99), at("a", 9)], untrusted));
    // A promise to include it is no proof that it is there.
    let promised = LogProof {
        promise_only: true,
        ..at("a", 9)
    };
    assert!(!check(&[promised], untrusted));
    // Seen by a timestamp authority before, logged later: one proof is enough.
    assert!(check(&[at("a", 99)], time(1_799_999_999)));
    assert!(!check(&[at("a", 99)], time(1_800_000_001)));
}

#[test]
fn nobody_else_is_concerned() {
    let (key, other) = (key(), key());
    let list = revoked(&key);
    assert_eq!(list.check(&by(&other), &[], SignedTime::Untrusted), Ok(()));
    // The key in a certificate is still that key.
    let certified = Identity::Certificate {
        subject: "ci@example.com".into(),
        issuer: "https://issuer.example".into(),
        key: key.id(),
    };
    assert!(list.check(&certified, &[], SignedTime::Untrusted).is_err());
}

#[test]
fn an_identity_is_revoked_with_its_issuer_or_with_any() {
    let one = |issuer: Option<&str>| {
        let who = Who::Identity {
            identity: "ci@example.com".into(),
            issuer: issuer.map(str::to_owned),
        };
        let one = Revocation::new(who, Boundary::new(SINCE), "left", SINCE);
        Revocations::none().with_revocation(one).unwrap()
    };
    let signer = |subject: &str, issuer: &str| Identity::Certificate {
        subject: subject.into(),
        issuer: issuer.into(),
        key: key().id(),
    };
    let check = |list: &Revocations, subject, issuer| {
        list.check(&signer(subject, issuer), &[], SignedTime::Untrusted)
            .is_ok()
    };
    assert!(!check(&one(Some("i")), "ci@example.com", "i"));
    assert!(check(&one(Some("i")), "ci@example.com", "j"));
    assert!(!check(&one(None), "ci@example.com", "j"));
    assert!(check(&one(None), "other@example.com", "j"));
    assert!(check(&one(None), "ci@example.com.evil", "j"));
}

#[test]
fn a_rotation_hands_over_at_its_boundary() {
    let (old, new) = (key(), key());
    let boundary = Boundary::new(SINCE).with_log("a", 10);
    let list = Revocations::none()
        .with_rotation(Rotation::new(old.id(), new.clone(), boundary, SINCE))
        .unwrap();
    let check = |key: &PublicKey, log: &[LogProof], time| list.check(&by(key), log, time);
    let untrusted = SignedTime::Untrusted;
    assert_eq!(check(&old, &[at("a", 9)], untrusted), Ok(()));
    assert_eq!(check(&new, &[at("a", 10)], untrusted), Ok(()));
    assert_eq!(check(&new, &[], untrusted), Ok(()));
    assert!(matches!(
        check(&old, &[at("a", 10)], untrusted),
        Err(KeyFault::Retired {
            side: Side::Behind,
            ..
        })
    ));
    assert!(matches!(
        check(&old, &[], untrusted),
        Err(KeyFault::Retired {
            side: Side::Unproven,
            ..
        })
    ));
    assert!(matches!(
        check(&new, &[at("a", 9)], untrusted),
        Err(KeyFault::NotYetValid { .. })
    ));
}

#[test]
fn whoever_expects_a_key_expects_its_successors_under_the_same_name() {
    let keys = [key(), key(), key()];
    let mut list = Revocations::none();
    // A circle, too: the search ends.
    for (old, new) in [(0, 1), (1, 2), (2, 0)] {
        let boundary = Boundary::new(SINCE);
        let one = Rotation::new(keys[old].id(), keys[new].clone(), boundary, SINCE);
        list = list.with_rotation(one).unwrap();
    }
    let expected = list.expand(&[
        ExpectedSigner::key("trainer", keys[0].clone()),
        ExpectedSigner::certificate("ci", "ci@example.com", None),
    ]);
    let named: Vec<&str> = expected.iter().map(ExpectedSigner::name).collect();
    assert_eq!(named, ["trainer", "ci", "trainer", "trainer"]);
    for key in keys {
        assert!(expected.contains(&ExpectedSigner::key("trainer", key)));
    }
}

#[test]
fn a_newer_list_keeps_what_the_older_says() {
    let (one, two) = (key(), key());
    let first = revoked(&one);
    let boundary = Boundary::new(SINCE);
    let more = Revocation::new(Who::Key(two.id()), boundary, "lost", SINCE);
    let second = first.with_revocation(more).unwrap();
    assert!(first.is_kept_by(&second));
    assert!(!second.is_kept_by(&first));
    assert!(!first.is_kept_by(&revoked(&two)));
}

#[test]
fn two_lists_say_together_what_each_says() {
    let (one, two) = (key(), key());
    let (first, other) = (revoked(&one), revoked(&two));
    let both = first.joined(&other).unwrap();
    assert!(both.revoked().len() == 2 && both.version() == 2);
    for list in [&first, &other] {
        assert!(list.is_kept_by(&both));
        // Again and again, it stays what it is.
        assert_eq!(&list.joined(&both).unwrap(), &both);
        assert_eq!(&both.joined(list).unwrap(), &both);
    }
    for gone in [&one, &two] {
        assert!(both.check(&by(gone), &[], SignedTime::Untrusted).is_err());
    }
    // A later list that forgot something gets it back.
    let boundary = Boundary::new(SINCE);
    let more = Revocation::new(Who::Key(key().id()), boundary, "lost", SINCE);
    let later = other.with_revocation(more).unwrap();
    let all = first.joined(&later).unwrap();
    assert_eq!((all.revoked().len(), all.version()), (3, 3));
    assert_eq!(Revocations::none().joined(&first).unwrap(), first);
}

#[test]
fn what_is_not_such_a_file_is_refused() {
    let key = key();
    let good = String::from_utf8(revoked(&key).to_bytes().unwrap()).unwrap();
    let parse = |text: &str| Revocations::parse(text.as_bytes());
    assert_eq!(parse(&good).unwrap(), revoked(&key));
    let id = key.id().to_string();
    for (from, to) in [
        ("custos.revocations/1", "custos.revocations/2"),
        (r#""version":1"#, r#""version":-1"#),
        (r#""version":1"#, r#""version":9007199254740992"#),
        (r#""version":1"#, r#""version":1,"version":2"#),
        (r#""a":10"#, r#""a":10,"a":9999"#),
        (r#""a":10"#, r#""a":-10"#),
        (r#""a":10"#, r#""":10"#),
        (r#""reason":"stolen""#, r#""reason":" ""#),
        (
            r#""reason":"stolen""#,
            r#""reason":"stolen","identity":"x""#,
        ),
        (r#""reason":"stolen""#, r#""reason":"stolen","more":1"#),
        (id.as_str(), "abc"),
        (r#""key""#, r#""issuer""#),
    ] {
        let bad = good.replacen(from, to, 1);
        assert_ne!(bad, good, "{from}");
        assert!(parse(&bad).is_err(), "{from} -> {to}");
    }
}

fn boundaries() -> impl Strategy<Value = Boundary> {
    let logs = proptest::collection::btree_map("[a-c]", 0_u64..20, 0..3);
    (0_i64..20, logs).prop_map(|(seconds, logs)| Boundary {
        time: Timestamp::from_seconds(seconds),
        logs,
    })
}

fn times() -> impl Strategy<Value = SignedTime> {
    prop_oneof![Just(SignedTime::Untrusted), (0_i64..20).prop_map(time)]
}

fn proofs() -> impl Strategy<Value = Vec<LogProof>> {
    proptest::collection::btree_map("[a-d]", 0_u64..20, 0..3)
        .prop_map(|logs| logs.into_iter().map(|(log, n)| at(&log, n)).collect())
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(
        boundaries in proptest::collection::vec(boundaries(), 0..5),
        reason in "[a-zA-Zäöü ]{0,10}x",
    ) {
        let mut list = Revocations::none();
        for (n, boundary) in boundaries.into_iter().enumerate() {
            let who = if n % 2 == 0 {
                Who::Key(key().id())
            } else {
                Who::Identity { identity: reason.clone(), issuer: (n % 3 == 0).then(|| "i".into()) }
            };
            let one = Revocation::new(who, boundary.clone(), reason.as_str(), SINCE);
            list = list.with_revocation(one).unwrap();
            let rotation = Rotation::new(key().id(), key(), boundary, SINCE);
            list = list.with_rotation(rotation).unwrap();
        }
        let bytes = list.to_bytes().unwrap();
        let again = Revocations::parse(&bytes).unwrap();
        prop_assert_eq!(&again, &list);
        prop_assert_eq!(again.to_bytes().unwrap(), bytes);
        prop_assert_eq!(again.digest(), list.digest());
    }

    // A revocation takes away and never gives.
    #[test]
    fn another_revocation_makes_nothing_good(
        one in boundaries(), two in boundaries(), log in proofs(), time in times(),
    ) {
        let key = key();
        let add = |list: &Revocations, boundary: &Boundary| {
            let who = Who::Key(key.id());
            let one = Revocation::new(who, boundary.clone(), "r", SINCE);
            list.with_revocation(one).unwrap()
        };
        let first = add(&Revocations::none(), &one);
        let both = add(&first, &two);
        if both.check(&by(&key), &log, time).is_ok() {
            prop_assert!(first.check(&by(&key), &log, time).is_ok());
            prop_assert!(add(&Revocations::none(), &two).check(&by(&key), &log, time).is_ok());
        }
    }

    // An earlier boundary lets through no more, and a later signature is never better.
    #[test]
    fn earlier_boundaries_and_later_signatures_are_never_better(
        boundary in boundaries(), log in proofs(), time in times(), by in 0_u64..5,
    ) {
        let before = |boundary: &Boundary, log: &[LogProof], time| {
            boundary.side(log, time) == Side::Before
        };
        let seconds = i64::try_from(by).unwrap();
        let earlier = Boundary {
            time: boundary.time.plus_micros(-1_000_000 * seconds),
            logs: boundary.logs.iter().map(|(k, v)| (k.clone(), v.saturating_sub(by))).collect(),
        };
        if before(&earlier, &log, time) {
            prop_assert!(before(&boundary, &log, time));
        }
        let later: Vec<LogProof> = log.iter().map(|p| at(&p.origin, p.index + by)).collect();
        let late = match time {
            SignedTime::Trusted { at } => SignedTime::Trusted { at: at.plus_micros(1_000_000 * seconds) },
            other => other,
        };
        if before(&boundary, &later, late) {
            prop_assert!(before(&boundary, &log, time));
        }
    }
}
