//! What a client is made to take: other files, other metadata, more than it asked for.

use std::path::PathBuf;

use super::*;

#[test]
fn attack_arbitrary_software_is_refused() {
    let world = World::new();
    let mut mirror = world.mirror();
    let name = mirror.target("revocations.json");
    // Another file of the same length under the same name.
    mirror.files.insert(name, b"0ne".to_vec());
    assert!(matches!(
        world.update(&mirror, NOW),
        Err(TufError::Mismatch {
            what: Mismatch::Digest,
            ..
        })
    ));
    assert_eq!(world.delivered(), None);
    // Metadata that nobody of the team signed.
    let stranger = signer();
    let targets = World::targets(2, &[("revocations.json", b"evil")]);
    let forged = [vec![], vec![&stranger], vec![&stranger, &stranger]];
    for (version, signers) in (2..).zip(forged) {
        let bytes = world.sign(&targets, &signers);
        let mut mirror = world.mirror();
        world.above((2, &bytes), (version, version), &mut mirror);
        assert!(matches!(
            world.update(&mirror, NOW),
            Err(TufError::Threshold {
                role: Role::Targets,
                found: 0,
                needed: 2,
                ..
            })
        ));
    }
}

#[test]
fn attack_arbitrary_software_by_changed_metadata_is_refused() {
    let world = World::new();
    for name in ["timestamp.json", "1.snapshot.json", "1.targets.json"] {
        let mut mirror = world.mirror();
        mirror.change(name, |text| text.replacen("1.0.33", "1.0.34", 1));
        assert!(
            world.update(&mirror, NOW).unwrap_err().is_attack(),
            "{name}"
        );
        assert_eq!(world.delivered(), None);
    }
    world.update(&world.mirror(), NOW).unwrap();
}

#[test]
fn attack_wrong_software_is_refused() {
    // A genuine file of the repository under the name of another.
    let world = World::new();
    let files = BTreeMap::from([
        ("revocations.json".to_owned(), b"aaa".to_vec()),
        ("policies.json".to_owned(), b"bbb".to_vec()),
    ]);
    let repository = world.repository();
    let staged = repository
        .stage_targets(&files, later(365))
        .unwrap()
        .unwrap();
    world.approve(&staged, 2);
    world.publish(NOW);
    let mut mirror = world.mirror();
    let digest = hex::encode(custos_core::crypto::sha256(b"aaa"));
    mirror.files.insert(
        format!("targets/{digest}.revocations.json"),
        b"bbb".to_vec(),
    );
    assert!(matches!(
        world.update(&mirror, NOW),
        Err(TufError::Mismatch { .. })
    ));
    assert_eq!(world.delivered(), None);
    world.update(&world.mirror(), NOW).unwrap();
    assert_eq!(world.delivered().unwrap(), "aaa");
}

#[test]
fn attack_mix_and_match_is_refused() {
    // Each file is genuine; together they never were.
    for (name, from) in [
        ("2.targets.json", "1.targets.json"),
        ("2.snapshot.json", "1.snapshot.json"),
        ("two", "one"),
    ] {
        let world = World::new();
        let old = world.mirror();
        world.deliver("two", NOW);
        let new = world.mirror();
        let path = |mirror: &Mirror, wanted: &str| {
            let is = |(path, bytes): &(&String, &Vec<u8>)| {
                *path == wanted || bytes.as_slice() == wanted.as_bytes()
            };
            mirror.files.iter().find(is).unwrap().0.clone()
        };
        let mut mirror = new.clone();
        let other = old.files[&path(&old, from)].clone();
        mirror.files.insert(path(&new, name), other);
        // Of another length or another digest than was signed: signatures differ in length.
        let error = world.update(&mirror, NOW).unwrap_err();
        let differs = matches!(error, TufError::Mismatch { .. } | TufError::TooLarge { .. });
        assert!(differs && error.is_attack(), "{name}: {error}");
        assert_eq!(world.delivered(), None);
        world.update(&new, NOW).unwrap();
        assert_eq!(world.delivered().unwrap(), "two");
    }
}

#[test]
fn attack_extraneous_dependencies_are_never_fetched() {
    let world = World::new();
    let mut mirror = world.mirror();
    // What the metadata does not name is not asked for, and what nobody asked for is not fetched.
    mirror
        .files
        .insert("targets/extra.json".into(), b"extra".to_vec());
    let done = world
        .update_for(&mirror, NOW, &["revocations.json", "extra.json"])
        .unwrap();
    assert_eq!(done.changed, ["revocations.json"]);
    let asked: Vec<String> = mirror
        .asked
        .into_inner()
        .into_iter()
        .map(|one| one.0)
        .collect();
    assert!(
        asked.iter().all(|path| !path.contains("extra")),
        "{asked:?}"
    );
    // More files in the metadata than a client wants stay where they are.
    let files = BTreeMap::from([
        ("revocations.json".to_owned(), b"one".to_vec()),
        ("tool.sh".to_owned(), b"#!/bin/sh".to_vec()),
    ]);
    let repository = world.repository();
    let staged = repository
        .stage_targets(&files, later(365))
        .unwrap()
        .unwrap();
    world.approve(&staged, 2);
    world.publish(NOW);
    world.update(&world.mirror(), NOW).unwrap();
    assert!(!world.dir.path().join("home/trust/tool.sh").exists());
}

#[test]
fn names_never_lead_out_of_the_cache() {
    let world = World::new();
    world.update(&world.mirror(), NOW).unwrap();
    let trusted = world.store().load().unwrap().unwrap();
    for name in [
        "../evil",
        "/etc/passwd",
        "a/b",
        "..",
        ".hidden",
        "",
        "a\\b",
        "a\0b",
        "metadata/root.json",
    ] {
        assert!(
            matches!(trusted.target(name), Err(TufError::Name { .. })),
            "{name:?}"
        );
        assert!(matches!(
            world.store().write_target(name, b""),
            Err(TufError::Name { .. })
        ));
        let files = BTreeMap::from([(name.to_owned(), Vec::new())]);
        assert!(world.repository().stage_targets(&files, later(1)).is_err());
    }
    // Signed by the whole team, and still no path.
    let evil = World::targets(2, &[("../../evil", b"evil")]);
    let bytes = world.sign(&evil, &[&world.team[0], &world.team[1]]);
    let mut mirror = world.mirror();
    world.above((2, &bytes), (2, 9), &mut mirror);
    mirror.files.insert(
        format!(
            "targets/{}.../../evil",
            hex::encode(custos_core::crypto::sha256(b"evil"))
        ),
        b"evil".to_vec(),
    );
    assert!(matches!(
        world.update_for(&mirror, NOW, &["../../evil"]),
        Err(TufError::Name { .. })
    ));
    let strays: Vec<PathBuf> = std::fs::read_dir(world.dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.ends_with("evil"))
        .collect();
    assert_eq!(strays, [] as [PathBuf; 0]);
}

#[test]
fn what_a_delegated_role_may_deliver_is_not_taken_for_nothing() {
    let world = World::new();
    let update = |role: &str, names: &[&str]| {
        let delegations = format!(r#"{{"keys":{{}},"roles":[{role}]}}"#);
        let delegations = if role.starts_with("succinct") {
            r#"{"keys":{},"succinct_roles":{"bit_length":8,"name_prefix":"bin"}}"#.to_owned()
        } else {
            delegations
        };
        let mut targets = World::targets(2, &[("revocations.json", b"one")]);
        targets.delegations = Some(serde_json::from_str(&delegations).unwrap());
        let bytes = world.sign(&targets, &[&world.team[0], &world.team[1]]);
        let mut mirror = world.mirror();
        world.above((2, &bytes), (2, 9), &mut mirror);
        let home = tempfile::tempdir().unwrap();
        let store = Store::new(home.path().join("trust/metadata"));
        let root = Trusted::from_root(&mirror.files["1.root.json"]).unwrap();
        store.begin(&root).unwrap();
        let wanted = Wanted {
            names,
            admit: &|_, _| Ok(Admitted::Taken),
            now: NOW,
            anew: false,
        };
        super::update(&store, &mirror, &wanted)
    };
    let both = ["revocations.json", "policies.json"];
    let digest = hex::encode(custos_core::crypto::sha256(b"policies.json"));
    let prefix = format!(
        r#"{{"name":"r","path_hash_prefixes":["00","{}"]}}"#,
        &digest[..2]
    );
    for role in [
        r#"{"name":"r","paths":["policies.json"]}"#,
        r#"{"name":"r","paths":["x","*"]}"#,
        r#"{"name":"r","paths":["*.j?on"]}"#,
        r#"{"name":"r","paths":["[p]olicies.json"]}"#,
        r#"{"name":"r"}"#,
        prefix.as_str(),
        "succinct",
    ] {
        let error = update(role, &both).unwrap_err();
        assert!(
            matches!(error, TufError::Delegated { .. }),
            "{role}: {error}"
        );
        assert!(error.is_undecided() && error.to_string().contains("policies.json"));
        // What the top level names itself is its own word.
        assert_eq!(
            update(role, &both[..1]).unwrap().changed,
            ["revocations.json"]
        );
    }
    for role in [
        // As Sigstore's public root has it.
        r#"{"name":"registry.npmjs.org","paths":["registry.npmjs.org/*"]}"#,
        r#"{"name":"r","paths":["*.txt","policies","policies.json?","?policies.json"]}"#,
        r#"{"name":"r","paths":[]}"#,
        r#"{"name":"r","path_hash_prefixes":["zz"]}"#,
    ] {
        assert_eq!(
            update(role, &both).unwrap().changed,
            ["revocations.json"],
            "{role}"
        );
    }
}
