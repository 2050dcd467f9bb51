//! The pages of a column: headers, packed bodies, and the texts and bytes in them.

use std::ops::Range;

use super::super::cells::Cells;
use super::super::codecs::{self, Codec};
use super::broken;
use super::schema::Leaf;
use crate::source::Cursor;
use crate::wire::thrift::Struct;
use crate::work::{Limited, Look};

/// Longest header of a page; bounds of its values are in it.
const MAX_HEADER: usize = 1 << 20;
/// Largest page that is unpacked.
const MAX_PAGE: u64 = 64 << 20;

const BYTE_ARRAY: i64 = 6;
const FIXED_BYTES: i64 = 7;

/// A column of a row group.
pub(super) struct Chunk {
    pub(super) leaf: Leaf,
    pub(super) kind: i64,
    pub(super) codec: i64,
    pub(super) range: Range<u64>,
}

/// A walk over the pages of a column.
pub(super) struct Pages<'l, 'c, 'i, 'w, 's> {
    look: &'l mut Look<'i, 'w, 's>,
    chunk: &'c Chunk,
    cells: Cells,
}

struct Page {
    kind: i64,
    packed: bool,
    size: u64,
    values: u64,
    encoding: i64,
    // How the levels are written, and their bytes where the header says so.
    level_encoding: i64,
    levels: Option<u64>,
    body: Range<u64>,
}

impl<'l, 'c, 'i, 'w, 's> Pages<'l, 'c, 'i, 'w, 's> {
    pub(super) fn new(look: &'l mut Look<'i, 'w, 's>, chunk: &'c Chunk) -> Self {
        Self {
            cells: Cells::new(&chunk.leaf.name),
            look,
            chunk,
        }
    }

    pub(super) fn walk(&mut self) -> Result<(), Limited> {
        let mut at = self.chunk.range.start;
        while at < self.chunk.range.end {
            self.look.work.tick(&self.look.input.path)?;
            let Some(page) = self.header(at) else {
                let name = &self.chunk.leaf.name;
                let message = format!("a page of the column `{name}` is malformed");
                broken(self.look, at, message);
                return Ok(());
            };
            self.look.covered.parsed(at..page.body.start);
            at = page.body.end;
            self.page(&page)?;
        }
        self.cells.flush(self.look)
    }

    fn header(&self, at: u64) -> Option<Page> {
        let mut cursor = Cursor::at(self.look.input.bytes, at);
        let left = self.chunk.range.end.saturating_sub(at);
        let room = usize::try_from(left).unwrap_or(usize::MAX);
        // Most headers are short.
        let short = cursor.peek(room.min(256)).to_vec();
        let mut long = Vec::new();
        let (header, len) = if let Ok(read) = Struct::read(&short) {
            read
        } else {
            long.extend_from_slice(cursor.peek(room.min(MAX_HEADER)));
            Struct::read(&long).ok()?
        };
        let start = at.checked_add(u64::try_from(len).ok()?)?;
        let end = start.checked_add(header.place(3)?)?;
        let kind = header.int(1)?;
        let inner = match kind {
            0 => header.inner(5)?,
            2 => header.inner(7)?,
            3 => header.inner(8)?,
            _ => header,
        };
        let second = kind == 3;
        let levels = || Some(inner.place(5)?.saturating_add(inner.place(6)?));
        Some(Page {
            kind,
            packed: !second || inner.get(7) != Some(crate::wire::thrift::Value::Bool(false)),
            size: header.place(2)?,
            values: inner.place(1).unwrap_or(0),
            encoding: inner.int(if second { 4 } else { 2 }).unwrap_or(-1),
            level_encoding: inner.int(3).unwrap_or(3),
            levels: second.then(levels).flatten(),
            body: start..end,
        })
        .filter(|page| page.body.end <= self.chunk.range.end)
    }

    fn page(&mut self, page: &Page) -> Result<(), Limited> {
        let texts = match self.chunk.kind {
            BYTE_ARRAY => !matches!(page.encoding, 2 | 8) || page.kind == 2,
            // Numbers of that many bytes are ordinary.
            FIXED_BYTES => self.chunk.leaf.width > 16 && matches!(page.encoding, 0 | 2),
            _ => false,
        };
        if !texts || page.kind == 1 {
            self.look.covered.opaque(page.body.clone());
            return Ok(());
        }
        let Some(bytes) = self.unpacked(page)? else {
            return Ok(());
        };
        let values = self.values(page, &bytes).unwrap_or_default();
        match page.encoding {
            0 | 2 => {
                if !self.plain(values)? {
                    let name = &self.chunk.leaf.name;
                    let message = format!("values of the column `{name}` end behind their page");
                    broken(self.look, page.body.start, message);
                    return Ok(());
                }
            }
            // Lengths come first, and then all values in a row.
            6 => self.cells.add(self.look, values)?,
            7 => self.shared_prefixes(page, values)?,
            other => {
                let name = &self.chunk.leaf.name;
                self.look.gap(format!(
                    "the column `{name}` has the unknown encoding {other}"
                ));
                return Ok(());
            }
        }
        self.look.covered.parsed(page.body.clone());
        Ok(())
    }

    fn unpacked(&mut self, page: &Page) -> Result<Option<Vec<u8>>, Limited> {
        let name = &self.chunk.leaf.name;
        let packed = page.body.end.saturating_sub(page.body.start);
        if page.size > MAX_PAGE || packed > MAX_PAGE {
            let size = page.size.max(packed);
            self.look.gap(format!(
                "a page of the column `{name}` has {size} bytes; at most {MAX_PAGE} are read"
            ));
            return Ok(None);
        }
        let path = &self.look.input.path;
        self.look
            .work
            .unpack(path, page.size, (page.size, packed.max(1)))?;
        let codec = match self.chunk.codec {
            _ if !page.packed => Codec::None,
            0 => Codec::None,
            1 => Codec::Snappy,
            2 => Codec::Gzip,
            5 => Codec::Lz4,
            6 => Codec::Zstd,
            7 => Codec::Lz4Block,
            other => {
                let what = match other {
                    3 => "LZO".to_owned(),
                    4 => "Brotli".to_owned(),
                    other => format!("the unknown method {other}"),
                };
                self.look
                    .gap(format!("the column `{name}` is packed by {what}"));
                return Ok(None);
            }
        };
        let len = usize::try_from(packed).unwrap_or(0);
        let bytes = Cursor::at(self.look.input.bytes, page.body.start).take(len);
        let Ok(bytes) = bytes else {
            self.look.gap("it cannot be read");
            return Ok(None);
        };
        // Levels of the second version are not packed.
        let levels = page.levels.and_then(|len| usize::try_from(len).ok());
        let Some((levels, body)) = bytes.split_at_checked(levels.unwrap_or(0)) else {
            broken(
                self.look,
                page.body.start,
                "the levels of a page end behind it",
            );
            return Ok(None);
        };
        let size = usize::try_from(page.size).unwrap_or(0);
        match codecs::unpack(codec, body, size.saturating_sub(levels.len())) {
            Ok(values) => Ok(Some([levels, &values].concat())),
            Err(error) => {
                let message = format!("a page of the column `{name}` cannot be unpacked: {error}");
                broken(self.look, page.body.start, message);
                Ok(None)
            }
        }
    }

    // What follows the levels.
    fn values<'b>(&self, page: &Page, bytes: &'b [u8]) -> Option<&'b [u8]> {
        if page.kind == 2 {
            return Some(bytes);
        }
        if let Some(levels) = page.levels {
            return bytes.get(usize::try_from(levels).ok()?..);
        }
        let mut rest = bytes;
        for level in [self.chunk.leaf.repetition, self.chunk.leaf.definition] {
            if level == 0 {
                continue;
            }
            if page.level_encoding == 4 {
                let bits = u32::BITS.saturating_sub(level.leading_zeros());
                let len = page.values.saturating_mul(bits.into()).div_ceil(8);
                rest = rest.get(usize::try_from(len).ok()?..)?;
            } else {
                let (len, after) = rest.split_first_chunk()?;
                let len = usize::try_from(u32::from_le_bytes(*len)).ok()?;
                rest = after.get(len..)?;
            }
        }
        Some(rest)
    }

    // Values one after another; returns false if they end behind the page.
    fn plain(&mut self, values: &[u8]) -> Result<bool, Limited> {
        let mut rest = values;
        if self.chunk.kind == FIXED_BYTES {
            for value in rest.chunks(self.chunk.leaf.width.max(1)) {
                self.cells.add(self.look, value)?;
            }
            return Ok(true);
        }
        while let Some((len, after)) = rest.split_first_chunk() {
            let len = usize::try_from(u32::from_le_bytes(*len)).unwrap_or(usize::MAX);
            let Some((value, after)) = after.split_at_checked(len) else {
                return Ok(false);
            };
            self.cells.add(self.look, value)?;
            rest = after;
        }
        Ok(rest.is_empty())
    }

    // Each value begins with a part of the one before it.
    fn shared_prefixes(&mut self, page: &Page, values: &[u8]) -> Result<(), Limited> {
        let read = deltas(values).and_then(|(prefixes, rest)| {
            let (lengths, rest) = deltas(rest)?;
            Some((prefixes, lengths, rest))
        });
        let Some((prefixes, lengths, mut rest)) = read else {
            broken(
                self.look,
                page.body.start,
                "the lengths of a page are malformed",
            );
            return Ok(());
        };
        let mut total = 0_u64;
        let mut value: Vec<u8> = Vec::new();
        for (prefix, len) in prefixes.into_iter().zip(lengths) {
            let (Ok(prefix), Ok(len)) = (usize::try_from(prefix), usize::try_from(len)) else {
                break;
            };
            let Some((suffix, after)) = rest.split_at_checked(len) else {
                broken(self.look, page.body.start, "values of a page end behind it");
                return Ok(());
            };
            rest = after;
            value.truncate(prefix);
            value.extend_from_slice(suffix);
            total = total.saturating_add(u64::try_from(value.len()).unwrap_or(u64::MAX));
            if total > MAX_PAGE {
                self.look
                    .gap("values that share their beginnings are too many");
                return Ok(());
            }
            self.cells.add(self.look, &value)?;
        }
        Ok(())
    }
}

// Numbers that are written as differences, in blocks of packed bits; and what follows them.
fn deltas(bytes: &[u8]) -> Option<(Vec<i64>, &[u8])> {
    const MOST: u64 = 4 << 20;
    let mut rest = bytes;
    let block = varint(&mut rest)?;
    let parts = varint(&mut rest)?;
    let count = varint(&mut rest)?;
    let each = block.checked_div(parts)?;
    if count > MOST || each == 0 || each > 1 << 16 || !each.is_multiple_of(8) || parts > 1 << 10 {
        return None;
    }
    let mut last = zigzag(varint(&mut rest)?);
    let mut numbers = vec![last];
    let wanted = usize::try_from(count).ok()?;
    while numbers.len() < wanted {
        let base = zigzag(varint(&mut rest)?);
        let (widths, after) = rest.split_at_checked(usize::try_from(parts).ok()?)?;
        rest = after;
        for width in widths {
            if numbers.len() >= wanted {
                break;
            }
            let len = each.checked_mul(u64::from(*width))? / 8;
            let (packed, after) = rest.split_at_checked(usize::try_from(len).ok()?)?;
            rest = after;
            for index in 0..each {
                if numbers.len() >= wanted {
                    break;
                }
                let delta = unpack_bits(packed, index.checked_mul(u64::from(*width))?, *width)?;
                last = last.wrapping_add(base).wrapping_add(delta.cast_signed());
                numbers.push(last);
            }
        }
    }
    numbers.truncate(wanted);
    Some((numbers, rest))
}

fn unpack_bits(bytes: &[u8], from: u64, width: u8) -> Option<u64> {
    if width > 64 {
        return None;
    }
    let mut number = 0_u64;
    for bit in 0..u64::from(width) {
        let at = from.checked_add(bit)?;
        let byte = bytes.get(usize::try_from(at / 8).ok()?)?;
        number |= u64::from(byte >> (at % 8) & 1) << bit;
    }
    Some(number)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

fn zigzag(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ (number & 1).cast_signed().wrapping_neg()
}
