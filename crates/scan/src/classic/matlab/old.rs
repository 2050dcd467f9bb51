//! Level 4: a header of twenty bytes for each variable, its name, and its numbers.

use std::ops::Range;

use crate::route::Head;
use crate::rules;
use crate::source::{Cursor, CursorError};
use crate::text;
use crate::work::{Input, Look};

/// Longest name.
const MAX_NAME: u64 = 64;
/// Longest text that is looked at; longer ones are many rows of a table of characters.
const MAX_TEXT: u64 = 16 << 20;

/// A variable: its name, where its values are, and whether they are characters.
struct Variable {
    name: String,
    values: Range<u64>,
    size: u64,
    text: bool,
}

/// Returns true for a header that says nothing impossible, and a variable that fits.
pub(in crate::classic) fn recognises(head: &Head, input: &Input<'_>) -> bool {
    let mut cursor = input.cursor();
    let plausible = matches!(head.bytes(), [_, _, 0, 0, ..] | [0, 0, _, _, ..]);
    plausible && matches!(variable(&mut cursor), Ok(Some(_)))
}

fn variable(cursor: &mut Cursor<'_>) -> Result<Option<Variable>, CursorError> {
    let mut kind: [u8; 4] = cursor.array()?;
    // The order of bytes is the thousands of the kind itself.
    let big = matches!(kind, [0, 0, ..]) && kind != [0; 4];
    let number = |cursor: &mut Cursor<'_>| -> Result<u32, CursorError> {
        let four = cursor.array()?;
        Ok(if big {
            u32::from_be_bytes(four)
        } else {
            u32::from_le_bytes(four)
        })
    };
    if big {
        kind.reverse();
    }
    let kind = u32::from_le_bytes(kind);
    let [rows, columns, imaginary, len] = [
        number(cursor)?,
        number(cursor)?,
        number(cursor)?,
        number(cursor)?,
    ];
    let (order, reserved) = (kind / 1000, kind / 100 % 10);
    let (precision, class) = (kind / 10 % 10, kind % 10);
    let size = match precision {
        0 => 8,
        1 | 2 => 4,
        3 | 4 => 2,
        5 => 1,
        _ => return Ok(None),
    };
    let known = reserved == 0 && class <= 2 && imaginary <= 1 && (order == 1) == big && order <= 1;
    if !known || !(2..=MAX_NAME).contains(&u64::from(len)) {
        return Ok(None);
    }
    let name = cursor.take(usize::try_from(len).unwrap_or(0))?;
    let Some((0, name)) = name.split_last() else {
        return Ok(None);
    };
    let is_name = name.first().is_some_and(u8::is_ascii_alphabetic)
        && name.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'_');
    let count = u64::from(rows)
        .saturating_mul(columns.into())
        .saturating_mul(u64::from(imaginary).saturating_add(1));
    let start = cursor.position();
    if !is_name || cursor.skip(count.saturating_mul(size)).is_err() {
        return Ok(None);
    }
    Ok(Some(Variable {
        name: String::from_utf8_lossy(name).into_owned(),
        values: start..cursor.position(),
        size,
        text: class == 1,
    }))
}

/// Looks at all variables.
pub(in crate::classic) fn examine(look: &mut Look<'_, '_, '_>) {
    let size = look.input.bytes.len();
    let mut cursor = look.input.cursor();
    while cursor.position() < size && look.work.tick(&look.input.path).is_ok() {
        let at = cursor.position();
        let Ok(Some(variable)) = variable(&mut cursor) else {
            look.broken(
                &rules::classic::MATLAB_BROKEN,
                at,
                "what follows is no variable",
            );
            return;
        };
        look.covered.parsed(at..variable.values.start);
        if variable.text {
            characters(look, &variable);
            look.covered.parsed(variable.values);
        } else {
            look.covered.opaque(variable.values);
        }
    }
}

// A character is a number of any size.
fn characters(look: &mut Look<'_, '_, '_>, variable: &Variable) {
    let len = variable.values.end.saturating_sub(variable.values.start);
    let Some(len) = Some(len).filter(|len| *len <= MAX_TEXT) else {
        return look.gap(format!(
            "the text `{}` is longer than is read",
            variable.name
        ));
    };
    let mut cursor = Cursor::at(look.input.bytes, variable.values.start);
    let Ok(bytes) = cursor.take(usize::try_from(len).unwrap_or(0)) else {
        return;
    };
    let size = usize::try_from(variable.size).unwrap_or(1);
    let text: String = bytes.chunks(size).map(character).collect();
    let place = look.here();
    text::inspect(look, &place, &text);
}

fn character(bytes: &[u8]) -> char {
    if let Ok(eight) = <[u8; 8]>::try_from(bytes) {
        // A whole number between two others of the same bits in both orders is no letter.
        let letters = (0x20..0x7f_u8).find(|letter| {
            let value = f64::from(*letter);
            value.to_le_bytes() == eight || value.to_be_bytes() == eight
        });
        return letters.map_or('\u{fffd}', char::from);
    }
    let letter = bytes.iter().copied().find(|byte| *byte != 0);
    letter.map_or(' ', char::from)
}
