//! A walk through `MessagePack`, value by value, without recursion.

use std::ops::Range;

use crate::source::{Cursor, CursorError, ReadAt};

/// Deepest nesting.
const MAX_DEPTH: usize = 128;

/// What comes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Event {
    /// A key of a map: where its text is, or `None` if it is something else.
    Key(Option<Range<u64>>),
    /// A text.
    Text(Range<u64>),
    /// Bytes.
    Bytes(Range<u64>),
    /// A value of an extension type.
    Extension(i8, Range<u64>),
    /// A map or list begins.
    Open,
    /// A number, a truth value, nothing.
    Plain,
    /// The value that the file begins with is over.
    End,
}

/// Why there is nothing more.
#[derive(Debug)]
pub(super) enum Fault {
    /// The bytes end.
    Cursor(CursorError),
    /// A type that there is not.
    Type,
    /// Too deep.
    Depth,
}

impl From<CursorError> for Fault {
    fn from(error: CursorError) -> Self {
        Self::Cursor(error)
    }
}

// A container: how many values are still to come, and whether they are keys and values in turn.
struct Open {
    left: u64,
    map: bool,
}

/// A walk.
pub(super) struct Walk<'a> {
    cursor: Cursor<'a>,
    open: Vec<Open>,
    begun: bool,
}

impl<'a> Walk<'a> {
    /// Returns a walk through the value that begins here.
    pub(super) fn at(from: &'a dyn ReadAt, start: u64) -> Self {
        Self {
            cursor: Cursor::at(from, start),
            open: Vec::new(),
            begun: false,
        }
    }

    /// Returns the place of the next byte.
    pub(super) fn position(&self) -> u64 {
        self.cursor.position()
    }

    /// Returns how many containers are open.
    pub(super) const fn depth(&self) -> usize {
        self.open.len()
    }

    /// Returns what comes next.
    pub(super) fn next(&mut self) -> Result<Event, Fault> {
        while self.open.last().is_some_and(|open| open.left == 0) {
            self.open.pop();
        }
        if self.begun && self.open.is_empty() {
            return Ok(Event::End);
        }
        self.begun = true;
        let mut key = false;
        if let Some(open) = self.open.last_mut() {
            key = open.map && open.left.is_multiple_of(2);
            open.left = open.left.saturating_sub(1);
        }
        let event = self.value()?;
        Ok(match event {
            Event::Text(range) if key => Event::Key(Some(range)),
            Event::Plain | Event::Bytes(_) | Event::Extension(..) if key => Event::Key(None),
            event => event,
        })
    }

    fn value(&mut self) -> Result<Event, Fault> {
        let first = self.cursor.u8()?;
        Ok(match first {
            0x00..=0x7f | 0xe0..=0xff | 0xc0 | 0xc2 | 0xc3 => Event::Plain,
            0x80..=0x8f => self.open(u64::from(first & 0xf), true)?,
            0x90..=0x9f => self.open(u64::from(first & 0xf), false)?,
            0xa0..=0xbf => Event::Text(self.run(u64::from(first & 0x1f))?),
            0xc1 => return Err(Fault::Type),
            0xc4..=0xc6 => {
                let len = self.number(first & 3)?;
                Event::Bytes(self.run(len)?)
            }
            0xc7..=0xc9 => {
                let len = self.number(first.wrapping_sub(0xc7))?;
                self.extension(len)?
            }
            0xca | 0xce | 0xd2 => self.plain(4)?,
            0xcb | 0xcf | 0xd3 => self.plain(8)?,
            0xcc | 0xd0 => self.plain(1)?,
            0xcd | 0xd1 => self.plain(2)?,
            0xd4..=0xd8 => {
                let power = u32::from(first.wrapping_sub(0xd4));
                self.extension(1_u64.checked_shl(power).unwrap_or(0))?
            }
            0xd9..=0xdb => {
                let len = self.number(first.wrapping_sub(0xd9))?;
                Event::Text(self.run(len)?)
            }
            0xdc | 0xdd => {
                let count = self.number(first.wrapping_sub(0xdb))?;
                self.open(count, false)?
            }
            0xde | 0xdf => {
                let count = self.number(first.wrapping_sub(0xdd))?;
                self.open(count, true)?
            }
        })
    }

    // A length of 1, 2 or 4 bytes.
    fn number(&mut self, power: u8) -> Result<u64, Fault> {
        Ok(match power {
            0 => self.cursor.u8()?.into(),
            1 => u16::from_be_bytes(self.cursor.array()?).into(),
            _ => u32::from_be_bytes(self.cursor.array()?).into(),
        })
    }

    fn plain(&mut self, len: u64) -> Result<Event, Fault> {
        self.cursor.skip(len)?;
        Ok(Event::Plain)
    }

    fn run(&mut self, len: u64) -> Result<Range<u64>, Fault> {
        let from = self.cursor.position();
        self.cursor.skip(len)?;
        Ok(from..self.cursor.position())
    }

    fn extension(&mut self, len: u64) -> Result<Event, Fault> {
        let code = self.cursor.u8()?.cast_signed();
        Ok(Event::Extension(code, self.run(len)?))
    }

    fn open(&mut self, count: u64, map: bool) -> Result<Event, Fault> {
        if self.open.len() >= MAX_DEPTH {
            return Err(Fault::Depth);
        }
        let left = if map { count.saturating_mul(2) } else { count };
        // Each value has a byte at least.
        if left > self.cursor.left() {
            let at = self.cursor.position().saturating_add(self.cursor.left());
            return Err(Fault::Cursor(CursorError::End { at }));
        }
        self.open.push(Open { left, map });
        Ok(Event::Open)
    }
}

/// Returns the number that begins here, if it is one without a sign.
pub(super) fn unsigned(cursor: &mut Cursor<'_>) -> Option<u64> {
    Some(match cursor.u8().ok()? {
        small @ 0..=0x7f => small.into(),
        0xcc => cursor.u8().ok()?.into(),
        0xcd => u16::from_be_bytes(cursor.array().ok()?).into(),
        0xce => u32::from_be_bytes(cursor.array().ok()?).into(),
        0xcf => u64::from_be_bytes(cursor.array().ok()?),
        _ => return None,
    })
}
