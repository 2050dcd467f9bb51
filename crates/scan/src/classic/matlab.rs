//! MATLAB: variables of a workspace, level 5 (`.mat` since 1996) and level 4.
//!
//! `MathWorks`, "MAT-File Format". A file of level 5 is a header and elements: variables, or zlib
//! streams of one each. Numbers and texts are data. Function handles are code that runs when they
//! are called; objects make MATLAB run methods of their classes as soon as the file is loaded, and
//! objects of Java are deserialized. Files of version 7.3 are HDF5, and looked at as such.

mod array;
mod old;

pub(super) use old::{examine as examine_old, recognises as is_old};

use std::ops::Range;

use crate::route::Head;
use crate::rules;
use crate::source::{Cursor, CursorError};
use crate::text;
use crate::work::{Input, Limited, Look};

/// Size of the header of a file.
const HEADER: u64 = 128;
/// Kinds of elements.
const MATRIX: u32 = 14;
const COMPRESSED: u32 = 15;

/// Why there is no more to look at.
enum Stop {
    Limited,
    Broken(u64, &'static str),
}

impl From<CursorError> for Stop {
    fn from(error: CursorError) -> Self {
        match error {
            CursorError::End { at } => Self::Broken(at, "it ends inside of an element"),
            CursorError::Io(_) => Self::Broken(0, "it cannot be read"),
        }
    }
}

impl From<Limited> for Stop {
    fn from(_: Limited) -> Self {
        Self::Limited
    }
}

/// The first bytes of an element, and where it is.
struct Element {
    kind: u32,
    start: u64,
    data: Range<u64>,
    // Behind what fills it up to eight bytes.
    next: u64,
}

/// Elements of a file, the order of whose bytes is known.
#[derive(Clone, Copy)]
struct Elements<'a> {
    input: &'a Input<'a>,
    big: bool,
}

impl<'a> Elements<'a> {
    fn u32(self, cursor: &mut Cursor<'a>) -> Result<u32, CursorError> {
        let four = cursor.array()?;
        Ok(if self.big {
            u32::from_be_bytes(four)
        } else {
            u32::from_le_bytes(four)
        })
    }

    fn numbers(self, range: &Range<u64>, most: u64) -> Result<Vec<u32>, CursorError> {
        let mut cursor = Cursor::at(self.input.bytes, range.start);
        let count = range.end.saturating_sub(range.start) / 4;
        (0..count.min(most))
            .map(|_| self.u32(&mut cursor))
            .collect()
    }

    // The element at a place, which ends where what it lies in does, or before.
    fn at(self, start: u64, end: u64) -> Result<Element, Stop> {
        let mut cursor = Cursor::at(self.input.bytes, start);
        let first = self.u32(&mut cursor)?;
        let (kind, len, data) = match first >> 16 {
            0 => (first, self.u32(&mut cursor)?, start.saturating_add(8)),
            // A short one has its bytes in the place of its length.
            len if len <= 4 => (first & 0xffff, len, start.saturating_add(4)),
            _ => {
                return Err(Stop::Broken(
                    start,
                    "a short element is longer than four bytes",
                ));
            }
        };
        let last = data.saturating_add(len.into());
        if last > end {
            return Err(Stop::Broken(
                start,
                "an element ends behind what it lies in",
            ));
        }
        let next = if kind == COMPRESSED {
            last
        } else {
            last.checked_next_multiple_of(8).unwrap_or(last).min(end)
        };
        Ok(Element {
            kind,
            start,
            data: data..last,
            next,
        })
    }
}

/// Returns true for a header of level 5: its version, and the mark of the order of bytes. Before a
/// file of HDF5 it stands alone.
pub(super) fn recognises(head: &Head, input: &Input<'_>) -> bool {
    let mark = head.bytes().get(124..128);
    mark.is_some_and(is_marked) || is_alone(mark, input)
}

fn is_alone(mark: Option<&[u8]>, input: &Input<'_>) -> bool {
    matches!(mark, Some([0, 2, b'I', b'M'] | [2, 0, b'M', b'I'])) && input.bytes.len() == 512
}

// A version, and `MI` in the order of bytes of the machine that wrote it.
fn is_marked(four: &[u8]) -> bool {
    matches!(four, [0, 1, b'I', b'M'] | [1, 0, b'M', b'I'])
}

/// Looks at the header and all elements.
pub(super) fn examine(look: &mut Look<'_, '_, '_>) {
    let input = look.input;
    let mut cursor = input.cursor();
    let Ok(header) = cursor.take(128) else {
        return;
    };
    let shown = header.get(..116).unwrap_or_default();
    let place = look.here();
    text::inspect(look, &place, String::from_utf8_lossy(shown).trim_end());
    look.covered.parsed(0..HEADER);
    if is_alone(header.get(124..128), input) {
        // A limit is noted where it fired.
        let _ = look.trailing(HEADER..input.bytes.len());
        return;
    }
    let elements = Elements {
        input,
        big: header.get(126) == Some(&b'M'),
    };
    let outcome = variables(look, elements, HEADER..input.bytes.len());
    finish(look, &outcome);
}

fn finish(look: &mut Look<'_, '_, '_>, outcome: &Result<(), Stop>) {
    if let Err(Stop::Broken(at, why)) = outcome {
        look.broken(&rules::classic::MATLAB_BROKEN, *at, *why);
    }
}

fn variables(
    look: &mut Look<'_, '_, '_>,
    elements: Elements<'_>,
    range: Range<u64>,
) -> Result<(), Stop> {
    let mut at = range.start;
    while at < range.end {
        look.work.tick(&look.input.path)?;
        let element = elements.at(at, range.end)?;
        match element.kind {
            COMPRESSED => {
                look.covered.parsed(element.start..element.data.start);
                look.part(&format!("variable@{at}"), element.data.clone())?;
            }
            MATRIX => array::examine(look, elements, &element)?,
            _ => return Err(Stop::Broken(at, "what follows is no variable")),
        }
        at = element.next;
    }
    Ok(())
}

/// Returns true for a variable that was unpacked: one element of the size of all, with flags.
pub(super) fn is_variable(head: &Head, input: &Input<'_>) -> bool {
    variable(head.bytes(), input.bytes.len()).is_some()
}

fn variable(head: &[u8], size: u64) -> Option<bool> {
    let four = |at: usize| -> Option<[u8; 4]> { head.get(at..)?.first_chunk().copied() };
    let [kind, len, flags, eight] = [four(0)?, four(4)?, four(8)?, four(12)?];
    let fits = |read: fn([u8; 4]) -> u32| {
        let end = u64::from(read(len)).saturating_add(8);
        let is_whole = end <= size && end.saturating_add(8) > size;
        read(kind) == MATRIX && read(flags) == 6 && read(eight) == 8 && is_whole
    };
    if fits(u32::from_le_bytes) {
        return Some(false);
    }
    fits(u32::from_be_bytes).then_some(true)
}

/// Looks at a variable that was unpacked.
pub(super) fn examine_variable(look: &mut Look<'_, '_, '_>) {
    let input = look.input;
    let size = input.bytes.len();
    let head = input.cursor().peek(16).to_vec();
    let Some(big) = variable(&head, size) else {
        return;
    };
    let elements = Elements { input, big };
    let outcome = variables(look, elements, 0..size);
    finish(look, &outcome);
}
