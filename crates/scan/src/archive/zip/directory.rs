//! The headers of a zip archive, and where they are (APPNOTE.TXT 6.3.10).

use std::ops::Range;

use crate::source::{Cursor, CursorError, ReadAt, read_full};

/// How far from the end the end record may lie: its own 22 bytes and a comment of 65,535.
const TAIL: u64 = 22 + 65_535;
/// Most members of one directory.
const MAX_ENTRIES: usize = 1 << 20;
/// Longest name.
const MAX_NAME: usize = 4 << 10;

/// The end record, and what it says.
pub(super) struct End {
    /// Where it is, comment included.
    pub(super) range: Range<u64>,
    /// Where the directory is.
    pub(super) directory: Range<u64>,
    /// How many bytes stand before the archive.
    pub(super) prefix: u64,
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

    /// Returns true if it is a folder.
    pub(super) fn is_folder(&self) -> bool {
        self.name.ends_with('/')
    }
}

/// Finds the end record: the last one, as loaders do.
pub(super) fn end(bytes: &dyn ReadAt) -> Option<End> {
    let size = bytes.len();
    let from = size.saturating_sub(TAIL);
    let mut tail = vec![0; usize::try_from(size.saturating_sub(from)).ok()?];
    let count = read_full(bytes, from, &mut tail).ok()?;
    tail.truncate(count);
    let found = tail.windows(4).rposition(|four| four == b"PK\x05\x06")?;
    let at = from.checked_add(u64::try_from(found).ok()?)?;
    let mut cursor = Cursor::at(bytes, at);
    cursor.skip(12).ok()?;
    let (mut directory_size, mut offset) =
        (u64::from(cursor.u32().ok()?), u64::from(cursor.u32().ok()?));
    let comment = u64::from(cursor.u16().ok()?);
    let mut start = at;
    // Loaders take the larger record whenever it is there.
    if let Some((record, wide_size, wide_offset)) = wide_end(bytes, at) {
        (directory_size, offset) = (wide_size, wide_offset);
        start = record;
    }
    // Where the directory really is: right before the end record. What it says is relative to the
    // beginning of the archive, which is not that of the file if something stands before.
    let directory_start = start.checked_sub(directory_size)?;
    let prefix = directory_start.checked_sub(offset)?;
    Some(End {
        range: start..cursor.position().saturating_add(comment).min(size),
        directory: directory_start..start,
        prefix,
    })
}

// Zip64: a locator right before the end record, which says where the larger record is.
fn wide_end(bytes: &dyn ReadAt, at: u64) -> Option<(u64, u64, u64)> {
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
        cursor.skip(36).ok()?;
        Some((record, cursor.u64().ok()?, cursor.u64().ok()?))
    })
}

/// Reads the directory. Returns its entries, and whether these are all.
pub(super) fn entries(bytes: &dyn ReadAt, end: &End) -> (Vec<Central>, bool) {
    let mut cursor = Cursor::at(bytes, end.directory.start);
    let mut entries = Vec::new();
    while cursor.position() < end.directory.end {
        match entry(&mut cursor) {
            Ok(Some(entry)) if entries.len() < MAX_ENTRIES => entries.push(entry),
            _ => return (entries, false),
        }
    }
    (entries, true)
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
