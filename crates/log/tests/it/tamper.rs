//! Damage and tampering: seen when the log is opened, read or checked.

use std::sync::Arc;

use custos_log::disk::sim::SimDisk;
use custos_log::disk::{Disk, OsDisk};
use custos_log::{IntegrityFault, Log, LogReader, RecordError, Recorder as _, fsck};

use crate::support::{key, leaf, open, signer, small, verified};

fn filled(entries: u64) -> (SimDisk, Arc<dyn Disk>) {
    let disk = SimDisk::new(5);
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let log = open(&shared).unwrap();
    for n in 0..entries {
        log.record(&[leaf(n)]).unwrap();
    }
    (disk, shared)
}

#[test]
fn a_damaged_record_before_a_whole_one_is_no_torn_end() {
    let (disk, shared) = filled(4);
    // The third record: the first is that of the empty tree.
    disk.corrupt("wal/0", 2 * 4096 + 180, b"rot");
    let error = open(&shared).unwrap_err();
    let fault = IntegrityFault::WalDamaged {
        segment: 0,
        offset: 3 * 4096,
    };
    assert_eq!(error, RecordError::Integrity(fault));
}

#[test]
fn a_lost_last_record_is_a_rollback() {
    let (disk, shared) = filled(4);
    disk.corrupt("wal/0", 4 * 4096, &[0; 4096]);
    let error = open(&shared).unwrap_err();
    assert_eq!(
        error,
        RecordError::Integrity(IntegrityFault::Rollback {
            signed: 4,
            found: 3
        })
    );
}

#[test]
fn a_log_without_its_write_ahead_log_is_refused() {
    let (disk, shared) = filled(2);
    disk.remove("wal/0").unwrap();
    let error = open(&shared).unwrap_err();
    assert_eq!(error, RecordError::Integrity(IntegrityFault::WalMissing));
}

#[test]
fn a_lost_write_ahead_log_is_rebuilt_over_the_published_checkpoint() {
    for entries in [0, 2, 600] {
        let (disk, shared) = filled(entries);
        let rebuild =
            |disk: &Arc<dyn Disk>, options| Log::rebuild(Arc::clone(disk), signer(), options);
        let error = rebuild(&shared, small()).unwrap_err();
        assert_eq!(error, RecordError::AlreadyThere, "it is not lost");
        let newer: Arc<dyn Disk> = Arc::new(disk.after_kill());
        let newer = open(&newer)
            .unwrap()
            .record(&[leaf(9_999)])
            .unwrap()
            .remove(0);
        for path in ["wal/0", "wal/1"] {
            let _ = disk.remove(path);
        }
        // Somebody holds a newer checkpoint: going on would be a fork.
        let known = small().with_known(verified(&newer.checkpoint));
        let fault = IntegrityFault::Rollback {
            signed: entries + 1,
            found: entries,
        };
        assert_eq!(
            rebuild(&shared, known).unwrap_err(),
            RecordError::Integrity(fault)
        );
        if entries == 600 {
            let damaged = disk.after_kill();
            damaged.corrupt("tile/entries/001", 9, b"rot");
            let damaged: Arc<dyn Disk> = Arc::new(damaged);
            let fault = IntegrityFault::BaseDamaged { size: 600 };
            assert_eq!(
                rebuild(&damaged, small()).unwrap_err(),
                RecordError::Integrity(fault)
            );
        }
        let before = LogReader::new(Arc::clone(&shared), key()).latest().unwrap();
        let log = rebuild(&shared, small()).unwrap();
        assert_eq!(log.record(&[leaf(10_000)]).unwrap()[0].index, entries);
        drop(log);
        // What was rebuilt lasts through a power cut, and the history is one.
        let after: Arc<dyn Disk> = Arc::new(disk.after_power_loss(entries));
        let log = open(&after).unwrap();
        assert_eq!(log.head().unwrap().size, entries + 1);
        let reader = log.reader();
        reader.extends(&before, &reader.latest().unwrap()).unwrap();
        assert_eq!(codes(&after), [""; 0]);
    }
}

#[test]
fn a_log_restored_from_an_old_copy_is_seen_by_who_remembers() {
    let (disk, shared) = filled(2);
    let copy: Arc<dyn Disk> = Arc::new(disk.after_kill());
    let log = open(&shared).unwrap();
    let newer = log.record(&[leaf(9)]).unwrap().remove(0);
    let options = small().with_known(verified(&newer.checkpoint));
    let error = Log::open(Arc::clone(&copy), signer(), options.clone()).unwrap_err();
    assert_eq!(
        error,
        RecordError::Integrity(IntegrityFault::Rollback {
            signed: 3,
            found: 2
        })
    );
    // The copy goes on its own way: a fork.
    let forked = open(&copy).unwrap();
    forked.record(&[leaf(10), leaf(11)]).unwrap();
    let error = Log::open(Arc::clone(&copy), signer(), options).unwrap_err();
    assert_eq!(
        error,
        RecordError::Integrity(IntegrityFault::Fork { size: 3 })
    );
    let reader = LogReader::new(copy, key());
    let error = reader.extends(&verified(&newer.checkpoint), &reader.latest().unwrap());
    assert_eq!(
        error,
        Err(RecordError::Integrity(IntegrityFault::Fork { size: 3 }))
    );
}

#[test]
fn a_published_checkpoint_that_forks_is_refused() {
    let (disk, shared) = filled(2);
    let copy: Arc<dyn Disk> = Arc::new(disk.after_kill());
    open(&shared).unwrap().record(&[leaf(9)]).unwrap();
    open(&copy).unwrap().record(&[leaf(10)]).unwrap();
    let other = copy.read("checkpoint", 9999).unwrap();
    shared.write("checkpoint", &other).unwrap();
    let error = open(&shared).unwrap_err();
    assert_eq!(
        error,
        RecordError::Integrity(IntegrityFault::Fork { size: 3 })
    );
}

#[test]
fn another_key_does_not_open_the_log() {
    use custos_core::crypto::{KeyKind, KeyPair};
    use custos_log::note::KeyPairSigner;
    let (_disk, shared) = filled(2);
    let pair = KeyPair::generate(KeyKind::P256).unwrap();
    let other = Box::new(KeyPairSigner::new(crate::support::ORIGIN, pair).unwrap());
    let error = Log::open(shared, other, small()).unwrap_err();
    assert!(
        matches!(
            error,
            RecordError::Integrity(IntegrityFault::CheckpointInvalid(_))
        ),
        "{error}"
    );
}

#[test]
fn a_changed_entry_is_never_handed_out() {
    let (disk, shared) = filled(300);
    let reader = LogReader::new(Arc::clone(&shared), key());
    let latest = reader.latest().unwrap();
    assert_eq!(reader.get(200, &latest).unwrap().0, leaf(200));
    disk.corrupt("tile/entries/000", 2, b"L");
    let reader = LogReader::new(Arc::clone(&shared), key());
    let error = reader.get(0, &latest).unwrap_err();
    assert_eq!(
        error,
        RecordError::Integrity(IntegrityFault::EntryMismatch { index: 0 })
    );
    // With the hash changed as well, the signed root disagrees.
    disk.corrupt("tile/0/000", 0, &[1; 32]);
    let reader = LogReader::new(shared, key());
    let error = reader.get(0, &latest).unwrap_err();
    assert_eq!(
        error,
        RecordError::Integrity(IntegrityFault::ProofDoesNotVerify { index: 0 })
    );
}

fn codes(disk: &Arc<dyn Disk>) -> Vec<&'static str> {
    let report = fsck::check(disk, &key()).unwrap();
    let mut codes: Vec<_> = report
        .faults
        .iter()
        .map(|fault| fault.code.as_str())
        .collect();
    codes.dedup();
    codes
}

#[test]
fn fsck_names_each_fault() {
    let (disk, shared) = filled(600);
    let report = fsck::check(&shared, &key()).unwrap();
    assert_eq!(
        (report.size, report.entries, report.faults.len()),
        (Some(600), 600, 0)
    );
    assert!(report.records > 0 && !report.is_alarm());

    let damage = |path: &str, bytes: &[u8]| {
        let copy = disk.after_kill();
        copy.corrupt(path, 2, bytes);
        let copy: Arc<dyn Disk> = Arc::new(copy);
        codes(&copy)
    };
    // A changed entry: its tile, the upper tile and the root disagree.
    assert_eq!(damage("tile/entries/000", b"L"), ["L005", "L003"]);
    assert_eq!(damage("tile/0/001", b"rot"), ["L005"]);
    assert_eq!(damage("tile/1/000.p/2", b"rot"), ["L005"]);
    assert_eq!(damage("checkpoint", b"rot"), ["L002"]);
    // The length of an entry is changed: it reaches beyond the end.
    let copy = disk.after_kill();
    copy.corrupt("tile/entries/002.p/88", 0, &[0xff, 0xff]);
    assert_eq!(codes(&(Arc::new(copy) as Arc<dyn Disk>)), ["L007"]);
    // A file longer than any can be is changed, not unreadable.
    let grow = |path: &str| {
        let copy = disk.after_kill();
        let mut bytes = copy.read(path, 1 << 20).unwrap();
        bytes.resize(300 << 16, b'x');
        copy.write(path, &bytes).unwrap();
        let copy: Arc<dyn Disk> = Arc::new(copy);
        codes(&copy)
    };
    assert_eq!(grow("tile/0/001"), ["L005"]);
    assert_eq!(grow("tile/entries/001"), ["L007"]);
    assert_eq!(grow("checkpoint"), ["L002"]);

    let remove = |path: &str| {
        let copy = disk.after_kill();
        copy.remove(path).unwrap();
        let copy: Arc<dyn Disk> = Arc::new(copy);
        codes(&copy)
    };
    assert_eq!(remove("tile/entries/001"), ["L006"]);
    assert_eq!(remove("tile/0/002.p/88"), ["L004"]);
    assert_eq!(remove("checkpoint"), ["L001"]);
}

#[test]
fn fsck_sees_what_the_write_ahead_log_says() {
    let (disk, shared) = filled(3);
    disk.corrupt("wal/0", 4096 + 200, b"rot");
    assert_eq!(codes(&shared), ["L010"]);

    let (disk, shared) = filled(3);
    disk.remove("wal/0").unwrap();
    assert_eq!(codes(&shared), ["L009"]);

    // A fork: two histories of one log, both signed.
    let (disk, shared) = filled(3);
    let copy: Arc<dyn Disk> = Arc::new(disk.after_kill());
    open(&shared).unwrap().record(&[leaf(9)]).unwrap();
    open(&copy).unwrap().record(&[leaf(10)]).unwrap();
    for path in ["checkpoint", "tile/0/000.p/4", "tile/entries/000.p/4"] {
        shared
            .write(path, &copy.read(path, 99_999).unwrap())
            .unwrap();
    }
    assert_eq!(codes(&shared), ["L008"]);
}

#[test]
fn fsck_tells_what_is_behind_from_what_is_wrong() {
    // Killed between record and checkpoint: no alarm, and opening the log repairs it.
    let (disk, shared) = filled(3);
    let old = shared.read("checkpoint", 9_999).unwrap();
    open(&shared).unwrap().record(&[leaf(9)]).unwrap();
    shared.write("checkpoint", &old).unwrap();
    let report = fsck::check(&shared, &key()).unwrap();
    assert_eq!(codes(&shared), ["L011"]);
    assert!(!report.is_alarm() && report.size == Some(3));
    open(&shared).unwrap();
    assert_eq!(codes(&shared), [""; 0]);
    assert_eq!(fsck::check(&shared, &key()).unwrap().size, Some(4));
    drop(disk);

    // What cannot be read proves nothing.
    let dir = tempfile::tempdir().unwrap();
    let disk: Arc<dyn Disk> = Arc::new(OsDisk::new(dir.path()));
    let log = open(&disk).unwrap();
    log.append(&(0..300).map(leaf).collect::<Vec<_>>()).unwrap();
    for path in [
        "tile/1/000.p/1",
        "tile/0/000",
        "tile/entries/000",
        "checkpoint",
    ] {
        let at = dir.path().join(path);
        let bytes = std::fs::read(&at).unwrap();
        std::fs::remove_file(&at).unwrap();
        std::fs::create_dir(&at).unwrap();
        assert_eq!(codes(&disk), ["L012"], "{path}");
        assert!(!fsck::check(&disk, &key()).unwrap().is_alarm());
        std::fs::remove_dir(&at).unwrap();
        std::fs::write(&at, bytes).unwrap();
    }
    assert_eq!(codes(&disk), [""; 0]);
}
