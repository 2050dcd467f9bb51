//! Thrift, the compact protocol: structures in which each field says its number and its type.
//!
//! Format: apache/thrift, doc/specs/thrift-compact-protocol.md. Nothing is decoded into objects: a
//! value that is a structure or a list is the bytes of it, and whoever knows it reads those.

/// Deepest nesting that is followed.
const MAX_DEPTH: u32 = 32;

/// Why bytes are no structure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a field of the metadata is malformed")]
pub(crate) struct Malformed;

/// A value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    /// A truth value.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A number with a point.
    Double([u8; 8]),
    /// Bytes, or a text.
    Bytes(&'a [u8]),
    /// Values of one type.
    List(List<'a>),
    /// Another structure.
    Struct(Struct<'a>),
    /// Pairs, which no format here needs.
    Map,
}

/// A structure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Struct<'a>(&'a [u8]);

/// Values of one type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct List<'a> {
    kind: u8,
    /// How many there are.
    pub(crate) count: u32,
    bytes: &'a [u8],
}

impl<'a> Struct<'a> {
    /// Reads the structure that bytes begin with, and returns how many of them it has.
    pub(crate) fn read(bytes: &'a [u8]) -> Result<(Self, usize), Malformed> {
        let mut reader = Reader { bytes };
        reader.skip(STRUCT, 0)?;
        let len = bytes.len().saturating_sub(reader.bytes.len());
        Ok((Self(bytes.get(..len).unwrap_or_default()), len))
    }

    /// Returns the field of a number; the last one, as readers do.
    pub(crate) fn get(&self, number: i16) -> Option<Value<'a>> {
        self.fields()
            .filter(|(one, _)| *one == number)
            .last()
            .map(|(_, value)| value)
    }

    /// Returns the integer of a field.
    pub(crate) fn int(&self, number: i16) -> Option<i64> {
        match self.get(number)? {
            Value::Int(int) => Some(int),
            _ => None,
        }
    }

    /// Returns the integer of a field that counts bytes or places.
    pub(crate) fn place(&self, number: i16) -> Option<u64> {
        self.int(number).and_then(|int| u64::try_from(int).ok())
    }

    /// Returns the bytes of a field.
    pub(crate) fn bytes(&self, number: i16) -> Option<&'a [u8]> {
        match self.get(number)? {
            Value::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// Returns the text of a field, what is none replaced.
    pub(crate) fn text(&self, number: i16) -> Option<String> {
        let bytes = self.bytes(number)?;
        Some(String::from_utf8_lossy(bytes).into_owned())
    }

    /// Returns the structure of a field.
    pub(crate) fn inner(&self, number: i16) -> Option<Self> {
        match self.get(number)? {
            Value::Struct(inner) => Some(inner),
            _ => None,
        }
    }

    /// Returns the values of a field that is a list; none if it is not there.
    pub(crate) fn items(&self, number: i16) -> impl Iterator<Item = Value<'a>> + use<'a> {
        let list = match self.get(number) {
            Some(Value::List(list)) => Some(list),
            _ => None,
        };
        list.into_iter().flat_map(List::items)
    }

    /// Returns the structures of a field that is a list.
    pub(crate) fn structs(&self, number: i16) -> impl Iterator<Item = Self> + use<'a> {
        self.items(number).filter_map(|item| match item {
            Value::Struct(inner) => Some(inner),
            _ => None,
        })
    }

    fn fields(&self) -> impl Iterator<Item = (i16, Value<'a>)> + use<'a> {
        let mut reader = Reader { bytes: self.0 };
        let mut last = 0_i16;
        std::iter::from_fn(move || {
            let (number, kind) = reader.field(last).ok()??;
            last = number;
            Some((number, reader.value(kind).ok()?))
        })
    }
}

impl<'a> List<'a> {
    fn items(self) -> impl Iterator<Item = Value<'a>> + use<'a> {
        let mut reader = Reader { bytes: self.bytes };
        (0..self.count).map_while(move |_| reader.element(self.kind).ok())
    }
}

const STRUCT: u8 = 12;

struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    fn u8(&mut self) -> Result<u8, Malformed> {
        let (first, rest) = self.bytes.split_first().ok_or(Malformed)?;
        self.bytes = rest;
        Ok(*first)
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.bytes.split_at_checked(len).ok_or(Malformed)?;
        self.bytes = rest;
        Ok(taken)
    }

    fn varint(&mut self) -> Result<u64, Malformed> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Malformed)
    }

    fn zigzag(&mut self) -> Result<i64, Malformed> {
        let number = self.varint()?;
        Ok((number >> 1).cast_signed() ^ (number & 1).cast_signed().wrapping_neg())
    }

    // The number and the type of the next field, unless the structure ends.
    fn field(&mut self, last: i16) -> Result<Option<(i16, u8)>, Malformed> {
        let byte = self.u8()?;
        if byte == 0 {
            return Ok(None);
        }
        let number = match i16::from(byte >> 4) {
            0 => i16::try_from(self.zigzag()?).map_err(|_| Malformed)?,
            more => last.checked_add(more).ok_or(Malformed)?,
        };
        Ok(Some((number, byte & 15)))
    }

    fn list(&mut self) -> Result<(u8, u32), Malformed> {
        let byte = self.u8()?;
        let count = match byte >> 4 {
            15 => u32::try_from(self.varint()?).map_err(|_| Malformed)?,
            few => few.into(),
        };
        Ok((byte & 15, count))
    }

    // The value of a field; the type of a truth value is the value.
    fn value(&mut self, kind: u8) -> Result<Value<'a>, Malformed> {
        match kind {
            1 => Ok(Value::Bool(true)),
            2 => Ok(Value::Bool(false)),
            kind => self.element(kind),
        }
    }

    fn element(&mut self, kind: u8) -> Result<Value<'a>, Malformed> {
        match kind {
            1 | 2 => Ok(Value::Bool(self.u8()? == 1)),
            3 => Ok(Value::Int(i64::from(self.u8()?.cast_signed()))),
            4..=6 => Ok(Value::Int(self.zigzag()?)),
            7 => {
                let bytes = self.take(8)?;
                Ok(Value::Double(bytes.try_into().map_err(|_| Malformed)?))
            }
            8 => {
                let len = usize::try_from(self.varint()?).map_err(|_| Malformed)?;
                Ok(Value::Bytes(self.take(len)?))
            }
            9 | 10 => {
                let (kind, count) = self.list()?;
                let before = self.bytes;
                for _ in 0..count {
                    self.skip(kind, 1)?;
                }
                let len = before.len().saturating_sub(self.bytes.len());
                let bytes = before.get(..len).unwrap_or_default();
                Ok(Value::List(List { kind, count, bytes }))
            }
            11 => {
                self.skip(11, 1)?;
                Ok(Value::Map)
            }
            STRUCT => {
                let (inner, len) = Struct::read(self.bytes)?;
                self.take(len)?;
                Ok(Value::Struct(inner))
            }
            _ => Err(Malformed),
        }
    }

    // Goes behind an element. Each takes a byte at least, so that no count takes long.
    fn skip(&mut self, kind: u8, depth: u32) -> Result<(), Malformed> {
        if depth > MAX_DEPTH {
            return Err(Malformed);
        }
        let deeper = depth.saturating_add(1);
        match kind {
            9 | 10 => {
                let (kind, count) = self.list()?;
                for _ in 0..count {
                    self.skip(kind, deeper)?;
                }
            }
            11 => {
                let count = self.varint()?;
                if count > 0 {
                    let kinds = self.u8()?;
                    for _ in 0..count {
                        self.skip(kinds >> 4, deeper)?;
                        self.skip(kinds & 15, deeper)?;
                    }
                }
            }
            STRUCT => {
                let mut last = 0;
                while let Some((number, kind)) = self.field(last)? {
                    last = number;
                    if !matches!(kind, 1 | 2) {
                        self.skip(kind, deeper)?;
                    }
                }
            }
            _ => {
                self.element(kind)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_lists_and_structures_are_read() {
        // 1: 150, 2: "hi", 4: true, 5: [1, -1], 20: {1: 7}
        let bytes = b"\x15\xac\x02\x18\x02hi\x21\x19\x25\x02\x01\x0c\x28\x15\x0e\0\0rest";
        let (read, len) = Struct::read(bytes).unwrap();
        assert_eq!(len, bytes.len() - 4);
        assert_eq!(read.int(1), Some(150));
        assert_eq!(read.text(2).as_deref(), Some("hi"));
        assert_eq!(read.get(4), Some(Value::Bool(true)));
        let items: Vec<_> = read.items(5).collect();
        assert_eq!(items, [Value::Int(1), Value::Int(-1)]);
        assert_eq!(read.inner(20).unwrap().int(1), Some(7));
        assert_eq!(read.get(3), None);
    }

    #[test]
    fn what_is_cut_or_too_deep_is_malformed() {
        let bytes = b"\x15\xac\x02\x18\x02hi\x21\x19\x25\x02\x01\x0c\x28\x15\x0e\0\0";
        for end in 0..bytes.len() {
            assert_eq!(Struct::read(&bytes[..end]), Err(Malformed), "{end}");
        }
        assert_eq!(Struct::read(&[0x1c; 1000]), Err(Malformed));
        assert_eq!(
            Struct::read(b"\x19\xf3\xff\xff\xff\xff\x0f\0"),
            Err(Malformed)
        );
        assert_eq!(Struct::read(b"\x1f\0"), Err(Malformed));
    }
}
