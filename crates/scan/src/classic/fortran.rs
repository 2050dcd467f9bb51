//! Records as programs in Fortran write them without a format: each between two lengths.
//!
//! gfortran, "File format of unformatted sequential files"; `scipy.io.FortranFile`. There is no mark:
//! only a file that is records from its beginning to its end is one.

use crate::route::Head;
use crate::rules;
use crate::source::{Cursor, CursorError, Part};
use crate::work::{Input, Look};

/// So many records are followed to tell what it is.
const TRIED: u32 = 10_000;

// The bounds of a record, and where the next one begins.
fn record(cursor: &mut Cursor<'_>, big: bool) -> Result<Option<(u64, u64)>, CursorError> {
    let number = |four: [u8; 4]| {
        if big {
            u32::from_be_bytes(four)
        } else {
            u32::from_le_bytes(four)
        }
    };
    let before = number(cursor.array()?);
    let start = cursor.position();
    cursor.skip(before.into())?;
    let end = cursor.position();
    let after = number(cursor.array()?);
    Ok((before == after && before > 0).then_some((start, end)))
}

fn is_records(input: &Input<'_>, big: bool) -> bool {
    let mut cursor = input.cursor();
    let mut tried = 0;
    while cursor.left() > 0 && tried < TRIED {
        tried = tried.saturating_add(1);
        if !matches!(record(&mut cursor, big), Ok(Some(_))) {
            return false;
        }
    }
    true
}

/// Returns true if it is records to its end.
pub(super) fn recognises(head: &Head, input: &Input<'_>) -> bool {
    let first = head.bytes().first_chunk::<4>().copied().unwrap_or([0; 4]);
    // Each length has to leave room for itself.
    let fits = |len: u32| len > 0 && u64::from(len).saturating_add(8) <= input.bytes.len();
    fits(u32::from_le_bytes(first)) && is_records(input, false)
        || fits(u32::from_be_bytes(first)) && is_records(input, true)
}

/// Looks at all records.
pub(super) fn examine(look: &mut Look<'_, '_, '_>) {
    let input = look.input;
    let size = input.bytes.len();
    let big = !is_records(input, false);
    let mut cursor = input.cursor();
    while cursor.position() < size {
        if look.work.tick(&input.path).is_err() {
            return;
        }
        let at = cursor.position();
        let Ok(Some((start, end))) = record(&mut cursor, big) else {
            return look.broken(&rules::media::DATA_BROKEN, at, "what follows is no record");
        };
        look.covered.opaque(at..cursor.position());
        let part = Part::new(input.bytes, start..end);
        let name = format!("record@{start}");
        if look.work.opaque_member(input, &name, &part).is_err() {
            return;
        }
    }
}
