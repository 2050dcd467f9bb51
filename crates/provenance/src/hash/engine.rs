//! The threads that read and hash.

use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use blake3::hazmat::ChainingValue;
use custos_core::digest::{Algorithm, Digest, Hasher};
use custos_core::oms::{Manifest, ManifestBuilder, Method, OmsError, Serialization};
use rustix::fs::Advice;
use rustix::io::Errno;

use crate::cache::Shelf;
use crate::tree::{File, FileList, Opened, TreeError};

use super::plan::{Piece, Unit, Units, pieces};
use super::sparse::{Extent, extents};
use super::{HashError, HashOptions, Progress, Run, blake};

/// Bytes that a thread reads at a time: they stay in the core's own cache until they are hashed.
/// Measured with all cores on one file, 128 KiB cost up to 7 % less CPU time than 256 KiB to 1 MiB,
/// although the kernel alone copies larger parts faster; 32 KiB cost more again.
const BUFFER: usize = 128 << 10;

/// Most threads: 128 buffers are 16 MiB.
const MAX_THREADS: usize = 128;

/// From here on the kernel is told that a file is read from front to back.
const ADVISE_FROM: u64 = 4 << 20;

/// Units that a thread takes at a time, while they are small.
const BATCH: usize = 32;
const BATCH_BYTES: u64 = 1 << 20;

static ZEROS: [u8; BUFFER] = [0; BUFFER];

/// Hashes all files; returns the manifest and the number of files that came from the cache.
pub(super) fn run(
    list: &FileList,
    form: Serialization,
    options: &HashOptions<'_>,
    run: &Run<'_>,
) -> Result<(Manifest, u64), HashError> {
    let (algorithm, method) = (form.hash(), form.method());
    let pieces = pieces(list, method)?;
    if pieces.is_empty() {
        return Err(OmsError::Empty.into());
    }
    let shelf = options
        .cache
        .zip(run.began)
        .and_then(|(cache, began)| cache.shelf(list, &form, began, run.trust));
    let mut digests: Vec<Option<Digest>> = vec![None; pieces.len()];
    let Planned {
        units,
        kept,
        from_cache,
    } = plan(list, (&pieces, &mut digests), shelf.as_ref(), algorithm);
    announce(&units, &pieces, run.progress);
    let work = Work::new(list, &pieces, &units, run.progress);
    work.all(algorithm, options.threads, &mut digests)?;
    // The shelf is written while the manifest is put together: each takes a pass over all files.
    let manifest = thread::scope(|scope| {
        if let Some(shelf) = shelf {
            let (pieces, digests, kept) = (&pieces, &digests, &kept);
            scope.spawn(move || remember(list, (pieces, digests), kept, shelf));
        }
        let manifest = build(list, form, &pieces, &digests)?;
        manifest.digest_set();
        Ok::<_, HashError>(manifest)
    })?;
    Ok((manifest, from_cache))
}

struct Planned {
    units: Units,
    // For each piece the number of its record, where there is a cache.
    kept: Vec<Option<u32>>,
    from_cache: u64,
}

// Takes from the cache what it knows, and cuts the rest into units.
fn plan(
    list: &FileList,
    (pieces, digests): (&[Piece], &mut [Option<Digest>]),
    shelf: Option<&Shelf>,
    algorithm: Algorithm,
) -> Planned {
    let mut units = Units::default();
    let mut kept = Vec::with_capacity(if shelf.is_some() { pieces.len() } else { 0 });
    // Files of which a range must be read.
    let (mut read, mut previous) = (0_u64, None);
    for (index, (piece, slot)) in pieces.iter().zip(digests).enumerate() {
        let Some(file) = list.files().get(piece.file) else {
            continue;
        };
        let found = shelf.and_then(|shelf| shelf.find(file.stamp(), &piece.range));
        if shelf.is_some() {
            kept.push(found.map(|found| found.number));
        }
        *slot = found.map(|found| found.digest);
        if found.is_none() {
            read += u64::from(previous.replace(piece.file) != Some(piece.file));
            units.add(index, piece.range.end - piece.range.start, algorithm);
        }
    }
    units.sort();
    // Files without a range, which shards leave out, are neither read nor known.
    let files = pieces.chunk_by(|a, b| a.file == b.file).count();
    let from_cache = u64::try_from(files)
        .unwrap_or(u64::MAX)
        .saturating_sub(read);
    Planned {
        units,
        kept,
        from_cache,
    }
}

fn remember(
    list: &FileList,
    (pieces, digests): (&[Piece], &[Option<Digest>]),
    kept: &[Option<u32>],
    mut shelf: Shelf,
) {
    if kept.iter().any(Option::is_none) || shelf.len() != kept.len() {
        for ((piece, digest), kept) in pieces.iter().zip(digests).zip(kept) {
            match (kept, digest, list.files().get(piece.file)) {
                (Some(number), _, _) => shelf.keep(*number),
                (None, Some(digest), Some(file)) => shelf.put(file.stamp(), &piece.range, digest),
                _ => {}
            }
        }
        // A shelf that cannot be written costs time the next time, and nothing else.
        shelf.save();
    }
}

fn announce(units: &Units, pieces: &[Piece], progress: &dyn Progress) {
    let bytes = units
        .list
        .iter()
        .fold(0_u64, |sum, unit| sum.saturating_add(unit.len));
    let mut files: Vec<usize> = units
        .list
        .iter()
        .filter_map(|unit| Some(pieces.get(unit.piece)?.file))
        .collect();
    files.sort_unstable();
    files.dedup();
    progress.begins(bytes, u64::try_from(files.len()).unwrap_or(u64::MAX));
}

fn build(
    list: &FileList,
    form: Serialization,
    pieces: &[Piece],
    digests: &[Option<Digest>],
) -> Result<Manifest, HashError> {
    let method = form.method();
    let mut builder = ManifestBuilder::new(form);
    for (piece, digest) in pieces.iter().zip(digests) {
        // Without an error every piece has a digest.
        if let (Some(file), Some(digest)) = (list.files().get(piece.file), digest) {
            match method {
                Method::Shards { .. } => {
                    builder.push_range(file.path(), piece.range.clone(), digest)?;
                }
                _ => builder.push_file(file.path(), digest)?,
            }
        }
    }
    Ok(builder.finish()?)
}

/// What the threads share.
struct Work<'a> {
    list: &'a FileList,
    pieces: &'a [Piece],
    units: &'a Units,
    progress: &'a dyn Progress,
    next: AtomicUsize,
    stop: AtomicBool,
    // Units left of each file, to report it as finished once.
    left: Vec<AtomicUsize>,
}

struct Results<'a> {
    digests: &'a mut [Option<Digest>],
    values: Vec<ChainingValue>,
    error: Option<HashError>,
}

/// What one thread keeps from unit to unit.
struct Worker {
    algorithm: Algorithm,
    buffer: Vec<u8>,
    // The file of the unit before, which is often that of the next.
    open: Option<(usize, Opened)>,
}

impl<'a> Work<'a> {
    fn new(
        list: &'a FileList,
        pieces: &'a [Piece],
        units: &'a Units,
        progress: &'a dyn Progress,
    ) -> Self {
        let left: Vec<AtomicUsize> = list.files().iter().map(|_| AtomicUsize::new(0)).collect();
        for unit in &units.list {
            if let Some(count) = pieces
                .get(unit.piece)
                .and_then(|piece| left.get(piece.file))
            {
                count.fetch_add(1, Ordering::Relaxed);
            }
        }
        let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
        Self {
            list,
            pieces,
            units,
            progress,
            next,
            stop,
            left,
        }
    }

    /// Hashes every unit and puts the digests where they belong.
    fn all(
        &self,
        algorithm: Algorithm,
        threads: Option<NonZeroUsize>,
        digests: &mut [Option<Digest>],
    ) -> Result<(), HashError> {
        let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let threads = threads
            .map_or(cores, NonZeroUsize::get)
            .min(MAX_THREADS)
            .min(self.units.list.len());
        let values = vec![ChainingValue::default(); self.units.values];
        let results = Mutex::new(Results {
            digests,
            values,
            error: None,
        });
        thread::scope(|scope| {
            let others: Vec<_> = (1..threads)
                .map(|_| scope.spawn(|| self.work(algorithm, &results)))
                .collect();
            self.work(algorithm, &results);
            for thread in others {
                // A panic in a thread is ours to pass on, not to hide.
                thread
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            }
        });
        let results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
        match results.error {
            Some(error) => Err(error),
            None => join_subtrees(self.units, self.pieces, &results.values, results.digests),
        }
    }

    fn work(&self, algorithm: Algorithm, results: &Mutex<Results<'_>>) {
        let mut worker = Worker {
            algorithm,
            buffer: Vec::new(),
            open: None,
        };
        let mut done = Vec::new();
        while !self.stop.load(Ordering::Relaxed) {
            let batch = self.take();
            if batch.is_empty() {
                return;
            }
            for unit in batch {
                match self.unit(&mut worker, unit) {
                    Ok(outcome) => done.push((*unit, outcome)),
                    Err(error) => {
                        self.stop.store(true, Ordering::Relaxed);
                        let mut results = lock(results);
                        // By path, so that the answer does not depend on who came first.
                        if results
                            .error
                            .as_ref()
                            .is_none_or(|old| rank(&error) < rank(old))
                        {
                            results.error = Some(error);
                        }
                        return;
                    }
                }
            }
            let files = self.deliver(&mut done, &mut lock(results));
            self.progress.advances(0, files);
        }
    }

    // The units are sorted by size: a batch of small ones is a run of them.
    fn take(&self) -> &'a [Unit] {
        let units = self.units.list.as_slice();
        let mut start = self.next.load(Ordering::Relaxed);
        loop {
            let rest = units.get(start..).unwrap_or_default();
            let mut bytes = 0_u64;
            let count = rest
                .iter()
                .take(BATCH)
                .take_while(|unit| {
                    bytes = bytes.saturating_add(unit.len);
                    bytes <= BATCH_BYTES
                })
                .count()
                .max(1)
                .min(rest.len());
            let end = start + count;
            let (order, other) = (Ordering::Relaxed, Ordering::Relaxed);
            match self.next.compare_exchange_weak(start, end, order, other) {
                Ok(_) => return rest.get(..count).unwrap_or_default(),
                Err(now) => start = now,
            }
        }
    }

    /// Returns the number of files that are finished.
    fn deliver(&self, done: &mut Vec<(Unit, Outcome)>, results: &mut Results<'_>) -> u64 {
        let mut files = 0_u64;
        for (unit, outcome) in done.drain(..) {
            match (outcome, unit.value) {
                (Outcome::Whole(digest), _) => {
                    if let Some(slot) = results.digests.get_mut(unit.piece) {
                        *slot = Some(digest);
                    }
                }
                (Outcome::Subtree(value), Some(at)) => {
                    if let Some(slot) = results.values.get_mut(at) {
                        *slot = value;
                    }
                }
                (Outcome::Subtree(_), None) => {}
            }
            let piece = self.pieces.get(unit.piece);
            let left = piece.and_then(|piece| self.left.get(piece.file));
            files += u64::from(left.is_some_and(|n| n.fetch_sub(1, Ordering::Relaxed) == 1));
        }
        files
    }

    fn unit(&self, worker: &mut Worker, unit: &Unit) -> Result<Outcome, HashError> {
        let piece = self.pieces.get(unit.piece).ok_or(OmsError::Empty)?;
        let file = self.list.files().get(piece.file).ok_or(OmsError::Empty)?;
        let start = piece.range.start + unit.offset;
        let range = start..start + unit.len;
        if worker
            .open
            .as_ref()
            .is_none_or(|(open, _)| *open != piece.file)
        {
            worker.open = Some((piece.file, self.list.open(file)?));
        }
        let Some((_, opened)) = &worker.open else {
            return Err(HashError::Cancelled);
        };
        let mut sink = match unit.value {
            Some(_) => Sink::Subtree(blake::Subtree::at(unit.offset)),
            None => Sink::Whole(worker.algorithm.hasher()),
        };
        if unit.len >= ADVISE_FROM {
            // Before a long read, not before each of 100,000 short ones: the check after
            // reading finds the same change.
            unchanged(file, opened)?;
            let len = std::num::NonZeroU64::new(unit.len);
            // Advice only: a system that does not take it reads as well.
            let _ = rustix::fs::fadvise(&opened.fd, start, len, Advice::Sequential);
        }
        self.read(file, opened, range, (&mut worker.buffer, &mut sink))?;
        unchanged(file, opened)?;
        Ok(sink.finish())
    }

    #[allow(
        clippy::too_many_arguments,
        reason = "four, and what the threads share"
    )]
    fn read(
        &self,
        file: &File,
        opened: &Opened,
        range: Range<u64>,
        (buffer, sink): (&mut Vec<u8>, &mut Sink),
    ) -> Result<(), HashError> {
        let want = usize::try_from(range.end - range.start)
            .unwrap_or(BUFFER)
            .min(BUFFER);
        if buffer.len() < want {
            buffer.resize(want, 0);
        }
        for extent in extents(&opened.fd, range) {
            let (mut part, hole) = match extent {
                Extent::Data(part) => (part, false),
                Extent::Hole(part) => (part, true),
            };
            while part.start < part.end {
                let left = usize::try_from(part.end - part.start).unwrap_or(usize::MAX);
                let bytes = if hole {
                    ZEROS.get(..left.min(BUFFER)).unwrap_or(&ZEROS)
                } else {
                    let len = left.min(buffer.len());
                    let into = buffer.get_mut(..len).unwrap_or_default();
                    let read = read_at(file, opened, into, part.start)?;
                    into.get(..read).unwrap_or_default()
                };
                sink.update(bytes);
                let read = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
                part.start = part.start.saturating_add(read);
                self.progress.advances(read, 0);
                if self.progress.is_cancelled() {
                    return Err(HashError::Cancelled);
                }
            }
        }
        Ok(())
    }
}

fn lock<'a, 'b>(results: &'a Mutex<Results<'b>>) -> MutexGuard<'a, Results<'b>> {
    results.lock().unwrap_or_else(PoisonError::into_inner)
}

fn rank(error: &HashError) -> (&str, bool) {
    match error {
        HashError::ChangedWhileHashing { path } => (path, true),
        HashError::Tree(error) => (error.path(), true),
        HashError::Cancelled | HashError::Manifest(_) => ("", false),
    }
}

fn read_at(file: &File, opened: &Opened, into: &mut [u8], at: u64) -> Result<usize, HashError> {
    loop {
        match rustix::io::pread(&opened.fd, &mut *into, at) {
            // Shorter than it was.
            // Or a pipe or folder that was swapped in.
            Ok(0) | Err(Errno::SPIPE | Errno::AGAIN | Errno::ISDIR) => return Err(changed(file)),
            Ok(read) => return Ok(read),
            Err(Errno::INTR) => {}
            Err(errno) => {
                let path = file.path().to_owned();
                return Err(TreeError::Io { path, errno }.into());
            }
        }
    }
}

fn unchanged(file: &File, opened: &Opened) -> Result<(), HashError> {
    let stamp = opened
        .stamp()
        .map_err(|errno| TreeError::from_errno(file.path(), errno))?;
    if stamp == *file.stamp() {
        Ok(())
    } else {
        Err(changed(file))
    }
}

fn changed(file: &File) -> HashError {
    HashError::ChangedWhileHashing {
        path: file.path().to_owned(),
    }
}

#[allow(clippy::large_enum_variant, reason = "one lives in each thread")]
enum Sink {
    Whole(Hasher),
    Subtree(blake::Subtree),
}

enum Outcome {
    Whole(Digest),
    Subtree(ChainingValue),
}

impl Sink {
    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Whole(hasher) => hasher.update(bytes),
            Self::Subtree(subtree) => subtree.update(bytes),
        }
    }

    fn finish(self) -> Outcome {
        match self {
            Self::Whole(hasher) => Outcome::Whole(hasher.finish()),
            Self::Subtree(subtree) => Outcome::Subtree(subtree.finish()),
        }
    }
}

// Chaining values were given out piece by piece, so those of one piece are neighbours.
fn join_subtrees(
    units: &Units,
    pieces: &[Piece],
    values: &[ChainingValue],
    digests: &mut [Option<Digest>],
) -> Result<(), HashError> {
    let mut cut: Vec<(usize, usize)> = units
        .list
        .iter()
        .filter_map(|unit| Some((unit.value?, unit.piece)))
        .collect();
    cut.sort_unstable();
    for group in cut.chunk_by(|a, b| a.1 == b.1) {
        let (Some((first, piece)), Some((last, _))) = (group.first(), group.last()) else {
            continue;
        };
        let Some(len) = pieces
            .get(*piece)
            .map(|piece| piece.range.end - piece.range.start)
        else {
            continue;
        };
        let values = values.get(*first..=*last).unwrap_or_default();
        let digest = blake::join(values, len).map_err(|fault| OmsError::Digest {
            name: String::new(),
            fault,
        })?;
        if let Some(slot) = digests.get_mut(*piece) {
            *slot = Some(digest);
        }
    }
    Ok(())
}
