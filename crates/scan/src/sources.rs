//! Where what is scanned comes from, and how much of it is scanned at once.
//!
//! A [`Source`] names things and opens each: a folder ([`crate::Tree`]), a registry, a bucket.
//! [`scan_all`] looks at them on several threads. The answer has the order of the sources, however
//! many threads there are.

use std::io;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use serde::{Deserialize, Serialize};

use crate::report::{Coverage, FileReport, Gap};
use crate::source::ReadAt;
use crate::supply::Knowledge;
use crate::unpack::Shelf;
use crate::work::Limits;
use crate::{Expectation, Neighbours, Options, scan};

/// Stack of each thread: parsers nest as deep as their limits let them.
const STACK: usize = 32 << 20;
/// Most threads.
const MAX_JOBS: usize = 256;

/// Something that a source has.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "written out by every source")]
pub struct Item {
    /// Its name, as people know it.
    pub path: String,
    /// How many bytes it has, as far as is known before it is opened.
    pub size: u64,
    /// Why it is not looked at though it belongs there; it is incomplete then.
    pub closed: Option<String>,
}

/// Something that was left out, and holds nothing that a loader would read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(clippy::exhaustive_structs, reason = "written out by every source")]
pub struct Note {
    /// What.
    pub path: String,
    /// Why.
    pub reason: String,
}

/// Names things, and opens each.
pub trait Source: Sync {
    /// Returns what there is, in an order of its own that is always the same.
    fn items(&self) -> &[Item];

    /// Returns what was left out.
    fn notes(&self) -> &[Note] {
        &[]
    }

    /// Opens the item at `index`.
    fn open(&self, index: usize) -> io::Result<Box<dyn ReadAt + '_>>;

    /// Returns the tag that a store gave the content of the item at `index`, if it is one that does.
    fn etag(&self, _index: usize) -> Option<&str> {
        None
    }

    /// Returns what was recorded of the item at `index` when it came here.
    fn recorded(&self, _index: usize) -> Option<&Expectation> {
        None
    }

    /// Returns what lies beside the item at `index`, if that can be known.
    fn neighbours(&self, _index: usize) -> Option<Box<dyn Neighbours + '_>> {
        None
    }
}

/// Says whether the look into one file is to end.
pub type Stop<'a> = Box<dyn Fn() -> bool + 'a>;

/// How much is scanned at once, and by what.
#[derive(Clone, Copy)]
#[allow(clippy::exhaustive_structs, reason = "an argument list with names")]
pub struct Many<'a> {
    /// Threads; `None` is one for each core.
    pub jobs: Option<NonZeroUsize>,
    /// Bounds for each file.
    pub limits: Limits,
    /// Room for what is unpacked, of all files together.
    pub shelf: &'a (dyn Shelf + Sync),
    /// What is known about dependencies.
    pub knowledge: Option<&'a Knowledge>,
    /// Asked at the beginning of each file; what it returns is asked while that file is looked at.
    pub stops: &'a (dyn Fn() -> Stop<'a> + Sync),
    /// Told of bytes that are done; all of them together are those of all items.
    pub passed: &'a (dyn Fn(u64) + Sync),
}

/// Scans everything that the sources have.
pub fn scan_all(sources: &[&dyn Source], many: &Many<'_>) -> Vec<FileReport> {
    let all: Vec<(&dyn Source, usize)> = sources
        .iter()
        .flat_map(|source| (0..source.items().len()).map(|index| (*source, index)))
        .collect();
    // The largest first, so that no thread is left with it at the end.
    let mut order: Vec<usize> = (0..all.len()).collect();
    let size = |at: &usize| {
        let item = all
            .get(*at)
            .and_then(|(source, index)| source.items().get(*index));
        std::cmp::Reverse(item.map_or(0, |item| item.size))
    };
    order.sort_by_key(size);
    let next = AtomicUsize::new(0);
    let reports = Mutex::new(Vec::with_capacity(all.len()));
    let work = || {
        let mut own = Vec::new();
        while let Some(at) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Some((source, index)) = all.get(*at) {
                own.push((*at, one(*source, *index, many)));
            }
        }
        let mut reports = reports.lock().unwrap_or_else(PoisonError::into_inner);
        reports.append(&mut own);
    };
    let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let jobs = many
        .jobs
        .map_or(cores, NonZeroUsize::get)
        .clamp(1, MAX_JOBS)
        .min(all.len());
    thread::scope(|scope| {
        let started = (0..jobs)
            .filter_map(|_| {
                thread::Builder::new()
                    .stack_size(STACK)
                    .spawn_scoped(scope, work)
                    .ok()
            })
            .count();
        // A system that gives no threads still gets its answer.
        if started == 0 {
            work();
        }
    });
    let mut reports = reports.into_inner().unwrap_or_else(PoisonError::into_inner);
    reports.sort_by_key(|(at, _)| *at);
    reports.into_iter().map(|(_, report)| report).collect()
}

fn one(source: &dyn Source, index: usize, many: &Many<'_>) -> FileReport {
    let Some(item) = source.items().get(index) else {
        return failed("", 0, "it is not there".to_owned());
    };
    let passed = AtomicU64::new(0);
    let report = match &item.closed {
        Some(reason) => closed(item, reason),
        None => match source.open(index) {
            Ok(bytes) => {
                let counted = Counted {
                    bytes: bytes.as_ref(),
                    size: item.size,
                    seen: &passed,
                    passed: many.passed,
                };
                looked(source, index, &counted, many)
            }
            Err(error) => failed(&item.path, item.size, error.to_string()),
        },
    };
    (many.passed)(item.size.saturating_sub(passed.load(Ordering::Relaxed)));
    report
}

fn looked(source: &dyn Source, index: usize, bytes: &Counted<'_>, many: &Many<'_>) -> FileReport {
    let path = source.items().get(index).map_or("", |item| &item.path);
    let neighbours = source.neighbours(index);
    let stop = (many.stops)();
    let options = Options {
        limits: many.limits,
        shelf: many.shelf,
        stop: &*stop,
        neighbours: neighbours.as_deref(),
        knowledge: many.knowledge,
    };
    // A fault of ours in one file is the answer for that file, and never a yes.
    let look = || {
        let mut report = scan(path, bytes, &options);
        if let Some(expected) = source.recorded(index) {
            expected.check(&mut report, bytes);
        }
        report
    };
    catch_unwind(AssertUnwindSafe(look)).unwrap_or_else(|_| {
        let why = "the scanner itself failed on it; please report that with the file";
        failed(path, bytes.size, why.to_owned())
    })
}

fn failed(path: &str, size: u64, error: String) -> FileReport {
    FileReport {
        path: path.to_owned(),
        size,
        digest: None,
        formats: Vec::new(),
        coverage: Coverage {
            unknown: size,
            ..Coverage::default()
        },
        gaps: Vec::new(),
        findings: Vec::new(),
        error: Some(error),
    }
}

fn closed(item: &Item, reason: &str) -> FileReport {
    let gap = Gap {
        path: item.path.clone(),
        reason: reason.to_owned(),
    };
    FileReport {
        error: None,
        gaps: vec![gap],
        ..failed(&item.path, item.size, String::new())
    }
}

// Tells of bytes as they are read. Parsers read some of them twice: no more than all are told.
struct Counted<'a> {
    bytes: &'a dyn ReadAt,
    size: u64,
    seen: &'a AtomicU64,
    passed: &'a (dyn Fn(u64) + Sync),
}

impl ReadAt for Counted<'_> {
    fn len(&self) -> u64 {
        self.bytes.len()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.bytes.read_at(offset, buffer)?;
        let seen = self.seen.load(Ordering::Relaxed);
        let left = self.size.saturating_sub(seen);
        let more = u64::try_from(count).unwrap_or(u64::MAX).min(left);
        self.seen
            .store(seen.saturating_add(more), Ordering::Relaxed);
        (self.passed)(more);
        Ok(count)
    }
}

/// Things that are held in memory, under names.
#[derive(Debug)]
pub struct Held {
    items: Vec<Item>,
    bytes: Vec<Vec<u8>>,
}

impl Held {
    /// Returns a source of these.
    pub fn new(held: impl IntoIterator<Item = (String, Vec<u8>)>) -> Self {
        let (items, bytes) = held
            .into_iter()
            .map(|(path, bytes)| {
                let size = ReadAt::len(&bytes);
                let item = Item {
                    path,
                    size,
                    closed: None,
                };
                (item, bytes)
            })
            .unzip();
        Self { items, bytes }
    }
}

impl Source for Held {
    fn items(&self) -> &[Item] {
        &self.items
    }

    fn open(&self, index: usize) -> io::Result<Box<dyn ReadAt + '_>> {
        let bytes = self
            .bytes
            .get(index)
            .ok_or_else(|| io::Error::other("there is no such item"))?;
        Ok(Box::new(Borrowed(bytes)))
    }
}

struct Borrowed<'a>(&'a [u8]);

impl ReadAt for Borrowed<'_> {
    fn len(&self) -> u64 {
        ReadAt::len(self.0)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read_at(offset, buffer)
    }

    fn held(&self) -> Option<&[u8]> {
        Some(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NoShelf;
    use crate::report::State;
    use custos_core::finding::Severity;

    fn many(jobs: usize) -> Many<'static> {
        Many {
            jobs: NonZeroUsize::new(jobs),
            limits: Limits::default(),
            shelf: &NoShelf,
            knowledge: None,
            stops: &|| Box::new(|| false),
            passed: &|_| {},
        }
    }

    fn bad() -> Vec<u8> {
        b"cos\nsystem\n(S'id'\ntR.".to_vec()
    }

    #[test]
    fn the_answer_does_not_depend_on_the_number_of_threads() {
        let held = Held::new((0..100_usize).map(|n| {
            let bytes = if n % 3 == 0 { bad() } else { vec![b'x'; n] };
            (format!("f{n}"), bytes)
        }));
        let alone = scan_all(&[&held], &many(1));
        assert_eq!(alone.len(), 100);
        assert_eq!(alone[3].state(Severity::High), State::Findings);
        assert_eq!(alone[3].path, "f3");
        for jobs in [2, 7, 1000] {
            assert_eq!(scan_all(&[&held], &many(jobs)), alone);
        }
        assert_eq!(scan_all(&[], &many(4)), []);
    }

    #[test]
    fn all_bytes_are_told_once() {
        let held = Held::new([("a".to_owned(), bad()), ("b".to_owned(), vec![0; 3 << 20])]);
        let told = AtomicU64::new(0);
        let passed = |bytes: u64| {
            told.fetch_add(bytes, Ordering::Relaxed);
        };
        let stops = || -> Stop<'_> { Box::new(|| false) };
        let many = Many {
            jobs: NonZeroUsize::new(2),
            limits: Limits::default(),
            shelf: &NoShelf,
            knowledge: None,
            stops: &stops,
            passed: &passed,
        };
        scan_all(&[&held], &many);
        let all: u64 = held.items().iter().map(|item| item.size).sum();
        assert_eq!(told.load(Ordering::Relaxed), all);
    }

    struct Broken(Vec<Item>);

    impl Source for Broken {
        fn items(&self) -> &[Item] {
            &self.0
        }

        fn open(&self, _: usize) -> io::Result<Box<dyn ReadAt + '_>> {
            Err(io::Error::other("gone"))
        }
    }

    #[test]
    fn what_cannot_be_opened_is_told_for_each_file() {
        let item = |closed: Option<&str>| Item {
            path: "x".into(),
            size: 5,
            closed: closed.map(str::to_owned),
        };
        let reports = scan_all(&[&Broken(vec![item(None), item(Some("a link"))])], &many(1));
        assert_eq!(reports[0].state(Severity::High), State::Error);
        assert_eq!(reports[1].state(Severity::High), State::Incomplete);
        assert_eq!(reports[1].gaps[0].reason, "a link");
    }
}
