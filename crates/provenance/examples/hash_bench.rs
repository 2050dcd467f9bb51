//! Measures hashing against what it cannot beat, and prints one JSON object.
//!
//! `hash_bench FOLDER [sha256|blake3|blake2b] [SHARD_SIZE]` hashes FOLDER into a manifest and its
//! statement, and beside it: plain SHA-256 of the same files on all cores with the same hash
//! library, and a bare `lstat` walk on as many threads. With `--cache DIR` digests of earlier
//! runs are used. Times are the best of `--runs` (default 3), in seconds; the runs of the three
//! alternate, so that a busy machine slows all of them.
#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a measuring program: it reads the clock, prints, and stops at any error"
)]

use std::fs;
use std::io::Read as _;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use custos_core::clock::{Clock, Timestamp};
use custos_core::digest::Algorithm;
use custos_provenance::cache::Cache;
use custos_provenance::hash::{HashOptions, manifest};

struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap())
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let (mut plain, mut cache, mut runs) = (Vec::new(), None, 3_usize);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--cache" => {
                cache = arguments
                    .next()
                    .map(|dir| Cache::new(dir, Arc::new(SystemClock)));
            }
            "--runs" => runs = arguments.next().unwrap().parse().unwrap(),
            _ => plain.push(argument),
        }
    }
    let folder = PathBuf::from(plain.first().unwrap());
    let mut options = HashOptions::default();
    if let Some(name) = plain.get(1) {
        options = options.with_algorithm(name.parse().unwrap());
    }
    if let Some(size) = plain.get(2) {
        options = options.with_shards(size.parse::<NonZeroU64>().unwrap());
    }
    options.cache = cache.as_ref();
    let (mut ours, mut hash, mut walk) = (f64::MAX, f64::MAX, f64::MAX);
    let (mut files, mut bytes, mut from_cache, mut statement) = (0, 0, 0, 0);
    for _ in 0..runs {
        let start = Instant::now();
        let hashed = manifest(&folder, &options, &()).unwrap();
        let payload = hashed
            .manifest
            .to_statement("model")
            .unwrap()
            .to_bytes()
            .unwrap();
        ours = ours.min(start.elapsed().as_secs_f64());
        (files, bytes, from_cache) = (hashed.files, hashed.bytes, hashed.from_cache);
        statement = payload.len();
        let start = Instant::now();
        let listed = bare_walk(&folder);
        walk = walk.min(start.elapsed().as_secs_f64());
        if cache.is_none() {
            let start = Instant::now();
            plain_sha256(listed);
            hash = hash.min(start.elapsed().as_secs_f64());
        }
    }
    let hash = if cache.is_none() {
        format!("{hash:.4}")
    } else {
        "null".to_owned()
    };
    println!(
        "{{\"files\":{files},\"bytes\":{bytes},\"from_cache\":{from_cache},\
         \"statement_bytes\":{statement},\"manifest_seconds\":{ours:.4},\
         \"plain_sha256_seconds\":{hash},\"lstat_walk_seconds\":{walk:.4},\
         \"peak_kib\":{}}}",
        peak_kib()
    );
}

fn threads() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// `lstat` of everything, folders shared among all cores; nothing is kept but path and size.
fn bare_walk(folder: &Path) -> Vec<(u64, PathBuf)> {
    let queue = Mutex::new((vec![folder.to_owned()], 0_usize));
    let found = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..threads() {
            scope.spawn(|| {
                let mut own = Vec::new();
                loop {
                    let next = {
                        let mut queue = queue.lock().unwrap();
                        let next = queue.0.pop();
                        queue.1 += usize::from(next.is_some());
                        if next.is_none() && queue.1 == 0 {
                            break;
                        }
                        next
                    };
                    let Some(next) = next else {
                        thread::yield_now();
                        continue;
                    };
                    let mut below = Vec::new();
                    for entry in fs::read_dir(next).unwrap() {
                        let path = entry.unwrap().path();
                        let found = fs::symlink_metadata(&path).unwrap();
                        if found.is_dir() {
                            below.push(path);
                        } else {
                            own.push((found.len(), path));
                        }
                    }
                    let mut queue = queue.lock().unwrap();
                    queue.0.extend(below);
                    queue.1 -= 1;
                }
                found.lock().unwrap().extend(own);
            });
        }
    });
    found.into_inner().unwrap()
}

fn plain_sha256(mut files: Vec<(u64, PathBuf)>) {
    files.sort_by_key(|(len, _)| std::cmp::Reverse(*len));
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..threads() {
            scope.spawn(|| {
                let mut buffer = vec![0; 256 << 10];
                while let Some((_, path)) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let mut file = fs::File::open(path).unwrap();
                    let mut hasher = Algorithm::Sha256.hasher();
                    loop {
                        match file.read(&mut buffer).unwrap() {
                            0 => break,
                            read => hasher.update(buffer.get(..read).unwrap()),
                        }
                    }
                    std::hint::black_box(hasher.finish());
                }
            });
        }
    });
}

fn peak_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}
