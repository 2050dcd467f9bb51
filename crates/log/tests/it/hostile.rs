//! Input and folders as an attacker or an odd machine would have them.

use std::sync::Arc;

use custos_core::crypto::{KeyKind, KeyPair};
use custos_core::limits::MAX_ENTRY_BYTES;
use custos_core::merkle;
use custos_log::checkpoint::{Checkpoint, CheckpointError, SignedCheckpoint};
use custos_log::disk::sim::SimDisk;
use custos_log::disk::{Disk, OsDisk};
use custos_log::note::{
    KeyPairSigner, MAX_NOTE_BYTES, MAX_NOTE_SIGNATURES, NoteError, NoteSigner as _,
};
use custos_log::proof::TlogProof;
use custos_log::recorder::MAX_LEAVES;
use custos_log::tile::TileError;
use custos_log::wal::{BLOCK, HEADER_BYTES, Record};
use custos_log::{IntegrityFault, Log, LogReader, RecordError, Recorded, Recorder as _};

use crate::support::{key, leaf, open, server, signer, small, verified};

fn filled(entries: u64) -> (SimDisk, Arc<dyn Disk>, Log) {
    let disk = SimDisk::new(5);
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let log = open(&shared).unwrap();
    log.append(&(0..entries).map(leaf).collect::<Vec<_>>())
        .unwrap();
    (disk, shared, log)
}

fn tile_fault(path: &str, error: TileError) -> RecordError {
    RecordError::Integrity(IntegrityFault::Tile {
        path: path.to_owned(),
        error,
    })
}

#[test]
fn files_of_the_wrong_width_are_faults() {
    let (_disk, shared, _log) = filled(600);
    let read = |path: &str| shared.read(path, 1 << 24).unwrap();
    let get = |index| {
        let reader = LogReader::new(Arc::clone(&shared), key());
        reader.get(index, &reader.latest().unwrap()).unwrap_err()
    };
    let (partial, full) = ("tile/0/002.p/88", "tile/0/001");
    for (path, index, len) in [(partial, 599, 88 * 32), (full, 300, 8_192)] {
        let bytes = read(path);
        for wrong in [0, 31, len - 32, len - 1] {
            shared.write(path, &bytes[..wrong]).unwrap();
            let error = TileError::Length {
                expected: len,
                found: wrong,
            };
            assert_eq!(get(index), tile_fault(path, error));
        }
        shared
            .write(path, &[&bytes[..], &[0; 8_192]].concat())
            .unwrap();
        assert_eq!(
            get(index),
            tile_fault(path, TileError::TooLarge { limit: 8_192 })
        );
        shared.write(path, &bytes).unwrap();
    }
    // A partial tile under the name of a full one, and the other way round.
    shared.write(full, &read(partial)).unwrap();
    assert_eq!(
        get(300),
        tile_fault(
            full,
            TileError::Length {
                expected: 8_192,
                found: 88 * 32
            }
        )
    );
    let bundle = "tile/entries/002.p/88";
    let entries = read(bundle);
    shared.write(bundle, &read("tile/entries/000")).unwrap();
    assert_eq!(
        get(599),
        tile_fault(
            bundle,
            TileError::Entries {
                expected: 88,
                found: 256
            }
        )
    );
    shared
        .write(bundle, &[&entries[..], &[0, 0].repeat(300)].concat())
        .unwrap();
    assert_eq!(
        get(599),
        tile_fault(bundle, TileError::TooManyEntries { limit: 256 })
    );
}

#[test]
fn a_checkpoint_with_more_signatures_is_the_logs_own() {
    let (_disk, shared, _log) = filled(3);
    let text = String::from_utf8(shared.read("checkpoint", 9_999).unwrap()).unwrap();
    let body = text.split("\n\n").next().unwrap().to_owned() + "\n";
    let other = |name: &str| {
        let pair = KeyPair::generate(KeyKind::Ed25519).unwrap();
        KeyPairSigner::new(name, pair).unwrap()
    };
    let line = other("wïtness.example/✓")
        .cosign(&body, 1)
        .unwrap()
        .to_string();
    let latest = || LogReader::new(Arc::clone(&shared), key()).latest();
    let invalid = |error| RecordError::Integrity(IntegrityFault::CheckpointInvalid(error));
    shared
        .write("checkpoint", format!("{text}{line}").as_bytes())
        .unwrap();
    assert_eq!(latest().unwrap().size(), 3);
    // The writer takes it for its own, too.
    assert_eq!(
        open(&shared).unwrap().record(&[leaf(3)]).unwrap()[0].index,
        3
    );
    let many = format!("{text}{}", line.repeat(MAX_NOTE_SIGNATURES));
    shared.write("checkpoint", many.as_bytes()).unwrap();
    let error = CheckpointError::Note(NoteError::TooManySignatures);
    assert_eq!(latest(), Err(invalid(error)));
    // A second line by the log's key that does not hold rejects the first as well.
    let own = text.lines().last().unwrap();
    let (at, _) = own.char_indices().rev().nth(40).unwrap();
    let other = if own[at..].starts_with('A') { "B" } else { "A" };
    let wrong = format!("{}{other}{}", &own[..at], &own[at + 1..]);
    shared
        .write("checkpoint", format!("{text}{wrong}\n").as_bytes())
        .unwrap();
    assert!(matches!(
        latest(),
        Err(RecordError::Integrity(IntegrityFault::CheckpointInvalid(_)))
    ));
    shared
        .write("checkpoint", &vec![b'x'; MAX_NOTE_BYTES + 1])
        .unwrap();
    let error = CheckpointError::Note(NoteError::TooLarge {
        found: MAX_NOTE_BYTES + 1,
    });
    assert_eq!(latest(), Err(invalid(error)));
    // To the writer this is a torn file: its own log says more.
    assert_eq!(open(&shared).unwrap().head().unwrap().size, 4);
}

#[test]
fn indexes_out_of_the_tree_are_answers() {
    let (_disk, shared, log) = filled(0);
    let empty = LogReader::new(Arc::clone(&shared), key());
    let latest = empty.latest().unwrap();
    assert_eq!((latest.size(), *latest.root()), (0, merkle::empty_root()));
    for index in [0, 1, 255, 1 << 62, u64::MAX] {
        let error = RecordError::NoSuchEntry { index, size: 0 };
        assert_eq!(empty.get(index, &latest).unwrap_err(), error);
        assert_eq!(empty.prove(index, &latest).unwrap_err(), error);
    }
    empty.extends(&latest, &latest).unwrap();
    log.append(&(0..300).map(leaf).collect::<Vec<_>>()).unwrap();
    let now = empty.latest().unwrap();
    empty.extends(&latest, &now).unwrap();
    for index in [300, 511, 1 << 40, u64::MAX - 1, u64::MAX] {
        let error = RecordError::NoSuchEntry { index, size: 300 };
        assert_eq!(empty.get(index, &now).unwrap_err(), error);
    }
    assert!(empty.consistency(u64::MAX, &now).is_err());
    let mut seen = 0;
    for range in [u64::MAX - 1..u64::MAX, 300..u64::MAX] {
        let each = |_, _: &[u8]| {
            seen += 1;
            Ok::<(), RecordError>(())
        };
        empty.for_each(range, &now, each).unwrap();
    }
    assert_eq!(seen, 0);
}

#[test]
fn entries_up_to_the_limit() {
    let (_disk, _shared, log) = filled(0);
    let found = MAX_ENTRY_BYTES + 1;
    let leaves = [vec![], vec![b'x'; MAX_ENTRY_BYTES], vec![b'x'; found]];
    let error = RecordError::LeafTooLarge { position: 2, found };
    assert_eq!(log.record(&leaves), Err(error));
    assert_eq!(log.head().unwrap().size, 0, "all of a call or nothing");
    let recorded = log.record(&leaves[..2]).unwrap();
    let reader = log.reader();
    for (answer, leaf) in recorded.iter().zip(&leaves) {
        assert_eq!(
            &reader
                .get(answer.index, &reader.latest().unwrap())
                .unwrap()
                .0,
            leaf
        );
    }
    // A full bundle of the largest entries is within its own limit.
    let mut big: Vec<Vec<u8>> = (0..256_u32)
        .map(|n| n.to_be_bytes().repeat(MAX_ENTRY_BYTES / 4))
        .collect();
    for leaf in &mut big {
        leaf.resize(MAX_ENTRY_BYTES, b'x');
    }
    log.append(&big).unwrap();
    assert_eq!(
        reader.get(100, &reader.latest().unwrap()).unwrap().0,
        big[98]
    );
    let many = vec![Vec::new(); MAX_LEAVES + 1];
    assert_eq!(
        log.record(&many),
        Err(RecordError::TooManyLeaves {
            found: MAX_LEAVES + 1
        })
    );
    assert_eq!(log.record(&[]), Ok(vec![]));
}

#[test]
fn only_a_proof_that_holds_is_recorded() {
    let (_disk, _shared, log) = filled(5);
    let there = log.record(&[leaf(3)]).unwrap().remove(0);
    let proof = there.to_tlog_proof();
    let check = |proof: &TlogProof| Recorded::verify(&leaf(3), proof, &key());
    assert_eq!(check(&proof), Ok(there.clone()));
    let fails = |index| {
        Err(RecordError::Integrity(IntegrityFault::ProofDoesNotVerify {
            index,
        }))
    };
    for index in [0, 4, 5, u64::MAX] {
        assert_eq!(
            check(&TlogProof::new(
                index,
                there.hashes.clone(),
                &*there.checkpoint
            )),
            fails(index)
        );
    }
    assert_eq!(
        check(&TlogProof::new(3, vec![], &*there.checkpoint)),
        fails(3)
    );
    assert_eq!(
        check(&TlogProof::new(3, vec![[0; 32]; 64], &*there.checkpoint)),
        fails(3)
    );
    // The checkpoint of the empty tree proves nothing at all.
    let empty = Checkpoint::new(key().name(), 0, merkle::empty_root()).unwrap();
    let empty = empty.sign(signer().as_ref()).unwrap();
    assert_eq!(check(&TlogProof::new(0, vec![], empty)), fails(0));
    let stranger =
        KeyPairSigner::new(key().name(), KeyPair::generate(KeyKind::P256).unwrap()).unwrap();
    let error = Recorded::verify(&leaf(3), &proof, stranger.verifier_key());
    assert!(matches!(
        error,
        Err(RecordError::Integrity(IntegrityFault::CheckpointInvalid(_)))
    ));
}

#[test]
fn a_checkpoint_of_another_log_is_no_memory_of_this_one() {
    let (_disk, shared, _log) = filled(3);
    let pair = KeyPair::generate(KeyKind::Ed25519).unwrap();
    let other = KeyPairSigner::new("example.com/other", pair).unwrap();
    let text = Checkpoint::new("example.com/other", 0, merkle::empty_root())
        .unwrap()
        .sign(&other)
        .unwrap();
    let foreign = SignedCheckpoint::open(text.as_bytes(), &[other.verifier_key().clone()]).unwrap();
    let fault = IntegrityFault::CheckpointInvalid(CheckpointError::NotSignedByLog);
    let error = RecordError::Integrity(fault);
    let reader = LogReader::new(Arc::clone(&shared), key());
    assert_eq!(
        reader.extends(&foreign, &reader.latest().unwrap()),
        Err(error.clone())
    );
    let opened = Log::open(shared, signer(), small().with_known(foreign));
    assert_eq!(opened.unwrap_err(), error);
}

// Checksums are not keyed: who can write to the disk can make records that are whole, with a
// signed checkpoint that was published.
#[test]
fn made_up_records_never_panic() {
    let (disk, shared, log) = filled(3);
    let known = verified(&log.head().unwrap().checkpoint);
    drop(log);
    let segment = shared.read("wal/0", 1 << 20).unwrap();
    let record = Record::parse(&segment[BLOCK..]).unwrap();
    assert_eq!(record.header.size_after(), 3);
    for sequence in [0, 3, 4, (1 << 63) - 1, 1 << 63, u64::MAX] {
        for (first, flushed) in [
            (3, 3),
            (3, 0),
            (0, 0),
            (1 << 62, 1 << 62),
            (u64::MAX, u64::MAX),
        ] {
            for path in ["wal/0", "wal/1"] {
                let copy = disk.after_kill();
                let mut made = record.clone();
                made.header.sequence = sequence;
                made.header.first = first;
                made.header.flushed = flushed;
                made.header.previous_root = *known.root();
                made.header.previous_checksum = record.header.checksum;
                if first > 0 {
                    made.entries.clear();
                    made.hashes.clear();
                }
                let bytes = made.encode().unwrap();
                assert!(bytes.len() > HEADER_BYTES);
                copy.open(path, true)
                    .unwrap()
                    .write_at(2 * BLOCK as u64 * u64::from(path == "wal/0"), &[&bytes])
                    .unwrap();
                let copy: Arc<dyn Disk> = Arc::new(copy);
                // Refused or ignored; what was promised stands.
                if let Ok(log) = open(&copy) {
                    let reader = log.reader();
                    reader.extends(&known, &reader.latest().unwrap()).unwrap();
                    let _ = log.record(&[leaf(7)]);
                }
            }
        }
    }
}

#[test]
fn a_log_behind_a_link_is_one_log() {
    let dir = tempfile::tempdir().unwrap();
    let (real, link) = (dir.path().join("real"), dir.path().join("link"));
    std::fs::create_dir(&real).unwrap();
    std::os::unix::fs::symlink(&real, &link).unwrap();
    let through: Arc<dyn Disk> = Arc::new(OsDisk::new(&link));
    let log = Log::create(through, signer(), server()).unwrap();
    log.record(&[leaf(1)]).unwrap();
    let direct: Arc<dyn Disk> = Arc::new(OsDisk::new(&real));
    let options = small().with_lock_wait_ms(20);
    let second = Log::open(Arc::clone(&direct), signer(), options.clone());
    assert_eq!(second.unwrap_err(), RecordError::Busy { waited_ms: 20 });
    // Nothing that looks like a stale lock file lies about to be removed.
    let mut names = direct.list("").unwrap();
    names.sort();
    assert_eq!(names, ["checkpoint", "tile", "wal"]);
    drop(log);
    assert_eq!(
        Log::open(direct, signer(), options)
            .unwrap()
            .head()
            .unwrap()
            .size,
        1
    );

    // A link to nowhere is an error, not a log somewhere else.
    let nowhere = dir.path().join("nowhere");
    std::os::unix::fs::symlink(dir.path().join("gone"), &nowhere).unwrap();
    let disk: Arc<dyn Disk> = Arc::new(OsDisk::new(&nowhere));
    assert!(matches!(open(&disk), Err(RecordError::Disk(_))));
    assert!(!dir.path().join("gone").exists());
}
