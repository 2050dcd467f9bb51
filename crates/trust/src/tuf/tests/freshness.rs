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
