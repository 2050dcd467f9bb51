//! The client against its own repository, and against each attack that the specification lists in
//! section 1.5.2. Each attack has a twin that succeeds, so that nothing passes by breaking.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;

use custos_core::clock::Timestamp;
use custos_core::crypto::{KeyKind, KeyPair};

use super::metadata::{
    Head, Key, MetaFile, Metadata, Role, RoleKeys, Root, Signature, Signed, Snapshot, TargetFile,
    Targets, TimestampRole,
};
use super::repository::{Lifetimes, NewRoot, Repository, Staged};
use super::*;
use crate::signer::{KeySigner, Signer};

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);
const DAY: i64 = 86_400_000_000;

fn signer() -> KeySigner {
    KeySigner::new(KeyPair::generate(KeyKind::P256).unwrap())
}

fn later(days: i64) -> Timestamp {
    NOW.plus_micros(days * DAY)
}

/// A team of three, two of whom must agree, its repository, and one client.
struct World {
    dir: tempfile::TempDir,
    team: Vec<KeySigner>,
    online: KeySigner,
}

impl World {
    fn new() -> Self {
        let world = Self {
            dir: tempfile::tempdir().unwrap(),
            team: (0..3).map(|_| signer()).collect(),
            online: signer(),
        };
        let staged = world.repository().stage_root(&world.new_root()).unwrap();
        world.approve(&staged.unwrap(), 2);
        world.publish(NOW);
        world.deliver("one", NOW);
        let root = std::fs::read(world.repository().dir().join("1.root.json")).unwrap();
        let store = world.store();
        store.begin(&Trusted::from_root(&root).unwrap()).unwrap();
        world
    }

    fn new_root(&self) -> NewRoot {
        NewRoot {
            keys: self.team.iter().map(|k| k.public_key().clone()).collect(),
            threshold: 2,
            online: self.online.public_key().clone(),
            expires: later(365),
        }
    }

    fn repository(&self) -> Repository {
        Repository::at(self.dir.path().join("repository"))
    }

    fn store(&self) -> Store {
        Store::new(self.dir.path().join("home/trust/metadata"))
    }

    fn approve(&self, staged: &std::path::Path, by: usize) {
        for signer in self.team.iter().take(by) {
            Staged::read(staged).unwrap().sign(signer).unwrap();
        }
    }

    fn publish(&self, now: Timestamp) -> repository::Published {
        let lifetimes = Lifetimes::default();
        self.repository()
            .publish(&self.online, lifetimes, now)
            .unwrap()
    }

    /// Delivers a new content of `revocations.json`.
    fn deliver(&self, content: &str, now: Timestamp) {
        let files = BTreeMap::from([("revocations.json".to_owned(), content.into())]);
        let expires = Lifetimes::default().offline_end(now);
        let staged = self.repository().stage_targets(&files, expires).unwrap();
        self.approve(&staged.unwrap(), 2);
        let done = self.publish(now);
        assert_eq!(done.waiting, []);
    }

    /// What a server has, to be changed by whoever stands in between.
    fn mirror(&self) -> Mirror {
        let mut files = BTreeMap::new();
        let root = self.repository().dir().to_owned();
        let mut queue = vec![root.clone()];
        while let Some(dir) = queue.pop() {
            for entry in std::fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    queue.push(path);
                } else {
                    let name = path
                        .strip_prefix(&root)
                        .unwrap()
                        .to_str()
                        .unwrap()
                        .to_owned();
                    files.insert(name, std::fs::read(path).unwrap());
                }
            }
        }
        Mirror {
            files,
            asked: RefCell::default(),
            broken: None,
        }
    }

    fn update(&self, source: &dyn Source, now: Timestamp) -> Result<Updated, TufError> {
        self.update_for(source, now, &["revocations.json"])
    }

    fn update_for(
        &self,
        source: &dyn Source,
        now: Timestamp,
        names: &[&str],
    ) -> Result<Updated, TufError> {
        update(
            &self.store(),
            source,
            &Wanted {
                names,
                admit: &|_, _| Ok(()),
                now,
            },
        )
    }

    fn delivered(&self) -> Option<String> {
        let path = self.dir.path().join("home/trust/revocations.json");
        std::fs::read_to_string(path).ok()
    }

    fn sign<T: Metadata>(&self, content: &T, signers: &[&KeySigner]) -> Vec<u8> {
        let root = self.repository().root().unwrap().unwrap();
        let unsigned = Signed::write(content, Vec::new()).unwrap();
        let signatures = signers.iter().map(|signer| {
            let id = root.root().id_of(signer.public_key(), T::ROLE);
            let id = id.unwrap_or("stranger");
            Signature::new(id, &signer.sign(unsigned.canonical()).unwrap())
        });
        let signed = Signed::write(content, signatures.collect()).unwrap();
        signed.bytes().to_vec()
    }

    /// Snapshot and timestamp of these versions around targets metadata, by the online key.
    fn above(&self, targets: (u64, &[u8]), versions: (u64, u64), mirror: &mut Mirror) {
        let (snapshot, timestamp) = versions;
        let meta = BTreeMap::from([(
            "targets.json".to_owned(),
            MetaFile::of(targets.0, targets.1),
        )]);
        let head = Head::new(Role::Snapshot, snapshot, later(7));
        let bytes = self.sign(&Snapshot { head, meta }, &[&self.online]);
        let meta = BTreeMap::from([("snapshot.json".to_owned(), MetaFile::of(snapshot, &bytes))]);
        mirror
            .files
            .insert(format!("{snapshot}.snapshot.json"), bytes);
        let head = Head::new(Role::Timestamp, timestamp, later(7));
        let bytes = self.sign(&TimestampRole { head, meta }, &[&self.online]);
        mirror.files.insert("timestamp.json".to_owned(), bytes);
        let name = format!("{}.targets.json", targets.0);
        mirror.files.insert(name, targets.1.to_vec());
    }

    fn targets(version: u64, files: &[(&str, &[u8])]) -> Targets {
        let targets = files
            .iter()
            .map(|(name, bytes)| ((*name).to_owned(), TargetFile::of(bytes)));
        Targets {
            head: Head::new(Role::Targets, version, later(365)),
            targets: targets.collect(),
        }
    }
}

#[derive(Clone)]
struct Mirror {
    files: BTreeMap<String, Vec<u8>>,
    asked: RefCell<Vec<(String, u64)>>,
    broken: Option<SourceError>,
}

impl Mirror {
    fn change(&mut self, name: &str, with: impl FnOnce(&str) -> String) {
        let bytes = self.files.get_mut(name).unwrap();
        let text = String::from_utf8(bytes.clone()).unwrap();
        let changed = with(&text);
        assert_ne!(changed, text);
        *bytes = changed.into_bytes();
    }

    fn target(&self, end: &str) -> String {
        let mut names = self
            .files
            .keys()
            .filter(|name| name.starts_with("targets/"));
        names.find(|name| name.ends_with(end)).unwrap().clone()
    }
}

impl Source for Mirror {
    fn fetch(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, SourceError> {
        self.asked.borrow_mut().push((path.to_owned(), limit));
        match &self.broken {
            Some(error) => Err(error.clone()),
            None => Ok(self.files.get(path).cloned()),
        }
    }
}

#[test]
fn a_change_by_two_of_three_reaches_a_client() {
    let world = World::new();
    let first = world.update(&world.mirror(), NOW).unwrap();
    assert_eq!(first.changed, ["revocations.json"]);
    assert_eq!(world.delivered().unwrap(), "one");
    assert_eq!(
        world.update(&world.mirror(), NOW).unwrap().changed,
        [] as [&str; 0]
    );
    world.deliver("two", later(1));
    world.update(&world.mirror(), later(1)).unwrap();
    assert_eq!(world.delivered().unwrap(), "two");
    // From a folder that was carried here, likewise.
    world.deliver("three", later(2));
    let folder = FolderSource::new(world.repository().dir().to_owned());
    world.update(&folder, later(2)).unwrap();
    assert_eq!(world.delivered().unwrap(), "three");
    let loaded = world.store().load().unwrap().unwrap();
    let kept = world.store().target(&loaded, "revocations.json").unwrap();
    assert_eq!(kept.unwrap(), b"three");
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
fn attack_endless_data_ends_at_the_limit() {
    let world = World::new();
    let endless = |name: &str| {
        let mut mirror = world.mirror();
        let name = if name == "targets" {
            mirror.target("revocations.json")
        } else {
            name.to_owned()
        };
        mirror.files.insert(name, vec![b' '; 6_000_000]);
        let error = world.update(&mirror, NOW).unwrap_err();
        assert!(matches!(error, TufError::TooLarge { .. }), "{error}");
        let asked = mirror.asked.into_inner();
        // What was signed about a length is the limit, and never more than the fixed one.
        asked.last().unwrap().1
    };
    assert_eq!(endless("2.root.json"), MAX_ROOT);
    assert_eq!(endless("timestamp.json"), MAX_TIMESTAMP);
    let length = |name: &str| u64::try_from(world.mirror().files[name].len()).unwrap();
    assert_eq!(endless("1.snapshot.json"), length("1.snapshot.json"));
    assert_eq!(endless("1.targets.json"), length("1.targets.json"));
    assert_eq!(endless("targets"), 3);
    assert_eq!(world.delivered(), None);
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
fn attack_malicious_mirror_leaves_everything_as_it_was() {
    let world = World::new();
    world.update(&world.mirror(), NOW).unwrap();
    let before = world.store().load().unwrap();
    for name in [
        "timestamp.json",
        "2.snapshot.json",
        "2.targets.json",
        "targets",
    ] {
        world.deliver(&format!("not {name}"), NOW);
        let mut mirror = world.mirror();
        let gone = match name {
            "targets" => {
                let loaded = world.repository();
                let latest = std::fs::read_dir(loaded.dir().join("targets"))
                    .unwrap()
                    .count();
                assert!(latest > 1);
                mirror.files.retain(|path, _| !path.starts_with("targets/"));
                continue;
            }
            "timestamp.json" => "timestamp.json".to_owned(),
            // The newest of its kind.
            other => {
                let end = other.trim_start_matches("2.");
                let newest = mirror.files.keys().filter(|name| name.ends_with(end));
                let number = |name: &String| name.split('.').next().unwrap().parse::<u64>().ok();
                newest.max_by_key(|name| number(name)).unwrap().clone()
            }
        };
        mirror.files.remove(&gone);
        let error = world.update(&mirror, NOW).unwrap_err();
        assert_eq!(error, TufError::NotThere { path: gone });
        assert!(error.is_undecided());
        assert_eq!(world.delivered().unwrap(), "one");
    }
    assert_eq!(before.unwrap().root().head.version, 1);
    let mut mirror = world.mirror();
    mirror.broken = Some(SourceError::new("mirror", "connection refused"));
    assert!(world.update(&mirror, NOW).unwrap_err().is_undecided());
    // Another mirror, and all is well.
    world.update(&world.mirror(), NOW).unwrap();
    assert_ne!(world.delivered().unwrap(), "one");
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
fn attack_slow_retrieval_ends_in_time() {
    use std::io::{Read as _, Write as _};
    // A server that sends a byte now and then, for ever.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url: custos_net::Url = format!("http://{}/", listener.local_addr().unwrap())
        .parse()
        .unwrap();
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            std::thread::spawn(move || {
                let _ = stream.read(&mut [0; 1024]);
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n");
                while stream.write_all(b" ").is_ok() {
                    std::thread::sleep(std::time::Duration::from_millis(20));
                }
            });
        }
    });
    let short = std::time::Duration::from_millis(300);
    let settings = custos_net::Settings::new(custos_net::Guard::private().naming(&url));
    let source = HttpSource::with_settings(&url, settings.with_times(short, short)).unwrap();
    let world = World::new();
    let error = world.update(&source, NOW).unwrap_err();
    assert!(matches!(error, TufError::Source(_)), "{error}");
    assert!(error.is_undecided());
    // Whatever a caller asks for, there is an end.
    let hour = std::time::Duration::from_hours(1);
    let settings = custos_net::Settings::new(custos_net::Guard::private().naming(&url));
    assert!(source::MAX_TIME < hour);
    assert!(HttpSource::with_settings(&url, settings.with_times(short, hour)).is_ok());
}

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
fn what_is_not_admitted_does_not_take_the_place_of_the_old() {
    let world = World::new();
    world.update(&world.mirror(), NOW).unwrap();
    world.deliver("two", NOW);
    let refuse = |name: &str, _: &[u8]| {
        Err(TufError::NoSuchTarget {
            name: name.to_owned(),
        })
    };
    let wanted = Wanted {
        names: &["revocations.json"],
        admit: &refuse,
        now: NOW,
    };
    assert!(update(&world.store(), &world.mirror(), &wanted).is_err());
    assert_eq!(world.delivered().unwrap(), "one");
    world.update(&world.mirror(), NOW).unwrap();
    assert_eq!(world.delivered().unwrap(), "two");
}

#[test]
fn a_pin_is_a_digest() {
    let world = World::new();
    let bytes = world.mirror().files["1.root.json"].clone();
    let pin = hex::encode(custos_core::crypto::sha256(&bytes));
    assert!(Trusted::from_pinned(&bytes, &pin).is_ok());
    assert!(Trusted::from_pinned(&bytes, &pin.to_uppercase()).is_ok());
    assert!(matches!(
        Trusted::from_pinned(&bytes, "00"),
        Err(TufError::RootNotPinned { .. })
    ));
}

// The roots of Sigstore's public-good and staging instances, as sigstore-python 4 ships them.
const PUBLIC_GOOD: &[u8] =
    include_bytes!("../../../../testdata/tuf/sigstore-public-good/15.root.json");
const STAGING: &[u8] = include_bytes!("../../../../testdata/tuf/sigstore-staging/root.json");

#[test]
fn sigstores_real_roots_are_believed_and_changed_ones_are_not() {
    let root = Trusted::from_root(PUBLIC_GOOD).unwrap();
    assert_eq!(
        (
            root.root().head.version,
            root.root().role(Role::Root).unwrap().threshold
        ),
        (15, 3)
    );
    assert_eq!(root.root().keys_of(Role::Root).unwrap().len(), 5);
    assert_eq!(
        root.signed_root()
            .signers(root.root(), Role::Root)
            .unwrap()
            .len(),
        5
    );
    assert!(Trusted::from_root(STAGING).is_ok());
    // It ended in November 2026; a fresh one would have to be fetched.
    let end = root.root().head.expires;
    assert!(root.check_root(end.plus_micros(-1)).is_ok());
    assert!(matches!(
        root.check_root(end),
        Err(TufError::Expired { .. })
    ));
    let text = std::str::from_utf8(PUBLIC_GOOD).unwrap();
    for (from, to) in [
        ("\"threshold\": 3", "\"threshold\": 1"),
        ("\"version\": 15", "\"version\": 16"),
        ("2026-11-20", "2036-11-20"),
        ("@lance", "@mallory"),
    ] {
        let changed = text.replacen(from, to, 1);
        assert_ne!(changed, text);
        assert!(matches!(
            Trusted::from_root(changed.as_bytes()),
            Err(TufError::Threshold { found: 0, .. })
        ));
    }
}

#[test]
fn numbers_that_are_no_integers_and_other_forms_are_refused() {
    let parse = |text: &str| Signed::<Root>::parse(text.as_bytes());
    let good = std::str::from_utf8(PUBLIC_GOOD).unwrap();
    assert!(parse(good).is_ok());
    for (from, to) in [
        ("\"version\": 15", "\"version\": 15.0"),
        ("\"version\": 15", "\"version\": 15, \"version\": 16"),
        ("\"spec_version\": \"1.0\"", "\"spec_version\": \"2.0\""),
        ("\"_type\": \"root\"", "\"_type\": \"targets\""),
        ("\"signatures\"", "\"signature\""),
    ] {
        assert!(parse(&good.replacen(from, to, 1)).is_err(), "{from}");
    }
    assert!(matches!(
        Signed::<Targets>::parse(PUBLIC_GOOD),
        Err(TufError::WrongType { .. })
    ));
}
