//! `FlatBuffers`: tables that point at each other, checked at each step.
//!
//! Format: <https://flatbuffers.dev/internals/>. A table begins with the distance to its vtable,
//! which says where in the table each field lies; texts, vectors and other tables are reached by
//! unsigned distances. Nothing is believed: each place is checked against the bytes that are there,
//! and the steps are counted, for tables may be reached by many ways.

use std::cell::Cell;
use std::ops::Range;

use crate::source::ReadAt;
use crate::wire::Window;

/// Most tables and vectors of one buffer that are visited.
const MAX_VISITS: u64 = 2_000_000;

/// A buffer.
pub(crate) struct Buffer<'a> {
    window: Window<'a>,
    visits: Cell<u64>,
}

/// A table of a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Table {
    /// Where it begins.
    pub(crate) at: u64,
    /// Where its vtable begins.
    pub(crate) vtable: u64,
    // Sizes in bytes of the vtable, and of the part of the table that is not elsewhere.
    vtable_len: u16,
    len: u16,
}

impl Table {
    /// Returns the bytes of the table itself.
    pub(crate) fn range(&self) -> Range<u64> {
        self.at..self.at.saturating_add(u64::from(self.len))
    }

    /// Returns the bytes of its vtable.
    pub(crate) fn vtable_range(&self) -> Range<u64> {
        self.vtable..self.vtable.saturating_add(u64::from(self.vtable_len))
    }

    /// Returns how many fields its vtable has room for.
    pub(crate) const fn slots(&self) -> u16 {
        self.vtable_len.saturating_sub(4) / 2
    }
}

/// A vector of a buffer; all its elements are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Vector {
    /// Where its length stands.
    pub(crate) at: u64,
    /// How many elements it has.
    pub(crate) len: u32,
    // Bytes of each element.
    size: u32,
}

impl Vector {
    /// Returns the bytes of its elements.
    pub(crate) fn range(&self) -> Range<u64> {
        let start = self.at.saturating_add(4);
        let bytes = u64::from(self.len).saturating_mul(u64::from(self.size));
        start..start.saturating_add(bytes)
    }

    /// Returns where each element lies.
    pub(crate) fn places(&self) -> impl Iterator<Item = u64> + use<> {
        let (start, size) = (self.at.saturating_add(4), u64::from(self.size));
        (0..u64::from(self.len)).map(move |index| start.saturating_add(index.saturating_mul(size)))
    }
}

/// Why bytes are no such buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{fault} at byte {at}")]
pub(crate) struct Broken {
    /// Where.
    pub(crate) at: u64,
    /// What is wrong.
    pub(crate) fault: Fault,
}

/// What is wrong with a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    /// A text does not end with a zero.
    #[error("a text does not end")]
    Open,
    /// Something lies outside of the bytes that are there.
    #[error("something lies outside of the file")]
    Outside,
    /// A vtable has an impossible size.
    #[error("a table has an impossible vtable")]
    Vtable,
    /// It has more parts than are looked at, or they are reached too often.
    #[error("more tables than are looked at")]
    Visits,
}

impl<'a> Buffer<'a> {
    /// Returns a reader of a buffer.
    pub(crate) fn new(from: &'a dyn ReadAt) -> Self {
        Self {
            window: Window::new(from),
            visits: Cell::new(0),
        }
    }

    /// Returns the bytes that it reads.
    pub(crate) const fn window(&self) -> &Window<'a> {
        &self.window
    }

    /// Returns how many bytes there are.
    pub(crate) const fn len(&self) -> u64 {
        self.window.len()
    }

    /// Returns the table that the buffer begins with.
    pub(crate) fn root(&self) -> Result<Table, Broken> {
        self.table(0)
    }

    /// Returns the table that the distance at a place points at.
    pub(crate) fn table(&self, place: u64) -> Result<Table, Broken> {
        let at = self.follow(place)?;
        let outside = Broken {
            at,
            fault: Fault::Outside,
        };
        // The distance to the vtable is signed, and counted backwards.
        let back = i64::from(self.i32(at).ok_or(outside)?);
        let vtable = at
            .checked_add_signed(back.saturating_neg())
            .ok_or(outside)?;
        let vtable_len = self.u16(vtable).ok_or(outside)?;
        let len = self.u16(vtable.saturating_add(2)).ok_or(outside)?;
        let table = Table {
            at,
            vtable,
            vtable_len,
            len,
        };
        if table.range().end > self.len() || table.vtable_range().end > self.len() {
            return Err(outside);
        }
        if vtable_len < 4 || vtable_len % 2 != 0 || len < 4 {
            let fault = Fault::Vtable;
            return Err(Broken { at: vtable, fault });
        }
        Ok(table)
    }

    /// Returns where a field of `size` bytes lies; `None` if the table has none there.
    pub(crate) fn field(&self, table: &Table, slot: u16, size: u16) -> Result<Option<u64>, Broken> {
        if slot >= table.slots() {
            return Ok(None);
        }
        let entry = u64::from(slot).saturating_mul(2).saturating_add(4);
        let entry = table.vtable.saturating_add(entry);
        let fault = Fault::Vtable;
        let offset = self.u16(entry).ok_or(Broken { at: entry, fault })?;
        if offset == 0 {
            return Ok(None);
        }
        if offset < 4 || offset.checked_add(size).is_none_or(|end| end > table.len) {
            return Err(Broken { at: entry, fault });
        }
        Ok(Some(table.at.saturating_add(u64::from(offset))))
    }

    /// Returns the table in a field; `None` if there is none.
    pub(crate) fn table_of(&self, table: &Table, slot: u16) -> Result<Option<Table>, Broken> {
        let place = self.field(table, slot, 4)?;
        place.map(|place| self.table(place)).transpose()
    }

    /// Returns the vector in a field, of elements of `size` bytes; `None` if there is none.
    pub(crate) fn vector_of(
        &self,
        table: &Table,
        slot: u16,
        size: u32,
    ) -> Result<Option<Vector>, Broken> {
        let place = self.field(table, slot, 4)?;
        place.map(|place| self.vector(place, size)).transpose()
    }

    /// Returns the text in a field; `None` if there is none, or if it is longer than `most`.
    pub(crate) fn text_of(
        &self,
        table: &Table,
        slot: u16,
        most: usize,
    ) -> Result<Option<String>, Broken> {
        let place = self.field(table, slot, 4)?;
        let vector = place.map(|place| self.vector(place, 1)).transpose()?;
        Ok(vector.and_then(|vector| self.text(&vector, most)))
    }

    /// Returns the vector that the distance at a place points at.
    pub(crate) fn vector(&self, place: u64, size: u32) -> Result<Vector, Broken> {
        let at = self.follow(place)?;
        let fault = Fault::Outside;
        let len = self.u32(at).ok_or(Broken { at, fault })?;
        let vector = Vector { at, len, size };
        if vector.range().end > self.len() {
            return Err(Broken { at, fault });
        }
        Ok(vector)
    }

    /// Returns a vector of bytes as text, what is none replaced; `None` if it is longer than `most`.
    pub(crate) fn text(&self, vector: &Vector, most: usize) -> Option<String> {
        let bytes = self.bytes(&vector.range(), most)?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Returns the bytes of a range; `None` if they are more than `most`.
    pub(crate) fn bytes(&self, range: &Range<u64>, most: usize) -> Option<Vec<u8>> {
        self.window.bytes(range, most)
    }

    /// Returns true if a range, of at most 64 KiB, holds nothing but zeros.
    pub(crate) fn is_zero(&self, range: &Range<u64>) -> bool {
        self.window.is_zero(range)
    }

    /// Returns the byte at a place.
    pub(crate) fn u8(&self, at: u64) -> Option<u8> {
        self.window.byte(at)
    }

    /// Returns the number at a place.
    pub(crate) fn u16(&self, at: u64) -> Option<u16> {
        self.window.array(at).map(u16::from_le_bytes)
    }

    /// Returns the number at a place.
    pub(crate) fn u32(&self, at: u64) -> Option<u32> {
        self.window.array(at).map(u32::from_le_bytes)
    }

    /// Returns the number at a place.
    pub(crate) fn i32(&self, at: u64) -> Option<i32> {
        self.window.array(at).map(i32::from_le_bytes)
    }

    /// Returns the number at a place.
    pub(crate) fn u64(&self, at: u64) -> Option<u64> {
        self.window.array(at).map(u64::from_le_bytes)
    }

    // Each distance that is followed counts.
    fn follow(&self, place: u64) -> Result<u64, Broken> {
        let visits = self.visits.get().saturating_add(1);
        self.visits.set(visits);
        let broken = |fault| Broken { at: place, fault };
        if visits > MAX_VISITS {
            return Err(broken(Fault::Visits));
        }
        let distance = self.u32(place).ok_or(broken(Fault::Outside))?;
        let to = place.saturating_add(u64::from(distance));
        (to < self.len())
            .then_some(to)
            .ok_or(broken(Fault::Outside))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // A root table with a number, a text and a vector of u16; the vtable stands before it.
    fn sample() -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(20_u32.to_le_bytes());
        bytes.extend(b"TEST");
        bytes.extend([10, 0, 16, 0, 4, 0, 8, 0, 12, 0, 0, 0]);
        bytes.extend(12_i32.to_le_bytes());
        bytes.extend(7_u32.to_le_bytes());
        bytes.extend(8_u32.to_le_bytes());
        bytes.extend(12_u32.to_le_bytes());
        bytes.extend([2, 0, 0, 0, b'h', b'i', 0, 0]);
        bytes.extend([2, 0, 0, 0, 1, 0, 2, 0]);
        bytes
    }

    #[test]
    fn tables_texts_and_vectors_are_found() {
        let bytes = sample();
        let buffer = Buffer::new(&bytes);
        let root = buffer.root().unwrap();
        assert_eq!((root.range(), root.vtable_range()), (20..36, 8..18));
        let number = buffer.field(&root, 0, 4).unwrap().unwrap();
        assert_eq!(buffer.u32(number), Some(7));
        assert_eq!(buffer.text_of(&root, 1, 9).unwrap().unwrap(), "hi");
        assert_eq!(buffer.text_of(&root, 1, 1).unwrap(), None);
        let vector = buffer.vector_of(&root, 2, 2).unwrap().unwrap();
        let numbers: Vec<_> = vector.places().map(|at| buffer.u16(at).unwrap()).collect();
        assert_eq!(numbers, [1, 2]);
        assert_eq!(buffer.field(&root, 3, 4).unwrap(), None);
        assert!(buffer.field(&root, 2, 5).is_err());
    }

    #[test]
    fn whatever_the_bytes_are_nothing_is_read_outside() {
        let good = sample();
        for at in 0..good.len() {
            for value in [0, 1, 0x7f, 0xff] {
                let mut bytes = good.clone();
                bytes[at] = value;
                let buffer = Buffer::new(&bytes);
                let Ok(root) = buffer.root() else { continue };
                assert!(root.range().end <= buffer.len());
                let _ = buffer.text_of(&root, 1, 100);
                if let Ok(Some(vector)) = buffer.vector_of(&root, 2, 8) {
                    assert!(vector.range().end <= buffer.len());
                }
            }
        }
    }
}
