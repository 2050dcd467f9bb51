//! Measures durable appends beside a bare loop that hashes and syncs, and prints JSON.
//!
//! `append DIR [ENTRIES] [BATCH] [BYTES] [CALLERS]`; DIR is made and removed again. The bare loop
//! writes the same bytes into a preallocated file, hashes each entry and the same number of inner
//! nodes, and syncs once a batch: what no log can do without. The ratio of the two, in one run, is
//! the claim.
//!
//! The log is a server's, and called as a server calls it: each of CALLERS threads (2 unless told)
//! makes a batch, hands it over and waits until it is durable and published before it goes on. The
//! clock runs from the first batch to the last answer, and the making of the entries counts.

use std::error::Error;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use custos_core::crypto::{KeyKind, KeyPair};
use custos_core::merkle;
use custos_log::disk::OsDisk;
use custos_log::note::KeyPairSigner;
use custos_log::{Log, LogOptions, RecordError};

#[derive(Clone, Copy)]
struct Load {
    entries: usize,
    batch: usize,
    bytes: usize,
    callers: usize,
}

#[allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
fn now() -> Instant {
    Instant::now()
}

fn batch(load: Load, from: usize) -> Vec<Vec<u8>> {
    (from..(from + load.batch).min(load.entries))
        .map(|n| {
            let mut leaf = vec![0x5a; load.bytes];
            for (place, byte) in leaf.iter_mut().zip(n.to_be_bytes()) {
                *place = byte;
            }
            leaf
        })
        .collect()
}

// Hash and sync: the least that durable logging costs.
fn bare(dir: &Path, load: Load) -> Result<Duration, Box<dyn Error>> {
    let segment = 64 << 20;
    let path = dir.join("bare");
    let file = OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .open(&path)?;
    file.write_all_at(&vec![0; segment], 0)?;
    file.sync_all()?;
    let (mut took, mut offset) = (Duration::ZERO, 0);
    for from in (0..load.entries).step_by(load.batch) {
        let leaves = batch(load, from);
        let start = now();
        let mut tree = merkle::Accumulator::new();
        let mut buffer = Vec::with_capacity(load.batch * (load.bytes + 2));
        for leaf in &leaves {
            tree.push(merkle::leaf_hash(leaf));
            buffer.extend_from_slice(leaf);
        }
        buffer.extend_from_slice(&tree.root());
        if offset + buffer.len() > segment {
            offset = 0;
        }
        file.write_all_at(&buffer, offset as u64)?;
        file.sync_data()?;
        offset = (offset + buffer.len()).next_multiple_of(4096);
        took += start.elapsed();
    }
    Ok(took)
}

fn log(dir: &Path, load: Load, dedup: bool) -> Result<Duration, Box<dyn Error>> {
    let root = dir.join(if dedup { "dedup" } else { "plain" });
    let signer = KeyPairSigner::new("example.com/bench", KeyPair::generate(KeyKind::Ed25519)?)?;
    let disk = Arc::new(OsDisk::new(&root));
    let log = Log::create(disk, Box::new(signer), LogOptions::life().with_dedup(dedup))?;
    let next = AtomicUsize::new(0);
    let start = now();
    std::thread::scope(|scope| {
        let callers: Vec<_> = (0..load.callers)
            .map(|_| scope.spawn(|| call(&log, load, &next)))
            .collect();
        callers.into_iter().try_for_each(|caller| {
            let outcome = caller.join().map_err(|_| "a caller panicked")?;
            outcome.map_err(Box::<dyn Error>::from)
        })
    })?;
    let took = start.elapsed();
    if log.head()?.size != load.entries as u64 {
        return Err("each entry was to be in the log once".into());
    }
    Ok(took)
}

fn call(log: &Log, load: Load, next: &AtomicUsize) -> Result<(), RecordError> {
    loop {
        let from = next.fetch_add(load.batch, Ordering::Relaxed);
        if from >= load.entries {
            return Ok(());
        }
        log.append(&batch(load, from))?;
    }
}

#[allow(clippy::cast_precision_loss, reason = "a rate for people")]
fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let dir = args
        .next()
        .ok_or("usage: append DIR [ENTRIES] [BATCH] [BYTES] [CALLERS]")?;
    let mut number = |or: usize| args.next().map_or(Ok(or), |text| text.parse());
    let load = Load {
        entries: number(400_000)?,
        batch: number(4_096)?,
        bytes: number(1_024)?,
        callers: number(2)?,
    };
    let dir = Path::new(&dir);
    // ext4 hands out inodes slowly for some seconds after many were freed, so nothing is removed
    // before the end.
    std::fs::create_dir(dir)?;
    let rate = |took: Duration| load.entries as f64 / took.as_secs_f64();
    let baseline = rate(bare(dir, load)?);
    let plain = rate(log(dir, load, false)?);
    let dedup = rate(log(dir, load, true)?);
    std::fs::remove_dir_all(dir)?;
    writeln!(
        std::io::stdout(),
        "{{\"entries\":{},\"batch\":{},\"entry_bytes\":{},\"callers\":{},\"baseline_per_s\":{baseline:.0},\
         \"log_per_s\":{plain:.0},\"log_ratio\":{:.3},\"dedup_per_s\":{dedup:.0},\
         \"dedup_ratio\":{:.3}}}",
        load.entries,
        load.batch,
        load.bytes,
        load.callers,
        plain / baseline,
        dedup / baseline
    )?;
    Ok(())
}
