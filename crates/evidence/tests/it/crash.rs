//! Several writers, and what is left when one of them dies.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use custos_core::crypto::{KeyKind, KeyPair};
use custos_core::digest::Digest;
use custos_core::entry::Verifier;
use custos_evidence::record::Recording;
use custos_evidence::recover::{self, Place, RecoverError, Report, forget_drafts, settle};
use custos_evidence::store::{Draft, Staged, Store, StoreError, StoreOptions};
use custos_log::disk::sim::SimDisk;
use custos_log::disk::{Disk, DiskError, DiskFile, LockGuard};
use custos_log::note::KeyPairSigner;
use custos_log::reader::LogReader;
use custos_log::recorder::{RecordError, Recorded, Recorder};
use custos_log::{Log, LogOptions};
use custos_trust::signer::KeySigner;
use custos_trust::verify::may_be_expected;

use crate::store::sql;
use crate::world::{NOW, World, clean, model, provenance, raw};

const WAIT: Duration = Duration::from_millis(30);

fn place(world: &World) -> Place<'_> {
    Place {
        store: &world.store,
        log: &world.log,
        now: NOW,
    }
}

fn reindex(world: &World) -> Report {
    let alone = world.store.alone(WAIT).unwrap();
    recover::reindex(&alone, &place(world), &|_| true).unwrap()
}

// Where everybody's entries matter.
fn check(store: &Store, log: &LogReader) -> Result<Report, RecoverError> {
    recover::check(store, log, &|_| true)
}

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
    assert!(
        world
            .store
            .gaps(crate::world::ORIGIN, 60)
            .unwrap()
            .is_empty()
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
        store.wait(store.inner().rebuild(NOW)).unwrap();
        let survey = store.survey().unwrap();
        assert_eq!((survey.damaged, survey.unindexed), (Vec::new(), Vec::new()));
    }
}

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

fn crash_behind_the_log(world: &World) {
    let dying = Dying(&world.log);
    let recording = Recording {
        store: &world.store,
        signer: &world.data,
        log: &dying,
        now: NOW,
    };
    let statement = provenance("clean", &[raw()], &[clean()]);
    recording.record(&[statement]).unwrap_err();
}

// A draft that never got as far as the log.
fn crash_before_the_log(world: &World) -> Vec<Staged> {
    let statement = provenance("train", &[clean()], &[model()]);
    let bundle = custos_trust::seal::sign_statement(&statement, &world.trainer, None);
    let draft = Draft {
        bundle: bundle.unwrap().to_bytes().unwrap(),
        leaf: b"never logged".to_vec(),
    };
    world.store.stage(vec![draft], NOW).unwrap()
}

#[test]
fn a_crash_behind_the_log_is_repaired() {
    let world = World::new();
    let log = world.log.reader();
    assert_eq!(settle(&world.store, &log, NOW, WAIT).unwrap(), []);
    crash_behind_the_log(&world);
    assert_eq!(world.store.about(&clean().digest).unwrap(), [], "not yet");
    let report = check(&world.store, &log).unwrap();
    let waiting: Vec<u64> = report.waiting.iter().map(|(index, _)| *index).collect();
    assert_eq!((waiting, report.missing_count), (vec![0], 0));
    assert!(!report.is_whole() && !report.is_alarm());
    assert_eq!(
        world.store.staged().unwrap().len(),
        1,
        "a check changes nothing"
    );

    let store = open(&world.path());
    let finished = settle(&store, &log, NOW, WAIT).unwrap();
    assert_eq!(finished.len(), 1);
    assert_eq!(store.staged().unwrap(), []);
    assert_eq!(store.bundles().unwrap(), finished, "the draft is gone");
    // What was finished verifies like any other.
    let facts = world.facts(clean());
    assert_eq!(facts.statements.known().unwrap().len(), 1);
    assert_eq!(facts.rejected, []);
    assert_eq!(settle(&store, &log, NOW, WAIT).unwrap(), []);
    assert!(check(&store, &log).unwrap().is_whole());
}

#[test]
fn a_draft_of_a_living_writer_is_left_to_it() {
    let world = World::new();
    crash_behind_the_log(&world);
    let writing = world.store.writing().unwrap();
    let hasty = StoreOptions::read_write().with_patience(Duration::from_millis(30));
    let store = Store::open(&world.path(), hasty, NOW).unwrap();
    let log = world.log.reader();
    let busy = |error| matches!(error, RecoverError::Store(StoreError::Busy { .. }));
    assert!(busy(settle(&store, &log, NOW, WAIT).unwrap_err()));
    assert!(matches!(store.alone(WAIT), Err(StoreError::Busy { .. })));
    assert_eq!(store.staged().unwrap().len(), 1);
    drop(writing);
    assert_eq!(settle(&store, &log, NOW, WAIT).unwrap().len(), 1);
}

#[test]
fn a_draft_that_never_reached_the_log_is_reported_and_not_logged() {
    let world = World::new();
    world.record(&provenance("clean", &[raw()], &[clean()]), &world.data);
    let staged = crash_before_the_log(&world);
    let log = world.log.reader();
    assert_eq!(settle(&world.store, &log, NOW, WAIT).unwrap(), []);
    let report = reindex(&world);
    assert_eq!(report.unlogged, staged);
    assert_eq!((report.finished.len(), report.bundles), (0, 1));
    assert!(report.is_whole(), "it was never acknowledged");
    assert_eq!(world.log.head().unwrap().size, 1);
    assert_eq!(world.store.about(&model().digest).unwrap(), []);
    // Forgotten on demand, and one that is in the log is not.
    crash_behind_the_log(&world);
    assert_eq!(forget(&world), staged);
    assert_eq!(world.store.staged().unwrap().len(), 1);
    assert_eq!(settle(&world.store, &log, NOW, WAIT).unwrap().len(), 1);
}

fn forget(world: &World) -> Vec<Staged> {
    let alone = world.store.alone(WAIT).unwrap();
    forget_drafts(&alone, &place(world)).unwrap()
}

// A disk on which nothing is published after the write-ahead log: the process dies in between.
#[derive(Debug)]
struct Unpublished {
    disk: SimDisk,
    dying: AtomicBool,
}

impl Unpublished {
    fn live(&self, path: &str) -> Result<(), DiskError> {
        if self.dying.load(Ordering::SeqCst) {
            return Err(DiskError::new(
                "write",
                path,
                &std::io::ErrorKind::Interrupted.into(),
            ));
        }
        Ok(())
    }
}

impl Disk for Unpublished {
    fn open(&self, path: &str, create: bool) -> Result<Box<dyn DiskFile>, DiskError> {
        self.disk.open(path, create)
    }
    fn read(&self, path: &str, limit: usize) -> Result<Vec<u8>, DiskError> {
        self.disk.read(path, limit)
    }
    fn write(&self, path: &str, bytes: &[u8]) -> Result<(), DiskError> {
        self.live(path)?;
        self.disk.write(path, bytes)
    }
    fn rename(&self, from: &str, to: &str) -> Result<(), DiskError> {
        self.live(to)?;
        self.disk.rename(from, to)
    }
    fn remove(&self, path: &str) -> Result<(), DiskError> {
        self.disk.remove(path)
    }
    fn list(&self, dir: &str) -> Result<Vec<String>, DiskError> {
        self.disk.list(dir)
    }
    fn sync_dir(&self, dir: &str) -> Result<(), DiskError> {
        self.disk.sync_dir(dir)
    }
    fn sync_all(&self) -> Result<(), DiskError> {
        self.disk.sync_all()
    }
    fn lock(&self, wait_ms: u64) -> Result<Option<LockGuard>, DiskError> {
        self.disk.lock(wait_ms)
    }
}

#[test]
fn a_draft_that_only_the_write_ahead_log_knows_is_not_forgotten() {
    let mut world = World::new();
    let disk = Arc::new(Unpublished {
        disk: SimDisk::new(1),
        dying: AtomicBool::new(false),
    });
    let pair = KeyPair::generate(KeyKind::Ed25519).unwrap();
    let pem = pair.to_pkcs8_der().unwrap();
    let open_log = || {
        let pair = KeyPair::from_pkcs8_der(&pem).unwrap();
        let signer = KeyPairSigner::new(crate::world::ORIGIN, pair).unwrap();
        let disk: Arc<dyn Disk> = Arc::<Unpublished>::clone(&disk);
        Log::open_or_create(disk, Box::new(signer), LogOptions::batch()).unwrap()
    };
    world.log = open_log();
    disk.dying.store(true, Ordering::SeqCst);
    let recording = Recording {
        store: &world.store,
        signer: &world.data,
        log: &world.log,
        now: NOW,
    };
    let statement = provenance("clean", &[raw()], &[clean()]);
    recording.record(&[statement]).unwrap_err();
    disk.dying.store(false, Ordering::SeqCst);
    let published = check(&world.store, &world.log.reader()).unwrap();
    assert_eq!(
        (published.size, published.unlogged.len()),
        (0, 1),
        "not published"
    );
    // Opening brings it to light.
    let alone = world.store.alone(WAIT).unwrap();
    world.log = open_log();
    assert_eq!(forget_drafts(&alone, &place(&world)).unwrap(), []);
    let report = recover::reindex(&alone, &place(&world), &|_| true).unwrap();
    assert_eq!((report.size, report.finished.len()), (1, 1));
    assert!(report.is_whole());
}

#[test]
fn a_damaged_draft_does_not_stop_the_others() {
    let world = World::new();
    crash_behind_the_log(&world);
    let damaged = world.store.staged().unwrap();
    sql(&world.path(), "UPDATE blob SET data = CAST('{}' AS BLOB);");
    let dying = Dying(&world.log);
    let recording = Recording {
        store: &world.store,
        signer: &world.trainer,
        log: &dying,
        now: NOW,
    };
    let statement = provenance("train", &[clean()], &[model()]);
    recording.record(&[statement]).unwrap_err();
    let log = world.log.reader();
    assert_eq!(settle(&world.store, &log, NOW, WAIT).unwrap().len(), 1);
    let report = reindex(&world);
    assert_eq!(report.waiting, [(0, damaged[0].clone())]);
    assert_eq!(report.damaged[0].0, damaged[0].bundle_digest);
    assert!(report.is_alarm());
}

#[test]
fn one_leaf_twice_is_finished_once_wherever_it_stands() {
    let world = World::new();
    let key = KeySigner::new(KeyPair::generate(KeyKind::Ed25519).unwrap());
    let statement = provenance("clean", &[raw()], &[clean()]);
    let both = [statement.clone(), statement.clone()];
    let recording = |log: &dyn Recorder| {
        let recording = Recording {
            store: &world.store,
            signer: &key,
            log,
            now: NOW,
        };
        recording.record(&both)
    };
    let kept = recording(&world.log).unwrap();
    assert_eq!((kept[0].log_index, kept[1].log_index), (0, 0));
    assert_eq!(world.store.staged().unwrap(), []);
    // The same signature again, and a crash: its entry is no gap, but the full search finds it.
    world.record(&provenance("train", &[clean()], &[model()]), &world.trainer);
    recording(&Dying(&world.log)).unwrap_err();
    let log = world.log.reader();
    assert_eq!(settle(&world.store, &log, NOW, WAIT).unwrap(), []);
    let report = reindex(&world);
    assert_eq!(report.finished.len(), 1);
    assert!(
        report.is_whole() && report.unlogged.is_empty(),
        "{report:?}"
    );
}

#[test]
fn a_rebuild_sweeps_nothing_away_that_others_write_meanwhile() {
    let world = World::new();
    let (path, log) = (world.path(), &world.log);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let store = open(&path);
            for number in 0..30 {
                let product = crate::world::file("a", &format!("a{number}"));
                let statement = provenance("clean", &[raw()], &[product]);
                let recording = Recording {
                    store: &store,
                    signer: &world.data,
                    log,
                    now: NOW,
                };
                recording.record(&[statement]).unwrap();
            }
        });
        while !writer.is_finished() {
            world.store.wait(world.store.inner().rebuild(NOW)).unwrap();
            // SQLite keeps no queue: without a pause this loop would starve the writer.
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    });
    let report = check(&world.store, &log.reader()).unwrap();
    assert!(report.is_whole() && report.bundles == 30, "{report:?}");
}

#[test]
fn what_somebody_wrote_into_the_index_is_found_and_mended() {
    let world = World::new();
    world.pipeline();
    let log = world.log.reader();
    assert!(check(&world.store, &log).unwrap().is_whole());
    for tampering in [
        "UPDATE subject SET name = 'other' WHERE name = 'model.bin'",
        "DELETE FROM material WHERE role = 'script'",
        "UPDATE step SET name = 'x'",
        "UPDATE statement SET log_index = 77 WHERE log_index = 3",
        "UPDATE statement SET log_index = NULL WHERE log_index = 3",
        "UPDATE signer SET key_id = 'x'",
        "UPDATE material SET position = CAST('x' AS BLOB)",
        "INSERT INTO subject SELECT org, project, bundle_digest, 9, 'sha256:00', 'x'
         FROM statement WHERE log_index = 3",
        "DELETE FROM statement WHERE log_index = 3",
    ] {
        sql(&world.path(), tampering);
        let report = check(&world.store, &log).unwrap();
        assert!(!report.unindexed.is_empty(), "{tampering}");
        assert_eq!(
            report.missing_count, 0,
            "the bundles are there: {tampering}"
        );
        let report = reindex(&world);
        assert!(report.is_whole(), "{tampering}: {report:?}");
    }
    assert!(world.facts(model()).lineage.known().unwrap().complete);
}

#[test]
fn an_entry_that_belongs_to_another_statement_fills_no_gap() {
    let world = World::new();
    world.pipeline();
    let lost = world.store.about(&model().digest).unwrap()[0].clone();
    let genuine = world.store.bundle(&lost.bundle_digest).unwrap();
    let stranger = custos_trust::seal::sign_statement(
        &provenance("train", &[clean()], &[crate::world::file("x", "x")]),
        &world.mallory,
        None,
    );
    // A genuine entry with a genuine proof, beside another envelope.
    let mut forged = stranger.unwrap();
    let entries = custos_core::bundle::Bundle::parse(&genuine).unwrap();
    forged.verification_material.tlog_entries = entries.verification_material.tlog_entries;
    world.store.erase(&lost.bundle_digest).unwrap();
    let forged = forged.to_bytes().unwrap();
    let forged = world.store.commit(vec![forged.into()], NOW).unwrap();
    assert!(
        world
            .store
            .gaps(crate::world::ORIGIN, 5)
            .unwrap()
            .is_empty()
    );
    let report = check(&world.store, &world.log.reader()).unwrap();
    assert_eq!(report.misplaced, [(forged[0], 3)]);
    assert_eq!(report.missing, [3]);
    assert!(report.is_alarm());
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
    let log = world.log.reader();
    // Four rows of the database, and a file that no row names.
    assert_eq!(check(&world.store, &log).unwrap().unindexed.len(), 6);
    assert!(reindex(&world).is_whole());
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
    let recovery = reindex(&world);
    assert_eq!(recovery.damaged.len(), 1);
    assert_eq!(recovery.missing, [0, 3], "one damaged, one erased");
    assert_eq!(recovery.missing_count, 2);
}

#[test]
fn entries_of_others_are_counted_apart_and_rows_about_them_are_not_believed() {
    let world = World::new();
    world.pipeline();
    let log = world.log.reader();
    let foreign = world.record(&provenance("p", &[raw()], &[clean()]), &world.mallory);
    world.store.erase(&foreign.digest).unwrap();
    let lost = world.record(&provenance("q", &[raw()], &[clean()]), &world.trainer);
    world.store.erase(&lost.digest).unwrap();
    let matters = |signer: &Verifier| may_be_expected(signer, &world.trust_root, &world.expected);
    let checkpoint = log.latest().unwrap();
    let lacking = || recover::lacking(&world.store, &log, &checkpoint, &matters).unwrap();
    let before = lacking();
    assert_eq!((before.count, before.others), (1, 1));
    assert_eq!(before.first.iter().copied().collect::<Vec<_>>(), [6]);
    recover::look(&world.store, &log, &checkpoint).unwrap();
    assert_eq!(lacking(), before, "with the index and without it");
    let report = recover::check(&world.store, &log, &matters).unwrap();
    assert_eq!((report.missing, report.others), (vec![6], 1));
    assert_eq!(report.misread, [0; 0]);
    // Somebody hides the gap: the entry is said to be another's.
    sql(
        &world.path(),
        "UPDATE leaf SET signer = (SELECT signer FROM leaf WHERE log_index = 5)
         WHERE log_index = 6;",
    );
    assert_eq!(lacking().count, 0);
    let report = recover::check(&world.store, &log, &matters).unwrap();
    assert_eq!(
        (&report.missing[..], &report.misread[..]),
        (&[6][..], &[6][..])
    );
    assert!(!report.is_whole());
    let report = reindex(&world);
    assert_eq!(report.misread, [0; 0]);
    assert_eq!(lacking(), before);
}
