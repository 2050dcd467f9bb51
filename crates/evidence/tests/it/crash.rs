//! Several writers, and what is left when one of them dies.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use custos_core::digest::Digest;
use custos_evidence::record::Recording;
use custos_evidence::recover::{finish, reindex};
use custos_evidence::store::{Draft, Store, StoreOptions};
use custos_log::recorder::{RecordError, Recorded, Recorder};

use crate::store::sql;
use crate::world::{NOW, World, clean, model, provenance, raw};

fn open(path: &Path) -> Store {
    Store::open(path, StoreOptions::read_write(), NOW).unwrap()
}

fn hammer(database: &Path, seed: &str, count: &str) -> Command {
    let test = std::env::current_exe().unwrap();
    let program: PathBuf = test
        .parent()
        .unwrap()
        .parent()
        .unwrap()
        .join("examples/hammer");
    let mut command = Command::new(program);
    command
        .arg(database)
        .args([seed, count])
        .stdout(Stdio::piped());
    command
}

fn digests(text: &str) -> Vec<Digest> {
    text.lines().map(|line| line.parse().unwrap()).collect()
}

#[test]
fn threads_with_stores_of_their_own_lose_nothing() {
    let world = World::new();
    let path = world.path();
    let log = &world.log;
    std::thread::scope(|scope| {
        for name in ["a", "b", "c"] {
            let path = path.clone();
            let signer = &world.data;
            scope.spawn(move || {
                let store = open(&path);
                for number in 0..20 {
                    let product = crate::world::file(name, &format!("{name}{number}"));
                    let statement = provenance("clean", &[raw()], &[product]);
                    let recording = Recording {
                        store: &store,
                        signer,
                        log,
                        now: NOW,
                    };
                    recording.record(&[statement]).unwrap();
                }
            });
        }
    });
    assert_eq!(world.store.using(&raw().digest).unwrap().len(), 60);
    assert_eq!(
        world.store.logged(crate::world::ORIGIN, 60).unwrap().len(),
        60
    );
    assert_eq!(world.store.staged().unwrap(), []);
}

#[test]
fn two_processes_may_make_and_fill_one_store() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("custos.db");
    let children: Vec<_> = ["a", "b"]
        .map(|seed| hammer(&path, seed, "50").spawn().unwrap())
        .into_iter()
        .collect();
    let mut acknowledged = Vec::new();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
        acknowledged.extend(digests(&String::from_utf8(output.stdout).unwrap()));
    }
    acknowledged.sort_unstable();
    assert_eq!(acknowledged.len(), 100);
    assert_eq!(open(&path).bundles().unwrap(), acknowledged);
}

#[test]
fn what_was_acknowledged_survives_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("custos.db");
    for round in 1..=6_usize {
        let seed = format!("round{round}");
        let mut child = hammer(&path, &seed, "1000000").spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut text = String::new();
        for _ in 0..round * 7 {
            assert!(out.read_line(&mut text).unwrap() > 0);
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // The pipe may hold more that was acknowledged, and at the end half a line.
        while out.read_line(&mut text).unwrap_or(0) > 0 {}
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let store = open(&path);
        assert_eq!(store.inspect().unwrap(), Vec::<String>::new());
        for digest in digests(whole) {
            store.bundle(&digest).unwrap();
        }
        assert_eq!(store.wait(store.inner().rebuild(NOW)).unwrap(), []);
    }
}

#[test]
fn a_crash_behind_the_log_is_repaired() {
    // A log whose answer never arrives: the process died in between.
    struct Dying<'a>(&'a custos_log::Log);
    impl Recorder for Dying<'_> {
        fn record(&self, leaves: &[Vec<u8>]) -> Result<Vec<Recorded>, RecordError> {
            self.0.record(leaves)?;
            Err(RecordError::NoLog)
        }
        fn log_key(&self) -> &custos_log::note::VerifierKey {
            self.0.log_key()
        }
    }
    let world = World::new();
    let statement = provenance("clean", &[raw()], &[clean()]);
    let dying = Dying(&world.log);
    let recording = Recording {
        store: &world.store,
        signer: &world.data,
        log: &dying,
        now: NOW,
    };
    recording.record(&[statement]).unwrap_err();
    assert_eq!(
        world.store.about(&clean().digest).unwrap(),
        [],
        "not indexed yet"
    );
    assert_eq!(world.store.staged().unwrap().len(), 1);

    let store = open(&world.path());
    let (finished, unlogged) = finish(&store, &world.log.reader(), NOW).unwrap();
    assert_eq!((finished.len(), unlogged.len()), (1, 0));
    assert_eq!(store.staged().unwrap(), []);
    assert_eq!(store.bundles().unwrap(), finished, "the draft is gone");
    // What was finished verifies like any other.
    let facts = world.facts(clean());
    assert_eq!(facts.statements.known().unwrap().len(), 1);
    assert_eq!(facts.rejected, []);
    assert_eq!(finish(&store, &world.log.reader(), NOW).unwrap().0, []);
}

#[test]
fn a_draft_that_never_reached_the_log_is_reported_and_not_logged() {
    let world = World::new();
    world.record(&provenance("clean", &[raw()], &[clean()]), &world.data);
    let bundle = custos_trust::seal::sign_statement(
        &provenance("train", &[clean()], &[model()]),
        &world.trainer,
        None,
    );
    let bundle = bundle.unwrap().to_bytes().unwrap();
    let draft = Draft {
        bundle,
        leaf: b"never logged".to_vec(),
    };
    let staged = world.store.stage(vec![draft], NOW).unwrap();
    let recovery = reindex(&world.store, &world.log.reader(), NOW).unwrap();
    assert_eq!(recovery.unlogged, staged);
    assert_eq!(recovery.finished, []);
    assert_eq!(world.log.head().unwrap().size, 1);
    assert_eq!(world.store.about(&model().digest).unwrap(), []);
}

#[test]
fn the_index_is_rebuilt_from_the_bundles() {
    let world = World::new();
    world.pipeline();
    let large = custos_core::statement::Statement::new(
        vec![custos_core::statement::Subject::new(
            "model.bin",
            model().digest,
        )],
        "https://example.com/p",
        &"x".repeat(2 << 20),
    );
    let large = world.record(&large.unwrap(), &world.data);
    let before = world.facts(model());
    let hits = world.store.about(&model().digest).unwrap();
    sql(
        &world.path(),
        "DELETE FROM step; DELETE FROM signer; DELETE FROM material; DELETE FROM subject;
         DELETE FROM statement; DELETE FROM blob WHERE data IS NULL;",
    );
    assert_eq!(world.store.about(&model().digest).unwrap(), []);
    let recovery = reindex(&world.store, &world.log.reader(), NOW).unwrap();
    assert_eq!(
        (recovery.damaged.as_slice(), recovery.missing_count),
        (&[][..], 0)
    );
    assert_eq!(world.store.about(&model().digest).unwrap(), hits);
    assert_eq!(world.store.bundle(&large.digest).unwrap(), large.bundle);
    assert_eq!(world.facts(model()), before);
}

#[test]
fn lost_and_damaged_bundles_are_named() {
    let world = World::new();
    world.pipeline();
    let hits = world.store.about(&model().digest).unwrap();
    world.store.erase(&hits[0].bundle_digest).unwrap();
    sql(
        &world.path(),
        "UPDATE blob SET data = CAST('{}' AS BLOB)
         WHERE digest = (SELECT bundle_digest FROM statement WHERE log_index = 0);",
    );
    let recovery = reindex(&world.store, &world.log.reader(), NOW).unwrap();
    assert_eq!(recovery.damaged.len(), 1);
    assert_eq!(recovery.missing, [0, 3], "one damaged, one erased");
    assert_eq!(recovery.missing_count, 2);
}
