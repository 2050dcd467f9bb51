//! Universal Binary JSON (<https://ubjson.org>, draft 12), as XGBoost writes it: a walk without
//! recursion.

use crate::source::{Cursor, CursorError, ReadAt};

/// Deepest nesting.
const MAX_DEPTH: usize = 128;
/// Longest key that is kept.
const MAX_KEY: u64 = 64 << 10;

/// What comes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Event {
    /// An object begins.
    Object,
    /// A list begins, of so many elements if it says so.
    Array(Option<u64>),
    /// A list of numbers of one type: how many, and where.
    Numbers(u64, std::ops::Range<u64>),
    /// What is open ends.
    Close,
    /// A key of the open object.
    Key(String),
    /// A text: where.
    Text(std::ops::Range<u64>),
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
    /// Something that there is not, or a length below zero.
    Type,
    /// Too deep.
    Depth,
}

impl From<CursorError> for Fault {
    fn from(error: CursorError) -> Self {
        Self::Cursor(error)
    }
}

#[derive(Clone, Copy)]
struct Open {
    object: bool,
    // How many are to come, if it says so.
    left: Option<u64>,
    // The type of all of them, if it says so.
    kind: Option<u8>,
    // A value is due: its key was read.
    keyed: bool,
}

/// A walk.
pub(super) struct Walk<'a> {
    cursor: Cursor<'a>,
    open: Vec<Open>,
    begun: bool,
}

impl<'a> Walk<'a> {
    pub(super) fn new(from: &'a dyn ReadAt) -> Self {
        Self {
            cursor: Cursor::at(from, 0),
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
        let Some(open) = self.open.last().copied() else {
            if self.begun {
                return Ok(Event::End);
            }
            self.begun = true;
            let kind = self.kind()?;
            return self.value(kind);
        };
        if !open.keyed {
            let over = if let Some(left) = open.left {
                left == 0
            } else {
                let end = if open.object { b'}' } else { b']' };
                let over = self.cursor.peek(1) == [end];
                self.cursor.skip(u64::from(over))?;
                over
            };
            if over {
                self.open.pop();
                return Ok(Event::Close);
            }
        }
        if open.object && !open.keyed {
            let len = self.length()?;
            let key = self.key(len)?;
            self.due(true);
            return Ok(Event::Key(key));
        }
        self.due(false);
        let kind = match open.kind {
            Some(kind) => kind,
            None => self.kind()?,
        };
        self.value(kind)
    }

    // A key was read, or the value that it is for.
    fn due(&mut self, keyed: bool) {
        if let Some(open) = self.open.last_mut() {
            open.keyed = keyed && open.object;
            if !keyed {
                open.left = open.left.map(|left| left.saturating_sub(1));
            }
        }
    }

    fn key(&mut self, len: u64) -> Result<String, Fault> {
        if len > self.cursor.left() || len > MAX_KEY {
            return Err(Fault::Type);
        }
        let bytes = self.cursor.take(usize::try_from(len).unwrap_or(0))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    // The next mark; some writers fill up with `N`.
    fn kind(&mut self) -> Result<u8, Fault> {
        loop {
            match self.cursor.u8()? {
                b'N' => {}
                kind => return Ok(kind),
            }
        }
    }

    fn value(&mut self, kind: u8) -> Result<Event, Fault> {
        match kind {
            b'{' => self.begin(true),
            b'[' => self.begin(false),
            b'S' | b'H' => {
                let len = self.length()?;
                let from = self.cursor.position();
                self.cursor.skip(len)?;
                Ok(Event::Text(from..self.cursor.position()))
            }
            kind => {
                let size = size(kind).ok_or(Fault::Type)?;
                self.cursor.skip(size)?;
                Ok(Event::Plain)
            }
        }
    }

    fn begin(&mut self, object: bool) -> Result<Event, Fault> {
        if self.open.len() >= MAX_DEPTH {
            return Err(Fault::Depth);
        }
        let (mut kind, mut left) = (None, None);
        if self.cursor.peek(1) == b"$" {
            self.cursor.skip(1)?;
            kind = Some(self.cursor.u8()?);
        }
        if self.cursor.peek(1) == b"#" {
            self.cursor.skip(1)?;
            left = Some(self.length()?);
        } else if kind.is_some() {
            return Err(Fault::Type);
        }
        if let (false, Some(count), Some(size)) = (object, left, kind.and_then(size)) {
            let from = self.cursor.position();
            let bytes = count.checked_mul(size).ok_or(Fault::Type)?;
            self.cursor.skip(bytes)?;
            if size == 0 && count > self.cursor.left().saturating_add(1 << 20) {
                return Err(Fault::Type);
            }
            return Ok(Event::Numbers(count, from..self.cursor.position()));
        }
        if left.is_some_and(|left| left > self.cursor.left()) {
            let at = self.cursor.position().saturating_add(self.cursor.left());
            return Err(Fault::Cursor(CursorError::End { at }));
        }
        self.open.push(Open {
            object,
            left,
            kind,
            keyed: false,
        });
        Ok(if object {
            Event::Object
        } else {
            Event::Array(left)
        })
    }

    fn length(&mut self) -> Result<u64, Fault> {
        let number = match self.kind()? {
            b'i' => i64::from(self.cursor.u8()?.cast_signed()),
            b'U' => i64::from(self.cursor.u8()?),
            b'I' => i64::from(i16::from_be_bytes(self.cursor.array()?)),
            b'l' => i64::from(i32::from_be_bytes(self.cursor.array()?)),
            b'L' => i64::from_be_bytes(self.cursor.array()?),
            _ => return Err(Fault::Type),
        };
        u64::try_from(number).map_err(|_| Fault::Type)
    }
}

fn size(kind: u8) -> Option<u64> {
    Some(match kind {
        b'Z' | b'T' | b'F' => 0,
        b'i' | b'U' | b'C' => 1,
        b'I' => 2,
        b'l' | b'd' => 4,
        b'L' | b'D' => 8,
        _ => return None,
    })
}
