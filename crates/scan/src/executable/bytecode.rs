//! Programs for virtual machines: WebAssembly, Java, Python.

use crate::route::Head;
use crate::source::{Cursor, CursorError};
use crate::work::{Input, Look};

use super::at;

/// Returns true if a module of version 1, or a component, begins (WebAssembly Core, 5.5.16).
pub(super) fn is_wasm(head: &Head, _: &Input<'_>) -> bool {
    super::begins(head, &[b"\0asm\x01\0\0\0", b"\0asm\x0d\0\x01\0"])
}

/// Looks at the sections of a WebAssembly module.
pub(super) fn wasm(look: &mut Look<'_, '_, '_>) {
    super::found(look, "a WebAssembly module", false);
    let mut cursor = look.input.cursor();
    cursor.seek(8);
    let size = look.input.bytes.len();
    let mut end = cursor.position();
    while end < size {
        // A section: what it is, how long, and its bytes.
        match wasm_section(&mut cursor) {
            Ok(Some(next)) => end = next,
            Ok(None) => break,
            Err(error) => return super::broken(look, &error),
        }
    }
    super::ends(look, 8, end);
}

fn wasm_section(cursor: &mut Cursor<'_>) -> Result<Option<u64>, CursorError> {
    if cursor.u8()? > 13 {
        return Ok(None);
    }
    let mut len = 0_u64;
    for shift in [0_u32, 7, 14, 21, 28] {
        let byte = cursor.u8()?;
        len |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    cursor.skip(len)?;
    Ok(Some(cursor.position()))
}

/// Returns true if a class begins, with a version that there is (JVMS 4.1).
pub(super) fn is_class(head: &Head, _: &Input<'_>) -> bool {
    let major = at(head.bytes(), 6..8).first_chunk().copied();
    let major = major.map(u16::from_be_bytes);
    head.starts_with(b"\xca\xfe\xba\xbe") && major.is_some_and(|major| (45..=99).contains(&major))
}

/// Looks at the tables of a Java class.
pub(super) fn class(look: &mut Look<'_, '_, '_>) {
    super::found(look, "a Java class", false);
    match class_end(look.input.cursor()) {
        Ok(end) => super::ends(look, 8, end),
        Err(error) => super::broken(look, &error),
    }
}

fn class_end(mut cursor: Cursor<'_>) -> Result<u64, CursorError> {
    cursor.seek(8);
    let constants = be16(&mut cursor)?;
    let mut number = 1_u16;
    while number < constants {
        let tag = cursor.u8()?;
        let len = match tag {
            1 => u64::from(be16(&mut cursor)?),
            7 | 8 | 16 | 19 | 20 => 2,
            15 => 3,
            5 | 6 => 8,
            _ => 4,
        };
        cursor.skip(len)?;
        // Numbers of eight bytes count twice.
        number = number.saturating_add(if matches!(tag, 5 | 6) { 2 } else { 1 });
    }
    cursor.skip(6)?;
    let interfaces = be16(&mut cursor)?;
    cursor.skip(u64::from(interfaces).saturating_mul(2))?;
    // Fields, then methods.
    for _ in 0..2 {
        for _ in 0..be16(&mut cursor)? {
            cursor.skip(6)?;
            attributes(&mut cursor)?;
        }
    }
    attributes(&mut cursor)?;
    Ok(cursor.position())
}

fn attributes(cursor: &mut Cursor<'_>) -> Result<(), CursorError> {
    for _ in 0..be16(cursor)? {
        cursor.skip(2)?;
        let len = u32::from_be_bytes(cursor.array()?);
        cursor.skip(len.into())?;
    }
    Ok(())
}

fn be16(cursor: &mut Cursor<'_>) -> Result<u16, CursorError> {
    cursor.array().map(u16::from_be_bytes)
}

/// Returns true if a header of Python's cache begins, and a code object follows it.
pub(super) fn is_pyc(head: &Head, _: &Input<'_>) -> bool {
    // 3.0 to 3.6 have a header of twelve bytes, and later ones have sixteen.
    let magic = head.bytes().first_chunk().copied().map(u16::from_le_bytes);
    at(head.bytes(), 2..4) == b"\r\n"
        && magic.is_some_and(|magic| (3_000..=3_900).contains(&magic))
        && [12, 16]
            .iter()
            .any(|at| matches!(head.bytes().get(*at), Some(0x63 | 0xe3)))
}

/// Looks at compiled Python: at what it uses, not at what it does.
pub(super) fn pyc(look: &mut Look<'_, '_, '_>) {
    let what = "compiled Python, whose source may be another";
    super::found(look, what, false);
    let size = look.input.bytes.len();
    let start = [16, 12].into_iter().find(|at| {
        let mut cursor = Cursor::at(look.input.bytes, *at);
        matches!(cursor.u8(), Ok(0x63 | 0xe3)) && super::marshal::look_from(look, *at)
    });
    match start {
        Some(start) => look.covered.parsed(0..start),
        None => super::ends(look, 16.min(size), size),
    }
}
