//! What Python's `marshal` writes: values, and compiled functions.
//!
//! `CPython`, `Python/marshal.c`. Reading it runs nothing; a compiled function in it runs when it is
//! called. The walk keeps a stack of its own. The layout of a function changed with the versions
//! (2; 3.0 to 3.7; 3.8 to 3.10; since 3.11), so that each is tried.

use custos_core::finding::Location;

use crate::route::Head;
use crate::rules;
use crate::source::{Cursor, CursorError, Part, ReadAt};
use crate::text;
use crate::work::{Input, Look};

/// Deepest nesting; Python stops at 2,000.
const MAX_DEPTH: usize = 8_000;
/// Longest text that is looked at as one.
const MAX_TEXT: u64 = 16 << 20;
/// How much text is looked at together.
const PIECE: usize = 64 << 10;
/// Most names that are shown.
const MAX_NAMES: usize = 24;
/// So many objects are read to tell what it is.
const TRIED: u64 = 200;

/// How a compiled function is laid out: numbers before its code, and objects behind the number of
/// its first line.
#[derive(Clone, Copy)]
struct Layout {
    numbers: u64,
    after: u64,
}

const LAYOUTS: [Layout; 4] = [
    Layout {
        numbers: 5,
        after: 2,
    },
    Layout {
        numbers: 6,
        after: 1,
    },
    Layout {
        numbers: 5,
        after: 1,
    },
    Layout {
        numbers: 4,
        after: 1,
    },
];

/// What is open.
enum Open {
    Objects(u64),
    // The names that a function uses.
    Names(u64),
    Pairs,
    // How many objects of a function were read so far.
    Function(u64),
    // The number of its first line, and what comes behind that.
    Tail(u64),
}

/// A part that is of interest.
enum Seen {
    Text(u64, Vec<u8>),
    Name(String),
    Bytes(u64, u64),
    Function,
    // A number, or what holds others.
    Other,
}

struct Walk<'a> {
    cursor: Cursor<'a>,
    layout: Layout,
    stack: Vec<Open>,
}

impl<'a> Walk<'a> {
    fn new(bytes: &'a dyn ReadAt, start: u64, layout: Layout) -> Self {
        Self {
            cursor: Cursor::at(bytes, start),
            layout,
            stack: vec![Open::Objects(1)],
        }
    }

    // Reads the next object; `None` at the end of all.
    fn step(&mut self) -> Result<Option<Seen>, CursorError> {
        let end = CursorError::End {
            at: self.cursor.position(),
        };
        let named = loop {
            let Some(open) = self.stack.last_mut() else {
                return Ok(None);
            };
            match open {
                Open::Objects(0) | Open::Names(0) => {
                    self.stack.pop();
                }
                Open::Objects(left) => {
                    *left = left.saturating_sub(1);
                    break None;
                }
                Open::Names(left) => {
                    *left = left.saturating_sub(1);
                    break Some(false);
                }
                Open::Pairs => break None,
                Open::Function(8) => *open = Open::Tail(self.layout.after),
                Open::Function(read) => {
                    let is_names = *read == 2;
                    *read = read.saturating_add(1);
                    break is_names.then_some(true);
                }
                Open::Tail(after) => {
                    *open = Open::Objects(*after);
                    self.cursor.skip(4)?;
                }
            }
        };
        if self.stack.len() > MAX_DEPTH {
            return Err(end);
        }
        self.object(named).map(Some)
    }

    // `named` is true for the list of names, and false for a name in it.
    fn object(&mut self, named: Option<bool>) -> Result<Seen, CursorError> {
        let at = self.cursor.position();
        let end = CursorError::End { at };
        let kind = self.cursor.u8()? & 0x7f;
        let many = |count: u64| match named {
            Some(true) => Open::Names(count),
            _ => Open::Objects(count),
        };
        match kind {
            b's' | b't' | b'u' | b'a' | b'A' => {
                let len = u64::from(self.cursor.u32()?);
                return self.text((at, len), kind, named == Some(false));
            }
            b'z' | b'Z' => {
                let len = u64::from(self.cursor.u8()?);
                return self.text((at, len), kind, named == Some(false));
            }
            b')' => {
                let count = self.cursor.u8()?.into();
                self.stack.push(many(count));
            }
            b'(' | b'[' | b'<' | b'>' => {
                let count = u64::from(self.cursor.u32()?);
                if count > self.cursor.left() {
                    return Err(end);
                }
                self.stack.push(many(count));
            }
            b'{' => self.stack.push(Open::Pairs),
            b':' => self.stack.push(Open::Objects(3)),
            b'0' => {
                if !matches!(self.stack.pop(), Some(Open::Pairs)) {
                    return Err(end);
                }
            }
            b'c' => {
                self.cursor.skip(self.layout.numbers.saturating_mul(4))?;
                self.stack.push(Open::Function(0));
                return Ok(Seen::Function);
            }
            other => self.number(other)?,
        }
        Ok(Seen::Other)
    }

    fn text(
        &mut self,
        (at, len): (u64, u64),
        kind: u8,
        is_name: bool,
    ) -> Result<Seen, CursorError> {
        let start = self.cursor.position();
        if kind == b's' && len > 64 || len > MAX_TEXT {
            self.cursor.skip(len)?;
            return Ok(Seen::Bytes(start, len));
        }
        let bytes = self
            .cursor
            .take(usize::try_from(len).unwrap_or(usize::MAX))?;
        if is_name {
            let name = String::from_utf8_lossy(&bytes).into_owned();
            return Ok(Seen::Name(name));
        }
        Ok(Seen::Text(at, bytes))
    }

    fn number(&mut self, kind: u8) -> Result<(), CursorError> {
        let at = self.cursor.position();
        let len = match kind {
            b'N' | b'F' | b'T' | b'S' | b'.' => 0,
            b'i' | b'r' | b'R' => 4,
            b'I' | b'g' => 8,
            b'y' => 16,
            b'f' => self.cursor.u8()?.into(),
            b'x' => {
                let len = self.cursor.u8()?.into();
                self.cursor.skip(len)?;
                self.cursor.u8()?.into()
            }
            b'l' => {
                let digits = i32::from_le_bytes(self.cursor.array()?).unsigned_abs();
                u64::from(digits).saturating_mul(2)
            }
            _ => return Err(CursorError::End { at }),
        };
        self.cursor.skip(len)
    }
}

// The layout by which it can be read, as far as it is tried, and whether a function is in there.
fn layout(bytes: &dyn ReadAt, start: u64, most: u64) -> Option<(Layout, u64)> {
    LAYOUTS.iter().copied().find_map(|layout| {
        let mut walk = Walk::new(bytes, start, layout);
        let mut steps = 0;
        while steps < most {
            match walk.step() {
                Ok(Some(_)) => steps = steps.saturating_add(1),
                Ok(None) => break,
                Err(_) => return None,
            }
        }
        let end = walk.cursor.position();
        let is_whole = steps == most || end == bytes.len();
        is_whole.then_some((layout, steps))
    })
}

/// Returns true if many objects can be read one after another, the first of which holds others.
pub(super) fn recognises(head: &Head, input: &Input<'_>) -> bool {
    const LEAST: u64 = 3;
    let holds = matches!(
        head.bytes().first().map(|kind| kind & 0x7f),
        Some(b'{' | b'(' | b'[' | b'<' | b'>' | b')' | b'c')
    );
    // A text has no bytes as lengths have them.
    let is_binary = head.bytes().iter().take(64).any(|byte| *byte < 9);
    holds && is_binary && layout(input.bytes, 0, TRIED).is_some_and(|(_, steps)| steps > LEAST)
}

/// Looks at all objects.
pub(super) fn examine(look: &mut Look<'_, '_, '_>) {
    look_from(look, 0);
}

/// Looks at the objects from a place on; returns false if they cannot be read as such.
pub(super) fn look_from(look: &mut Look<'_, '_, '_>, start: u64) -> bool {
    let input = look.input;
    let Some((layout, _)) = layout(input.bytes, start, u64::MAX) else {
        if start == 0 {
            look.broken(
                &rules::executable::BROKEN,
                None,
                "its objects cannot be read",
            );
        }
        return false;
    };
    let mut sight = Sight::default();
    let mut walk = Walk::new(input.bytes, start, layout);
    let mut steps = 0_u64;
    while let Ok(Some(seen)) = walk.step() {
        steps = steps.saturating_add(1);
        if steps.is_multiple_of(4096) && look.work.tick(&input.path).is_err() {
            return true;
        }
        if sight.take(look, seen).is_err() {
            return true;
        }
    }
    sight.look_at(look);
    look.covered.parsed(start..walk.cursor.position());
    if sight.functions > 0 && start == 0 {
        super::found(look, "compiled Python, without its source", false);
    }
    if !sight.names.is_empty() {
        let message = format!(
            "{} compiled functions use {}",
            sight.functions,
            sight.names.join(", ")
        );
        look.see(&rules::executable::COMPILED, start, message);
    }
    true
}

#[derive(Default)]
struct Sight {
    functions: u64,
    names: Vec<String>,
    text: String,
    at: u64,
}

impl Sight {
    fn take(
        &mut self,
        look: &mut Look<'_, '_, '_>,
        seen: Seen,
    ) -> Result<(), crate::work::Limited> {
        match seen {
            Seen::Other => {}
            Seen::Function => self.functions = self.functions.saturating_add(1),
            Seen::Name(name) => {
                if self.names.len() < MAX_NAMES && !self.names.contains(&name) {
                    self.names.push(name);
                }
            }
            Seen::Text(at, bytes) => {
                if self.text.is_empty() {
                    self.at = at;
                }
                // Code is no text.
                if let Ok(text) = str::from_utf8(&bytes) {
                    self.text.push_str(text);
                    self.text.push('\n');
                }
                if self.text.len() >= PIECE {
                    self.look_at(look);
                }
            }
            Seen::Bytes(at, len) => {
                let input = look.input;
                let part = Part::new(input.bytes, at..at.saturating_add(len));
                look.work
                    .opaque_member(input, &format!("bytes@{at}"), &part)?;
            }
        }
        Ok(())
    }

    fn look_at(&mut self, look: &mut Look<'_, '_, '_>) {
        if self.text.is_empty() {
            return;
        }
        let place = Location {
            offset: Some(self.at),
            ..look.here()
        };
        text::inspect(look, &place, &self.text);
        self.text.clear();
    }
}
