//! Kills, power cuts and failing calls at every place, on the simulated disk.

use std::sync::{Arc, Condvar, Mutex};

use custos_log::disk::sim::{Fault, SimDisk};
use custos_log::disk::{Disk, DiskError, DiskFile, LockGuard};
use custos_log::{Log, LogOptions, RecordError, Recorder as _};

use crate::support::{Promises, key, leaf, open, server, signer, small};

/// Power cuts in the normal run; the deep run takes ten times as many.
const SEEDS: u64 = 1_000;

fn random(seed: &mut u64) -> u64 {
    *seed = seed
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    *seed >> 33
}

// Records batches of random size until the disk stops or `batches` are done.
fn work(log: &Log, promises: &mut Promises, seed: &mut u64, batches: u64) {
    let mut next = random(seed) << 20;
    for _ in 0..batches {
        // Many small batches, a few that fill tiles.
        let count = match random(seed) % 10 {
            0 => 200 + random(seed) % 200,
            1 | 2 => 20 + random(seed) % 60,
            _ => 1 + random(seed) % 4,
        };
        let mut leaves: Vec<Vec<u8>> = (next..next + count).map(leaf).collect();
        next += count;
        // Now and then one that was promised before.
        if random(seed).is_multiple_of(4) && !promises.leaves.is_empty() {
            let old = usize::try_from(random(seed)).unwrap() % promises.leaves.len();
            leaves.push(promises.leaves[old].1.clone());
        }
        if promises.record(log, &leaves).is_err() {
            return;
        }
    }
}

fn crash_and_restart(seed: u64, options: &LogOptions) {
    let mut random_state = seed;
    let mut promises = Promises::default();
    let mut disk = SimDisk::new(seed);
    for round in 0..3 {
        disk.fail_at(random(&mut random_state) % 120, Fault::Stop);
        let shared: Arc<dyn Disk> = Arc::new(disk.clone());
        let log = Log::open_or_create(Arc::clone(&shared), signer(), options.clone());
        if let Ok(log) = log {
            work(&log, &mut promises, &mut random_state, 12);
        }
        let kill = random(&mut random_state).is_multiple_of(4);
        disk = if kill {
            disk.after_kill()
        } else {
            disk.after_power_loss(seed ^ round)
        };
        let shared: Arc<dyn Disk> = Arc::new(disk.clone());
        if let Err(error) = open(&shared) {
            panic!("seed {seed}, round {round}: {error}");
        }
        promises.check(&shared);
    }
    // A duplicate of anything promised is answered with its old index.
    let shared: Arc<dyn Disk> = Arc::new(disk);
    let log = open(&shared).unwrap();
    for (index, leaf) in promises.leaves.iter().step_by(29) {
        assert_eq!(
            log.record(std::slice::from_ref(leaf)).unwrap()[0].index,
            *index,
            "seed {seed}"
        );
    }
}

fn seeds(from: u64, to: u64, options: &LogOptions) {
    std::thread::scope(|scope| {
        for half in 0..2 {
            scope.spawn(move || {
                for seed in (from..to).filter(|seed| seed % 2 == half) {
                    crash_and_restart(seed, options);
                }
            });
        }
    });
}

#[test]
fn power_cuts_lose_nothing_that_was_promised() {
    seeds(0, SEEDS, &small());
}

#[test]
fn power_cuts_lose_nothing_that_a_server_promised() {
    seeds(0, SEEDS, &server());
}

#[test]
#[allow(
    clippy::disallowed_methods,
    reason = "the deep run is asked for by environment"
)]
fn power_cuts_deep() {
    // Nine tenths of the seeds belong to `cargo xtask test --full`; a few of them run always.
    let full = std::env::var_os("CUSTOS_TEST_FULL").is_some_and(|value| value == "1");
    let to = if full { 10 * SEEDS } else { SEEDS + 20 };
    seeds(SEEDS, to, &small());
    seeds(SEEDS, to, &server());
}

// What one run with a failing call must hold to, whatever the call.
fn with_fault(disk: &SimDisk, fault: Fault, options: &LogOptions) -> Promises {
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let mut promises = Promises::default();
    let mut log = None;
    let mut must_end = false;
    for n in 0..24_u64 {
        // What another process has written is treated with more care.
        log = log.filter(|_| n != 11);
        let leaves: Vec<Vec<u8>> = (n * 50..n * 50 + 1 + n % 3 * 40).map(leaf).collect();
        for attempt in 0..3 {
            if log.is_none() {
                log = Log::open_or_create(Arc::clone(&shared), signer(), options.clone()).ok();
            }
            let Some(open) = &log else { continue };
            match promises.record(open, &leaves) {
                Ok(()) => {
                    assert!(!must_end, "a log whose sync failed went on");
                    break;
                }
                Err(error) => {
                    must_end |= error.must_end();
                    assert!(attempt < 2 || must_end, "{fault:?}: {error}");
                }
            }
        }
        if must_end {
            return promises;
        }
    }
    promises.check(&shared);
    promises
}

fn every_call(fault: Fault, options: &LogOptions) {
    let counting = SimDisk::new(9);
    with_fault(&counting, Fault::Io, options);
    let calls = counting.calls();
    assert!(calls > 100);
    for call in 0..calls {
        let disk = SimDisk::new(call);
        disk.fail_at(call, fault);
        let promises = with_fault(&disk, fault, options);
        for after in [disk.after_kill(), disk.after_power_loss(call)] {
            let after: Arc<dyn Disk> = Arc::new(after);
            // Without a promise there may be no log yet.
            if promises.leaves.is_empty() {
                open(&after).unwrap();
            }
            let log = Log::open(Arc::clone(&after), signer(), small());
            log.unwrap_or_else(|error| panic!("call {call}: {error}"));
            promises.clone().check(&after);
        }
    }
}

#[test]
fn an_io_error_at_any_call_makes_no_false_promise() {
    every_call(Fault::Io, &small());
    every_call(Fault::Io, &server());
}

#[test]
fn a_full_disk_at_any_call_makes_no_false_promise() {
    every_call(Fault::Full, &small());
    every_call(Fault::Full, &server());
}

#[test]
fn a_log_goes_on_when_there_is_room_again() {
    let counting = SimDisk::new(9);
    with_fault(&counting, Fault::Io, &small());
    for call in (8..counting.calls()).step_by(3) {
        let disk = SimDisk::new(call);
        let shared: Arc<dyn Disk> = Arc::new(disk.clone());
        let log = open(&shared).unwrap();
        disk.fill_at(call);
        let mut promises = Promises::default();
        let mut failed = 0;
        for n in 0..14_u64 {
            let leaves: Vec<Vec<u8>> = (n * 50..n * 50 + 1 + n % 3 * 40).map(leaf).collect();
            if let Err(error) = promises.record(&log, &leaves) {
                assert!(matches!(error, RecordError::DiskFull { .. }), "{error}");
                // Still full: still no promise, and no harm.
                assert!(promises.record(&log, &leaves).is_err());
                disk.make_room();
                promises.record(&log, &leaves).unwrap();
                failed += 1;
            }
        }
        assert!(failed <= 1);
        promises.check(&shared);
    }
}

#[test]
fn a_failed_sync_ends_the_log_for_good() {
    let disk = SimDisk::new(3);
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let mut options = LogOptions::batch();
    options.segment_bytes = 32 << 10;
    let log = Log::create(Arc::clone(&shared), signer(), options).unwrap();
    log.record(&[leaf(1)]).unwrap();
    // Call 0 is the write of the record, call 1 its sync.
    disk.fail_at(1, Fault::Io);
    assert!(log.record(&[leaf(2)]).unwrap_err().must_end());
    let calls = disk.calls();
    assert!(log.record(&[leaf(3)]).unwrap_err().must_end());
    assert_eq!(
        disk.calls(),
        calls,
        "nothing is tried again after a failed sync"
    );
    assert_eq!(log.log_key(), &key());
    // The next process finds the record in memory that never reached the disk, and writes it again.
    let next: Arc<dyn Disk> = Arc::new(disk.after_kill());
    let log = open(&next).unwrap();
    assert_eq!(log.record(&[leaf(2)]).unwrap()[0].index, 1);
}

#[test]
fn a_batch_costs_one_sync() {
    let disk = SimDisk::new(3);
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let log = Log::create(shared, signer(), LogOptions::batch()).unwrap();
    let before = disk.calls();
    log.append(&(0..600).map(leaf).collect::<Vec<_>>()).unwrap();
    // Record: write and sync. Two full tiles and bundles; a partial tile, bundle and level-1 tile;
    // checkpoint: write and rename.
    assert_eq!(disk.calls() - before, 2 + 4 + 3 + 2);
}

// Several threads on a server's log, which is stopped or hit by an I/O error at some call. Which
// thread is where is left to chance; what was promised has to hold whatever it was.
fn crash_with_threads(seed: u64) {
    let mut state = seed;
    let disk = SimDisk::new(seed);
    let fault = if seed.is_multiple_of(3) {
        Fault::Io
    } else {
        Fault::Stop
    };
    disk.fail_at(random(&mut state) % 300, fault);
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let mut promises = Promises::default();
    if let Ok(log) = Log::open_or_create(Arc::clone(&shared), signer(), server()) {
        let threads: Vec<u64> = (0..3).map(|_| random(&mut state)).collect();
        let all: Vec<Promises> = std::thread::scope(|scope| {
            let work = threads.iter().map(|thread| {
                let log = &log;
                scope.spawn(move || work_on(log, *thread))
            });
            let running: Vec<_> = work.collect();
            running
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect()
        });
        for part in all {
            promises.leaves.extend(part.leaves);
            promises.checkpoints.extend(part.checkpoints);
        }
    }
    for after in [disk.after_kill(), disk.after_power_loss(seed)] {
        let after: Arc<dyn Disk> = Arc::new(after);
        if let Err(error) = open(&after) {
            panic!("seed {seed}: {error}");
        }
        promises.clone().check(&after);
    }
}

fn work_on(log: &Log, seed: u64) -> Promises {
    let (mut state, mut promises) = (seed, Promises::default());
    let mut next = seed << 20;
    let mut failures = 0;
    for _ in 0..12 {
        let count = if random(&mut state).is_multiple_of(5) {
            150
        } else {
            1 + random(&mut state) % 9
        };
        // The last is everybody's: a duplicate, at times of a commit that is on its way.
        let leaves: Vec<_> = (next..next + count)
            .chain([random(&mut state) % 7])
            .map(leaf)
            .collect();
        next += count;
        if let Err(error) = promises.record(log, &leaves) {
            failures += 1;
            if error.must_end() || failures > 3 {
                break;
            }
        }
    }
    promises
}

#[test]
fn threads_and_power_cuts_lose_nothing_that_was_promised() {
    for seed in 0..SEEDS / 2 {
        crash_with_threads(seed);
    }
}

// A disk whose first tile is not written before a second record is durable.
#[derive(Debug)]
struct Gate {
    disk: SimDisk,
    state: Arc<(Mutex<Seen>, Condvar)>,
}

#[derive(Debug, Default)]
struct Seen {
    in_tile: bool,
    synced: u32,
}

struct GateFile(Box<dyn DiskFile>, Arc<(Mutex<Seen>, Condvar)>);

impl Gate {
    fn wait(&self, until: impl Fn(&Seen) -> bool) {
        let (seen, changed) = &*self.state;
        let patience = std::time::Duration::from_mins(2);
        let seen = seen.lock().unwrap();
        let (_seen, timed_out) = changed
            .wait_timeout_while(seen, patience, |seen| !until(seen))
            .unwrap();
        assert!(
            !timed_out.timed_out(),
            "the next record waited for the files of this one"
        );
    }
}

impl Disk for Gate {
    fn open(&self, path: &str, create: bool) -> Result<Box<dyn DiskFile>, DiskError> {
        let file = self.disk.open(path, create)?;
        Ok(Box::new(GateFile(file, Arc::clone(&self.state))))
    }
    fn read(&self, path: &str, limit: usize) -> Result<Vec<u8>, DiskError> {
        self.disk.read(path, limit)
    }
    fn write(&self, path: &str, bytes: &[u8]) -> Result<(), DiskError> {
        if path.starts_with("tile/0/000") {
            self.state.0.lock().unwrap().in_tile = true;
            self.state.1.notify_all();
            self.wait(|seen| seen.synced >= 2);
        }
        self.disk.write(path, bytes)
    }
    fn rename(&self, from: &str, to: &str) -> Result<(), DiskError> {
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

impl DiskFile for GateFile {
    fn size(&self) -> Result<u64, DiskError> {
        self.0.size()
    }
    fn read_at(&self, offset: u64, len: usize) -> Result<Vec<u8>, DiskError> {
        self.0.read_at(offset, len)
    }
    fn write_at(&self, offset: u64, parts: &[&[u8]]) -> Result<(), DiskError> {
        self.0.write_at(offset, parts)
    }
    fn sync_data(&self) -> Result<(), DiskError> {
        self.0.sync_data()?;
        self.1.0.lock().unwrap().synced += 1;
        self.1.1.notify_all();
        Ok(())
    }
}

#[test]
fn a_server_writes_the_next_record_while_it_writes_files() {
    let state = Arc::default();
    let gate = Arc::new(Gate {
        disk: SimDisk::new(1),
        state: Arc::clone(&state),
    });
    let log = Log::create(Arc::clone(&gate) as Arc<dyn Disk>, signer(), server()).unwrap();
    state.0.lock().unwrap().synced = 0;
    let (first, second) = std::thread::scope(|scope| {
        let first = scope.spawn(|| log.record(&[leaf(1)]).unwrap().remove(0));
        gate.wait(|seen| seen.in_tile);
        let second = scope.spawn(|| log.record(&[leaf(2), leaf(1)]).unwrap());
        (first.join().unwrap(), second.join().unwrap())
    });
    assert_eq!((first.index, first.tree_size), (0, 1));
    assert_eq!(
        (second[0].index, second[1].index, second[0].tree_size),
        (1, 0, 2)
    );
}
