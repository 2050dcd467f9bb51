//! GIF (GIF89a): blocks, each a row of sub-blocks.

use super::parts;
use crate::route::Head;
use crate::source::{Cursor, CursorError};
use crate::work::{Input, Look};

/// Returns true for the two versions.
pub(super) fn recognises(head: &Head, _: &Input<'_>) -> bool {
    head.starts_with(b"GIF87a") || head.starts_with(b"GIF89a")
}

/// Looks at all blocks.
pub(super) fn examine(look: &mut Look<'_, '_, '_>) {
    let at = match blocks(look) {
        Ok(Some(end)) => return parts::tail(look, end),
        Ok(None) => look.input.bytes.len(),
        Err(at) => at,
    };
    parts::broken(look, at, "it ends inside of a block");
}

// Returns the end, or where something that is no block stands.
fn blocks(look: &mut Look<'_, '_, '_>) -> Result<Option<u64>, u64> {
    let bytes = look.input.bytes;
    let mut cursor = Cursor::at(bytes, 6);
    let cut = |_: CursorError| bytes.len();
    let (width, height) = (cursor.u16().map_err(cut)?, cursor.u16().map_err(cut)?);
    parts::dimensions(look, width.into(), height.into());
    let flags = cursor.u8().map_err(cut)?;
    cursor.skip(2).map_err(cut)?;
    colours(&mut cursor, flags).map_err(cut)?;
    look.covered.parsed(0..cursor.position());
    loop {
        if look.work.tick(&look.input.path).is_err() {
            return Ok(None);
        }
        let start = cursor.position();
        match cursor.u8().map_err(cut)? {
            0x3b => {
                look.covered.parsed(start..cursor.position());
                return Ok(Some(cursor.position()));
            }
            0x21 => {
                cursor.skip(1).map_err(cut)?;
                sub_blocks(&mut cursor).map_err(cut)?;
                parts::metadata(look, start..cursor.position(), "an extension block");
            }
            0x2c => {
                cursor.skip(8).map_err(cut)?;
                let flags = cursor.u8().map_err(cut)?;
                colours(&mut cursor, flags).map_err(cut)?;
                cursor.skip(1).map_err(cut)?;
                look.covered.parsed(start..cursor.position());
                let data = cursor.position();
                sub_blocks(&mut cursor).map_err(cut)?;
                parts::values(look, data..cursor.position());
            }
            // Some programs write zeros between blocks.
            0 => look.covered.parsed(start..cursor.position()),
            _ => return Err(start),
        }
    }
}

fn colours(cursor: &mut Cursor<'_>, flags: u8) -> Result<(), CursorError> {
    if flags & 0x80 != 0 {
        let entries = 2_u64 << (flags & 7);
        cursor.skip(entries.saturating_mul(3))?;
    }
    Ok(())
}

fn sub_blocks(cursor: &mut Cursor<'_>) -> Result<(), CursorError> {
    loop {
        match cursor.u8()? {
            0 => return Ok(()),
            len => cursor.skip(len.into())?,
        }
    }
}
