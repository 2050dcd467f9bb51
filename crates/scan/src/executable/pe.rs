//! PE: programs and libraries of Windows (PE Format, Microsoft).

use crate::route::Head;
use crate::source::{Cursor, CursorError};
use crate::work::{Input, Look};

use super::{at, behind};

/// Returns true if both headers are there.
pub(super) fn recognises(head: &Head, input: &Input<'_>) -> bool {
    has_header(head.bytes(), input)
}

/// Returns true if the old header leads to the new one.
pub(super) fn has_header(head: &[u8], input: &Input<'_>) -> bool {
    if !head.starts_with(b"MZ") {
        return false;
    }
    let place = at(head, 60..64).first_chunk().copied();
    place.is_some_and(|place| {
        let mut cursor = Cursor::at(input.bytes, u32::from_le_bytes(place).into());
        cursor.array().is_ok_and(|mark| mark == *b"PE\0\0")
    })
}

/// Looks at the headers.
pub(super) fn examine(look: &mut Look<'_, '_, '_>) {
    match end(look.input.cursor()) {
        Ok((headers, end, is_library)) => {
            let what = if is_library {
                "a library for Windows (PE)"
            } else {
                "a program for Windows (PE)"
            };
            super::found(look, what, is_library);
            super::ends(look, headers, end);
        }
        Err(error) => {
            super::found(look, "a program for Windows (PE)", false);
            super::broken(look, &error);
        }
    }
}

// Where the headers end, where all that they name does, and whether it is a library.
fn end(mut cursor: Cursor<'_>) -> Result<(u64, u64, bool), CursorError> {
    cursor.seek(60);
    let start = u64::from(cursor.u32()?);
    cursor.seek(start.saturating_add(6));
    let sections = cursor.u16()?;
    cursor.skip(4)?;
    let (symbols, symbol_count) = (cursor.u32()?, cursor.u32()?);
    let (optional, flags) = (cursor.u16()?, cursor.u16()?);
    let begin = cursor.position();
    let table = begin.saturating_add(optional.into());
    let is_wide = cursor.u16()? == 0x20b;
    let mut end = table.saturating_add(u64::from(sections).saturating_mul(40));
    let headers = end;
    // Signatures: the one directory whose place is one in the file.
    let directories = begin.saturating_add(if is_wide { 112 } else { 96 });
    cursor.seek(directories.saturating_add(32));
    if cursor.position().saturating_add(8) <= table {
        end = end.max(behind(cursor.u32()?, cursor.u32()?));
    }
    for number in 0..u64::from(sections) {
        let section = table.saturating_add(number.saturating_mul(40));
        cursor.seek(section.saturating_add(16));
        let (size, from) = (cursor.u32()?, cursor.u32()?);
        end = end.max(behind(from, size));
    }
    // Symbols, and the texts behind them.
    if symbols > 0 {
        let texts = u64::from(symbols).saturating_add(u64::from(symbol_count).saturating_mul(18));
        cursor.seek(texts);
        let size = cursor.u32()?;
        end = end.max(behind(texts, size));
    }
    Ok((headers, end, flags & 0x2000 != 0))
}
