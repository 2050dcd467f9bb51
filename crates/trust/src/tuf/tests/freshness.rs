//! What a client is kept from: rollback, freeze, and numbers run up by a stolen key.

use super::*;

#[test]
fn attack_rollback_is_refused() {
    let world = World::new();
    let old = world.mirror();
    world.deliver("two", NOW);
    world.update(&world.mirror(), NOW).unwrap();
    // The whole repository of yesterday.
    assert!(matches!(
        world.update(&old, NOW),
        Err(TufError::Rollback { .. })
    ));
    // A stolen online key makes yesterday's targets look new.
    let mut mirror = world.mirror();
    world.above((1, &old.files["1.targets.json"]), (9, 9), &mut mirror);
    assert!(matches!(
        world.update(&mirror, NOW),
        Err(TufError::Rollback {
            trusted: 2,
            found: 1,
            ..
        })
    ));
    // Or leaves the targets out of the snapshot altogether.
    let head = Head::new(Role::Snapshot, 10, later(7));
    let meta = BTreeMap::from([("other.json".to_owned(), MetaFile::of(1, b""))]);
    let bytes = world.sign(&Snapshot { head, meta }, &[&world.online]);
    let meta = BTreeMap::from([("snapshot.json".to_owned(), MetaFile::of(10, &bytes))]);
    let head = Head::new(Role::Timestamp, 10, later(7));
    let timestamp = world.sign(&TimestampRole { head, meta }, &[&world.online]);
    let mut mirror = world.mirror();
    mirror.files.insert("10.snapshot.json".into(), bytes);
    mirror.files.insert("timestamp.json".into(), timestamp);
    assert!(matches!(
        world.update(&mirror, NOW),
        Err(TufError::Rollback { found: 0, .. })
    ));
    assert_eq!(world.delivered().unwrap(), "two");
}

#[test]
fn attack_rollback_of_the_root_is_refused() {
    let world = World::new();
    let repository = world.repository();
    let mut new = world.new_root();
    new.expires = later(400);
    let staged = repository.stage_root(&new).unwrap().unwrap();
    world.approve(&staged, 2);
    assert_eq!(world.publish(NOW).root, Some(2));
    let mut mirror = world.mirror();
    // The old one once more, as the next: its number gives it away.
    mirror
        .files
        .insert("2.root.json".into(), mirror.files["1.root.json"].clone());
    assert_eq!(
        world.update(&mirror, NOW),
        Err(TufError::RootVersion {
            trusted: 1,
            found: 1
        })
    );
    world.update(&world.mirror(), NOW).unwrap();
    assert_eq!(
        world
            .store()
            .load_root()
            .unwrap()
            .unwrap()
            .root()
            .head
            .version,
        2
    );
}

#[test]
fn attack_indefinite_freeze_ends_when_the_timestamp_expires() {
    let world = World::new();
    let frozen = world.mirror();
    world.update(&frozen, NOW).unwrap();
    world.update(&frozen, later(6)).unwrap();
    // The same answer for ever: true once, and known not to be news any more.
    for days in [7, 8, 300] {
        assert!(matches!(
            world.update(&frozen, later(days)),
            Err(TufError::Expired {
                role: Role::Timestamp,
                ..
            })
        ));
    }
    assert!(matches!(
        world.update(&frozen, later(366)),
        Err(TufError::Expired {
            role: Role::Root,
            ..
        })
    ));
    world.publish(later(8));
    world.update(&world.mirror(), later(8)).unwrap();
}

#[test]
fn attack_fast_forward_is_recovered_from_by_a_new_online_key() {
    let mut world = World::new();
    world.update(&world.mirror(), NOW).unwrap();
    // A stolen online key runs the numbers up.
    let mut mirror = world.mirror();
    let targets = mirror.files["1.targets.json"].clone();
    world.above((1, &targets), (u64::MAX >> 12, u64::MAX >> 12), &mut mirror);
    world.update(&mirror, NOW).unwrap();
    // Honest metadata is a rollback now, until the root names another online key.
    assert!(matches!(
        world.update(&world.mirror(), NOW),
        Err(TufError::Rollback { .. })
    ));
    world.online = signer();
    let staged = world
        .repository()
        .stage_root(&world.new_root())
        .unwrap()
        .unwrap();
    world.approve(&staged, 2);
    world.publish(NOW);
    world.update(&world.mirror(), NOW).unwrap();
    assert_eq!(
        world.store().load().unwrap().unwrap().root().head.version,
        2
    );
}

#[test]
fn what_was_seen_last_is_a_bound_or_damaged_and_never_nothing() {
    for file in ["timestamp.json", "snapshot.json"] {
        let world = World::new();
        let old = world.mirror();
        world.deliver("two", NOW);
        let new = world.mirror();
        world.update(&new, NOW).unwrap();
        let path = world.store().dir().join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        let damage = [
            String::new(),
            text[..text.len() / 2].to_owned(),
            text.replacen("\"version\": 2", "\"version\": 1", 1),
            " ".repeat(2_000_001),
        ];
        for damaged in damage {
            assert_ne!(damaged, text);
            std::fs::write(&path, damaged).unwrap();
            for mirror in [&old, &new] {
                let error = world.update(mirror, NOW).unwrap_err();
                assert!(matches!(error, TufError::Damaged { .. }), "{error}");
                assert!(error.is_undecided() && !error.is_attack());
                assert!(error.to_string().contains(file), "{error}");
            }
        }
        assert_eq!(world.delivered().unwrap(), "two");
        // The way out has a name, and leads to the newest.
        let anew = Wanted {
            names: &["revocations.json"],
            admit: &|_, _| Ok(Admitted::Taken),
            now: NOW,
            anew: true,
        };
        update(&world.store(), &new, &anew).unwrap();
        assert!(matches!(
            world.update(&old, NOW),
            Err(TufError::Rollback { .. })
        ));
        world.update(&new, NOW).unwrap();
    }
}

#[test]
fn an_interrupted_update_is_no_damage() {
    let mut world = World::new();
    world.update(&world.mirror(), NOW).unwrap();
    world.deliver("two", NOW);
    let mut mirror = world.mirror();
    mirror.files.remove("2.snapshot.json");
    assert!(world.update(&mirror, NOW).unwrap_err().is_undecided());
    // A newer timestamp lies beside the older snapshot and targets.
    let loaded = world.store().load().unwrap().unwrap();
    assert_eq!(loaded.snapshot().unwrap().head.version, 1);
    assert_eq!(loaded.targets().unwrap().head.version, 1);
    assert!(loaded.timestamp().unwrap().head.version > 1);
    world.update(&world.mirror(), NOW).unwrap();
    // A new root takes the keys away, and its targets are still to come.
    let old: Vec<KeySigner> = std::mem::take(&mut world.team);
    world.team = (0..3).map(|_| signer()).collect();
    let staged = world
        .repository()
        .stage_root(&world.new_root())
        .unwrap()
        .unwrap();
    world.approve(&staged, 3);
    for signer in old.iter().take(2) {
        Staged::read(&staged).unwrap().sign(signer).unwrap();
    }
    world.publish(NOW);
    assert!(world.update(&world.mirror(), NOW).unwrap_err().is_attack());
    let loaded = world.store().load().unwrap().unwrap();
    assert_eq!(loaded.root().head.version, 2);
    assert!(loaded.targets().is_none());
    assert!(world.store().names_target("revocations.json").unwrap());
}

#[test]
fn whether_something_is_delivered_is_never_guessed() {
    let world = World::new();
    let names = |name: &str| world.store().names_target(name);
    // A root that nobody followed yet delivers nothing.
    assert_eq!(names("revocations.json"), Ok(false));
    world.update(&world.mirror(), NOW).unwrap();
    assert_eq!(names("revocations.json"), Ok(true));
    assert_eq!(names("other.json"), Ok(false));
    let path = world.store().dir().join("targets.json");
    for damaged in ["", "{}", "[]"] {
        std::fs::write(&path, damaged).unwrap();
        assert!(matches!(
            names("revocations.json"),
            Err(TufError::Damaged { .. })
        ));
    }
    std::fs::remove_file(&path).unwrap();
    assert!(matches!(
        names("revocations.json"),
        Err(TufError::NotThere { .. })
    ));
    world.update(&world.mirror(), NOW).unwrap();
    assert_eq!(names("revocations.json"), Ok(true));
}
