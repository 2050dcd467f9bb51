//! Stolen keys, and keys that are counted: thresholds.

use custos_core::crypto::Scheme;

use super::*;

#[test]
fn attack_key_compromise_below_the_threshold_changes_nothing() {
    let world = World::new();
    world.update(&world.mirror(), NOW).unwrap();
    let evil = World::targets(2, &[("revocations.json", b"evil")]);
    // One key of the team and the online key are not enough for a file ...
    let thief = &world.team[0];
    let bytes = world.sign(&evil, &[thief]);
    let mut mirror = world.mirror();
    mirror.files.insert(
        format!(
            "targets/{}.revocations.json",
            hex::encode(custos_core::crypto::sha256(b"evil"))
        ),
        b"evil".to_vec(),
    );
    world.above((2, &bytes), (2, 9), &mut mirror);
    assert!(matches!(
        world.update(&mirror, NOW),
        Err(TufError::Threshold {
            role: Role::Targets,
            found: 1,
            needed: 2,
            ..
        })
    ));
    // ... nor for a root that would make it so.
    let keys = world.new_root();
    let key = Key::of(thief.public_key()).unwrap();
    let id = key.id();
    let one = || RoleKeys::new(vec![id.clone()], 1);
    let root = Root {
        head: Head::new(Role::Root, 2, keys.expires),
        consistent_snapshot: true,
        keys: BTreeMap::from([(id.clone(), key)]),
        roles: Role::ALL
            .into_iter()
            .map(|role| (role.name().to_owned(), one()))
            .collect(),
    };
    let unsigned = Signed::write(&root, Vec::new()).unwrap();
    let signature = thief.sign(unsigned.canonical()).unwrap();
    let signed = unsigned
        .with_signature(Signature::new(id.clone(), &signature))
        .unwrap();
    let mut mirror = world.mirror();
    mirror
        .files
        .insert("2.root.json".into(), signed.bytes().to_vec());
    assert!(matches!(
        world.update(&mirror, NOW),
        Err(TufError::Threshold {
            role: Role::Root,
            found: 1,
            needed: 2,
            ..
        })
    ));
    assert_eq!(world.delivered().unwrap(), "one");
}

#[test]
fn one_of_three_changes_nothing() {
    let world = World::new();
    let files = BTreeMap::from([("revocations.json".to_owned(), b"alone".to_vec())]);
    let repository = world.repository();
    let staged = repository
        .stage_targets(&files, later(365))
        .unwrap()
        .unwrap();
    world.approve(&staged, 1);
    assert_eq!(world.publish(NOW).waiting, [(staged.clone(), 1, 2)]);
    // The same key once more is still one key.
    world.approve(&staged, 1);
    assert_eq!(world.publish(NOW).waiting, [(staged.clone(), 1, 2)]);
    world.update(&world.mirror(), NOW).unwrap();
    assert_eq!(world.delivered().unwrap(), "one");
    // A signature that is taken back no longer counts.
    let second = &world.team[1];
    Staged::read(&staged).unwrap().sign(second).unwrap();
    Staged::read(&staged)
        .unwrap()
        .withdraw(second.public_key())
        .unwrap();
    assert_eq!(world.publish(NOW).waiting, [(staged.clone(), 1, 2)]);
    // Somebody else's key cannot sign at all.
    assert!(Staged::read(&staged).unwrap().sign(&signer()).is_err());
    world.approve(&staged, 2);
    assert_eq!(world.publish(NOW).waiting, []);
    world.update(&world.mirror(), NOW).unwrap();
    assert_eq!(world.delivered().unwrap(), "alone");
}

#[test]
fn one_key_under_two_ids_counts_once() {
    // The class of `duplicate-sig-keys`: whoever counts ids is deceived.
    let (one, two) = (signer(), signer());
    let key = Key::of(one.public_key()).unwrap();
    let other = Key::of(two.public_key()).unwrap();
    let ids = ["a", "b", "c"].map(str::to_owned);
    let roles = |threshold| RoleKeys::new(ids.to_vec(), threshold);
    let root = Root {
        head: Head::new(Role::Root, 1, later(1)),
        consistent_snapshot: true,
        keys: BTreeMap::from([
            ("a".into(), key.clone()),
            ("b".into(), key),
            ("c".into(), other),
        ]),
        roles: Role::ALL
            .into_iter()
            .map(|role| (role.name().to_owned(), roles(2)))
            .collect(),
    };
    let unsigned = Signed::write(&root, Vec::new()).unwrap();
    let sign =
        |id: &str, by: &KeySigner| Signature::new(id, &by.sign(unsigned.canonical()).unwrap());
    let twice = Signed::write(&root, vec![sign("a", &one), sign("b", &one)]).unwrap();
    assert!(matches!(
        Trusted::from_root(twice.bytes()),
        Err(TufError::Threshold {
            found: 1,
            needed: 2,
            ..
        })
    ));
    let both = Signed::write(&root, vec![sign("a", &one), sign("c", &two)]).unwrap();
    assert!(Trusted::from_root(both.bytes()).is_ok());
    // One id twice is refused whatever else is there.
    let repeated = vec![sign("a", &one), sign("a", &one), sign("c", &two)];
    let repeated = Signed::write(&root, repeated).unwrap();
    assert!(matches!(
        Trusted::from_root(repeated.bytes()),
        Err(TufError::DuplicateSignature { .. })
    ));
}

#[test]
fn a_threshold_of_nothing_is_met_by_nobody() {
    let one = signer();
    let key = Key::of(one.public_key()).unwrap();
    for (threshold, ids) in [
        (0, vec![key.id()]),
        (2, vec![key.id()]),
        (0, vec![]),
        (1, vec![]),
    ] {
        let role = RoleKeys::new(ids, threshold);
        let root = Root {
            head: Head::new(Role::Root, 1, later(1)),
            consistent_snapshot: true,
            keys: BTreeMap::from([(key.id(), key.clone())]),
            roles: Role::ALL
                .into_iter()
                .map(|r| (r.name().to_owned(), role.clone()))
                .collect(),
        };
        let unsigned = Signed::write(&root, Vec::new()).unwrap();
        let signature = Signature::new(key.id(), &one.sign(unsigned.canonical()).unwrap());
        let signed = unsigned.with_signature(signature).unwrap();
        assert_eq!(
            Trusted::from_root(signed.bytes()),
            Err(TufError::RoleUnsound { role: Role::Root })
        );
    }
}

#[test]
fn keys_are_replaced_by_a_root_that_old_and_new_keys_signed() {
    let mut world = World::new();
    world.update(&world.mirror(), NOW).unwrap();
    let old: Vec<KeySigner> = std::mem::take(&mut world.team);
    world.team = (0..3).map(|_| signer()).collect();
    let staged = world
        .repository()
        .stage_root(&world.new_root())
        .unwrap()
        .unwrap();
    // The new keys alone cannot make themselves the root.
    world.approve(&staged, 3);
    assert_eq!(world.publish(NOW).waiting, [(staged.clone(), 0, 2)]);
    for signer in old.iter().take(2) {
        Staged::read(&staged).unwrap().sign(signer).unwrap();
    }
    assert_eq!(world.publish(NOW).root, Some(2));
    // The old keys' targets no longer count, until the new ones sign.
    assert!(matches!(
        world.update(&world.mirror(), NOW),
        Err(TufError::Threshold {
            role: Role::Targets,
            found: 0,
            ..
        })
    ));
    world.deliver("by new keys", NOW);
    assert_eq!(
        world
            .update(&world.mirror(), NOW)
            .unwrap()
            .trusted
            .root()
            .head
            .version,
        2
    );
    assert_eq!(world.delivered().unwrap(), "by new keys");
}

#[test]
fn keys_of_rsa_count_with_the_padding_that_the_specification_names() {
    let size = custos_core::crypto::RsaSize::Bits2048;
    let pair = KeyPair::generate(KeyKind::Rsa(size)).unwrap();
    let key: Key = serde_json::from_value(serde_json::json!({
        "keytype": "rsa",
        "scheme": "rsassa-pss-sha256",
        "keyval": { "public": pair.public_key().to_pem() },
    }))
    .unwrap();
    let root = |scheme: &str| {
        let mut key = key.clone();
        key.scheme = scheme.to_owned();
        Root {
            head: Head::new(Role::Root, 1, later(1)),
            consistent_snapshot: true,
            keys: BTreeMap::from([("a".to_owned(), key)]),
            roles: Role::ALL
                .into_iter()
                .map(|role| (role.name().to_owned(), RoleKeys::new(vec!["a".into()], 1)))
                .collect(),
        }
    };
    let follow = |scheme: &str, signed_by: Scheme| {
        let unsigned = Signed::write(&root(scheme), Vec::new()).unwrap();
        let signature = pair.sign(signed_by, unsigned.canonical()).unwrap();
        let signed = unsigned.with_signature(Signature::new("a", &signature));
        Trusted::from_root(signed.unwrap().bytes())
    };
    let (pss, v15) = (Scheme::RsaPssSha256(size), Scheme::RsaPkcs1Sha256(size));
    let trusted = follow("rsassa-pss-sha256", pss).unwrap();
    assert_eq!(
        trusted.root().keys_of(Role::Root).unwrap(),
        [pair.public_key().clone()]
    );
    for (scheme, signed_by) in [
        ("rsassa-pss-sha256", v15),
        ("rsa-pkcs1v15-sha256", v15),
        ("ecdsa-sha2-nistp256", pss),
    ] {
        assert!(
            matches!(
                follow(scheme, signed_by),
                Err(TufError::Threshold { found: 0, .. })
            ),
            "{scheme}"
        );
    }
    // An elliptic curve under the name of RSA is no key at all.
    let mut other = key.clone();
    other.keyval.public = signer().public_key().to_pem();
    assert_eq!(other.public(), None);
}

#[test]
fn a_root_is_written_with_keys_that_other_clients_read() {
    let world = World::new();
    let mut new = world.new_root();
    new.keys[0] = KeyPair::generate(KeyKind::Ed25519)
        .unwrap()
        .public_key()
        .clone();
    let error = world.repository().stage_root(&new).unwrap_err();
    assert!(matches!(error, TufError::KeyKind { .. }), "{error}");
}
