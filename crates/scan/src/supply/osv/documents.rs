//! Documents of an OSV database, and the archives that hold them.

use custos_core::finding::Severity;
use flate2::{Decompress, FlushDecompress, Status};
use serde::Deserialize;
use serde_json::Value;

use super::{AdvisoryError, Event, Range, cvss};
use crate::source::{ReadAt, read_full};
use crate::supply::dependency::Ecosystem;

/// Largest document.
const MAX_DOCUMENT: u64 = 16 << 20;
/// Most documents of one archive.
const MAX_DOCUMENTS: u64 = 4_000_000;

/// What is read of a document.
#[derive(Debug, Deserialize)]
pub(super) struct Document {
    pub(super) id: String,
    #[serde(default)]
    pub(super) modified: String,
    #[serde(default)]
    pub(super) withdrawn: Option<String>,
    #[serde(default)]
    pub(super) aliases: Vec<String>,
    #[serde(default)]
    pub(super) summary: String,
    #[serde(default)]
    pub(super) affected: Vec<Affected>,
    #[serde(default)]
    severity: Vec<Score>,
    #[serde(default)]
    database_specific: Value,
}

#[derive(Debug, Deserialize)]
struct Score {
    #[serde(default)]
    score: String,
}

/// A package, and which versions of it are affected.
#[derive(Debug, Deserialize)]
pub(super) struct Affected {
    #[serde(default)]
    pub(super) versions: Vec<String>,
    package: Option<Package>,
    #[serde(default)]
    ranges: Vec<RangeOf>,
    #[serde(default)]
    severity: Vec<Score>,
}

#[derive(Debug, Deserialize)]
struct Package {
    ecosystem: String,
    name: String,
}

#[derive(Debug, Deserialize)]
struct RangeOf {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    events: Vec<Events>,
}

#[derive(Debug, Deserialize)]
struct Events {
    introduced: Option<String>,
    fixed: Option<String>,
    last_affected: Option<String>,
}

impl Document {
    /// Returns how bad it is: in the words of the database, by its vectors, or as middling.
    pub(super) fn severity(&self) -> Severity {
        let word = self
            .database_specific
            .get("severity")
            .and_then(Value::as_str);
        let by_word = match word.unwrap_or_default().to_ascii_uppercase().as_str() {
            "CRITICAL" => Some(Severity::Critical),
            "HIGH" => Some(Severity::High),
            "MODERATE" | "MEDIUM" => Some(Severity::Medium),
            "LOW" => Some(Severity::Low),
            _ => None,
        };
        let scores = self.severity.iter();
        let scores = scores.chain(self.affected.iter().flat_map(|one| &one.severity));
        by_word
            .or_else(|| scores.filter_map(|one| cvss::severity(&one.score)).max())
            .unwrap_or(Severity::Medium)
    }
}

impl Affected {
    /// Returns the package, if it is of an ecosystem that is looked at.
    pub(super) fn package(&self) -> Option<(Ecosystem, &str)> {
        let package = self.package.as_ref()?;
        Some((Ecosystem::of_osv(&package.ecosystem)?, &package.name))
    }

    /// Returns the ranges of versions; those of commits are left out.
    pub(super) fn ranges(&self) -> Box<[Range]> {
        let ranges = self.ranges.iter().filter(|range| range.kind != "GIT");
        ranges.map(RangeOf::range).collect()
    }
}

impl RangeOf {
    fn range(&self) -> Range {
        let boxed = |text: &Option<String>| text.as_deref().map(Box::from);
        let events = self.events.iter().filter_map(|event| {
            boxed(&event.introduced)
                .map(Event::Introduced)
                .or_else(|| boxed(&event.fixed).map(Event::Fixed))
                .or_else(|| boxed(&event.last_affected).map(Event::Last))
        });
        Range(events.collect())
    }
}

/// Hands over the JSON documents of a zip archive (APPNOTE 4.3), one at a time.
pub(super) fn of_zip(
    archive: &dyn ReadAt,
    mut each: impl FnMut(&[u8]) -> Result<(), AdvisoryError>,
) -> Result<(), AdvisoryError> {
    let (mut at, count) = directory(archive)?;
    let mut unpacker = Unpacker::new();
    for _ in 0..count.min(MAX_DOCUMENTS) {
        let entry = Entry::read(archive, at)?;
        at = entry.next;
        if !entry.name.to_ascii_lowercase().ends_with(b".json") {
            continue;
        }
        each(unpacker.unpack(archive, &entry)?)?;
    }
    Ok(())
}

const BROKEN: AdvisoryError = AdvisoryError::Zip("it ends too early");

// Returns where the directory begins, and how many entries it has.
fn directory(archive: &dyn ReadAt) -> Result<(u64, u64), AdvisoryError> {
    const LONGEST: u64 = 22 + 0xffff;
    let from = archive.len().saturating_sub(LONGEST);
    let len = usize::try_from(archive.len().saturating_sub(from)).map_err(|_| BROKEN)?;
    let tail = take(archive, from, len)?;
    let end = tail
        .windows(4)
        .rposition(|window| window == b"PK\x05\x06")
        .ok_or(AdvisoryError::Zip("it has no directory"))?;
    let comment = long(&tail, end.saturating_add(20), 2)?;
    let rest = tail.len().saturating_sub(end).saturating_sub(22);
    if usize::try_from(comment).ok() != Some(rest) {
        return Err(BROKEN);
    }
    let (mut start, mut count) = (
        long(&tail, end.saturating_add(16), 4)?,
        long(&tail, end.saturating_add(10), 2)?,
    );
    if start == 0xffff_ffff || count == 0xffff {
        let locator = end
            .checked_sub(20)
            .ok_or(AdvisoryError::Zip("it has no directory of 64 bits"))?;
        let place = long(&tail, locator.saturating_add(8), 8)?;
        let record = take(archive, place, 56)?;
        (start, count) = (long(&record, 48, 8)?, long(&record, 32, 8)?);
    }
    Ok((start, count))
}

struct Entry {
    name: Vec<u8>,
    method: u64,
    packed: u64,
    size: u64,
    header: u64,
    next: u64,
}

impl Entry {
    fn read(archive: &dyn ReadAt, at: u64) -> Result<Self, AdvisoryError> {
        let fixed = take(archive, at, 46)?;
        if !fixed.starts_with(b"PK\x01\x02") {
            return Err(AdvisoryError::Zip("its directory is not whole"));
        }
        let name = long(&fixed, 28, 2)?;
        let others = long(&fixed, 30, 2)?.saturating_add(long(&fixed, 32, 2)?);
        let name_at = at.saturating_add(46);
        let name_len = usize::try_from(name).map_err(|_| BROKEN)?;
        Ok(Self {
            name: take(archive, name_at, name_len)?,
            method: long(&fixed, 10, 2)?,
            packed: long(&fixed, 20, 4)?,
            size: long(&fixed, 24, 4)?,
            header: long(&fixed, 42, 4)?,
            next: name_at.saturating_add(name).saturating_add(others),
        })
    }
}

// There are tens of thousands of documents: with buffers of their own, each would leave a hole between
// what is kept of it and of the next one.
struct Unpacker {
    inflate: Decompress,
    packed: Vec<u8>,
    document: Vec<u8>,
}

impl Unpacker {
    fn new() -> Self {
        Self {
            inflate: Decompress::new(false),
            packed: Vec::new(),
            document: Vec::new(),
        }
    }

    fn unpack(&mut self, archive: &dyn ReadAt, entry: &Entry) -> Result<&[u8], AdvisoryError> {
        let larger = entry.size.max(entry.packed);
        if larger > MAX_DOCUMENT {
            return Err(AdvisoryError::Large(larger));
        }
        let local = take(archive, entry.header, 30)?;
        let before = long(&local, 26, 2)?
            .saturating_add(long(&local, 28, 2)?)
            .saturating_add(30);
        let packed = usize::try_from(entry.packed).map_err(|_| BROKEN)?;
        fill(
            archive,
            entry.header.saturating_add(before),
            packed,
            &mut self.packed,
        )?;
        match entry.method {
            0 => Ok(&self.packed),
            8 => {
                self.inflate()?;
                Ok(&self.document)
            }
            _ => Err(AdvisoryError::Zip("it is packed in an unusual way")),
        }
    }

    fn inflate(&mut self) -> Result<(), AdvisoryError> {
        const STEP: usize = 64 << 10;
        self.inflate.reset(false);
        self.document.clear();
        loop {
            let done = (self.inflate.total_in(), self.inflate.total_out());
            if done.1 > MAX_DOCUMENT {
                return Err(AdvisoryError::Large(done.1));
            }
            let read = usize::try_from(done.0).unwrap_or(usize::MAX);
            let rest = self.packed.get(read..).unwrap_or_default();
            self.document.reserve(STEP);
            let status =
                self.inflate
                    .decompress_vec(rest, &mut self.document, FlushDecompress::None);
            if let Ok(Status::StreamEnd) = status {
                return Ok(());
            }
            if status.is_err() || done == (self.inflate.total_in(), self.inflate.total_out()) {
                return Err(AdvisoryError::Zip("a document in it cannot be unpacked"));
            }
        }
    }
}

fn take(archive: &dyn ReadAt, at: u64, len: usize) -> Result<Vec<u8>, AdvisoryError> {
    let mut bytes = Vec::new();
    fill(archive, at, len, &mut bytes)?;
    Ok(bytes)
}

fn fill(
    archive: &dyn ReadAt,
    at: u64,
    len: usize,
    bytes: &mut Vec<u8>,
) -> Result<(), AdvisoryError> {
    // Lengths come from the archive, which has to be as long.
    let len_64 = u64::try_from(len).unwrap_or(u64::MAX);
    if len_64 > archive.len() {
        return Err(BROKEN);
    }
    bytes.clear();
    bytes.resize(len, 0);
    if read_full(archive, at, bytes)? < len {
        return Err(BROKEN);
    }
    Ok(())
}

// A little-endian number of so many bytes.
fn long(bytes: &[u8], at: usize, len: usize) -> Result<u64, AdvisoryError> {
    let field = bytes.get(at..at.saturating_add(len)).ok_or(BROKEN)?;
    let number = field.iter().rev().fold(0_u64, |number, byte| {
        number.wrapping_shl(8) | u64::from(*byte)
    });
    Ok(number)
}
