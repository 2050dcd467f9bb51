//! Packed bytes, unpacked: in memory as long as they are few, and then in a place that the caller
//! of the scan lends ([`Shelf`]), counted against the limits of the whole scan.

use std::io::{self, BufRead, Read};

use crate::source::{ReadAt, read_full};
use crate::work::{Limited, Work};

/// Most unpacked bytes that are held in memory.
const IN_MEMORY: usize = 32 << 20;
/// How many bytes are unpacked at a time.
const STEP: usize = 64 << 10;

/// Lends room for bytes that are too many for memory, such as files without a name.
pub trait Shelf {
    /// Returns an empty place.
    fn place(&self) -> io::Result<Box<dyn Place>>;
}

/// A place that is written once, from its beginning to its end, and then read.
pub trait Place: ReadAt {
    /// Adds bytes at the end.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;
}

/// No room: what does not fit into memory is a gap of the scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "there is nothing in it")]
pub struct NoShelf;

impl Shelf for NoShelf {
    fn place(&self) -> io::Result<Box<dyn Place>> {
        Err(io::Error::other(
            "there is no room for so many unpacked bytes",
        ))
    }
}

/// Bytes that were unpacked.
pub(crate) enum Unpacked {
    /// Few.
    Memory(Vec<u8>),
    /// Many.
    Place(Box<dyn Place>),
}

impl ReadAt for Unpacked {
    fn len(&self) -> u64 {
        match self {
            Self::Memory(bytes) => ReadAt::len(bytes),
            Self::Place(place) => place.len(),
        }
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Memory(bytes) => bytes.read_at(offset, buffer),
            Self::Place(place) => place.read_at(offset, buffer),
        }
    }

    fn held(&self) -> Option<&[u8]> {
        match self {
            Self::Memory(bytes) => Some(bytes),
            Self::Place(place) => place.held(),
        }
    }
}

/// What came of unpacking.
pub(crate) struct Outcome {
    /// What was unpacked, as far as it went.
    pub(crate) bytes: Unpacked,
    /// How many packed bytes were read.
    pub(crate) read: u64,
    /// Why it did not go to the end.
    pub(crate) broken: Option<String>,
}

impl Default for Outcome {
    fn default() -> Self {
        Self {
            bytes: Unpacked::Memory(Vec::new()),
            read: 0,
            broken: None,
        }
    }
}

/// Unpacks to the end of the stream, or as far as it goes. `unpacker` wraps the packed bytes.
///
/// What comes before damage is kept: loaders that read piece by piece would have it as well.
pub(crate) fn unpack<'a, R: Read>(
    path: &str,
    packed: &'a dyn ReadAt,
    unpacker: impl FnOnce(Packed<'a>) -> io::Result<R>,
    work: &mut Work<'_>,
) -> Result<Outcome, Limited> {
    let mut outcome = Outcome::default();
    outcome.more((path, packed), unpacker, work)?;
    Ok(outcome)
}

impl Outcome {
    /// Unpacks a further stream that begins where the last one ended.
    pub(crate) fn more<'a, R: Read>(
        &mut self,
        (path, packed): (&str, &'a dyn ReadAt),
        unpacker: impl FnOnce(Packed<'a>) -> io::Result<R>,
        work: &mut Work<'_>,
    ) -> Result<(), Limited> {
        let counter = Counter::default();
        let source = Packed::new(packed, self.read, counter.clone());
        let read = match unpacker(source) {
            Ok(reader) => self.drain(path, (reader, &counter), work),
            Err(error) => Ok(Err(error)),
        };
        self.read = counter.get();
        if let Err(error) = read? {
            self.broken = Some(error.to_string());
        }
        Ok(())
    }

    /// Takes what a reader gives that unpacks something of `size` packed bytes.
    pub(crate) fn take(
        path: &str,
        reader: impl Read,
        size: u64,
        work: &mut Work<'_>,
    ) -> Result<Self, Limited> {
        let mut outcome = Self::default();
        let counter = Counter::default();
        counter.set(size);
        if let Err(error) = outcome.drain(path, (reader, &counter), work)? {
            outcome.broken = Some(error.to_string());
        }
        Ok(outcome)
    }

    fn drain(
        &mut self,
        path: &str,
        (mut reader, counter): (impl Read, &Counter),
        work: &mut Work<'_>,
    ) -> Result<io::Result<()>, Limited> {
        let mut buffer = vec![0; STEP];
        loop {
            let count = match reader.read(&mut buffer) {
                Ok(0) => return Ok(Ok(())),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Ok(Err(error)),
            };
            let fresh = buffer.get(..count).unwrap_or_default();
            let added = u64::try_from(count).unwrap_or(u64::MAX);
            let total = self.bytes.len().saturating_add(added);
            work.unpack(path, added, (total, counter.get().max(1)))?;
            if let Err(error) = append(&mut self.bytes, fresh, work) {
                return Ok(Err(error));
            }
        }
    }
}

fn append(bytes: &mut Unpacked, fresh: &[u8], work: &Work<'_>) -> io::Result<()> {
    if let Unpacked::Memory(held) = bytes {
        if held.len().saturating_add(fresh.len()) <= IN_MEMORY {
            held.extend_from_slice(fresh);
            return Ok(());
        }
        let mut place = work.place()?;
        place.append(held)?;
        *bytes = Unpacked::Place(place);
    }
    match bytes {
        Unpacked::Place(place) => place.append(fresh),
        Unpacked::Memory(_) => Ok(()),
    }
}

/// Packed bytes as a stream, which counts what was taken; exactly, if whoever takes them uses the
/// buffer.
pub(crate) struct Packed<'a> {
    from: &'a dyn ReadAt,
    at: u64,
    buffer: Vec<u8>,
    next: usize,
    counter: Counter,
}

impl<'a> Packed<'a> {
    const BUFFER: usize = 16 << 10;

    fn new(from: &'a dyn ReadAt, at: u64, counter: Counter) -> Self {
        counter.set(at);
        Self {
            from,
            at,
            buffer: Vec::new(),
            next: 0,
            counter,
        }
    }
}

impl BufRead for Packed<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.next >= self.buffer.len() {
            self.buffer.resize(Self::BUFFER, 0);
            let count = read_full(self.from, self.at, &mut self.buffer)?;
            self.buffer.truncate(count);
            self.next = 0;
            let count = u64::try_from(count).unwrap_or(u64::MAX);
            self.at = self.at.saturating_add(count);
        }
        Ok(self.buffer.get(self.next..).unwrap_or_default())
    }

    fn consume(&mut self, count: usize) {
        self.next = self.next.saturating_add(count).min(self.buffer.len());
        let left = self.buffer.len().saturating_sub(self.next);
        let left = u64::try_from(left).unwrap_or(u64::MAX);
        self.counter.set(self.at.saturating_sub(left));
    }
}

impl Read for Packed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(buffer)?;
        self.consume(count);
        Ok(count)
    }
}

#[derive(Clone, Default)]
struct Counter(std::rc::Rc<std::cell::Cell<u64>>);

impl Counter {
    fn get(&self) -> u64 {
        self.0.get()
    }

    fn set(&self, count: u64) {
        self.0.set(count);
    }
}
