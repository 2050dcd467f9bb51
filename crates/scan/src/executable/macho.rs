//! Mach-O: programs and libraries of macOS, alone or several for different machines in one file.

use crate::route::Head;
use crate::rules;
use crate::source::{Cursor, CursorError};
use crate::work::{Input, Limited, Look};

use super::{at, behind};

const SINGLE: [&[u8]; 4] = [
    b"\xfe\xed\xfa\xce",
    b"\xfe\xed\xfa\xcf",
    b"\xce\xfa\xed\xfe",
    b"\xcf\xfa\xed\xfe",
];
/// Most programs in one file; the number is where classes of Java have their version.
const MAX_PROGRAMS: u32 = 40;
/// Most commands for the loader.
const MAX_COMMANDS: u32 = 1 << 16;

/// Returns true if a header begins it.
pub(super) fn recognises(head: &Head, _: &Input<'_>) -> bool {
    super::begins(head, &SINGLE) || programs(head.bytes()).is_some()
}

// How many programs the file says that it holds.
fn programs(head: &[u8]) -> Option<u32> {
    let count = at(head, 4..8).first_chunk().copied()?;
    let count = u32::from_be_bytes(count);
    (head.starts_with(b"\xca\xfe\xba\xbe") && (1..=MAX_PROGRAMS).contains(&count)).then_some(count)
}

/// Looks at the headers.
pub(super) fn examine(look: &mut Look<'_, '_, '_>) {
    let head = look.input.cursor().peek(8).to_vec();
    if let Some(count) = programs(&head) {
        // The outcome of a limit is noted where it fired.
        let _ = many(look, count);
        return;
    }
    let mut reader = Reader {
        cursor: look.input.cursor(),
        is_big: head.starts_with(b"\xfe"),
        is_wide: matches!(head.as_slice(), [_, _, _, 0xcf, ..] | [0xcf, ..]),
    };
    match reader.end() {
        Ok((kind, headers, end)) => {
            let is_library = matches!(kind, 6 | 8);
            let what = if is_library {
                "a library for macOS (Mach-O)"
            } else {
                "a program for macOS (Mach-O)"
            };
            super::found(look, what, is_library);
            super::ends(look, headers, end);
        }
        Err(error) => {
            super::found(look, "a program for macOS (Mach-O)", false);
            super::broken(look, &error);
        }
    }
}

fn many(look: &mut Look<'_, '_, '_>, count: u32) -> Result<(), Limited> {
    let mut cursor = look.input.cursor();
    cursor.seek(8);
    let mut last = 0;
    for number in 0..count {
        let entry = (|| {
            cursor.skip(8)?;
            let from = u32::from_be_bytes(cursor.array()?);
            let len = u32::from_be_bytes(cursor.array()?);
            cursor.skip(4)?;
            Ok((from, len))
        })();
        let (from, len) = match entry {
            Ok(entry) => entry,
            Err(error) => {
                super::broken(look, &error);
                return Ok(());
            }
        };
        let end = behind(from, len);
        look.covered.parsed(0..cursor.position());
        if u64::from(from) < last.max(cursor.position()) || end > look.input.bytes.len() {
            let message = "its programs share bytes or lie outside of it";
            look.broken(&rules::executable::BROKEN, None, message);
            return Ok(());
        }
        look.part(&format!("program {number}"), from.into()..end)?;
        let padding = last.max(cursor.position())..from.into();
        look.trailing(padding)?;
        last = end;
    }
    look.trailing(last..look.input.bytes.len())
}

struct Reader<'a> {
    cursor: Cursor<'a>,
    is_big: bool,
    is_wide: bool,
}

impl Reader<'_> {
    // What it is, where its headers end, and where all that they name does.
    fn end(&mut self) -> Result<(u32, u64, u64), CursorError> {
        self.cursor.seek(12);
        let (kind, count) = (self.number()?, self.number()?.min(MAX_COMMANDS));
        let size = self.number()?;
        let mut at = if self.is_wide { 32 } else { 28 };
        let headers = u64::from(size).saturating_add(at);
        let mut end = headers;
        for _ in 0..count {
            self.cursor.seek(at);
            let (command, size) = (self.number()?, self.number()?);
            at = at.saturating_add(u64::from(size).max(8));
            let (from, len) = match command {
                // A segment: behind its name, where it is in memory, and where in the file.
                0x01 | 0x19 => {
                    self.cursor.skip(16)?;
                    self.word()?;
                    self.word()?;
                    (self.word()?, self.word()?)
                }
                // Symbols, and their names.
                0x02 => {
                    self.cursor.skip(8)?;
                    (self.number()?.into(), self.number()?.into())
                }
                _ => continue,
            };
            end = end.max(behind(from, len));
        }
        Ok((kind, headers, end))
    }

    fn number(&mut self) -> Result<u32, CursorError> {
        let bytes = self.cursor.array()?;
        Ok(if self.is_big {
            u32::from_be_bytes(bytes)
        } else {
            u32::from_le_bytes(bytes)
        })
    }

    fn word(&mut self) -> Result<u64, CursorError> {
        if !self.is_wide {
            return self.number().map(u64::from);
        }
        let bytes = self.cursor.array()?;
        Ok(if self.is_big {
            u64::from_be_bytes(bytes)
        } else {
            u64::from_le_bytes(bytes)
        })
    }
}
