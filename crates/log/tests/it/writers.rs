//! Several threads and several processes on one log.

use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};
use std::sync::Arc;

use custos_log::disk::{Disk, OsDisk};
use custos_log::{Log, LogOptions, LogReader, RecordError, Recorder as _};

use crate::support::{Promises, key, leaf, signer};

fn folder() -> (tempfile::TempDir, Arc<dyn Disk>) {
    let dir = tempfile::tempdir().unwrap();
    let disk: Arc<dyn Disk> = Arc::new(OsDisk::new(dir.path().join("log")));
    (dir, disk)
}

#[test]
fn threads_share_commits() {
    for options in [
        LogOptions::batch(),
        LogOptions::life().with_segment_bytes(512 << 10),
    ] {
        let (_dir, disk) = folder();
        let log = Log::create(Arc::clone(&disk), signer(), options).unwrap();
        let promises: Vec<Promises> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8_u64)
                .map(|thread| {
                    let log = log.clone();
                    scope.spawn(move || {
                        let mut promises = Promises::default();
                        for n in 0..60 {
                            let from = thread * 100_000 + n * 30;
                            let leaves: Vec<_> = (from..from + 1 + n % 30).map(leaf).collect();
                            promises.record(&log, &leaves).unwrap();
                        }
                        promises
                    })
                })
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect()
        });
        let mut seen: Vec<u64> = promises
            .iter()
            .flat_map(|p| p.leaves.iter().map(|(index, _)| *index))
            .collect();
        seen.sort_unstable();
        assert_eq!(seen, (0..log.head().unwrap().size).collect::<Vec<_>>());
        for mut promises in promises {
            promises.check(&disk);
        }
        drop(log);
        Log::open(disk, signer(), LogOptions::batch()).unwrap();
    }
}

// The child of the test below: appends under the folder that it reads from its input.
#[test]
#[allow(
    clippy::disallowed_methods,
    reason = "how the parent below tells its child"
)]
fn child_appends() {
    // On its own this is no test: the parent runs it, and judges what it did.
    if std::env::var_os("CUSTOS_TEST_CHILD").is_none() {
        return;
    }
    let mut input = String::new();
    std::io::stdin().read_to_string(&mut input).unwrap();
    let (dir, first) = input.split_once('\n').unwrap();
    let first: u64 = first.trim().parse().unwrap();
    let disk: Arc<dyn Disk> = Arc::new(OsDisk::new(dir));
    let options = LogOptions::batch()
        .with_segment_bytes(512 << 10)
        .with_lock_wait_ms(60_000);
    let log = Log::open_or_create(Arc::clone(&disk), signer(), options).unwrap();
    let mut promises = Promises::default();
    for n in 0..80 {
        // Half of the leaves are the same in each process.
        let leaves = [leaf(n), leaf(first + n), leaf(first + 5_000 + n)];
        promises.record(&log, &leaves).unwrap();
    }
    promises.check(&disk);
}

#[test]
fn processes_take_turns() {
    let (dir, disk) = folder();
    let children: Vec<_> = [1_000, 2_000]
        .map(|first| {
            let mut child = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "writers::child_appends", "--nocapture"])
                .env("CUSTOS_TEST_CHILD", "1")
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let input = format!("{}\n{first}", dir.path().join("log").display());
            child
                .stdin
                .take()
                .unwrap()
                .write_all(input.as_bytes())
                .unwrap();
            child
        })
        .into_iter()
        .collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success() && text.contains("1 passed"),
            "{text}"
        );
    }
    let reader = LogReader::new(disk, key());
    let latest = reader.latest().unwrap();
    assert_eq!(
        latest.size(),
        80 + 4 * 80,
        "shared leaves are in the log once"
    );
    let mut seen = 0;
    reader
        .for_each(0..latest.size(), &latest, |_, _| {
            seen += 1;
            Ok::<(), RecordError>(())
        })
        .unwrap();
    assert_eq!(seen, latest.size());
}

#[test]
fn a_held_log_is_busy() {
    let (_dir, disk) = folder();
    let held = Log::create(Arc::clone(&disk), signer(), LogOptions::life()).unwrap();
    let options = LogOptions::batch().with_lock_wait_ms(30);
    let error = Log::open(Arc::clone(&disk), signer(), options.clone()).unwrap_err();
    assert_eq!(error, RecordError::Busy { waited_ms: 30 });
    // Readers need no lock.
    held.record(&[leaf(1)]).unwrap();
    assert_eq!(
        LogReader::new(Arc::clone(&disk), key())
            .latest()
            .unwrap()
            .size(),
        1
    );
    drop(held);
    Log::open(disk, signer(), options).unwrap();
}

#[test]
fn nothing_is_made_where_there_is_no_log() {
    let (dir, disk) = folder();
    let error = Log::open(Arc::clone(&disk), signer(), LogOptions::batch()).unwrap_err();
    assert_eq!(error, RecordError::NoLog);
    assert!(!dir.path().join("log").exists());
    assert_eq!(
        LogReader::new(Arc::clone(&disk), key()).latest(),
        Err(RecordError::NoLog)
    );
    Log::create(Arc::clone(&disk), signer(), LogOptions::batch()).unwrap();
    let error = Log::create(disk, signer(), LogOptions::batch()).unwrap_err();
    assert_eq!(error, RecordError::AlreadyThere);
}

#[test]
fn a_duplicate_of_long_ago_keeps_its_place() {
    let (_dir, disk) = folder();
    let options = LogOptions::batch().with_segment_bytes(512 << 10);
    let log = Log::create(Arc::clone(&disk), signer(), options.clone()).unwrap();
    for from in (0..12_000).step_by(1_000) {
        let appended = log
            .append(&(from..from + 1_000).map(leaf).collect::<Vec<_>>())
            .unwrap();
        assert_eq!(appended.indexes, (from..from + 1_000).collect::<Vec<_>>());
    }
    let old = [5, 4_095, 4_096, 8_191, 11_999, 5];
    let leaves: Vec<_> = old.iter().map(|n| leaf(*n)).collect();
    let mut promises = Promises::default();
    promises.record(&log, &leaves).unwrap();
    drop(log);
    // Without its runs the index is built again from the tiles.
    disk.remove("index/0-0").unwrap();
    let log = Log::open(Arc::clone(&disk), signer(), options).unwrap();
    promises.record(&log, &leaves).unwrap();
    let indexes: Vec<u64> = promises.leaves.iter().map(|(index, _)| *index).collect();
    assert_eq!(indexes, [old, old].concat());
    assert_eq!(log.head().unwrap().size, 12_000);
    assert!(disk.list("index").unwrap().contains(&"0-0".to_owned()));
}
