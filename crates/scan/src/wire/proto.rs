//! Protocol Buffers: fields one after another, each with a number and a type on the wire.
//!
//! Format: <https://protobuf.dev/programming-guides/encoding/>. The walk is not recursive: a field
//! that holds bytes is given as a range, and whoever knows that it is a message walks that.
//! Malformed bytes are told apart from the end.

use std::ops::Range;

use crate::source::ReadAt;
use crate::wire::Window;

/// Deepest nesting of groups that is followed.
const MAX_GROUPS: usize = 64;

/// A file, or part of one, in which messages lie.
pub(crate) struct Wire<'a> {
    window: Window<'a>,
}

/// A field of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Field {
    /// Its number.
    pub(crate) number: u32,
    /// What it holds.
    pub(crate) value: Value,
    /// Where it lies, its tag and length included.
    pub(crate) range: Range<u64>,
}

/// What a field holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    /// A number of variable length: integers, truth values, enumerations.
    Varint(u64),
    /// Eight bytes.
    Fixed64(u64),
    /// Four bytes.
    Fixed32(u32),
    /// Bytes, text, a message, or numbers in a row; all of them lie in the message.
    Bytes(Range<u64>),
    /// What lies between the marks of a group, which nobody writes any more.
    Group(Range<u64>),
}

impl Field {
    /// Returns the range of bytes, text or message.
    pub(crate) const fn bytes(&self) -> Option<&Range<u64>> {
        match &self.value {
            Value::Bytes(range) => Some(range),
            _ => None,
        }
    }

    /// Returns the number of variable length.
    pub(crate) const fn varint(&self) -> Option<u64> {
        match self.value {
            Value::Varint(number) => Some(number),
            _ => None,
        }
    }
}

/// Why bytes are no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{fault} at byte {at}")]
pub(crate) struct Malformed {
    /// Where the field begins.
    pub(crate) at: u64,
    /// What is wrong.
    pub(crate) fault: Fault,
}

/// What is wrong with a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    /// The message ends inside of it.
    #[error("a field ends behind its message")]
    Cut,
    /// A number has more than ten bytes or 64 bits.
    #[error("a number is too long")]
    Varint,
    /// Number zero, a number that is too large, or a type that does not exist.
    #[error("a field has an impossible tag")]
    Tag,
    /// A group ends that has not begun, or does not end.
    #[error("a group is not closed")]
    Group,
}

impl<'a> Wire<'a> {
    /// Returns a reader of messages in `from`.
    pub(crate) fn new(from: &'a dyn ReadAt) -> Self {
        Self {
            window: Window::new(from),
        }
    }

    /// Returns the bytes that it reads.
    pub(crate) const fn window(&self) -> &Window<'a> {
        &self.window
    }

    /// Returns the range of everything.
    pub(crate) const fn whole(&self) -> Range<u64> {
        0..self.window.len()
    }

    /// Returns the fields of the message in a range, one after another; after an error, no more.
    pub(crate) fn fields(&self, range: Range<u64>) -> Fields<'_, 'a> {
        Fields {
            wire: self,
            at: range.start,
            end: range.end.min(self.window.len()),
        }
    }

    /// Returns the last field of a number, as readers do; what is malformed ends the look for it.
    pub(crate) fn last(&self, message: &Range<u64>, number: u32) -> Option<Field> {
        self.all(message, number).last()
    }

    /// Returns all fields of a number.
    pub(crate) fn all(
        &self,
        message: &Range<u64>,
        number: u32,
    ) -> impl Iterator<Item = Field> + use<'_, 'a> {
        self.fields(message.clone())
            .map_while(Result::ok)
            .filter(move |field| field.number == number)
    }

    /// Returns the text of a field of a message, its bytes that are no text replaced; `None` if it
    /// is not there or longer than `most`.
    pub(crate) fn text_of(&self, message: &Range<u64>, number: u32, most: usize) -> Option<String> {
        self.text(self.last(message, number)?.bytes()?, most)
    }

    /// Returns the text in a range, its bytes that are no text replaced; `None` if it is longer
    /// than `most`.
    pub(crate) fn text(&self, range: &Range<u64>, most: usize) -> Option<String> {
        let bytes = self.bytes(range, most)?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Returns the bytes of a range; `None` if they are more than `most`.
    pub(crate) fn bytes(&self, range: &Range<u64>, most: usize) -> Option<Vec<u8>> {
        self.window.bytes(range, most)
    }

    /// Returns the numbers of repeated fields: each in a field of its own, or many in one.
    pub(crate) fn numbers(&self, message: &Range<u64>, number: u32, most: usize) -> Vec<u64> {
        let mut numbers = Vec::new();
        for field in self.all(message, number) {
            match field.value {
                Value::Varint(one) => numbers.push(one),
                Value::Bytes(range) => {
                    let mut at = range.start;
                    while at < range.end && numbers.len() < most {
                        let Ok((one, next)) = self.varint(at, range.end) else {
                            break;
                        };
                        numbers.push(one);
                        at = next;
                    }
                }
                Value::Fixed64(_) | Value::Fixed32(_) | Value::Group(_) => {}
            }
            if numbers.len() >= most {
                break;
            }
        }
        numbers
    }

    // Returns a number and where the next byte is.
    fn varint(&self, at: u64, end: u64) -> Result<(u64, u64), Fault> {
        let mut number = 0_u64;
        let mut next = at;
        for shift in (0..64).step_by(7) {
            if next >= end {
                return Err(Fault::Cut);
            }
            let byte = self.window.byte(next).ok_or(Fault::Cut)?;
            next = next.saturating_add(1);
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(Fault::Varint);
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok((number, next));
            }
        }
        Err(Fault::Varint)
    }
}

/// The fields of a message.
pub(crate) struct Fields<'w, 'a> {
    wire: &'w Wire<'a>,
    at: u64,
    end: u64,
}

impl Iterator for Fields<'_, '_> {
    type Item = Result<Field, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.end {
            return None;
        }
        let start = self.at;
        let read = self.field();
        match read {
            Ok((field, next)) => {
                self.at = next;
                Some(Ok(field))
            }
            Err(fault) => {
                self.at = self.end;
                Some(Err(Malformed { at: start, fault }))
            }
        }
    }
}

impl Fields<'_, '_> {
    /// Returns where the message ends.
    pub(crate) const fn end(&self) -> u64 {
        self.end
    }

    fn field(&self) -> Result<(Field, u64), Fault> {
        let start = self.at;
        let (number, kind, at) = self.tag(start)?;
        let (value, next) = match kind {
            START => {
                let (end, next) = self.group(number, at)?;
                (Value::Group(at..end), next)
            }
            END => return Err(Fault::Group),
            _ => self.value(kind, at)?,
        };
        let field = Field {
            number,
            value,
            range: start..next,
        };
        Ok((field, next))
    }

    fn tag(&self, at: u64) -> Result<(u32, u64, u64), Fault> {
        let (tag, next) = self.wire.varint(at, self.end)?;
        let number = u32::try_from(tag >> 3).map_err(|_| Fault::Tag)?;
        if number == 0 || number >= 1 << 29 {
            return Err(Fault::Tag);
        }
        Ok((number, tag & 7, next))
    }

    fn value(&self, kind: u64, at: u64) -> Result<(Value, u64), Fault> {
        let until = |len: u64| {
            at.checked_add(len)
                .filter(|end| *end <= self.end)
                .ok_or(Fault::Cut)
        };
        match kind {
            0 => {
                let (number, next) = self.wire.varint(at, self.end)?;
                Ok((Value::Varint(number), next))
            }
            1 => {
                let next = until(8)?;
                let bytes = self.wire.window.array(at).ok_or(Fault::Cut)?;
                Ok((Value::Fixed64(u64::from_le_bytes(bytes)), next))
            }
            2 => {
                let (len, from) = self.wire.varint(at, self.end)?;
                let end = from.checked_add(len).filter(|end| *end <= self.end);
                let end = end.ok_or(Fault::Cut)?;
                Ok((Value::Bytes(from..end), end))
            }
            5 => {
                let next = until(4)?;
                let bytes = self.wire.window.array(at).ok_or(Fault::Cut)?;
                Ok((Value::Fixed32(u32::from_le_bytes(bytes)), next))
            }
            _ => Err(Fault::Tag),
        }
    }

    // Returns where the end mark of a group is, and what follows it.
    fn group(&self, number: u32, mut at: u64) -> Result<(u64, u64), Fault> {
        let mut open = vec![number];
        loop {
            let before = at;
            let (number, kind, next) = self.tag(at)?;
            at = match kind {
                START if open.len() < MAX_GROUPS => {
                    open.push(number);
                    next
                }
                END if open.pop() == Some(number) => {
                    if open.is_empty() {
                        return Ok((before, next));
                    }
                    next
                }
                START | END => return Err(Fault::Group),
                _ => self.value(kind, next)?.1,
            };
        }
    }
}

// Types on the wire that mark a group.
const START: u64 = 3;
const END: u64 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Vec<Result<(u32, Value), Fault>> {
        let bytes = bytes.to_vec();
        let wire = Wire::new(&bytes);
        wire.fields(wire.whole())
            .map(|field| match field {
                Ok(field) => Ok((field.number, field.value)),
                Err(malformed) => Err(malformed.fault),
            })
            .collect()
    }

    #[test]
    fn all_types_are_read() {
        let bytes =
            b"\x08\x96\x01\x11\x01\0\0\0\0\0\0\0\x1a\x02hi\x25\x02\0\0\0\x2b\x08\x01\x2c\x38\0";
        assert_eq!(
            read(bytes),
            [
                Ok((1, Value::Varint(150))),
                Ok((2, Value::Fixed64(1))),
                Ok((3, Value::Bytes(14..16))),
                Ok((4, Value::Fixed32(2))),
                Ok((5, Value::Group(22..24))),
                Ok((7, Value::Varint(0))),
            ]
        );
    }

    #[test]
    fn malformed_is_not_the_end() {
        let cases: [(&[u8], Fault); 9] = [
            (b"\x08", Fault::Cut),
            (b"\x1a\x05hi", Fault::Cut),
            (b"\x11\0\0", Fault::Cut),
            (b"\x1a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", Fault::Cut),
            (
                b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
                Fault::Varint,
            ),
            (b"\x00\x01", Fault::Tag),
            (b"\x0e\x01", Fault::Tag),
            (b"\x0c", Fault::Group),
            (b"\x0b\x14", Fault::Group),
        ];
        for (bytes, fault) in cases {
            assert_eq!(read(bytes), [Err(fault)], "{bytes:?}");
        }
        assert_eq!(read(b""), []);
        let deep = [0x0b; 1000];
        assert_eq!(read(&deep), [Err(Fault::Group)]);
    }

    #[test]
    fn numbers_come_one_by_one_or_in_a_row() {
        let bytes = b"\x08\x01\x0a\x03\x02\x80\x01\x08\x03".to_vec();
        let wire = Wire::new(&bytes);
        assert_eq!(wire.numbers(&wire.whole(), 1, 9), [1, 2, 128, 3]);
        assert_eq!(wire.numbers(&wire.whole(), 1, 2), [1, 2]);
        assert_eq!(wire.text_of(&wire.whole(), 1, 9), None);
    }
}
