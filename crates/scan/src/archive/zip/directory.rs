//! The headers of a zip archive, and where they are (APPNOTE.TXT 6.3.10).

use std::borrow::Cow;
use std::ops::Range;

use crate::source::{Cursor, CursorError, ReadAt, read_full};

/// How far from the end the end record may lie: its own 22 bytes and a comment of 65,535.
const TAIL: u64 = 22 + 65_535;
/// Most members of one directory.
const MAX_ENTRIES: usize = 1 << 18;
/// Largest directory.
const MAX_DIRECTORY: u64 = 64 << 20;
/// Most end records that are considered.
const MAX_RECORDS: usize = 16;
/// Longest name.
const MAX_NAME: usize = 4 << 10;

/// The end record, and what it says.
pub(super) struct End {
    /// Where it is, comment included.
    pub(super) range: Range<u64>,
    /// Where the comment begins, at its end.
    pub(super) comment: u64,
    /// Where the directory is.
    pub(super) directory: Range<u64>,
    /// How many bytes stand before the archive.
    pub(super) prefix: u64,
    /// How many members it says that there are.
    pub(super) count: u64,
}

impl End {
    /// Returns true if the directory begins with a member where it ought to.
    pub(super) fn begins_well(&self, bytes: &dyn ReadAt) -> bool {
        let mut cursor = Cursor::at(bytes, self.directory.start);
        cursor.array().is_ok_and(|mark| mark == *b"PK\x01\x02")
    }
}

/// A member as the directory describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Central {
    pub(super) name: String,
    pub(super) flags: u16,
    pub(super) method: u16,
    pub(super) checksum: u32,
    pub(super) packed: u64,
    pub(super) unpacked: u64,
    pub(super) offset: u64,
    made_by: u16,
    attributes: u32,
}

impl Central {
    /// Returns true if it says that it is a symbolic link of Unix.
    pub(super) const fn is_link(&self) -> bool {
        self.made_by >> 8 == 3 && self.attributes >> 28 == 0xa
    }
}

/// A member as the header before its bytes describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Local {
    pub(super) name: String,
    pub(super) flags: u16,
    pub(super) method: u16,
    pub(super) checksum: u32,
    /// `None` if the size comes after the bytes.
    pub(super) packed: Option<u64>,
    pub(super) unpacked: Option<u64>,
    /// Where the header begins.
    pub(super) start: u64,
    /// Where the bytes begin.
    pub(super) data: u64,
}

impl Local {
    /// Reads the header at `start`; `None` if there is none.
    pub(super) fn read(bytes: &dyn ReadAt, start: u64) -> Option<Self> {
        Self::try_read(bytes, start).ok().flatten()
    }

    fn try_read(bytes: &dyn ReadAt, start: u64) -> Result<Option<Self>, CursorError> {
        let mut cursor = Cursor::at(bytes, start);
        if cursor.array()? != *b"PK\x03\x04" {
            return Ok(None);
        }
        cursor.skip(2)?;
        let (flags, method) = (cursor.u16()?, cursor.u16()?);
        cursor.skip(4)?;
        let checksum = cursor.u32()?;
        let (packed, unpacked) = (cursor.u32()?, cursor.u32()?);
        let (name_len, extra_len) = (cursor.u16()?, cursor.u16()?);
        let name = name(&mut cursor, name_len)?;
        let extra = cursor.take(extra_len.into())?;
        let mut wide = Wide::new(&extra);
        // In a local header both sizes are there if one is.
        let unpacked = wide.size(unpacked);
        let packed = wide.size(packed);
        let late = flags & 1 << 3 != 0;
        Ok(Some(Self {
            name,
            flags,
            method,
            checksum,
            packed: (!late).then_some(packed),
            unpacked: (!late).then_some(unpacked),
            start,
            data: cursor.position(),
        }))
    }

    /// Returns true if sizes and checksum come after the bytes.
    pub(super) const fn has_descriptor(&self) -> bool {
        self.flags & 1 << 3 != 0
    }

    /// Returns where what follows the bytes ends, if it repeats the size that the directory says.
    pub(super) fn descriptor_end(&self, bytes: &dyn ReadAt, end: u64, central: &Central) -> u64 {
        if !self.has_descriptor() {
            return end;
        }
        let mut cursor = Cursor::at(bytes, end);
        let ahead = cursor.peek(24);
        // A mark that may lack, the checksum, and two sizes of four or eight bytes.
        let (mark, rest) = match ahead.strip_prefix(b"PK\x07\x08") {
            Some(rest) => (4, rest),
            None => (0, ahead),
        };
        let Some((_, sizes)) = rest.split_first_chunk::<4>() else {
            return end;
        };
        // An empty member has the same first bytes either way, and what is left is zeros then.
        let said = (central.packed, central.unpacked);
        let narrow = sizes
            .as_chunks()
            .0
            .iter()
            .map(|size| u32::from_le_bytes(*size).into());
        let wide = sizes
            .as_chunks()
            .0
            .iter()
            .map(|size| u64::from_le_bytes(*size));
        let pair = |sizes: &mut dyn Iterator<Item = u64>| sizes.next().zip(sizes.next());
        let len = if pair(&mut { narrow }) == Some(said) {
            12
        } else if pair(&mut { wide }) == Some(said) {
            20
        } else {
            return end;
        };
        end.saturating_add(len).saturating_add(mark)
    }

    /// Returns true if it is a folder.
    pub(super) fn is_folder(&self) -> bool {
        self.name.ends_with('/')
    }
}

/// Finds the directories that programs may read: that of the last end record as a rule.
///
/// Others are told apart by where they lie: that of an end record whose comment holds the last one,
/// that of an end record whose zip64 twin says something else, and that at the place the end record
/// names if something stands before the archive.
pub(super) fn ends(bytes: &dyn ReadAt) -> Vec<End> {
    let size = bytes.len();
    let from = size.saturating_sub(TAIL);
    let held = usize::try_from(from)
        .ok()
        .and_then(|from| bytes.held()?.get(from..));
    let tail = held.map_or_else(
        || {
            let mut tail = vec![0; usize::try_from(size.saturating_sub(from)).unwrap_or(0)];
            let count = read_full(bytes, from, &mut tail).unwrap_or(0);
            tail.truncate(count);
            Cow::Owned(tail)
        },
        Cow::Borrowed,
    );
    let mut ends: Vec<End> = Vec::new();
    let found = memchr_rev(&tail).take(MAX_RECORDS);
    for at in found.filter_map(|found| from.checked_add(u64::try_from(found).ok()?)) {
        let Some(record) = Record::read(bytes, at) else {
            continue;
        };
        // An earlier record counts if its comment goes on to the end of the file.
        let whole = record.end == size;
        if ends.is_empty() || whole {
            let fresh = record.directories(bytes);
            if ends.is_empty() || fresh.iter().any(|end| end.begins_well(bytes)) {
                ends.extend(fresh);
            }
        }
    }
    let first = ends.first().map(|end| end.directory.clone());
    let mut seen = Vec::new();
    ends.retain(|end| {
        let fresh = !seen.contains(&end.directory);
        seen.push(end.directory.clone());
        fresh && (Some(&end.directory) == first.as_ref() || end.begins_well(bytes))
    });
    ends
}

/// Returns true if an end record stands near the end: cheaper than reading all that may be.
pub(super) fn is_near_end(bytes: &dyn ReadAt) -> bool {
    const NEAR: u64 = 1 << 10;
    let mut tail = vec![0; 1 << 10];
    let count = read_full(bytes, bytes.len().saturating_sub(NEAR), &mut tail).unwrap_or(0);
    memchr_rev(tail.get(..count).unwrap_or_default())
        .next()
        .is_some()
}

// Where end records begin, the last first.
fn memchr_rev(tail: &[u8]) -> impl Iterator<Item = usize> + '_ {
    memchr::memrchr_iter(b'P', tail).filter(|at| {
        tail.get(*at..)
            .is_some_and(|rest| rest.starts_with(b"PK\x05\x06"))
    })
}

// An end record.
struct Record {
    at: u64,
    count: u16,
    size: u32,
    offset: u32,
    // Where its comment ends.
    end: u64,
}

impl Record {
    fn read(bytes: &dyn ReadAt, at: u64) -> Option<Self> {
        let mut cursor = Cursor::at(bytes, at);
        cursor.skip(10).ok()?;
        let count = cursor.u16().ok()?;
        let (size, offset) = (cursor.u32().ok()?, cursor.u32().ok()?);
        let comment = u64::from(cursor.u16().ok()?);
        Some(Self {
            at,
            count,
            size,
            offset,
            end: cursor.position().saturating_add(comment),
        })
    }

    fn directories(&self, bytes: &dyn ReadAt) -> Vec<End> {
        let unset = self.count == u16::MAX || self.size == u32::MAX || self.offset == u32::MAX;
        let wide = wide_end(bytes, self.at);
        let start = wide.map_or(self.at, |(start, _)| start);
        // Loaders take the larger record whenever it is there, or if the smaller sends them there.
        let narrow = (wide.is_none() || !unset)
            .then(|| (self.count.into(), self.size.into(), self.offset.into()));
        let said = wide.map(|(_, numbers)| numbers).into_iter().chain(narrow);
        let range = start..self.end.min(bytes.len());
        let comment = self.at.saturating_add(22).min(range.end);
        let place = |numbers| placed(&range, comment, numbers);
        said.flat_map(place).collect()
    }
}

// Where the directory really is: right before the end record. What the record says is relative to
// the beginning of the archive, which is not that of the file if something stands before; some
// programs go to where it says all the same.
fn placed(range: &Range<u64>, comment: u64, (count, size, offset): (u64, u64, u64)) -> Vec<End> {
    let end = |start: u64, prefix| {
        Some(End {
            range: range.clone(),
            comment,
            directory: start..start.checked_add(size)?,
            prefix,
            count,
        })
    };
    let before = range.start.checked_sub(size);
    let prefix = before.and_then(|before| before.checked_sub(offset));
    let places = match (before, prefix) {
        (Some(before), Some(0)) => [end(before, 0), None],
        (Some(before), Some(prefix)) => [end(before, prefix), end(offset, 0)],
        _ => [end(offset, 0), None],
    };
    places.into_iter().flatten().collect()
}

// Zip64: a locator right before the end record, which says where the larger record is.
fn wide_end(bytes: &dyn ReadAt, at: u64) -> Option<(u64, (u64, u64, u64))> {
    let mut cursor = Cursor::at(bytes, at.checked_sub(20)?);
    if cursor.array().ok()? != *b"PK\x06\x07" {
        return None;
    }
    cursor.skip(4).ok()?;
    let said = cursor.u64().ok()?;
    // Where it says, or, behind a prefix, right before the locator.
    let before = at.checked_sub(20)?.checked_sub(56)?;
    [said, before].into_iter().find_map(|record| {
        let mut cursor = Cursor::at(bytes, record);
        if cursor.array().ok()? != *b"PK\x06\x06" {
            return None;
        }
        cursor.skip(28).ok()?;
        let count = cursor.u64().ok()?;
        Some((record, (count, cursor.u64().ok()?, cursor.u64().ok()?)))
    })
}

/// Reads the directory. Returns its entries, and whether these are all.
pub(super) fn entries(bytes: &dyn ReadAt, end: &End) -> (Vec<Central>, bool) {
    let mut cursor = Cursor::at(bytes, end.directory.start);
    let mut entries = Vec::new();
    let last = end.directory.end.min(bytes.len());
    let most = end.directory.start.saturating_add(MAX_DIRECTORY);
    while cursor.position() < last {
        if cursor.position() > most {
            return (entries, false);
        }
        match entry(&mut cursor) {
            Ok(Some(entry)) if entries.len() < MAX_ENTRIES => entries.push(entry),
            _ => return (entries, false),
        }
    }
    (entries, last == end.directory.end)
}

fn entry(cursor: &mut Cursor<'_>) -> Result<Option<Central>, CursorError> {
    if cursor.array()? != *b"PK\x01\x02" {
        return Ok(None);
    }
    let made_by = cursor.u16()?;
    cursor.skip(2)?;
    let (flags, method) = (cursor.u16()?, cursor.u16()?);
    cursor.skip(4)?;
    let checksum = cursor.u32()?;
    let (packed, unpacked) = (cursor.u32()?, cursor.u32()?);
    let (name_len, extra_len, comment_len) = (cursor.u16()?, cursor.u16()?, cursor.u16()?);
    cursor.skip(4)?;
    let attributes = cursor.u32()?;
    let offset = cursor.u32()?;
    let name = name(cursor, name_len)?;
    let extra = cursor.take(extra_len.into())?;
    cursor.skip(comment_len.into())?;
    let mut wide = Wide::new(&extra);
    let unpacked = wide.size(unpacked);
    let packed = wide.size(packed);
    Ok(Some(Central {
        name,
        flags,
        method,
        checksum,
        packed,
        unpacked,
        offset: wide.size(offset),
        made_by,
        attributes,
    }))
}

fn name(cursor: &mut Cursor<'_>, len: u16) -> Result<String, CursorError> {
    let bytes = cursor.take(len.into())?;
    let kept = bytes.get(..MAX_NAME.min(bytes.len())).unwrap_or_default();
    Ok(String::from_utf8_lossy(kept).into_owned())
}

// The extra field of zip64 (4.5.3): one number of eight bytes for each that does not fit, in order.
struct Wide<'a>(&'a [u8]);

impl<'a> Wide<'a> {
    fn new(extra: &'a [u8]) -> Self {
        let mut rest = extra;
        while let [a, b, c, d, after @ ..] = rest {
            let (id, len) = (u16::from_le_bytes([*a, *b]), u16::from_le_bytes([*c, *d]));
            let len = usize::from(len).min(after.len());
            let (field, next) = after.split_at(len);
            if id == 1 {
                return Self(field);
            }
            rest = next;
        }
        Self(&[])
    }

    fn size(&mut self, narrow: u32) -> u64 {
        if narrow != u32::MAX {
            return narrow.into();
        }
        match self.0.split_first_chunk() {
            Some((number, rest)) => {
                self.0 = rest;
                u64::from_le_bytes(*number)
            }
            None => narrow.into(),
        }
    }
}
