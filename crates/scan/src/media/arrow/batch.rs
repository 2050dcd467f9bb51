//! Batches of Arrow: rows of columns, as buffers in the body of a message.

use std::ops::Range;

use super::super::cells::Cells;
use super::super::codecs::{self, Codec};
use super::super::parts;
use super::broken;
use super::schema::{Role, Schema};
use crate::source::{Cursor, Part, ReadAt};
use crate::wire::flat::{Broken, Buffer, Table};
use crate::work::{Limited, Look};

/// Largest buffer that is unpacked.
const MAX_UNPACKED: u64 = 256 << 20;
/// Largest cell that is looked at as one.
const MAX_CELL: u64 = 64 << 20;

/// Looks at the buffers of a batch, or of a dictionary.
pub(super) fn batch(
    look: &mut Look<'_, '_, '_>,
    (buffer, table): (&Buffer<'_>, &Table),
    (schema, kind, body): (&Schema, u8, Range<u64>),
) -> Result<Result<(), Limited>, Broken> {
    let (batch, roles) = if kind == 2 {
        let id = buffer.field(table, 0, 8)?.and_then(|at| buffer.u64(at));
        let Some(data) = buffer.table_of(table, 1)? else {
            return Ok(Ok(()));
        };
        (data, schema.dictionary(id.unwrap_or(0)))
    } else {
        (*table, schema.roles())
    };
    let codec = match buffer.table_of(&batch, 3)? {
        Some(compression) => {
            let codec = buffer.field(&compression, 0, 1)?;
            match codec.and_then(|at| buffer.u8(at)).unwrap_or(0) {
                0 => Some(Codec::Lz4),
                1 => Some(Codec::Zstd),
                other => {
                    look.gap(format!("buffers are packed by the unknown method {other}"));
                    return Ok(Ok(()));
                }
            }
        }
        None => None,
    };
    let mut ranges = Vec::new();
    if let Some(buffers) = buffer.vector_of(&batch, 2, 16)? {
        for place in buffers.places() {
            let (offset, len) = (buffer.u64(place), buffer.u64(place.saturating_add(8)));
            let start = body.start.saturating_add(offset.unwrap_or(u64::MAX));
            let range = start..start.saturating_add(len.unwrap_or(u64::MAX));
            if range.end > body.end {
                broken(look, body.start, "a buffer lies outside of its message");
                return Ok(Ok(()));
            }
            ranges.push(range);
        }
    }
    let mut variadic = Vec::new();
    if let Some(counts) = buffer.vector_of(&batch, 4, 8)? {
        variadic.extend(counts.places().filter_map(|at| buffer.u64(at)));
    }
    cover(look, &ranges, &body);
    let mut reader = Reader {
        look,
        codec,
        ranges: ranges.into_iter(),
    };
    Ok(reader.columns(&roles, variadic))
}

// Buffers are values; what lies between them is padding.
fn cover(look: &mut Look<'_, '_, '_>, ranges: &[Range<u64>], body: &Range<u64>) {
    let mut sorted: Vec<&Range<u64>> = ranges.iter().collect();
    sorted.sort_by_key(|range| range.start);
    let mut at = body.start;
    let end = body.end..body.end;
    for range in sorted.into_iter().chain([&end]) {
        if range.start > at {
            let hole = at..range.start;
            let few = hole.end.saturating_sub(hole.start) <= 4096;
            if few && parts::is_zero(look, hole.clone()) {
                look.covered.parsed(hole);
            } else {
                parts::metadata(look, hole, "what no buffer holds");
            }
        }
        look.covered.opaque(range.clone());
        at = at.max(range.end);
    }
}

struct Reader<'l, 'i, 'w, 's> {
    look: &'l mut Look<'i, 'w, 's>,
    codec: Option<Codec>,
    ranges: std::vec::IntoIter<Range<u64>>,
}

impl<'i> Reader<'_, 'i, '_, '_> {
    fn columns(&mut self, roles: &[Role<'_>], variadic: Vec<u64>) -> Result<(), Limited> {
        let mut variadic = variadic.into_iter();
        for role in roles {
            self.look.work.tick(&self.look.input.path)?;
            match role {
                Role::Values => drop(self.ranges.next()),
                // What they are places in follows.
                Role::Places(width, name) => {
                    let places = self.unpacked()?;
                    let texts = self.unpacked()?;
                    if let (Some(places), Some(texts)) = (places, texts) {
                        self.texts((name, *width), &*places, &*texts)?;
                    }
                }
                Role::Texts => {}
                Role::Views(name) => {
                    let count = variadic.next().unwrap_or(0);
                    for _ in 0..=count {
                        if self.ranges.as_slice().is_empty() {
                            break;
                        }
                        if let Some(bytes) = self.unpacked()? {
                            self.runs(name, &*bytes)?;
                        }
                    }
                }
            }
        }
        // Columns of a kind that is not known may be texts.
        while !self.ranges.as_slice().is_empty() {
            if let Some(bytes) = self.unpacked()? {
                self.runs("(unknown)", &*bytes)?;
            }
        }
        Ok(())
    }

    // The next buffer, unpacked: its length comes first, -1 if it is not packed after all.
    fn unpacked(&mut self) -> Result<Option<Box<dyn ReadAt + 'i>>, Limited> {
        let bytes = self.look.input.bytes;
        let Some(range) = self.ranges.next() else {
            return Ok(None);
        };
        let Some(codec) = self.codec.filter(|_| !range.is_empty()) else {
            return Ok(Some(Box::new(Part::new(bytes, range))));
        };
        let mut cursor = Cursor::at(bytes, range.start);
        let size = cursor.u64().unwrap_or(0);
        let from = range.start.saturating_add(8);
        if size == u64::MAX {
            return Ok(Some(Box::new(Part::new(bytes, from..range.end))));
        }
        let packed = range.end.saturating_sub(from);
        if size > MAX_UNPACKED || packed > MAX_UNPACKED {
            let message = format!("a buffer of {size} bytes is larger than is unpacked");
            self.look.gap(message);
            return Ok(None);
        }
        let path = &self.look.input.path;
        self.look.work.unpack(path, size, (size, packed.max(1)))?;
        let held = usize::try_from(packed)
            .ok()
            .and_then(|len| cursor.take(len).ok());
        let size = usize::try_from(size).unwrap_or(0);
        match codecs::unpack(codec, &held.unwrap_or_default(), size) {
            Ok(bytes) => Ok(Some(Box::new(bytes))),
            Err(error) => {
                let message = format!("a buffer cannot be unpacked: {error}");
                broken(self.look, range.start, &message);
                Ok(None)
            }
        }
    }

    fn texts(
        &mut self,
        (name, width): (&str, u64),
        places: &dyn ReadAt,
        texts: &dyn ReadAt,
    ) -> Result<(), Limited> {
        let mut cells = Cells::new(name);
        let mut cursor = Cursor::at(places, 0);
        let mut data = Cursor::at(texts, 0);
        let mut next = |width: u64| match width {
            4 => cursor.u32().ok().map(u64::from),
            _ => cursor.u64().ok(),
        };
        let mut from = next(width).unwrap_or(0);
        // Padding of the buffer is no place.
        while let Some(to) = next(width) {
            if to < from {
                break;
            }
            let len = to.saturating_sub(from);
            if to > texts.len() {
                broken(self.look, None, "a text lies outside of its buffer");
                return Ok(());
            }
            if len > MAX_CELL {
                self.look
                    .gap(format!("a cell of the column `{name}` has {len} bytes"));
            } else if len > 0 {
                data.seek(from);
                let len = usize::try_from(len).unwrap_or(0);
                if let Ok(cell) = data.take(len) {
                    cells.add(self.look, &cell)?;
                }
            }
            from = to;
        }
        // What no place points at is there all the same.
        let rest = Part::new(texts, from..texts.len());
        if rest.len() > 64 {
            self.runs(name, &rest)?;
        }
        cells.flush(self.look)
    }

    fn runs(&mut self, name: &str, bytes: &dyn ReadAt) -> Result<(), Limited> {
        const STEP: u64 = 1 << 20;
        let mut cells = Cells::new(name);
        let mut at = 0;
        while at < bytes.len() {
            let len = STEP.min(bytes.len().saturating_sub(at));
            let piece = usize::try_from(len)
                .ok()
                .and_then(|len| Cursor::at(bytes, at).take(len).ok());
            let Some(piece) = piece else {
                break;
            };
            cells.add(self.look, &piece)?;
            at = at.saturating_add(len);
        }
        cells.flush(self.look)
    }
}
