//! The client against its own repository, and against each attack that the specification lists in
//! section 1.5.2. Each attack has a twin that succeeds, so that nothing passes by breaking.

mod freshness;
mod keys;
mod retrieval;
mod software;

use std::cell::RefCell;
use std::collections::BTreeMap;

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
                admit: &|_, _| Ok(Admitted::Taken),
                now,
                anew: false,
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
            delegations: None,
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
    // A file may become shorter.
    world.deliver("4", later(2));
    world.update(&folder, later(2)).unwrap();
    assert_eq!(world.delivered().unwrap(), "4");
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
        anew: false,
    };
    assert!(update(&world.store(), &world.mirror(), &wanted).is_err());
    assert_eq!(world.delivered().unwrap(), "one");
    // The old one stays, or both are joined: at once, and each time anew.
    for (admitted, there) in [
        (Admitted::Kept, "one"),
        (Admitted::Joined(b"one and two".to_vec()), "one and two"),
    ] {
        let wanted = Wanted {
            admit: &|_, _| Ok(admitted.clone()),
            ..wanted
        };
        for _ in 0..2 {
            update(&world.store(), &world.mirror(), &wanted).unwrap();
            assert_eq!(world.delivered().unwrap(), there);
        }
    }
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
