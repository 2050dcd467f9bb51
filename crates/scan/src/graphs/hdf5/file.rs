//! Reading structures: bounds, widths of addresses and lengths, and what of the file was met.
//!
//! Nothing is believed: an address or a size is checked against the file before anything is read,
//! and the bytes of all structures together have a bound, so that structures which lie in each
//! other cannot multiply the work.

use std::collections::{BTreeMap, BTreeSet};

use custos_core::finding::{Finding, Location};

use crate::rules;
use crate::source::{Part, read_full};
use crate::work::{Limited, Look};

/// Largest structure that is read as a whole.
const MAX_STRUCTURE: u64 = 32 << 20;
/// How often the bytes of a file may be read as structures, on the average.
const SHARED: u64 = 16;

/// Most structures and values of their own length that are remembered.
const MAX_MET: usize = 6 << 20;

/// Why a structure was not read to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stop {
    /// It is not what the format asks for.
    Broken(String),
    /// It may be well, and is not read here.
    Unread(String),
    /// A limit fired, and is noted.
    Limited,
}

impl From<Limited> for Stop {
    fn from(_: Limited) -> Self {
        Self::Limited
    }
}

/// Returns that something is broken.
pub(super) fn broken<T>(what: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::Broken(what.into()))
}

/// Widths of numbers, as the superblock gives them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Widths {
    /// Bytes of an address.
    pub(super) address: usize,
    /// Bytes of a length.
    pub(super) length: usize,
}

/// Sizes of the nodes of old trees.
#[derive(Debug, Clone, Copy)]
pub(super) struct Nodes {
    /// Half the number of entries in a symbol table node.
    pub(super) leaf: u64,
    /// Half the number of children in a node of a group's tree.
    pub(super) group: u64,
    /// Half the number of children in a node of a tree of chunks.
    pub(super) chunk: u64,
}

/// A file at work.
pub(super) struct File<'l, 'i, 'w, 's> {
    pub(super) look: &'l mut Look<'i, 'w, 's>,
    /// Where addresses count from.
    pub(super) base: u64,
    pub(super) widths: Widths,
    pub(super) nodes: Nodes,
    /// False once something was not followed: what is left over may belong to it.
    pub(super) whole: bool,
    /// Looks like the weights of Keras.
    pub(super) is_keras: bool,
    /// Structures that were met, so that none is walked twice.
    pub(super) met: BTreeSet<u64>,
    /// Collections of values of their own length: places of the objects in them.
    pub(super) collections: BTreeMap<u64, BTreeMap<u16, (u64, u64)>>,
    /// How many there are.
    pub(super) collected: usize,
    /// Objects of these that were looked at.
    pub(super) seen_values: BTreeSet<(u64, u16)>,
    /// Filters that were told of.
    pub(super) filters: BTreeSet<u16>,
    pub(super) spans: Spans,
    /// What leads to other files: how bad that is depends on whose file this is.
    pub(super) outside: Vec<Finding>,
    read: u64,
}

impl<'l, 'i, 'w, 's> File<'l, 'i, 'w, 's> {
    pub(super) fn new(look: &'l mut Look<'i, 'w, 's>, base: u64) -> Self {
        Self {
            look,
            base,
            widths: Widths {
                address: 8,
                length: 8,
            },
            nodes: Nodes {
                leaf: 4,
                group: 16,
                chunk: 32,
            },
            whole: true,
            is_keras: false,
            met: BTreeSet::new(),
            collections: BTreeMap::new(),
            collected: 0,
            seen_values: BTreeSet::new(),
            filters: BTreeSet::new(),
            spans: Spans::default(),
            outside: Vec::new(),
            read: 0,
        }
    }

    /// Returns the place of an address in the input.
    pub(super) fn place(&self, address: u64) -> u64 {
        self.base.saturating_add(address)
    }

    /// Returns `size` bytes at an address, all of which have to be there, and marks them.
    pub(super) fn structure(&mut self, address: u64, size: u64) -> Result<Vec<u8>, Stop> {
        let bytes = self.peek(address, size)?;
        self.mark(address, size);
        Ok(bytes)
    }

    /// Returns `size` bytes at an address.
    pub(super) fn peek(&mut self, address: u64, size: u64) -> Result<Vec<u8>, Stop> {
        let start = self.place(address);
        let end = start.saturating_add(size);
        if end > self.look.input.bytes.len() {
            return broken(format!(
                "a structure of {size} bytes at {start} ends behind the end of the file"
            ));
        }
        if size > MAX_STRUCTURE {
            return Err(Stop::Unread(format!(
                "a structure of {size} bytes at {start} is larger than what is read"
            )));
        }
        self.read = self.read.saturating_add(size).saturating_add(16);
        let most = self.look.input.bytes.len().saturating_mul(SHARED);
        if self.read > most.saturating_add(1 << 20) {
            let path = &self.look.input.path;
            return Err(self
                .look
                .work
                .limit(path, "structures that share bytes")
                .into());
        }
        let values = self.seen_values.len().saturating_add(self.collected);
        if self.met.len().saturating_add(values) > MAX_MET {
            let path = &self.look.input.path;
            return Err(self.look.work.limit(path, "structures").into());
        }
        self.look.work.tick(&self.look.input.path)?;
        let mut bytes = vec![0; to_usize(size)];
        match read_full(self.look.input.bytes, start, &mut bytes) {
            Ok(count) if count == bytes.len() => Ok(bytes),
            _ => broken(format!("the bytes at {start} cannot be read")),
        }
    }

    /// Notes that a structure lies at an address.
    pub(super) fn mark(&mut self, address: u64, size: u64) {
        let start = self.place(address);
        self.spans.parsed.add(start, start.saturating_add(size));
    }

    /// Returns the bytes of values at an address, and marks them. They must be there.
    pub(super) fn values(&mut self, address: u64, size: u64) -> Result<Part<'i>, Stop> {
        let start = self.place(address);
        let end = start.saturating_add(size);
        if end > self.look.input.bytes.len() {
            return broken(format!(
                "{size} bytes of values at {start} end behind the end of the file"
            ));
        }
        self.spans.opaque.add(start, end);
        Ok(Part::new(self.look.input.bytes, start..end))
    }

    /// Returns true the first time that it is asked for an address.
    pub(super) fn meet(&mut self, address: u64) -> bool {
        self.met.insert(address)
    }

    /// Reads fields of a structure.
    pub(super) fn fields<'b>(&self, bytes: &'b [u8]) -> Fields<'b> {
        Fields::new(bytes, self.widths)
    }

    /// Returns a place for findings.
    pub(super) fn at(&self, address: u64, path: &str) -> Location {
        Location {
            offset: Some(self.place(address)),
            pointer: (!path.is_empty()).then(|| path.to_owned()),
            ..self.look.here()
        }
    }

    /// Notes why something was not read; fails only if the whole look is over.
    pub(super) fn note(
        &mut self,
        outcome: Result<(), Stop>,
        address: u64,
        path: &str,
    ) -> Result<(), Limited> {
        let (message, is_broken) = match outcome {
            Ok(()) => return Ok(()),
            Err(Stop::Limited) => return Err(Limited),
            Err(Stop::Broken(message)) => (message, true),
            Err(Stop::Unread(message)) => (message, false),
        };
        self.whole = false;
        if is_broken {
            let location = self.at(address, path);
            let rule = &rules::graphs::HDF5_BROKEN;
            self.look.work.see(rule, location, message.clone());
        }
        self.look.gap(message);
        Ok(())
    }
}

/// The fields of a structure, one after another.
#[derive(Debug, Clone)]
pub(super) struct Fields<'b> {
    rest: &'b [u8],
    widths: Widths,
}

impl<'b> Fields<'b> {
    pub(super) const fn new(bytes: &'b [u8], widths: Widths) -> Self {
        Self {
            rest: bytes,
            widths,
        }
    }

    /// Returns what is left.
    pub(super) const fn rest(&self) -> &'b [u8] {
        self.rest
    }

    /// Returns the next `count` bytes.
    pub(super) fn take(&mut self, count: usize) -> Result<&'b [u8], Stop> {
        match self.rest.split_at_checked(count) {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(taken)
            }
            None => broken("a structure is shorter than what it says it holds"),
        }
    }

    /// Leaves out bytes.
    pub(super) fn skip(&mut self, count: usize) -> Result<(), Stop> {
        self.take(count).map(|_| ())
    }

    /// Returns a number of `count` bytes, the least first; at most 8 of them.
    pub(super) fn number(&mut self, count: usize) -> Result<u64, Stop> {
        let taken = self.take(count)?;
        let (low, high) = taken.split_at_checked(8).unwrap_or((taken, &[]));
        if high.iter().any(|byte| *byte != 0) {
            return broken("a number does not fit into 64 bits");
        }
        Ok(low
            .iter()
            .rev()
            .fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    pub(super) fn u8(&mut self) -> Result<u8, Stop> {
        Ok(self.take(1)?.first().copied().unwrap_or(0))
    }

    pub(super) fn u16(&mut self) -> Result<u16, Stop> {
        let number = self.number(2)?;
        Ok(u16::try_from(number).unwrap_or(u16::MAX))
    }

    pub(super) fn u32(&mut self) -> Result<u32, Stop> {
        let number = self.number(4)?;
        Ok(u32::try_from(number).unwrap_or(u32::MAX))
    }

    /// Returns an address, or `None` if there is none.
    pub(super) fn address(&mut self) -> Result<Option<u64>, Stop> {
        let width = self.widths.address;
        let undefined = u64::MAX >> 64_usize.saturating_sub(width.saturating_mul(8)).min(63);
        let number = self.number(width)?;
        Ok((number != undefined).then_some(number))
    }

    /// Returns a length.
    pub(super) fn length(&mut self) -> Result<u64, Stop> {
        self.number(self.widths.length)
    }

    /// Fails if the next bytes are not these.
    pub(super) fn expect(&mut self, magic: &[u8]) -> Result<(), Stop> {
        if self.take(magic.len())? == magic {
            return Ok(());
        }
        let name = String::from_utf8_lossy(magic);
        broken(format!("where `{name}` is expected is something else"))
    }

    /// Returns a text that ends with a zero byte, and skips to a multiple of `unit` bytes.
    pub(super) fn text(&mut self, unit: usize) -> Result<String, Stop> {
        let len = self.rest.iter().position(|byte| *byte == 0);
        let Some(len) = len else {
            return broken("a name does not end");
        };
        let padded = len.saturating_add(1).next_multiple_of(unit);
        let taken = self.take(padded.min(self.rest.len()))?;
        Ok(text(taken))
    }
}

/// Returns a text up to its first zero byte.
pub(super) fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0);
    let bytes = bytes.get(..end.unwrap_or(bytes.len())).unwrap_or_default();
    String::from_utf8_lossy(bytes).into_owned()
}

/// Returns a size in memory; one that is too large fails wherever it is used.
pub(super) fn to_usize(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// Returns a size in a file.
pub(super) fn to_u64(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

/// Returns how many bytes a number up to `limit` takes.
pub(super) fn width_of(limit: u64) -> usize {
    to_usize(u64::from(limit.max(1).ilog2()) / 8).saturating_add(1)
}

/// Ranges of a file that were met, in the order in which they were.
#[derive(Debug, Default)]
pub(super) struct Spans {
    pub(super) parsed: Ranges,
    pub(super) opaque: Ranges,
}

/// Ranges, put in order now and then.
#[derive(Debug, Default)]
pub(super) struct Ranges {
    list: Vec<(u64, u64)>,
    tidy: usize,
}

impl Ranges {
    pub(super) fn add(&mut self, start: u64, end: u64) {
        if start >= end {
            return;
        }
        if let Some(last) = self.list.last_mut()
            && last.1 == start
        {
            last.1 = end;
            return;
        }
        self.list.push((start, end));
        if self.list.len() > self.tidy.saturating_mul(2).max(1 << 16) {
            self.join();
            self.tidy = self.list.len();
        }
    }

    fn join(&mut self) {
        self.list.sort_unstable();
        self.list.dedup_by(|next, kept| {
            let touches = next.0 <= kept.1;
            if touches {
                kept.1 = kept.1.max(next.1);
            }
            touches
        });
    }

    /// Returns the ranges in order, none touching another.
    pub(super) fn in_order(&mut self) -> &[(u64, u64)] {
        self.join();
        &self.list
    }
}
